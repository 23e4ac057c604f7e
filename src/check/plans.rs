//! Plans on the device against the tape's own definition on the host in f64.

use super::harness::{Noise, wide};
use super::{Check, Context, Measure, relative_error};
use crate::error::Result;
use crate::group::Group;
use crate::kernels::conv2d::{ImageAlgorithm, Tile, WeightAlgorithm, WeightTile};
use crate::kernels::symmetric_conv::{SymmetricAlgorithm, SymmetricTile, SymmetricWeightAlgorithm};
use crate::kernels::{Capabilities, Forced};
use crate::losses::half_mean_squared_error;
use crate::models::{LearnedProximalGradient, LearnedProximalGradientConfig, Network};
use crate::nn::Parameters;
use crate::operators::{LinearOperator, RayTransform};
use crate::reference::adam;
use crate::shape::{Fourier, FourierScale, GridSymmetry, Padding, RayGeometry, Shape, Window};
use crate::tape::plan::{Options, Plan, Store};
use crate::tape::reference::{Feeds, evaluate};
use crate::tape::{AdamConstants, Binary, Op, Tape, Unary, Var};

pub(super) fn checks() -> Vec<Check> {
    vec![
        Check::new("plan/fusion", |c| compare(c, "fusion", fusion)),
        Check::new("plan/reuse", |c| compare(c, "reuse", reuse)),
        Check::new("plan/views", |c| compare(c, "views", views)),
        Check::new("plan/fourier", |c| compare(c, "fourier", fourier)),
        Check::new("plan/recompute", |c| compare(c, "recompute", recompute)),
        Check::new("plan/adam", |c| compare(c, "adam", adam_steps)),
        Check::new("plan/network/C1", |c| {
            compare(c, "C1", |n| network(Group::cyclic(1), 10, n))
        }),
        Check::new("plan/network/C4", |c| {
            compare(c, "C4", |n| network(Group::cyclic(4), 10, n))
        }),
        Check::new("plan/network/D4", |c| {
            compare(c, "D4", |n| network(Group::dihedral(4), 10, n))
        }),
    ]
}

/// The whole network with each variant of each kernel family in turn, on an image whose rows are
/// read by fours.
pub(super) fn variants(capabilities: Capabilities) -> Vec<Check> {
    let record = |noise: &mut Noise| network(Group::cyclic(4), 12, noise);
    let variants = record(&mut Noise::new(0, "variants"))
        .and_then(|program| Plan::variants(&program.tape, &program.outputs, capabilities, SMALL));
    let variants = match variants {
        Ok(variants) => variants,
        Err(e) => {
            let message = e.to_string();
            let failed = move |_: &Context| Ok(Measure::failed(BOUND, message.clone()));
            return vec![Check::new("variant/plan", failed)];
        }
    };
    let checks = variants.into_iter().map(|(name, variant)| {
        let row = format!("variant/plan/{}", name.replace(' ', "-"));
        Check::new(row, move |context| {
            compare(context, &name, |noise| {
                let mut program = record(noise)?;
                program.options = forced(variant);
                Ok(program)
            })
        })
    });
    checks.collect()
}

/// A tape and what is fed to it.
struct Program {
    tape: Tape,
    outputs: Vec<Var>,
    /// Values of inputs and states that are not just any random numbers.
    given: Vec<(String, Vec<f32>)>,
    /// An input that changes with each replay, and its values.
    schedule: Option<(&'static str, Vec<Vec<f32>>)>,
    options: Options,
}

impl Program {
    fn new(tape: Tape, outputs: Vec<Var>) -> Self {
        Program {
            tape,
            outputs,
            given: Vec::new(),
            schedule: None,
            options: forced(SMALL),
        }
    }

    fn replays(&self) -> usize {
        let scheduled = self.schedule.as_ref();
        scheduled.map_or(2, |(_, values)| values.len())
    }

    /// Sets the scheduled input for a replay; returns it.
    fn advance(&self, replay: usize, feeds: &mut Feeds) -> Option<(&'static str, &[f32])> {
        let (name, values) = self.schedule.as_ref()?;
        feeds.insert((*name).into(), wide(&values[replay]));
        Some((name, &values[replay]))
    }

