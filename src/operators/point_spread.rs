//! Point spread functions: what a blur makes of one bright pixel.

use crate::error::{Error, Result};

/// The kernel of a convolution, with sum 1. Entry `(rows / 2, columns / 2)`, rounded down, is its
/// origin: a bright pixel there leaves the blurred one in its place.
#[derive(Clone, PartialEq, Debug)]
pub struct PointSpread {
    size: [usize; 2],
    values: Vec<f64>,
}

impl PointSpread {
    /// A kernel of `size` = [rows, columns], row-major, divided by its sum. Entries may be negative.
    ///
    /// # Errors
    /// [`Error::Shape`] if `values` has another size or is empty; [`Error::NotFinite`] if a value
    /// is; [`Error::Config`] if the sum is not clearly positive.
    pub fn new(size: [usize; 2], values: &[f64]) -> Result<Self> {
        let [rows, columns] = size;
        if values.is_empty() || values.len() != rows * columns {
            return Err(Error::shape(
                "point_spread",
                format!("{} values for {rows}x{columns}", values.len()),
            ));
        }
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            return Err(Error::NotFinite(format!(
                "value {at} of the kernel is {}",
                values[at]
            )));
        }
        let sum: f64 = values.iter().sum();
        let size_of_sum: f64 = values.iter().map(|v| v.abs()).sum();
        // Where the signs nearly cancel, dividing by the sum would blow up rounding.
        if sum.is_nan() || sum <= 1e-6 * size_of_sum || !size_of_sum.is_finite() {
            return Err(Error::Config(format!(
                "operator.kernel: its sum is {sum}; a blur's kernel has a positive one, to which it is normalised"
            )));
        }
        Ok(PointSpread {
            size,
            values: values.iter().map(|v| v / sum).collect(),
        })
    }

    /// `size` by `size` samples of a Gaussian with standard deviation `sigma` (pixels) about their
    /// middle.
    ///
    /// # Errors
    /// Those of [`PointSpread::new`]: no samples, or none that is not 0.
    pub fn gaussian(sigma: f64, size: usize) -> Result<Self> {
        let middle = (size as f64 - 1.0) / 2.0;
        let one = |i: usize| (-0.5 * ((i as f64 - middle) / sigma).powi(2)).exp();
        let line: Vec<f64> = (0..size).map(one).collect();
        let row = |a: &f64| line.iter().map(move |b| a * b).collect::<Vec<_>>();
        let values: Vec<f64> = line.iter().flat_map(row).collect();
        PointSpread::new([size, size], &values)
    }

    /// A camera that moves evenly by `length` pixels (at least 1) in the direction `degrees`,
    /// counter-clockwise from the rows' direction: `max(1 - d, 0)` at the distance `d` from the
    /// segment of length `length - 1` about the middle, as MATLAB's `fspecial('motion')` has it.
    ///
    /// # Errors
    /// Those of [`PointSpread::new`] if an argument is not finite.
    pub fn motion(length: f64, degrees: f64) -> Result<Self> {
        let half = (length - 1.0).max(0.0) / 2.0;
        let (sin, cos) = degrees.to_radians().sin_cos();
        // Pixels nearer than 1 to the segment; the rounding of a sine that should be 0 is none.
        let reach = |along: f64| (half * along.abs() + 1.0 - 1e-9).ceil().max(1.0) as usize - 1;
        let (up, right) = (reach(sin), reach(cos));
        let size = [2 * up + 1, 2 * right + 1];
        let weight = |i: usize| {
            let (x, y) = (
                (i % size[1]) as f64 - right as f64,
                up as f64 - (i / size[1]) as f64,
            );
            let along = (x * cos + y * sin).clamp(-half, half);
            (1.0 - (x - along * cos).hypot(y - along * sin)).max(0.0)
        };
        let values: Vec<f64> = (0..size[0] * size[1]).map(weight).collect();
        PointSpread::new(size, &values)
    }

    /// The mean over `size` = [rows, columns].
    ///
    /// # Errors
    /// Those of [`PointSpread::new`]: no pixels.
    pub fn uniform(size: [usize; 2]) -> Result<Self> {
        PointSpread::new(size, &vec![1.0; size[0] * size[1]])
    }

    /// Rows and columns.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// The entries, row-major.
    pub fn values(&self) -> &[f64] {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_have_sum_one_and_their_shape() {
        let gaussian = PointSpread::gaussian(1.5, 6).expect("a kernel");
        assert_eq!(gaussian.size(), [6, 6]);
        // Symmetric about the middle of an even number of samples.
        let at = |r: usize, c: usize| gaussian.values()[r * 6 + c];
        let ratio = at(2, 1) / at(2, 2);
        assert!((ratio - (-(1.5_f64.powi(2) - 0.25) / 4.5).exp()).abs() < 1e-15);
        assert!((at(2, 1) - at(3, 4)).abs() < 1e-16);
        let motion = |length, degrees| PointSpread::motion(length, degrees).expect("a kernel");
        for kernel in [
            gaussian.clone(),
            motion(4.5, 30.0),
            PointSpread::uniform([2, 3]).expect("a kernel"),
        ] {
            assert!((kernel.values().iter().sum::<f64>() - 1.0).abs() < 1e-14);
        }
        // Along the axes a row and a column of equal entries; half a pixel more adds halves.
        assert_eq!(
            motion(3.0, 0.0),
            PointSpread::uniform([1, 3]).expect("a kernel")
        );
        assert_eq!(
            motion(1.0, 77.0),
            PointSpread::uniform([1, 1]).expect("a kernel")
        );
        assert_eq!(motion(3.0, 90.0).size(), [3, 1]);
        assert_eq!(motion(3.0, 180.0).size(), [1, 3]);
        let expected = [0.5, 1.0, 1.0, 1.0, 0.5].map(|v| v / 4.0);
        for (found, expected) in motion(4.0, 0.0).values().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-15);
        }
        // Counter-clockwise: up on the right.
        let steep = motion(5.0, 45.0);
        assert_eq!(steep.size(), [5, 5]);
        assert_eq!(steep.values()[0], 0.0);
        assert!(steep.values()[3 + 5] > 10.0 * steep.values()[1 + 5]);
    }

    #[test]
    fn unusable_kernels_are_typed_errors() {
        let new = PointSpread::new;
        assert!(matches!(new([2, 2], &[1.0; 3]), Err(Error::Shape { .. })));
        assert!(matches!(new([0, 2], &[]), Err(Error::Shape { .. })));
        assert!(matches!(
            new([1, 2], &[1.0, f64::NAN]),
            Err(Error::NotFinite(_))
        ));
        for values in [[0.0, 0.0], [1.0, -1.0], [-1.0, -1.0], [1.0, -1.0 + 1e-9]] {
            assert!(
                matches!(new([1, 2], &values), Err(Error::Config(_))),
                "{values:?}"
            );
        }
        assert!(new([1, 2], &[2.0, -1.0]).is_ok());
    }
}
