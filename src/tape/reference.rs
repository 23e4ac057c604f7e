//! A tape evaluated on the host in f64 with the twins: the living definition of the operations.
//!
//! It is for tests and for `check`, never a fallback for users.

use super::op::{Distribution, Node, Op};
use super::record::{Tape, Var};
use crate::error::{Error, Result};
use crate::group::SymmetricConv;
use crate::reference::symmetric_conv::{self, Basis};
use crate::reference::{
    adam, complex, conv2d, fourier, layout, matmul, random, ray_transform, reduce, warp,
};
use crate::shape::Shape;
use std::collections::HashMap;

/// Values of inputs and states, by name.
pub type Feeds = HashMap<String, Vec<f64>>;

/// The values of `outputs`. Updates in place change `feeds`.
///
/// # Errors
/// [`Error::Shape`] if an input or state is missing or does not fill its shape.
pub fn evaluate(tape: &Tape, feeds: &mut Feeds, outputs: &[Var]) -> Result<Vec<Vec<f64>>> {
    let last = outputs.iter().map(|v| v.index()).max();
    let nodes = &tape.nodes()[..last.map_or(0, |l| l + 1)];
    let mut needed = vec![false; nodes.len()];
    for output in outputs {
        needed[output.index()] = true;
    }
    for index in (0..nodes.len()).rev() {
        if needed[index] {
            nodes[index].inputs.iter().for_each(|&i| needed[i] = true);
        }
    }
    let mut values: Vec<Vec<f64>> = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        values.push(if needed[index] {
            value(nodes, node, &values, feeds)?
        } else {
            Vec::new()
        });
    }
    Ok(outputs.iter().map(|v| values[v.index()].clone()).collect())
}

/// The layer as its twin takes it.
pub fn basis(conv: &SymmetricConv) -> Basis<'_> {
    let [_, outputs, inputs, ..] = conv.basis().shape();
    Basis {
        elements: conv.basis().elements(),
        outputs,
        inputs,
        window: conv.window(),
    }
}

fn value(nodes: &[Node], node: &Node, values: &[Vec<f64>], feeds: &mut Feeds) -> Result<Vec<f64>> {
    let x = |k: usize| values[node.inputs[k]].as_slice();
    let shape = |k: usize| nodes[node.inputs[k]].shape;
    Ok(match &node.op {
        Op::Input(name) | Op::State(name) => match feeds.get(name) {
            Some(v) if v.len() == node.shape.elements() => v.clone(),
            found => {
                let found = found.map_or("no values".into(), |v| format!("{} values", v.len()));
                return Err(Error::shape(
                    "evaluate",
                    format!("{found} for '{name}' of shape {}", node.shape),
                ));
            }
        },
        Op::Constant(values) => values.iter().map(|&v| f64::from(v)).collect(),
        Op::Unary(f) => x(0).iter().map(|&a| f.apply(a)).collect(),
        Op::Binary(f) => {
            let a = layout::broadcast(x(0), shape(0), node.shape);
            let b = layout::broadcast(x(1), shape(1), node.shape);
            a.iter().zip(&b).map(|(&a, &b)| f.apply(a, b)).collect()
        }
        Op::Sum => reduce::sum(x(0), shape(0), node.shape).value,
        Op::Max => reduce::max(x(0), shape(0), node.shape),
        Op::Broadcast => layout::broadcast(x(0), shape(0), node.shape),
        Op::Conv2d(window) => conv2d::forward(x(0), shape(0), x(1), shape(1), *window).value,
        Op::Conv2dInputGradient(window) => {
            conv2d::input_gradient(x(0), shape(0), x(1), shape(1), node.shape, *window).value
        }
        Op::Conv2dWeightGradient(window) => {
            conv2d::weight_gradient(x(0), shape(0), x(1), shape(1), node.shape, *window).value
        }
        Op::SymmetricConv(conv) => {
            symmetric_conv::forward(basis(conv), x(0), shape(0), x(1), shape(1)).value
        }
        Op::SymmetricConvInputGradient(conv) => {
            let w = (x(1), shape(1));
            symmetric_conv::input_gradient(basis(conv), x(0), shape(0), w.0, w.1, node.shape).value
        }
        Op::SymmetricConvWeightGradient(conv) => {
            let dy = (x(1), shape(1));
            symmetric_conv::weight_gradient(basis(conv), x(0), shape(0), dy.0, dy.1, node.shape)
                .value
        }
        Op::MatMul {
            transpose_a,
            transpose_b,
        } => matmul::forward(x(0), shape(0), x(1), shape(1), *transpose_a, *transpose_b).value,
        Op::Reshape | Op::Detach => x(0).to_vec(),
        Op::Transpose(axes) => layout::transpose(x(0), shape(0), *axes),
        Op::Slice { axis, start } => {
            layout::slice(x(0), shape(0), *axis, *start, node.shape.0[*axis])
        }
        Op::Pad { axis, before } => {
            layout::pad(x(0), shape(0), *axis, *before, node.shape.0[*axis])
        }
        Op::Concat { axis } => {
            let parts: Vec<(&[f64], Shape)> =
                (0..node.inputs.len()).map(|k| (x(k), shape(k))).collect();
            layout::concat(&parts, *axis)
        }
        Op::Symmetry(g) => layout::grid_symmetry(x(0), shape(0), *g),
        Op::RayForward(geometry) => ray_transform::forward(x(0), node.shape.n(), geometry).value,
        Op::RayAdjoint(geometry) => ray_transform::adjoint(x(0), node.shape.n(), geometry).value,
        Op::RayBackproject(geometry) => {
            ray_transform::backproject(x(0), node.shape.n(), geometry).value
        }
        Op::RayBackprojectTranspose(geometry) => {
            ray_transform::backproject_transpose(x(0), node.shape.n(), geometry).value
        }
        Op::Warp => warp::forward(x(0), shape(0), x(1)).value,
        Op::WarpAdjoint => warp::adjoint(x(0), shape(0), x(1)).value,
        Op::Fourier(transform) => fourier::transform(x(0), shape(0), *transform).value,
        Op::ComplexMul { conjugate } => {
            complex::multiply(x(0), shape(0), x(1), shape(1), *conjugate).value
        }
        Op::Assign => {
            if let Op::State(name) = &nodes[node.inputs[0]].op {
                feeds.insert(name.clone(), x(1).to_vec());
            }
            x(1).to_vec()
        }
        Op::Random {
            distribution,
            seed,
            stream,
        } => {
            let draw = random::Draw {
                seed: *seed,
                stream: *stream,
                number: x(0)[0] as u32,
            };
            match distribution {
                Distribution::Uniform => random::uniform(draw, node.shape.elements()),
                Distribution::Normal => random::normal(draw, node.shape.elements()),
                Distribution::Poisson => random::poisson(draw, x(1)),
            }
        }
        Op::Adam(constants) => {
            let [mut theta, mut m, mut v] = [x(0).to_vec(), x(1).to_vec(), x(2).to_vec()];
            adam::step(
                &mut theta,
                &mut m,
                &mut v,
                x(3),
                [x(4)[0], x(4)[1]],
                [constants.beta1, constants.beta2, constants.epsilon].map(f64::from),
            );
            for (k, new) in [&theta, &m, &v].into_iter().enumerate() {
                if let Op::State(name) = &nodes[node.inputs[k]].op {
                    feeds.insert(name.clone(), new.clone());
                }
            }
            theta
        }
    })
}
