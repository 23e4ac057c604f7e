//! Plain f64 versions of the GPU kernels: the definition that every kernel is compared with.
//!
//! Each file has the name of its family in `kernels`. The functions are written for reading, loop
//! for loop from the formula, on row-major slices with four axes ([`Shape`]). Shapes are checked
//! where operations are recorded; a slice whose length disagrees with its shape is a bug in the
//! caller and panics here.
//!
//! A linear operation and its transposes are written from one enumeration of the nonzero weights,
//! so that a transpose uses the same weights by construction.

pub mod adam;
pub mod complex;
pub mod conv2d;
pub mod elementwise;
pub mod filter;
pub mod fourier;
pub mod gather;
pub mod layout;
pub mod matmul;
pub mod multiply_add;
pub mod random;
pub mod ray_transform;
pub mod reduce;
pub mod symmetric_conv;
pub mod warp;
pub mod winograd;

use crate::shape::Shape;

/// A result, with the size of the terms that it is the sum of.
///
/// The rounding error of any floating-point evaluation of `sum of terms` is bounded by a small
/// multiple of `epsilon * sum of |terms|`, whatever cancels in the value; so `magnitude` is what a
/// kernel's error is measured against.
#[derive(Clone, PartialEq, Debug)]
pub struct Twin {
    /// The result, row-major.
    pub value: Vec<f64>,
    /// For each element of `value`, the sum of the absolute values of its terms.
    pub magnitude: Vec<f64>,
}

impl Twin {
    /// `len` empty sums.
    fn zeros(len: usize) -> Self {
        Twin {
            value: vec![0.0; len],
            magnitude: vec![0.0; len],
        }
    }

    /// Adds `term` to the sum at `index`.
    fn add(&mut self, index: usize, term: f64) {
        self.value[index] += term;
        self.magnitude[index] += term.abs();
    }
}

/// All indices of `shape` in row-major order.
fn indices(shape: Shape) -> impl Iterator<Item = [usize; 4]> {
    let Shape([n, c, h, w]) = shape;
    (0..n * c * h * w).map(move |i| [i / (c * h * w), i / (h * w) % c, i / w % h, i % w])
}

/// The position of `index` in a row-major array of `shape`.
fn offset(shape: Shape, index: [usize; 4]) -> usize {
    let strides = shape.strides();
    (0..4).map(|axis| strides[axis] * index[axis]).sum()
}

/// Panics unless `slice` holds exactly `shape`.
#[track_caller]
fn assert_len(slice: &[f64], shape: Shape) {
    assert_eq!(slice.len(), shape.elements(), "elements of shape {shape}");
}

#[cfg(test)]
mod testing {
    //! What the tests of the twins share.

    /// `len` numbers, uniform in (-1, 1).
    pub fn noise(seed: u64, len: usize) -> Vec<f64> {
        let uniform = super::random::uniform(super::random::Draw::new(seed, 0), len);
        uniform.into_iter().map(|u| 2.0 * u - 1.0).collect()
    }

    pub fn dot(a: &[f64], b: &[f64]) -> f64 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    /// Every element within `tolerance`; NaN fails.
    #[track_caller]
    pub fn assert_close(actual: &[f64], expected: &[f64], tolerance: f64) {
        assert_eq!(actual.len(), expected.len());
        for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
            let close = (a - e).abs() <= tolerance;
            assert!(close, "element {i}: {a} instead of {e}");
        }
    }

    /// `<A x, y> = <x, A^T y>` to 1e-13, relative to the sizes of the vectors.
    #[track_caller]
    pub fn assert_adjoint(ax: &[f64], y: &[f64], x: &[f64], aty: &[f64]) {
        let scale = (dot(ax, ax) * dot(y, y)).sqrt();
        let error = (dot(ax, y) - dot(x, aty)).abs();
        assert!(scale > 0.0 && error <= 1e-13 * scale, "{error} of {scale}");
    }

    /// The matrix of a linear map, column by column (each inner `Vec` is a column).
    pub fn columns(inputs: usize, map: impl Fn(&[f64]) -> Vec<f64>) -> Vec<Vec<f64>> {
        let mut unit = vec![0.0; inputs];
        (0..inputs)
            .map(|i| {
                unit[i] = 1.0;
                let column = map(&unit);
                unit[i] = 0.0;
                column
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_run_in_row_major_order() {
        let shape = Shape::new(2, 3, 4, 5);
        let all: Vec<_> = indices(shape).collect();
        assert_eq!(all.len(), 120);
        assert_eq!(all[0], [0, 0, 0, 0]);
        assert_eq!(all[119], [1, 2, 3, 4]);
        assert!(
            all.iter()
                .enumerate()
                .all(|(i, &index)| offset(shape, index) == i)
        );
    }

    #[test]
    fn magnitude_does_not_cancel() {
        let mut sum = Twin::zeros(1);
        sum.add(0, 2.0);
        sum.add(0, -1.5);
        assert_eq!((sum.value[0], sum.magnitude[0]), (0.5, 3.5));
    }
}
