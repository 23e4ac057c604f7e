//! Blurred images.

use super::periodic::{PeriodicConvolution, Spectrum};
use super::{LinearOperator, PointSpread, check};
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};

/// What a blur does at the border of the image.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Boundary {
    /// The image goes on periodically: `scipy.ndimage.convolve(x, k, mode="wrap")`.
    #[default]
    Circular,
    /// Only pixels whose whole neighbourhood lies in the image are measured:
    /// `scipy.signal.convolve2d(x, k, mode="valid")`.
    Valid,
}

/// `A x = k * x`, the convolution with a point spread function. Images are `N 1 H W`; measurements
/// too with [`Boundary::Circular`], and `N 1 H-rows+1 W-columns+1` with [`Boundary::Valid`].
///
/// Computed through the Fourier domain, for a kernel of any size; the valid part is cut out of the
/// periodic result, which wraps around only outside it.
#[derive(Clone, Debug)]
pub struct Blur {
    size: [usize; 2],
    convolution: PeriodicConvolution,
    border: Border,
}

#[derive(Clone, Debug)]
enum Border {
    /// With the inverse of `A A^T`, regularised.
    Circular(PeriodicConvolution),
    /// The first row and column that are measured, and how many are.
    Valid([usize; 2], [usize; 2]),
}

impl Blur {
    /// Images of `size` = [rows, columns].
    ///
    /// # Errors
    /// [`Error::Config`] if the image is empty, or if it is smaller than the kernel and only its
    /// valid part would be measured.
    pub fn new(size: [usize; 2], kernel: &PointSpread, boundary: Boundary) -> Result<Self> {
        let ([h, w], [rows, columns]) = (size, kernel.size());
        if h == 0 || w == 0 {
            return Err(Error::Config(format!(
                "operator.image_size = [{h}, {w}]: an image has at least one pixel"
            )));
        }
        let spectrum = Spectrum::of(kernel, size);
        let border = match boundary {
            Boundary::Circular => Border::Circular((&spectrum.tikhonov(1)).into()),
            Boundary::Valid if rows > h || columns > w => {
                return Err(Error::Config(format!(
                    "operator.kernel: {rows}x{columns} pixels do not fit into the image of {h}x{w}, so no pixel would be measured; use a smaller kernel, or boundary = \"circular\""
                )));
            }
            Boundary::Valid => {
                // The first pixel that reads from row 0 on: the origin and what lies below it.
                let start = [rows, columns].map(|k| k - 1 - k / 2);
                Border::Valid(start, [h - rows + 1, w - columns + 1])
            }
        };
        Ok(Blur {
            size,
            convolution: (&spectrum).into(),
            border,
        })
    }
}

impl LinearOperator for Blur {
    fn name(&self) -> &'static str {
        "blur"
    }

    fn domain(&self) -> Shape {
        Shape::new(1, 1, self.size[0], self.size[1])
    }

    fn range(&self) -> Shape {
        match self.border {
            Border::Circular(_) => self.domain(),
            Border::Valid(_, [h, w]) => Shape::new(1, 1, h, w),
        }
    }

    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        check("blur", x, self.domain())?;
        let y = self.convolution.forward(tape, x)?;
        match self.border {
            Border::Circular(_) => Ok(y),
            Border::Valid([top, left], [h, w]) => {
                let y = tape.slice(y, 2, top, h)?;
                tape.slice(y, 3, left, w)
            }
        }
    }

    fn adjoint(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        check("blur", y, self.range())?;
        let y = match self.border {
            Border::Circular(_) => y,
            Border::Valid([top, left], _) => {
                let y = tape.pad(y, 3, left, self.size[1])?;
                tape.pad(y, 2, top, self.size[0])?
            }
        };
        self.convolution.transpose(tape, y)
    }

    /// With a circular boundary the Tikhonov-regularised inverse `1.01 conj(K) / (|K|^2 + 0.01
    /// max|K|^2)`, `K` the transfer function: images of one value come back unchanged (for a kernel
    /// without negative entries), and nothing is amplified more than about 5 times. With a valid one,
    /// whose operator no Fourier transform inverts, the adjoint.
    fn pseudo_inverse(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        match &self.border {
            Border::Circular(inverse) => {
                check("blur", y, self.range())?;
                let y = inverse.forward(tape, y)?;
                self.adjoint(tape, y)
            }
            Border::Valid(..) => self.adjoint(tape, y),
        }
    }

    fn pseudo_inverse_name(&self) -> &'static str {
        match self.border {
            Border::Circular(_) => "tikhonov",
            Border::Valid(..) => "adjoint",
        }
    }
}
