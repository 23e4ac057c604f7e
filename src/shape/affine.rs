//! Affine maps of the image plane, and the numbers by which kernels know them.

use super::Shape;
use crate::error::{Error, Result};
use std::f64::consts::FRAC_PI_2;

/// An affine map of the plane, `p -> M p + o`, in pixels about the image's centre: x to the right, y
/// up.
///
/// An image moves with it as `(T f)(x) = f(M^-1 (x - o))`, interpolated bilinearly and zero outside
/// its grid, which stays as it is: see [`crate::tape::Tape::warp`]. Where the map is a
/// [`GridSymmetry`](super::GridSymmetry) of a square image, the result is its permutation.
///
/// ```
/// use equilens::shape::Affine;
/// let turn = Affine::rotation(std::f64::consts::FRAC_PI_2);
/// let [x, y] = Affine::shift(3.0, 0.0).compose(turn).apply([1.0, 0.0]);
/// assert_eq!([x, y], [3.0, 1.0]);
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Affine {
    /// `M`, rows first, acting on `(x, y)`.
    pub matrix: [[f64; 2]; 2],
    /// `o`, in pixels.
    pub offset: [f64; 2],
}

impl Affine {
    /// Leaves every point where it is.
    pub const IDENTITY: Affine = Affine::linear([[1.0, 0.0], [0.0, 1.0]]);

    /// `p -> M p`, with the matrix rows first.
    pub const fn linear(matrix: [[f64; 2]; 2]) -> Self {
        Affine {
            matrix,
            offset: [0.0; 2],
        }
    }

    /// Counter-clockwise about the centre. Whole quarter turns, `k * FRAC_PI_2`, are exact.
    pub fn rotation(radians: f64) -> Self {
        let turns = (radians / FRAC_PI_2).round();
        // Small turns have an exact cosine of 1 and sine of 0 at 0; sin(pi / 2) of the whole
        // angle would leave a cosine of 6e-17.
        let (sin, cos) = (radians - turns * FRAC_PI_2).sin_cos();
        let [cos, sin] = match turns.rem_euclid(4.0) as u8 {
            0 => [cos, sin],
            1 => [-sin, cos],
            2 => [-cos, -sin],
            _ => [sin, -cos],
        };
        Affine::linear([[cos, -sin], [sin, cos]])
    }

    /// By `dx` pixels to the right and `dy` up.
    pub const fn shift(dx: f64, dy: f64) -> Self {
        Affine {
            offset: [dx, dy],
            ..Affine::IDENTITY
        }
    }

    /// `x -> -x`: left and right change places.
    pub const fn mirror() -> Self {
        Affine::scaling(-1.0, 1.0)
    }

    /// Enlarges by `sx` along x and by `sy` along y.
    pub const fn scaling(sx: f64, sy: f64) -> Self {
        Affine::linear([[sx, 0.0], [0.0, sy]])
    }

    /// `x -> x + k y`.
    pub const fn shear(k: f64) -> Self {
        Affine::linear([[1.0, k], [0.0, 1.0]])
    }

    /// Where a point goes.
    pub fn apply(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let row = |i: usize| self.matrix[i][0] * x + self.matrix[i][1] * y + self.offset[i];
        [row(0), row(1)]
    }

    /// The product `self * other`: first `other`, then `self`.
    pub fn compose(&self, other: Affine) -> Affine {
        let [[a, b], [c, d]] = self.matrix;
        let column = |j: usize| {
            let [x, y] = [other.matrix[0][j], other.matrix[1][j]];
            [a * x + b * y, c * x + d * y]
        };
        let ([xx, yx], [xy, yy]) = (column(0), column(1));
        Affine {
            matrix: [[xx, xy], [yx, yy]],
            offset: self.apply(other.offset),
        }
    }

    /// The map that undoes this one.
    ///
    /// # Errors
    /// [`Error::Config`] if there is none: a number is not finite, or the determinant is zero within
    /// the rounding of its two products.
    pub fn inverse(&self) -> Result<Affine> {
        let [[a, b], [c, d]] = self.matrix;
        let determinant = a * d - b * c;
        let rounding = 4.0 * f64::EPSILON * ((a * d).abs() + (b * c).abs());
        let inverse = Affine::linear([
            [d / determinant, -b / determinant],
            [-c / determinant, a / determinant],
        ]);
        let [x, y] = inverse.apply(self.offset);
        let inverse = Affine {
            offset: [-x, -y],
            ..inverse
        };
        // Written so that NaN is refused.
        if determinant.abs() > rounding && self.is_finite() && inverse.is_finite() {
            return Ok(inverse);
        }
        Err(Error::Config(format!(
            "the affine map with matrix {:?} and offset {:?} has no inverse (its determinant is {determinant:e}): images can be moved only by maps that can be undone, so choose scale factors that are not zero",
            self.matrix, self.offset
        )))
    }

