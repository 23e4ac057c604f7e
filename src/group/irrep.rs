//! Irreducible real representations.

use std::fmt;

use crate::error::{Error, Result};

use super::Group;
use super::planar::turned_harmonic;

/// The highest frequency of irreps of the continuous groups, the one of the largest finite group that
/// is read from text.
const MAX_FREQUENCY: usize = 180;

/// An irreducible real representation of a [`Group`].
///
/// With `m` rotations:
/// - Frequency 0, dimension 1: rotations do nothing.
/// - Frequency `m / 2` for even `m`, dimension 1: the rotation by one step changes the sign.
/// - Frequencies between, dimension 2: rotation by the angle `2 pi r / m` turns by that angle times
///   the frequency; a mirror acts as it does on `(cos l phi, sin l phi)`. Frequency 1 is the
///   group's own matrix.
///
/// Of the continuous groups, every frequency from 1 on has dimension 2. In groups with mirrors each
/// of the one-dimensional kinds comes twice: the mirror `x -> -x` keeps the sign (even) or changes
/// it (odd).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Irrep {
    group: Group,
    frequency: usize,
    odd: bool,
}

impl Irrep {
    /// The irrep of `group` with `frequency` and parity under the mirror.
    ///
    /// # Errors
    /// [`Error::Config`] if the frequency exceeds half of the rotations (180 for a continuous
    /// group), or if `odd` is asked of a group without mirrors or of a two-dimensional irrep (odd
    /// and even are equivalent there).
    pub fn new(group: Group, frequency: usize, odd: bool) -> Result<Self> {
        let irrep = Irrep {
            group,
            frequency,
            odd,
        };
        let highest = Irrep::highest(group);
        if frequency > highest {
            let has = match group.is_finite() {
                true => "has no irrep",
                false => "has more irreps than are supported, such as the one",
            };
            return Err(Error::Config(format!(
                "{group} {has} of frequency {frequency}: choose one of 0 to {highest}"
            )));
        }
        if odd && (!group.has_mirrors() || irrep.dimension() == 2) {
            return Err(Error::Config(format!(
                "{group} has no odd irrep of frequency {frequency}: odd and even are told apart \
                 only in one-dimensional irreps of groups with mirrors; leave out `odd`"
            )));
        }
        Ok(irrep)
    }

    /// The highest frequency.
    fn highest(group: Group) -> usize {
        match group.is_finite() {
            true => group.rotations() / 2,
            false => MAX_FREQUENCY,
        }
    }

    /// The irreps of `group` of frequencies up to `frequency`: by rising frequency, even before odd.
    pub(super) fn up_to(group: Group, frequency: usize) -> Vec<Irrep> {
        (0..=frequency.min(Irrep::highest(group)))
            .flat_map(|frequency| [false, true].map(|odd| Irrep::new(group, frequency, odd)))
            .flatten()
            .collect()
    }

    /// The group that this irrep belongs to.
    pub const fn group(self) -> Group {
        self.group
    }

    /// The angular frequency.
    pub const fn frequency(self) -> usize {
        self.frequency
    }

    /// The mirror `x -> -x` changes the sign (one-dimensional irreps of groups with mirrors).
    pub const fn is_odd(self) -> bool {
        self.odd
    }

    /// 1 or 2.
    pub const fn dimension(self) -> usize {
        let alternates =
            self.group.is_finite() && (2 * self.frequency).is_multiple_of(self.group.rotations());
        if self.frequency == 0 || alternates {
            1
        } else {
            2
        }
    }

    /// The orthogonal matrix of element `g` of a finite group, row-major.
    ///
    /// # Panics
    /// If the group is [continuous](Group::is_finite).
    #[track_caller]
    pub fn matrix(self, g: usize) -> Vec<f64> {
        if self.dimension() == 2 {
            return self.group.harmonic(self.frequency, g).concat();
        }
        let (r, mirrored) = self.group.split(g);
        let alternates = self.frequency > 0 && r % 2 == 1;
        vec![sign(alternates != (mirrored && self.odd))]
    }

