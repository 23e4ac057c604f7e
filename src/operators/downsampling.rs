//! Images of low resolution.

use super::periodic::{PeriodicConvolution, Spectrum};
use super::{LinearOperator, PointSpread, check};
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tape::{Tape, Var};

/// `A x`: the periodic convolution with an antialiasing kernel, and of every `factor` by `factor`
/// pixels the one at row and column `(factor - 1) / 2`, rounded down. Images are `N 1 H W`,
/// measurements `N 1 H/factor W/factor`.
///
/// With a kernel of `factor` by `factor` equal entries that is the mean over disjoint blocks, and a
/// symmetric kernel whose extents are even with the factor, or odd with it, is centred on the blocks.
#[derive(Clone, Debug)]
pub struct Downsampling {
    size: [usize; 2],
    factor: usize,
    antialiasing: Antialiasing,
}

#[derive(Clone, Debug)]
enum Antialiasing {
    /// The mean over blocks, which needs no convolution.
    BlockMean,
    /// Any other kernel.
    Filter {
        convolution: PeriodicConvolution,
        /// The inverse of `A A^T`, regularised.
        inverse: PeriodicConvolution,
    },
}

impl Downsampling {
    /// Images of `size` = [rows, columns] with `factor` times as many pixels along both axes as
    /// their measurement.
    ///
    /// # Errors
    /// [`Error::Config`] if the factor or an extent is 0, or the factor does not divide the extents.
    pub fn new(size: [usize; 2], factor: usize, kernel: &PointSpread) -> Result<Self> {
        let [h, w] = size;
        if h == 0 || w == 0 || !h.is_multiple_of(factor) || !w.is_multiple_of(factor) {
            return Err(Error::Config(format!(
                "operator.factor = {factor} does not divide the {h} rows and {w} columns of operator.image_size: use another factor, or crop the images"
            )));
        }
        let antialiasing = if *kernel == PointSpread::uniform([factor, factor])? {
            Antialiasing::BlockMean
        } else {
            let spectrum = Spectrum::of(kernel, size);
            Antialiasing::Filter {
                convolution: (&spectrum).into(),
                inverse: (&spectrum.tikhonov(factor)).into(),
            }
        };
        Ok(Downsampling {
            size,
            factor,
            antialiasing,
        })
    }

    /// The shapes of a measurement of `n` images with the rows, then the columns, of each block on
    /// an axis of their own.
    fn blocks(&self, n: usize) -> [Shape; 2] {
        let ([h, w], f) = (self.size, self.factor);
        [Shape::new(n, h / f, f, w), Shape::new(n, h / f, w / f, f)]
    }

    /// The weight of a pixel in the mean of its block.
    fn weight(&self) -> f32 {
        (1.0 / (self.factor * self.factor) as f64) as f32
    }

    /// What one axis of the blocks becomes.
    fn reduce(&self, tape: &mut Tape, x: Var, axis: usize) -> Result<Var> {
        match self.antialiasing {
            Antialiasing::BlockMean => tape.sum(x, x.shape().with(axis, 1)),
            Antialiasing::Filter { .. } => tape.slice(x, axis, (self.factor - 1) / 2, 1),
        }
    }

    /// The transpose of [`Downsampling::reduce`].
    fn expand(&self, tape: &mut Tape, y: Var, axis: usize) -> Result<Var> {
        match self.antialiasing {
            Antialiasing::BlockMean => tape.broadcast(y, y.shape().with(axis, self.factor)),
            Antialiasing::Filter { .. } => tape.pad(y, axis, (self.factor - 1) / 2, self.factor),
        }
    }

    /// The transpose without its weights: pixels of the measurement in their places.
    fn spread(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        let n = y.shape().n();
        let [rows, columns] = self.blocks(n);
        let y = tape.reshape(y, columns.with(3, 1))?;
        let y = self.expand(tape, y, 3)?;
        let y = tape.reshape(y, rows.with(2, 1))?;
        let y = self.expand(tape, y, 2)?;
        tape.reshape(y, self.domain().with(0, n))
    }
}

impl LinearOperator for Downsampling {
    fn name(&self) -> &'static str {
        "downsampling"
    }

    fn domain(&self) -> Shape {
        Shape::new(1, 1, self.size[0], self.size[1])
    }

    fn range(&self) -> Shape {
        let [h, w] = self.size.map(|extent| extent / self.factor);
        Shape::new(1, 1, h, w)
    }

    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        check("downsampling", x, self.domain())?;
        let n = x.shape().n();
        let x = match &self.antialiasing {
            Antialiasing::BlockMean => tape.scale(x, self.weight()),
            Antialiasing::Filter { convolution, .. } => convolution.forward(tape, x)?,
        };
        let [rows, columns] = self.blocks(n);
        let y = tape.reshape(x, rows)?;
        let y = self.reduce(tape, y, 2)?;
        let y = tape.reshape(y, columns)?;
        let y = self.reduce(tape, y, 3)?;
        tape.reshape(y, self.range().with(0, n))
    }

    fn adjoint(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        check("downsampling", y, self.range())?;
        let x = self.spread(tape, y)?;
        match &self.antialiasing {
            Antialiasing::BlockMean => Ok(tape.scale(x, self.weight())),
            Antialiasing::Filter { convolution, .. } => convolution.transpose(tape, x),
        }
    }

    /// Of block means the exact pseudo-inverse `factor^2 A^T y`: every value fills its block. Of
    /// other kernels the Tikhonov-regularised one, `1.01 A^T (A A^T + 0.01 |A|^2)^-1 y`: what `A`
    /// passes best comes back unchanged, and nothing is amplified much more than 5 times that.
    fn pseudo_inverse(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        check("downsampling", y, self.range())?;
        match &self.antialiasing {
            Antialiasing::BlockMean => self.spread(tape, y),
            Antialiasing::Filter { inverse, .. } => {
                let y = inverse.forward(tape, y)?;
                self.adjoint(tape, y)
            }
        }
    }

    fn pseudo_inverse_name(&self) -> &'static str {
        match self.antialiasing {
            Antialiasing::BlockMean => "replicated",
            Antialiasing::Filter { .. } => "tikhonov",
        }
    }
}
