//! Orthogonal representations: how the values of a field move under the group.

use std::fmt;

use crate::error::{Error, Result};

use super::{Group, Irrep, Subgroup};

/// What errors call them.
const REGULAR: &str = "the regular representation";
pub(super) const QUOTIENT: &str = "a quotient representation";

/// An orthogonal real representation of a [`Group`]: how the channels of one field mix when the
/// image moves.
///
/// An irrep and a subgroup belong to one group; the functions below that take a group need it to be
/// that one, which [`check`](Self::check) verifies.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Representation {
    /// One channel that keeps its value: `rho(g) = 1`.
    Trivial,
    /// One channel for each element: `rho(g) e_h = e_gh`.
    Regular,
    /// One channel for each left coset of the subgroup: `rho(g) e_xH = e_gxH`.
    Quotient(Subgroup),
    /// An irreducible representation.
    Irrep(Irrep),
    /// The direct sum: block diagonal, in this order.
    Sum(Vec<Representation>),
}

impl Representation {
    /// The number of channels of one field.
    ///
    /// # Panics
    /// If a regular representation is asked of a continuous group, which [`check`](Self::check)
    /// refuses.
    pub fn size(&self, group: Group) -> usize {
        match self {
            Representation::Trivial => 1,
            Representation::Regular => group.order(),
            Representation::Quotient(subgroup) => subgroup.index(),
            Representation::Irrep(irrep) => irrep.dimension(),
            Representation::Sum(summands) => summands.iter().map(|s| s.size(group)).sum(),
        }
    }

    /// The orthogonal matrix `rho(g)`, row-major, `size x size`, of element `g` of a finite group.
    pub fn matrix(&self, group: Group, g: usize) -> Vec<f64> {
        self.block_diagonal(|summand| summand.block(group, g))
    }

    /// The orthogonal matrix of an element of the continuous `group`, row-major, `size x size`: the
    /// rotation by `angle` radians after the mirror `x -> -x`, if `mirrored`.
    ///
    /// # Errors
    /// [`Error::Config`] if the group is finite, has no mirrors and is asked for one, or this is not
    /// one of its representations.
    pub fn matrix_at(&self, group: Group, angle: f64, mirrored: bool) -> Result<Vec<f64>> {
        self.check(group)?;
        if group.is_finite() || (mirrored && !group.has_mirrors()) {
            return Err(Error::Config(format!(
                "{group} does not have an element for each angle{}: only SO2 and O2 do, and the \
                 elements of a finite group go by their index",
                if mirrored { ", mirrored" } else { "" }
            )));
        }
        Ok(self.block_diagonal(|summand| match summand {
            Representation::Irrep(irrep) => irrep.matrix_at(angle, mirrored),
            _ => vec![1.0],
        }))
    }

    /// The matrix of element `g` of the finite subgroup `to` of `from`, row-major.
    pub(super) fn restricted_matrix(&self, from: Group, to: Group, g: usize) -> Vec<f64> {
        self.block_diagonal(|summand| match summand {
            Representation::Irrep(irrep) => irrep.restricted_matrix(to, g),
            Representation::Trivial => vec![1.0],
            permutation => permutation.block(from, from.element_of(to, g)),
        })
    }

    /// The highest angular frequency of an irrep that is named in it.
    pub(super) fn highest_frequency(&self) -> usize {
        let frequency = |summand: &Representation| match summand {
            Representation::Irrep(irrep) => irrep.frequency(),
            _ => 0,
        };
        let all = self.summands().into_iter().map(frequency);
        all.max().unwrap_or(0)
    }

    /// What this is a direct sum of, sums within sums resolved; itself if it is no sum.
    pub(super) fn summands(&self) -> Vec<&Representation> {
        match self {
            Representation::Sum(summands) => summands.iter().flat_map(|s| s.summands()).collect(),
            single => vec![single],
        }
    }

    /// The matrix with the blocks of all summands on its diagonal.
    fn block_diagonal(&self, block: impl Fn(&Representation) -> Vec<f64>) -> Vec<f64> {
        block_diagonal(self.summands().into_iter().map(block))
    }

    /// `rho(g)` of one that is no sum.
    fn block(&self, group: Group, g: usize) -> Vec<f64> {
        if let Representation::Irrep(irrep) = self {
            return irrep.matrix(g);
        }
        let moved = self.permutation(group, g).unwrap_or_default();
        let n = moved.len();
        let mut matrix = vec![0.0; n * n];
        for (from, to) in moved.into_iter().enumerate() {
            matrix[to * n + from] = 1.0;
        }
        matrix
    }

