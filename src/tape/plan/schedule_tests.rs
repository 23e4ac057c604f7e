//! Schedules without a device, and on one: whatever overlaps, the results are the same.

use super::super::choices::Choices;
use super::super::draft::Draft;
use super::super::{Options, Plan, Store};
use super::*;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Selection};
use crate::kernels::conv2d::{ImageAlgorithm, WeightAlgorithm};
use crate::kernels::{Capabilities, Forced};
use crate::reference::random::{self, Draw};
use crate::shape::{Padding, Shape, Window};
use crate::tape::reference::{Feeds, evaluate};
use crate::tape::{AdamConstants, Tape, Var};

fn draft(tape: &Tape, outputs: &[Var], software: bool) -> Draft {
    let capabilities = Capabilities {
        software,
        ..Capabilities::default()
    };
    let choices = Choices::collecting(capabilities, Forced::default());
    Draft::new(tape, outputs, choices).expect("compiles")
}

/// A training step of two convolutions, with a state that is read before and after its update:
/// before it when `late` launches that wait for one another are done.
fn step(late: usize) -> (Tape, Vec<Var>) {
    let mut tape = Tape::new();
    let window = Window::same(3, Padding::Replicate);
    let image = Shape::new(1, 16, 64, 64);
    let kernel = Shape::new(16, 16, 3, 3);
    let x = tape.input("x", image);
    let target = tape.input("target", image);
    let rates = tape.input("rates", Shape::vector(2));
    let weights = ["first", "second"].map(|name| tape.state(name, kernel));
    let mut y = x;
    for w in weights {
        y = tape.conv2d(y, w, window).expect("fits");
        y = tape.leaky_relu(y, 0.01);
    }
    let difference = tape.sub(y, target).expect("fits");
    let square = tape.mul(difference, difference).expect("fits");
    let loss = tape.sum_all(square).expect("fits");
    let gradients = tape.gradients(loss, &weights).expect("reach");
    let late = (0..late).fold(y, |x, _| tape.transpose(x, [0, 1, 3, 2]).expect("fits"));
    let late = tape.sum_all(late).expect("sums");
    let before = tape.add(weights[0], late).expect("fits");
    let mut outputs = vec![loss, before];
    for ((w, gradient), name) in weights.into_iter().zip(gradients).zip(["a", "b"]) {
        let moments = ["m", "v"].map(|m| tape.state(&format!("{m} {name}"), kernel));
        let constants = AdamConstants {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
        };
        let states = [w, moments[0], moments[1]];
        let new = tape.adam(states, gradient, rates, constants).expect("fits");
        outputs.push(tape.scale(new, 2.0));
    }
    (tape, outputs)
}

/// The wave of each launch.
fn waves(draft: &Draft) -> HashMap<Place, usize> {
    let waves = draft.schedule.waves.iter().enumerate();
    let places = waves.flat_map(|(w, places)| places.iter().map(move |&place| (place, w)));
    places.collect()
}

/// Launches that touch the same memory, one of them to write, run in different waves, as recorded.
fn assert_order(draft: &Draft) {
    let (work, waves) = (draft.work(), waves(draft));
    let places: Vec<Place> = work.places().collect();
    assert_eq!(waves.len(), places.len(), "each launch runs once");
    for (i, &a) in places.iter().enumerate() {
        for &b in &places[i + 1..] {
            let touched: Vec<(Held, bool)> = work.accesses(b).collect();
            let conflict = work.accesses(a).any(|(held, writes)| {
                let scratch = matches!(held, Held::Scratch(..));
                let mut both = touched.iter().filter(|(other, _)| *other == held);
                both.any(|(_, also)| writes || *also || scratch)
            });
            assert!(!conflict || waves[&a] < waves[&b], "{a:?} {b:?}");
        }
    }
}

/// What lives at once has buffers of its own.
fn assert_apart(draft: &Draft) {
    let (work, waves) = (draft.work(), waves(draft));
    let mut spans: HashMap<Held, (usize, usize)> = HashMap::new();
    for place in work.places() {
        for (held, _) in work.accesses(place) {
            let span = spans.entry(held).or_insert((usize::MAX, 0));
            *span = (span.0.min(waves[&place]), span.1.max(waves[&place]));
        }
    }
    let spans: Vec<(Held, (usize, usize))> = spans.into_iter().collect();
    for (i, (a, first)) in spans.iter().enumerate() {
        for (b, second) in &spans[i + 1..] {
            let apart = first.1 < second.0 || second.1 < first.0;
            let buffers = [*a, *b].map(|held| draft.buffer(held));
            let shared = buffers[0].is_some() && buffers[0] == buffers[1];
            assert!(apart || !shared, "{a:?} {first:?}, {b:?} {second:?}");
        }
    }
}

