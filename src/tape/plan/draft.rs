//! What a plan will do, before a device is needed: tasks, kernels, and which value lies where.

use super::super::op::{Node, Op};
use super::super::record::{Tape, Var};
use super::choices::{Choices, Chosen, Collection};
use super::fuse::{self, Task};
use super::join::{self, Joins};
use super::memory::{self, Assignment, Need};
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
    /// Buffers of the tasks' outputs, then of their scratch.
    pub assignment: Assignment,
    /// Place of each task's output among the needs; `None` for what lies elsewhere.
    pub output_need: Vec<Option<usize>>,
    /// Places of each task's scratch among the needs.
    pub scratch_needs: Vec<Vec<usize>>,
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
            assignment: Assignment::default(),
            output_need: Vec::new(),
            scratch_needs: Vec::new(),
            textures: Textures::default(),
        };
        draft.assign();
        draft.textures = Textures::assign(&draft);
        Ok(draft)
    }

    fn assign(&mut self) {
        let mut dies: Vec<usize> = vec![0; self.nodes.len()];
        for (t, task) in self.tasks.iter().enumerate() {
            for &input in &task.inputs {
                dies[self.owner[input].0] = t;
            }
        }
        for &output in &self.outputs {
            dies[self.owner[output].0] = usize::MAX;
        }
        let mut needs = Vec::new();
        self.output_need = vec![None; self.tasks.len()];
        // What holds constants keeps its buffer for itself.
        for inlay in &self.joins.inlays {
            let need = &mut self.output_need[self.task_of[&inlay.concat]];
            need.get_or_insert_with(|| {
                needs.push(Need {
                    bytes: self.nodes[inlay.concat].shape.bytes(),
                    born: 0,
                    dies: usize::MAX,
                });
                needs.len() - 1
            });
        }
        for (t, task) in self.tasks.iter().enumerate() {
            // The memory of a concatenation is needed from its first part on.
            let owner = self.owner[task.output].0;
            if let Some(&last) = self.task_of.get(&owner) {
                self.output_need[last].get_or_insert_with(|| {
                    needs.push(Need {
                        bytes: self.nodes[owner].shape.bytes(),
                        born: t,
                        dies: dies[owner].max(last),
                    });
                    needs.len() - 1
                });
            }
            let scratch = self.lowered[t].scratch.iter().map(|&bytes| {
                needs.push(Need {
                    bytes,
                    born: t,
                    dies: t,
                });
                needs.len() - 1
            });
            self.scratch_needs.push(scratch.collect());
        }
        self.assignment = memory::assign(&needs);
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
