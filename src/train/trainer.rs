//! One training step as a compiled plan that is replayed.

use super::checkpoint::{Checkpoint, TrainingState};
use super::config::{AdamConfig, LossConfig, ModelSpec, OptimiserConfig, Recipe};
use super::dataset::{BatchOrder, Dataset};
use super::forward::{self, Forward};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Pending};
use crate::losses;
use crate::metrics;
use crate::models::{ModelConfig, Network};
use crate::operators::LinearOperator;
use crate::reference::adam::rates;
use crate::shape::Shape;
use crate::tape::plan::{Chosen, Options, Plan, Profile, Store};
use crate::tape::{AdamConstants, Tape, Unary, Var};
use std::sync::Arc;
use std::time::Instant;

/// The states that hold Adam's moments.
const MOMENTS: [&str; 2] = ["adam.m", "adam.v"];
/// Steps before a profile: drivers compile at the first one.
const WARM_UPS: usize = 2;

/// A network in training. It knows a model, an operator, a loss and arrays; where they come from
/// is not its business.
///
/// The states live in a store of its own, so that trainers on one device do not share parameters.
pub struct Trainer {
    store: Store,
    spec: ModelSpec,
    model: Arc<dyn Network>,
    recipe: Recipe,
    data: Dataset,
    validation: Option<(Dataset, Forward)>,
    recorded: Recorded,
    plan: Plan,
    order: BatchOrder,
    state: TrainingState,
    truth: Vec<f32>,
    measurements: Vec<f32>,
}

/// Mean scores over the validation images.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Scores {
    /// The training loss.
    pub loss: f64,
    /// Peak signal-to-noise ratio in decibels, with the maximum of each ground truth as the peak;
    /// complex images by their magnitude.
    pub psnr: f64,
}

/// The input that numbers the random draws of a training step.
const DRAW: &str = "draw";
/// Draws have numbers below this one; a longer training repeats them.
const DRAWS: u64 = 1 << 24;

/// The values of a recorded training step.
#[derive(Clone)]
struct Recorded {
    loss: Var,
    /// The new parameters: what makes the update happen.
    parameters: Var,
    /// The new running statistics.
    statistics: Vec<Var>,
    /// Something is drawn at random.
    draws: bool,
}

impl Recorded {
    fn outputs(&self) -> Vec<Var> {
        let mut outputs = vec![self.loss, self.parameters];
        outputs.extend(&self.statistics);
        outputs
    }
}

impl Trainer {
    /// Compiles the training step for the network `spec` on `operator`, and validation if there are
    /// images for it, with initial parameters from the recipe's seed.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range or the batch is larger than the data set;
    /// [`Error::Shape`] if data, network and operator do not fit; [`Error::Data`] if a validation
    /// image has no positive value (then it has no PSNR); [`Error::OutOfMemory`] with the bytes
    /// needed and available before anything is allocated; those of recording and compiling.
    pub fn new(
        gpu: &Gpu,
        spec: &ModelSpec,
        operator: &dyn LinearOperator,
        recipe: &Recipe,
        data: Dataset,
        validation: Option<Dataset>,
    ) -> Result<Self> {
        recipe.validate()?;
        let batch = recipe.training.batch;
        if batch > data.count() {
            return Err(Error::Config(format!(
                "[training] batch = {batch}: there are only {} training images",
                data.count()
            )));
        }
        data.check(operator)?;
        if let Some(validation) = &validation {
            validation.check(operator)?;
            // Before hours of training, not after.
            score(validation, validation.truth(), None)?;
        }
        let model = spec.build()?;
        let store = Store::new(gpu);
        let (tape, recorded) = record(&*model, operator, recipe)?;
        let plan = Plan::compile(&tape, &recorded.outputs(), &store, Options::tuned())?;
        let validation = validation
            .map(|data| {
                let reserved = plan.memory().total();
                let forward = Forward::compile(&store, operator, &*model, data.count(), reserved)?;
                Ok::<_, Error>((data, forward))
            })
            .transpose()?;
        let trainer = Trainer {
            order: BatchOrder::new(recipe.training.seed, data.count(), batch),
            truth: vec![0.0; batch * data.image().elements()],
            measurements: vec![0.0; batch * data.measurement().elements()],
            spec: spec.clone(),
            recipe: recipe.clone(),
            state: TrainingState {
                step: 0,
                seed: recipe.training.seed,
                seconds: 0.0,
                best_psnr: None,
            },
            store,
            model,
            data,
            validation,
            recorded,
            plan,
        };
        let initial = trainer.model.parameters().initial(recipe.training.seed);
        trainer.write_states(&initial, None)?;
        Ok(trainer)
    }

