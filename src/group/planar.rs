//! The finite groups of the plane: rotations, and rotations with mirrors.

use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::shape::GridSymmetry;

use super::Irrep;

/// The highest rotation order that is read from text. Kernels of 9x9 pixels cannot tell finer
/// rotations apart, and a regular field of such a group has hundreds of channels.
const MAX_ROTATIONS: usize = 360;

/// A finite group of the plane: cyclic `C_m`, the rotations by multiples of `2 pi / m`, or dihedral
/// `D_m`, those rotations with and without a mirror.
///
/// An element is an index below [`order`](Self::order): `r` is the rotation by `2 pi r / m`
/// counter-clockwise, and `m + r` is that rotation after the mirror `x -> -x`. Functions that take
/// elements need them below the order.
///
/// As text (`Display`, `FromStr`, serde) a group is `C4` or `D4`; reading ignores case. `C1` is the
/// trivial group.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Group {
    rotations: usize,
    mirrors: bool,
}

impl Group {
    /// The group without symmetry, `C1`.
    pub const TRIVIAL: Group = Group::cyclic(1);

    /// The groups that map the pixel grid to itself.
    pub const ON_GRID: [Group; 6] = [
        Group::cyclic(1),
        Group::cyclic(2),
        Group::cyclic(4),
        Group::dihedral(1),
        Group::dihedral(2),
        Group::dihedral(4),
    ];

    /// `C_m`, with `m` elements.
    ///
    /// # Panics
    /// If `m` is 0.
    pub const fn cyclic(m: usize) -> Self {
        assert!(m > 0, "a cyclic group needs at least one rotation");
        Group {
            rotations: m,
            mirrors: false,
        }
    }

    /// `D_m`, with `2 m` elements.
    ///
    /// # Panics
    /// If `m` is 0.
    pub const fn dihedral(m: usize) -> Self {
        assert!(m > 0, "a dihedral group needs at least one rotation");
        Group {
            rotations: m,
            mirrors: true,
        }
    }

    /// The number of elements.
    pub const fn order(self) -> usize {
        if self.mirrors {
            2 * self.rotations
        } else {
            self.rotations
        }
    }

    /// The number of rotations, `m`.
    pub const fn rotations(self) -> usize {
        self.rotations
    }

    /// The group has one element.
    pub const fn is_trivial(self) -> bool {
        self.rotations == 1 && !self.mirrors
    }

    /// There are mirrors: the group is dihedral.
    pub const fn has_mirrors(self) -> bool {
        self.mirrors
    }

    /// The neutral element, 0.
    pub const fn identity(self) -> usize {
        0
    }

    /// The rotation index `r` of element `g`, and whether the mirror comes before it.
    pub const fn split(self, g: usize) -> (usize, bool) {
        debug_assert!(g < self.order());
        (g % self.rotations, g >= self.rotations)
    }

    /// The element that rotates by `r` steps (any integer) after the mirror, if `mirrored`.
    pub(super) const fn element(self, r: usize, mirrored: bool) -> usize {
        r % self.rotations + if mirrored { self.rotations } else { 0 }
    }

    /// `g` after `h`.
    pub const fn product(self, g: usize, h: usize) -> usize {
        let ((a, mirror_g), (b, mirror_h)) = (self.split(g), self.split(h));
        // A rotation passes the mirror as its inverse: F R_b = R_-b F.
        let b = if mirror_g { self.rotations - b } else { b };
        self.element(a + b, mirror_g != mirror_h)
    }

    /// The element that undoes `g`. A rotated mirror is its own inverse.
    pub const fn inverse(self, g: usize) -> usize {
        match self.split(g) {
            (_, true) => g,
            (r, false) => self.element(self.rotations - r, false),
        }
    }

    /// The matrix of `g` acting on the column vector `(x, y)` with `y` up; exact integers for
    /// quarter turns.
    pub fn matrix(self, g: usize) -> [[f64; 2]; 2] {
        self.harmonic(1, g)
    }

    /// How `g` moves the circular harmonics `(cos l phi, sin l phi)` of frequency `l >= 1`, as
    /// `(T_g f)(x) = f(R_g^-1 x)`: column `j` holds the coordinates of the moved `j`-th function.
    ///
    /// The mirror takes the polar angle `phi` to `pi - phi`, hence the matrix
    /// `(-1)^l diag(1, -1)`; for `l = 1` the harmonics are `(x, y)` on the circle and this is the
    /// group's own matrix.
    pub(super) fn harmonic(self, l: usize, g: usize) -> [[f64; 2]; 2] {
        let (r, mirrored) = self.split(g);
        let (cos, sin) = cos_sin_of_turn(l * r % self.rotations, self.rotations);
        let (first, second) = match (mirrored, l.is_multiple_of(2)) {
            (false, _) => (1.0, 1.0),
            (true, true) => (1.0, -1.0),
            (true, false) => (-1.0, 1.0),
        };
        [[first * cos, -second * sin], [first * sin, second * cos]]
    }

    /// Every element maps the pixel grid to itself: C1, C2, C4, D1, D2, D4.
    pub const fn on_grid(self) -> bool {
        matches!(self.rotations, 1 | 2 | 4)
    }

    /// The symmetry of the pixel grid that `g` is, or `None` if it is none. Groups that are not
    /// [`on_grid`](Self::on_grid) have such elements too, the identity among them.
    pub fn grid_symmetry(self, g: usize) -> Option<GridSymmetry> {
        let (r, mirrored) = self.split(g);
        (4 * r)
            .is_multiple_of(self.rotations)
            .then(|| GridSymmetry::new((4 * r / self.rotations) as u8, mirrored))
    }

