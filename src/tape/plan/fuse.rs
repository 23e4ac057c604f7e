//! From nodes to tasks: drops what no output needs and fuses elementwise chains into the kernel
//! before them.

use super::super::op::{Binary, Node, Op};
use crate::kernels::chain::{Chain, OPERANDS, Source, Stage};
use std::collections::BTreeSet;

/// Operands that an epilogue may have: a convolution binds three buffers of its own and WebGPU
/// guarantees eight.
const EPILOGUE_OPERANDS: usize = 4;

/// One node, or several fused ones, computed by one kernel call.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// The node whose value is computed.
    pub output: usize,
    /// The node whose kernel runs; `None` for a purely elementwise task.
    pub root: Option<usize>,
    /// Elementwise functions after it.
    pub chain: Chain,
    /// Nodes that are read: the root's inputs, then the chain's operands.
    pub inputs: Vec<usize>,
}

/// Elementwise functions broadcast by themselves: read what a [`Op::Broadcast`] repeats directly.
pub(super) fn drop_broadcasts(nodes: &mut [Node]) {
    for index in 0..nodes.len() {
        if !nodes[index].op.is_pointwise() {
            continue;
        }
        for position in 0..nodes[index].inputs.len() {
            let input = nodes[index].inputs[position];
            if nodes[input].op != Op::Broadcast {
                continue;
            }
            let source = nodes[input].inputs[0];
            let mut shape = nodes[source].shape;
            for (other, &i) in nodes[index].inputs.iter().enumerate() {
                if other != position {
                    shape = match shape.broadcast(nodes[i].shape) {
                        Some(shape) => shape,
                        None => break,
                    };
                }
            }
            if shape == nodes[index].shape {
                nodes[index].inputs[position] = source;
            }
        }
    }
}

/// The sum of two pads that fill each other's zeros is a concatenation: what the gradients of two
/// slices of one value come to.
pub(super) fn join_pads(nodes: &mut [Node]) {
    for index in 0..nodes.len() {
        if nodes[index].op != Op::Binary(Binary::Add) {
            continue;
        }
        let part = |position: usize| match &nodes[nodes[index].inputs[position]] {
            Node {
                op: Op::Pad { axis, before },
                inputs,
                shape,
            } => Some((*before, *axis, inputs[0], *shape)),
            _ => None,
        };
        let (Some(a), Some(b)) = (part(0), part(1)) else {
            continue;
        };
        let (first, second) = if a.0 <= b.0 { (a, b) } else { (b, a) };
        let (axis, whole) = (first.1, nodes[index].shape);
        let len = |part: usize| nodes[part].shape.0[axis];
        let fills = second.1 == axis
            && (first.3, second.3) == (whole, whole)
            && first.0 == 0
            && second.0 == len(first.2)
            && second.0 + len(second.2) == whole.0[axis];
        if fills {
            let inputs = vec![first.2, second.2];
            nodes[index].op = Op::Concat { axis };
            nodes[index].inputs = inputs;
        }
    }
}

/// Which nodes the outputs need.
pub(super) fn live(nodes: &[Node], outputs: &[usize]) -> Vec<bool> {
    let mut live = vec![false; nodes.len()];
    for &output in outputs {
        live[output] = true;
    }
    for index in (0..nodes.len()).rev() {
        if live[index] {
            for &input in &nodes[index].inputs {
                live[input] = true;
            }
        }
    }
    live
}

/// The tasks that compute `outputs`, in order. Views and leaves are not tasks.
pub(super) fn tasks(nodes: &[Node], outputs: &[usize], is_view: &[bool]) -> Vec<Task> {
    let live = live(nodes, outputs);
    let mut uses = vec![0usize; nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        if live[index] {
            for &input in &node.inputs {
                uses[input] += 1;
            }
        }
    }
    for &output in outputs {
        uses[output] += 1;
    }
    // The number of in-place updates before each node: nothing is fused across one.
    let mut updates = vec![0usize; nodes.len()];
    let mut seen = 0;
    for (index, node) in nodes.iter().enumerate() {
        updates[index] = seen;
        seen += usize::from(live[index] && node.op.updates() > 0);
    }
    let mut absorbed = vec![false; nodes.len()];
    let mut tasks = Vec::new();
    for index in (0..nodes.len()).rev() {
        let node = &nodes[index];
        if !live[index] || absorbed[index] || node.op.is_leaf() || is_view[index] {
            continue;
        }
        if !node.op.is_pointwise() {
            tasks.push(Task {
                output: index,
                root: Some(index),
                chain: Chain::none(),
                inputs: node.inputs.clone(),
            });
            continue;
        }
        let fusible = |i: usize| {
            uses[i] == 1
                && nodes[i].shape == node.shape
                && updates[i] == updates[index]
                && !is_view[i]
        };
        tasks.push(grow(nodes, index, fusible, &mut absorbed));
    }
    tasks.reverse();
    tasks
}

