//! Subgroups, whose cosets carry the quotient representations.

use std::fmt;

use crate::error::{Error, Result};

use super::Group;
use super::representation::QUOTIENT;

/// A subgroup of a [`Group`] with `m` rotations: the rotations by multiples of `m / k` steps, and
/// the mirrors that come with one of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Subgroup {
    group: Group,
    rotations: usize,
    mirror: Option<usize>,
}

impl Subgroup {
    /// The subgroup of `group` with `rotations` rotations and, if `mirror` is given, the mirrored
    /// element of rotation index `mirror` (element `m + mirror`; its axis is turned by half of that
    /// rotation from that of `x -> -x`) and the mirrors that follow from it.
    ///
    /// # Errors
    /// [`Error::Config`] if the group is continuous, if `rotations` does not divide the group's, or if a mirror is asked of a
    /// group without mirrors.
    pub fn new(group: Group, rotations: usize, mirror: Option<usize>) -> Result<Self> {
        group.finite(QUOTIENT)?;
        if rotations == 0 || !group.rotations().is_multiple_of(rotations) {
            return Err(Error::Config(format!(
                "{group} has no subgroup with {rotations} rotations: their number must divide {}",
                group.rotations()
            )));
        }
        if mirror.is_some() && !group.has_mirrors() {
            return Err(Error::Config(format!(
                "{group} has no subgroup with mirrors, because it has none itself: choose a \
                 cyclic subgroup, or D{} as the group",
                group.rotations()
            )));
        }
        Ok(Subgroup {
            group,
            rotations,
            mirror: mirror.map(|r| r % (group.rotations() / rotations)),
        })
    }

    /// The group that this is a subgroup of.
    pub const fn group(self) -> Group {
        self.group
    }

    /// The number of elements.
    pub const fn order(self) -> usize {
        match self.mirror {
            Some(_) => 2 * self.rotations,
            None => self.rotations,
        }
    }

    /// The elements, ascending.
    pub fn elements(self) -> Vec<usize> {
        let step = self.group.rotations() / self.rotations;
        let rotations = (0..self.rotations).map(|j| self.group.element(j * step, false));
        let mirrors = self
            .mirror
            .into_iter()
            .flat_map(|r| (0..self.rotations).map(move |j| self.group.element(r + j * step, true)));
        rotations.chain(mirrors).collect()
    }

    /// The number of cosets.
    pub const fn index(self) -> usize {
        self.group.order() / self.order()
    }

    /// The left coset `g H` that each element `g` lies in; cosets are counted in the order of their
    /// smallest elements.
    pub fn cosets(self) -> Vec<usize> {
        let members = self.elements();
        let mut coset = vec![usize::MAX; self.group.order()];
        let mut next = 0;
        for g in 0..self.group.order() {
            if coset[g] == usize::MAX {
                for &h in &members {
                    coset[self.group.product(g, h)] = next;
                }
                next += 1;
            }
        }
        coset
    }
}

/// As [`Representation::parse`](super::Representation::parse) reads it: `C2`, `D1`, `D1,3`.
impl fmt::Display for Subgroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mirror {
            None => write!(f, "C{}", self.rotations),
            Some(0) => write!(f, "D{}", self.rotations),
            Some(r) => write!(f, "D{},{r}", self.rotations),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::group::testing::some_groups;

    pub fn all_subgroups(group: Group) -> Vec<Subgroup> {
        let m = group.rotations();
        let axes = |k: usize| std::iter::once(None).chain((0..m / k).map(Some));
        (1..=m)
            .filter(|k| m.is_multiple_of(*k))
            .flat_map(|k| axes(k).map(move |mirror| Subgroup::new(group, k, mirror)))
            .flatten()
            .collect()
    }

    #[test]
    fn subgroups_are_closed_and_cosets_partition() {
        for group in some_groups() {
            for subgroup in all_subgroups(group) {
                let members = subgroup.elements();
                assert_eq!(members.len(), subgroup.order());
                for &g in &members {
                    assert!(members.contains(&group.inverse(g)));
                    for &h in &members {
                        assert!(members.contains(&group.product(g, h)), "{group} {subgroup}");
                    }
                }
                let cosets = subgroup.cosets();
                for coset in 0..subgroup.index() {
                    let size = cosets.iter().filter(|&&c| c == coset).count();
                    assert_eq!(size, subgroup.order(), "{group} {subgroup}");
                }
            }
        }
        // 1 + 4 mirrors, C2 + 2 Klein groups, C4, D4.
        assert_eq!(all_subgroups(Group::dihedral(4)).len(), 10);
    }

    #[test]
    fn what_does_not_exist_is_refused() {
        assert!(Subgroup::new(Group::cyclic(6), 4, None).is_err());
        assert!(Subgroup::new(Group::cyclic(6), 0, None).is_err());
        assert!(Subgroup::new(Group::cyclic(6), 2, Some(0)).is_err());
    }
}
