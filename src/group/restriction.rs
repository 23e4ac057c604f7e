//! What a representation is for a subgroup.

use super::decomposition::decompose;
use super::invariants::Action;
use super::representation::block_diagonal;
use super::{Group, Irrep, Representation, Subgroup};
use crate::error::{Error, Result};

/// A representation of a group seen by a subgroup: `Q^T rho(g) Q` is the matrix of
/// [`representation`](Self::representation) for every element `g` of the subgroup.
#[derive(Clone, PartialEq, Debug)]
pub struct Restriction {
    /// A representation of the subgroup.
    pub representation: Representation,
    /// `Q`, orthogonal, row-major, `size x size`. For permutation representations it is a
    /// permutation, so that nonlinearities may act on each channel before and after.
    pub change_of_basis: Vec<f64>,
}

/// A representation and its `Q`.
type Part = (Vec<Representation>, Vec<f64>);

impl Representation {
    /// This representation of `from` as one of its subgroup `to`: of `C_8` as one of `C_4`, of
    /// `SO(2)` as one of `C_m`. `to` has the mirror `x -> -x`, if any.
    ///
    /// Permutation representations fall apart into the orbits of the subgroup, each of which is the
    /// quotient by the stabiliser of its first channel. Irreps become sums of irreps.
    ///
    /// # Errors
    /// [`Error::Config`] if this is not a representation of `from` or `to` is not a subgroup.
    pub fn restrict(&self, from: Group, to: Group) -> Result<Restriction> {
        self.check(from)?;
        if !from.contains(to) {
            return Err(Error::Config(format!(
                "{to} is not a subgroup of {from}, so {self} cannot be restricted to it: the number \
                 of rotations must divide that of the group, and mirrors need mirrors"
            )));
        }
        let parts = (self.summands().into_iter())
            .map(|summand| restricted(summand, from, to))
            .collect::<Result<Vec<Part>>>()?;
        let mut summands = Vec::new();
        let mut blocks = Vec::with_capacity(parts.len());
        for (representations, block) in parts {
            summands.extend(representations);
            blocks.push(block);
        }
        let representation = match <[Representation; 1]>::try_from(summands) {
            Ok([single]) => single,
            Err(summands) => Representation::Sum(summands),
        };
        Ok(Restriction {
            representation,
            change_of_basis: block_diagonal(blocks.into_iter()),
        })
    }
}

/// One that is no sum.
fn restricted(rho: &Representation, from: Group, to: Group) -> Result<Part> {
    match rho {
        Representation::Irrep(irrep) if !to.is_finite() => {
            // From O(2) to SO(2), or nowhere: the matrices of the rotations are the same.
            let odd = irrep.is_odd() && to.has_mirrors();
            let same = Representation::Irrep(Irrep::new(to, irrep.frequency(), odd)?);
            let n = irrep.dimension();
            let identity = block_diagonal((0..n).map(|_| vec![1.0]));
            Ok((vec![same], identity))
        }
        Representation::Irrep(_) => {
            let parts = decompose(&Action::of(rho, from, to), to, to, to.irreps());
            let irreps = parts.irreps.into_iter().map(Representation::Irrep);
            Ok((irreps.collect(), parts.change_of_basis))
        }
        Representation::Trivial => Ok((vec![Representation::Trivial], vec![1.0])),
        permutation => orbits(permutation, from, to),
    }
}

