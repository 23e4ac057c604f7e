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
#[path = "schedule_tests.rs"]
mod tests;
