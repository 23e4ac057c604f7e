//! Learned proximal gradient descent (Celledoni et al. 2021, Algorithm 2 and eq. 11).

use super::stage::check_slope;
use super::{Network, Start, check_norm, check_values, frozen_values};
use crate::error::{Error, Result};
use crate::group::{FieldType, Group};
use crate::nn::{
    BasisKind, Bound, ConvolutionConfig, GroupConvolution, Initial, ParameterId, Parameters,
    regular_fields,
};
use crate::operators::LinearOperator;
use crate::shape::{Padding, Shape};
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How the data term's gradient is scaled before the network sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GradientScale {
    /// Not at all, as in the published code.
    None,
    /// By `1 / ||A||^2`.
    #[default]
    Norm,
    /// By a learned multiple of `1 / ||A||^2` for each block, which starts at 1.
    Learned,
}

/// Settings; the defaults are the paper's.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LearnedProximalGradientConfig {
    /// Symmetry group of the blocks; `C1` is the ordinary network.
    pub group: Group,
    /// Channels inside a block: the group's order times the number of regular fields.
    pub width: usize,
    /// Unrolled iterations.
    pub blocks: usize,
    /// Channels that are carried from block to block beside the image.
    pub memory: usize,
    /// Kernel size.
    pub kernel_size: usize,
    /// Kernels that the layers span.
    pub basis: BasisKind,
    /// Padding of the convolutions.
    pub padding: Padding,
    /// Slope of the leaky ReLU.
    pub slope: f32,
    /// A leaky ReLU also follows the lifting convolution (as in the published code, not in eq. 11).
    pub activation_after_lift: bool,
    /// Scale of the gradient channel.
    pub gradient_scale: GradientScale,
    /// The image before the first block.
    pub start: Start,
    /// A block's image is added to the one before it, instead of taking its place; the projections
    /// then start at zero, so that an untrained network returns the image it starts from.
    pub residual: bool,
    /// All blocks share their weights.
    pub tied: bool,
    /// Inner activations are computed again in the backward pass instead of being kept.
    pub recompute: bool,
}

impl Default for LearnedProximalGradientConfig {
    fn default() -> Self {
        LearnedProximalGradientConfig {
            group: Group::cyclic(4),
            width: 96,
            blocks: 8,
            memory: 5,
            kernel_size: 3,
            basis: BasisKind::Complete,
            padding: Padding::Replicate,
            slope: 0.01,
            activation_after_lift: true,
            gradient_scale: GradientScale::Norm,
            start: Start::Zero,
            residual: false,
            tied: false,
            recompute: false,
        }
    }
}

/// One learned proximal operator:
/// `K_project o (id + phi o K_intermediate) o phi o K_lift`.
#[derive(Clone, Debug)]
struct Block {
    lift: GroupConvolution,
    intermediate: GroupConvolution,
    projection: GroupConvolution,
    scale: Option<ParameterId>,
}

/// The unrolled network. It knows the channels of its images and the norm of the operator it was
/// made for, not the operator itself.
#[derive(Clone, Debug)]
pub struct LearnedProximalGradient {
    config: LearnedProximalGradientConfig,
    parameters: Parameters,
    blocks: Vec<Block>,
    channels: usize,
    scale: f32,
}

impl LearnedProximalGradient {
    /// A network for images with `channels` channels (1, or 2 for complex ones) and an operator of
    /// norm `operator_norm`.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range or the group has no such basis.
    pub fn new(
        config: &LearnedProximalGradientConfig,
        channels: usize,
        operator_norm: f64,
    ) -> Result<Self> {
        let bad = |what: String| Err(Error::Config(format!("[model] {what}")));
        if !(1..=64).contains(&config.blocks) {
            return bad(format!("blocks = {}: between 1 and 64", config.blocks));
        }
        if config.memory > 64 || config.width > 1024 {
            return bad(format!(
                "memory = {}, width = {}: at most 64 and 1024",
                config.memory, config.width
            ));
        }
        check_slope(config.slope)?;
        check_norm(operator_norm)?;
        let scale = match config.gradient_scale {
            GradientScale::None => 1.0,
            GradientScale::Norm | GradientScale::Learned => {
                (1.0 / (operator_norm * operator_norm)) as f32
            }
        };
        let mut parameters = Parameters::new();
        let distinct = if config.tied { 1 } else { config.blocks };
        let blocks = (0..distinct)
            .map(|i| Block::new(&mut parameters, i, config, channels))
            .collect::<Result<_>>()?;
        Ok(LearnedProximalGradient {
            config: config.clone(),
            parameters,
            blocks,
            channels,
            scale,
        })
    }