    /// Where `g` moves each channel, `rho(g) e_i = e_p[i]`, or `None` if this is not a
    /// [permutation representation](Self::is_permutation).
    pub fn permutation(&self, group: Group, g: usize) -> Option<Vec<usize>> {
        match self {
            Representation::Trivial => Some(vec![0]),
            Representation::Regular => {
                Some((0..group.order()).map(|h| group.product(g, h)).collect())
            }
            Representation::Quotient(subgroup) => {
                let cosets = subgroup.cosets();
                let mut moved = vec![0; subgroup.index()];
                for (x, &coset) in cosets.iter().enumerate() {
                    moved[coset] = cosets[group.product(g, x)];
                }
                Some(moved)
            }
            Representation::Irrep(_) => None,
            Representation::Sum(summands) => {
                let mut moved = Vec::new();
                for summand in summands {
                    let start = moved.len();
                    moved.extend(summand.permutation(group, g)?.iter().map(|p| start + p));
                }
                Some(moved)
            }
        }
    }

    /// The group permutes the channels, so that a nonlinearity may act on each by itself. An irrep
    /// does not count, not even the one that is equivalent to the trivial representation.
    pub fn is_permutation(&self) -> bool {
        match self {
            Representation::Trivial | Representation::Regular | Representation::Quotient(_) => true,
            Representation::Irrep(_) => false,
            Representation::Sum(summands) => summands.iter().all(Representation::is_permutation),
        }
    }

    /// Verifies that this is a representation of `group`.
    ///
    /// # Errors
    /// [`Error::Config`] if an irrep or a subgroup belongs to another group, a continuous group
    /// has no such representation of finite size, or a sum is empty.
    pub fn check(&self, group: Group) -> Result<()> {
        let owner = match self {
            Representation::Trivial => group,
            Representation::Regular => group.finite(REGULAR)?,
            Representation::Quotient(subgroup) => subgroup.group(),
            Representation::Irrep(irrep) => irrep.group(),
            Representation::Sum(summands) if summands.is_empty() => {
                return Err(Error::Config(
                    "a direct sum needs at least one representation".into(),
                ));
            }
            Representation::Sum(summands) => {
                return summands.iter().try_for_each(|s| s.check(group));
            }
        };
        if owner == group {
            Ok(())
        } else {
            Err(Error::Config(format!(
                "the representation {self} belongs to the group {owner} and cannot be used with \
                 {group}: make it from {group}"
            )))
        }
    }

    /// Reads a representation of `group`: `trivial`, `regular`, `irrep(FREQUENCY)`,
    /// `irrep(FREQUENCY,odd)`, `quotient(C2)`, `quotient(D1)`, `quotient(D1,MIRROR)`, or several of
    /// them joined by `+`; case and spaces do not matter. [`Display`](fmt::Display) writes the same.
    ///
    /// # Errors
    /// [`Error::Config`] if the text is none of these or the group has no such representation.
    pub fn parse(text: &str, group: Group) -> Result<Self> {
        let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let plain = plain.to_lowercase();
        let summands = plain
            .split('+')
            .map(|summand| parse_summand(summand, group, text))
            .collect::<Result<Vec<_>>>()?;
        Ok(match <[Representation; 1]>::try_from(summands) {
            Ok([single]) => single,
            Err(summands) => Representation::Sum(summands),
        })
    }
}

/// The matrix with these square blocks on its diagonal, row-major.
pub(super) fn block_diagonal(blocks: impl Iterator<Item = Vec<f64>>) -> Vec<f64> {
    let blocks: Vec<Vec<f64>> = blocks.collect();
    let side = |block: &Vec<f64>| block.len().isqrt();
    let n: usize = blocks.iter().map(side).sum();
    let mut matrix = vec![0.0; n * n];
    let mut start = 0;
    for block in &blocks {
        for (i, row) in block.chunks(side(block)).enumerate() {
            let from = (start + i) * n + start;
            matrix[from..from + row.len()].copy_from_slice(row);
        }
        start += side(block);
    }
    matrix
}

