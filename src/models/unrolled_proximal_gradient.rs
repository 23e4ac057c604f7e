//! Unrolled proximal gradient descent whose proximal operator is a network (Chen et al. 2023, section
//! III-B and figure 3; with tied weights, MoDL-like schemes).

use super::{
    DenoisingCnnConfig, ModelConfig, Network, OperatorFacts, Start, check_norm, check_values,
};
use crate::error::{Error, Result};
use crate::group::Group;
use crate::nn::{Bound, Initial, ParameterId, Parameters, Part};
use crate::operators::{Identity, LinearOperator};
use crate::shape::Shape;
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The step along the data term's gradient.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepSize {
    /// `1 / ||A||^2`.
    Norm,
    /// A learned multiple of that, which starts at 1: one for each block, or one in all if the
    /// blocks are tied.
    #[default]
    Learned,
}

/// Settings.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnrolledProximalGradientConfig {
    /// Unrolled iterations.
    pub blocks: usize,
    /// All blocks share their weights and the step.
    pub tied: bool,
    /// The step along the gradient.
    pub step: StepSize,
    /// The image before the first block.
    pub start: Start,
    /// The network in place of the proximal operator: `"dncnn"`, `"unet"` or `"fully_connected"`, with
    /// their settings. Its symmetry group is that of the whole.
    pub proximal: Box<ModelConfig>,
}

impl Default for UnrolledProximalGradientConfig {
    fn default() -> Self {
        let proximal = DenoisingCnnConfig {
            depth: 5,
            ..DenoisingCnnConfig::default()
        };
        UnrolledProximalGradientConfig {
            blocks: 8,
            tied: false,
            step: StepSize::Learned,
            start: Start::Zero,
            proximal: Box::new(ModelConfig::DenoisingCnn(proximal)),
        }
    }
}

/// One iteration `u -> D(u - tau A^T (A u - y))`.
#[derive(Clone, Debug)]
struct Block {
    proximal: Arc<dyn Network>,
    part: Part,
    /// The multiple of the network's step, if it is learned.
    step: Option<ParameterId>,
}

/// The unrolled network. It knows the norm of the operator that it was made for, not the operator
/// itself.
///
/// A residual proximal network that has not been trained is the identity: untrained, the whole is
/// gradient descent ([`Landweber`](crate::solvers::Landweber)).
#[derive(Clone, Debug)]
pub struct UnrolledProximalGradient {
    config: UnrolledProximalGradientConfig,
    parameters: Parameters,
    /// One if they are tied.
    blocks: Vec<Block>,
    /// `1 / ||A||^2`.
    step: f32,
}

impl UnrolledProximalGradient {
    /// A network for operators like `operator`.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range, the proximal network is an unrolled one itself,
    /// or tied ones keep running statistics; those of building the proximal network;
    /// [`Error::NotFinite`] if the operator's norm is not a positive number.
    pub fn new(config: &UnrolledProximalGradientConfig, operator: &OperatorFacts) -> Result<Self> {
        let bad = |what: String| Err(Error::Config(format!("[model] {what}")));
        if !(1..=64).contains(&config.blocks) {
            return bad(format!("blocks = {}: between 1 and 64", config.blocks));
        }
        match *config.proximal {
            ModelConfig::DenoisingCnn(_)
            | ModelConfig::UNet(_)
            | ModelConfig::FullyConnected(_) => {}
            _ => {
                return bad(
                    "proximal.kind: what stands for a proximal operator maps images to images: dncnn, unet or fully_connected"
                        .into(),
                );
            }
        }
        check_norm(operator.norm)?;
        // Where images are measured as they are.
        let images = OperatorFacts {
            measurement_channels: operator.channels,
            norm: 1.0,
            closed_views: false,
            ..operator.clone()
        };
        let proximal = config.proximal.build(&images)?;
        if config.tied && config.blocks > 1 && proximal.parameters().has_statistics() {
            return bad(
                "tied = true: every block would update the running statistics of the same batch normalisation; use normalisation = \"instance\" or \"none\", or blocks that are not tied"
                    .into(),
            );
        }
        let distinct = if config.tied { 1 } else { config.blocks };
        let step = (1.0 / (operator.norm * operator.norm)) as f32;
        Ok(Self::of(config, vec![proximal; distinct], step))
    }

