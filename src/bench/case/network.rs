//! Whole networks: a training step, or a reconstruction.

use super::compared::{noise, wide};
use super::ray::geometry;
use crate::bench::name::{Network, Rays, Scan};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::group::Group;
use crate::losses;
use crate::models::{LearnedProximalGradientConfig, ModelConfig, OperatorFacts};
use crate::nn::Parameters;
use crate::operators::{LinearOperator, RayTransform, diagnostics};
use crate::problems::{FourierConfig, ImageSize};
use crate::reference::random::{self, Draw};
use crate::shape::Shape;
use crate::tape::plan::{Memory, Options, Plan, Store};
use crate::tape::reference::{Feeds, evaluate};
use crate::tape::{AdamConstants, Tape, Var};

/// Relative error in the 2-norm that a whole network may have.
const NETWORK: f64 = 2e-4;
/// Views of a network's measurements.
const VIEWS: usize = 50;

/// Stands in for an operator's norm where nothing is run: it enters as one factor.
pub(in crate::bench) const UNKNOWN_NORM: f64 = 2.0;

/// What a network's name leaves open.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(in crate::bench) struct Settings {
    /// Unrolled iterations.
    pub blocks: usize,
    /// Views of the ray transform.
    pub views: usize,
    /// Images in a batch.
    pub batch: usize,
    /// A training step, not the reconstruction alone.
    pub step: bool,
    /// Inner activations are computed again in the backward pass.
    pub recompute: bool,
}

impl Settings {
    /// Those of the `step/` and `infer/` benchmarks.
    pub fn named(step: bool) -> Self {
        Settings {
            blocks: 8,
            views: VIEWS,
            batch: 1,
            step,
            recompute: false,
        }
    }
}

/// A network on a tape.
pub(in crate::bench) struct Recorded {
    tape: Tape,
    /// What is compared with the twin.
    compared: Var,
    outputs: Vec<Var>,
    /// Name and values of every input.
    inputs: Vec<(&'static str, Vec<f32>)>,
    parameters: Vec<f32>,
    /// Elements of the flat parameters.
    flat: Shape,
}

impl Recorded {
    /// Records `network`. `norm` is the operator's, which scales the data term's gradient.
    ///
    /// # Errors
    /// Those of recording.
    pub fn new(network: Network, settings: Settings, norm: f64) -> Result<Self> {
        let operator = operator(network, settings)?;
        let config = LearnedProximalGradientConfig {
            group: network.group,
            width: network.width,
            blocks: settings.blocks,
            recompute: settings.recompute,
            ..Default::default()
        };
        let facts = OperatorFacts::of(operator.as_ref(), norm);
        let mut model = ModelConfig::LearnedProximalGradient(config).build(&facts)?;
        let mut parameters = perturbed(model.parameters());
        if !settings.step {
            (model, parameters) = model.deployed(&parameters)?;
        }
        let batched = |shape: Shape| shape.with(0, settings.batch);
        let measured = batched(operator.range());
        let mut tape = Tape::new();
        let y = tape.input("measurements", measured);
        let (theta, bound) = model.parameters().bind(&mut tape)?;
        let estimate = model.reconstruct(&mut tape, &bound, operator.as_ref(), y)?;
        let mut inputs = vec![("measurements", noise(measured, 2))];
        let (compared, outputs) = if settings.step {
            let image = batched(operator.domain());
            let truth = tape.input("truth", image);
            let rates = tape.input("rates", Shape::vector(2));
            let loss = losses::half_mean_squared_error(&mut tape, estimate, truth)?;
            let gradients = tape.gradients(loss, bound.vars())?;
            let gradient = model.parameters().pack(&mut tape, &gradients)?;
            let [m, v] = ["m", "v"].map(|name| tape.state(name, theta.shape()));
            let constants = AdamConstants {
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
            };
            let updated = tape.adam([theta, m, v], gradient, rates, constants)?;
            inputs.push(("truth", noise(image, 3)));
            // A step size of zero: replays do the same work on the same numbers.
            inputs.push(("rates", vec![0.0, 1.0]));
            (gradient, vec![loss, gradient, updated])
        } else {
            (estimate, vec![estimate])
        };
        Ok(Recorded {
            tape,
            compared,
            outputs,
            inputs,
            parameters,
            flat: theta.shape(),
        })
    }

    /// Bytes that its plan would take.
    ///
    /// # Errors
    /// Those of [`Plan::memory_needed`].
    pub fn memory(&self, store: &Store) -> Result<Memory> {
        Plan::memory_needed(&self.tape, &self.outputs, store, Options::tuned())
    }

    /// Floating-point operations of one replay.
    ///
    /// # Errors
    /// Those of [`Plan::work_needed`].
    pub fn flops(&self, store: &Store) -> Result<u64> {
        Ok(Plan::work_needed(&self.tape, &self.outputs, store, Options::tuned())?.flops)
    }

    /// Compiles, and writes parameters and inputs.
    ///
    /// # Errors
    /// Those of compiling.
    pub fn compile(&self, store: &Store, options: Options) -> Result<Plan> {
        store.write(Parameters::STATE, self.flat, &self.parameters)?;
        let plan = Plan::compile(&self.tape, &self.outputs, store, options)?;
        for (name, values) in &self.inputs {
            plan.write(name, values)?;
        }
        Ok(plan)
    }

