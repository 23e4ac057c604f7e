//! Reconstruction networks.

mod config;
mod denoising_cnn;
mod fields;
mod fully_connected;
mod learned_primal_dual;
mod learned_proximal_gradient;
mod stage;
mod start;
mod unet;
mod unrolled_proximal_gradient;

pub use config::ModelConfig;
pub use denoising_cnn::{DenoisingCnn, DenoisingCnnConfig};
pub use fields::{FieldsConfig, NonlinearityKind};
pub use fully_connected::{FullyConnected, FullyConnectedConfig};
pub use learned_primal_dual::{LearnedPrimalDual, LearnedPrimalDualConfig};
pub use learned_proximal_gradient::{
    GradientScale, LearnedProximalGradient, LearnedProximalGradientConfig,
};
pub use start::Start;
pub use unet::{Sampling, UNet, UNetConfig};
pub use unrolled_proximal_gradient::{
    StepSize, UnrolledProximalGradient, UnrolledProximalGradientConfig,
};

use crate::error::{Error, Result};
use crate::group::Group;
use crate::nn::{Bound, GroupConvolution, Parameters};
use crate::operators::LinearOperator;
use crate::tape::{Tape, Var};
use std::fmt::Debug;
use std::sync::Arc;

/// A network that reconstructs images from measurements. It owns no numbers: its parameters'
/// values are bound where it is recorded.
pub trait Network: Debug + Send + Sync {
    /// What is trained.
    fn parameters(&self) -> &Parameters;

    /// Records the reconstruction from `y`, `N` measurements of `operator`: images of shape `N
    /// channels H W`.
    ///
    /// # Errors
    /// [`Error::Shape`] if `y` or the extents of the images do not fit; those of the operator.
    fn reconstruct(
        &self,
        tape: &mut Tape,
        bound: &Bound,
        operator: &dyn LinearOperator,
        y: Var,
    ) -> Result<Var>;

    /// The symmetry group of its layers.
    fn group(&self) -> Group;

    /// Another handle on the same network.
    fn share(&self) -> Arc<dyn Network>;

    /// The network and [values](Parameters::values) with which it reconstructs the fastest: as
    /// they are where the layers are symmetric convolutions, which cost less than ordinary ones,
    /// else frozen where that is possible.
    ///
    /// # Errors
    /// [`Error::Shape`] if `values` are not this network's.
    fn deployed(&self, values: &[f32]) -> Result<(Arc<dyn Network>, Vec<f32>)> {
        check_values(self.parameters(), values)?;
        let symmetric = self.group().on_grid() && !self.group().is_trivial();
        if !symmetric && let Ok(frozen) = self.freeze(values) {
            return Ok(frozen);
        }
        Ok((self.share(), values.to_vec()))
    }

    /// The same network with ordinary convolutions (group C1) and the same output, and its values:
    /// for runtimes that know plain convolutions only.
    ///
    /// # Errors
    /// [`Error::Config`] if it has layers that ordinary ones cannot express;
    /// [`Error::Shape`] if `values` are not this network's.
    fn freeze(&self, values: &[f32]) -> Result<(Arc<dyn Network>, Vec<f32>)>;
}

/// The values of a network of ordinary convolutions whose layers, parameters `to`, are those of
/// another, parameters `from`, with these `values`, frozen.
fn frozen_values<'a>(
    layers: impl Iterator<Item = (&'a GroupConvolution, &'a GroupConvolution)>,
    [from, to]: [&Parameters; 2],
    values: &[f32],
) -> Vec<f32> {
    let mut frozen = vec![0.0; to.values()];
    for (layer, target) in layers {
        target.thaw(to, &mut frozen, layer.freeze(from, values));
    }
    frozen
}

/// What a network must know of the operator that it is made for.
#[derive(Clone, PartialEq, Debug)]
pub struct OperatorFacts {
    /// Channels of an image: 1, or 2 for a complex one.
    pub channels: usize,
    /// Rows and columns of an image, for the networks that fit one size only.
    pub size: [usize; 2],
    /// Channels of a measurement.
    pub measurement_channels: usize,
    /// The operator's norm.
    pub norm: f64,
    /// Whether the measurement closes onto itself: [`LinearOperator::closed_views`].
    pub closed_views: bool,
}

impl OperatorFacts {
    /// Those of `operator`, whose norm is `norm`.
    pub fn of(operator: &dyn LinearOperator, norm: f64) -> Self {
        OperatorFacts {
            channels: operator.domain().c(),
            size: [operator.domain().h(), operator.domain().w()],
            measurement_channels: operator.range().c(),
            norm,
            closed_views: operator.closed_views(),
        }
    }

    fn views(&self) -> &'static str {
        match self.closed_views {
            true => "views equally spaced on half a turn",
            false => "measurements without that symmetry",
        }
    }
}

/// Verifies that an operator's norm is a positive number.
fn check_norm(norm: f64) -> Result<()> {
    match norm.is_finite() && norm > 0.0 {
        true => Ok(()),
        false => Err(Error::NotFinite(format!(
            "the operator's norm is {norm}: the measurements would not depend on the image"
        ))),
    }
}

/// Verifies that `values` may be those of `parameters`.
fn check_values(parameters: &Parameters, values: &[f32]) -> Result<()> {
    match values.len() == parameters.values() {
        true => Ok(()),
        false => Err(Error::shape(
            "freeze",
            format!(
                "{} values for a network of {}",
                values.len(),
                parameters.values()
            ),
        )),
    }
}
