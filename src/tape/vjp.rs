//! The table of gradient rules. A rule emits ops on the tape, so derivatives of derivatives work;
//! an op without a rule is a typed error.

use super::op::{Binary, Op, Unary};
use super::record::{Tape, Var};
use crate::error::{Error, Result};
use std::collections::HashMap;

impl Tape {
    /// The gradients of the scalar `loss` with respect to `wrt`, appended to the tape.
    ///
    /// A variable that is used twice gets the sum; one that `loss` does not depend on gets zeros.
    ///
    /// # Errors
    /// [`Error::Shape`] if `loss` is not a scalar; [`Error::NoGradient`] if an op on the way has
    /// no rule.
    pub fn gradients(&mut self, loss: Var, wrt: &[Var]) -> Result<Vec<Var>> {
        if loss.shape().elements() != 1 {
            return Err(Error::shape(
                "gradients",
                format!("the loss has shape {}, not one element", loss.shape()),
            ));
        }
        let needed = self.depends_on(wrt);
        let one = self.constant(loss.shape(), [1.0])?;
        let mut gradients: HashMap<usize, Var> = HashMap::from([(loss.index(), one)]);
        // Where a segment is recomputed, its nodes stand again at other places.
        let mut copies: HashMap<usize, usize> = HashMap::new();
        for index in (0..=loss.index()).rev() {
            if !needed[index] || wrt.iter().any(|v| v.index() == index) {
                continue;
            }
            let Some(&dy) = gradients.get(&index) else {
                continue;
            };
            if !copies.contains_key(&index)
                && let Some(segment) = self.segments.iter().find(|s| s.nodes.contains(&index))
            {
                self.replay_segment(segment.nodes.clone(), &mut copies);
            }
            let node = self.nodes[index].clone();
            let at = |i: &usize| self.var(*copies.get(i).unwrap_or(i));
            let inputs: Vec<Var> = node.inputs.iter().map(at).collect();
            let output = at(&index);
            let wanted: Vec<bool> = node.inputs.iter().map(|&i| needed[i]).collect();
            let parts = self.rule(&node.op, &inputs, output, dy, &wanted)?;
            assert_eq!(parts.len(), inputs.len(), "rule of {}", node.op.name());
            for ((&input, part), wanted) in node.inputs.iter().zip(parts).zip(wanted) {
                let Some(part) = part.filter(|_| wanted) else {
                    continue;
                };
                let sum = match gradients.get(&input) {
                    Some(&sum) => self.add(sum, part)?,
                    None => part,
                };
                gradients.insert(input, sum);
            }
        }
        wrt.iter()
            .map(|v| match gradients.get(&v.index()) {
                Some(&g) => Ok(g),
                None => {
                    let zero = self.scalar(0.0);
                    self.broadcast(zero, v.shape())
                }
            })
            .collect()
    }

    /// Which nodes depend on one of `roots`.
    fn depends_on(&self, roots: &[Var]) -> Vec<bool> {
        let mut depends = vec![false; self.nodes.len()];
        for root in roots {
            depends[root.index()] = true;
        }
        for (index, node) in self.nodes.iter().enumerate() {
            depends[index] |= node.inputs.iter().any(|&i| depends[i]);
        }
        depends
    }

    /// Records the nodes of a segment again and notes where they stand now.
    fn replay_segment(
        &mut self,
        nodes: std::ops::Range<usize>,
        copies: &mut HashMap<usize, usize>,
    ) {
        for index in nodes {
            let mut node = self.nodes[index].clone();
            // What updates a state does so once; no gradient passes through it.
            if node.op.is_leaf() || node.op.updates() > 0 {
                continue;
            }
            for input in &mut node.inputs {
                *input = *copies.get(input).unwrap_or(input);
            }
            copies.insert(index, self.nodes.len());
            self.nodes.push(node);
        }
    }

