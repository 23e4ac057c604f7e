//! The sliding window of a convolution: how it pads and strides.

use super::Shape;

/// What a convolution sees outside the image.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Padding {
    /// Zeros.
    Zero,
    /// The nearest pixel of the image.
    Replicate,
    /// The image repeated periodically.
    Circular,
}

impl Padding {
    /// All modes.
    pub const ALL: [Padding; 3] = [Padding::Zero, Padding::Replicate, Padding::Circular];

    /// The index inside `[0, extent)` that is read for `index`, or `None` for a zero.
    pub fn resolve(self, index: isize, extent: usize) -> Option<usize> {
        let inside = (0..extent as isize).contains(&index);
        match self {
            Padding::Zero => inside.then_some(index as usize),
            Padding::Replicate => Some(index.clamp(0, extent as isize - 1) as usize),
            Padding::Circular => Some(index.rem_euclid(extent as isize) as usize),
        }
    }
}

/// A square window of odd size, centred, "same" padded, moved by `stride`.
///
/// Output `(y, x)` reads input rows `y * stride + dy - size / 2` for `dy` in `0..size`, likewise
/// columns (a cross-correlation, as in every neural-network library). The output has
/// `ceil(H / stride)` rows and `ceil(W / stride)` columns.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Window {
    /// Kernel rows and columns: 1, 3, 5, 7 or 9.
    pub size: usize,
    /// Step between outputs: 1 or 2.
    pub stride: usize,
    /// What is read outside the image.
    pub padding: Padding,
}

impl Window {
    /// A window of stride 1.
    pub const fn same(size: usize, padding: Padding) -> Self {
        Window {
            size,
            stride: 1,
            padding,
        }
    }

    /// Rows and columns read on each side of the centre.
    pub const fn radius(self) -> usize {
        self.size / 2
    }

    /// The shape of the output for an input of shape `input` and `channels` output channels.
    pub const fn output(self, input: Shape, channels: usize) -> Shape {
        Shape::new(
            input.n(),
            channels,
            input.h().div_ceil(self.stride),
            input.w().div_ceil(self.stride),
        )
    }
}
