//! U-Net (Ronneberger, Fischer and Brox 2015), ordinary and equivariant, as an improvement of the
//! pseudo-inverse (Jin et al. 2017; Chen et al. 2023, section V).

use super::fields::FieldsConfig;
use super::stage::{Stage, StageConfig, check_slope};
use super::{Network, check_values, frozen_values};
use crate::error::{Error, Result};
use crate::group::{FieldType, Group};
use crate::nn::{
    BasisKind, Bound, ConvolutionConfig, GroupConvolution, NormalisationKind, Parameters, doubled,
    halved, polyphase_down, polyphase_up,
};
use crate::operators::LinearOperator;
use crate::shape::Padding;
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How extents are halved and doubled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// Means of neighbours, and their counterpart: commutes with the symmetries of the grid on
    /// images of any extents ([`halved`], [`doubled`]).
    #[default]
    Average,
    /// Adaptive polyphase sampling: with circular padding it commutes with every circular shift as
    /// well; extents must be multiples of 2 to the number of levels ([`polyphase_down`]).
    Polyphase,
}

/// Settings.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UNetConfig {
    /// Symmetry group of the layers; `C1` is the ordinary network.
    pub group: Group,
    /// Channels at full resolution; each level has twice those of the one above it.
    pub width: usize,
    /// How often the extents are halved.
    pub levels: usize,
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
    /// Normalisation after each convolution.
    pub normalisation: NormalisationKind,
    /// Convolutions have biases. Without them, and without normalisation, the network is
    /// homogeneous: twice the image, twice the result.
    pub bias: bool,
    /// How extents are halved and doubled.
    pub sampling: Sampling,
    /// The result is added to the pseudo-inverse instead of taking its place; the last layer then
    /// starts at zero.
    pub residual: bool,
    /// Probability with which a field is dropped in training.
    pub dropout: f32,
    /// Inner activations are computed again in the backward pass instead of being kept.
    pub recompute: bool,
}

impl Default for UNetConfig {
    fn default() -> Self {
        UNetConfig {
            group: Group::cyclic(4),
            width: 32,
            levels: 3,
            fields: FieldsConfig::default(),
            kernel_size: 3,
            basis: BasisKind::Complete,
            padding: Padding::Replicate,
            slope: 0.01,
            normalisation: NormalisationKind::None,
            bias: true,
            sampling: Sampling::Average,
            residual: true,
            dropout: 0.0,
            recompute: false,
        }
    }
}

/// The network: `levels` times two stages and half the extents, two stages at the bottom, and back
/// up with the channels of each level joined.
#[derive(Clone, Debug)]
pub struct UNet {
    config: UNetConfig,
    parameters: Parameters,
    channels: usize,
    /// From full resolution to the bottom.
    down: Vec<[Stage; 2]>,
    /// From above the bottom to full resolution: after doubling, and after joining.
    up: Vec<[Stage; 3]>,
    last: GroupConvolution,
}

impl UNet {
    /// A network for images with `channels` channels (1, or 2 for complex ones).
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range or the group has no such layers.
    pub fn new(config: &UNetConfig, channels: usize) -> Result<Self> {
        let bad = |what: String| Err(Error::Config(format!("[model] {what}")));
        if !(1..=8).contains(&config.levels) {
            return bad(format!("levels = {}: between 1 and 8", config.levels));
        }
        let most = 4096 >> config.levels;
        if config.width > most {
            return bad(format!(
                "width = {}: with {} levels at most {most}",
                config.width, config.levels
            ));
        }
        check_slope(config.slope)?;
        let stage = StageConfig {
            size: config.kernel_size,
            padding: config.padding,
            basis: config.basis,
            bias: config.bias,
            normalisation: config.normalisation,
            nonlinearity: config.fields.nonlinearity_of(config.group),
            slope: config.slope,
            dropout: config.dropout,
        };
        let levels =
            (0..=config.levels).map(|l| config.fields.fields(config.group, config.width << l));
        let levels = levels.collect::<Result<Vec<FieldType>>>()?;
        let image = FieldType::trivial(config.group, channels);
        let mut parameters = Parameters::new();
        let mut stream = 0;
        let mut add = |name: String, from: &FieldType, to: &FieldType| {
            stream += 1;
            Stage::new(&mut parameters, &name, stream, [from, to], &stage)
        };
        let mut down = Vec::new();
        for (l, fields) in levels.iter().enumerate() {
            let from = match l {
                0 => &image,
                l => &levels[l - 1],
            };
            down.push([
                add(format!("down.{l}.0"), from, fields)?,
                add(format!("down.{l}.1"), fields, fields)?,
            ]);
        }
        let mut up = Vec::new();
        for l in (0..config.levels).rev() {
            let fields = &levels[l];
            let joined = fields.join(fields)?;
            up.push([
                add(format!("up.{l}.0"), &levels[l + 1], fields)?,
                add(format!("up.{l}.1"), &joined, fields)?,
                add(format!("up.{l}.2"), fields, fields)?,
            ]);
        }
        let last = ConvolutionConfig {
            size: 1,
            padding: config.padding,
            basis: config.basis,
            bias: config.bias,
            gain: if config.residual { 0.0 } else { 1.0 },
            ..ConvolutionConfig::new(levels[0].clone(), image)
        };
        let last = GroupConvolution::new(&mut parameters, "last", &last)?;
        Ok(UNet {
            config: config.clone(),
            parameters,
            channels,
            down,
            up,
            last,
        })
    }

