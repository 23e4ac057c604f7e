//! Benchmarks as plans, and the comparison with the twin that each must pass before it is timed.

use super::name::{Benchmark, Direction, Network, Pass, convolution_shapes};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::losses;
use crate::models::{LearnedProximalGradient, LearnedProximalGradientConfig};
use crate::nn::Parameters;
use crate::operators::{LinearOperator, RayTransform, diagnostics};
use crate::reference::random::{self, Draw};
use crate::reference::{Twin, conv2d, ray_transform};
use crate::shape::{Padding, ParallelBeam, Shape, Window};
use crate::tape::plan::{Options, Plan, Store};
use crate::tape::reference::{Feeds, evaluate};
use crate::tape::{AdamConstants, Tape, Var};

/// A benchmark ready to be timed.
pub(super) struct Case {
    pub plan: Plan,
    /// Which variant of the kernel it runs.
    pub variant: String,
    /// Why it must not be timed, if the comparison with its twin failed.
    pub mismatch: Option<String>,
    /// Keeps the states of the plan.
    _store: Store,
}

const WINDOW: Window = Window::same(3, Padding::Replicate);
const FIELD_OF_VIEW: f64 = 0.36;
const VIEWS: usize = 50;
const BLOCKS: usize = 8;
/// Channels of a large result that are compared: the twin computes no others.
const COMPARED: usize = 3;
/// Rounding units, relative to the sum of the terms' sizes, that a kernel may be off. A wrong term
/// among the tens of thousands in the longest of these sums is off by more.
const UNITS: f64 = 64.0;
/// Relative error in the 2-norm that a whole network may have.
const NETWORK: f64 = 2e-4;

impl Case {
    /// Compiles the benchmark and compares it with its twin.
    ///
    /// # Errors
    /// Those of compiling and running.
    pub fn new(gpu: &Gpu, benchmark: Benchmark) -> Result<Self> {
        let store = Store::new(gpu);
        let (plan, mismatch) = match benchmark {
            Benchmark::Convolution {
                pass,
                input,
                output,
                size,
            } => convolution(&store, pass, [input, output, size])?,
            Benchmark::Ray {
                direction,
                size,
                views,
            } => ray(&store, direction, size, views)?,
            Benchmark::Step(network) | Benchmark::Infer(network) => {
                let step = matches!(benchmark, Benchmark::Step(_));
                // The same kernels on few pixels: the twin of the whole would take minutes.
                let small = Recorded::new(&Store::new(gpu), cropped(network), 2, 12, step)?;
                let mismatch = small.mismatch()?;
                let whole = Recorded::new(&store, network, BLOCKS, VIEWS, step)?;
                (whole.plan, mismatch)
            }
        };
        Ok(Case {
            variant: variant(&plan),
            plan,
            mismatch,
            _store: store,
        })
    }
}

/// The names of the variants that a plan runs, in the order of their first use.
fn variant(plan: &Plan) -> String {
    let mut names: Vec<&str> = Vec::new();
    for chosen in plan.chosen() {
        if !names.contains(&chosen.variant.as_str()) {
            names.push(&chosen.variant);
        }
    }
    names.join(" + ")
}

