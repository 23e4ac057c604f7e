//! Nonlinear functions of fields that commute with the group.

use super::fields::{check_channels, each_block, scaled};
use super::parameters::{Bound, Initial, ParameterId, Parameters};
use crate::error::{Error, Result};
use crate::group::FieldType;
use crate::shape::Shape;
use crate::tape::{Binary, Tape, Unary, Var};

/// Below this square a field counts as zero: its norm has no derivative there.
const SMALL: f32 = 1e-12;

/// Records the leaky ReLU of every channel of `x`, `N C H W`, whose fields are of type `fields`.
///
/// A function of single channels commutes with the group only where the group permutes channels:
/// on trivial, regular and quotient fields.
///
/// # Errors
/// [`Error::Config`] on other fields; [`Error::Shape`] if the channels do not fit.
pub fn pointwise(tape: &mut Tape, fields: &FieldType, x: Var, slope: f32) -> Result<Var> {
    if !fields.is_permutation() {
        return Err(Error::Config(format!(
            "a pointwise nonlinearity on the fields {fields} would break the symmetry, since the group mixes their channels: use trivial, regular or quotient fields, or a norm or gated nonlinearity"
        )));
    }
    check_channels("pointwise nonlinearity", fields, x.shape())?;
    Ok(tape.leaky_relu(x, slope))
}

/// Records the Euclidean norm of each field of `x`, `N C H W`: `N fields H W`.
///
/// Representations are orthogonal, so the group leaves it as it is. Where it is below 1e-6 it counts
/// as that, with derivative 0.
///
/// # Errors
/// [`Error::Shape`] if the channels do not fit.
pub fn norms(tape: &mut Tape, fields: &FieldType, x: Var) -> Result<Var> {
    check_channels("norm", fields, x.shape())?;
    let square = tape.mul(x, x)?;
    let sums = each_block(tape, fields, square, |tape, block, part| {
        let whole = block.apart(tape, part)?;
        let sum = tape.sum(whole, whole.shape().with(1, 1))?;
        block.scalars(tape, sum)
    })?;
    let above = tape.unary(Unary::AtLeast(SMALL), sums);
    Ok(tape.unary(Unary::Sqrt, above))
}

/// `f max(|f| - b, 0) / |f|` with a trained threshold `b` for each field `f`, starting at 0: for
/// every orthogonal representation (the norm nonlinearity `f phi(|f|)`).
#[derive(Clone, Debug)]
pub struct NormNonlinearity {
    fields: FieldType,
    threshold: ParameterId,
}

impl NormNonlinearity {
    /// Registers the thresholds as `NAME.threshold`.
    pub fn new(parameters: &mut Parameters, name: &str, fields: &FieldType) -> Self {
        let threshold = parameters.add(
            format!("{name}.threshold"),
            Shape::new(1, fields.fields(), 1, 1),
            Initial::Constant(0.0),
        );
        NormNonlinearity {
            fields: fields.clone(),
            threshold,
        }
    }

    /// Records it on `x`, `N C H W`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the channels do not fit.
    pub fn forward(&self, tape: &mut Tape, bound: &Bound, x: Var) -> Result<Var> {
        let norms = norms(tape, &self.fields, x)?;
        let excess = tape.sub(norms, bound.get(self.threshold))?;
        let kept = tape.unary(Unary::AtLeast(0.0), excess);
        let factor = tape.div(kept, norms)?;
        scaled(tape, &self.fields, x, factor)
    }
}

/// A nonlinearity that multiplies each field by the logistic function of a scalar field of its own,
/// its gate: for every representation.
#[derive(Clone, PartialEq, Debug)]
pub struct Gated {
    fields: FieldType,
}

impl Gated {
    /// Of `fields`.
    pub fn new(fields: &FieldType) -> Self {
        Gated {
            fields: fields.clone(),
        }
    }

    /// What must come in: a scalar field for each field, and then the fields.
    ///
    /// # Errors
    /// None in practice.
    pub fn input(&self) -> Result<FieldType> {
        FieldType::trivial(self.fields.group(), self.fields.fields()).join(&self.fields)
    }

    /// Records it on `x` of the type [`input`](Self::input), `N C H W`; the result has the type of
    /// the fields.
    ///
    /// # Errors
    /// [`Error::Shape`] if the channels do not fit.
    pub fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        let (gates, channels) = (self.fields.fields(), self.fields.channels());
        check_channels("gated nonlinearity", &self.input()?, x.shape())?;
        let gate = tape.slice(x, 1, 0, gates)?;
        let values = tape.slice(x, 1, gates, channels)?;
        let gate = sigmoid(tape, gate)?;
        scaled(tape, &self.fields, values, gate)
    }
}