    /// Records the network on images `x`, `N channels H W`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the channels do not fit, or polyphase sampling meets an odd extent.
    pub fn improve(&self, tape: &mut Tape, bound: &Bound, x: Var) -> Result<Var> {
        let mut y = x;
        let mut kept = Vec::with_capacity(self.config.levels);
        for (l, stages) in self.down.iter().enumerate() {
            if l > 0 {
                let above = y;
                let phases = match self.config.sampling {
                    Sampling::Average => {
                        y = halved(tape, above)?;
                        None
                    }
                    Sampling::Polyphase => {
                        let (half, phases) = polyphase_down(tape, above)?;
                        y = half;
                        Some(phases)
                    }
                };
                kept.push((above, phases));
            }
            y = self.stages(tape, bound, stages, y)?;
        }
        for (stages, (above, phases)) in self.up.iter().zip(kept.into_iter().rev()) {
            let [first, rest @ ..] = stages;
            y = match &phases {
                Some(phases) => polyphase_up(tape, y, phases)?,
                None => doubled(tape, y, [above.shape().h(), above.shape().w()])?,
            };
            y = first.forward(tape, bound, y)?;
            let joined = tape.concat(&[above, y], 1)?;
            y = self.stages(tape, bound, rest, joined)?;
        }
        let y = self.last.forward(tape, bound, y)?;
        match self.config.residual {
            true => tape.add(x, y),
            false => Ok(y),
        }
    }

    fn stages(&self, tape: &mut Tape, bound: &Bound, stages: &[Stage], x: Var) -> Result<Var> {
        let record = |tape: &mut Tape| {
            stages
                .iter()
                .try_fold(x, |x, stage| stage.forward(tape, bound, x))
        };
        match self.config.recompute {
            true => tape.recomputed(record),
            false => record(tape),
        }
    }

    fn convolutions(&self) -> impl Iterator<Item = &GroupConvolution> {
        let stages = (self.down.iter().flatten()).chain(self.up.iter().flatten());
        stages.map(Stage::convolution).chain([&self.last])
    }
}

impl Network for UNet {
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
        let config = UNetConfig {
            group: Group::TRIVIAL,
            basis: BasisKind::Complete,
            ..self.config.clone()
        };
        let frozen = UNet::new(&config, self.channels)?;
        let layers = self.convolutions().zip(frozen.convolutions());
        let values = frozen_values(layers, [&self.parameters, &frozen.parameters], values);
        Ok((Arc::new(frozen), values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_errors_that_name_their_key() {
        let refused = |change: fn(&mut UNetConfig), key: &str| {
            let mut config = UNetConfig::default();
            change(&mut config);
            let error = UNet::new(&config, 1)
                .map(|_| ())
                .expect_err(key)
                .to_string();
            assert!(error.contains(key), "{key}: {error}");
        };
        refused(|c| c.levels = 0, "levels = 0");
        refused(|c| c.levels = 9, "levels = 9");
        refused(|c| c.width = 6, "width = 6");
        // Twice this for each level would overflow to zero.
        refused(|c| c.width = 1 << (usize::BITS - 1), "at most 512");
        refused(|c| c.slope = 1.0, "slope = 1");
        refused(|c| c.slope = f32::NAN, "slope = NaN");
        refused(|c| c.dropout = 1.0, "dropout = 1");
        refused(|c| c.group = Group::SO2, "SO2");
        refused(|c| c.fields.representation = "irrep(1)".into(), "pointwise");
    }
}
