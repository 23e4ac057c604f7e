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