/// Kernels that compile quickly.
const READABLE: Forced = Forced {
    images: Some(ImageAlgorithm::Readable),
    weights: Some(WeightAlgorithm::Readable),
    symmetric: None,
    symmetric_weights: None,
    reading: None,
    fourier: None,
};

/// A store on a device with this memory limit.
fn store(memory_limit: Option<u64>) -> Store {
    let selection = Selection {
        memory_limit,
        ..Selection::default()
    };
    Store::new(&Gpu::open(&selection).expect("an adapter"))
}

/// Compiles as for a hardware adapter, whatever the device is: launches overlap unless told otherwise.
fn compile(tape: &Tape, outputs: &[Var], store: &Store, overlap: Option<bool>) -> Result<Plan> {
    let capabilities = Capabilities {
        software: false,
        ..Capabilities::of(store.gpu())
    };
    let choices = Choices::collecting(capabilities, READABLE).overlapping(overlap);
    Plan::chosen_by(tape, outputs, store, choices)
}

/// The same numbers in (0, 1) for each leaf in every test.
fn values(tape: &Tape) -> Vec<(String, Shape, bool, Vec<f32>)> {
    let leaves = tape.nodes().iter().enumerate().filter_map(|(i, node)| {
        let (name, state) = match &node.op {
            Op::Input(name) => (name, false),
            Op::State(name) => (name, true),
            _ => return None,
        };
        let uniform = random::uniform(Draw::new(1, i as u32), node.shape.elements());
        let values = uniform.iter().map(|&u| u as f32).collect();
        Some((name.clone(), node.shape, state, values))
    });
    leaves.collect()
}

/// The bits of every output after the first replay and after the second.
fn bits(tape: &Tape, outputs: &[Var], store: &Store, plan: &Plan) -> Vec<Vec<u32>> {
    for (name, shape, state, values) in values(tape) {
        if state {
            store.write(&name, shape, &values).expect("a state");
        } else if plan.has_input(&name) {
            plan.write(&name, &values).expect("an input");
        }
    }
    let mut found = Vec::new();
    for _ in 0..2 {
        plan.submit();
        for &output in outputs {
            let values = plan.read(output).expect("an output");
            found.push(values.into_iter().map(f32::to_bits).collect());
        }
    }
    store.gpu().check_fault().expect("no error of the device");
    found
}

/// Both orders give the same bits, which are those of the definition up to rounding. The result is the
/// bits.
fn assert_same(tape: &Tape, outputs: &[Var]) -> Vec<Vec<u32>> {
    let [ordered, overlapping] = [false, true].map(|overlap| {
        let store = store(None);
        let plan = compile(tape, outputs, &store, Some(overlap)).expect("compiles");
        let waves = plan.steps.iter().filter(|step| step.fresh).count();
        assert_eq!(waves > 0, overlap);
        bits(tape, outputs, &store, &plan)
    });
    assert!(ordered == overlapping, "the order of launches matters");
    let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect();
    let leaves = values(tape).into_iter();
    let mut feeds: Feeds = leaves.map(|(name, _, _, x)| (name, wide(x))).collect();
    let expected = evaluate(tape, &mut feeds, outputs).expect("evaluates");
    for (found, expected) in ordered.iter().zip(&expected) {
        let scale = expected.iter().fold(0.0, |m: f64, e| m.max(e.abs()));
        for (&found, expected) in found.iter().zip(expected) {
            let error = (f64::from(f32::from_bits(found)) - expected).abs();
            assert!(error <= 1e-4 * scale, "{expected} is {error} off");
        }
    }
    ordered
}

#[test]
fn launches_that_touch_the_same_memory_keep_their_order() {
    let (tape, outputs) = step(3 * AHEAD);
    for software in [false, true] {
        assert_order(&draft(&tape, &outputs, software));
    }
}

#[test]
fn what_lives_at_once_has_buffers_of_its_own() {
    let (tape, outputs) = step(0);
    assert_apart(&draft(&tape, &outputs, false));
}