fn parse_summand(summand: &str, group: Group, text: &str) -> Result<Representation> {
    let unknown = || {
        Error::Config(format!(
            "`{text}` is not a representation: write trivial, regular, irrep(FREQUENCY), \
             irrep(FREQUENCY,odd), quotient(SUBGROUP) with a subgroup such as C2, D1 or D1,MIRROR, \
             or a sum of them joined by +"
        ))
    };
    let number = |digits: &str| digits.parse().map_err(|_| unknown());
    let (name, arguments) = match summand.split_once('(') {
        Some((name, rest)) => (name, Some(rest.strip_suffix(')').ok_or_else(unknown)?)),
        None => (summand, None),
    };
    let arguments: Vec<&str> = arguments.map_or(Vec::new(), |a| a.split(',').collect());
    match (name, arguments.as_slice()) {
        ("trivial", []) => Ok(Representation::Trivial),
        ("regular", []) => group.finite(REGULAR).map(|_| Representation::Regular),
        ("irrep", [frequency]) => {
            Irrep::new(group, number(frequency)?, false).map(Representation::Irrep)
        }
        ("irrep", [frequency, "odd"]) => {
            Irrep::new(group, number(frequency)?, true).map(Representation::Irrep)
        }
        ("quotient", [subgroup, axis @ ..]) => {
            group.finite(QUOTIENT)?;
            let subgroup: Group = subgroup.parse().map_err(|_| unknown())?;
            let subgroup = subgroup.finite(QUOTIENT).map_err(|_| unknown())?;
            let mirror = match (subgroup.has_mirrors(), axis) {
                (false, []) => None,
                (true, []) => Some(0),
                (true, [mirror]) => Some(number(mirror)?),
                _ => return Err(unknown()),
            };
            Subgroup::new(group, subgroup.rotations(), mirror).map(Representation::Quotient)
        }
        _ => Err(unknown()),
    }
}

