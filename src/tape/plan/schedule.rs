//! The order in which the launches of a plan run, and which of them may run at the same time.
//!
//! A hardware adapter runs dispatches side by side until one waits for memory that another has
//! written. Small ones, which leave most of the adapter idle, then cost no time of their own: the
//! gradients of a layer's weights and of its input, or a sum over images next to a convolution.

use super::super::op::{Node, Op};
use super::fuse::Task;
use crate::kernels::{Launch, Lowered, Slot};
use std::collections::HashMap;

/// A launch: the number of its task, and its own in there.
pub(super) type Place = [usize; 2];

/// Memory that launches read and write.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Held {
    /// What belongs to a node.
    Node(usize),
    /// Scratch of a task, by number.
    Scratch(usize, usize),
}

/// What the accesses of a plan's launches are known from.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub nodes: &'a [Node],
    pub owner: &'a [(usize, usize)],
    pub tasks: &'a [Task],
    pub lowered: &'a [Lowered],
}

impl<'a> Work<'a> {
    fn places(self) -> impl Iterator<Item = Place> + 'a {
        (self.lowered.iter().enumerate())
            .flat_map(|(t, lowered)| (0..lowered.launches.len()).map(move |l| [t, l]))
    }

    fn launch(self, [task, number]: Place) -> &'a Launch {
        &self.lowered[task].launches[number]
    }

    /// What a launch binds, and whether it may write there: of scratch that is left open.
    pub(super) fn accesses(self, place: Place) -> impl Iterator<Item = (Held, bool)> + 'a {
        let [task, _] = place;
        let updates = (self.tasks[task].root).map_or(0, |root| self.nodes[root].op.updates());
        let bindings = self.launch(place).bindings.iter();
        bindings.filter_map(move |(_, slot)| {
            let mut slot = slot;
            while let Slot::Texture(of) | Slot::Part { of, .. } = slot {
                slot = of;
            }
            let node = |node: usize| Held::Node(self.owner[node].0);
            match slot {
                Slot::Input(k) => Some((node(self.tasks[task].inputs[*k]), *k < updates)),
                Slot::Output => Some((node(self.tasks[task].output), true)),
                Slot::Scratch(k) => Some((Held::Scratch(task, *k), false)),
                _ => None,
            }
        })
    }

    /// For each launch, which must be done before it.
    fn dependencies(&self, places: &[Place]) -> Vec<Vec<usize>> {
        // A state may stand in several nodes.
        let mut states: HashMap<&str, usize> = HashMap::new();
        let mut one = |held: Held| match held {
            Held::Node(node) => match &self.nodes[node].op {
                Op::State(name) => Held::Node(*states.entry(name).or_insert(node)),
                _ => held,
            },
            scratch => scratch,
        };
        let mut written: HashMap<Held, usize> = HashMap::new();
        let mut read: HashMap<Held, Vec<usize>> = HashMap::new();
        let mut all = Vec::with_capacity(places.len());
        for (i, place) in places.iter().enumerate() {
            // The launches of a task follow one another; so what they do with scratch need not be
            // known.
            let mut before: Vec<usize> = (place[1] > 0).then(|| i - 1).into_iter().collect();
            let accesses: Vec<(Held, bool)> = (self.accesses(*place))
                .filter(|(held, _)| matches!(held, Held::Node(_)))
                .map(|(held, writes)| (one(held), writes))
                .collect();
            for (held, writes) in &accesses {
                before.extend(written.get(held));
                if *writes {
                    before.extend(read.get(held).into_iter().flatten());
                }
            }
            for (held, writes) in accesses {
                if writes {
                    written.insert(held, i);
                    read.remove(&held);
                } else {
                    read.entry(held).or_default().push(i);
                }
            }
            before.retain(|&b| b != i);
            before.sort_unstable();
            before.dedup();
            all.push(before);
        }
        all
    }

    /// Bytes that a launch may write.
    fn written(&self, place: Place) -> u64 {
        let bytes = self.accesses(place).map(|(held, writes)| match held {
            Held::Scratch(task, k) => self.lowered[task].scratch[k],
            Held::Node(node) if writes => self.nodes[node].shape.bytes(),
            Held::Node(_) => 0,
        });
        bytes.sum()
    }
}

/// How many launches that wait for others a wave may look past: further ahead, more values would
/// live at a time, and what is computed again to save memory would be computed too early.
const AHEAD: usize = 12;
/// Bytes up to which a launch that waits for nothing may run first of all: packed weights.
const SMALL: u64 = 1 << 18;

/// The launches of a plan in waves: none depends on another of its wave.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Schedule {
    pub waves: Vec<Vec<Place>>,
}

impl Schedule {
    /// One after another, as recorded.
    pub(super) fn in_order(work: Work) -> Self {
        Schedule {
            waves: work.places().map(|place| vec![place]).collect(),
        }
    }

    /// Each as early as may be.
    pub(super) fn overlapping(work: Work) -> Self {
        let places: Vec<Place> = work.places().collect();
        let before = work.dependencies(&places);
        let mut missing: Vec<usize> = before.iter().map(Vec::len).collect();
        let mut after: Vec<Vec<usize>> = vec![Vec::new(); places.len()];
        for (i, before) in before.iter().enumerate() {
            before.iter().for_each(|&b| after[b].push(i));
        }
        let mut done = vec![false; places.len()];
        let mut schedule = Schedule::default();
        let mut head = 0;
        while head < places.len() {
            let waiting = (head..places.len()).filter(|&i| !done[i]);
            let mut wave: Vec<usize> = waiting.take(AHEAD).filter(|&i| missing[i] == 0).collect();
            if schedule.waves.is_empty() {
                let small = |&i: &usize| missing[i] == 0 && work.written(places[i]) <= SMALL;
                wave.extend((0..places.len()).filter(small));
                wave.sort_unstable();
                wave.dedup();
            }
            for &i in &wave {
                done[i] = true;
                after[i].iter().for_each(|&a| missing[a] -= 1);
            }
            while head < places.len() && done[head] {
                head += 1;
            }
            let wave = wave.into_iter().map(|i| places[i]);
            schedule.waves.push(wave.collect());
        }
        schedule
    }

    /// The launches in order, with whether one begins a wave of several.
    pub(super) fn launches(&self) -> impl Iterator<Item = (Place, bool)> {
        let wave = |wave: &Vec<Place>| {
            let several = wave.len() > 1;
            let places = wave.clone().into_iter().enumerate();
            places.map(move |(i, place)| (place, several && i == 0))
        };
        self.waves.iter().flat_map(wave)
    }
}

#[cfg(test)]
mod tests {
    use super::super::choices::Choices;
    use super::super::draft::Draft;
    use super::*;
    use crate::kernels::{Capabilities, Forced};
    use crate::shape::{Padding, Shape, Window};
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

    #[test]
    fn launches_that_touch_the_same_memory_keep_their_order() {
        let (tape, outputs) = step(3 * AHEAD);
        for software in [false, true] {
            let draft = draft(&tape, &outputs, software);
            let (work, waves) = (draft.work(), waves(&draft));
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
    }

    #[test]
    fn what_lives_at_once_has_buffers_of_its_own() {
        let (tape, outputs) = step(0);
        let draft = draft(&tape, &outputs, false);
        let (work, waves) = (draft.work(), waves(&draft));
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
}