    /// One step of the optimiser on the next batch. Nothing is read back: the call returns when the
    /// work is submitted, so a loop must wait now and then ([`Trainer::loss_later`],
    /// [`Gpu::wait_for`]) or it runs ever further ahead of the device.
    ///
    /// # Errors
    /// None in practice: construction has checked every shape.
    pub fn step(&mut self) -> Result<()> {
        for slot in 0..self.recipe.training.batch {
            let image = self.order.image(self.state.step, slot);
            (self.data).copy(image, slot, &mut self.truth, &mut self.measurements);
        }
        let t = self.state.step + 1;
        let adam = self.adam();
        let lr = adam.learning_rate(t, self.recipe.training.steps);
        // The kernel's own decays, in single precision: their bias is what is to be corrected.
        let AdamConstants { beta1, beta2, .. } = adam.constants();
        let rates = rates(lr, [beta1, beta2].map(f64::from), t).map(|r| r as f32);
        let draw = [(t % DRAWS) as f32];
        let mut inputs: Vec<(&str, &[f32])> = vec![
            ("measurements", &self.measurements),
            ("truth", &self.truth),
            ("rates", &rates),
        ];
        if self.recorded.draws {
            inputs.push((DRAW, &draw));
        }
        self.plan.run(&inputs)?;
        self.state.step = t;
        Ok(())
    }

    /// The number of steps done.
    pub fn completed(&self) -> u64 {
        self.state.step
    }

    /// The kernel variants of the training step.
    pub fn variants(&self) -> &[Chosen] {
        self.plan.chosen()
    }

    /// How far training has come.
    pub fn state(&self) -> &TrainingState {
        &self.state
    }

    pub(super) fn state_mut(&mut self) -> &mut TrainingState {
        &mut self.state
    }

    /// The step size of the last step.
    pub fn learning_rate(&self) -> f64 {
        (self.adam()).learning_rate(self.state.step.max(1), self.recipe.training.steps)
    }

    fn adam(&self) -> &AdamConfig {
        let OptimiserConfig::Adam(adam) = &self.recipe.optimiser;
        adam
    }

    /// Starts reading the loss of the last step, taken before its update.
    ///
    /// # Errors
    /// None in practice.
    pub fn loss_later(&self) -> Result<Pending> {
        self.plan.read_later(self.recorded.loss)
    }

