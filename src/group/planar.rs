//! The groups of the plane that keep a point: rotations, and rotations with mirrors.

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

/// A group of the plane: cyclic `C_m`, the rotations by multiples of `2 pi / m`; dihedral `D_m`,
/// those rotations with and without a mirror; or a continuous one, `SO(2)` with all rotations and
/// `O(2)` with the mirrors as well.
///
/// An element of a finite group is an index below [`order`](Self::order): `r` is the rotation by
/// `2 pi r / m` counter-clockwise, and `m + r` is that rotation after the mirror `x -> -x`.
/// Functions that take elements need them below the order. A continuous group has representations
/// and harmonic kernel bases, but no list of elements: [`is_finite`](Self::is_finite) tells, and
/// [`finite`](Self::finite) is the error for what needs one.
///
/// As text (`Display`, `FromStr`, serde) a group is `C4`, `D4`, `SO2` or `O2`; reading ignores case.
/// `C1` is the trivial group.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Group {
    rotations: Rotations,
    mirrors: bool,
}

/// How many rotations a group has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Rotations {
    /// Those by multiples of a full turn over this number.
    Finite(usize),
    /// All of them.
    All,
}

impl Group {
    /// The group without symmetry, `C1`.
    pub const TRIVIAL: Group = Group::cyclic(1);

    /// All rotations.
    pub const SO2: Group = Group {
        rotations: Rotations::All,
        mirrors: false,
    };

