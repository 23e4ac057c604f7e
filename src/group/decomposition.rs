//! Decomposition of a representation into irreps.

use super::invariants::{self, Action};
use super::{Group, Irrep, Representation};

/// Columns of a candidate that are shorter than this lie in the space already found; independent
/// ones are of the order of 1.
const DEPENDENT: f64 = 1e-6;

/// A representation as a direct sum of irreps: `Q^T rho(g) Q` is block diagonal with the matrices of
/// [`irreps`](Self::irreps), in this order, for every element `g`. Of a continuous group the irreps
/// are those of the frequencies that occur.
#[derive(Clone, PartialEq, Debug)]
pub struct Decomposition {
    /// The irreps, ordered as [`Group::irreps_up_to`], each repeated by its multiplicity.
    pub irreps: Vec<Irrep>,
    /// `Q`, orthogonal, row-major, `size x size`.
    pub change_of_basis: Vec<f64>,
}

impl Representation {
    /// Decomposes this representation into irreps of `group`, to which it must belong
    /// ([`check`](Self::check)).
    pub fn decompose(&self, group: Group) -> Decomposition {
        let candidates = match group.is_finite() {
            true => group.irreps(),
            false => group.irreps_up_to(self.highest_frequency()),
        };
        let finite = group.resolving(2 * self.highest_frequency());
        decompose(&Action::of(self, group, finite), group, finite, candidates)
    }
}

