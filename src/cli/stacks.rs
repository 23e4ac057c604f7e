//! `.npy` files as batches of images or measurements.
//!
//! The last two axes are rows and columns, or views and bins; those before them count items, and
//! come back in the files that are written. Complex numbers are two channels.

use crate::data::{AnyArray, npy};
use crate::error::{Error, Result};
use crate::shape::Shape;
use num_complex::Complex32;
use std::path::Path;

/// Items of one shape, as the tape takes them.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Stack {
    /// `N C H W`, row-major.
    pub values: Vec<f32>,
    /// The shape of all of them.
    pub shape: Shape,
    /// The axes before the last two in the file.
    leading: Vec<usize>,
}

impl Stack {
    /// Reads items of `channels` channels (2 for complex ones) and any extents.
    ///
    /// # Errors
    /// Those of [`npy::read_npy`]; [`Error::Data`] if there is only one axis, or the numbers are
    /// complex where real ones are needed.
    pub fn read(path: &Path, channels: usize) -> Result<Self> {
        let array = npy::read_npy(path)?;
        let shape = array.shape().to_vec();
        let [leading @ .., h, w] = shape.as_slice() else {
            return Err(Error::data(
                path,
                format!("its shape is {shape:?}; give [H, W] or [N, H, W]"),
            ));
        };
        let n = leading.iter().product();
        let plane = h * w;
        let mut values = Vec::with_capacity(n * channels * plane);
        match (&array, channels) {
            (AnyArray::Real(a), 1) => values.extend_from_slice(&a.data),
            (AnyArray::Real(a), _) => {
                for item in a.data.chunks_exact(plane) {
                    values.extend_from_slice(item);
                    values.resize(values.len() + plane, 0.0);
                }
            }
            (AnyArray::Complex(a), 2) => {
                for item in a.data.chunks_exact(plane) {
                    values.extend(item.iter().map(|z| z.re));
                    values.extend(item.iter().map(|z| z.im));
                }
            }
            (AnyArray::Complex(_), _) => {
                return Err(Error::data(
                    path,
                    "the numbers are complex and this problem has real ones; save numpy.abs(a) or a.real",
                ));
            }
        }
        Ok(Stack {
            values,
            shape: Shape::new(n, channels, *h, *w),
            leading: leading.to_vec(),
        })
    }

    /// Reads items of the shape `item` (N = 1); `what` they are is for the message.
    ///
    /// # Errors
    /// As [`Stack::read`]; [`Error::Data`] with both sizes if the extents differ.
    pub fn read_exact(path: &Path, item: Shape, what: &str) -> Result<Self> {
        let stack = Stack::read(path, item.c())?;
        if stack.item() == item {
            return Ok(stack);
        }
        Err(Error::data(
            path,
            format!(
                "its items are {}x{} and the problem has {what} of {}x{}; give another file, or change the [operator] of the problem",
                stack.shape.h(),
                stack.shape.w(),
                item.h(),
                item.w()
            ),
        ))
    }

    /// The number of items.
    pub fn count(&self) -> usize {
        self.shape.n()
    }

    /// The shape of one item, N = 1.
    pub fn item(&self) -> Shape {
        self.shape.with(0, 1)
    }

    /// As many items of another shape, with the same leading axes.
    pub fn with_items(&self, values: Vec<f32>, item: Shape) -> Self {
        Stack {
            values,
            shape: item.with(0, self.count()),
            leading: self.leading.clone(),
        }
    }

    /// Writes a `.npy` file: float32, or complex64 for two channels.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut shape = self.leading.clone();
        shape.extend([self.shape.h(), self.shape.w()]);
        if self.shape.c() == 1 {
            return npy::write_npy(path, &shape, &self.values);
        }
        let plane = self.shape.h() * self.shape.w();
        let complex: Vec<Complex32> = (self.values.chunks_exact(2 * plane))
            .flat_map(|item| (0..plane).map(|i| Complex32::new(item[i], item[plane + i])))
            .collect();
        npy::write_npy(path, &shape, &complex)
    }
}

/// Puts the name of a file in the place of the name that a library function gave to its argument.
pub(super) fn about_file<T>(result: Result<T>, path: &Path) -> Result<T> {
    result.map_err(|error| error.about(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_axes_and_complex_numbers_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.npy");
        let real: Vec<f32> = (0..24).map(|v| v as f32).collect();
        for (shape, count) in [(&[4, 6][..], 1), (&[2, 3, 4], 2), (&[2, 2, 2, 3], 4)] {
            npy::write_npy(&path, shape, &real).unwrap();
            let stack = Stack::read(&path, 1).unwrap();
            assert_eq!((stack.count(), &stack.values), (count, &real));
            stack.write(&path).unwrap();
            assert_eq!(npy::read_npy(&path).unwrap().shape(), shape);
        }
        let complex: Vec<Complex32> = (0..12)
            .map(|i| Complex32::new(i as f32, -(i as f32)))
            .collect();
        npy::write_npy(&path, &[2, 2, 3], &complex).unwrap();
        let stack = Stack::read(&path, 2).unwrap();
        assert_eq!(stack.values[..6], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(stack.values[6..12], [0.0, -1.0, -2.0, -3.0, -4.0, -5.0]);
        stack.write(&path).unwrap();
        assert_eq!(npy::read_complex_npy(&path).unwrap().data, complex);
        assert!(Stack::read(&path, 1).is_err());
    }

    #[test]
    fn other_sizes_are_refused_with_both() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.npy");
        npy::write_npy(&path, &[4, 6], &[0.0_f32; 24]).unwrap();
        let error = Stack::read_exact(&path, Shape::new(1, 1, 6, 4), "images").unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("4x6") && message.contains("6x4"),
            "{message}"
        );
        npy::write_npy(&path, &[24], &[0.0_f32; 24]).unwrap();
        assert!(Stack::read(&path, 1).is_err());
    }
}