    /// Why the plan's result is not its twin's.
    ///
    /// # Errors
    /// Those of compiling and running.
    pub fn mismatch(&self, store: &Store, options: Options) -> Result<Option<String>> {
        let plan = self.compile(store, options)?;
        plan.submit();
        let found = plan.read(self.compared)?;
        let mut feeds = Feeds::from([(Parameters::STATE.to_string(), wide(&self.parameters))]);
        for moment in ["m", "v"] {
            feeds.insert(moment.into(), vec![0.0; self.flat.elements()]);
        }
        for (name, values) in &self.inputs {
            feeds.insert(name.to_string(), wide(values));
        }
        let expected = evaluate(&self.tape, &mut feeds, &[self.compared])?;
        let expected = expected.first().map_or(&[][..], Vec::as_slice);
        Ok(apart(&found, expected).map(|error| format!("on a small image {error}")))
    }

    /// Why the result of `plan`, with the variants that were measured to be the fastest, is not that of
    /// the defaults; without a run if it has the same, or if there is no memory for both.
    ///
    /// # Errors
    /// Those of compiling and running.
    pub fn differs(&self, plan: &Plan, gpu: &Gpu) -> Result<Option<String>> {
        // A store of its own: a step changes its states.
        let store = Store::new(gpu);
        let default = match self.compile(&store, Options::default()) {
            Err(Error::OutOfMemory { .. }) => {
                log::warn!("bench: no memory to compare the tuned network with the untuned one");
                return Ok(None);
            }
            other => other?,
        };
        if plan.chosen() == default.chosen() {
            return Ok(None);
        }
        let result = |plan: &Plan| -> Result<Vec<f32>> {
            plan.submit();
            plan.read(self.compared)
        };
        let (found, expected) = (result(plan)?, wide(&result(&default)?));
        Ok(apart(&found, &expected).map(|error| format!("with tuned variants {error}")))
    }

    /// The loss of a training step after the last replay of `plan`.
    ///
    /// # Errors
    /// Those of reading.
    pub fn first_output(&self, plan: &Plan) -> Result<Vec<f32>> {
        plan.read(self.outputs[0])
    }
}

/// How far `found` is off `expected`, if that is too far.
fn apart(found: &[f32], expected: &[f64]) -> Option<String> {
    let pairs = found.iter().zip(expected);
    let error: f64 = pairs.map(|(&f, e)| (f64::from(f) - e).powi(2)).sum();
    let scale: f64 = expected.iter().map(|e| e * e).sum();
    let relative = (error / scale).sqrt();
    (relative.is_nan() || relative > NETWORK).then(|| {
        format!("it is {relative:.1e} off, relative to the norm; {NETWORK:.0e} is allowed")
    })
}

/// What the network of a benchmark reconstructs from.
fn operator(network: Network, settings: Settings) -> Result<Box<dyn LinearOperator>> {
    Ok(match network.scan {
        Scan::Ct => {
            let geometry = geometry(Rays {
                fan: None,
                n: 1,
                size: network.size,
                views: settings.views,
                bins: None,
            });
            Box::new(RayTransform::new(geometry))
        }
        Scan::Mri => Box::new(
            FourierConfig {
                image_size: ImageSize::Square(network.size),
                ..FourierConfig::default()
            }
            .operator()?,
        ),
    })
}

/// The norm of the operator of a network's benchmark.
///
/// # Errors
/// Those of compiling and running.
pub(in crate::bench) fn norm(network: Network, settings: Settings, store: &Store) -> Result<f64> {
    let operator = operator(network, settings)?;
    diagnostics::norm(operator.as_ref(), &Store::new(store.gpu()), 20)
}

/// Why `network` differs from its twin, found on an image on which the twin is quick. The width,
/// and with it the kernels' variants, stay as they are.
///
/// # Errors
/// Those of compiling and running.
pub(in crate::bench) fn mismatch(
    network: Network,
    settings: Settings,
    store: &Store,
    options: Options,
) -> Result<Option<String>> {
    let small = Network {
        size: network.size.min(16),
        ..network
    };
    let settings = Settings {
        blocks: settings.blocks.min(2),
        views: 12,
        batch: settings.batch.min(2),
        ..settings
    };
    let store = Store::new(store.gpu());
    let norm = norm(small, settings, &store)?;
    Recorded::new(small, settings, norm)?.mismatch(&store, options)
}

/// Floating-point operations of the same network built from ordinary convolutions.
///
/// # Errors
/// Those of recording.
pub(super) fn dense_flops(network: Network, settings: Settings, store: &Store) -> Result<u64> {
    let dense = Network {
        group: Group::TRIVIAL,
        ..network
    };
    Recorded::new(dense, settings, UNKNOWN_NORM)?.flops(store)
}

/// Initial parameters with all layers active: the zero ones of a fresh network would hide faults.
fn perturbed(parameters: &Parameters) -> Vec<f32> {
    let mut values = parameters.initial(1);
    let added = random::normal(Draw::new(1, 99), values.len());
    for (_, _, range) in parameters.layout() {
        for i in range {
            values[i] += 0.01 * added[i] as f32;
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::{NETWORK, apart};

    #[test]
    fn only_what_agrees_is_timed() {
        let expected = [3.0, -4.0];
        let off = (6.0 * NETWORK) as f32;
        assert_eq!(apart(&[3.0, -4.0 + off / 2.0], &expected), None);
        assert!(apart(&[3.0, -4.0 + off], &expected).is_some());
        assert!(apart(&[3.0, f32::NAN], &expected).is_some());
        // Nothing to compare with is no agreement.
        assert!(apart(&[], &[]).is_some());
    }
}