impl fmt::Display for Representation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Representation::Trivial => write!(f, "trivial"),
            Representation::Regular => write!(f, "regular"),
            Representation::Quotient(subgroup) => write!(f, "quotient({subgroup})"),
            Representation::Irrep(irrep) => irrep.fmt(f),
            Representation::Sum(summands) => {
                for (i, summand) in summands.iter().enumerate() {
                    let join = if i > 0 { " + " } else { "" };
                    write!(f, "{join}{summand}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::group::subgroup::tests::all_subgroups;
    use crate::group::testing::{max_difference, multiply, some_groups, transpose};

    /// Every kind of representation of the group, a nested sum among them.
    pub fn some_representations(group: Group) -> Vec<Representation> {
        let mut all = vec![Representation::Trivial, Representation::Regular];
        all.extend(
            all_subgroups(group)
                .into_iter()
                .map(Representation::Quotient),
        );
        all.extend(group.irreps().into_iter().map(Representation::Irrep));
        all.push(Representation::Sum(vec![
            all[all.len() - 1].clone(),
            Representation::Sum(vec![Representation::Trivial, all[2].clone()]),
        ]));
        all
    }

    #[test]
    fn representations_are_orthogonal_homomorphisms() {
        for group in some_groups() {
            for rho in some_representations(group) {
                let n = rho.size(group);
                for g in 0..group.order() {
                    let matrix = rho.matrix(group, g);
                    assert_eq!(matrix.len(), n * n);
                    let inverse = rho.matrix(group, group.inverse(g));
                    let error = max_difference(&transpose(&matrix, n), &inverse);
                    assert!(error <= 2e-15, "{group} {rho}: {error}");
                    for h in 0..group.order() {
                        let product = multiply(&matrix, &rho.matrix(group, h), n);
                        let expected = rho.matrix(group, group.product(g, h));
                        let error = max_difference(&product, &expected);
                        assert!(error <= 5e-15, "{group} {rho} {g} {h}: {error}");
                    }
                }
            }
        }
    }

    #[test]
    fn permutations_agree_with_the_matrices() {
        for group in some_groups() {
            for rho in some_representations(group) {
                let n = rho.size(group);
                for g in 0..group.order() {
                    let Some(moved) = rho.permutation(group, g) else {
                        assert!(!rho.is_permutation());
                        continue;
                    };
                    assert!(rho.is_permutation());
                    let matrix = rho.matrix(group, g);
                    for (from, to) in moved.into_iter().enumerate() {
                        assert_eq!(matrix[to * n + from], 1.0);
                    }
                }
            }
        }
    }

    #[test]
    fn extreme_quotients_are_regular_and_trivial() {
        for group in some_groups() {
            let mirror = group.has_mirrors().then_some(0);
            let whole = Subgroup::new(group, group.rotations(), mirror).expect("the group");
            let one = Subgroup::new(group, 1, None).expect("the trivial subgroup");
            for g in 0..group.order() {
                let of = |rho: Representation| rho.matrix(group, g);
                assert_eq!(
                    of(Representation::Quotient(whole)),
                    of(Representation::Trivial)
                );
                assert_eq!(
                    of(Representation::Quotient(one)),
                    of(Representation::Regular)
                );
            }
        }
    }

    #[test]
    fn text_round_trips_and_errors_teach() {
        for group in some_groups() {
            for rho in some_representations(group) {
                let flat = |rho: &Representation| rho.to_string();
                let back = Representation::parse(&flat(&rho), group).expect("its own text");
                assert_eq!(flat(&back), flat(&rho), "{group}");
                assert!(back.check(group).is_ok());
                assert_eq!(
                    back.matrix(group, group.order() - 1),
                    rho.matrix(group, group.order() - 1)
                );
            }
        }
        let d4 = Group::dihedral(4);
        for wrong in [
            "",
            "regul",
            "irrep",
            "irrep()",
            "irrep(9)",
            "irrep(1,odd)",
            "irrep(1",
            "quotient(C3)",
            "quotient(C2,1)",
            "quotient()",
            "trivial(1)",
            "regular+",
            "irrep(-1)",
        ] {
            assert!(Representation::parse(wrong, d4).is_err(), "{wrong}");
        }
        let message = Representation::parse("regul", d4)
            .expect_err("wrong")
            .to_string();
        assert!(
            message.contains("regular") && message.contains("`regul`"),
            "{message}"
        );
    }

    #[test]
    fn continuous_groups_turn_by_any_angle() {
        for group in [Group::SO2, Group::O2] {
            let irreps = group.irreps_up_to(4).into_iter().map(Representation::Irrep);
            let mut all: Vec<Representation> = irreps.collect();
            all.push(Representation::Sum(vec![
                all[3].clone(),
                Representation::Trivial,
            ]));
            for rho in all {
                let n = rho.size(group);
                let at = |(angle, mirrored)| rho.matrix_at(group, angle, mirrored).expect("of it");
                let (a, b) = (0.7, -2.1);
                // Mirrors turn rotations around: R_a F^p R_b F^q = R_(a +- b) F^(p + q).
                for (p, q) in [(false, false), (true, false), (false, true), (true, true)] {
                    if (p || q) && !group.has_mirrors() {
                        continue;
                    }
                    let product = multiply(&at((a, p)), &at((b, q)), n);
                    let expected = at((if p { a - b } else { a + b }, p != q));
                    let error = max_difference(&product, &expected);
                    assert!(error <= 1e-15 * 8.0, "{group} {rho}: {error}");
                    let inverse = transpose(&at((a, p)), n);
                    let expected = at((if p { a } else { -a }, p));
                    assert!(
                        max_difference(&inverse, &expected) <= 1e-15,
                        "{group} {rho}"
                    );
                }
            }
        }
        let vector = Representation::parse("irrep(1)", Group::SO2).expect("of it");
        let (sin, cos) = 0.3f64.sin_cos();
        let matrix = vector.matrix_at(Group::SO2, 0.3, false).expect("of it");
        assert_eq!(matrix, [cos, -sin, sin, cos]);
        assert!(vector.matrix_at(Group::SO2, 0.3, true).is_err());
        assert!(
            Representation::Trivial
                .matrix_at(Group::cyclic(4), 0.3, false)
                .is_err()
        );
    }

    #[test]
    fn continuous_groups_have_only_irreps() {
        for group in [Group::SO2, Group::O2] {
            for wrong in ["regular", "quotient(C2)", "irrep(1)+regular", "irrep(181)"] {
                let message = Representation::parse(wrong, group)
                    .expect_err(wrong)
                    .to_string();
                assert!(message.contains(&group.to_string()), "{message}");
            }
            assert!(Representation::Regular.check(group).is_err());
            assert!(Subgroup::new(group, 2, None).is_err());
            assert!(Representation::parse("irrep(0)+irrep(180)", group).is_ok());
        }
        assert!(Representation::parse("irrep(0,odd)", Group::O2).is_ok());
        assert!(Representation::parse("irrep(0,odd)", Group::SO2).is_err());
        assert!(Representation::parse("quotient(SO2)", Group::cyclic(4)).is_err());
    }

    #[test]
    fn a_representation_of_another_group_is_refused() {
        let c4 = Group::cyclic(4);
        let irrep = Representation::Irrep(c4.irreps()[1]);
        assert!(irrep.check(c4).is_ok());
        assert!(irrep.check(Group::cyclic(6)).is_err());
        let sum = Representation::Sum(vec![Representation::Trivial, irrep]);
        assert!(sum.check(Group::dihedral(4)).is_err());
        assert!(Representation::Sum(vec![]).check(c4).is_err());
    }
}