fn noise(shape: Shape, stream: u32) -> Vec<f32> {
    let normal = random::normal(Draw::new(1, stream), shape.elements());
    normal.into_iter().map(|v| v as f32).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// The first element in which `found` is not the twin's.
fn compare(found: &[f32], twin: &Twin) -> Option<String> {
    let unit = f64::from(f32::EPSILON);
    let bound = |i: usize| UNITS * unit * twin.magnitude[i] + f64::from(f32::MIN_POSITIVE);
    let wrong = (0..twin.value.len().max(found.len())).find(|&i| {
        let error = match (found.get(i), twin.value.get(i)) {
            (Some(&f), Some(&t)) => (f64::from(f) - t).abs(),
            _ => return true,
        };
        error.is_nan() || error > bound(i)
    })?;
    Some(format!(
        "element {wrong} of the compared ones is {:?} and its twin {:?}",
        found.get(wrong),
        twin.value.get(wrong)
    ))
}

/// Some channels: the first, the last and one between.
fn some_channels(channels: usize) -> Vec<usize> {
    let mut chosen: Vec<usize> = (0..COMPARED)
        .map(|k| k * (channels - 1) / (COMPARED - 1))
        .collect();
    chosen.dedup();
    chosen
}

/// `channels` of axis `axis` (0 or 1) of an array.
fn select(values: &[f32], shape: Shape, axis: usize, channels: &[usize]) -> Vec<f32> {
    let inner: usize = shape.0[axis + 1..].iter().product();
    let outer: usize = shape.0[..axis].iter().product();
    let mut selected = Vec::with_capacity(outer * channels.len() * inner);
    for o in 0..outer {
        for &channel in channels {
            let start = (o * shape.0[axis] + channel) * inner;
            selected.extend_from_slice(&values[start..start + inner]);
        }
    }
    selected
}

fn convolution(
    store: &Store,
    pass: Pass,
    [input, output, size]: [usize; 3],
) -> Result<(Plan, Option<String>)> {
    let [x, w, y] = convolution_shapes(input, output, size);
    let mut tape = Tape::new();
    // The two arguments, and the axis of each that the compared channels of the result select.
    let (arguments, result) = match pass {
        Pass::Forward => {
            let [a, b] = [tape.input("a", x), tape.input("b", w)];
            ([a, b], tape.conv2d(a, b, WINDOW)?)
        }
        Pass::InputGradient => {
            let [a, b] = [tape.input("a", y), tape.input("b", w)];
            ([a, b], tape.conv2d_input_gradient(a, b, WINDOW, x)?)
        }
        Pass::WeightGradient => {
            let [a, b] = [tape.input("a", x), tape.input("b", y)];
            ([a, b], tape.conv2d_weight_gradient(a, b, WINDOW)?)
        }
    };
    let plan = Plan::compile(&tape, &[result], store, Options::tuned())?;
    let [a, b] = [0, 1].map(|k| noise(arguments[k].shape(), k as u32));
    plan.run(&[("a", &a), ("b", &b)])?;
    let found = plan.read(result)?;
    let mismatch = match pass {
        Pass::Forward => {
            let chosen = some_channels(output);
            let part = wide(&select(&b, w, 0, &chosen));
            let twin = conv2d::forward(&wide(&a), x, &part, w.with(0, chosen.len()), WINDOW);
            compare(&select(&found, y, 1, &chosen), &twin)
        }
        Pass::InputGradient => {
            let chosen = some_channels(input);
            let part = wide(&select(&b, w, 1, &chosen));
            let (w, to) = (w.with(1, chosen.len()), x.with(1, chosen.len()));
            let twin = conv2d::input_gradient(&wide(&a), y, &part, w, to, WINDOW);
            compare(&select(&found, x, 1, &chosen), &twin)
        }
        Pass::WeightGradient => {
            let (from, to) = (some_channels(input), some_channels(output));
            let (a, b) = (select(&a, x, 1, &from), select(&b, y, 1, &to));
            let (x, y) = (x.with(1, from.len()), y.with(1, to.len()));
            let part = w.with(0, to.len()).with(1, from.len());
            let twin = conv2d::weight_gradient(&wide(&a), x, &wide(&b), y, part, WINDOW);
            let rows = select(&found, w, 0, &to);
            compare(&select(&rows, w.with(0, to.len()), 1, &from), &twin)
        }
    };
    Ok((plan, mismatch))
}

fn beam(size: usize, views: usize) -> ParallelBeam {
    let bins = (std::f64::consts::SQRT_2 * size as f64).ceil() as usize;
    ParallelBeam::equispaced([size, size], FIELD_OF_VIEW, views, bins)
}

fn ray(
    store: &Store,
    direction: Direction,
    size: usize,
    views: usize,
) -> Result<(Plan, Option<String>)> {
    let geometry = beam(size, views);
    let operator = RayTransform::new(geometry.clone());
    let mut tape = Tape::new();
    let (argument, result) = match direction {
        Direction::Forward => {
            let x = tape.input("a", operator.domain());
            (x, operator.forward(&mut tape, x)?)
        }
        Direction::Adjoint => {
            let y = tape.input("a", operator.range());
            (y, operator.adjoint(&mut tape, y)?)
        }
    };
    let plan = Plan::compile(&tape, &[result], store, Options::tuned())?;
    let values = noise(argument.shape(), 0);
    plan.run(&[("a", &values)])?;
    let found = plan.read(result)?;
    let twin = match direction {
        Direction::Forward => ray_transform::forward(&wide(&values), 1, &geometry),
        Direction::Adjoint => ray_transform::adjoint(&wide(&values), 1, &geometry),
    };
    // A crossing is rounded in units of the image's size, so a term is off by that much of the two
    // pixels that it lies between, even if its own weight is next to nothing.
    let largest = values.iter().fold(0.0f64, |m, v| m.max(f64::from(v.abs())));
    let term = std::f64::consts::SQRT_2 * geometry.pixel * largest;
    let slack = 1.0 + size as f64 / UNITS;
    let magnitude = (twin.magnitude.iter())
        .map(|m| (m + term) * slack)
        .collect();
    let mismatch = compare(
        &found,
        &Twin {
            value: twin.value,
            magnitude,
        },
    );
    Ok((plan, mismatch))
}

/// The network on an image on which its twin is quick. The width, and with it the kernels'
/// variants, stay as they are.
fn cropped(network: Network) -> Network {
    Network {
        size: network.size.min(16),
        ..network
    }
}

/// A training step, or a reconstruction, recorded and compiled, its inputs written.
struct Recorded {
    tape: Tape,
    feeds: Feeds,
    /// What is compared with the twin.
    compared: Var,
    plan: Plan,
}

impl Recorded {
    fn new(
        store: &Store,
        network: Network,
        blocks: usize,
        views: usize,
        step: bool,
    ) -> Result<Self> {
        let operator = RayTransform::new(beam(network.size, views));
        let norm = diagnostics::norm(&operator, &Store::new(store.gpu()), 20)?;
        let config = LearnedProximalGradientConfig {
            group: network.group,
            width: network.width,
            blocks,
            ..Default::default()
        };
        let mut model = LearnedProximalGradient::new(&config, 1, norm)?;
        let mut parameters = perturbed(&model);
        if !step {
            (model, parameters) = model.deployed(&parameters)?;
        }
        let mut tape = Tape::new();
        let y = tape.input("measurements", operator.range());
        let (theta, bound) = model.parameters().bind(&mut tape)?;
        let estimate = model.reconstruct(&mut tape, &bound, &operator, y)?;
        let measurements = noise(operator.range(), 2);
        let mut inputs = vec![("measurements", measurements)];
        let (compared, outputs) = if step {
            let truth = tape.input("truth", operator.domain());
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
            inputs.push(("truth", noise(operator.domain(), 3)));
            // A step size of zero: replays do the same work on the same numbers.
            inputs.push(("rates", vec![0.0, 1.0]));
            (gradient, vec![loss, gradient, updated])
        } else {
            (estimate, vec![estimate])
        };
        store.write(Parameters::STATE, theta.shape(), &parameters)?;
        let plan = Plan::compile(&tape, &outputs, store, Options::tuned())?;
        let mut feeds = Feeds::from([(Parameters::STATE.to_string(), wide(&parameters))]);
        for moment in ["m", "v"] {
            feeds.insert(moment.into(), vec![0.0; theta.shape().elements()]);
        }
        for (name, values) in &inputs {
            plan.write(name, values)?;
            feeds.insert(name.to_string(), wide(values));
        }
        Ok(Recorded {
            tape,
            feeds,
            compared,
            plan,
        })
    }

    /// Why the plan's result is not its twin's.
    fn mismatch(mut self) -> Result<Option<String>> {
        self.plan.submit();
        let found = self.plan.read(self.compared)?;
        let expected = evaluate(&self.tape, &mut self.feeds, &[self.compared])?;
        let expected = expected.first().map_or(&[][..], Vec::as_slice);
        let pairs = || found.iter().zip(expected);
        let error: f64 = pairs().map(|(&f, e)| (f64::from(f) - e).powi(2)).sum();
        let scale: f64 = expected.iter().map(|e| e * e).sum();
        let relative = (error / scale).sqrt();
        Ok((relative.is_nan() || relative > NETWORK).then(|| {
            format!(
                "it is {relative:.1e} off its twin, relative to the norm; {NETWORK:.0e} is allowed"
            )
        }))
    }
}

/// Initial parameters with all layers active: the zero ones of a fresh network would hide faults.
fn perturbed(model: &LearnedProximalGradient) -> Vec<f32> {
    let parameters = model.parameters();
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
    use super::*;

    #[test]
    fn channels_are_selected_along_either_axis() {
        let shape = Shape::new(2, 3, 1, 2);
        let values: Vec<f32> = (0..12).map(|v| v as f32).collect();
        assert_eq!(select(&values, shape, 1, &[2]), [4.0, 5.0, 10.0, 11.0]);
        assert_eq!(
            select(&values, shape, 0, &[1]),
            [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]
        );
        assert_eq!(some_channels(1), [0]);
        assert_eq!(some_channels(96), [0, 47, 95]);
    }

    #[test]
    fn a_wrong_number_a_nan_and_a_missing_one_are_mismatches() {
        let twin = Twin {
            value: vec![1.0, 2.0],
            magnitude: vec![1.0, 2.0],
        };
        assert_eq!(compare(&[1.0, 2.0], &twin), None);
        assert!(compare(&[1.0, 2.001], &twin).is_some());
        assert!(compare(&[f32::NAN, 2.0], &twin).is_some());
        assert!(compare(&[1.0], &twin).is_some());
    }
}