    /// Of these networks.
    fn of(
        config: &UnrolledProximalGradientConfig,
        proximal: Vec<Arc<dyn Network>>,
        step: f32,
    ) -> Self {
        let mut parameters = Parameters::new();
        let mut block = |(i, proximal): (usize, Arc<dyn Network>)| Block {
            part: parameters.append(&i.to_string(), proximal.parameters()),
            step: (config.step == StepSize::Learned).then(|| {
                let one = Initial::Constant(1.0);
                parameters.add(format!("{i}.step"), Shape::SCALAR, one)
            }),
            proximal,
        };
        let blocks = proximal.into_iter().enumerate().map(&mut block).collect();
        UnrolledProximalGradient {
            config: config.clone(),
            parameters,
            blocks,
            step,
        }
    }
}

impl Network for UnrolledProximalGradient {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// From the [start](Start), `blocks` times `u = D(u - tau grad E(u))`.
    fn reconstruct(
        &self,
        tape: &mut Tape,
        bound: &Bound,
        operator: &dyn LinearOperator,
        y: Var,
    ) -> Result<Var> {
        let images = Identity::new(operator.domain());
        let mut u = self.config.start.record(tape, operator, y)?;
        for i in 0..self.config.blocks {
            let block = &self.blocks[if self.config.tied { 0 } else { i }];
            let gradient = operator.gradient(tape, u, y)?;
            let mut step = tape.scale(gradient, self.step);
            if let Some(multiple) = block.step {
                step = tape.mul(step, bound.get(multiple))?;
            }
            let moved = tape.sub(u, step)?;
            let own = bound.part(&block.part, i);
            u = block.proximal.reconstruct(tape, &own, &images, moved)?;
        }
        Ok(u)
    }

    fn group(&self) -> Group {
        self.config.proximal.group()
    }

    fn share(&self) -> Arc<dyn Network> {
        Arc::new(self.clone())
    }

    fn freeze(&self, values: &[f32]) -> Result<(Arc<dyn Network>, Vec<f32>)> {
        check_values(&self.parameters, values)?;
        let frozen = self.blocks.iter().map(|block| {
            let ranges = self.parameters.ranges(&block.part);
            let own: Vec<f32> = ranges.flat_map(|r| &values[r]).copied().collect();
            block.proximal.freeze(&own)
        });
        let (networks, own): (Vec<_>, Vec<_>) =
            frozen.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let frozen = Self::of(&self.config, networks, self.step);
        let mut result = vec![0.0; frozen.parameters.values()];
        for ((from, to), own) in self.blocks.iter().zip(&frozen.blocks).zip(own) {
            let mut rest = &own[..];
            for range in frozen.parameters.ranges(&to.part) {
                let (part, after) = rest.split_at(range.len());
                result[range].copy_from_slice(part);
                rest = after;
            }
            if let (Some(from), Some(to)) = (from.step, to.step) {
                result[frozen.parameters.range(to)]
                    .copy_from_slice(&values[self.parameters.range(from)]);
            }
        }
        Ok((Arc::new(frozen), result))
    }
}

#[cfg(test)]
mod tests {
    use super::super::UNetConfig;
    use super::*;
    use crate::nn::NormalisationKind;
    use crate::operators::RayTransform;
    use crate::shape::RayGeometry;
    use crate::tape::reference::{Feeds, evaluate};

    fn small(group: Group) -> DenoisingCnnConfig {
        DenoisingCnnConfig {
            group,
            width: 8,
            depth: 3,
            ..Default::default()
        }
    }

    fn config() -> UnrolledProximalGradientConfig {
        UnrolledProximalGradientConfig {
            blocks: 3,
            proximal: Box::new(ModelConfig::DenoisingCnn(small(Group::cyclic(4)))),
            ..Default::default()
        }
    }

    fn operator() -> RayTransform {
        RayTransform::new(RayGeometry::parallel([8, 8], 0.36, 6, 12))
    }

    fn facts(norm: f64) -> OperatorFacts {
        OperatorFacts::of(&operator(), norm)
    }

    /// The network's image of a sinogram in f64, with these values.
    fn image(network: &dyn Network, values: &[f32]) -> Vec<f64> {
        let operator = operator();
        let mut tape = Tape::new();
        let (_, bound) = network.parameters().bind(&mut tape).expect("fits");
        let y = tape.input("y", operator.range());
        let output = network
            .reconstruct(&mut tape, &bound, &operator, y)
            .expect("fits");
        let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        let states = network.parameters().states();
        let mut feeds: Feeds = states
            .map(|(name, _, range)| (name.to_string(), wide(&values[range])))
            .collect();
        feeds.insert("y".into(), sinogram());
        evaluate(&tape, &mut feeds, &[output])
            .expect("evaluates")
            .concat()
    }

