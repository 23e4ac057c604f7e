//! Forward operators: linear maps from images to measurements, with their exact adjoints.
//!
//! An operator records tape operations, so its gradients come for free and a composition is just
//! a composition. The adjoint is the transpose of the forward map as implemented.

mod blur;
pub mod diagnostics;
mod downsampling;
mod fbp;
mod fourier_sampling;
mod identity;
mod inpainting;
mod matrix;
mod noise;
mod periodic;
mod point_spread;
mod ray_transform;
mod several;
mod stacked;

pub use blur::{Blur, Boundary};
pub use downsampling::Downsampling;
pub use fbp::{Filter, fbp, filter_views, parker, view_weights, wang};
pub use fourier_sampling::FourierSampling;
pub use identity::Identity;
pub use inpainting::Inpainting;
pub use matrix::Matrix;
pub use noise::Noise;
pub use point_spread::PointSpread;
pub use ray_transform::RayTransform;
pub use several::Several;
pub use stacked::{Composed, Stacked};

use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tape::{Tape, Var};

/// A linear map from images to measurements. Shapes are those of one image; every method takes any
/// batch.
pub trait LinearOperator: Send + Sync {
    /// A short name for tables.
    fn name(&self) -> &'static str;

    /// The shape of one image, with N = 1.
    fn domain(&self) -> Shape;

    /// The shape of its measurement, with N = 1.
    fn range(&self) -> Shape;

    /// Records `A x` for `x` of shape `N` times the domain.
    ///
    /// # Errors
    /// [`Error::Shape`] if `x` does not fit.
    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var>;

    /// Records `A^T y`, the exact transpose.
    ///
    /// # Errors
    /// [`Error::Shape`] if `y` does not fit.
    fn adjoint(&self, tape: &mut Tape, y: Var) -> Result<Var>;

    /// Records a cheap approximate inverse `A^+ y`, linear in `y`: what a reconstruction may start
    /// from. For the ray transform, filtered back-projection (Ram-Lak); for k-space and missing
    /// pixels, zero filling; for blurred and downsampled images what [`Blur`] and [`Downsampling`]
    /// say.
    ///
    /// # Errors
    /// [`Error::Shape`] if `y` does not fit.
    fn pseudo_inverse(&self, tape: &mut Tape, y: Var) -> Result<Var>;

    /// [`LinearOperator::pseudo_inverse`] of a measurement of which a random share `share` is kept
    /// and the rest is zero, for images of the same brightness as from all of it.
    ///
    /// # Errors
    /// As [`LinearOperator::pseudo_inverse`].
    fn partial_pseudo_inverse(&self, tape: &mut Tape, y: Var, _share: f64) -> Result<Var> {
        self.pseudo_inverse(tape, y)
    }

    /// What the pseudo-inverse is called in tables and files: `fbp`, `zero-filled`, ...
    fn pseudo_inverse_name(&self) -> &'static str;

    /// The measurement is a sinogram of views that are equally spaced on half a turn, with a centred
    /// detector: after the last view comes the first with its bins reversed, and a rotation of the
    /// image by a multiple of the views' step shifts them.
    fn closed_views(&self) -> bool {
        false
    }

    /// How many operators take turns: item `i` of a batch is measured by operator `i` modulo this
    /// number, so a stack is cut into batches at multiples of it.
    fn period(&self) -> usize {
        1
    }

    /// The number of measured values in one measurement: all of the range unless the operator
    /// leaves some of it zero. What is averaged over a measurement is averaged over these.
    fn measured(&self) -> usize {
        self.range().elements()
    }

    /// Records `y` with zeros where nothing is measured, so that a measurement's noise does not
    /// appear there.
    ///
    /// # Errors
    /// [`Error::Shape`] if `y` does not fit.
    fn restrict(&self, _tape: &mut Tape, y: Var) -> Result<Var> {
        Ok(y)
    }

    /// Records the gradient `A^T (A x - y)` of the data term `E(x) = |A x - y|^2 / 2`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the arguments do not fit.
    fn gradient(&self, tape: &mut Tape, x: Var, y: Var) -> Result<Var> {
        let ax = self.forward(tape, x)?;
        let residual = tape.sub(ax, y)?;
        self.adjoint(tape, residual)
    }
}

/// Checks that `x` is a batch of items of the shape `item` (N = 1).
///
/// # Errors
/// [`Error::Shape`] with both shapes.
fn check(op: &'static str, x: Var, item: Shape) -> Result<()> {
    let expected = item.with(0, x.shape().n());
    if x.shape() == expected {
        return Ok(());
    }
    Err(Error::shape(
        op,
        format!("{} where {expected} is needed", x.shape()),
    ))
}
