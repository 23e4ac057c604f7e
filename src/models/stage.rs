//! Convolution, normalisation, nonlinearity, dropout: the unit that networks repeat.

use super::fields::NonlinearityKind;
use crate::error::{Error, Result};
use crate::group::FieldType;
use crate::nn::{
    BasisKind, Bound, ConvolutionConfig, FieldDropout, Gated, GroupConvolution, NormNonlinearity,
    Normalisation, NormalisationKind, Parameters, pointwise,
};
use crate::shape::Padding;
use crate::tape::{Tape, Var};

/// The seed of dropped fields; the draws differ with the training step.
const DROPOUT_SEED: u64 = 0x5eed;

/// Verifies the slope of a leaky ReLU.
pub(super) fn check_slope(slope: f32) -> Result<()> {
    match slope > 0.0 && slope < 1.0 {
        true => Ok(()),
        false => Err(Error::Config(format!(
            "[model] slope = {slope}: above 0 and below 1"
        ))),
    }
}

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
    /// [`Error::Shape`] if the channels do not fit.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{Group, Representation};
    use crate::shape::Shape;
    use crate::tape::reference::{Feeds, evaluate};

    /// Stages one after another.
    const DEPTH: usize = 16;

    /// The variance that leaves a deep random network for independent inputs of variance 1: the
    /// geometric mean over seeds. Circular padding, so that no border takes from it. Kernels of the
    /// harmonic basis are smooth, and so is what they make: it grows by what neighbours have in
    /// common, most where nothing between the layers makes it rough again (norm nonlinearities).
    fn variance(fields: &FieldType, basis: BasisKind, nonlinearity: NonlinearityKind) -> f64 {
        let config = StageConfig {
            size: 3,
            padding: Padding::Circular,
            basis,
            bias: true,
            normalisation: NormalisationKind::None,
            nonlinearity,
            slope: 0.01,
            dropout: 0.0,
        };
        let mut parameters = Parameters::new();
        let stages: Vec<Stage> = (0..DEPTH)
            .map(|i| {
                let name = i.to_string();
                Stage::new(&mut parameters, &name, 0, [fields, fields], &config).expect("valid")
            })
            .collect();
        let shape = Shape::new(1, fields.channels(), 8, 8);
        let mut tape = Tape::new();
        let (_, bound) = parameters.bind(&mut tape).expect("binds");
        let x = tape.input("x", shape);
        let y = (stages.iter())
            .try_fold(x, |x, stage| stage.forward(&mut tape, &bound, x))
            .expect("fits");
        let seeds = 0..4;
        let logs = seeds.clone().map(|seed| {
            use crate::reference::random::{Draw, normal};
            let mut feeds: Feeds = [(
                "x".to_string(),
                normal(Draw::new(seed, 9), shape.elements()),
            )]
            .into();
            let values = parameters
                .initial(seed)
                .iter()
                .map(|&v| f64::from(v))
                .collect();
            feeds.insert(Parameters::STATE.into(), values);
            let y = evaluate(&tape, &mut feeds, &[y])
                .expect("evaluates")
                .concat();
            // The second moment: what the next stage multiplies.
            (y.iter().map(|v| v * v).sum::<f64>() / y.len() as f64).ln()
        });
        (logs.sum::<f64>() / seeds.count() as f64).exp()
    }

    #[test]
    fn a_deep_random_network_keeps_its_variance() {
        let c4 = Group::cyclic(4);
        let of = |representation: &str, n: usize| {
            let parsed = Representation::parse(representation, c4).expect("of C4");
            let summands = match parsed {
                Representation::Sum(summands) => summands,
                single => vec![single],
            };
            let blocks = summands.into_iter().map(|r| (r, n)).collect();
            FieldType::mixed(c4, blocks).expect("of C4")
        };
        for (representation, n, basis, nonlinearity) in [
            (
                "regular",
                8,
                BasisKind::Complete,
                NonlinearityKind::Pointwise,
            ),
            (
                "regular",
                8,
                BasisKind::Harmonic,
                NonlinearityKind::Pointwise,
            ),
            (
                "irrep(0)+irrep(1)",
                10,
                BasisKind::Complete,
                NonlinearityKind::Gated,
            ),
            (
                "irrep(0)+irrep(1)",
                10,
                BasisKind::Complete,
                NonlinearityKind::Norm,
            ),
        ] {
            let variance = variance(&of(representation, n), basis, nonlinearity);
            let each = variance.powf(1.0 / DEPTH as f64);
            println!(
                "{representation} {basis:?} {nonlinearity:?}: {variance:.3}, {each:.3} a stage"
            );
            assert!(
                (0.85..1.18).contains(&each),
                "{representation} {basis:?} {nonlinearity:?}: {variance}"
            );
        }
    }
}