    fn sinogram() -> Vec<f64> {
        (0..operator().range().elements())
            .map(|i| (i % 7) as f64 * 1e-2)
            .collect()
    }

    #[test]
    fn untrained_it_is_gradient_descent_with_the_learned_steps() {
        let norm = 0.4;
        let network = UnrolledProximalGradient::new(&config(), &facts(norm)).expect("valid");
        let mut values = network.parameters().initial(1);
        let multiples = [1.5f32, 0.5, 1.25];
        for (block, multiple) in network.blocks.iter().zip(multiples) {
            let id = block.step.expect("learned");
            values[network.parameters.range(id)].fill(multiple);
        }
        let found = image(&network, &values);
        // By the twins of the kernels.
        use crate::reference::ray_transform::{adjoint, forward};
        let beam = RayGeometry::parallel([8, 8], 0.36, 6, 12);
        let mut u = vec![0.0; 64];
        for multiple in multiples {
            let mut residual = forward(&u, 1, &beam).value;
            for (r, y) in residual.iter_mut().zip(sinogram()) {
                *r -= y;
            }
            let step = f64::from((1.0 / (norm * norm)) as f32) * f64::from(multiple);
            for (u, g) in u.iter_mut().zip(adjoint(&residual, 1, &beam).value) {
                *u -= step * g;
            }
        }
        let largest = u.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        assert!(largest > 1e-3);
        for (a, b) in found.iter().zip(&u) {
            assert!((a - b).abs() < 1e-12 * largest, "{a} {b}");
        }
    }

    #[test]
    fn tied_blocks_share_everything() {
        let count = |tied, step| {
            let config = UnrolledProximalGradientConfig {
                tied,
                step,
                ..config()
            };
            let network = UnrolledProximalGradient::new(&config, &facts(1.0)).expect("valid");
            network.parameters().count()
        };
        let one = ModelConfig::DenoisingCnn(small(Group::cyclic(4)));
        let one = one.build(&facts(1.0)).expect("valid").parameters().count();
        assert_eq!(count(true, StepSize::Norm), one);
        assert_eq!(count(true, StepSize::Learned), one + 1);
        assert_eq!(count(false, StepSize::Norm), 3 * one);
        assert_eq!(count(false, StepSize::Learned), 3 * (one + 1));
    }

    #[test]
    fn frozen_it_computes_the_same() {
        for tied in [false, true] {
            let config = UnrolledProximalGradientConfig { tied, ..config() };
            let network = UnrolledProximalGradient::new(&config, &facts(0.4)).expect("valid");
            // Every value counts: none is that of an untrained network.
            let mut values = network.parameters().initial(1);
            let layout: Vec<_> = network.parameters().layout().map(|(_, _, r)| r).collect();
            for (k, range) in layout.into_iter().enumerate() {
                for (i, value) in values[range].iter_mut().enumerate() {
                    *value += 0.1 * ((7 * k + i) as f32).sin();
                }
            }
            let (frozen, own) = network.freeze(&values).expect("pointwise");
            assert!(
                frozen.group().is_trivial()
                    || frozen.parameters().count() > network.parameters().count()
            );
            let (a, b) = (image(&network, &values), image(&*frozen, &own));
            let largest = a.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            for (a, b) in a.iter().zip(&b) {
                // Expanded kernels are rounded to single precision.
                assert!((a - b).abs() < 1e-5 * largest, "{a} {b}");
            }
        }
    }

    #[test]
    fn what_cannot_be_unrolled_is_refused() {
        let refused = |config: UnrolledProximalGradientConfig, part: &str| {
            let error = UnrolledProximalGradient::new(&config, &facts(1.0)).map(|_| ());
            let error = error.expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
        };
        refused(
            UnrolledProximalGradientConfig {
                blocks: 0,
                ..config()
            },
            "blocks = 0",
        );
        let nested = Box::new(ModelConfig::UnrolledProximalGradient(config()));
        refused(
            UnrolledProximalGradientConfig {
                proximal: nested,
                ..config()
            },
            "proximal.kind",
        );
        let normalised = UNetConfig {
            width: 8,
            levels: 1,
            normalisation: NormalisationKind::Batch,
            ..Default::default()
        };
        let config = UnrolledProximalGradientConfig {
            tied: true,
            proximal: Box::new(ModelConfig::UNet(normalised)),
            ..config()
        };
        refused(config.clone(), "running statistics");
        let untied = UnrolledProximalGradientConfig {
            tied: false,
            ..config
        };
        UnrolledProximalGradient::new(&untied, &facts(1.0)).expect("each block has its own");
    }
}