/// The task of the elementwise node `last`, with as many of its inputs fused as fit.
fn grow(
    nodes: &[Node],
    last: usize,
    fusible: impl Fn(usize) -> bool,
    absorbed: &mut [bool],
) -> Task {
    let mut stages = BTreeSet::from([last]);
    let mut root = None;
    let mut operands: Vec<usize> = distinct(&nodes[last].inputs);
    'again: loop {
        for position in 0..operands.len() {
            let candidate = operands[position];
            if !fusible(candidate) {
                continue;
            }
            let mut wider = operands.clone();
            wider.remove(position);
            let pointwise = nodes[candidate].op.is_pointwise();
            if pointwise {
                wider.extend(&nodes[candidate].inputs);
                wider = distinct(&wider);
            } else if root.is_some() || !takes_epilogue(&nodes[candidate].op) {
                continue;
            }
            let limit = if root.is_some() || !pointwise {
                EPILOGUE_OPERANDS
            } else {
                OPERANDS.len()
            };
            if wider.len() > limit {
                continue;
            }
            if pointwise {
                stages.insert(candidate);
            } else {
                root = Some(candidate);
            }
            absorbed[candidate] = true;
            operands = wider;
            continue 'again;
        }
        break;
    }
    // Indices are topologically sorted already.
    let stages: Vec<usize> = stages.into_iter().collect();
    let source = |i: usize| {
        if root == Some(i) {
            Source::Root
        } else if let Ok(k) = stages.binary_search(&i) {
            Source::Stage(k)
        } else {
            let k = operands.iter().position(|&o| o == i);
            Source::Operand(k.expect("every argument is an operand, a stage or the root"))
        }
    };
    let chain = Chain {
        stages: stages
            .iter()
            .map(|&i| {
                let node = &nodes[i];
                match &node.op {
                    Op::Unary(f) => Stage::Unary(*f, source(node.inputs[0])),
                    Op::Binary(f) => {
                        Stage::Binary(*f, source(node.inputs[0]), source(node.inputs[1]))
                    }
                    other => unreachable!("{} is not elementwise", other.name()),
                }
            })
            .collect(),
        operands: operands.iter().map(|&i| nodes[i].shape).collect(),
        textures: false,
    };
    let mut inputs = root.map_or_else(Vec::new, |r| nodes[r].inputs.clone());
    inputs.extend(operands);
    Task {
        output: last,
        root,
        chain,
        inputs,
    }
}

fn takes_epilogue(op: &Op) -> bool {
    matches!(
        op,
        Op::Conv2d(_)
            | Op::Conv2dInputGradient(_)
            | Op::SymmetricConv(_)
            | Op::SymmetricConvInputGradient(_)
    )
}

fn distinct(items: &[usize]) -> Vec<usize> {
    let mut seen = Vec::with_capacity(items.len());
    for &item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{Padding, Shape, Window};
    use crate::tape::Tape;

    fn plan(tape: &Tape, outputs: &[usize]) -> Vec<Task> {
        let mut nodes = tape.nodes().to_vec();
        drop_broadcasts(&mut nodes);
        let views = vec![false; nodes.len()];
        tasks(&nodes, outputs, &views)
    }

    #[test]
    fn convolution_bias_activation_and_residual_are_one_task() {
        let mut tape = Tape::new();
        let x = tape.input("x", Shape::new(1, 4, 8, 8));
        let w = tape.input("w", Shape::new(4, 4, 3, 3));
        let b = tape.input("b", Shape::new(1, 4, 1, 1));
        let y = tape
            .conv2d(x, w, Window::same(3, Padding::Replicate))
            .expect("fits");
        let y = tape.add(y, b).expect("fits");
        let y = tape.leaky_relu(y, 0.01);
        let y = tape.add(x, y).expect("fits");
        let tasks = plan(&tape, &[y.index()]);
        assert_eq!(tasks.len(), 1);
        assert_eq!(tasks[0].inputs, vec![0, 1, 0, 2]);
        assert_eq!(tasks[0].chain.stages.len(), 3);
    }

    #[test]
    fn a_value_used_twice_is_not_fused_away() {
        let mut tape = Tape::new();
        let x = tape.input("x", Shape::vector(8));
        let y = tape.scale(x, 2.0);
        let a = tape.scale(y, 3.0);
        let b = tape.add(y, a).expect("fits");
        let tasks = plan(&tape, &[b.index()]);
        // y stays; a is fused into b.
        assert_eq!(tasks.len(), 2);
    }

    #[test]
    fn pads_that_fill_each_other_are_joined_and_others_are_added() {
        let mut tape = Tape::new();
        let a = tape.input("a", Shape::new(2, 1, 3, 4));
        let b = tape.input("b", Shape::new(2, 5, 3, 4));
        let mut sum = |a_before, b_before, extent| {
            let pads = [(a, a_before), (b, b_before)];
            let [a, b] = pads.map(|(x, before)| tape.pad(x, 1, before, extent).expect("fits"));
            let sum = tape.add(b, a).expect("fits");
            let mut nodes = tape.nodes().to_vec();
            join_pads(&mut nodes);
            nodes[sum.index()].clone()
        };
        let (a, b) = (a.index(), b.index());
        let joined = |node: &Node| node.op == Op::Concat { axis: 1 };
        let after = sum(0, 1, 6);
        assert!(joined(&after) && after.inputs == [a, b], "{after:?}");
        let before = sum(5, 0, 6);
        assert!(joined(&before) && before.inputs == [b, a], "{before:?}");
        // They overlap, or leave a gap.
        for (a_before, b_before, extent) in [(0, 0, 6), (0, 2, 7), (0, 1, 7), (1, 2, 7)] {
            let node = sum(a_before, b_before, extent);
            assert_eq!(node.op, Op::Binary(Binary::Add), "{a_before} {b_before}");
        }
    }

    #[test]
    fn dead_nodes_are_dropped() {
        let mut tape = Tape::new();
        let x = tape.input("x", Shape::vector(8));
        let y = tape.scale(x, 2.0);
        let _ = tape.scale(x, 3.0);
        assert_eq!(plan(&tape, &[y.index()]).len(), 1);
    }
}