    /// The settings.
    pub fn config(&self) -> &LearnedProximalGradientConfig {
        &self.config
    }

    /// One proximal operator (eq. 11).
    fn prox(&self, tape: &mut Tape, bound: &Bound, block: &Block, input: Var) -> Result<Var> {
        let slope = self.config.slope;
        let mut lifted = block.lift.forward(tape, bound, input)?;
        if self.config.activation_after_lift {
            lifted = tape.leaky_relu(lifted, slope);
        }
        let inner = block.intermediate.forward(tape, bound, lifted)?;
        let inner = tape.leaky_relu(inner, slope);
        let sum = tape.add(lifted, inner)?;
        block.projection.forward(tape, bound, sum)
    }
}

impl Network for LearnedProximalGradient {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Algorithm 2: from `u = 0` (or another [start](Start)), `s = 0`, `blocks` times
    /// `(u, s) = prox_i(u, s, grad E(u))`.
    fn reconstruct(
        &self,
        tape: &mut Tape,
        bound: &Bound,
        operator: &dyn LinearOperator,
        y: Var,
    ) -> Result<Var> {
        let image = operator.domain().with(0, y.shape().n());
        let mut u = self.config.start.record(tape, operator, y)?;
        let mut s = match self.config.memory {
            0 => None,
            memory => {
                let zero = tape.scalar(0.0);
                Some(tape.broadcast(zero, image.with(1, memory))?)
            }
        };
        for i in 0..self.config.blocks {
            let block = &self.blocks[if self.config.tied { 0 } else { i }];
            let gradient = operator.gradient(tape, u, y)?;
            let gradient = match self.scale {
                1.0 => gradient,
                scale => tape.scale(gradient, scale),
            };
            let gradient = match block.scale {
                Some(multiple) => tape.mul(gradient, bound.get(multiple))?,
                None => gradient,
            };
            let input: Vec<Var> = [Some(u), Some(gradient), s].into_iter().flatten().collect();
            let input = tape.concat(&input, 1)?;
            let output = if self.config.recompute {
                tape.recomputed(|tape| self.prox(tape, bound, block, input))?
            } else {
                self.prox(tape, bound, block, input)?
            };
            let image = tape.slice(output, 1, 0, self.channels)?;
            u = match self.config.residual {
                true => tape.add(u, image)?,
                false => image,
            };
            s = s
                .map(|_| tape.slice(output, 1, self.channels, self.config.memory))
                .transpose()?;
        }
        Ok(u)
    }

    fn group(&self) -> Group {
        self.config.group
    }

    fn share(&self) -> Arc<dyn Network> {
        Arc::new(self.clone())
    }

    fn freeze(&self, values: &[f32]) -> Result<(Arc<dyn Network>, Vec<f32>)> {
        check_values(&self.parameters, values)?;
        let config = LearnedProximalGradientConfig {
            group: Group::TRIVIAL,
            basis: BasisKind::Complete,
            ..self.config.clone()
        };
        // The norm enters through the scale alone, which is copied.
        let mut frozen = LearnedProximalGradient::new(&config, self.channels, 1.0)?;
        frozen.scale = self.scale;
        let layers = self.blocks.iter().zip(&frozen.blocks);
        let layers = layers.flat_map(|(from, to)| from.layers().into_iter().zip(to.layers()));
        let parameters = [&self.parameters, &frozen.parameters];
        let mut frozen_values = frozen_values(layers, parameters, values);
        for (from, to) in self.blocks.iter().zip(&frozen.blocks) {
            if let (Some(from), Some(to)) = (from.scale, to.scale) {
                frozen_values[frozen.parameters.range(to)]
                    .copy_from_slice(&values[self.parameters.range(from)]);
            }
        }
        Ok((Arc::new(frozen), frozen_values))
    }
}

