//! What a plan will do, before a device is needed: tasks, kernels, and which value lies where.

use super::super::op::{Node, Op};
use super::super::record::{Tape, Var};
use super::choices::{Choices, Chosen, Collection};
use super::fuse::{self, Task};
use super::join::{self, Joins};
use super::memory::{self, Assignment, Need};
use super::schedule::{Held, Schedule, Work};
use super::textures::Textures;
use super::{Memory, Store, lower};
use crate::error::{Error, Result};
use crate::kernels::Lowered;
use std::collections::HashMap;

/// Elements that a buffer offset must be a multiple of: WebGPU's 256 bytes.
pub(super) const ALIGNMENT: usize = 64;

/// Everything about a plan that needs no device.
pub(super) struct Draft {
    pub nodes: Vec<Node>,
    pub outputs: Vec<usize>,
    /// For each node, the node that owns its memory and the offset there, in elements.
    pub owner: Vec<(usize, usize)>,
    pub tasks: Vec<Task>,
    /// The task that computes each node.
    pub task_of: HashMap<usize, usize>,
    pub lowered: Vec<Lowered>,
    /// The variants of operations that have several.
    pub chosen: Vec<Chosen>,
    /// What there was to choose from, if it was asked for.
    pub collection: Collection,
    /// Parts of concatenations that are not copied.
    pub joins: Joins,
    /// The order of the launches.
    pub schedule: Schedule,
    /// Buffers of the tasks' outputs and scratch.
    pub assignment: Assignment,
    /// Place of each of them among the needs.
    need: HashMap<Held, usize>,
    /// What kernels read through textures.
    pub textures: Textures,
}

impl Draft {
    pub(super) fn new(tape: &Tape, outputs: &[Var], mut choices: Choices) -> Result<Self> {
        let mut nodes = tape.nodes().to_vec();
        let outputs: Vec<usize> = outputs.iter().map(|v| v.index()).collect();
        fuse::drop_broadcasts(&mut nodes);
        fuse::join_pads(&mut nodes);
        let mut owner = owners(&nodes);
        let is_view: Vec<bool> = (nodes.iter().zip(&owner).enumerate())
            .map(|(i, (node, owner))| owner.0 != i && node.op.updates() == 0)
            .collect();
        let mut tasks = fuse::tasks(&nodes, &outputs, &is_view);
        for task in &mut tasks {
            let large = nodes[task.output].shape.elements() >= lower::TEXTURES;
            task.chain.textures = choices.capabilities.software && large;
        }
        let live = fuse::live(&nodes, &outputs);
        let joins = join::join(&nodes, &live, &outputs, &mut owner);
        let lowered: Vec<Lowered> = (tasks.iter())
            .map(|t| lower::lower(t, &nodes, &joins, &mut choices))
            .collect::<Result<_>>()?;
        let overlap = choices.overlap();
        let (chosen, collection) = choices.finish();
        let task_of = tasks.iter().enumerate().map(|(t, task)| (task.output, t));
        let mut draft = Draft {
            task_of: task_of.collect(),
            nodes,
            outputs,
            owner,
            tasks,
            lowered,
            chosen,
            collection,
            joins,
            schedule: Schedule::default(),
            assignment: Assignment::default(),
            need: HashMap::new(),
            textures: Textures::default(),
        };
        draft.schedule = match overlap {
            true => Schedule::overlapping(draft.work()),
            false => Schedule::in_order(draft.work()),
        };
        draft.assign();
        draft.textures = Textures::assign(&draft);
        Ok(draft)
    }

    /// The same for a device: one launch after another if launches that overlap would take more
    /// memory than there may be, and nobody asked for either.
    pub(super) fn fitting(
        tape: &Tape,
        outputs: &[Var],
        choices: Choices,
        store: &Store,
    ) -> Result<Self> {
        let free = !choices.is_ordered();
        let mut draft = Self::new(tape, outputs, choices)?;
        let available = store.gpu().memory_limit().unwrap_or(u64::MAX);
        if free && draft.memory(Some(store))?.total() > available {
            draft.put_in_order();
        }
        Ok(draft)
    }

    /// One launch after another, as recorded.
    fn put_in_order(&mut self) {
        self.schedule = Schedule::in_order(self.work());
        self.assign();
        self.textures = Textures::assign(self);
    }