    fn numbers(&self) -> [f64; 6] {
        let [[a, b], [c, d]] = self.matrix;
        let [x, y] = self.offset;
        [a, b, c, d, x, y]
    }

    fn is_finite(&self) -> bool {
        self.numbers().iter().all(|v| v.is_finite())
    }

    /// The matrix on (column, row), row by row, and the offset: rows grow downward.
    fn on_pixels(&self) -> ([f64; 4], [f64; 2]) {
        let [[a, b], [c, d]] = self.matrix;
        let [x, y] = self.offset;
        ([a, -b, -c, d], [x, -y])
    }
}

/// The affine maps of a batch of images as an array of shape [`Maps::shape`], the second operand of
/// [`crate::tape::Tape::warp`]: run-time data, so that a plan is compiled once for all maps.
///
/// Each image has five rows of four numbers, computed in f64. They act on centred pixel indices
/// (column - (W-1)/2, row - (H-1)/2):
///
/// | row | numbers |
/// | --- | --- |
/// | 0 | coarse part of the inverse map's matrix: column from column, column from row, row from column, row from row |
/// | 1 | fine part of the same |
/// | 2 | coarse parts of the inverse map's offset (column, row), then their fine parts |
/// | 3 | the map's matrix, in the order of row 0 |
/// | 4 | the map's offset (column, row), then two zeros |
///
/// A coarse part is a multiple of 2^-11 (of 2^-12 for offsets), so that in f32 its product with a
/// centred index, a multiple of 1/2, is exact on images of up to 4096 pixels, and so are the sums of
/// those; the fine part is what is left. The place where a pixel is read comes out right to about
/// 1e-7 pixels in place of 1e-4, and exactly for quarter turns, mirrors and whole shifts.
pub struct Maps;

/// The largest magnitude of a number of a map or of its inverse: products with image extents stay
/// far below what f32 holds.
const LARGEST: f64 = 1e12;

impl Maps {
    /// Numbers of one image.
    pub const LEN: usize = 20;

    /// `n 1 5 4`.
    pub const fn shape(n: usize) -> Shape {
        Shape::new(n, 1, 5, 4)
    }

    /// The array for one map per image of the batch.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first map that has no inverse, or that has (or whose inverse
    /// has) a number beyond 1e12.
    pub fn of(maps: &[Affine]) -> Result<Vec<f32>> {
        let mut array = Vec::with_capacity(Maps::LEN * maps.len());
        for (i, map) in maps.iter().enumerate() {
            let inverse = (map.inverse()).map_err(|e| Error::Config(format!("image {i}: {e}")))?;
            let mut numbers = map.numbers().into_iter().chain(inverse.numbers());
            if let Some(large) = numbers.find(|v| v.abs() > LARGEST) {
                return Err(Error::Config(format!(
                    "image {i}: the affine map with matrix {:?} and offset {:?}, or its inverse, has the number {large:e}: beyond {LARGEST:e} nothing of an image is left, so choose a scale factor nearer to 1 or a smaller shift",
                    map.matrix, map.offset
                )));
            }
            let (matrix, offset) = inverse.on_pixels();
            let matrix = matrix.map(|v| split(v, 2048.0));
            let offset = offset.map(|v| split(v, 4096.0));
            array.extend(matrix.map(|[coarse, _]| coarse));
            array.extend(matrix.map(|[_, fine]| fine));
            array.extend(offset.map(|[coarse, _]| coarse));
            array.extend(offset.map(|[_, fine]| fine));
            let (matrix, offset) = map.on_pixels();
            array.extend(matrix.map(|v| v as f32));
            array.extend(offset.map(|v| v as f32));
            array.extend([0.0; 2]);
        }
        Ok(array)
    }

    /// Where the centred pixel (column, row) of an image moved by the map with these [`Maps::LEN`]
    /// numbers is read: a centred column and row, fractional.
    pub fn source(numbers: &[f64], [column, row]: [f64; 2]) -> [f64; 2] {
        let matrix = |i: usize| numbers[i] + numbers[4 + i];
        let offset = |i: usize| numbers[8 + i] + numbers[10 + i];
        [
            matrix(0) * column + matrix(1) * row + offset(0),
            matrix(2) * column + matrix(3) * row + offset(1),
        ]
    }
}

