//! Convolution, normalisation, nonlinearity, dropout: the unit that networks repeat.

use super::fields::NonlinearityKind;
use crate::error::Result;
use crate::group::FieldType;
use crate::nn::{
    BasisKind, Bound, ConvolutionConfig, FieldDropout, Gated, GroupConvolution, NormNonlinearity,
    Normalisation, NormalisationKind, Parameters, pointwise,
};
use crate::shape::Padding;
use crate::tape::{Tape, Var};

/// The seed of dropped fields; the draws differ with the training step.
const DROPOUT_SEED: u64 = 0x5eed;

/// What the stages of one network have in common.
#[derive(Clone, Debug)]
pub(super) struct StageConfig {
    pub size: usize,
    pub padding: Padding,
    pub basis: BasisKind,
    pub bias: bool,
    pub normalisation: NormalisationKind,
    pub nonlinearity: NonlinearityKind,
    /// Of the pointwise nonlinearity, a leaky ReLU.
    pub slope: f32,
    pub dropout: f32,
}

#[derive(Clone, Debug)]
enum Nonlinearity {
    Pointwise { slope: f32 },
    Norm(NormNonlinearity),
    Gated(Gated),
}

/// One stage.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    convolution: GroupConvolution,
    normalisation: Option<Normalisation>,
    nonlinearity: Nonlinearity,
    output: FieldType,
    dropout: Option<FieldDropout>,
}

/// Fields and gates of this variance `g` leave a gated nonlinearity with variance 1:
/// `g E[sigmoid(sqrt(g) z)^2] = 1` for standard normal `z`.
const GATED_GAIN: f64 = 2.98;

impl Stage {
    /// Registers its parameters under `NAME`. `stream` tells the layers of a network apart.
    ///
    /// # Errors
    /// Those of the layers.
    pub fn new(
        parameters: &mut Parameters,
        name: &str,
        stream: u32,
        [input, output]: [&FieldType; 2],
        config: &StageConfig,
    ) -> Result<Self> {
        let gated = Gated::new(output);
        let (between, gain) = match config.nonlinearity {
            NonlinearityKind::Pointwise => (
                output.clone(),
                2.0 / (1.0 + f64::from(config.slope).powi(2)),
            ),
            NonlinearityKind::Norm => (output.clone(), 1.0),
            NonlinearityKind::Gated => (gated.input()?, GATED_GAIN),
        };
        let convolution = ConvolutionConfig {
            size: config.size,
            padding: config.padding,
            basis: config.basis,
            // A normalisation has a bias of its own.
            bias: config.bias && config.normalisation == NormalisationKind::None,
            gain,
            ..ConvolutionConfig::new(input.clone(), between.clone())
        };
        let convolution = GroupConvolution::new(parameters, name, &convolution)?;
        let normalisation = format!("{name}.norm");
        Ok(Stage {
            convolution,
            normalisation: Normalisation::new(
                parameters,
                &normalisation,
                config.normalisation,
                &between,
            )?,
            nonlinearity: match config.nonlinearity {
                NonlinearityKind::Pointwise => Nonlinearity::Pointwise {
                    slope: config.slope,
                },
                NonlinearityKind::Norm => {
                    Nonlinearity::Norm(NormNonlinearity::new(parameters, name, output))
                }
                NonlinearityKind::Gated => Nonlinearity::Gated(gated),
            },
            output: output.clone(),
            dropout: (config.dropout > 0.0)
                .then(|| FieldDropout::new(output, config.dropout, DROPOUT_SEED, stream))
                .transpose()?,
        })
    }

    /// Records it on `x`, `N C H W`.
    ///
    /// # Errors
    /// [`crate::error::Error::Shape`] if the channels do not fit.
    pub fn forward(&self, tape: &mut Tape, bound: &Bound, x: Var) -> Result<Var> {
        let mut y = self.convolution.forward(tape, bound, x)?;
        if let Some(normalisation) = &self.normalisation {
            y = normalisation.forward(tape, bound, y)?;
        }
        y = match &self.nonlinearity {
            Nonlinearity::Pointwise { slope } => pointwise(tape, &self.output, y, *slope)?,
            Nonlinearity::Norm(norm) => norm.forward(tape, bound, y)?,
            Nonlinearity::Gated(gated) => gated.forward(tape, y)?,
        };
        match &self.dropout {
            Some(dropout) => dropout.forward(tape, bound, y),
            None => Ok(y),
        }
    }

    /// The stage's convolution, which is all there is to freeze where it has no normalisation and a
    /// pointwise nonlinearity.
    pub fn convolution(&self) -> &GroupConvolution {
        &self.convolution
    }
}
