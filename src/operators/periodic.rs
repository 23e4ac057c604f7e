//! Periodic convolutions of real images through the Fourier domain, and their regularised inverses.

use super::PointSpread;
use crate::error::Result;
use crate::reference::fourier;
use crate::shape::{Fourier, FourierScale, FourierValues, Shape};
use crate::tape::{Tape, Var};
use std::sync::Arc;

/// The regularisation of [`Spectrum::tikhonov`], relative to the largest eigenvalue: no component
/// is amplified by more than `1.01 / (2 sqrt(0.01))`, about 5 times what the strongest one is.
const TIKHONOV: f64 = 1e-2;

/// A transfer function in f64, planes of real and imaginary part.
pub(super) struct Spectrum {
    size: [usize; 2],
    values: Vec<f64>,
}

impl Spectrum {
    /// The transfer function of `y[i] = sum over m of k[m] x[i + o - m]`, indices modulo `size`, with
    /// the kernel's origin `o`. A kernel may be larger than the image.
    pub fn of(kernel: &PointSpread, size: [usize; 2]) -> Self {
        let ([rows, columns], [h, w]) = (kernel.size(), size);
        let mut plane = vec![0.0; h * w];
        let wrapped = |at: usize, extent: usize, n: usize| (at + n - extent / 2 % n) % n;
        for (i, value) in kernel.values().iter().enumerate() {
            let (r, c) = (i / columns, i % columns);
            plane[wrapped(r, rows, h) * w + wrapped(c, columns, w)] += value;
        }
        let transform = Fourier::planes()
            .scaled(FourierScale::Sum)
            .with_values(FourierValues::FromReal);
        Spectrum {
            size,
            values: fourier::transform(&plane, Shape::new(1, 1, h, w), transform).value,
        }
    }

    /// Given the transfer function of `C` and the map `S` that keeps every `factor`-th pixel along
    /// both axes, the transfer function of `R` on the coarse grid for which `C^T S^T R` is the
    /// Tikhonov-regularised inverse of `A = S C`:
    ///
    /// `R = (1 + e) (A A^T + e |A|^2)^-1`, `e` = 0.01, which inverts the strongest component exactly.
    ///
    /// `A A^T` is a periodic convolution itself: sampling folds `|C|^2` onto the coarse grid.
    pub fn tikhonov(&self, factor: usize) -> Self {
        let [h, w] = self.size;
        let size = [h / factor, w / factor];
        let plane = size[0] * size[1];
        let mut folded = vec![0.0; plane];
        let (re, im) = self.values.split_at(h * w);
        for (i, (re, im)) in re.iter().zip(im).enumerate() {
            let at = i / w % size[0] * size[1] + i % w % size[1];
            folded[at] += (re * re + im * im) / (factor * factor) as f64;
        }
        let strongest = folded.iter().copied().fold(0.0, f64::max);
        let inverse = |g: f64| (1.0 + TIKHONOV) / (g + TIKHONOV * strongest);
        let mut values: Vec<f64> = folded.into_iter().map(inverse).collect();
        values.resize(2 * plane, 0.0);
        Spectrum { size, values }
    }
}

/// The convolution with a transfer function, and its transpose.
#[derive(Clone, Debug)]
pub(super) struct PeriodicConvolution {
    size: [usize; 2],
    /// `1 2 H W`.
    spectrum: Arc<[f32]>,
}

impl From<&Spectrum> for PeriodicConvolution {
    fn from(spectrum: &Spectrum) -> Self {
        PeriodicConvolution {
            size: spectrum.size,
            spectrum: spectrum.values.iter().map(|&v| v as f32).collect(),
        }
    }
}

impl PeriodicConvolution {
    /// Records the convolution of `x` (N C H W, every channel alike).
    ///
    /// # Errors
    /// [`crate::error::Error::Shape`] if `x` has other extents.
    pub fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        self.apply(tape, x, false)
    }

    /// Records the transpose, the convolution with the conjugate.
    ///
    /// # Errors
    /// As [`PeriodicConvolution::forward`].
    pub fn transpose(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        self.apply(tape, y, true)
    }

    fn apply(&self, tape: &mut Tape, x: Var, conjugate: bool) -> Result<Var> {
        let shape = Shape::new(1, 2, self.size[0], self.size[1]);
        let spectrum = tape.constant(shape, self.spectrum.clone())?;
        let transform = Fourier::planes().with_values(FourierValues::FromReal);
        let x = tape.fourier(x, transform)?;
        let product = tape.complex_mul(x, spectrum, conjugate)?;
        tape.fourier(product, transform.inverse())
    }
}
