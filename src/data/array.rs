//! Host arrays: a shape and row-major values, as they come from and go to `.npy` files.

use crate::error::{Error, Result};
use num_complex::Complex32;

/// A dense row-major array of one to four axes.
///
/// Invariant of every array this crate makes: the product of `shape` equals `data.len()`.
#[derive(Clone, PartialEq, Debug)]
pub struct Array<T = f32> {
    /// Extents, slowest axis first: `[H, W]` or `[N, H, W]` for images.
    pub shape: Vec<usize>,
    /// Values, row-major.
    pub data: Vec<T>,
}

/// An array of complex numbers in single precision.
pub type ComplexArray = Array<Complex32>;

impl<T> Array<T> {
    /// An array of `shape` holding `data`.
    ///
    /// # Errors
    /// [`Error::Shape`] if `data` does not have as many values as `shape` asks for.
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<T>) -> Result<Self> {
        let shape = shape.into();
        let elements = shape.iter().try_fold(1_usize, |n, &e| n.checked_mul(e));
        if elements != Some(data.len()) {
            return Err(Error::shape(
                "array",
                format!("the shape {shape:?} does not hold {} values", data.len()),
            ));
        }
        Ok(Array { shape, data })
    }

    /// The last two extents and the number of images before them: `[N, H, W]` for a stack of one
    /// or more axes (`[H, W]` counts as one image, a vector as one row).
    pub fn as_stack(&self) -> [usize; 3] {
        let (images, last) = self.shape.split_at(self.shape.len().saturating_sub(2));
        let [h, w] = match *last {
            [h, w] => [h, w],
            [w] => [1, w],
            _ => [1, 1],
        };
        [images.iter().product(), h, w]
    }
}

impl Array {
    /// The same values as complex numbers with imaginary part zero.
    pub fn to_complex(&self) -> ComplexArray {
        Array {
            shape: self.shape.clone(),
            data: self
                .data
                .iter()
                .map(|&re| Complex32::new(re, 0.0))
                .collect(),
        }
    }
}

/// What a `.npy` file may hold.
#[derive(Clone, PartialEq, Debug)]
pub enum AnyArray {
    /// Real numbers.
    Real(Array),
    /// Complex numbers.
    Complex(ComplexArray),
}

impl AnyArray {
    /// Extents, slowest axis first.
    pub fn shape(&self) -> &[usize] {
        match self {
            AnyArray::Real(array) => &array.shape,
            AnyArray::Complex(array) => &array.shape,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_must_hold_the_values() {
        assert!(Array::new([2, 3], vec![0.0; 6]).is_ok());
        assert!(Array::new([2, 3], vec![0.0; 5]).is_err());
        assert!(Array::new([usize::MAX, 2], vec![0.0; 6]).is_err());
    }

    #[test]
    fn leading_axes_count_images() {
        let stack = |shape: &[usize]| {
            let elements = shape.iter().product();
            Array::new(shape, vec![0_u8; elements]).unwrap().as_stack()
        };
        assert_eq!(stack(&[5]), [1, 1, 5]);
        assert_eq!(stack(&[4, 5]), [1, 4, 5]);
        assert_eq!(stack(&[2, 3, 4, 5]), [6, 4, 5]);
    }
}
