//! Learned primal-dual (Adler and Öktem 2018), ordinary and equivariant in both domains.

use super::stage::{Stage, StageConfig, check_slope};
use super::{
    Network, NonlinearityKind, OperatorFacts, Start, check_norm, check_values, frozen_values,
};
use crate::error::{Error, Result};
use crate::group::{FieldType, Group};
use crate::nn::{
    BasisKind, Bound, ConvolutionConfig, GroupConvolution, NormalisationKind, Parameters,
    TwistedConvolution, regular_fields,
};
use crate::operators::LinearOperator;
use crate::shape::Padding;
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Settings; the defaults are the paper's.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LearnedPrimalDualConfig {
    /// Symmetry group of the layers on images; `C1` is the ordinary network. On sinograms of
    /// equally spaced views a rotation is a shift of the views, and the layers there then have the
    /// symmetry that makes the whole network commute with it.
    pub group: Group,
    /// Channels inside the networks of both domains.
    pub width: usize,
    /// Unrolled iterations.
    pub iterations: usize,
    /// Images that are carried from iteration to iteration; the first is the reconstruction.
    pub primal: usize,
    /// Measurements that are carried from iteration to iteration.
    pub dual: usize,
    /// What each of the images is before the first iteration. The measurements start at zero.
    pub start: Start,
    /// Kernel size.
    pub kernel_size: usize,
    /// Kernels that the layers span.
    pub basis: BasisKind,
    /// Padding of the convolutions on images.
    pub padding: Padding,
    /// Slope of the leaky ReLU.
    pub slope: f32,
    /// Inner activations are computed again in the backward pass instead of being kept.
    pub recompute: bool,
}

impl Default for LearnedPrimalDualConfig {
    fn default() -> Self {
        LearnedPrimalDualConfig {
            group: Group::cyclic(4),
            width: 32,
            iterations: 10,
            primal: 5,
            dual: 5,
            start: Start::Zero,
            kernel_size: 3,
            basis: BasisKind::Complete,
            padding: Padding::Replicate,
            slope: 0.01,
            recompute: false,
        }
    }
}

/// The layers of one update: two stages and a projection.
#[derive(Clone, Debug)]
enum Update {
    /// On images, and on measurements without a symmetry.
    Plane(Box<([Stage; 2], GroupConvolution)>),
    /// On sinograms that close onto themselves.
    Twisted(Box<[TwistedConvolution; 3]>, f32),
}

impl Update {
    fn forward(&self, tape: &mut Tape, bound: &Bound, x: Var) -> Result<Var> {
        match self {
            Update::Plane(layers) => {
                let (stages, last) = &**layers;
                let y = stages
                    .iter()
                    .try_fold(x, |x, s| s.forward(tape, bound, x))?;
                last.forward(tape, bound, y)
            }
            Update::Twisted(layers, slope) => {
                let [first, second, last] = &**layers;
                let y = first.forward(tape, bound, x)?;
                let y = tape.leaky_relu(y, *slope);
                let y = second.forward(tape, bound, y)?;
                let y = tape.leaky_relu(y, *slope);
                last.forward(tape, bound, y)
            }
        }
    }
}

/// The unrolled network. It knows what it needs of the operator it was made for, not the operator
/// itself.
#[derive(Clone, Debug)]
pub struct LearnedPrimalDual {
    config: LearnedPrimalDualConfig,
    parameters: Parameters,
    operator: OperatorFacts,
    /// `1 / ||A||`.
    scale: f32,
    /// Dual and primal update of each iteration.
    iterations: Vec<[Update; 2]>,
}