    /// The loss of the last step, taken before its update; blocks.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn loss(&self) -> Result<f64> {
        let loss = self.loss_later()?.wait(self.store.gpu())?;
        Ok(f64::from(loss[0]))
    }

    /// Times the training step on the next batch: milliseconds of the whole step, upload and
    /// encoding included, and of each dispatch, each the least of `samples` (at least one). Steps
    /// that run before are warm-ups; in the end the state is what it was.
    ///
    /// # Errors
    /// Those of [`Trainer::checkpoint`].
    pub fn profile(&mut self, samples: usize) -> Result<(f64, Profile)> {
        let before = self.checkpoint()?;
        for _ in 0..WARM_UPS {
            self.step()?;
        }
        let mut step_ms = f64::INFINITY;
        let mut best = self.plan.profile()?;
        for sample in 0..samples.max(1) {
            self.gpu().wait()?;
            let start = Instant::now();
            self.step()?;
            self.gpu().wait()?;
            step_ms = step_ms.min(start.elapsed().as_secs_f64() * 1e3);
            if sample > 0 {
                let next = self.plan.profile()?.timings;
                for (best, next) in best.timings.iter_mut().zip(next) {
                    best.milliseconds = best.milliseconds.min(next.milliseconds);
                }
            }
        }
        self.write_states(&before.parameters, before.moments.as_ref())?;
        self.state = before.state;
        Ok((step_ms, best))
    }

    /// The mean scores over the validation images, if there are any.
    ///
    /// # Errors
    /// [`Error::NotFinite`] that names the step if a reconstruction is not; [`Error::Device`].
    pub fn validate(&self) -> Result<Option<Scores>> {
        let Some((data, forward)) = &self.validation else {
            return Ok(None);
        };
        let images = forward.apply(data.measurements(), data.count());
        let images = images.map_err(|e| match e {
            Error::NotFinite(what) => Error::NotFinite(format!(
                "validation after step {}: {what}; {}",
                self.state.step, ADVICE
            )),
            other => other,
        })?;
        score(data, &images, Some(&self.recipe.loss)).map(Some)
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        self.store.gpu()
    }

    /// The network's description.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// The network.
    pub fn model(&self) -> &dyn Network {
        &*self.model
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Bytes that the training step takes, states included.
    pub fn memory(&self) -> crate::tape::plan::Memory {
        self.plan.memory()
    }

    /// Bytes that validation takes on top.
    pub fn validation_bytes(&self) -> u64 {
        (self.validation.as_ref()).map_or(0, |(_, forward)| forward.bytes())
    }

    /// The network's [values](crate::nn::Parameters::values); blocks.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn parameters(&self) -> Result<Vec<f32>> {
        let states = self.model.parameters().states();
        let parts = states.map(|(name, _, _)| self.store.read(name));
        Ok(parts.collect::<Result<Vec<_>>>()?.concat())
    }

    /// Starts from these values of the network instead: step 0, moments zero.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is another number of them.
    pub fn set_parameters(&mut self, values: &[f32]) -> Result<()> {
        self.write_states(values, None)?;
        self.state.step = 0;
        Ok(())
    }

    fn write_states(&self, values: &[f32], moments: Option<&[Vec<f32>; 2]>) -> Result<()> {
        let parameters = self.model.parameters();
        if values.len() != parameters.values() {
            return Err(Error::shape(
                "parameters",
                format!("{} values for {}", values.len(), parameters.values()),
            ));
        }
        for (name, shape, range) in parameters.states() {
            self.store.write(name, shape, &values[range])?;
        }
        // What has no gradient has no moments; on the host they are filled up with zeros.
        let flat = parameters.flat();
        let zeros = [(); 2].map(|()| vec![0.0; flat.elements()]);
        for (name, moment) in MOMENTS.iter().zip(moments.unwrap_or(&zeros)) {
            let moment = &moment[..moment.len().min(flat.elements())];
            self.store.write(name, flat, moment)?;
        }
        Ok(())
    }

    /// Everything that training from here on depends on; blocks.
    ///
    /// # Errors
    /// [`Error::NotFinite`] that names the step and the parameter if a number is not;
    /// [`Error::Device`].
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        let parameters = self.parameters()?;
        let [m, v] = MOMENTS.map(|name| self.store.read(name));
        let mut moments = [m?, v?];
        for moment in &mut moments {
            moment.resize(parameters.len(), 0.0);
        }
        for (what, values) in [
            ("parameter", &parameters),
            ("first moment of parameter", &moments[0]),
            ("second moment of parameter", &moments[1]),
        ] {
            for (name, _, range) in self.model.parameters().layout() {
                if let Some(value) = values[range].iter().find(|v| !v.is_finite()) {
                    return Err(Error::NotFinite(format!(
                        "the {what} '{name}' after step {} is {value}; {ADVICE}",
                        self.state.step
                    )));
                }
            }
        }
        Ok(Checkpoint {
            model: self.spec.clone(),
            state: self.state.clone(),
            parameters,
            moments: Some(moments),
        })
    }

    /// Goes on from a checkpoint, bit for bit.
    ///
    /// # Errors
    /// [`Error::Config`] if the checkpoint has another network, operator or seed, or no moments.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let bad = |what: String| {
            Err(Error::Config(format!(
                "the run cannot be resumed: {what}; start a new run directory"
            )))
        };
        if let Some((key, theirs, ours)) = checkpoint.model.difference(&self.spec) {
            return bad(format!(
                "[model] {key} was {theirs} in the checkpoint and is {ours} now"
            ));
        }
        if checkpoint.model.operator_norm != self.spec.operator_norm {
            return bad(format!(
                "the checkpoint was trained with an operator of norm {} and the problem's has {}",
                checkpoint.model.operator_norm, self.spec.operator_norm
            ));
        }
        if checkpoint.state.seed != self.recipe.training.seed {
            return bad(format!(
                "[training] seed was {} in the checkpoint and is {} now",
                checkpoint.state.seed, self.recipe.training.seed
            ));
        }
        if checkpoint.moments.is_none() {
            return bad("the checkpoint has no optimiser state".into());
        }
        self.write_states(&checkpoint.parameters, checkpoint.moments.as_ref())?;
        self.state = checkpoint.state.clone();
        Ok(())
    }
}