    /// All rotations and mirrors.
    pub const O2: Group = Group {
        rotations: Rotations::All,
        mirrors: true,
    };

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
            rotations: Rotations::Finite(m),
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
            rotations: Rotations::Finite(m),
            mirrors: true,
        }
    }

    /// There are finitely many elements: the group is `C_m` or `D_m`.
    pub const fn is_finite(self) -> bool {
        matches!(self.rotations, Rotations::Finite(_))
    }

    /// This group, for `what` needs one with a list of elements.
    ///
    /// # Errors
    /// [`Error::Config`] if the group is continuous.
    pub fn finite(self, what: &str) -> Result<Group> {
        if self.is_finite() {
            return Ok(self);
        }
        let [family, example] = match self.mirrors {
            false => ['C', '8'],
            true => ['D', '4'],
        };
        Err(Error::Config(format!(
            "{what} needs a finite group, and {self} has a rotation for every angle: choose a \
             finite one, such as {family}{example}, or work with irreps of {self} and the harmonic \
             kernel basis"
        )))
    }

    /// The number of elements.
    ///
    /// # Panics
    /// If the group is [continuous](Self::is_finite).
    #[track_caller]
    pub const fn order(self) -> usize {
        if self.mirrors {
            2 * self.rotations()
        } else {
            self.rotations()
        }
    }

    /// The number of rotations, `m`.
    ///
    /// # Panics
    /// If the group is [continuous](Self::is_finite).
    #[track_caller]
    pub const fn rotations(self) -> usize {
        match self.rotations {
            Rotations::Finite(m) => m,
            Rotations::All => panic!("a continuous group has no number of rotations"),
        }
    }

    /// The group has one element.
    pub const fn is_trivial(self) -> bool {
        matches!(self.rotations, Rotations::Finite(1)) && !self.mirrors
    }

    /// There are mirrors: the group is dihedral, or `O(2)`.
    pub const fn has_mirrors(self) -> bool {
        self.mirrors
    }

    /// Every element of `other` is one of this group.
    pub const fn contains(self, other: Group) -> bool {
        let rotations = match (self.rotations, other.rotations) {
            (Rotations::All, _) => true,
            (Rotations::Finite(_), Rotations::All) => false,
            (Rotations::Finite(m), Rotations::Finite(n)) => m.is_multiple_of(n),
        };
        rotations && (self.mirrors || !other.mirrors)
    }

    /// The element of this group that element `g` of the finite subgroup `other` is, both groups
    /// being finite.
    pub(super) const fn element_of(self, other: Group, g: usize) -> usize {
        let (r, mirrored) = other.split(g);
        self.element(r * (self.rotations() / other.rotations()), mirrored)
    }

    /// A finite group that stands for this one as long as angular frequencies do not exceed
    /// `frequency`: itself, or of a continuous one `frequency + 1` rotations. Then what these
    /// rotations leave where it is, all rotations do: the mean of `exp(i l phi)` over them is 0 for
    /// every `l` from 1 to `frequency`, as it is over the circle.
    pub(super) const fn resolving(self, frequency: usize) -> Group {
        match (self.rotations, self.mirrors) {
            (Rotations::Finite(_), _) => self,
            (Rotations::All, false) => Group::cyclic(frequency + 1),
            (Rotations::All, true) => Group::dihedral(frequency + 1),
        }
    }

    /// The neutral element, 0.
    pub const fn identity(self) -> usize {
        0
    }

    /// The rotation index `r` of element `g`, and whether the mirror comes before it.
    pub const fn split(self, g: usize) -> (usize, bool) {
        debug_assert!(g < self.order());
        (g % self.rotations(), g >= self.rotations())
    }

    /// The element that rotates by `r` steps (any integer) after the mirror, if `mirrored`.
    pub(super) const fn element(self, r: usize, mirrored: bool) -> usize {
        r % self.rotations() + if mirrored { self.rotations() } else { 0 }
    }

    /// `g` after `h`.
    pub const fn product(self, g: usize, h: usize) -> usize {
        let ((a, mirror_g), (b, mirror_h)) = (self.split(g), self.split(h));
        // A rotation passes the mirror as its inverse: F R_b = R_-b F.
        let b = if mirror_g { self.rotations() - b } else { b };
        self.element(a + b, mirror_g != mirror_h)
    }

    /// The element that undoes `g`. A rotated mirror is its own inverse.
    pub const fn inverse(self, g: usize) -> usize {
        match self.split(g) {
            (_, true) => g,
            (r, false) => self.element(self.rotations() - r, false),
        }
    }

    /// The matrix of `g` acting on the column vector `(x, y)` with `y` up; exact integers for
    /// quarter turns.
    pub fn matrix(self, g: usize) -> [[f64; 2]; 2] {
        self.harmonic(1, g)
    }

    /// How `g` moves the circular harmonics `(cos l phi, sin l phi)` of frequency `l >= 1`, as
    /// `(T_g f)(x) = f(R_g^-1 x)`: column `j` holds the coordinates of the moved `j`-th function.
    /// For `l = 1` the harmonics are `(x, y)` on the circle and this is the group's own matrix.
    pub(super) fn harmonic(self, l: usize, g: usize) -> [[f64; 2]; 2] {
        let (r, mirrored) = self.split(g);
        turned_harmonic(
            l,
            cos_sin_of_turn(l * r % self.rotations(), self.rotations()),
            mirrored,
        )
    }

    /// Every element maps the pixel grid to itself: C1, C2, C4, D1, D2, D4.
    pub const fn on_grid(self) -> bool {
        matches!(self.rotations, Rotations::Finite(1 | 2 | 4))
    }

    /// The symmetry of the pixel grid that `g` is, or `None` if it is none. Groups that are not
    /// [`on_grid`](Self::on_grid) have such elements too, the identity among them.
    pub fn grid_symmetry(self, g: usize) -> Option<GridSymmetry> {
        let (r, mirrored) = self.split(g);
        let m = self.rotations();
        (4 * r)
            .is_multiple_of(m)
            .then(|| GridSymmetry::new((4 * r / m) as u8, mirrored))
    }

    /// All irreducible real representations of a finite group: by rising frequency, even before
    /// odd.
    ///
    /// # Panics
    /// If the group is [continuous](Self::is_finite), which has infinitely many.
    #[track_caller]
    pub fn irreps(self) -> Vec<Irrep> {
        self.irreps_up_to(self.rotations() / 2)
    }

    /// The irreducible real representations with angular frequencies up to `frequency`: by rising
    /// frequency, even before odd.
    pub fn irreps_up_to(self, frequency: usize) -> Vec<Irrep> {
        Irrep::up_to(self, frequency)
    }
}

