//! From tasks to kernels.

use super::super::op::{Node, Op};
use super::fuse::Task;
use super::join::Joins;
use crate::kernels::conv2d::{self, Algorithm};
use crate::kernels::ray_transform::Reading;
use crate::kernels::reduce::{self, Reduction};
use crate::kernels::{Lowered, adam, elementwise, layout, matmul, random, ray_transform};

/// The dispatches of one task.
pub(super) fn lower(
    task: &Task,
    nodes: &[Node],
    joins: &Joins,
    algorithm: Algorithm,
    reading: Reading,
) -> Lowered {
    let output = nodes[task.output].shape;
    let Some(root) = task.root else {
        return elementwise::evaluate(&task.chain, output);
    };
    let node = &nodes[root];
    let input = |k: usize| nodes[node.inputs[k]].shape;
    match &node.op {
        Op::Conv2d(window) => conv2d::forward(input(0), input(1), *window, &task.chain, algorithm),
        Op::Conv2dInputGradient(window) => {
            conv2d::input_gradient(input(0), input(1), *window, output, &task.chain, algorithm)
        }
        Op::Conv2dWeightGradient(window) => {
            conv2d::weight_gradient(input(0), input(1), *window, algorithm)
        }
        Op::Sum => reduce::reduce(Reduction::Sum, input(0), output),
        Op::Max => reduce::reduce(Reduction::Max, input(0), output),
        Op::Broadcast => layout::broadcast(input(0), output),
        Op::MatMul {
            transpose_a,
            transpose_b,
        } => matmul::matmul(input(0), input(1), *transpose_a, *transpose_b, output),
        // A reshape or slice that is not a view; see `views`.
        Op::Reshape => layout::copy(output),
        Op::Slice { axis, start } => layout::slice(input(0), output, *axis, *start),
        Op::Transpose(axes) => layout::transpose(input(0), *axes),
        Op::Pad { axis, before } => layout::pad(input(0), output, *axis, *before),
        Op::Concat { axis } => {
            let parts: Vec<_> = (0..node.inputs.len()).map(input).collect();
            let in_place = joins.in_place.get(&root).map_or(&[][..], |v| v);
            layout::concat(&parts, output, *axis, in_place)
        }
        Op::Symmetry(g) => layout::symmetry(input(0), output, *g),
        Op::RayForward(beam) => ray_transform::forward(beam, output.n(), reading),
        Op::RayAdjoint(beam) => ray_transform::adjoint(beam, output.n(), reading),
        Op::RayBackproject(beam) => ray_transform::backproject(beam, output.n(), reading),
        Op::RayBackprojectTranspose(beam) => {
            ray_transform::backproject_transpose(beam, output.n(), reading)
        }
        Op::Assign => layout::assign(output),
        Op::Random {
            distribution,
            seed,
            stream,
        } => random::draw(*distribution, *seed, *stream, output),
        Op::Adam(constants) => adam::step(*constants, output.elements()),
        Op::Input(_) | Op::Constant(_) | Op::State(_) | Op::Unary(_) | Op::Binary(_) => {
            unreachable!("{} is no root", node.op.name())
        }
    }
}
