//! Recording: one method for each operation, which checks its shapes. Here stand the tape itself,
//! its leaves, random numbers, and updates of states.

mod complex;
mod elementwise;
mod layout;
mod operators;

use super::op::{AdamConstants, Distribution, Node, Op};
use crate::error::{Error, Result};
use crate::shape::Shape;
use std::ops::Range;
use std::sync::Arc;

/// A value on a tape: its place and its shape.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Var {
    pub(super) index: usize,
    shape: Shape,
}

impl Var {
    /// The shape of the value.
    pub fn shape(self) -> Shape {
        self.shape
    }

    /// The place on the tape.
    pub fn index(self) -> usize {
        self.index
    }
}

/// A range of nodes whose values are computed again for the backward pass instead of being kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// The nodes recorded by [`Tape::recomputed`].
    pub nodes: Range<usize>,
}

/// An append-only list of operations. It holds no GPU memory and needs no device.
///
/// ```
/// use equilens::shape::Shape;
/// use equilens::tape::Tape;
/// let mut tape = Tape::new();
/// let x = tape.input("x", Shape::vector(3));
/// let y = tape.mul(x, x)?;
/// let loss = tape.sum_all(y)?;
/// let dx = tape.gradients(loss, &[x])?[0];
/// assert_eq!(dx.shape(), x.shape());
/// # Ok::<(), equilens::error::Error>(())
/// ```
#[derive(Clone, Default, Debug)]
pub struct Tape {
    pub(super) nodes: Vec<Node>,
    pub(super) segments: Vec<Segment>,
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    /// The recorded nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The value of node `index`.
    pub fn var(&self, index: usize) -> Var {
        Var {
            index,
            shape: self.nodes[index].shape,
        }
    }

    pub(super) fn push(&mut self, op: Op, inputs: &[Var], shape: Shape) -> Var {
        debug_assert!(inputs.iter().all(|v| v.index < self.nodes.len()));
        self.nodes.push(Node {
            op,
            inputs: inputs.iter().map(|v| v.index).collect(),
            shape,
        });
        self.var(self.nodes.len() - 1)
    }

    /// Records `body` as recomputed: what it computes inside is not kept for the backward pass but
    /// computed again there, which trades time for memory.
    ///
    /// # Errors
    /// Those of `body`.
    pub fn recomputed<T>(&mut self, body: impl FnOnce(&mut Tape) -> Result<T>) -> Result<T> {
        let start = self.nodes.len();
        let result = body(self)?;
        self.segments.push(Segment {
            nodes: start..self.nodes.len(),
        });
        Ok(result)
    }

    // Leaves.

    /// A leaf that is written before each replay. The name must be unique on the tape.
    pub fn input(&mut self, name: &str, shape: Shape) -> Var {
        self.push(Op::Input(name.into()), &[], shape)
    }

    /// A leaf that persists between replays, and between the plans that share its store.
    pub fn state(&mut self, name: &str, shape: Shape) -> Var {
        self.push(Op::State(name.into()), &[], shape)
    }

    /// A leaf with fixed values. The same shared array again, in the same shape, is the same leaf:
    /// operators record theirs with every application.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of values is not the number of elements.
    pub fn constant(&mut self, shape: Shape, values: impl Into<Arc<[f32]>>) -> Result<Var> {
        let values = values.into();
        if values.len() != shape.elements() {
            return Err(Error::shape(
                "constant",
                format!("{} values for the shape {shape}", values.len()),
            ));
        }
        let same = |node: &Node| {
            let shared = matches!(&node.op, Op::Constant(v) if Arc::ptr_eq(v, &values));
            shared && node.shape == shape
        };
        if let Some(index) = self.nodes.iter().position(same) {
            return Ok(self.var(index));
        }
        Ok(self.push(Op::Constant(values), &[], shape))
    }

    /// A scalar constant.
    pub fn scalar(&mut self, value: f32) -> Var {
        self.push(Op::Constant([value].into()), &[], Shape::SCALAR)
    }

    // Random numbers.

    /// Random numbers of shape `to` from draw number `draw` (a scalar holding an integer below
    /// 2^24), on `stream`, under the key `seed`. Poisson is [`Tape::poisson`].
    ///
    /// # Errors
    /// [`Error::Shape`] if `draw` is no scalar or the distribution needs means.
    pub fn random(
        &mut self,
        distribution: Distribution,
        draw: Var,
        seed: u64,
        stream: u32,
        to: Shape,
    ) -> Result<Var> {
        if draw.shape != Shape::SCALAR || distribution == Distribution::Poisson {
            return Err(Error::shape(
                "random",
                format!(
                    "draw {} for {distribution:?}: a scalar, and uniform or normal",
                    draw.shape
                ),
            ));
        }
        let op = Op::Random {
            distribution,
            seed,
            stream,
        };
        Ok(self.push(op, &[draw], to))
    }

