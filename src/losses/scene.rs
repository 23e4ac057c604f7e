//! What the terms of a loss see, and what they share.

use super::motion::{Motion, MotionInput, Transforms};
use crate::error::Result;
use crate::operators::{LinearOperator, Noise};
use crate::shape::Shape;
use crate::tape::{Binary, Distribution, Tape, Unary, Var};

/// A network that is recorded on a tape: the reconstruction from measurements of an operator.
pub type Reconstruct<'a> = dyn Fn(&mut Tape, &dyn LinearOperator, Var) -> Result<Var> + 'a;

/// A number that a loss carries from step to step.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LossState {
    /// The name of the tape's state, a scalar.
    pub name: &'static str,
    /// Its value before the first step.
    pub initial: f32,
}

/// The source of a scene's random numbers.
#[derive(Clone, Copy, Debug)]
pub struct Randomness {
    /// The key.
    pub seed: u64,
    /// The draw's number: a scalar holding an integer below 2^24.
    pub draw: Var,
}

/// One batch of measurements with everything that a loss may ask for.
pub struct Scene<'a> {
    network: &'a Reconstruct<'a>,
    operator: &'a dyn LinearOperator,
    noise: Noise,
    y: Var,
    randomness: Randomness,
    estimate: Option<Var>,
    predicted: Option<Var>,
    truth: Option<Var>,
    motions: Vec<MotionInput>,
    states: Vec<LossState>,
    /// Random arrays so far: each has a key of its own.
    draws: u64,
}

/// The stream of the random numbers of losses, apart from those of noise and dropout.
const STREAM: u32 = 0x1055;

impl<'a> Scene<'a> {
    /// The input that holds the ground truth; recorded only if a term reads it.
    pub const TRUTH: &'static str = "truth";

    /// The batch of measurements `y` of `operator`, whose noise is `noise`.
    pub fn new(
        network: &'a Reconstruct<'a>,
        operator: &'a dyn LinearOperator,
        noise: Noise,
        y: Var,
        randomness: Randomness,
    ) -> Self {
        Scene {
            network,
            operator,
            noise,
            y,
            randomness,
            estimate: None,
            predicted: None,
            truth: None,
            motions: Vec::new(),
            states: Vec::new(),
            draws: 0,
        }
    }

    /// The measurements.
    pub fn measurements(&self) -> Var {
        self.y
    }