/// The matrix on the circular harmonics of frequency `l` of the rotation for whose angle times `l`
/// the cosine and sine are given, after the mirror, if `mirrored`.
///
/// The mirror takes the polar angle `phi` to `pi - phi`, hence the matrix `(-1)^l diag(1, -1)`.
pub(super) fn turned_harmonic(l: usize, (cos, sin): (f64, f64), mirrored: bool) -> [[f64; 2]; 2] {
    let (first, second) = match (mirrored, l.is_multiple_of(2)) {
        (false, _) => (1.0, 1.0),
        (true, true) => (1.0, -1.0),
        (true, false) => (-1.0, 1.0),
    };
    [[first * cos, -second * sin], [first * sin, second * cos]]
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
        // Through a string, so that widths in format specifications work.
        f.pad(&match (self.rotations, self.mirrors) {
            (Rotations::Finite(m), false) => format!("C{m}"),
            (Rotations::Finite(m), true) => format!("D{m}"),
            (Rotations::All, false) => "SO2".to_string(),
            (Rotations::All, true) => "O2".to_string(),
        })
    }
}

impl FromStr for Group {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let trimmed = text.trim();
        match trimmed.to_ascii_lowercase().as_str() {
            "so2" | "so(2)" => return Ok(Group::SO2),
            "o2" | "o(2)" => return Ok(Group::O2),
            _ => {}
        }
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
                 D4), with 1 to {MAX_ROTATIONS} rotations; SO2 has all rotations, O2 all mirrors as \
                 well"
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
    fn subgroups_are_those_of_the_matrices() {
        for group in some_groups() {
            for other in some_groups() {
                let matrix = |g| other.matrix(g);
                let near = |h| {
                    let differences = |g| {
                        max_difference(matrix(h).as_flattened(), group.matrix(g).as_flattened())
                    };
                    (0..group.order()).find(|&g| differences(g) < 1e-9)
                };
                let found: Option<Vec<usize>> = (0..other.order()).map(near).collect();
                assert_eq!(group.contains(other), found.is_some(), "{group} {other}");
                for (h, g) in found.into_iter().flatten().enumerate() {
                    assert_eq!(group.element_of(other, h), g, "{group} {other}");
                }
            }
            assert!(Group::O2.contains(group) && !group.contains(Group::SO2));
            assert_eq!(Group::SO2.contains(group), !group.has_mirrors());
        }
        assert!(Group::O2.contains(Group::SO2) && !Group::SO2.contains(Group::O2));
    }

    #[test]
    fn continuous_groups_have_no_list_of_elements() {
        for group in [Group::SO2, Group::O2] {
            assert!(!group.is_finite() && !group.on_grid() && !group.is_trivial());
            let message = group
                .finite("a regular field")
                .expect_err("infinite")
                .to_string();
            for word in ["a regular field", &group.to_string(), "finite group"] {
                assert!(message.contains(word), "{message}");
            }
        }
        assert_eq!(Group::cyclic(3).finite("it").ok(), Some(Group::cyclic(3)));
        assert!(Group::TRIVIAL.is_trivial() && !Group::dihedral(1).is_trivial());
    }

    #[test]
    fn text_round_trips_and_errors_teach() {
        for group in some_groups().chain([Group::SO2, Group::O2]) {
            assert_eq!(group.to_string().parse::<Group>().ok(), Some(group));
            let json = serde_json::to_string(&group).expect("a string");
            assert_eq!(json, format!("\"{group}\""));
            assert_eq!(serde_json::from_str::<Group>(&json).ok(), Some(group));
        }
        assert_eq!("c8".parse::<Group>().ok(), Some(Group::cyclic(8)));
        assert_eq!("so(2)".parse::<Group>().ok(), Some(Group::SO2));
        assert_eq!("o2".parse::<Group>().ok(), Some(Group::O2));
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
            "SO3",
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
