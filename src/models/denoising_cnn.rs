//! DnCNN (Zhang et al. 2017), ordinary and equivariant, with and without biases.

use super::fields::FieldsConfig;
use super::stage::{Stage, StageConfig, check_slope};
use super::{Network, check_values, frozen_values};
use crate::error::{Error, Result};
use crate::group::{FieldType, Group};
use crate::nn::{
    BasisKind, Bound, ConvolutionConfig, GroupConvolution, NormalisationKind, Parameters,
};
use crate::operators::LinearOperator;
use crate::shape::Padding;
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Settings; the defaults are the paper's depth and width.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DenoisingCnnConfig {
    /// Symmetry group of the layers; `C1` is the ordinary network.
    pub group: Group,
    /// Channels inside.
    pub width: usize,
    /// Convolutions.
    pub depth: usize,
    /// The fields inside.
    pub fields: FieldsConfig,
    /// Kernel size.
    pub kernel_size: usize,
    /// Kernels that the layers span.
    pub basis: BasisKind,
    /// Padding of the convolutions.
    pub padding: Padding,
    /// Slope of the leaky ReLU.
    pub slope: f32,
    /// Normalisation after each convolution but the first and the last.
    pub normalisation: NormalisationKind,
    /// Convolutions have biases. Without them, and without normalisation, the network is
    /// homogeneous: it treats all noise levels alike (Mohan et al. 2020; Chen et al. 2023, figure
    /// 6).
    pub bias: bool,
    /// The result is added to the pseudo-inverse instead of taking its place; the last layer then
    /// starts at zero.
    pub residual: bool,
    /// Probability with which a field is dropped in training.
    pub dropout: f32,
    /// Inner activations are computed again in the backward pass instead of being kept.
    pub recompute: bool,
}

impl Default for DenoisingCnnConfig {
    fn default() -> Self {
        DenoisingCnnConfig {
            group: Group::cyclic(4),
            width: 64,
            depth: 17,
            fields: FieldsConfig::default(),
            kernel_size: 3,
            basis: BasisKind::Complete,
            padding: Padding::Replicate,
            slope: 0.01,
            normalisation: NormalisationKind::None,
            bias: true,
            residual: true,
            dropout: 0.0,
            recompute: false,
        }
    }
}

/// The network: `depth` convolutions with nonlinearities between them.
#[derive(Clone, Debug)]
pub struct DenoisingCnn {
    config: DenoisingCnnConfig,
    parameters: Parameters,
    channels: usize,
    stages: Vec<Stage>,
    last: GroupConvolution,
}

impl DenoisingCnn {
    /// A network for images with `channels` channels (1, or 2 for complex ones).
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range or the group has no such layers.
    pub fn new(config: &DenoisingCnnConfig, channels: usize) -> Result<Self> {
        let bad = |what: String| Err(Error::Config(format!("[model] {what}")));
        if !(2..=64).contains(&config.depth) {
            return bad(format!("depth = {}: between 2 and 64", config.depth));
        }
        if config.width > 1024 {
            return bad(format!("width = {}: at most 1024", config.width));
        }
        check_slope(config.slope)?;
        let inner = config.fields.fields(config.group, config.width)?;
        let image = FieldType::trivial(config.group, channels);
        let mut parameters = Parameters::new();
        let stages = (0..config.depth - 1).map(|i| {
            let (input, normalisation) = match i {
                0 => (&image, NormalisationKind::None),
                _ => (&inner, config.normalisation),
            };
            let stage = StageConfig {
                size: config.kernel_size,
                padding: config.padding,
                basis: config.basis,
                bias: config.bias,
                normalisation,
                nonlinearity: config.fields.nonlinearity_of(config.group),
                slope: config.slope,
                dropout: config.dropout,
            };
            Stage::new(
                &mut parameters,
                &i.to_string(),
                i as u32,
                [input, &inner],
                &stage,
            )
        });
        let stages = stages.collect::<Result<_>>()?;
        let last = ConvolutionConfig {
            size: config.kernel_size,
            padding: config.padding,
            basis: config.basis,
            bias: config.bias,
            gain: if config.residual { 0.0 } else { 1.0 },
            ..ConvolutionConfig::new(inner, image)
        };
        let last = GroupConvolution::new(&mut parameters, "last", &last)?;
        Ok(DenoisingCnn {
            config: config.clone(),
            parameters,
            channels,
            stages,
            last,
        })
    }

    /// Records the network on images `x`, `N channels H W`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the channels do not fit.
    pub fn improve(&self, tape: &mut Tape, bound: &Bound, x: Var) -> Result<Var> {
        let mut y = x;
        for stage in &self.stages {
            y = match self.config.recompute {
                true => tape.recomputed(|tape| stage.forward(tape, bound, y))?,
                false => stage.forward(tape, bound, y)?,
            };
        }
        let y = self.last.forward(tape, bound, y)?;
        match self.config.residual {
            true => tape.add(x, y),
            false => Ok(y),
        }
    }

    fn convolutions(&self) -> impl Iterator<Item = &GroupConvolution> {
        (self.stages.iter().map(Stage::convolution)).chain([&self.last])
    }
}

impl Network for DenoisingCnn {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn reconstruct(
        &self,
        tape: &mut Tape,
        bound: &Bound,
        operator: &dyn LinearOperator,
        y: Var,
    ) -> Result<Var> {
        let x = operator.pseudo_inverse(tape, y)?;
        self.improve(tape, bound, x)
    }

    fn group(&self) -> Group {
        self.config.group
    }

    fn share(&self) -> Arc<dyn Network> {
        Arc::new(self.clone())
    }

    fn freeze(&self, values: &[f32]) -> Result<(Arc<dyn Network>, Vec<f32>)> {
        check_values(&self.parameters, values)?;
        (self.config.fields).check_freezable(self.config.group, self.config.normalisation)?;
        let config = DenoisingCnnConfig {
            group: Group::TRIVIAL,
            basis: BasisKind::Complete,
            ..self.config.clone()
        };
        let frozen = DenoisingCnn::new(&config, self.channels)?;
        let layers = self.convolutions().zip(frozen.convolutions());
        let values = frozen_values(layers, [&self.parameters, &frozen.parameters], values);
        Ok((Arc::new(frozen), values))
    }
}