pub(super) const ADVICE: &str =
    "training diverged: lower [optimiser] learning_rate or set clip_norm";

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

/// Records reconstruction, loss, gradients and update.
fn record(
    model: &dyn Network,
    operator: &dyn LinearOperator,
    recipe: &Recipe,
) -> Result<(Tape, Recorded)> {
    let batch = recipe.training.batch;
    let mut tape = Tape::new();
    let y = tape.input("measurements", operator.range().with(0, batch));
    let truth = tape.input("truth", operator.domain().with(0, batch));
    let rates = tape.input("rates", Shape::vector(2));
    let draw = tape.input(DRAW, Shape::SCALAR);
    let (theta, bound) = model.parameters().bind(&mut tape)?;
    let bound = bound.in_training(draw);
    let estimate = model.reconstruct(&mut tape, &bound, operator, y)?;
    let LossConfig::Supervised {} = recipe.loss;
    let loss = losses::half_mean_squared_error(&mut tape, estimate, truth)?;
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
        draws: (tape.nodes().iter()).any(|node| node.inputs.contains(&draw.index())),
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

/// Mean loss (0 without one) and mean PSNR of `images` against the ground truth.
fn score(data: &Dataset, images: &[f32], loss: Option<&LossConfig>) -> Result<Scores> {
    let one = data.image().elements();
    let mut sum = Scores {
        loss: 0.0,
        psnr: 0.0,
    };
    for (truth, image) in data.truth().chunks(one).zip(images.chunks(one)) {
        if let Some(LossConfig::Supervised {}) = loss {
            let squares = truth.iter().zip(image);
            let squares = squares.map(|(&t, &u)| (f64::from(u) - f64::from(t)).powi(2));
            sum.loss += 0.5 * squares.sum::<f64>() / one as f64;
        }
        let [truth, image] = [truth, image].map(|x| metrics::magnitude(x, data.image().c()));
        sum.psnr += metrics::psnr(&truth, &image)?;
    }
    let n = data.count() as f64;
    Ok(Scores {
        loss: sum.loss / n,
        psnr: sum.psnr / n,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Capabilities;
    use crate::models::LearnedProximalGradient;
    use crate::models::LearnedProximalGradientConfig;
    use crate::operators::RayTransform;
    use crate::shape::ParallelBeam;

    /// Bytes of the paper's training step at full size, without a device.
    fn full_size(recompute: bool, capabilities: Capabilities) -> u64 {
        let beam = ParallelBeam::equispaced([512, 512], 0.36, 50, 728);
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
        };
        let discrete = Capabilities {
            subgroup: Some(32),
            software: false,
        };
        for capabilities in [software, discrete] {
            let [kept, recomputed] = [false, true].map(|r| full_size(r, capabilities));
            assert!(recomputed < 2_000_000_000, "{recomputed} bytes");
            assert!(recomputed < kept / 2, "{recomputed} and {kept} bytes");
        }
    }
}
