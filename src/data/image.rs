//! Grey images on the host, and what is done to them before a simulation: a canvas, downsampling.

use super::array::Array;
use crate::error::{Error, Result};

/// A grey image, `[H, W]`, row-major.
#[derive(Clone, PartialEq, Debug)]
pub struct Image {
    /// `H`.
    pub rows: usize,
    /// `W`.
    pub columns: usize,
    /// `H * W` values.
    pub pixels: Vec<f32>,
}

impl Image {
    /// An image of `rows` x `columns` holding `pixels`.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are no pixels or their number differs.
    pub fn new([rows, columns]: [usize; 2], pixels: Vec<f32>) -> Result<Self> {
        if pixels.is_empty() || rows.checked_mul(columns) != Some(pixels.len()) {
            return Err(Error::shape(
                "image",
                format!(
                    "{rows}x{columns} pixels do not hold {} values",
                    pixels.len()
                ),
            ));
        }
        Ok(Image {
            rows,
            columns,
            pixels,
        })
    }

    /// The image whose pixel (row, column) is `value(row, column)`.
    pub fn from_fn(
        [rows, columns]: [usize; 2],
        mut value: impl FnMut(usize, usize) -> f32,
    ) -> Self {
        let mut pixels = Vec::with_capacity(rows * columns);
        for r in 0..rows {
            for c in 0..columns {
                pixels.push(value(r, c));
            }
        }
        Image {
            rows,
            columns,
            pixels,
        }
    }

    /// `[H, W]`.
    pub fn size(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// The pixel at (row `r`, column `c`).
    ///
    /// # Panics
    /// If there is no such pixel.
    pub fn at(&self, r: usize, c: usize) -> f32 {
        self.pixels[r * self.columns + c]
    }

    /// Smallest and largest value; `(inf, -inf)` for an image without pixels.
    pub fn range(&self) -> (f32, f32) {
        let start = (f32::INFINITY, f32::NEG_INFINITY);
        let pixels = self.pixels.iter();
        pixels.fold(start, |(low, high), &v| (low.min(v), high.max(v)))
    }

    /// The image in the middle of a canvas of `[rows, columns]`: zeros around it, and what does not
    /// fit cut off. Where the margins cannot be equal, the pixel `(rows / 2, columns / 2)` stays the
    /// middle one.
    pub fn on_canvas(&self, size: [usize; 2]) -> Image {
        let shift = |from: usize, to: usize| (from / 2) as isize - (to / 2) as isize;
        let (down, right) = (shift(self.rows, size[0]), shift(self.columns, size[1]));
        Image::from_fn(size, |r, c| {
            let (r, c) = (r as isize + down, c as isize + right);
            let inside =
                (0..self.rows as isize).contains(&r) && (0..self.columns as isize).contains(&c);
            if inside {
                self.at(r as usize, c as usize)
            } else {
                0.0
            }
        })
    }

    /// The image of half the size whose pixels are the means of 2x2 blocks. Simulating at the
    /// larger size and reconstructing at the smaller one avoids inverting the very forward model
    /// that made the data.
    ///
    /// # Errors
    /// [`Error::Data`] if a side is odd.
    pub fn downsampled(&self) -> Result<Image> {
        if !self.rows.is_multiple_of(2) || !self.columns.is_multiple_of(2) {
            return Err(Error::data(
                "image",
                format!(
                    "{}x{} pixels cannot be halved; crop it to even sides",
                    self.rows, self.columns
                ),
            ));
        }
        Ok(Image::from_fn([self.rows / 2, self.columns / 2], |r, c| {
            let (r, c) = (2 * r, 2 * c);
            0.25 * (self.at(r, c) + self.at(r, c + 1) + self.at(r + 1, c) + self.at(r + 1, c + 1))
        }))
    }
}

impl From<Image> for Array {
    fn from(image: Image) -> Array {
        Array {
            shape: vec![image.rows, image.columns],
            data: image.pixels,
        }
    }
}

/// Splits an array `[.., H, W]` into its images.
///
/// # Errors
/// [`Error::Shape`] if the shape does not hold the values or there are none.
pub fn images_of(array: &Array) -> Result<Vec<Image>> {
    let [n, h, w] = array.as_stack();
    if n * h * w != array.data.len() || array.data.is_empty() {
        return Err(Error::shape(
            "images",
            format!(
                "the shape {:?} does not hold {} values",
                array.shape,
                array.data.len()
            ),
        ));
    }
    array
        .data
        .chunks_exact(h * w)
        .map(|p| Image::new([h, w], p.to_vec()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(rows: usize, columns: usize) -> Image {
        Image::from_fn([rows, columns], |r, c| (r * columns + c) as f32 + 1.0)
    }

    #[test]
    fn a_canvas_keeps_the_middle_pixel() {
        for (from, to) in [
            ([3, 4], [7, 8]),
            ([4, 3], [5, 5]),
            ([6, 5], [3, 2]),
            ([2, 5], [4, 3]),
        ] {
            let image = counted(from[0], from[1]);
            let canvas = image.on_canvas(to);
            assert_eq!(canvas.size(), to);
            let middle = image.at(from[0] / 2, from[1] / 2);
            assert_eq!(canvas.at(to[0] / 2, to[1] / 2), middle);
            let kept = (0..2)
                .map(|axis| from[axis].min(to[axis]))
                .product::<usize>();
            let nonzero = canvas.pixels.iter().filter(|&&v| v != 0.0).count();
            assert_eq!(nonzero, kept, "{from:?} {to:?}");
        }
    }

    #[test]
    fn halving_takes_the_mean_of_each_block() {
        let half = counted(2, 4).downsampled().unwrap();
        assert_eq!((half.size(), half.pixels), ([1, 2], vec![3.5, 5.5]));
        assert!(matches!(
            counted(3, 4).downsampled(),
            Err(Error::Data { .. })
        ));
    }

    #[test]
    fn stacks_split_into_images() {
        let array = Array::new([2, 2, 3], (0..12).map(|k| k as f32).collect()).unwrap();
        let images = images_of(&array).unwrap();
        assert_eq!(images.len(), 2);
        assert_eq!(images[1].at(1, 2), 11.0);
        assert_eq!(Array::from(images[0].clone()).shape, [2, 3]);
        assert!(Image::new([0, 3], vec![]).is_err());
        assert!(Image::new([2, 2], vec![0.0; 3]).is_err());
    }
}
