//! From tasks to kernels.

use super::super::op::{Node, Op};
use super::choices::Choices;
use super::fuse::Task;
use super::join::Joins;
use crate::error::Result;
use crate::group::SymmetricConv;
use crate::kernels::conv2d::{self, Convolution, ImageAlgorithm, ImageProblem, WeightAlgorithm};
use crate::kernels::fourier::{FourierAlgorithm, FourierProblem};
use crate::kernels::ray_transform::{RayMap, RayProblem, Reading};
use crate::kernels::reduce::{self, Loads, Reduction};
use crate::kernels::symmetric_conv::{
    self, SymmetricAlgorithm, SymmetricImageProblem, SymmetricProblem, SymmetricWeightAlgorithm,
};
use crate::kernels::{Family, Lowered, adam, complex, elementwise, layout, matmul, random, warp};
use crate::shape::{RayGeometry, Shape, Window};
use std::sync::Arc;

/// Elements from which on software adapters read a value through a texture: worth the copy where
/// many threads read.
pub(super) const TEXTURES: usize = 1 << 17;
/// The same for images that are warped, of which every pixel is read at least four times.
const WARPED_TEXTURES: usize = 1 << 12;

/// The dispatches of one task.
pub(super) fn lower(
    task: &Task,
    nodes: &[Node],
    joins: &Joins,
    choices: &mut Choices,
) -> Result<Lowered> {
    let output = nodes[task.output].shape;
    let Some(root) = task.root else {
        return Ok(elementwise::evaluate(&task.chain, output));
    };
    let node = &nodes[root];
    let input = |k: usize| nodes[node.inputs[k]].shape;
    let software = choices.capabilities.software;
    let textures = |read: Shape| software && read.elements() >= TEXTURES;
    let loads = |read: Shape| match software {
        true if textures(read) => Loads::Texture,
        true => Loads::Serial,
        false => Loads::Ahead,
    };
    let warped = |read: Shape| software && read.elements() >= WARPED_TEXTURES;
    Ok(match &node.op {
        Op::Conv2d(window) => {
            let algorithm = choices.choose::<ImageAlgorithm>(&image_problem(
                false,
                input(0),
                input(1),
                *window,
            ))?;
            conv2d::forward(input(0), input(1), *window, &task.chain, algorithm)
        }
        Op::Conv2dInputGradient(window) => {
            let (dy, w, x) = (input(0), input(1), output);
            let algorithm =
                choices.choose::<ImageAlgorithm>(&image_problem(true, x, w, *window))?;
            conv2d::input_gradient(dy, w, *window, x, &task.chain, algorithm)
        }
        Op::Conv2dWeightGradient(window) => {
            let (x, dy) = (input(0), input(1));
            let algorithm = choices.choose::<WeightAlgorithm>(&Convolution {
                x,
                outputs: dy.c(),
                window: *window,
            })?;
            conv2d::weight_gradient(x, dy, *window, algorithm)
        }
        Op::SymmetricConv(conv) => {
            let (x, w) = (input(0), input(1));
            let algorithm = choices.choose::<SymmetricAlgorithm>(&SymmetricImageProblem {
                transposed: false,
                convolution: symmetric_problem(conv, x, w),
            })?;
            symmetric_conv::forward(conv, x, w, &task.chain, algorithm)
        }
        Op::SymmetricConvInputGradient(conv) => {
            let (dy, w, x) = (input(0), input(1), output);
            let algorithm = choices.choose::<SymmetricAlgorithm>(&SymmetricImageProblem {
                transposed: true,
                convolution: symmetric_problem(conv, x, w),
            })?;
            symmetric_conv::input_gradient(conv, dy, w, x, &task.chain, algorithm)
        }
        Op::SymmetricConvWeightGradient(conv) => {
            let (x, dy, w) = (input(0), input(1), output);
            let problem = symmetric_problem(conv, x, w);
            let algorithm = choices.choose::<SymmetricWeightAlgorithm>(&problem)?;
            symmetric_conv::weight_gradient(conv, x, dy, w, algorithm)
        }
        Op::Sum => reduce::reduce(Reduction::Sum, input(0), output, loads(input(0))),
        Op::Max => reduce::reduce(Reduction::Max, input(0), output, loads(input(0))),
        Op::Broadcast => layout::broadcast(input(0), output),
        Op::MatMul {
            transpose_a,
            transpose_b,
        } => matmul::matmul(input(0), input(1), *transpose_a, *transpose_b, output),
        // A reshape or slice that is not a view; see `views`.
        Op::Reshape | Op::Detach => layout::copy(output),
        Op::Slice { axis, start } => layout::slice(input(0), output, *axis, *start),
        Op::Transpose(axes) => layout::transpose(input(0), *axes),
        Op::Pad { axis, before } => layout::pad(input(0), output, *axis, *before),
        Op::Concat { axis } => {
            let parts: Vec<_> = (0..node.inputs.len()).map(input).collect();
            let in_place = joins.in_place.get(&root).map_or(&[][..], |v| v);
            layout::concat(&parts, output, *axis, in_place)
        }
        Op::Symmetry(g) => layout::symmetry(input(0), output, *g),
        Op::RayForward(geometry) => ray(RayMap::Forward, geometry, output, choices)?,
        Op::RayAdjoint(geometry) => ray(RayMap::Adjoint, geometry, output, choices)?,
        Op::RayBackproject(geometry) => ray(RayMap::Backproject, geometry, output, choices)?,
        Op::RayBackprojectTranspose(geometry) => {
            ray(RayMap::BackprojectTranspose, geometry, output, choices)?
        }
        Op::Warp => warp::forward(output, warped(output)),
        Op::WarpAdjoint => warp::adjoint(output, warped(output)),
        Op::Fourier(transform) => {
            let problem = FourierProblem {
                shape: input(0),
                transform: *transform,
            };
            choices
                .choose::<FourierAlgorithm>(&problem)?
                .lower(&problem)
        }
        Op::ComplexMul { conjugate } => {
            complex::multiply(input(0), input(1), output, *conjugate, textures(output))
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
    })
}

fn image_problem(transposed: bool, x: Shape, w: Shape, window: Window) -> ImageProblem {
    ImageProblem {
        transposed,
        convolution: Convolution {
            x,
            outputs: w.n(),
            window,
        },
    }
}

fn symmetric_problem(conv: &Arc<SymmetricConv>, x: Shape, w: Shape) -> SymmetricProblem {
    SymmetricProblem {
        conv: conv.clone(),
        x,
        outputs: w.c(),
    }
}

fn ray(
    map: RayMap,
    geometry: &Arc<RayGeometry>,
    output: Shape,
    choices: &mut Choices,
) -> Result<Lowered> {
    let problem = RayProblem {
        map,
        geometry: geometry.clone(),
        n: output.n(),
    };
    Ok(choices.choose::<Reading>(&problem)?.lower(&problem))
}