/// The nearest multiple of `1 / steps`, and the rest.
fn split(value: f64, steps: f64) -> [f32; 2] {
    let coarse = ((value * steps).round() / steps) as f32;
    [coarse, (value - f64::from(coarse)) as f32]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::GridSymmetry;

    fn assert_near(found: Affine, expected: Affine, tolerance: f64) {
        let pairs = found.numbers().into_iter().zip(expected.numbers());
        for (f, e) in pairs {
            let near = (f - e).abs() <= tolerance;
            assert!(near, "{found:?} instead of {expected:?}");
        }
    }

    #[test]
    fn quarter_turns_and_mirrors_are_the_grid_symmetries() {
        for g in GridSymmetry::ALL {
            let turn = Affine::rotation(f64::from(g.quarter_turns) * FRAC_PI_2);
            let map = match g.flip {
                true => turn.compose(Affine::mirror()),
                false => turn,
            };
            let matrix = g.matrix().map(|row| row.map(f64::from));
            assert_eq!(map, Affine::linear(matrix), "{g:?}");
        }
        assert_eq!(
            Affine::rotation(-5.0 * FRAC_PI_2),
            Affine::rotation(3.0 * FRAC_PI_2)
        );
    }

    #[test]
    fn any_angle_has_its_cosine_and_sine() {
        for k in -40..40 {
            let angle = 0.37 * f64::from(k);
            let (sin, cos) = angle.sin_cos();
            assert_near(
                Affine::rotation(angle),
                Affine::linear([[cos, -sin], [sin, cos]]),
                1e-14,
            );
        }
    }

    #[test]
    fn composition_applies_the_second_first() {
        let first = Affine::shear(0.5).compose(Affine::shift(1.0, -2.0));
        let then = Affine::scaling(2.0, 3.0).compose(Affine::rotation(0.7));
        let p = [0.3, -1.7];
        let [both, each] = [then.compose(first).apply(p), then.apply(first.apply(p))];
        assert!((0..2).all(|i| (both[i] - each[i]).abs() < 1e-14));
        // The point (1, 1) shears to (1.5, 1): what lies higher moves to the right.
        assert_eq!(Affine::shear(0.5).apply([1.0, 1.0]), [1.5, 1.0]);
    }

    #[test]
    fn the_inverse_undoes_and_is_refused_where_there_is_none() {
        let map = Affine::shift(3.0, -1.5)
            .compose(Affine::rotation(2.0))
            .compose(Affine::shear(-0.4))
            .compose(Affine::scaling(1e-3, 20.0));
        let inverse = map.inverse().expect("invertible");
        assert_near(map.compose(inverse), Affine::IDENTITY, 1e-10);
        assert_near(inverse.compose(map), Affine::IDENTITY, 1e-10);
        for singular in [
            Affine::scaling(0.0, 1.0),
            Affine::linear([[1.0, 2.0], [0.1, 0.2]]),
            Affine::scaling(f64::NAN, 1.0),
            Affine::shift(f64::INFINITY, 0.0),
            Affine::scaling(1e-200, 1e-200),
        ] {
            let error = singular.inverse().expect_err("refused");
            assert!(matches!(error, Error::Config(_)), "{error}");
        }
        // Large and small scales are no reason.
        assert!(Affine::scaling(1e-12, 1e12).inverse().is_ok());
        for extreme in [Affine::scaling(1e-13, 1.0), Affine::shift(0.0, 2e12)] {
            let error = Maps::of(&[Affine::IDENTITY, extreme]).expect_err("refused");
            assert!(error.to_string().starts_with("image 1:"), "{error}");
        }
    }

    #[test]
    fn the_array_holds_the_inverse_to_eleven_digits_and_more() {
        let map = Affine::shift(12.3, -4.56)
            .compose(Affine::rotation(1.1))
            .compose(Affine::scaling(0.7, 1.9));
        let array = Maps::of(&[Affine::IDENTITY, map]).expect("invertible");
        assert_eq!(array.len(), Maps::shape(2).elements());
        let numbers: Vec<f64> = array[Maps::LEN..].iter().map(|&v| f64::from(v)).collect();
        let inverse = map.inverse().expect("invertible");
        for (column, row) in [(0.0, 0.0), (200.5, -311.5), (-7.0, 99.0)] {
            let [x, y] = inverse.apply([column, -row]);
            let [c, r] = Maps::source(&numbers, [column, row]);
            assert!(
                (c - x).abs() < 1e-8 && (r + y).abs() < 1e-8,
                "{c} {x}, {r} {y}"
            );
        }
        // The coarse parts are on their grids, the fine parts below them.
        assert!(numbers[..4].iter().all(|v| (v * 2048.0).fract() == 0.0));
        assert!(numbers[8..10].iter().all(|v| (v * 4096.0).fract() == 0.0));
        assert!(numbers[4..8].iter().all(|v| v.abs() <= 1.0 / 4096.0));
        // Rows 3 and 4 are the map itself, rows growing downward.
        let [column, row] = [0, 2].map(|i| numbers[12 + i] * 2.0 - numbers[13 + i] * 3.0);
        let [x, y] = map.apply([2.0, 3.0]);
        assert!((column + numbers[16] - x).abs() < 1e-5);
        assert!((row + numbers[17] + y).abs() < 1e-5);
    }
}
