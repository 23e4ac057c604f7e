//! Concatenations in place: parts that are computed for a concatenation alone are written where it
//! wants them, and constant parts are written once, when the plan is built.

use super::super::op::{Node, Op};
use super::draft::ALIGNMENT;
use std::collections::HashMap;

/// A constant that lies in a concatenation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inlay {
    /// The constant's node.
    pub constant: usize,
    /// The concatenation's node.
    pub concat: usize,
    /// Where the constant begins, in elements.
    pub offset: usize,
}

/// What is not copied.
#[derive(Debug, Default)]
pub(super) struct Joins {
    /// For a concatenation's node, which of its parts lie in place.
    pub in_place: HashMap<usize, Vec<bool>>,
    pub inlays: Vec<Inlay>,
}

/// Gives parts their place in their concatenation by changing their `owner`.
///
/// A part qualifies if it begins at an aligned offset, all axes before the concatenated one have
/// extent 1, and nothing else reads it: so no dispatch reads one part while it writes another.
pub(super) fn join(
    nodes: &[Node],
    live: &[bool],
    outputs: &[usize],
    owner: &mut [(usize, usize)],
) -> Joins {
    let mut readers = vec![0usize; nodes.len()];
    for (node, _) in nodes.iter().zip(live).filter(|(_, live)| **live) {
        for &input in &node.inputs {
            readers[input] += 1;
        }
    }
    for &output in outputs {
        readers[output] += 1;
    }
    let mut joins = Joins::default();
    for (concat, node) in nodes.iter().enumerate() {
        let Op::Concat { axis } = node.op else {
            continue;
        };
        if !live[concat] || node.shape.0[..axis].iter().any(|&extent| extent != 1) {
            continue;
        }
        let mut offset = 0;
        let in_place = (node.inputs.iter())
            .map(|&part| {
                let at = offset;
                offset += nodes[part].shape.elements();
                // The reshapes of a part are views of it.
                let mut source = part;
                let mut alone = readers[source] == 1;
                while nodes[source].op.is_view() {
                    source = nodes[source].inputs[0];
                    alone &= readers[source] == 1;
                }
                let constant = matches!(nodes[source].op, Op::Constant(_));
                if constant {
                    joins.inlays.push(Inlay {
                        constant: source,
                        concat,
                        offset: at,
                    });
                    return true;
                }
                // A concatenation with parts of its own in place stays where they are.
                let computed = !nodes[source].op.is_leaf()
                    && owner[source] == (source, 0)
                    && !joins.in_place.contains_key(&source);
                if !alone || !computed || !at.is_multiple_of(ALIGNMENT) {
                    return false;
                }
                owner[source] = (concat, at);
                let mut view = part;
                while view != source {
                    owner[view] = (concat, at);
                    view = nodes[view].inputs[0];
                }
                true
            })
            .collect();
        joins.in_place.insert(concat, in_place);
    }
    joins
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Shape;
    use crate::tape::Tape;

    #[test]
    fn parts_that_nothing_else_reads_lie_in_place() {
        let mut tape = Tape::new();
        let x = tape.input("x", Shape::vector(64));
        let alone = tape.scale(x, 2.0);
        let shared = tape.scale(x, 3.0);
        let gap = tape
            .constant(Shape::vector(64), vec![1.0; 64])
            .expect("fits");
        let misaligned = tape.constant(Shape::vector(3), vec![1.0; 3]).expect("fits");
        let late = tape.scale(x, 4.0);
        let late = tape.reshape(late, Shape::vector(64)).expect("fits");
        let parts = [alone, shared, gap, misaligned, late];
        let concat = tape.concat(&parts, 3).expect("fits");
        let nodes = tape.nodes();
        let outputs = [concat.index(), shared.index()];
        let mut owner: Vec<_> = (0..nodes.len()).map(|i| (i, 0)).collect();
        let joins = join(nodes, &vec![true; nodes.len()], &outputs, &mut owner);
        let in_place = &joins.in_place[&concat.index()];
        assert_eq!(in_place, &[true, false, true, true, false]);
        assert_eq!(owner[alone.index()], (concat.index(), 0));
        assert_eq!(owner[shared.index()], (shared.index(), 0));
        let offsets: Vec<usize> = joins.inlays.iter().map(|i| i.offset).collect();
        assert_eq!(offsets, [128, 192]);
    }
}