impl LearnedPrimalDual {
    /// A network for operators like `operator`.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range or the group has no such layers;
    /// [`Error::NotFinite`] if the operator's norm is not a positive number.
    pub fn new(config: &LearnedPrimalDualConfig, operator: &OperatorFacts) -> Result<Self> {
        let bad = |what: String| Err(Error::Config(format!("[model] {what}")));
        if !(1..=64).contains(&config.iterations) {
            return bad(format!(
                "iterations = {}: between 1 and 64",
                config.iterations
            ));
        }
        if !(2..=64).contains(&config.primal) || !(1..=64).contains(&config.dual) {
            return bad(format!(
                "primal = {}, dual = {}: between 2 and 64, and between 1 and 64",
                config.primal, config.dual
            ));
        }
        if config.width > 1024 {
            return bad(format!("width = {}: at most 1024", config.width));
        }
        check_slope(config.slope)?;
        check_norm(operator.norm)?;
        let scale = (1.0 / operator.norm) as f32;
        let mut parameters = Parameters::new();
        let iterations = (0..config.iterations).map(|i| {
            let (measured, channels) = (operator.measurement_channels, operator.channels);
            let dual = [config.dual + 2, config.dual].map(|n| n * measured);
            let primal = [config.primal + 1, config.primal].map(|n| n * channels);
            Ok([
                dual_update(
                    &mut parameters,
                    &format!("{i}.dual"),
                    config,
                    operator,
                    dual,
                )?,
                plane(
                    &mut parameters,
                    &format!("{i}.primal"),
                    config,
                    config.group,
                    primal,
                )?,
            ])
        });
        let iterations = iterations.collect::<Result<_>>()?;
        Ok(LearnedPrimalDual {
            config: config.clone(),
            parameters,
            operator: operator.clone(),
            scale,
            iterations,
        })
    }

    fn layers(&self) -> Result<Vec<&GroupConvolution>> {
        let mut layers = Vec::new();
        for update in self.iterations.iter().flatten() {
            match update {
                Update::Plane(plane) => {
                    let (stages, last) = &**plane;
                    layers.extend(stages.iter().map(Stage::convolution).chain([last]));
                }
                Update::Twisted(..) => {
                    return Err(Error::Config(
                        "the network cannot be frozen to ordinary convolutions: its layers on sinograms read across the seam of the views".into(),
                    ));
                }
            }
        }
        Ok(layers)
    }
}

/// The update of the measurements from `channels[0]` to `channels[1]` channels. A rotation of the
/// image shifts the views of a closed sinogram; a mirror reverses their order as well.
fn dual_update(
    parameters: &mut Parameters,
    name: &str,
    config: &LearnedPrimalDualConfig,
    operator: &OperatorFacts,
    channels: [usize; 2],
) -> Result<Update> {
    if config.group.is_trivial() || !operator.closed_views {
        return plane(parameters, name, config, Group::TRIVIAL, channels);
    }
    let group = Group::dihedral(if config.group.has_mirrors() { 2 } else { 1 });
    let inner = regular_fields(group, config.width, "[model] width")?;
    let [from, to] = channels.map(|c| FieldType::trivial(group, c));
    let mut layer = |part: &str, from: &FieldType, to: &FieldType, gain: f64| {
        let layer = ConvolutionConfig {
            size: config.kernel_size,
            gain,
            ..ConvolutionConfig::new(from.clone(), to.clone())
        };
        TwistedConvolution::new(parameters, &format!("{name}.{part}"), &layer)
    };
    let gain = 2.0 / (1.0 + f64::from(config.slope).powi(2));
    let layers = [
        layer("0", &from, &inner, gain)?,
        layer("1", &inner, &inner, gain)?,
        layer("last", &inner, &to, 0.0)?,
    ];
    Ok(Update::Twisted(Box::new(layers), config.slope))
}