    /// Name and values of every input and state: the given ones, and noise for the others.
    fn leaves(&self, noise: &mut Noise) -> Vec<(Leaf, Vec<f32>)> {
        let mut leaves: Vec<(Leaf, Vec<f32>)> = Vec::new();
        for node in self.tape.nodes() {
            let (Op::Input(name) | Op::State(name)) = &node.op else {
                continue;
            };
            let given = self.given.iter().find(|(known, _)| known == name);
            let values = match given {
                Some((_, values)) => values.clone(),
                None => noise.signed(node.shape.elements()),
            };
            let leaf = Leaf {
                name: name.clone(),
                shape: node.shape,
                state: matches!(node.op, Op::State(_)),
            };
            leaves.push((leaf, values));
        }
        leaves
    }
}

struct Leaf {
    name: String,
    shape: Shape,
    state: bool,
}

fn forced(forced: Forced) -> Options {
    Options {
        forced,
        ..Options::default()
    }
}

/// Tiles that compile quickly; the default ones have their rows among the kernels.
pub(super) const SMALL: Forced = Forced {
    images: Some(ImageAlgorithm::Tiled(Tile {
        channels: 4,
        rows: 2,
        subgroup: None,
        texture: true,
        uniform: true,
    })),
    weights: Some(WeightAlgorithm::Tiled(WeightTile::Columns {
        outputs: 2,
        inputs: 1,
        texture: true,
    })),
    symmetric: Some(SymmetricAlgorithm::Fourier(SymmetricTile {
        channels: 8,
        accumulators: 8,
        subgroup: None,
        texture: true,
        uniform: false,
    })),
    symmetric_weights: Some(SymmetricWeightAlgorithm::Expanded(WeightAlgorithm::Tiled(
        WeightTile::Columns {
            outputs: 2,
            inputs: 1,
            texture: true,
        },
    ))),
    reading: None,
    fourier: None,
};

/// Relative to the largest element of each output: some hundred f32 roundings, one after another.
const BOUND: f64 = 2e-5;

/// Replays the program's plan and compares every output after every replay, and every state after
/// the last one, with the host's.
fn compare(
    context: &Context,
    label: &str,
    program: impl Fn(&mut Noise) -> Result<Program>,
) -> Result<Measure> {
    let mut noise = Noise::new(context.seed, label);
    let program = program(&mut noise)?;
    let mut leaves = program.leaves(&mut noise);
    // A gradient jumps where an activation is zero: on the device's side of it is another number.
    for _ in 0..100 {
        if apart_from_kinks(&program, &leaves)? {
            break;
        }
        leaves = program.leaves(&mut noise);
    }
    // One launch after another, and overlapping: which of the two depends on the adapter.
    let orders = [false, true].map(|overlap| -> Result<(Store, Plan)> {
        let store = context.store();
        let options = Options {
            overlap: Some(overlap),
            ..program.options
        };
        let plan = Plan::compile(&program.tape, &program.outputs, &store, options)?;
        for (leaf, values) in &leaves {
            if leaf.state {
                store.write(&leaf.name, leaf.shape, values)?;
            } else {
                plan.write(&leaf.name, values)?;
            }
        }
        Ok((store, plan))
    });
    let [a, b] = orders;
    let orders = [a?, b?];
    let mut feeds = feeds(&leaves);
    let mut worst = Measure::new(0.0, BOUND);
    let mut add = |values: [Vec<f32>; 2], expected: &[f64], what: String| {
        let [bits, others] = [0, 1].map(|k| values[k].iter().map(|x| x.to_bits()));
        let measure = match bits.eq(others) {
            true => Measure::new(relative_error(&values[0], expected), BOUND),
            false => Measure::failed(BOUND, format!("{what} depends on the order of launches")),
        };
        worst = worst.clone().worse(match measure.note {
            Some(_) => measure,
            None => Measure {
                note: Some(what),
                ..measure
            },
        });
    };
    for replay in 0..program.replays() {
        let schedule = program.advance(replay, &mut feeds);
        for (_, plan) in &orders {
            if let Some((name, values)) = schedule {
                plan.write(name, values)?;
            }
            plan.submit();
        }
        let expected = evaluate(&program.tape, &mut feeds, &program.outputs)?;
        for (k, (output, expected)) in program.outputs.iter().zip(&expected).enumerate() {
            let values = [orders[0].1.read(*output)?, orders[1].1.read(*output)?];
            add(
                values,
                expected,
                format!("output {k} after replay {replay}"),
            );
        }
    }
    for (leaf, _) in leaves.iter().filter(|(leaf, _)| leaf.state) {
        let values = [orders[0].0.read(&leaf.name)?, orders[1].0.read(&leaf.name)?];
        add(values, &feeds[&leaf.name], format!("state '{}'", leaf.name));
    }
    Ok(worst)
}

fn feeds(leaves: &[(Leaf, Vec<f32>)]) -> Feeds {
    let pairs = leaves
        .iter()
        .map(|(leaf, values)| (leaf.name.clone(), wide(values)));
    pairs.collect()
}

/// No argument of a leaky ReLU lies within rounding of zero in any replay.
fn apart_from_kinks(program: &Program, leaves: &[(Leaf, Vec<f32>)]) -> Result<bool> {
    let tape = &program.tape;
    let mut wanted: Vec<Var> = (tape.nodes().iter())
        .filter(|node| matches!(node.op, Op::Unary(Unary::LeakyRelu(_))))
        .map(|node| tape.var(node.inputs[0]))
        .collect();
    let arguments = wanted.len();
    if arguments == 0 {
        return Ok(true);
    }
    // The outputs' updates move the states on to the next replay.
    wanted.extend(&program.outputs);
    let mut feeds = feeds(leaves);
    for replay in 0..program.replays() {
        program.advance(replay, &mut feeds);
        let values = evaluate(tape, &mut feeds, &wanted)?;
        let apart = values[..arguments].iter().all(|values| {
            let largest = values.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            values.iter().all(|x| x.abs() > 3e-6 * largest)
        });
        if !apart {
            return Ok(false);
        }
    }
    Ok(true)
}

const IMAGE: Shape = Shape::new(2, 3, 9, 7);

/// Epilogues of convolutions, elementwise chains, a value used twice, an output in the middle of a
/// chain, more operands than one kernel takes.
fn fusion(_: &mut Noise) -> Result<Program> {
    let mut tape = Tape::new();
    let x = tape.input("x", IMAGE);
    let w = tape.input("w", Shape::new(3, 3, 3, 3));
    let bias = tape.input("bias", Shape::new(1, 3, 1, 1));
    let y = tape.conv2d(x, w, Window::same(3, Padding::Replicate))?;
    let y = tape.add(y, bias)?;
    let y = tape.leaky_relu(y, 0.1);
    let y = tape.add(y, x)?;
    let twice = tape.mul(y, y)?;
    let kept = tape.sub(twice, bias)?;
    let mut sum = tape.unary(Unary::Abs, kept);
    for k in 0..8 {
        let shape = [IMAGE, Shape::new(2, 1, 9, 1), Shape::SCALAR][k % 3];
        let operand = tape.input(&format!("operand{k}"), shape);
        let f = [Binary::Add, Binary::Mul, Binary::Sub][k % 3];
        sum = tape.binary(f, sum, operand)?;
    }
    let back = tape.conv2d_input_gradient(sum, w, Window::same(3, Padding::Circular), IMAGE)?;
    let back = tape.scale(back, 0.5);
    let back = tape.add(back, y)?;
    Ok(Program::new(tape, vec![kept, sum, back]))
}

/// Many intermediate results of a few sizes, read soon and late, so that buffers serve again.
fn reuse(_: &mut Noise) -> Result<Program> {
    let mut tape = Tape::new();
    let x = tape.input("x", IMAGE);
    let mut all = vec![x];
    for k in 0..24 {
        let (a, b) = (all[k], all[(k * 7 + 3) % (k + 1)]);
        let turned = tape.symmetry(a, GridSymmetry::new(k as u8, k % 3 == 0));
        let turned = tape.symmetry(turned, GridSymmetry::new(4 - k as u8 % 4, false));
        let shrunk = tape.sum(b, Shape::new(2, 1, 9, 1))?;
        let padded = tape.pad(shrunk, 3, k % 4, 7)?;
        let sum = tape.add(turned, padded)?;
        all.push(tape.scale(sum, 0.6));
    }
    let (first, last) = (all[2], all[24]);
    let largest = tape.max(last, Shape::new(1, 3, 1, 1))?;
    Ok(Program::new(tape, vec![first, last, largest]))
}

/// Reshapes and slices of inputs, states and results: those that begin at a multiple of 64
/// elements share memory, the others are copied.
fn views(_: &mut Noise) -> Result<Program> {
    let mut tape = Tape::new();
    let state = tape.state("state", Shape::vector(64 * 7));
    let x = tape.input("x", Shape::vector(64 * 7));
    let x = tape.add(x, state)?;
    let mut parts = Vec::new();
    for source in [state, x] {
        for (start, len) in [(0, 63), (64, 63), (65, 63), (192, 63), (385, 63)] {
            let part = tape.slice(source, 3, start, len)?;
            parts.push(tape.reshape(part, Shape::new(1, 7, 3, 3))?);
        }
    }
    // A view of a view, and a slice across rows.
    let inner = tape.slice(x, 3, 64, 320)?;
    let inner = tape.slice(inner, 3, 128, 63)?;
    parts.push(tape.reshape(inner, Shape::new(1, 7, 3, 3))?);
    let matrix = tape.reshape(x, Shape::new(1, 7, 8, 8))?;
    let block = tape.slice(matrix, 2, 2, 3)?;
    parts.push(tape.slice(block, 3, 1, 3)?);
    let joined = tape.concat(&parts, 0)?;
    let turned = tape.transpose(joined, [1, 3, 0, 2])?;
    let flat = tape.reshape(turned, Shape::vector(turned.shape().elements()))?;
    let total = tape.sum_all(flat)?;
    Ok(Program::new(tape, vec![joined, flat, parts[1], total]))
}

/// Complex images seen through several maps, transformed, masked, and brought back: with the
/// gradients by all of it, and planes of odd size whose parts are views.
fn fourier(noise: &mut Noise) -> Result<Program> {
    let mut tape = Tape::new();
    let x = tape.input("x", Shape::new(2, 2, 11, 9));
    let maps = tape.input("maps", Shape::new(1, 6, 11, 9));
    let mask = Shape::new(1, 1, 1, 9);
    let mask = tape.constant(mask, noise.range(9, 0.0, 1.0))?;
    let seen = tape.complex_mul(x, maps, false)?;
    let space = tape.fourier(seen, Fourier::planes())?;
    let kept = tape.mul(space, mask)?;
    let back = tape.fourier(kept, Fourier::planes().adjoint())?;
    let images = tape.complex_mul(back, maps, true)?;
    let image = tape.complex_sum(images, x.shape())?;
    let second = tape.slice(image, 0, 1, 1)?;
    let lines = tape.fourier(second, Fourier::lines().scaled(FourierScale::Sum))?;
    let squares = tape.mul(lines, lines)?;
    let loss = tape.mean(squares)?;
    let mut outputs = vec![kept, image, lines];
    outputs.extend(tape.gradients(loss, &[x, maps])?);
    Ok(Program::new(tape, outputs))
}

/// Gradients through recomputed segments, one inside the graph of the other.
fn recompute(_: &mut Noise) -> Result<Program> {
    let mut tape = Tape::new();
    let x = tape.input("x", IMAGE);
    let w = tape.input("w", Shape::new(3, 3, 3, 3));
    let window = Window::same(3, Padding::Zero);
    let mut y = x;
    for _ in 0..2 {
        y = tape.recomputed(|tape| {
            let inner = tape.conv2d(y, w, window)?;
            let inner = tape.leaky_relu(inner, 0.1);
            tape.add(inner, y)
        })?;
    }
    let square = tape.mul(y, y)?;
    let loss = tape.mean(square)?;
    let gradients = tape.gradients(loss, &[x, w])?;
    Ok(Program::new(tape, vec![loss, gradients[0], gradients[1]]))
}

/// Steps in place: what reads the parameters before the update and what reads them after.
fn adam_steps(noise: &mut Noise) -> Result<Program> {
    let mut tape = Tape::new();
    let shape = Shape::vector(130);
    let [theta, m, v] = ["theta", "m", "v"].map(|name| tape.state(name, shape));
    let target = tape.input("target", shape);
    let before = tape.scale(theta, 3.0);
    let difference = tape.sub(theta, target)?;
    let square = tape.mul(difference, difference)?;
    let loss = tape.sum_all(square)?;
    let gradient = tape.gradients(loss, &[theta])?[0];
    let rates = tape.input("rates", Shape::vector(2));
    let new = tape.adam([theta, m, v], gradient, rates, CONSTANTS)?;
    let after = tape.scale(new, 2.0);
    // A state that follows the loss from replay to replay.
    let trace = tape.state("trace", Shape::SCALAR);
    let sum = tape.add(trace, loss)?;
    let half = tape.scale(sum, 0.5);
    let trace = tape.assign(trace, half)?;
    let mut program = Program::new(tape, vec![before, loss, after, trace]);
    program.given = vec![("v".into(), noise.range(130, 0.0, 1.0))];
    program.schedule = Some(("rates", rates_of(4)));
    Ok(program)
}

/// An epsilon of the size of the gradients: a step then depends on them smoothly, where the usual
/// 1e-8 divides rounding by rounding.
const CONSTANTS: AdamConstants = AdamConstants {
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 0.1,
};

fn rates_of(steps: u64) -> Vec<Vec<f32>> {
    let betas = [CONSTANTS.beta1, CONSTANTS.beta2].map(f64::from);
    let rates = |t| adam::rates(1e-2, betas, t).map(|r| r as f32).to_vec();
    (1..=steps).map(rates).collect()
}

/// The whole learned proximal gradient network: reconstruction, loss, gradients and Adam's steps.
fn network(group: Group, size: usize, noise: &mut Noise) -> Result<Program> {
    let operator = RayTransform::new(RayGeometry::parallel([size, size], 0.36, 7, 15));
    let config = LearnedProximalGradientConfig {
        group,
        width: 16,
        blocks: 2,
        memory: 2,
        recompute: group.order() == 4,
        ..Default::default()
    };
    let model = LearnedProximalGradient::new(&config, 1, 0.3)?;
    let parameters = model.parameters();
    let mut tape = Tape::new();
    let (theta, bound) = parameters.bind(&mut tape)?;
    let y = tape.input("y", operator.range());
    let truth = tape.input("truth", operator.domain());
    let u = model.reconstruct(&mut tape, &bound, &operator, y)?;
    let loss = half_mean_squared_error(&mut tape, u, truth)?;
    let gradients = tape.gradients(loss, bound.vars())?;
    let gradient = parameters.pack(&mut tape, &gradients)?;
    let [m, v] = ["m", "v"].map(|name| tape.state(name, parameters.flat()));
    let rates = tape.input("rates", Shape::vector(2));
    let new = tape.adam([theta, m, v], gradient, rates, CONSTANTS)?;
    let mut program = Program::new(tape, vec![u, loss, gradient, new]);
    let zeros = vec![0.0; parameters.flat().elements()];
    program.given = vec![
        (
            Parameters::STATE.into(),
            random_parameters(parameters, noise),
        ),
        ("m".into(), zeros.clone()),
        ("v".into(), zeros),
    ];
    program.schedule = Some(("rates", rates_of(2)));
    Ok(program)
}

/// Initial values, moved so that nothing is zero: neither the intermediate layers nor the biases.
pub(super) fn random_parameters(parameters: &Parameters, noise: &mut Noise) -> Vec<f32> {
    let mut values = parameters.initial(u64::from(noise.below(1 << 20)));
    for (_, shape, range) in parameters.layout() {
        let moves = noise.signed(shape.elements());
        for (value, by) in values[range].iter_mut().zip(moves) {
            *value += 0.2 * by;
        }
    }
    values
}

/// The outputs of a tape for given leaves, on the device.
pub(super) fn outputs(
    store: &Store,
    variants: Forced,
    tape: &Tape,
    output: Var,
    states: &[(&str, Shape, &[f32])],
    inputs: &[(&str, &[f32])],
) -> Result<Vec<f32>> {
    let options = forced(variants);
    for (name, shape, values) in states {
        store.write(name, *shape, values)?;
    }
    let plan = Plan::compile(tape, &[output], store, options)?;
    plan.run(inputs)?;
    plan.read(output)
}
