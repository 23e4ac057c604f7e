//! `.npy` files as batches of images or measurements.
//!
//! The last two axes are rows and columns, or views and bins; before them stand the coils, where a
//! problem has several. The axes before those count items, and come back in the files that are
//! written. Complex numbers are two channels.

use super::{AnyArray, npy};
use crate::error::{Error, Result};
use crate::shape::Shape;
use num_complex::Complex32;
use std::path::Path;

/// Items of one shape, as the tape takes them.
#[derive(Clone, PartialEq, Debug)]
pub struct Stack {
    /// `N C H W`, row-major.
    pub values: Vec<f32>,
    /// The shape of all of them.
    pub shape: Shape,
    /// The axes that count items in the file.
    leading: Vec<usize>,
}

impl Stack {
    /// Reads items of `channels` channels (1 for real ones, 2 for complex ones, 2 for each coil) and
    /// any extents.
    ///
    /// # Errors
    /// Those of [`npy::read_npy`]; [`Error::Data`] if there are too few axes, if the numbers are
    /// complex where real ones are needed, or if the coils are not as many.
    pub fn read(path: &Path, channels: usize) -> Result<Self> {
        Self::of(path, npy::read_npy(path)?, channels)
    }

    fn of(path: &Path, array: AnyArray, channels: usize) -> Result<Self> {
        let shape = array.shape().to_vec();
        let [leading @ .., h, w] = shape.as_slice() else {
            return Err(Error::data(
                path,
                format!("its shape is {shape:?}; give [H, W] or [N, H, W]"),
            ));
        };
        let coils = channels / 2;
        let leading = match leading {
            _ if coils < 2 => leading,
            [leading @ .., found] if *found == coils => leading,
            _ => {
                return Err(Error::data(
                    path,
                    format!(
                        "its shape is {shape:?} and the problem has {coils} coils; give [{coils}, H, W] or [N, {coils}, H, W], or change operator.coils"
                    ),
                ));
            }
        };
        let plane = h * w;
        let values = match (array, channels) {
            (AnyArray::Real(a), 1) => a.data,
            (AnyArray::Real(a), _) => {
                let pair = |item: &[f32]| [item, &vec![0.0; plane]].concat();
                a.data.chunks_exact(plane).flat_map(pair).collect()
            }
            (AnyArray::Complex(a), 2..) => {
                let mut values = Vec::with_capacity(2 * a.data.len());
                for item in a.data.chunks_exact(plane) {
                    values.extend(item.iter().map(|z| z.re));
                    values.extend(item.iter().map(|z| z.im));
                }
                values
            }
            (AnyArray::Complex(_), _) => {
                return Err(Error::data(
                    path,
                    "the numbers are complex and this problem has real ones; save numpy.abs(a) or a.real",
                ));
            }
        };
        Ok(Stack {
            values,
            shape: Shape::new(leading.iter().product(), channels, *h, *w),
            leading: leading.to_vec(),
        })
    }

    /// Reads images of the shape `item` (N = 1). Real ones of a complex problem get the imaginary
    /// part zero.
    ///
    /// # Errors
    /// As [`Stack::read`]; [`Error::Data`] with both sizes if the extents differ.
    pub fn images(path: &Path, item: Shape) -> Result<Self> {
        Stack::read(path, item.c())?.exactly(path, item, "images")
    }

    /// Reads measurements of the shape `item` (N = 1).
    ///
    /// # Errors
    /// As [`Stack::images`]; [`Error::Data`] for real numbers where complex ones are measured.
    pub fn measurements(path: &Path, item: Shape) -> Result<Self> {
        let array = npy::read_npy(path)?;
        if item.c() > 1 && matches!(array, AnyArray::Real(_)) {
            return Err(Error::data(
                path,
                "the numbers are real and k-space is complex; give measurements as `simulate` writes them, complex64",
            ));
        }
        Stack::of(path, array, item.c())?.exactly(path, item, "measurements")
    }

    fn exactly(self, path: &Path, item: Shape, what: &str) -> Result<Self> {
        if self.item() == item {
            return Ok(self);
        }
        Err(Error::data(
            path,
            format!(
                "its items are {} and the problem has {what} of {}; give another file, or change the [operator] of the problem",
                described(self.item()),
                described(item),
            ),
        ))
    }

    /// The first `count` items; `None`: all.
    ///
    /// # Errors
    /// [`Error::Data`] if there are fewer.
    pub fn first(mut self, path: &Path, count: Option<usize>) -> Result<Self> {
        let Some(wanted) = count else {
            return Ok(self);
        };
        if wanted > self.count() {
            return Err(Error::data(
                path,
                format!("it holds {} items and {wanted} are asked for", self.count()),
            ));
        }
        self.shape = self.item().with(0, wanted);
        self.leading = vec![wanted];
        self.values.truncate(self.shape.elements());
        Ok(self)
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

    /// Writes a `.npy` file: float32, or complex64 for pairs of channels.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut shape = self.leading.clone();
        shape.extend(extents(self.shape));
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

/// The axes of one item in a file: rows and columns, after the coils if there are several.
pub fn extents(item: Shape) -> Vec<usize> {
    let coils = (item.c() > 2).then_some(item.c() / 2);
    coils.into_iter().chain([item.h(), item.w()]).collect()
}

/// The axes of one item for people: `16x16`, or `8x16x16` for eight coils.
pub fn described(item: Shape) -> String {
    let extents: Vec<String> = extents(item).iter().map(usize::to_string).collect();
    extents.join("x")
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
    fn coils_stand_before_rows_and_columns() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.npy");
        let complex: Vec<Complex32> = (0..24)
            .map(|i| Complex32::new(i as f32, 100.0 + i as f32))
            .collect();
        let item = Shape::new(1, 4, 2, 3);
        for (shape, count) in [(&[2, 2, 3][..], 2), (&[2, 2, 2, 3], 2)] {
            let data = &complex[..shape.iter().product()];
            npy::write_npy(&path, shape, data).unwrap();
            let stack = Stack::measurements(&path, item).unwrap();
            assert_eq!(stack.count(), if shape.len() == 3 { 1 } else { count });
            assert_eq!(stack.values[..3], [0.0, 1.0, 2.0]);
            assert_eq!(stack.values[6..9], [100.0, 101.0, 102.0]);
            assert_eq!(stack.values[12..15], [6.0, 7.0, 8.0]);
            stack.write(&path).unwrap();
            let again = npy::read_complex_npy(&path).unwrap();
            assert_eq!((again.shape.as_slice(), &again.data[..]), (shape, data));
        }
        let refused = |item| Stack::measurements(&path, item).unwrap_err().to_string();
        let other = refused(Shape::new(1, 6, 2, 3));
        assert!(
            other.contains("3 coils") && other.contains("[2, 2, 2, 3]"),
            "{other}"
        );
        let other = refused(Shape::new(1, 4, 3, 2));
        assert!(
            other.contains("2x2x3") && other.contains("2x3x2"),
            "{other}"
        );
        npy::write_npy(&path, &[2, 2, 3], &[0.5_f32; 12]).unwrap();
        assert!(refused(item).contains("complex64"));
    }

    #[test]
    fn other_sizes_are_refused_with_both() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.npy");
        npy::write_npy(&path, &[4, 6], &[0.0_f32; 24]).unwrap();
        let error = Stack::images(&path, Shape::new(1, 1, 6, 4)).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("4x6") && message.contains("6x4"),
            "{message}"
        );
        npy::write_npy(&path, &[24], &[0.0_f32; 24]).unwrap();
        assert!(Stack::read(&path, 1).is_err());
    }
}