/// The orbits of `to` on the channels of a permutation representation of the finite group `from`.
fn orbits(rho: &Representation, from: Group, to: Group) -> Result<Part> {
    let moved: Vec<Vec<usize>> = (0..to.order())
        .filter_map(|g| rho.permutation(from, from.element_of(to, g)))
        .collect();
    let n = rho.size(from);
    let mut seen = vec![false; n];
    let mut representations = Vec::new();
    // The old channel of each new one.
    let mut channels = Vec::with_capacity(n);
    for first in 0..n {
        if seen[first] {
            continue;
        }
        let fixing: Vec<usize> = (0..to.order())
            .filter(|&g| moved[g][first] == first)
            .collect();
        let rotations = fixing.iter().filter(|&&g| !to.split(g).1).count();
        let mirror = fixing
            .iter()
            .map(|&g| to.split(g))
            .find(|(_, mirrored)| *mirrored);
        let stabiliser = Subgroup::new(to, rotations, mirror.map(|(r, _)| r))?;
        let start = channels.len();
        channels.resize(start + stabiliser.index(), first);
        for (g, coset) in stabiliser.cosets().into_iter().enumerate() {
            channels[start + coset] = moved[g][first];
            seen[moved[g][first]] = true;
        }
        representations.push(match (stabiliser.order(), stabiliser.index()) {
            (_, 1) => Representation::Trivial,
            (1, _) => Representation::Regular,
            _ => Representation::Quotient(stabiliser),
        });
    }
    let mut change_of_basis = vec![0.0; n * n];
    for (new, old) in channels.into_iter().enumerate() {
        change_of_basis[old * n + new] = 1.0;
    }
    Ok((representations, change_of_basis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::representation::tests::some_representations;
    use crate::group::testing::{identity, max_difference, multiply, some_groups, transpose};

    /// `Q^T rho(g) Q` against the claimed matrices for every element of the subgroup.
    fn check(rho: &Representation, from: Group, to: Group, matrix: impl Fn(usize) -> Vec<f64>) {
        let Restriction {
            representation,
            change_of_basis: q,
        } = rho.restrict(from, to).expect("a subgroup");
        assert!(representation.check(to).is_ok());
        assert_eq!(rho.is_permutation(), representation.is_permutation());
        let n = rho.size(from);
        let transposed = transpose(&q, n);
        assert!(max_difference(&multiply(&transposed, &q, n), &identity(n)) <= 1e-13);
        for g in 0..to.order() {
            let inner = multiply(&multiply(&transposed, &matrix(g), n), &q, n);
            let error = max_difference(&inner, &representation.matrix(to, g));
            assert!(
                error <= 1e-13,
                "{rho} of {from} to {to}, {representation}: {error}"
            );
        }
    }

    /// The element of `from` with the matrix of element `g` of `to`.
    fn same_matrix(from: Group, to: Group, g: usize) -> usize {
        let distance = |h: &usize| {
            let (a, b) = (from.matrix(*h), to.matrix(g));
            max_difference(a.as_flattened(), b.as_flattened())
        };
        (0..from.order())
            .min_by(|a, b| distance(a).total_cmp(&distance(b)))
            .expect("a group")
    }

    #[test]
    fn restrictions_are_what_they_claim() {
        for from in some_groups() {
            for to in some_groups().filter(|&to| from.contains(to)) {
                for rho in some_representations(from) {
                    check(&rho, from, to, |g| {
                        rho.matrix(from, same_matrix(from, to, g))
                    });
                }
            }
        }
    }

    #[test]
    fn continuous_groups_are_restricted_to_finite_ones() {
        for from in [Group::SO2, Group::O2] {
            for irrep in from.irreps_up_to(9) {
                let rho = Representation::Sum(vec![
                    Representation::Irrep(irrep),
                    Representation::Trivial,
                ]);
                for to in some_groups().filter(|&to| from.contains(to)) {
                    let matrix = |g| {
                        let (r, mirrored) = to.split(g);
                        let angle = std::f64::consts::TAU * r as f64 / to.rotations() as f64;
                        rho.matrix_at(from, angle, mirrored).expect("of it")
                    };
                    let restriction = rho.restrict(from, to).expect("a subgroup");
                    let n = rho.size(from);
                    let q = &restriction.change_of_basis;
                    for g in 0..to.order() {
                        let inner = multiply(&multiply(&transpose(q, n), &matrix(g), n), q, n);
                        let claimed = restriction.representation.matrix(to, g);
                        let error = max_difference(&inner, &claimed);
                        assert!(error <= 1e-13, "{rho} of {from} to {to}: {error}");
                    }
                }
            }
        }
        let odd = Representation::parse("irrep(0,odd) + irrep(2)", Group::O2).expect("of it");
        let seen = odd.restrict(Group::O2, Group::SO2).expect("a subgroup");
        assert_eq!(seen.representation.to_string(), "irrep(0) + irrep(2)");
        assert_eq!(seen.change_of_basis, identity(3));
    }

    #[test]
    fn known_restrictions() {
        let seen = |text: &str, from: &str, to: &str| {
            let [from, to] = [from, to].map(|g| g.parse::<Group>().expect("a group"));
            let rho = Representation::parse(text, from).expect("of it");
            let restricted = rho.restrict(from, to).expect("a subgroup");
            restricted.representation.to_string()
        };
        assert_eq!(seen("regular", "C8", "C4"), "regular + regular");
        assert_eq!(seen("regular", "D4", "C4"), "regular + regular");
        // The axes of D4's mirrors are two classes of D2's: two stay, two are exchanged.
        assert_eq!(
            seen("quotient(D1)", "D4", "D2"),
            "quotient(D1) + quotient(D1,1)"
        );
        assert_eq!(
            seen("quotient(C2)", "C8", "C2"),
            "trivial + trivial + trivial + trivial"
        );
        assert_eq!(seen("irrep(3)", "C8", "C4"), "irrep(1)");
        assert_eq!(seen("irrep(2)", "C8", "C4"), "irrep(2) + irrep(2)");
        assert_eq!(seen("irrep(5)", "SO2", "C4"), "irrep(1)");
        assert_eq!(seen("irrep(4)", "O2", "D4"), "irrep(0) + irrep(0,odd)");
    }

    #[test]
    fn what_is_no_subgroup_is_refused() {
        let regular = Representation::Regular;
        for (from, to) in [("C8", "C3"), ("C4", "D2"), ("C4", "SO2"), ("D4", "D8")] {
            let [from, to] = [from, to].map(|g| g.parse::<Group>().expect("a group"));
            let message = regular.restrict(from, to).expect_err("refused").to_string();
            assert!(message.contains("not a subgroup"), "{message}");
        }
        let (so2, c4) = (Group::SO2, Group::cyclic(4));
        assert!(regular.restrict(so2, c4).is_err());
    }
}
