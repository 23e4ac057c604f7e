//! Normalisation that commutes with the group: one mean and one variance for each field.

use super::bias::FieldBias;
use super::fields::{Block, check_channels, each_block, scaled};
use super::parameters::{Bound, Initial, ParameterId, Parameters, StatisticId};
use crate::error::{Error, Result};
use crate::group::{FieldType, Representation};
use crate::shape::Shape;
use crate::tape::{Tape, Var};

/// Over what means and variances are taken.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Debug, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum NormalisationKind {
    /// There is no normalisation.
    #[default]
    None,
    /// Over the pixels of each image by itself: the same in training and after it.
    Instance,
    /// Over the pixels of all images of a batch in training; after it the running mean and
    /// variance of the training.
    Batch,
}

/// Added to variances.
const EPSILON: f32 = 1e-5;
/// How much of the running mean and variance a training step replaces.
const MOMENTUM: f32 = 0.1;

/// `(f - mean) / sqrt(variance + 1e-5)` times a trained factor and plus a [`FieldBias`], with one
/// mean, variance and factor for each field.
///
/// Means and variances are taken over all channels of a field at once, which the group only moves
/// among each other. The mean of an irrep that is not trivial is none the group leaves as it is: its
/// fields keep their mean, and the variance is that of the components about zero.
#[derive(Clone, Debug)]
pub struct Normalisation {
    kind: NormalisationKind,
    fields: FieldType,
    factor: ParameterId,
    bias: FieldBias,
    /// The running mean and variance of each field.
    running: Option<[StatisticId; 2]>,
}

impl Normalisation {
    /// Registers `NAME.factor` and `NAME.bias`, and the running statistics `NAME.mean` and
    /// `NAME.variance` of batch normalisation. `None` if there is nothing to normalise.
    ///
    /// # Errors
    /// [`Error::Config`] if a field is a direct sum: its summands must be blocks of their own.
    pub fn new(
        parameters: &mut Parameters,
        name: &str,
        kind: NormalisationKind,
        fields: &FieldType,
    ) -> Result<Option<Self>> {
        if kind == NormalisationKind::None {
            return Ok(None);
        }
        for (representation, _) in fields.blocks() {
            if matches!(representation, Representation::Sum(_)) {
                return Err(Error::Config(format!(
                    "the layer {name} cannot normalise fields that are the direct sum {representation}: make a block of fields of each summand"
                )));
            }
        }
        let each = Shape::new(1, fields.fields(), 1, 1);
        let factor = parameters.add(format!("{name}.factor"), each, Initial::Constant(1.0));
        let bias = FieldBias::new(parameters, &format!("{name}.bias"), fields, 0.0)?;
        let running = (kind == NormalisationKind::Batch).then(|| {
            [("mean", 0.0), ("variance", 1.0)].map(|(what, start)| {
                parameters.add_statistic(format!("{name}.{what}"), each, start)
            })
        });
        Ok(Some(Normalisation {
            kind,
            fields: fields.clone(),
            factor,
            bias,
            running,
        }))
    }

    /// Records it on `x`, `N C H W`. In training ([`Bound::training`]) batch normalisation records
    /// the update of its running statistics as well ([`Tape::assigned`]).
    ///
    /// # Errors
    /// [`Error::Shape`] if the channels do not fit.
    pub fn forward(&self, tape: &mut Tape, bound: &Bound, x: Var) -> Result<Var> {
        check_channels("normalisation", &self.fields, x.shape())?;
        let [mean, variance] = match self.running {
            Some(running) if !bound.training() => running.map(|id| bound.statistic(id)),
            _ => self.moments(tape, x)?,
        };
        if let Some(running) = self.running.filter(|_| bound.training()) {
            for (id, now) in running.into_iter().zip([mean, variance]) {
                let before = bound.statistic(id);
                let change = tape.sub(now, before)?;
                let step = tape.scale(change, MOMENTUM);
                let after = tape.add(before, step)?;
                tape.assign(before, after)?;
            }
        }
        let centred = self.shifted(tape, x, mean)?;
        let above = tape.unary(crate::tape::Unary::Offset(EPSILON), variance);
        let deviation = tape.unary(crate::tape::Unary::Sqrt, above);
        let factor = tape.div(bound.get(self.factor), deviation)?;
        let scaled = scaled(tape, &self.fields, centred, factor)?;
        self.bias.add(tape, bound, scaled)
    }

    /// Whether the mean of such fields is taken away.
    fn has_mean(block: &Block) -> bool {
        match block.representation {
            Representation::Irrep(irrep) => irrep.frequency() == 0 && !irrep.is_odd(),
            _ => true,
        }
    }

    /// Mean and variance of each field, `N fields 1 1`, or `1 fields 1 1` over a batch.
    fn moments(&self, tape: &mut Tape, x: Var) -> Result<[Var; 2]> {
        let mean = self.averages(tape, x, true)?;
        let centred = self.shifted(tape, x, mean)?;
        let square = tape.mul(centred, centred)?;
        let variance = self.averages(tape, square, false)?;
        Ok([mean, variance])
    }

    /// `x` minus the mean of each field.
    fn shifted(&self, tape: &mut Tape, x: Var, mean: Var) -> Result<Var> {
        let n = x.shape().n();
        let all = tape.broadcast(mean, mean.shape().with(0, n))?;
        let mut first = 0;
        each_block(tape, &self.fields, x, |tape, block, part| {
            let own = tape.slice(all, 1, first, block.fields)?;
            first += block.fields;
            if !Self::has_mean(block) {
                return Ok(part);
            }
            let own = tape.reshape(own, Shape::new(n * block.fields, 1, 1, 1))?;
            let apart = block.apart(tape, part)?;
            let centred = tape.sub(apart, own)?;
            tape.reshape(centred, part.shape())
        })
    }

    /// The average of `x` over each field; 0 for those without a mean if `means` are asked for.
    fn averages(&self, tape: &mut Tape, x: Var, means: bool) -> Result<Var> {
        let Shape([n, _, h, w]) = x.shape();
        let images = match self.kind {
            NormalisationKind::Batch => 1,
            _ => n,
        };
        each_block(tape, &self.fields, x, |tape, block, part| {
            let to = Shape::new(images, block.fields, 1, 1);
            if means && !Self::has_mean(block) {
                let zero = tape.scalar(0.0);
                return tape.broadcast(zero, to);
            }
            let count = n / images * block.size * h * w;
            let rows = tape.reshape(part, Shape::new(n, block.fields, block.size * h, w))?;
            let sum = tape.sum(rows, to)?;
            Ok(tape.scale(sum, 1.0 / count as f32))
        })
    }
}