/// Decomposes an action of `finite`, which resolves `group`, into the irreps of `group` among
/// `candidates`.
///
/// For each irrep `psi` the columns of `Q` are intertwiners, `rho(g) A = A psi(g)`. By Schur's lemma
/// `A^T A` is a multiple of the identity, so an intertwiner only needs scaling to have orthonormal
/// columns.
pub(super) fn decompose(
    rho: &Action,
    group: Group,
    finite: Group,
    candidates: Vec<Irrep>,
) -> Decomposition {
    let n = rho.size();
    let one = Action::of(&Representation::Trivial, group, finite);
    let mut irreps = Vec::new();
    let mut columns: Vec<Vec<f64>> = Vec::with_capacity(n);
    for irrep in candidates {
        let d = irrep.dimension();
        let psi = Action::of(&Representation::Irrep(irrep), group, finite);
        let first_of_this_irrep = columns.len();
        for intertwiner in invariants::basis([rho, &psi, &one]) {
            let mut block = vec![vec![0.0; n]; d];
            for (at, value) in intertwiner {
                block[at % d][at / d] = value;
            }
            // With complex-type irreps (2-dimensional, rotations alone) an intertwiner comes
            // with a turned copy of the same image; removing the images found so far leaves
            // an intertwiner, or nothing.
            for column in &mut block {
                for _ in 0..2 {
                    for known in &columns[first_of_this_irrep..] {
                        let coefficient = dot(known, column);
                        let pairs = column.iter_mut().zip(known);
                        pairs.for_each(|(v, k)| *v -= coefficient * k);
                    }
                }
            }
            let norm = dot(&block[0], &block[0]).sqrt();
            if norm > DEPENDENT {
                irreps.push(irrep);
                columns.extend(block.into_iter().map(|mut column| {
                    column.iter_mut().for_each(|v| *v /= norm);
                    column
                }));
            }
        }
    }
    debug_assert_eq!(columns.len(), n);
    let change_of_basis = (0..n)
        .flat_map(|row| columns.iter().map(move |column| column[row]))
        .collect();
    Decomposition {
        irreps,
        change_of_basis,
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::representation::tests::some_representations;
    use crate::group::testing::{identity, max_difference, multiply, some_groups, transpose};

    #[test]
    fn the_change_of_basis_makes_blocks_of_irreps() {
        for group in some_groups() {
            for rho in some_representations(group) {
                let n = rho.size(group);
                let Decomposition {
                    irreps,
                    change_of_basis: q,
                } = rho.decompose(group);
                let transposed = transpose(&q, n);
                let error = max_difference(&multiply(&transposed, &q, n), &identity(n));
                assert!(error <= 1e-13, "{group} {rho}: {error}");

                let blocks =
                    Representation::Sum(irreps.into_iter().map(Representation::Irrep).collect());
                for g in 0..group.order() {
                    let inner = multiply(&multiply(&transposed, &rho.matrix(group, g), n), &q, n);
                    let error = max_difference(&inner, &blocks.matrix(group, g));
                    assert!(error <= 1e-13, "{group} {rho} {g}: {error}");
                }
            }
        }
    }

    #[test]
    fn multiplicities_are_those_of_the_characters() {
        let character = |rho: &Representation, group, g| -> f64 {
            let n = rho.size(group);
            rho.matrix(group, g).iter().step_by(n + 1).sum()
        };
        for group in some_groups() {
            let inner = |a: &Representation, b: &Representation| -> f64 {
                let terms =
                    (0..group.order()).map(|g| character(a, group, g) * character(b, group, g));
                terms.sum::<f64>() / group.order() as f64
            };
            for rho in some_representations(group) {
                let found = rho.decompose(group).irreps;
                for irrep in group.irreps() {
                    let psi = Representation::Irrep(irrep);
                    let expected = inner(&rho, &psi) / inner(&psi, &psi);
                    let multiplicity = found.iter().filter(|&&i| i == irrep).count();
                    let error = (multiplicity as f64 - expected).abs();
                    assert!(error <= 1e-12, "{group} {rho} {irrep}: {multiplicity}");
                }
            }
        }
    }

    #[test]
    fn the_regular_representation_holds_each_irrep_as_often_as_it_must() {
        let multiplicities = |group: Group| -> Vec<usize> {
            let found = Representation::Regular.decompose(group).irreps;
            let count = |irrep| found.iter().filter(|&&i| i == irrep).count();
            group.irreps().into_iter().map(count).collect()
        };
        assert_eq!(multiplicities(Group::cyclic(4)), [1, 1, 1]);
        assert_eq!(multiplicities(Group::cyclic(5)), [1, 1, 1]);
        assert_eq!(multiplicities(Group::dihedral(3)), [1, 1, 2]);
        assert_eq!(multiplicities(Group::dihedral(4)), [1, 1, 2, 1, 1]);
    }

    #[test]
    fn commutants_have_the_dimension_of_schurs_lemma() {
        for group in some_groups() {
            let one = Action::of(&Representation::Trivial, group, group);
            for rho in some_representations(group) {
                let action = Action::of(&rho, group, group);
                let commutant = invariants::basis([&action, &action, &one]);
                // sum over irreps of multiplicity^2 dim End(irrep).
                let found = rho.decompose(group).irreps;
                let expected: usize = group
                    .irreps()
                    .into_iter()
                    .map(|irrep| {
                        let multiplicity = found.iter().filter(|&&i| i == irrep).count();
                        let complex = irrep.dimension() == 2 && !group.has_mirrors();
                        multiplicity * multiplicity * if complex { 2 } else { 1 }
                    })
                    .sum();
                assert_eq!(commutant.len(), expected, "{group} {rho}");

                let n = rho.size(group);
                for vector in commutant {
                    let mut matrix = vec![0.0; n * n];
                    vector
                        .into_iter()
                        .for_each(|(at, value)| matrix[at] = value);
                    for g in 0..group.order() {
                        let rho = rho.matrix(group, g);
                        let error = max_difference(
                            &multiply(&rho, &matrix, n),
                            &multiply(&matrix, &rho, n),
                        );
                        assert!(error <= 1e-13, "{group}: {error}");
                    }
                }
            }
        }
    }

    #[test]
    fn sums_of_continuous_groups_are_sorted_into_irreps() {
        for group in [Group::SO2, Group::O2] {
            let rho = Representation::parse("irrep(3) + trivial + irrep(1) + irrep(3)", group)
                .expect("of it");
            let Decomposition {
                irreps,
                change_of_basis: q,
            } = rho.decompose(group);
            let frequencies: Vec<usize> = irreps.iter().map(|i| i.frequency()).collect();
            assert_eq!(frequencies, [0, 1, 3, 3], "{group}");
            let blocks =
                Representation::Sum(irreps.into_iter().map(Representation::Irrep).collect());
            let n = rho.size(group);
            let transposed = transpose(&q, n);
            for angle in [0.4, 2.0, -1.3] {
                for mirrored in [false, true] {
                    if mirrored && !group.has_mirrors() {
                        continue;
                    }
                    let at = |rho: &Representation| {
                        rho.matrix_at(group, angle, mirrored).expect("of it")
                    };
                    let inner = multiply(&multiply(&transposed, &at(&rho), n), &q, n);
                    let error = max_difference(&inner, &at(&blocks));
                    assert!(error <= 1e-13, "{group} {angle}: {error}");
                }
            }
        }
    }

    #[test]
    fn intertwiners_of_irreps_obey_schurs_lemma() {
        for group in some_groups().chain([Group::SO2, Group::O2]) {
            let irreps = group.irreps_up_to(6);
            let finite = group.resolving(12);
            let one = Action::of(&Representation::Trivial, group, finite);
            for &a in &irreps {
                for &b in &irreps {
                    let [rho, psi] =
                        [a, b].map(|i| Action::of(&Representation::Irrep(i), group, finite));
                    let found = invariants::basis([&rho, &psi, &one]).len();
                    let complex = a.dimension() == 2 && !group.has_mirrors();
                    let expected = match (a == b, complex) {
                        (false, _) => 0,
                        (true, false) => 1,
                        (true, true) => 2,
                    };
                    assert_eq!(found, expected, "{group} {a} {b}");
                }
            }
        }
    }
}