impl Block {
    fn new(
        parameters: &mut Parameters,
        index: usize,
        config: &LearnedProximalGradientConfig,
        channels: usize,
    ) -> Result<Self> {
        let inner = regular_fields(config.group, config.width, "[model] width")?;
        let scalars = |channels| FieldType::trivial(config.group, channels);
        let mut layer = |name: &str, input: &FieldType, output: &FieldType, zero: bool| {
            let config = ConvolutionConfig {
                size: config.kernel_size,
                padding: config.padding,
                basis: config.basis,
                gain: if zero { 0.0 } else { 1.0 },
                ..ConvolutionConfig::new(input.clone(), output.clone())
            };
            GroupConvolution::new(parameters, &format!("{index}.{name}"), &config)
        };
        let lift = layer(
            "lift",
            &scalars(2 * channels + config.memory),
            &inner,
            false,
        )?;
        let intermediate = layer("intermediate", &inner, &inner, true)?;
        let projection = layer(
            "projection",
            &inner,
            &scalars(channels + config.memory),
            config.residual,
        )?;
        let learned = config.gradient_scale == GradientScale::Learned;
        Ok(Block {
            lift,
            intermediate,
            projection,
            scale: learned.then(|| {
                parameters.add(
                    format!("{index}.gradient_scale"),
                    Shape::SCALAR,
                    Initial::Constant(1.0),
                )
            }),
        })
    }

    fn layers(&self) -> [&GroupConvolution; 3] {
        [&self.lift, &self.intermediate, &self.projection]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::RayTransform;
    use crate::shape::RayGeometry;
    use crate::tape::reference::evaluate;

    fn count(group: Group, basis: BasisKind, channels: usize) -> usize {
        let config = LearnedProximalGradientConfig {
            group,
            basis,
            ..Default::default()
        };
        LearnedProximalGradient::new(&config, channels, 1.0)
            .expect("valid")
            .parameters()
            .count()
    }

    #[test]
    fn parameter_counts_are_the_published_ones() {
        let (complete, harmonic) = (BasisKind::Complete, BasisKind::Harmonic);
        assert_eq!(count(Group::cyclic(1), complete, 1), 754_992);
        assert_eq!(count(Group::cyclic(1), complete, 2), 775_736);
        assert_eq!(count(Group::cyclic(4), complete, 1), 188_784);
        assert_eq!(count(Group::cyclic(4), harmonic, 1), 126_000);
        assert_eq!(count(Group::cyclic(4), harmonic, 2), 129_464);
        for (m, expected) in [
            (2, 251_952),
            (3, 167_984),
            (6, 84_016),
            (8, 63_024),
            (12, 42_032),
        ] {
            assert_eq!(count(Group::cyclic(m), harmonic, 1), expected, "C{m}");
        }
    }

    #[test]
    fn an_untrained_residual_network_returns_its_start() {
        let beam = RayGeometry::parallel([8, 8], 0.36, 6, 12);
        let operator = RayTransform::new(beam);
        let config = LearnedProximalGradientConfig {
            width: 8,
            blocks: 2,
            start: Start::PseudoInverse,
            residual: true,
            ..Default::default()
        };
        let model = LearnedProximalGradient::new(&config, 1, 0.3).expect("valid");
        let mut tape = Tape::new();
        let (_, bound) = model.parameters().bind(&mut tape).expect("fits");
        let y = tape.input("y", operator.range());
        let output = (model.reconstruct(&mut tape, &bound, &operator, y)).expect("fits");
        let start = operator.pseudo_inverse(&mut tape, y).expect("fits");
        let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        let sinogram = (0..operator.range().elements()).map(|i| (i % 7) as f64);
        let mut feeds = [
            ("y".to_string(), sinogram.collect()),
            (
                Parameters::STATE.to_string(),
                wide(&model.parameters().initial(1)),
            ),
        ]
        .into();
        let values = evaluate(&tape, &mut feeds, &[output, start]).expect("evaluates");
        assert_eq!(values[0], values[1]);
        assert!(values[0].iter().any(|v| *v != 0.0));
    }

    #[test]
    fn a_width_that_the_group_does_not_divide_is_refused() {
        let config = LearnedProximalGradientConfig {
            width: 10,
            ..Default::default()
        };
        let error = LearnedProximalGradient::new(&config, 1, 1.0).expect_err("refused");
        assert!(matches!(error, Error::Config(_)), "{error}");
        assert!(error.to_string().contains("multiple of the order 4"));
    }
}
