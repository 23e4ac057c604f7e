//! One training step as a compiled plan that is replayed.

use super::checkpoint::{Checkpoint, TrainingState};
use super::config::{AdamConfig, ModelSpec, OptimiserConfig, Recipe};
use super::dataset::{BatchOrder, Dataset};
use super::draws;
use super::step::{DRAW, MEASUREMENTS, MOMENTS, Recorded, record};
use super::validation::Validation;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Pending};
use crate::losses::Scene;
use crate::models::Network;
use crate::operators::LinearOperator;
use crate::reference::adam::rates;
use crate::shape::Shape;
use crate::tape::AdamConstants;
use crate::tape::plan::{Chosen, Options, Plan, Profile, Store};
use std::sync::Arc;
use std::time::Instant;

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
    validation: Option<Validation>,
    recorded: Recorded,
    plan: Plan,
    order: BatchOrder,
    state: TrainingState,
}

/// Mean scores over the validation images.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Scores {
    /// The training loss.
    pub loss: f64,
    /// Peak signal-to-noise ratio in decibels, with the maximum of each ground truth as the peak;
    /// complex images by their magnitude. None where the ground truth is unknown.
    pub psnr: Option<f64>,
}

/// Draws have numbers below this one; a longer training repeats them.
const DRAWS: u64 = 1 << 24;

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
        let model = spec.build()?;
        let store = Store::new(gpu);
        let (tape, recorded) = record(&*model, operator, recipe)?;
        if recorded.reads_truth && !data.has_truth() {
            return Err(Error::Config(
                "the loss needs ground truth and the training data have none: train on images"
                    .into(),
            ));
        }
        let plan = Plan::compile(&tape, &recorded.outputs(), &store, Options::tuned())?;
        let reserved = plan.memory().total();
        let validation = validation
            .map(|data| Validation::new(&store, &*model, operator, recipe, data, reserved))
            .transpose()?;
        let trainer = Trainer {
            order: BatchOrder::new(recipe.training.seed, data.count(), batch, operator.period()),
            spec: spec.clone(),
            recipe: recipe.clone(),
            state: TrainingState {
                step: 0,
                seed: recipe.training.seed,
                seconds: 0.0,
                best: None,
                stale: 0,
                loss: recorded.states.iter().map(|state| state.initial).collect(),
            },
            store,
            model,
            data,
            validation,
            recorded,
            plan,
        };
        let initial = trainer.model.parameters().initial(recipe.training.seed);
        trainer.write_states(&initial, None, &trainer.state.loss)?;
        Ok(trainer)
    }

    /// One step of the optimiser on the next batch. Nothing is read back: the call returns when the
    /// work is submitted, so a loop must wait now and then ([`Trainer::loss_later`],
    /// [`Gpu::wait_for`]) or it runs ever further ahead of the device.
    ///
    /// # Errors
    /// None in practice: construction has checked every shape.
    pub fn step(&mut self) -> Result<()> {
        let images = self.order.images(self.state.step);
        let measurements = self.data.batch(&images);
        let t = self.state.step + 1;
        let adam = self.adam();
        let lr = adam.learning_rate(t, self.recipe.training.steps);
        // The kernel's own decays, in single precision: their bias is what is to be corrected.
        let AdamConstants { beta1, beta2, .. } = adam.constants();
        let rates = rates(lr, [beta1, beta2].map(f64::from), t).map(|r| r as f32);
        let draw = [(t % DRAWS) as f32];
        let truth = match self.recorded.reads_truth {
            true => self.data.truths(&images),
            false => Vec::new(),
        };
        let mut inputs: Vec<(&str, &[f32])> = vec![
            (MEASUREMENTS, &measurements),
            (Scene::TRUTH, &truth),
            ("rates", &rates),
            (DRAW, &draw),
        ];
        // What nothing reads, the plan does not have.
        inputs.retain(|(name, _)| self.plan.has_input(name));
        let seed = self.recipe.training.seed;
        let moved = draws::draw(&self.recorded.motions, seed, &format!("step {t}"))?;
        inputs.extend(
            moved
                .iter()
                .map(|(name, values)| (name.as_str(), &values[..])),
        );
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
        self.write_states(
            &before.parameters,
            before.moments.as_ref(),
            &before.state.loss,
        )?;
        self.state = before.state;
        Ok((step_ms, best))
    }

    /// The mean scores over the validation images, if there are any.
    ///
    /// # Errors
    /// [`Error::NotFinite`] that names the step if a reconstruction is not; [`Error::Device`].
    pub fn validate(&self) -> Result<Option<Scores>> {
        let Some(validation) = &self.validation else {
            return Ok(None);
        };
        let scores = validation.scores().map_err(|e| match e {
            Error::NotFinite(what) => Error::NotFinite(format!(
                "validation after step {}: {what}; {}",
                self.state.step, ADVICE
            )),
            other => other,
        })?;
        Ok(Some(scores))
    }

    /// Whether validation selects by the loss, because training knows no ground truth, or by the
    /// PSNR.
    pub fn selects_by_loss(&self) -> bool {
        !self.recorded.reads_truth
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
        self.validation.as_ref().map_or(0, Validation::bytes)
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
        let initial: Vec<f32> = self.recorded.states.iter().map(|s| s.initial).collect();
        self.write_states(values, None, &initial)?;
        self.state.step = 0;
        Ok(())
    }

    fn write_states(
        &self,
        values: &[f32],
        moments: Option<&[Vec<f32>; 2]>,
        loss: &[f32],
    ) -> Result<()> {
        for (state, value) in self.recorded.states.iter().zip(loss) {
            self.store.write(state.name, Shape::SCALAR, &[*value])?;
        }
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
        let states = self.recorded.states.iter();
        let states = states.map(|state| Ok(self.store.read(state.name)?[0]));
        Ok(Checkpoint {
            model: self.spec.clone(),
            state: TrainingState {
                loss: states.collect::<Result<_>>()?,
                ..self.state.clone()
            },
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
        if checkpoint.state.loss.len() != self.recorded.states.len() {
            return bad("the loss carries other numbers from step to step".into());
        }
        let (moments, loss) = (checkpoint.moments.as_ref(), &checkpoint.state.loss);
        self.write_states(&checkpoint.parameters, moments, loss)?;
        self.state = checkpoint.state.clone();
        Ok(())
    }
}

pub(super) const ADVICE: &str =
    "training diverged: lower [optimiser] learning_rate or set clip_norm";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::Term;
    use crate::models::{LearnedProximalGradientConfig, ModelConfig};
    use crate::operators::{Noise, RayTransform};
    use crate::shape::RayGeometry;

    /// Whatever a loss without ground truth does with it would show.
    #[test]
    fn a_loss_from_measurements_survives_a_ground_truth_of_nan() {
        use crate::gpu::Selection;
        use crate::losses::{EquivariantImaging, Splitting, Sure};
        let gpu = Gpu::open(&Selection::default()).expect("an adapter");
        let operator = RayTransform::new(RayGeometry::parallel([8, 8], 0.36, 6, 12));
        let (images, measurements) = (vec![0.5; 2 * 64], vec![0.1; 2 * 72]);
        let data = Dataset::new(images, measurements, operator.domain(), operator.range())
            .expect("fits")
            .with_unreadable_truth();
        let config = ModelConfig::LearnedProximalGradient(LearnedProximalGradientConfig {
            width: 8,
            blocks: 1,
            ..Default::default()
        });
        let spec = ModelSpec::new(&config, &operator, 0.3);
        let steps = |loss: Vec<Term>| {
            let recipe = Recipe {
                noise: Noise::Gaussian { sigma: 0.01 },
                loss,
                ..Recipe::default()
            };
            let trainer = Trainer::new(&gpu, &spec, &operator, &recipe, data.clone(), None);
            let mut trainer = trainer.expect("fits");
            (0..3).for_each(|_| trainer.step().expect("steps"));
            trainer.checkpoint().is_ok()
        };
        let imaging = EquivariantImaging {
            noise: true,
            ..Default::default()
        };
        assert!(steps(vec![
            Term::Sure(Sure::default()),
            Term::EquivariantImaging(imaging),
            Term::Splitting(Splitting::default()),
        ]));
        assert!(!steps(vec![Term::default()]));
    }
}