    /// The forward operator.
    pub fn operator(&self) -> &'a dyn LinearOperator {
        self.operator
    }

    /// The noise of the measurements.
    pub fn noise(&self) -> Noise {
        self.noise
    }

    /// Records the network's reconstruction from measurements `y` of `operator`.
    ///
    /// # Errors
    /// Those of the network.
    pub fn reconstruct(
        &self,
        tape: &mut Tape,
        operator: &dyn LinearOperator,
        y: Var,
    ) -> Result<Var> {
        (self.network)(tape, operator, y)
    }

    /// `x1 = f(y)`, recorded once.
    ///
    /// # Errors
    /// Those of the network.
    pub fn estimate(&mut self, tape: &mut Tape) -> Result<Var> {
        if let Some(estimate) = self.estimate {
            return Ok(estimate);
        }
        let estimate = self.reconstruct(tape, self.operator, self.y)?;
        self.estimate = Some(estimate);
        Ok(estimate)
    }

    /// `A f(y)`, recorded once.
    ///
    /// # Errors
    /// Those of the network and the operator.
    pub fn predicted(&mut self, tape: &mut Tape) -> Result<Var> {
        if let Some(predicted) = self.predicted {
            return Ok(predicted);
        }
        let estimate = self.estimate(tape)?;
        let predicted = self.operator.forward(tape, estimate)?;
        self.predicted = Some(predicted);
        Ok(predicted)
    }

    /// The ground truth, an input named [`Scene::TRUTH`].
    pub fn truth(&mut self, tape: &mut Tape) -> Var {
        let shape = self.operator.domain().with(0, self.y.shape().n());
        *(self.truth).get_or_insert_with(|| tape.input(Scene::TRUTH, shape))
    }

    /// Whether a term has asked for the ground truth.
    pub fn reads_truth(&self) -> bool {
        self.truth.is_some()
    }

    /// Transforms of `transforms` for `n` images, drawn anew in each step by whoever fills the
    /// inputs of [`Scene::motions`].
    ///
    /// # Errors
    /// Those of [`MotionInput::record`].
    pub fn motion(&mut self, tape: &mut Tape, transforms: &Transforms, n: usize) -> Result<Motion> {
        let input = MotionInput::new(
            self.motions.len(),
            transforms,
            self.operator.domain().with(0, n),
        )?;
        let motion = input.record(tape);
        self.motions.push(input);
        Ok(motion)
    }

    /// The transforms to draw.
    pub fn motions(&self) -> &[MotionInput] {
        &self.motions
    }

    /// A state that the loss carries from step to step.
    pub fn state(&mut self, tape: &mut Tape, state: LossState) -> Var {
        self.states.push(state);
        tape.state(state.name, Shape::SCALAR)
    }

    /// The states to begin with.
    pub fn states(&self) -> &[LossState] {
        &self.states
    }

    /// The key of the next random array, so that no two have the same numbers.
    fn next_key(&mut self) -> u64 {
        self.draws += 1;
        (self.randomness.seed).wrapping_add(self.draws.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// Random numbers, uniform in [0, 1).
    ///
    /// # Errors
    /// None in practice.
    pub fn uniform(&mut self, tape: &mut Tape, shape: Shape) -> Result<Var> {
        let (key, draw) = (self.next_key(), self.randomness.draw);
        tape.random(Distribution::Uniform, draw, key, STREAM, shape)
    }

    /// Random numbers that are `low` with probability `p` and `high` otherwise.
    ///
    /// # Errors
    /// None in practice.
    pub fn either(
        &mut self,
        tape: &mut Tape,
        shape: Shape,
        p: f64,
        [low, high]: [f64; 2],
    ) -> Result<Var> {
        let uniform = self.uniform(tape, shape)?;
        let p = tape.scalar(p as f32);
        let above = tape.binary(Binary::Greater, uniform, p)?;
        let spread = tape.scale(above, (high - low) as f32);
        Ok(tape.unary(Unary::Offset(low as f32), spread))
    }

    /// `z = A x` of any batch with fresh noise, which is held fixed where gradients are taken.
    ///
    /// # Errors
    /// Those of the noise and the operator.
    pub fn with_noise(&mut self, tape: &mut Tape, z: Var) -> Result<Var> {
        let fixed = tape.detach(z);
        // Counts of less than nothing cannot be drawn; an untrained network may ask for them.
        let mean = match self.noise {
            Noise::None {} => return Ok(z),
            Noise::Gaussian { .. } | Noise::GaussianRange { .. } => fixed,
            _ => tape.unary(Unary::AtLeast(0.0), fixed),
        };
        let (key, draw) = (self.next_key(), self.randomness.draw);
        let noisy = self.noise.record(tape, mean, draw, key)?;
        let noise = tape.sub(noisy, mean)?;
        let noise = tape.detach(noise);
        let noise = self.operator.restrict(tape, noise)?;
        tape.add(z, noise)
    }

    /// The mean of `x`, of the shape of any number of measurements, over what is measured.
    ///
    /// # Errors
    /// Those of the operator.
    pub fn measured_mean(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        let count = x.shape().n() * self.operator.measured();
        let measured = self.operator.restrict(tape, x)?;
        let sum = tape.sum_all(measured)?;
        Ok(tape.scale(sum, (1.0 / count as f64) as f32))
    }
}

/// The mean of the squares of `a - b`.
pub(super) fn mean_square(tape: &mut Tape, a: Var, b: Var) -> Result<Var> {
    let difference = tape.sub(a, b)?;
    let square = tape.mul(difference, difference)?;
    tape.mean(square)
}