    /// Poisson random numbers with the given means, 0 to 1e6; otherwise as [`Tape::random`].
    ///
    /// # Errors
    /// [`Error::Shape`] if `draw` is no scalar.
    pub fn poisson(&mut self, draw: Var, means: Var, seed: u64, stream: u32) -> Result<Var> {
        if draw.shape != Shape::SCALAR {
            return Err(Error::shape("random", format!("draw {}", draw.shape)));
        }
        let op = Op::Random {
            distribution: Distribution::Poisson,
            seed,
            stream,
        };
        Ok(self.push(op, &[draw, means], means.shape))
    }

    // Updates of states.

    /// Gives `state` the value of `value`, in place; the result is the new value. With it a plan
    /// carries its iterates from replay to replay on the device.
    ///
    /// What is recorded before reads the old value. Afterwards use the result: reading `state`
    /// itself is refused when the plan is compiled.
    ///
    /// # Errors
    /// [`Error::Shape`] if `state` is no state or the shapes differ.
    pub fn assign(&mut self, state: Var, value: Var) -> Result<Var> {
        if !matches!(self.nodes[state.index].op, Op::State(_)) || state.shape != value.shape {
            return Err(Error::shape(
                "assign",
                format!(
                    "{} of {} to {} of {}: the target must be a state of the value's shape",
                    self.nodes[value.index].op.name(),
                    value.shape,
                    self.nodes[state.index].op.name(),
                    state.shape
                ),
            ));
        }
        // One dispatch must not bind a buffer twice, so what only views a state is copied first.
        let mut source = value.index;
        while matches!(
            self.nodes[source].op,
            Op::Reshape | Op::Detach | Op::Slice { .. }
        ) {
            source = self.nodes[source].inputs[0];
        }
        let source = &self.nodes[source].op;
        let value = if matches!(source, Op::State(_)) || source.updates() > 0 {
            self.scale(value, 1.0)
        } else {
            value
        };
        Ok(self.push(Op::Assign, &[state, value], state.shape))
    }

    /// The results of all [assignments](Tape::assign) so far: outputs that a plan needs if it is to
    /// carry them out.
    pub fn assigned(&self) -> Vec<Var> {
        let nodes = self.nodes.iter().enumerate();
        let assigned = nodes.filter(|(_, node)| node.op == Op::Assign);
        assigned.map(|(index, _)| self.var(index)).collect()
    }

    /// One step of Adam in place on the states `theta`, `m`, `v` with the gradient `gradient`;
    /// `rates` holds `lr / (1 - beta1^t)` and `1 / sqrt(1 - beta2^t)`. The result is the new theta.
    ///
    /// # Errors
    /// [`Error::Shape`] if the shapes differ or one of the three is not a state.
    pub fn adam(
        &mut self,
        [theta, m, v]: [Var; 3],
        gradient: Var,
        rates: Var,
        constants: AdamConstants,
    ) -> Result<Var> {
        for x in [theta, m, v] {
            if !matches!(self.nodes[x.index].op, Op::State(_)) || x.shape != gradient.shape {
                return Err(Error::shape(
                    "adam",
                    format!(
                        "theta, m and v must be states of the gradient's shape {}; found {} of {}",
                        gradient.shape,
                        self.nodes[x.index].op.name(),
                        x.shape
                    ),
                ));
            }
        }
        if rates.shape != Shape::vector(2) {
            return Err(Error::shape("adam", format!("rates {}", rates.shape)));
        }
        Ok(self.push(
            Op::Adam(constants),
            &[theta, m, v, gradient, rates],
            theta.shape,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_array_is_one_leaf() {
        let mut tape = Tape::new();
        let shared: Arc<[f32]> = vec![1.0; 6].into();
        let mut constant = |shape, values: Arc<[f32]>| tape.constant(shape, values).expect("fits");
        let first = constant(Shape::vector(6), shared.clone());
        assert_eq!(constant(Shape::vector(6), shared.clone()), first);
        assert_ne!(constant(Shape::new(1, 1, 2, 3), shared), first);
        assert_ne!(constant(Shape::vector(6), vec![1.0; 6].into()), first);
    }
}
