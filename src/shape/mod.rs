//! Shapes and the geometries that determine them.
//!
//! Every array is row-major with four axes, written with the letters `N C H W`: images in the
//! batch, channels, rows, columns. The same four axes hold everything else:
//!
//! | what | shape |
//! | --- | --- |
//! | image batch | `N C H W` |
//! | regular field of a group with `G` elements | channels `field * G + g` |
//! | complex values | channels `2 c` (real part) and `2 c + 1` (imaginary part) |
//! | sinogram | `N 1 views bins` |
//! | convolution kernel | `out in rows columns` |
//! | matrix | `1 1 rows columns` |
//! | affine maps of a batch | `N 1 5 4`, see [`Maps`] |
//! | scalar | `1 1 1 1` |

mod affine;
mod fourier;
mod grid_symmetry;
mod ray_geometry;
mod window;

pub use affine::{Affine, Maps};
pub use fourier::{Fourier, FourierAxes, FourierDirection, FourierScale, FourierValues};
pub use grid_symmetry::GridSymmetry;
pub use ray_geometry::{
    Beam, Crossings, Detector, Fan, Projector, Ray, RayGeometry, Sighting, equally_spaced,
};
pub use window::{Padding, Window};

use std::fmt;

/// The shape of an array: four extents, `N C H W`, row-major.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Shape(pub [usize; 4]);

impl Shape {
    /// One number.
    pub const SCALAR: Shape = Shape([1, 1, 1, 1]);

    /// The shape `N C H W`.
    pub const fn new(n: usize, c: usize, h: usize, w: usize) -> Self {
        Shape([n, c, h, w])
    }

    /// A vector of `len` numbers, `1 1 1 len`.
    pub const fn vector(len: usize) -> Self {
        Shape([1, 1, 1, len])
    }

    /// Batch extent.
    pub const fn n(self) -> usize {
        self.0[0]
    }

    /// Channel extent.
    pub const fn c(self) -> usize {
        self.0[1]
    }

    /// Row extent.
    pub const fn h(self) -> usize {
        self.0[2]
    }

    /// Column extent.
    pub const fn w(self) -> usize {
        self.0[3]
    }

    /// The number of elements.
    pub const fn elements(self) -> usize {
        self.0[0] * self.0[1] * self.0[2] * self.0[3]
    }

    /// Bytes as `f32`.
    pub const fn bytes(self) -> u64 {
        4 * self.elements() as u64
    }

    /// The same shape with `extent` along `axis`.
    pub fn with(mut self, axis: usize, extent: usize) -> Self {
        self.0[axis] = extent;
        self
    }

    /// Element strides of the four axes.
    pub const fn strides(self) -> [usize; 4] {
        let [_, c, h, w] = self.0;
        [c * h * w, h * w, w, 1]
    }

    /// These channels as pairs of real and imaginary part: half as many complex channels.
    pub fn complex(self) -> Option<Shape> {
        (self.c().is_multiple_of(2)).then(|| self.with(1, self.c() / 2))
    }

    /// The shape that two operands broadcast to: along each axis the extents are equal or one of
    /// them is 1. `None` if they do not fit.
    pub fn broadcast(self, other: Shape) -> Option<Shape> {
        let mut out = [0; 4];
        for (axis, extent) in out.iter_mut().enumerate() {
            *extent = match (self.0[axis], other.0[axis]) {
                (a, b) if a == b => a,
                (1, b) => b,
                (a, 1) => a,
                _ => return None,
            };
        }
        Some(Shape(out))
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [n, c, h, w] = self.0;
        write!(f, "{n}x{c}x{h}x{w}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_equal_or_one() {
        let a = Shape::new(2, 3, 4, 5);
        assert_eq!(a.broadcast(Shape::new(1, 3, 1, 1)), Some(a));
        assert_eq!(Shape::SCALAR.broadcast(a), Some(a));
        assert_eq!(a.broadcast(Shape::new(2, 2, 4, 5)), None);
    }

    #[test]
    fn strides_are_row_major() {
        assert_eq!(Shape::new(2, 3, 4, 5).strides(), [60, 20, 5, 1]);
    }
}