    /// The matrix of element `g` of the finite subgroup `to`, row-major.
    pub(super) fn restricted_matrix(self, to: Group, g: usize) -> Vec<f64> {
        if self.group.is_finite() {
            self.matrix(self.group.element_of(to, g))
        } else if self.dimension() == 2 {
            to.harmonic(self.frequency, g).concat()
        } else {
            vec![sign(to.split(g).1 && self.odd)]
        }
    }

    /// The matrix of an element of a continuous group, row-major: the rotation by `angle` radians
    /// after the mirror, if `mirrored`.
    pub(super) fn matrix_at(self, angle: f64, mirrored: bool) -> Vec<f64> {
        if self.dimension() == 1 {
            return vec![sign(mirrored && self.odd)];
        }
        let (sin, cos) = (self.frequency as f64 * angle).sin_cos();
        turned_harmonic(self.frequency, (cos, sin), mirrored).concat()
    }
}

fn sign(negative: bool) -> f64 {
    if negative { -1.0 } else { 1.0 }
}

/// As [`Representation::parse`](super::Representation::parse) reads it: `irrep(1)`, `irrep(0,odd)`.
impl fmt::Display for Irrep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let odd = if self.odd { ",odd" } else { "" };
        write!(f, "irrep({}{odd})", self.frequency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::testing::{max_difference, multiply, some_groups, transpose};

    /// The character inner product `1/|G| sum_g chi(g) psi(g)`.
    fn inner_product(group: Group, a: Irrep, b: Irrep) -> f64 {
        let character = |irrep: Irrep, g| {
            let matrix = irrep.matrix(g);
            matrix.iter().step_by(irrep.dimension() + 1).sum::<f64>()
        };
        let sum: f64 = (0..group.order())
            .map(|g| character(a, g) * character(b, g))
            .sum();
        sum / group.order() as f64
    }

    #[test]
    fn irreps_are_orthogonal_homomorphisms() {
        for group in some_groups() {
            for irrep in group.irreps() {
                let n = irrep.dimension();
                for g in 0..group.order() {
                    let matrix = irrep.matrix(g);
                    let inverse = irrep.matrix(group.inverse(g));
                    let error = max_difference(&transpose(&matrix, n), &inverse);
                    assert!(error <= 2e-15, "{group} {irrep}: {error}");
                    for h in 0..group.order() {
                        let product = multiply(&matrix, &irrep.matrix(h), n);
                        let error = max_difference(&product, &irrep.matrix(group.product(g, h)));
                        assert!(error <= 5e-15, "{group} {irrep} {g} {h}: {error}");
                    }
                }
            }
        }
    }

    #[test]
    fn characters_are_orthogonal_and_the_irreps_complete() {
        for group in some_groups() {
            let irreps = group.irreps();
            for (i, &a) in irreps.iter().enumerate() {
                for (j, &b) in irreps.iter().enumerate() {
                    // The commutant of a two-dimensional irrep of rotations alone is the complex
                    // numbers, of every other irrep here the real ones.
                    let commutant = if a.dimension() == 2 && !group.has_mirrors() {
                        2.0
                    } else {
                        1.0
                    };
                    let expected = if i == j { commutant } else { 0.0 };
                    let error = (inner_product(group, a, b) - expected).abs();
                    assert!(error <= 1e-14, "{group} {a} {b}: {error}");
                }
            }
            // sum d^2 / dim End = |G| (Wedderburn).
            let sum: f64 = irreps
                .iter()
                .map(|&a| (a.dimension() as f64).powi(2) / inner_product(group, a, a))
                .sum();
            assert!((sum - group.order() as f64).abs() <= 1e-12, "{group}");
        }
    }

    #[test]
    fn what_does_not_exist_is_refused() {
        assert!(Irrep::new(Group::cyclic(4), 3, false).is_err());
        assert!(Irrep::new(Group::cyclic(4), usize::MAX, false).is_err());
        assert!(Irrep::new(Group::cyclic(4), 0, true).is_err());
        assert!(Irrep::new(Group::dihedral(4), 1, true).is_err());
        assert!(Irrep::new(Group::dihedral(4), 2, true).is_ok());
        assert_eq!(Group::dihedral(4).irreps().len(), 5);
        assert_eq!(Group::cyclic(5).irreps().len(), 3);
    }
}