/// `1 / (1 + e^-x)`. Below -80 it is that of -80, 1e-35, whose exponential is still a number.
fn sigmoid(tape: &mut Tape, x: Var) -> Result<Var> {
    let above = tape.unary(Unary::AtLeast(-80.0), x);
    let negative = tape.scale(above, -1.0);
    let exponential = tape.unary(Unary::Exp, negative);
    let denominator = tape.unary(Unary::Offset(1.0), exponential);
    Ok(tape.unary(Unary::Reciprocal, denominator))
}

/// Sets whole fields to zero with probability `rate` and scales the others by `1 / (1 - rate)`, in
/// training: the group moves all channels of a field, so it is kept or dropped as one.
#[derive(Clone, PartialEq, Debug)]
pub struct FieldDropout {
    fields: FieldType,
    rate: f32,
    seed: u64,
    stream: u32,
}

impl FieldDropout {
    /// Drops fields with probability `rate`, drawn from `seed` on `stream`, which must be another
    /// one for each layer of a network.
    ///
    /// # Errors
    /// [`Error::Config`] unless `rate` is at least 0 and below 1.
    pub fn new(fields: &FieldType, rate: f32, seed: u64, stream: u32) -> Result<Self> {
        if !(0.0..1.0).contains(&rate) {
            return Err(Error::Config(format!(
                "dropout = {rate}: a probability of at least 0 and below 1"
            )));
        }
        Ok(FieldDropout {
            fields: fields.clone(),
            rate,
            seed,
            stream,
        })
    }

    /// Records it on `x`, `N C H W`. `bound` says whether this is training and the number of the
    /// draw; else the result is `x`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the channels do not fit.
    pub fn forward(&self, tape: &mut Tape, bound: &Bound, x: Var) -> Result<Var> {
        check_channels("dropout", &self.fields, x.shape())?;
        let (Some(draw), true) = (bound.draw(), self.rate > 0.0) else {
            return Ok(x);
        };
        let shape = Shape::new(x.shape().n(), self.fields.fields(), 1, 1);
        let uniform = crate::tape::Distribution::Uniform;
        let stream = bound.stream(self.stream);
        let numbers = tape.random(uniform, draw, self.seed, stream, shape)?;
        let rate = tape.scalar(self.rate);
        let kept = tape.binary(Binary::Greater, numbers, rate)?;
        let factor = tape.scale(kept, 1.0 / (1.0 - self.rate));
        scaled(tape, &self.fields, x, factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{Group, Irrep, Representation};
    use crate::tape::reference::{Feeds, evaluate};

    /// Two scalars, then a vector.
    fn fields() -> FieldType {
        let c4 = Group::cyclic(4);
        let vector = Representation::Irrep(Irrep::new(c4, 1, false).expect("of C4"));
        let blocks = vec![(Representation::Trivial, 2), (vector, 1)];
        FieldType::mixed(c4, blocks).expect("of C4")
    }

    fn run(tape: &Tape, feeds: &[(&str, &[f64])], output: Var) -> Vec<f64> {
        let feeds = feeds.iter().map(|(name, v)| (name.to_string(), v.to_vec()));
        let mut feeds: Feeds = feeds.collect();
        evaluate(tape, &mut feeds, &[output])
            .expect("evaluates")
            .concat()
    }

    fn close(found: &[f64], expected: &[f64]) {
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-12, "{found:?} instead of {expected:?}");
        }
        assert_eq!(found.len(), expected.len());
    }

    #[test]
    fn each_field_has_its_own_threshold() {
        let mut parameters = Parameters::new();
        let layer = NormNonlinearity::new(&mut parameters, "layer", &fields());
        let mut tape = Tape::new();
        let (_, bound) = parameters.bind(&mut tape).expect("binds");
        let x = tape.input("x", Shape::new(1, 4, 1, 1));
        let y = layer.forward(&mut tape, &bound, x).expect("fits");
        let mut thresholds = vec![0.0; parameters.values()];
        thresholds[..3].copy_from_slice(&[0.25, 1.0, 2.0]);
        let x = [-0.5, 0.75, 3.0, -4.0];
        let y = run(&tape, &[("x", &x), (Parameters::STATE, &thresholds)], y);
        // |(3, -4)| = 5 becomes 3; the second scalar lies below its threshold.
        close(&y, &[-0.25, 0.0, 1.8, -2.4]);
    }

    #[test]
    fn each_field_has_its_own_gate() {
        let layer = Gated::new(&fields());
        let mut tape = Tape::new();
        let x = tape.input("x", Shape::new(1, 7, 1, 1));
        let y = layer.forward(&mut tape, x).expect("fits");
        let ln = |v: f64| v.ln();
        // Gates of 1/4, 3/4 and 1/2, and one so far below zero that its exponential overflows.
        let x = [-ln(3.0), ln(3.0), 0.0, 2.0, 2.0, 2.0, -6.0];
        close(&run(&tape, &[("x", &x)], y), &[0.5, 1.5, 1.0, -3.0]);
        let closed = [-1e4, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0];
        let y = run(&tape, &[("x", &closed)], y);
        assert!(y[0].abs() < 1e-30, "{y:?}");
    }
}
