//! Recording what moves elements: reshape, transpose, slice, pad, join, grid symmetries.

use super::{Tape, Var};
use crate::error::{Error, Result};
use crate::shape::{GridSymmetry, Shape};
use crate::tape::op::Op;

impl Tape {
    /// The same elements with another shape.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of elements differs.
    pub fn reshape(&mut self, x: Var, to: Shape) -> Result<Var> {
        if x.shape.elements() != to.elements() {
            return Err(Error::shape(
                "reshape",
                format!("{} to {to}: the numbers of elements differ", x.shape),
            ));
        }
        Ok(if x.shape == to {
            x
        } else {
            self.push(Op::Reshape, &[x], to)
        })
    }

    /// The elements of `x` as they are, held fixed: no gradient passes through.
    pub fn detach(&mut self, x: Var) -> Var {
        self.push(Op::Detach, &[x], x.shape)
    }

    /// Axis `i` of the result is axis `axes[i]` of `x`.
    ///
    /// # Errors
    /// [`Error::Shape`] unless `axes` is a permutation.
    pub fn transpose(&mut self, x: Var, axes: [usize; 4]) -> Result<Var> {
        let mut sorted = axes;
        sorted.sort_unstable();
        if sorted != [0, 1, 2, 3] {
            return Err(Error::shape(
                "transpose",
                format!("{axes:?} is not a permutation of the axes 0 to 3"),
            ));
        }
        Ok(if axes == sorted {
            x
        } else {
            self.push(Op::Transpose(axes), &[x], Shape(axes.map(|a| x.shape.0[a])))
        })
    }

    /// The range `start..start + len` along `axis`.
    ///
    /// # Errors
    /// [`Error::Shape`] if it does not lie inside.
    pub fn slice(&mut self, x: Var, axis: usize, start: usize, len: usize) -> Result<Var> {
        if axis > 3 || start + len > x.shape.0[axis] || len == 0 {
            return Err(Error::shape(
                "slice",
                format!("{start}..{} along axis {axis} of {}", start + len, x.shape),
            ));
        }
        Ok(if len == x.shape.0[axis] {
            x
        } else {
            self.push(Op::Slice { axis, start }, &[x], x.shape.with(axis, len))
        })
    }

    /// `x` embedded in zeros: `total` along `axis`, `before` of them in front.
    ///
    /// # Errors
    /// [`Error::Shape`] if it does not fit.
    pub fn pad(&mut self, x: Var, axis: usize, before: usize, total: usize) -> Result<Var> {
        if axis > 3 || before + x.shape.0[axis] > total {
            return Err(Error::shape(
                "pad",
                format!("{} at {before} of {total} along axis {axis}", x.shape),
            ));
        }
        Ok(if total == x.shape.0[axis] {
            x
        } else {
            self.push(Op::Pad { axis, before }, &[x], x.shape.with(axis, total))
        })
    }

    /// The parts one after another along `axis`.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are none, or they differ along another axis.
    pub fn concat(&mut self, parts: &[Var], axis: usize) -> Result<Var> {
        let Some(first) = parts.first() else {
            return Err(Error::shape("concat", "nothing to join"));
        };
        for part in parts {
            if axis > 3 || part.shape.with(axis, 1) != first.shape.with(axis, 1) {
                return Err(Error::shape(
                    "concat",
                    format!(
                        "{} and {} differ beside axis {axis}",
                        first.shape, part.shape
                    ),
                ));
            }
        }
        let total = parts.iter().map(|p| p.shape.0[axis]).sum();
        Ok(if parts.len() == 1 {
            *first
        } else {
            self.push(Op::Concat { axis }, parts, first.shape.with(axis, total))
        })
    }

    /// The grid symmetry `g` applied to the image plane: `(T_g f)(x) = f(R^-1 x)`. Odd quarter
    /// turns exchange rows and columns.
    pub fn symmetry(&mut self, x: Var, g: GridSymmetry) -> Var {
        if g == GridSymmetry::IDENTITY {
            return x;
        }
        let Shape([n, c, h, w]) = x.shape;
        let shape = if g.quarter_turns % 2 == 1 {
            Shape::new(n, c, w, h)
        } else {
            x.shape
        };
        self.push(Op::Symmetry(g), &[x], shape)
    }
}