    /// All irreducible real representations: by rising frequency, even before odd.
    pub fn irreps(self) -> Vec<Irrep> {
        Irrep::all(self)
    }
}

/// Cosine and sine of `2 pi k / m`, exact for quarter turns.
fn cos_sin_of_turn(k: usize, m: usize) -> (f64, f64) {
    match 4 * k {
        0 => (1.0, 0.0),
        quarters if quarters == m => (0.0, 1.0),
        quarters if quarters == 2 * m => (-1.0, 0.0),
        quarters if quarters == 3 * m => (0.0, -1.0),
        _ => {
            let (sin, cos) = (TAU * k as f64 / m as f64).sin_cos();
            (cos, sin)
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.mirrors { 'D' } else { 'C' };
        // Through a string, so that widths in format specifications work.
        f.pad(&format!("{family}{}", self.rotations))
    }
}

impl FromStr for Group {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let trimmed = text.trim();
        let rotations = trimmed
            .get(1..)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .filter(|m| (1..=MAX_ROTATIONS).contains(m));
        match (trimmed.chars().next(), rotations) {
            (Some('C' | 'c'), Some(m)) => Ok(Group::cyclic(m)),
            (Some('D' | 'd'), Some(m)) => Ok(Group::dihedral(m)),
            _ => Err(Error::Config(format!(
                "`{text}` is not a group: write C and the number of rotations (C1 has no symmetry, \
                 C4 has quarter turns), or D and the number of rotations for mirrors as well (D1, \
                 D4), with 1 to {MAX_ROTATIONS} rotations"
            ))),
        }
    }
}

impl From<Group> for String {
    fn from(group: Group) -> String {
        group.to_string()
    }
}

impl TryFrom<String> for Group {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::testing::{max_difference, some_groups};

    fn multiply(a: [[f64; 2]; 2], b: [[f64; 2]; 2]) -> [[f64; 2]; 2] {
        [0, 1].map(|i| [0, 1].map(|j| (0..2).map(|k| a[i][k] * b[k][j]).sum()))
    }

    #[test]
    fn the_group_axioms_hold() {
        for group in some_groups() {
            let e = group.identity();
            for g in 0..group.order() {
                assert_eq!(group.product(e, g), g);
                assert_eq!(group.product(g, e), g);
                assert_eq!(group.product(g, group.inverse(g)), e, "{group} {g}");
                for h in 0..group.order() {
                    for k in 0..group.order() {
                        assert_eq!(
                            group.product(group.product(g, h), k),
                            group.product(g, group.product(h, k)),
                            "{group}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn matrices_are_distinct_and_multiply_as_the_elements_do() {
        for group in some_groups() {
            for g in 0..group.order() {
                for h in 0..group.order() {
                    let product = multiply(group.matrix(g), group.matrix(h));
                    let expected = group.matrix(group.product(g, h));
                    let error = max_difference(product.as_flattened(), expected.as_flattened());
                    assert!(error <= 1e-15, "{group} {g} {h}: {error}");
                    assert_eq!(g == h, group.matrix(g) == group.matrix(h));
                }
            }
        }
    }

    #[test]
    fn elements_are_rotations_and_rotated_mirrors() {
        let rotated = |m: usize, r: usize, [x, y]: [f64; 2]| {
            let angle = y.atan2(x) + TAU * r as f64 / m as f64;
            [angle.cos(), angle.sin()].map(|v| v * x.hypot(y))
        };
        for group in [Group::cyclic(5), Group::dihedral(3), Group::dihedral(4)] {
            let m = group.rotations();
            for g in 0..group.order() {
                let [[a, b], [c, d]] = group.matrix(g);
                let point = [0.3, -0.8];
                let mirrored = if g >= m { [-0.3, -0.8] } else { point };
                let expected = rotated(m, g % m, mirrored);
                let moved = [a * point[0] + b * point[1], c * point[0] + d * point[1]];
                let error = max_difference(&moved, &expected);
                assert!(error <= 1e-15, "{group} {g}: {error}");
            }
        }
    }

    #[test]
    fn on_grid_groups_are_grid_symmetries() {
        for group in some_groups() {
            let all = (0..group.order()).all(|g| group.grid_symmetry(g).is_some());
            assert_eq!(group.on_grid(), all, "{group}");
            assert_eq!(group.on_grid(), Group::ON_GRID.contains(&group), "{group}");
            for g in 0..group.order() {
                if let Some(symmetry) = group.grid_symmetry(g) {
                    let integers = symmetry.matrix().map(|row| row.map(f64::from));
                    assert_eq!(integers, group.matrix(g), "{group} {g}");
                }
            }
        }
    }

    #[test]
    fn text_round_trips_and_errors_teach() {
        for group in some_groups() {
            assert_eq!(group.to_string().parse::<Group>().ok(), Some(group));
            let json = serde_json::to_string(&group).expect("a string");
            assert_eq!(json, format!("\"{group}\""));
            assert_eq!(serde_json::from_str::<Group>(&json).ok(), Some(group));
        }
        assert_eq!("c8".parse::<Group>().ok(), Some(Group::cyclic(8)));
        assert_eq!(" d2 ".parse::<Group>().ok(), Some(Group::dihedral(2)));
        for wrong in [
            "",
            "C",
            "C0",
            "Z4",
            "C-1",
            "C+4",
            "4",
            "D361",
            "é4",
            "C4x",
            "C99999999999999999999",
        ] {
            let message = wrong.parse::<Group>().expect_err(wrong).to_string();
            assert!(
                message.contains("C4") && message.contains(wrong),
                "{message}"
            );
        }
    }
}