    /// The contributions of `dy`, the gradient at `y = op(inputs)`, to each input; `None` where it
    /// is zero everywhere. Only the `wanted` ones need to be right.
    fn rule(
        &mut self,
        op: &Op,
        inputs: &[Var],
        y: Var,
        dy: Var,
        wanted: &[bool],
    ) -> Result<Vec<Option<Var>>> {
        let x = inputs.first().copied();
        let x = || x.expect("an op with a rule has an input");
        let x_shape = inputs.first().map(|v| v.shape());
        let x_shape = || x_shape.expect("an op with a rule has an input");
        let one = |v: Var| Ok(vec![Some(v)]);
        match op {
            Op::Unary(f) => match f {
                Unary::Scale(c) => one(self.scale(dy, *c)),
                Unary::Offset(_) => one(dy),
                Unary::AtLeast(c) => {
                    let c = self.scalar(*c);
                    let above = self.binary(Binary::Greater, x(), c)?;
                    one(self.mul(above, dy)?)
                }
                Unary::Exp => one(self.mul(y, dy)?),
                Unary::Log => one(self.div(dy, x())?),
                Unary::Sqrt => {
                    let half = self.scale(dy, 0.5);
                    one(self.div(half, y)?)
                }
                Unary::Reciprocal => {
                    let square = self.mul(y, y)?;
                    let product = self.mul(square, dy)?;
                    one(self.scale(product, -1.0))
                }
                Unary::Abs => {
                    let sign = self.unary(Unary::Sign, x());
                    one(self.mul(sign, dy)?)
                }
                Unary::Sign => Ok(vec![None]),
                Unary::LeakyRelu(slope) => {
                    one(self.binary(Binary::LeakyReluGradient(*slope), y, dy)?)
                }
            },
            Op::Binary(f) => {
                let (a, b) = (inputs[0], inputs[1]);
                let (da, db) = match f {
                    Binary::Add => (Some(dy), Some(dy)),
                    Binary::Sub => {
                        let db = wanted[1].then(|| self.scale(dy, -1.0));
                        (Some(dy), db)
                    }
                    Binary::Mul => {
                        let da = wanted[0].then(|| self.mul(b, dy)).transpose()?;
                        let db = wanted[1].then(|| self.mul(a, dy)).transpose()?;
                        (da, db)
                    }
                    Binary::Div => {
                        let da = self.div(dy, b)?;
                        let db = if wanted[1] {
                            let product = self.mul(da, y)?;
                            Some(self.scale(product, -1.0))
                        } else {
                            None
                        };
                        (Some(da), db)
                    }
                    Binary::Greater | Binary::Equal => (None, None),
                    Binary::LeakyReluGradient(slope) => {
                        let db = wanted[1]
                            .then(|| self.binary(Binary::LeakyReluGradient(*slope), a, dy));
                        (None, db.transpose()?)
                    }
                };
                let da = da.map(|g| self.sum(g, a.shape())).transpose()?;
                let db = db.map(|g| self.sum(g, b.shape())).transpose()?;
                Ok(vec![da, db])
            }
            Op::Sum => one(self.broadcast(dy, x_shape())?),
            Op::Broadcast => one(self.sum(dy, x_shape())?),
            Op::Max => {
                // Ties share the gradient equally.
                let ties = self.binary(Binary::Equal, x(), y)?;
                let count = self.sum(ties, y.shape())?;
                let share = self.div(dy, count)?;
                one(self.mul(ties, share)?)
            }
            Op::Conv2d(window) => {
                let w = inputs[1];
                let dx = wanted[0]
                    .then(|| self.conv2d_input_gradient(dy, w, *window, x_shape()))
                    .transpose()?;
                let dw = wanted[1]
                    .then(|| self.conv2d_weight_gradient(x(), dy, *window))
                    .transpose()?;
                Ok(vec![dx, dw])
            }
            Op::Conv2dInputGradient(window) => {
                // Linear in its image argument with transpose conv2d; in w it is the weight
                // gradient's bilinear form with the roles of image and gradient exchanged.
                let w = inputs[1];
                let da = wanted[0].then(|| self.conv2d(dy, w, *window)).transpose()?;
                let dw = wanted[1]
                    .then(|| self.conv2d_weight_gradient(dy, x(), *window))
                    .transpose()?;
                Ok(vec![da, dw])
            }
            Op::Conv2dWeightGradient(window) => {
                let g = inputs[1];
                let dx = wanted[0]
                    .then(|| self.conv2d_input_gradient(g, dy, *window, x_shape()))
                    .transpose()?;
                let dg = wanted[1]
                    .then(|| self.conv2d(x(), dy, *window))
                    .transpose()?;
                Ok(vec![dx, dg])
            }
            Op::SymmetricConv(conv) => {
                let w = inputs[1];
                let dx = wanted[0]
                    .then(|| self.symmetric_conv_input_gradient(dy, w, conv, x_shape()))
                    .transpose()?;
                let dw = wanted[1]
                    .then(|| self.symmetric_conv_weight_gradient(x(), dy, conv, w.shape()))
                    .transpose()?;
                Ok(vec![dx, dw])
            }
            // Bilinear like their dense namesakes, with the same exchange of roles.
            Op::SymmetricConvInputGradient(conv) => {
                let w = inputs[1];
                let da = wanted[0]
                    .then(|| self.symmetric_conv(dy, w, conv))
                    .transpose()?;
                let dw = wanted[1]
                    .then(|| self.symmetric_conv_weight_gradient(dy, x(), conv, w.shape()))
                    .transpose()?;
                Ok(vec![da, dw])
            }
            Op::SymmetricConvWeightGradient(conv) => {
                let g = inputs[1];
                let dx = wanted[0]
                    .then(|| self.symmetric_conv_input_gradient(g, dy, conv, x_shape()))
                    .transpose()?;
                let dg = wanted[1]
                    .then(|| self.symmetric_conv(x(), dy, conv))
                    .transpose()?;
                Ok(vec![dx, dg])
            }
            Op::MatMul {
                transpose_a,
                transpose_b,
            } => {
                let (a, b) = (inputs[0], inputs[1]);
                let (ta, tb) = (*transpose_a, *transpose_b);
                let da = match (wanted[0], ta) {
                    (false, _) => None,
                    (true, false) => Some(self.matmul(dy, b, false, !tb)?),
                    (true, true) => Some(self.matmul(b, dy, tb, true)?),
                };
                let db = match (wanted[1], tb) {
                    (false, _) => None,
                    (true, false) => Some(self.matmul(a, dy, !ta, false)?),
                    (true, true) => Some(self.matmul(dy, a, true, ta)?),
                };
                let da = da.map(|g| self.sum(g, a.shape())).transpose()?;
                let db = db.map(|g| self.sum(g, b.shape())).transpose()?;
                Ok(vec![da, db])
            }
            Op::Reshape => one(self.reshape(dy, x_shape())?),
            Op::Transpose(axes) => {
                let mut inverse = [0; 4];
                for (i, &axis) in axes.iter().enumerate() {
                    inverse[axis] = i;
                }
                one(self.transpose(dy, inverse)?)
            }
            Op::Slice { axis, start } => one(self.pad(dy, *axis, *start, x_shape().0[*axis])?),
            Op::Pad { axis, before } => one(self.slice(dy, *axis, *before, x_shape().0[*axis])?),
            Op::Concat { axis } => {
                let mut start = 0;
                let mut parts = Vec::with_capacity(inputs.len());
                for (part, &wanted) in inputs.iter().zip(wanted) {
                    let len = part.shape().0[*axis];
                    parts.push(
                        wanted
                            .then(|| self.slice(dy, *axis, start, len))
                            .transpose()?,
                    );
                    start += len;
                }
                Ok(parts)
            }
            Op::Symmetry(g) => one(self.symmetry(dy, g.inverse())),
            Op::RayForward(geometry) => one(self.ray_adjoint(dy, geometry)?),
            Op::RayAdjoint(geometry) => one(self.ray_forward(dy, geometry)?),
            Op::RayBackproject(geometry) => one(self.ray_backproject_transpose(dy, geometry)?),
            Op::RayBackprojectTranspose(geometry) => one(self.ray_backproject(dy, geometry)?),
            Op::Warp | Op::WarpAdjoint => {
                if wanted[1] {
                    return Err(Error::NoGradient { op: op.name() });
                }
                let dx = match op {
                    Op::Warp => self.warp_adjoint(dy, inputs[1])?,
                    _ => self.warp(dy, inputs[1])?,
                };
                Ok(vec![Some(dx), None])
            }
            Op::Fourier(transform) => one(self.fourier(dy, transform.adjoint())?),
            Op::ComplexMul { conjugate } => {
                let (a, b) = (inputs[0], inputs[1]);
                // Of a b: dy b* and dy a*. Of a b*: dy b, and the conjugate of dy a*, a dy*.
                let da = wanted[0]
                    .then(|| self.complex_mul(dy, b, !conjugate))
                    .transpose()?;
                let db = match (wanted[1], conjugate) {
                    (false, _) => None,
                    (true, false) => Some(self.complex_mul(dy, a, true)?),
                    (true, true) => Some(self.complex_mul(a, dy, true)?),
                };
                let da = da.map(|g| self.complex_sum(g, a.shape())).transpose()?;
                let db = db.map(|g| self.complex_sum(g, b.shape())).transpose()?;
                Ok(vec![da, db])
            }
            Op::Detach => Ok(vec![None]),
            Op::Input(_) | Op::Constant(_) | Op::State(_) => Ok(Vec::new()),
            Op::Random { .. } | Op::Adam(_) | Op::Assign => {
                Err(Error::NoGradient { op: op.name() })
            }
        }
    }
}
