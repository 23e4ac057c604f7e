//! Recording elementwise functions, reductions and repetition.

use super::{Tape, Var};
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tape::op::{Binary, Op, Unary};

impl Tape {
    // Elementwise.

    /// `f(x)` element by element.
    pub fn unary(&mut self, f: Unary, x: Var) -> Var {
        self.push(Op::Unary(f), &[x], x.shape)
    }

    /// `f(a, b)` element by element; the shapes broadcast.
    ///
    /// # Errors
    /// [`Error::Shape`] if they do not.
    pub fn binary(&mut self, f: Binary, a: Var, b: Var) -> Result<Var> {
        let shape = a.shape.broadcast(b.shape).ok_or_else(|| {
            Error::shape(
                f.name(),
                format!(
                    "{} and {} do not broadcast: extents must be equal or 1",
                    a.shape, b.shape
                ),
            )
        })?;
        Ok(self.push(Op::Binary(f), &[a, b], shape))
    }

    /// `a + b`; errors as [`Tape::binary`].
    pub fn add(&mut self, a: Var, b: Var) -> Result<Var> {
        self.binary(Binary::Add, a, b)
    }

    /// `a - b`; errors as [`Tape::binary`].
    pub fn sub(&mut self, a: Var, b: Var) -> Result<Var> {
        self.binary(Binary::Sub, a, b)
    }

    /// `a * b`; errors as [`Tape::binary`].
    pub fn mul(&mut self, a: Var, b: Var) -> Result<Var> {
        self.binary(Binary::Mul, a, b)
    }

    /// `a / b`; errors as [`Tape::binary`].
    pub fn div(&mut self, a: Var, b: Var) -> Result<Var> {
        self.binary(Binary::Div, a, b)
    }

    /// `c * x`.
    pub fn scale(&mut self, x: Var, c: f32) -> Var {
        self.unary(Unary::Scale(c), x)
    }

    /// Leaky ReLU with a positive slope.
    pub fn leaky_relu(&mut self, x: Var, slope: f32) -> Var {
        self.unary(Unary::LeakyRelu(slope), x)
    }

    // Reductions and their transposes.

    fn check_reduced(op: &'static str, full: Shape, reduced: Shape) -> Result<()> {
        let fits = (0..4).all(|i| reduced.0[i] == full.0[i] || reduced.0[i] == 1);
        fits.then_some(()).ok_or_else(|| {
            Error::shape(
                op,
                format!("{reduced} is not {full} with some extents set to 1"),
            )
        })
    }

    /// Sum over every axis in which `to` has extent 1.
    ///
    /// # Errors
    /// [`Error::Shape`] unless every extent of `to` is that of `x` or 1.
    pub fn sum(&mut self, x: Var, to: Shape) -> Result<Var> {
        Self::check_reduced("sum", x.shape, to)?;
        Ok(if x.shape == to {
            x
        } else {
            self.push(Op::Sum, &[x], to)
        })
    }

    /// The sum of all elements.
    ///
    /// # Errors
    /// None in practice; see [`Tape::sum`].
    pub fn sum_all(&mut self, x: Var) -> Result<Var> {
        self.sum(x, Shape::SCALAR)
    }

    /// The mean of all elements.
    ///
    /// # Errors
    /// None in practice; see [`Tape::sum`].
    pub fn mean(&mut self, x: Var) -> Result<Var> {
        let sum = self.sum_all(x)?;
        Ok(self.scale(sum, 1.0 / x.shape.elements() as f32))
    }

    /// Maximum over every axis in which `to` has extent 1; errors as [`Tape::sum`].
    pub fn max(&mut self, x: Var, to: Shape) -> Result<Var> {
        Self::check_reduced("max", x.shape, to)?;
        Ok(if x.shape == to {
            x
        } else {
            self.push(Op::Max, &[x], to)
        })
    }

    /// Repetition along every axis in which `x` has extent 1.
    ///
    /// # Errors
    /// [`Error::Shape`] unless every extent of `x` is that of `to` or 1.
    pub fn broadcast(&mut self, x: Var, to: Shape) -> Result<Var> {
        Self::check_reduced("broadcast", to, x.shape)?;
        Ok(if x.shape == to {
            x
        } else {
            self.push(Op::Broadcast, &[x], to)
        })
    }
}