/// An update from `channels[0]` to `channels[1]` channels on a plane; it starts at zero.
fn plane(
    parameters: &mut Parameters,
    name: &str,
    config: &LearnedPrimalDualConfig,
    group: Group,
    channels: [usize; 2],
) -> Result<Update> {
    let stage = StageConfig {
        size: config.kernel_size,
        padding: match group == config.group {
            true => config.padding,
            false => Padding::Zero,
        },
        basis: match group == config.group {
            true => config.basis,
            false => BasisKind::Complete,
        },
        bias: true,
        normalisation: NormalisationKind::None,
        nonlinearity: NonlinearityKind::Pointwise,
        slope: config.slope,
        dropout: 0.0,
    };
    let inner = regular_fields(group, config.width, "[model] width")?;
    let [from, to] = channels.map(|c| FieldType::trivial(group, c));
    let mut add = |part: &str, from: &FieldType| {
        Stage::new(
            parameters,
            &format!("{name}.{part}"),
            0,
            [from, &inner],
            &stage,
        )
    };
    let stages = [add("0", &from)?, add("1", &inner)?];
    let last = ConvolutionConfig {
        size: stage.size,
        padding: stage.padding,
        basis: stage.basis,
        gain: 0.0,
        ..ConvolutionConfig::new(inner, to)
    };
    let last = GroupConvolution::new(parameters, &format!("{name}.last"), &last)?;
    Ok(Update::Plane(Box::new((stages, last))))
}

impl Network for LearnedPrimalDual {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// From `h = 0` and `f = 0`, or another [start](Start), for each iteration
    ///
    /// ```text
    /// h <- h + dual(h, A f_2, y),      f <- f + primal(f, A^T h_1),
    /// ```
    ///
    /// with `A` and `y` divided by `||A||`; the result is `f_1`.
    fn reconstruct(
        &self,
        tape: &mut Tape,
        bound: &Bound,
        operator: &dyn LinearOperator,
        y: Var,
    ) -> Result<Var> {
        let facts = OperatorFacts::of(operator, 1.0);
        if facts.closed_views != self.operator.closed_views && !self.config.group.is_trivial() {
            return Err(Error::Config(format!(
                "the network was made for {} and the operator {} has {}: its layers on measurements differ",
                self.operator.views(),
                operator.name(),
                facts.views()
            )));
        }
        let (channels, measured) = (self.operator.channels, self.operator.measurement_channels);
        let n = y.shape().n();
        let start = self.config.start.record(tape, operator, y)?;
        let mut f = tape.concat(&vec![start; self.config.primal], 1)?;
        let y = tape.scale(y, self.scale);
        let zero = tape.scalar(0.0);
        let duals = self.config.dual * measured;
        let mut h = tape.broadcast(zero, operator.range().with(0, n).with(1, duals))?;
        for [dual, primal] in &self.iterations {
            let second = tape.slice(f, 1, channels, channels)?;
            let seen = operator.forward(tape, second)?;
            let seen = tape.scale(seen, self.scale);
            let joined = tape.concat(&[h, seen, y], 1)?;
            let change = self.update(tape, bound, dual, joined)?;
            h = tape.add(h, change)?;
            let first = tape.slice(h, 1, 0, measured)?;
            let back = operator.adjoint(tape, first)?;
            let back = tape.scale(back, self.scale);
            let joined = tape.concat(&[f, back], 1)?;
            let change = self.update(tape, bound, primal, joined)?;
            f = tape.add(f, change)?;
        }
        tape.slice(f, 1, 0, channels)
    }

    fn group(&self) -> Group {
        self.config.group
    }

    fn share(&self) -> Arc<dyn Network> {
        Arc::new(self.clone())
    }

    fn freeze(&self, values: &[f32]) -> Result<(Arc<dyn Network>, Vec<f32>)> {
        check_values(&self.parameters, values)?;
        let layers = self.layers()?;
        let config = LearnedPrimalDualConfig {
            group: Group::TRIVIAL,
            basis: BasisKind::Complete,
            ..self.config.clone()
        };
        let mut frozen = LearnedPrimalDual::new(&config, &self.operator)?;
        frozen.scale = self.scale;
        let layers = layers.into_iter().zip(frozen.layers()?);
        let values = frozen_values(layers, [&self.parameters, &frozen.parameters], values);
        Ok((Arc::new(frozen), values))
    }
}

impl LearnedPrimalDual {
    fn update(&self, tape: &mut Tape, bound: &Bound, update: &Update, x: Var) -> Result<Var> {
        match self.config.recompute {
            true => tape.recomputed(|tape| update.forward(tape, bound, x)),
            false => update.forward(tape, bound, x),
        }
    }
}