    /// What the schedule is made from.
    pub(super) fn work(&self) -> Work<'_> {
        Work {
            nodes: &self.nodes,
            owner: &self.owner,
            tasks: &self.tasks,
            lowered: &self.lowered,
        }
    }

    /// Gives everything a buffer from the wave in which it is first bound to the last one.
    fn assign(&mut self) {
        let mut spans: HashMap<Held, [usize; 2]> = HashMap::new();
        for (wave, places) in self.schedule.waves.iter().enumerate() {
            for (held, _) in places.iter().flat_map(|&p| self.work().accesses(p)) {
                spans.entry(held).or_insert([wave; 2])[1] = wave;
            }
        }
        for &output in &self.outputs {
            if let Some(span) = spans.get_mut(&Held::Node(self.owner[output].0)) {
                span[1] = usize::MAX;
            }
        }
        // What holds constants keeps its buffer for itself.
        for inlay in &self.joins.inlays {
            spans.insert(Held::Node(inlay.concat), [0, usize::MAX]);
        }
        let mut needs: Vec<(Held, Need)> = (spans.into_iter())
            .filter_map(|(held, [born, dies])| {
                let bytes = match held {
                    Held::Node(node) if self.task_of.contains_key(&node) => {
                        self.nodes[node].shape.bytes()
                    }
                    // Leaves have buffers of their own.
                    Held::Node(_) => return None,
                    Held::Scratch(task, k) => self.lowered[task].scratch[k],
                };
                Some((held, Need { bytes, born, dies }))
            })
            .collect();
        needs.sort_unstable_by_key(|(held, need)| (need.born, *held));
        self.need = (needs.iter().enumerate())
            .map(|(i, (held, _))| (*held, i))
            .collect();
        let needs: Vec<Need> = needs.into_iter().map(|(_, need)| need).collect();
        self.assignment = memory::assign(&needs);
    }

    /// The buffer of what a task computes or keeps for itself.
    pub(super) fn buffer(&self, held: Held) -> Option<usize> {
        self.need.get(&held).map(|&need| self.assignment.of[need])
    }

    pub(super) fn live_leaves(&self) -> impl Iterator<Item = (usize, &Node)> {
        let live = fuse::live(&self.nodes, &self.outputs);
        (self.nodes.iter().enumerate()).filter(move |(i, n)| live[*i] && n.op.is_leaf())
    }

    /// The bytes that the plan takes; states that `store` has already are not counted.
    pub(super) fn memory(&self, store: Option<&Store>) -> Result<Memory> {
        let fixed = self
            .live_leaves()
            .filter(|(_, n)| !matches!(n.op, Op::State(_)));
        let states = self.live_leaves().filter_map(|(_, n)| match &n.op {
            Op::State(name) => Some((name.as_str(), n.shape)),
            _ => None,
        });
        Ok(Memory {
            fixed: fixed.map(|(_, n)| n.shape.bytes()).sum(),
            states: match store {
                Some(store) => store.missing_bytes(states)?,
                None => states.map(|(_, shape)| shape.bytes()).sum(),
            },
            intermediate: (self.assignment.buffers.iter())
                .chain(&self.textures.sizes)
                .sum(),
        })
    }
}

/// Refuses to read the old value of a state (its node, or a view of it) where an update in place
/// stands in between: its buffer holds the new value by then.
pub(super) fn check_updates(nodes: &[Node], outputs: &[Var]) -> Result<()> {
    let outputs: Vec<usize> = outputs.iter().map(|v| v.index()).collect();
    let live = fuse::live(nodes, &outputs);
    let owner = owners(nodes);
    let name = |index: usize| match &nodes[index].op {
        Op::State(name) => Some(name.as_str()),
        _ => None,
    };
    // Where each state was last updated so far.
    let mut updated: HashMap<&str, usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate().filter(|(i, _)| live[*i]) {
        let reads = node
            .inputs
            .iter()
            .filter_map(|&i| Some((i, name(owner[i].0)?)));
        for (input, state) in reads {
            // A view of an update's result is newer than the update.
            let mut source = input;
            while owner[source].0 != source && nodes[source].op.updates() == 0 {
                source = nodes[source].inputs[0];
            }
            if updated.get(state).is_some_and(|&at| source < at) {
                return Err(Error::shape(
                    node.op.name(),
                    format!(
                        "reads the state '{state}' after it was updated: use the update's result"
                    ),
                ));
            }
        }
        for &input in &node.inputs[..node.op.updates()] {
            if let Some(state) = name(input) {
                updated.insert(state, index);
            }
        }
    }
    Ok(())
}

/// Views: a reshape, and a slice of consecutive elements at an aligned offset, take no memory of
/// their own; an update in place is its state.
fn owners(nodes: &[Node]) -> Vec<(usize, usize)> {
    let mut owner: Vec<(usize, usize)> = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        let own = match &node.op {
            op if op.is_view() => owner[node.inputs[0]],
            op if op.updates() > 0 => owner[node.inputs[0]],
            Op::Slice { axis, start } => {
                let input = nodes[node.inputs[0]].shape;
                let (base, offset) = owner[node.inputs[0]];
                let offset = offset + start * input.strides()[*axis];
                let consecutive = input.0[..*axis].iter().all(|&e| e == 1);
                if consecutive && offset.is_multiple_of(ALIGNMENT) {
                    (base, offset)
                } else {
                    (index, 0)
                }
            }
            _ => (index, 0),
        };
        owner.push(own);
    }
    owner
}