#[test]
fn where_memory_is_short_launches_follow_one_another() {
    let (tape, outputs) = step(0);
    let run = |limit: Option<u64>, overlap: Option<bool>| {
        let store = store(limit);
        let plan = compile(&tape, &outputs, &store, overlap)?;
        let fresh = plan.steps.iter().any(|step| step.fresh);
        let memory = plan.memory().total();
        Ok((memory, fresh, bits(&tape, &outputs, &store, &plan)))
    };
    let (least, fresh, expected) = run(None, Some(false)).expect("compiles");
    assert!(!fresh);
    let (most, fresh, found) = run(None, Some(true)).expect("compiles");
    assert!(fresh && least < most, "{least} and {most} bytes");
    assert!(found == expected, "the order of launches matters");
    for (limit, memory, fresh) in [
        (most, most, true),
        (most - 1, least, false),
        (least, least, false),
    ] {
        let (taken, overlaps, found) = run(Some(limit), None).expect("fits");
        assert_eq!((taken, overlaps), (memory, fresh), "within {limit} bytes");
        assert!(found == expected, "other results within {limit} bytes");
    }
    // Below both, and where the caller insists on overlapping.
    for (limit, overlap, memory) in [(least - 1, None, least), (most - 1, Some(true), most)] {
        let error = run(Some(limit), overlap).map(|_| ()).expect_err("too much");
        let Error::OutOfMemory {
            needed, available, ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((needed, available), (memory, limit));
    }
}

/// A concatenation of a part that is ready at once, a constant, a part that waits for others and a
/// part that is copied, and two readers of the whole: one of a part only, and one of all of it.
fn concatenation() -> (Tape, [Var; 3], [Var; 2]) {
    let mut tape = Tape::new();
    let shape = Shape::new(1, 2, 64, 64);
    let x = tape.input("x", shape);
    let early = tape.scale(x, 2.0);
    let gap = (0..shape.elements()).map(|i| i as f32 * 1e-3);
    let gap = tape.constant(shape, gap.collect::<Vec<_>>()).expect("fits");
    let turned = |tape: &mut Tape, x, times: usize| {
        let turn = |x, _| tape.transpose(x, [0, 1, 3, 2]).expect("fits");
        (0..times).fold(x, turn)
    };
    let late = turned(&mut tape, x, 5);
    let late = tape.scale(late, 3.0);
    let whole = tape.concat(&[early, gap, late, x], 1).expect("fits");
    let all = turned(&mut tape, whole, 1);
    let part = tape.slice(whole, 1, 0, 2).expect("fits");
    let part = turned(&mut tape, part, 1);
    // Buffers of the same size as the whole, of which none may be the one that holds the constant.
    let after = turned(&mut tape, all, 4);
    (tape, [early, late, whole], [part, after])
}

#[test]
fn the_whole_is_read_when_all_of_its_parts_are_written() {
    let (tape, writers, outputs) = concatenation();
    let draft = draft(&tape, &outputs, false);
    let whole = writers[2].index();
    assert_eq!(draft.joins.in_place[&whole], [true, true, true, false]);
    assert_eq!(draft.joins.inlays.len(), 1);
    assert_order(&draft);
    assert_apart(&draft);
    let waves = waves(&draft);
    let of = |t: usize| (0..draft.lowered[t].launches.len()).map(move |l| [t, l]);
    let written = (writers.iter()).flat_map(|w| of(draft.task_of[&w.index()]));
    let written: Vec<usize> = written.map(|place| waves[&place]).collect();
    assert_eq!(
        written.len(),
        3,
        "one launch for each part but the constant"
    );
    let owner = |node: usize| draft.owner[node].0;
    let mut readers = 0;
    for (t, task) in draft.tasks.iter().enumerate() {
        let reads = task.inputs.iter().any(|&input| owner(input) == whole);
        // The concatenation's own task copies what is not in place.
        if reads && task.output != whole {
            readers += 1;
            let first = of(t).map(|place| waves[&place]).min();
            assert!(first > written.iter().copied().max(), "task {t}");
        }
    }
    assert_eq!(readers, 2);
    // The constant is written when the plan is built: nobody else may have its buffer, ever.
    let kept = draft.buffer(Held::Node(whole)).expect("a buffer");
    for &node in draft.task_of.keys().filter(|&&node| owner(node) != whole) {
        assert_ne!(draft.buffer(Held::Node(node)), Some(kept), "node {node}");
    }
    assert_same(&tape, &outputs);
}

/// A training step of `blocks` residual blocks whose inner activations have four times the channels.
fn blocks(blocks: usize, recompute: bool) -> (Tape, Vec<Var>) {
    let mut tape = Tape::new();
    let (image, wide) = (Shape::new(1, 2, 96, 96), 16);
    let window = Window::same(3, Padding::Replicate);
    let x = tape.input("x", image);
    let mut weights = Vec::new();
    let mut y = x;
    for b in 0..blocks {
        let [up, down] = [("up", wide, 2), ("down", 2, wide)].map(|(name, outputs, inputs)| {
            tape.input(&format!("{name} {b}"), Shape::new(outputs, inputs, 3, 3))
        });
        weights.extend([up, down]);
        let block = |tape: &mut Tape| {
            let inner = tape.conv2d(y, up, window)?;
            let inner = tape.leaky_relu(inner, 0.1);
            let inner = tape.conv2d(inner, down, window)?;
            // Keeps the size of numbers from block to block.
            let inner = tape.scale(inner, 1e-2);
            tape.add(inner, y)
        };
        y = match recompute {
            true => tape.recomputed(block),
            false => block(&mut tape),
        }
        .expect("fits");
    }
    let square = tape.mul(y, y).expect("fits");
    let loss = tape.mean(square).expect("fits");
    let mut outputs = tape.gradients(loss, &weights).expect("reach");
    outputs.push(loss);
    (tape, outputs)
}

#[test]
fn what_is_computed_again_to_save_memory_still_saves_it_where_launches_overlap() {
    let memory = |recompute: bool, overlap: bool| {
        let (tape, outputs) = blocks(12, recompute);
        let options = Options {
            overlap: Some(overlap),
            ..Options::default()
        };
        let memory = Plan::memory_on(&tape, &outputs, Capabilities::default(), options);
        memory.expect("fits").intermediate
    };
    let [ordered, overlapping] = [false, true].map(|overlap| memory(true, overlap));
    let kept = memory(false, true);
    assert!(overlapping < 2 * ordered, "{ordered}, {overlapping}");
    assert!(overlapping < kept / 2, "{overlapping}, {kept}");
    let (tape, outputs) = blocks(3, true);
    let draft = draft(&tape, &outputs, false);
    assert_order(&draft);
    assert_apart(&draft);
    let again = assert_same(&tape, &outputs);
    let (tape, outputs) = blocks(3, false);
    assert!(
        assert_same(&tape, &outputs) == again,
        "computed again, results are others"
    );
}

#[test]
fn gradients_of_weights_and_input_overlap_on_hardware_alone() {
    let (tape, outputs) = step(0);
    let [hardware, software] = [false, true].map(|s| draft(&tape, &outputs, s));
    let waves = waves(&hardware);
    let launches = |name: &str| -> Vec<usize> {
        let of = |t: usize| hardware.tasks[t].root.map(|r| hardware.nodes[r].op.name());
        let places = hardware.work().places();
        let found = places.filter(|&[t, l]| l == 0 && of(t) == Some(name));
        found.map(|place| waves[&place]).collect()
    };
    let weights = launches("conv2d_weight_gradient");
    let kernel = hardware.schedule.waves.iter();
    let input = kernel.enumerate().find(|(_, places)| {
        let input = |&&[t, l]: &&Place| {
            let root = hardware.tasks[t].root.map(|r| hardware.nodes[r].op.name());
            l == 1 && root == Some("conv2d_input_gradient")
        };
        places.iter().find(input).is_some()
    });
    assert!(input.is_some_and(|(wave, _)| weights.contains(&wave)));
    let count = |draft: &Draft| draft.work().places().count();
    assert_eq!(software.schedule.waves.len(), count(&software));
    assert!(hardware.schedule.waves.len() < count(&hardware) * 3 / 4);
}

#[test]
fn a_state_in_two_nodes_is_one_memory() {
    let mut tape = Tape::new();
    let shape = Shape::new(1, 1, 64, 65);
    let [first, again] = [0, 1].map(|_| tape.state("w", shape));
    let x = tape.input("x", shape);
    let late = (0..AHEAD).fold(x, |x, _| tape.transpose(x, [0, 1, 3, 2]).expect("fits"));
    let read = tape.add(again, late).expect("fits");
    let new = tape.assign(first, x).expect("fits");
    let draft = draft(&tape, &[read, new], false);
    let waves = waves(&draft);
    let last = |t: usize| waves[&[t, draft.lowered[t].launches.len() - 1]];
    let task = |v: Var| draft.task_of[&v.index()];
    assert!(last(task(read)) < waves[&[task(new), 0]]);
}

#[test]
fn what_is_large_and_far_ahead_waits() {
    let mut tape = Tape::new();
    let image = Shape::new(1, 16, 128, 128);
    let [a, b] = ["a", "b"].map(|name| tape.input(name, image));
    let mut chain = |x: Var, length: usize| {
        (0..length).fold(x, |x, _| tape.transpose(x, [0, 1, 3, 2]).expect("fits"))
    };
    let outputs = [chain(a, 3 * AHEAD), chain(b, 3 * AHEAD)];
    let draft = draft(&tape, &outputs, false);
    let waves = waves(&draft);
    let second = 3 * AHEAD;
    assert_eq!(waves[&[0, 0]], 0);
    assert!(waves[&[second, 0]] > second - AHEAD);
}
