//! Recording a training step: reconstruction, loss, gradients and update on one tape.

use super::config::{ModelSpec, OptimiserConfig, Recipe};
use super::forward;
use crate::error::{Error, Result};
use crate::losses::{self, LossState, MotionInput, Randomness, Scene};
use crate::models::{ModelConfig, Network};
use crate::operators::LinearOperator;
use crate::shape::Shape;
use crate::tape::{Tape, Unary, Var};

/// The states that hold Adam's moments.
pub(super) const MOMENTS: [&str; 2] = ["adam.m", "adam.v"];
/// The input that holds the batch's measurements.
pub(super) const MEASUREMENTS: &str = "measurements";
/// The input that numbers the random draws of a training step.
pub(super) const DRAW: &str = "draw";

/// The values of a recorded training step.
#[derive(Clone)]
pub(super) struct Recorded {
    /// Taken before the update.
    pub loss: Var,
    /// The new parameters: what makes the update happen.
    pub parameters: Var,
    /// The new running statistics.
    pub statistics: Vec<Var>,
    /// The loss compares with the ground truth.
    pub reads_truth: bool,
    /// The transforms that the loss draws.
    pub motions: Vec<MotionInput>,
    /// What the loss carries from step to step.
    pub states: Vec<LossState>,
}

impl Recorded {
    /// What a plan of the step must give.
    pub fn outputs(&self) -> Vec<Var> {
        let mut outputs = vec![self.loss, self.parameters];
        outputs.extend(&self.statistics);
        outputs
    }
}

/// Records reconstruction, loss, gradients and update.
pub(super) fn record(
    model: &dyn Network,
    operator: &dyn LinearOperator,
    recipe: &Recipe,
) -> Result<(Tape, Recorded)> {
    let batch = recipe.training.batch;
    let terms = &recipe.loss;
    if losses::calls_again(terms) && model.parameters().has_statistics() {
        return Err(Error::Config(
            "[model] normalisation = \"batch\": the [[loss]] applies the network more than once in a step, and statistics of each batch would make it another function each time; use \"instance\" or \"none\"".into(),
        ));
    }
    let period = operator.period();
    if !batch.is_multiple_of(period) {
        return Err(Error::Config(format!(
            "[training] batch = {batch}: {period} operators take turns, so use a multiple of {period}"
        )));
    }
    let mut tape = Tape::new();
    let y = tape.input(MEASUREMENTS, operator.range().with(0, batch));
    let rates = tape.input("rates", Shape::vector(2));
    let draw = tape.input(DRAW, Shape::SCALAR);
    let (theta, bound) = model.parameters().bind(&mut tape)?;
    let bound = bound.in_training(draw);
    let network = |tape: &mut Tape, operator: &dyn LinearOperator, y| {
        model.reconstruct(tape, &bound, operator, y)
    };
    let randomness = Randomness {
        seed: recipe.training.seed,
        draw,
    };
    let mut scene = Scene::new(&network, operator, recipe.noise, y, randomness);
    let loss = losses::record(terms, &mut tape, &mut scene)?;
    let gradients = tape.gradients(loss, bound.vars())?;
    let mut gradient = model.parameters().pack(&mut tape, &gradients)?;
    let OptimiserConfig::Adam(adam) = &recipe.optimiser;
    if let Some(limit) = adam.clip_norm {
        gradient = clip(&mut tape, gradient, limit as f32)?;
    }
    let [m, v] = MOMENTS.map(|name| tape.state(name, theta.shape()));
    let parameters = tape.adam([theta, m, v], gradient, rates, adam.constants())?;
    let recorded = Recorded {
        loss,
        parameters,
        statistics: tape.assigned(),
        reads_truth: scene.reads_truth(),
        motions: scene.motions().to_vec(),
        states: scene.states().to_vec(),
    };
    Ok((tape, recorded))
}

/// The gradient scaled down to the 2-norm `limit` where it is longer.
fn clip(tape: &mut Tape, gradient: Var, limit: f32) -> Result<Var> {
    // Squares of the gradient relative to the limit: in the range of f32 whatever the loss's unit.
    let relative = tape.scale(gradient, 1.0 / limit);
    let square = tape.mul(relative, relative)?;
    let square = tape.sum_all(square)?;
    let norm = tape.unary(Unary::Sqrt, square);
    let norm = tape.unary(Unary::AtLeast(1.0), norm);
    let factor = tape.unary(Unary::Reciprocal, norm);
    tape.mul(gradient, factor)
}

/// The tapes of a training step on `operator`, of its validation and of the reconstructions with the
/// trained network, for one image at a time but in training, with their outputs: what the tuner
/// measures kernels for.
///
/// # Errors
/// [`Error::Config`] if a setting is out of range; those of recording.
pub fn tapes(
    config: &ModelConfig,
    operator: &dyn LinearOperator,
    recipe: &Recipe,
) -> Result<Vec<(Tape, Vec<Var>)>> {
    recipe.validate()?;
    // No kernel depends on the norm.
    let spec = ModelSpec::new(config, operator, 1.0);
    let model = spec.build()?;
    let (tape, recorded) = record(&*model, operator, recipe)?;
    let mut tapes = vec![(tape, recorded.outputs())];
    let (deployed, _) = model.deployed(&model.parameters().initial(0))?;
    for model in [model, deployed] {
        let (tape, output) = forward::record(&*model, operator, 1)?;
        tapes.push((tape, vec![output]));
    }
    Ok(tapes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Capabilities;
    use crate::models::{LearnedProximalGradient, LearnedProximalGradientConfig};
    use crate::operators::RayTransform;
    use crate::shape::RayGeometry;
    use crate::tape::plan::{Options, Plan};

    /// Bytes of the paper's training step at full size, without a device.
    fn full_size(recompute: bool, capabilities: Capabilities) -> u64 {
        let beam = RayGeometry::parallel([512, 512], 0.36, 50, 728);
        let operator = RayTransform::new(beam);
        let config = LearnedProximalGradientConfig {
            recompute,
            ..Default::default()
        };
        assert_eq!((config.width, config.blocks), (96, 8));
        let model = LearnedProximalGradient::new(&config, 1, 0.3).expect("valid");
        let recipe = Recipe::default();
        let (tape, recorded) = record(&model, &operator, &recipe).expect("fits");
        let outputs = [recorded.loss, recorded.parameters];
        (Plan::memory_on(&tape, &outputs, capabilities, Options::default()))
            .expect("fits")
            .total()
    }

    #[test]
    fn full_size_training_fits_in_eight_gigabytes_with_recomputation() {
        let software = Capabilities {
            subgroup: Some(8),
            software: true,
            ..Capabilities::default()
        };
        let discrete = Capabilities {
            subgroup: Some(32),
            ..Capabilities::default()
        };
        for capabilities in [software, discrete] {
            let [kept, recomputed] = [false, true].map(|r| full_size(r, capabilities));
            assert!(recomputed < 2_000_000_000, "{recomputed} bytes");
            assert!(recomputed < kept / 2, "{recomputed} and {kept} bytes");
        }
    }
}
