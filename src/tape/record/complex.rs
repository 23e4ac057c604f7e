//! Recording Fourier transforms and products of complex values, which are pairs of channels.

use super::{Tape, Var};
use crate::error::{Error, Result};
use crate::shape::{Fourier, Shape};
use crate::tape::op::Op;

impl Tape {
    /// The discrete Fourier transform of `x`, of any size; [`Fourier`] says of which axes, in which
    /// direction and with which factor. Complex values are pairs of channels, real and imaginary
    /// part: `N 2C H W`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the channels are no pairs where they must be, or `x` is empty.
    pub fn fourier(&mut self, x: Var, transform: Fourier) -> Result<Var> {
        let shape = transform.output(x.shape).ok_or_else(|| {
            Error::shape(
                "fourier",
                format!(
                    "{} for {:?}: complex values are pairs of channels, and at least one number is needed",
                    x.shape, transform.values
                ),
            )
        })?;
        Ok(self.push(Op::Fourier(transform), &[x], shape))
    }

    /// The complex product `a b`, or `a` times the conjugate of `b`: channels are pairs of real and
    /// imaginary part, and the extents (that of the pairs too) broadcast.
    ///
    /// # Errors
    /// [`Error::Shape`] if the channels are no pairs or the shapes do not broadcast.
    pub fn complex_mul(&mut self, a: Var, b: Var, conjugate: bool) -> Result<Var> {
        let pairs = a.shape.complex().zip(b.shape.complex());
        let shape = pairs.and_then(|(a, b)| a.broadcast(b)).ok_or_else(|| {
            Error::shape(
                "complex_mul",
                format!(
                    "{} and {}: channels must be pairs of real and imaginary part, and extents equal or 1 (pairs: or one pair)",
                    a.shape, b.shape
                ),
            )
        })?;
        let shape = shape.with(1, 2 * shape.c());
        Ok(self.push(Op::ComplexMul { conjugate }, &[a, b], shape))
    }

    /// Sum of complex values over every axis in which `to` has extent 1, and over the pairs of
    /// channels where `to` has one pair.
    ///
    /// # Errors
    /// [`Error::Shape`] unless every extent of `to` is that of `x` or 1 (pairs: or one pair).
    pub fn complex_sum(&mut self, x: Var, to: Shape) -> Result<Var> {
        let x = self.sum(x, to.with(1, x.shape.c()))?;
        if x.shape == to {
            return Ok(x);
        }
        if to.c() != 2 || !x.shape.c().is_multiple_of(2) {
            return Err(Error::shape(
                "complex_sum",
                format!("{} to {to}: neither the same pairs nor one", x.shape),
            ));
        }
        // The pairs on an axis of their own: N, pairs, 2, H W.
        let Shape([n, c, h, w]) = x.shape;
        let pairs = self.reshape(x, Shape::new(n, c / 2, 2, h * w))?;
        let sum = self.sum(pairs, Shape::new(n, 1, 2, h * w))?;
        self.reshape(sum, to)
    }

    /// The periodic convolution of the planes of `x` with a kernel, by the convolution theorem:
    /// complex values (`N 2C H W`), or two real planes as real and imaginary part if the kernel is
    /// real. `spectrum` is the kernel's transform [`FourierScale::Sum`](crate::shape::FourierScale),
    /// its origin at element (0, 0); it broadcasts. What must not wrap around is padded before.
    ///
    /// # Errors
    /// Those of [`Tape::fourier`] and [`Tape::complex_mul`].
    pub fn convolve_periodic(&mut self, x: Var, spectrum: Var) -> Result<Var> {
        let transform = Fourier::planes();
        let x = self.fourier(x, transform)?;
        let product = self.complex_mul(x, spectrum, false)?;
        self.fourier(product, transform.inverse())
    }
}
