//! Operators at once, and one after another.

use super::LinearOperator;
use super::several::period;
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tape::{Tape, Var};
use std::sync::Arc;

/// `A x = (A_1 x, A_2 x, ...)`: one image measured in several ways at once. (With
/// [`Several`](super::Several) each image is measured in one of them.)
///
/// Where the measurements are equally wide, as sinograms of one detector, the result has the rows of
/// all of them, one below the other: sinograms stacked by their views. Else each is laid out as one
/// row, and the rows stand side by side.
#[derive(Clone)]
pub struct Stacked {
    operators: Vec<Arc<dyn LinearOperator>>,
    range: Shape,
    /// The axis along which measurements stand one after another.
    axis: usize,
}

impl Stacked {
    /// Operators of images of one shape, in the order of their measurements.
    ///
    /// # Errors
    /// [`Error::Config`] if there are none, if their images differ, or if some measure complex numbers
    /// and others real ones.
    pub fn new(operators: Vec<Arc<dyn LinearOperator>>) -> Result<Self> {
        let Some(first) = operators.first() else {
            return Err(Error::Config(
                "operator.operators is empty: give at least one operator to stack".into(),
            ));
        };
        let (domain, range) = (first.domain(), first.range());
        for (i, operator) in operators.iter().enumerate() {
            if operator.domain() != domain || operator.range().c() != range.c() {
                return Err(Error::Config(format!(
                    "operator.operators[{i}] takes images {} to measurements {}, and the first one {domain} to {range}: stacked operators see the same images and measure as many channels",
                    operator.domain(),
                    operator.range()
                )));
            }
        }
        let ranges = || operators.iter().map(|o| o.range());
        let axis = match ranges().all(|r| r.w() == range.w()) {
            true => 2,
            false => 3,
        };
        let flat = |r: Shape| match axis {
            2 => r,
            _ => Shape::new(1, r.c(), 1, r.h() * r.w()),
        };
        let extent = ranges().map(|r| flat(r).0[axis]).sum();
        Ok(Stacked {
            range: flat(range).with(axis, extent),
            operators,
            axis,
        })
    }

    /// The measurement of operator `i` as it stands in the whole one.
    fn part(&self, i: usize, n: usize) -> Shape {
        let range = self.operators[i].range().with(0, n);
        match self.axis {
            2 => range,
            _ => Shape::new(n, range.c(), 1, range.h() * range.w()),
        }
    }

    /// The parts of a whole measurement, each in the shape of its operator.
    fn divided(&self, tape: &mut Tape, y: Var) -> Result<Vec<Var>> {
        super::check("stacked", y, self.range)?;
        let n = y.shape().n();
        let mut start = 0;
        let mut parts = Vec::with_capacity(self.operators.len());
        for (i, operator) in self.operators.iter().enumerate() {
            let extent = self.part(i, n).0[self.axis];
            let part = tape.slice(y, self.axis, start, extent)?;
            parts.push(tape.reshape(part, operator.range().with(0, n))?);
            start += extent;
        }
        Ok(parts)
    }

    fn whole(&self, tape: &mut Tape, parts: &[Var]) -> Result<Var> {
        let mut laid = Vec::with_capacity(parts.len());
        for (i, part) in parts.iter().enumerate() {
            laid.push(tape.reshape(*part, self.part(i, part.shape().n()))?);
        }
        tape.concat(&laid, self.axis)
    }

    /// The sum over the operators of an image that `map` makes of each part.
    fn sum(
        &self,
        tape: &mut Tape,
        y: Var,
        map: impl Fn(&dyn LinearOperator, &mut Tape, Var) -> Result<Var>,
    ) -> Result<Var> {
        let parts = self.divided(tape, y)?;
        let mut sum: Option<Var> = None;
        for (operator, part) in self.operators.iter().zip(parts) {
            let image = map(&**operator, tape, part)?;
            sum = Some(match sum {
                None => image,
                Some(sum) => tape.add(sum, image)?,
            });
        }
        sum.ok_or_else(|| Error::Config("operator.operators is empty".into()))
    }

    fn mean(
        &self,
        tape: &mut Tape,
        y: Var,
        map: impl Fn(&dyn LinearOperator, &mut Tape, Var) -> Result<Var>,
    ) -> Result<Var> {
        let sum = self.sum(tape, y, map)?;
        Ok(tape.scale(sum, 1.0 / self.operators.len() as f32))
    }
}

impl LinearOperator for Stacked {
    fn name(&self) -> &'static str {
        "stacked"
    }

    fn domain(&self) -> Shape {
        self.operators[0].domain()
    }

    fn range(&self) -> Shape {
        self.range
    }

    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        let parts = self.operators.iter().map(|a| a.forward(tape, x));
        let parts = parts.collect::<Result<Vec<Var>>>()?;
        self.whole(tape, &parts)
    }

    fn adjoint(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        self.sum(tape, y, |a, tape, y| a.adjoint(tape, y))
    }

    /// The mean of the operators' own: what each of them makes of its part is an image already.
    fn pseudo_inverse(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        self.mean(tape, y, |a, tape, y| a.pseudo_inverse(tape, y))
    }

    fn partial_pseudo_inverse(&self, tape: &mut Tape, y: Var, share: f64) -> Result<Var> {
        self.mean(tape, y, |a, tape, y| {
            a.partial_pseudo_inverse(tape, y, share)
        })
    }

    fn pseudo_inverse_name(&self) -> &'static str {
        "averaged"
    }

    fn period(&self) -> usize {
        period(self.operators.iter().map(|o| o.period()))
    }

    fn measured(&self) -> usize {
        self.operators.iter().map(|o| o.measured()).sum()
    }

    fn restrict(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        let parts = self.divided(tape, y)?;
        let parts = (self.operators.iter().zip(parts)).map(|(a, y)| a.restrict(tape, y));
        let parts = parts.collect::<Result<Vec<Var>>>()?;
        self.whole(tape, &parts)
    }
}

/// `A x = A_k ... A_2 A_1 x`: operators one after another.
#[derive(Clone)]
pub struct Composed {
    operators: Vec<Arc<dyn LinearOperator>>,
}

impl Composed {
    /// Operators in the order in which they are applied to the image.
    ///
    /// # Errors
    /// [`Error::Config`] if there are none, or if one does not take what the one before it gives.
    pub fn new(operators: Vec<Arc<dyn LinearOperator>>) -> Result<Self> {
        if operators.is_empty() {
            return Err(Error::Config(
                "operator.operators is empty: give at least one operator to compose".into(),
            ));
        }
        for (i, pair) in operators.windows(2).enumerate() {
            if pair[0].range() != pair[1].domain() {
                return Err(Error::Config(format!(
                    "operator.operators[{}] takes {}, and the one before it gives {}: operators are composed in the order in which they are applied to the image",
                    i + 1,
                    pair[1].domain(),
                    pair[0].range()
                )));
            }
        }
        Ok(Composed { operators })
    }

    fn last(&self) -> &dyn LinearOperator {
        &*self.operators[self.operators.len() - 1]
    }
}

impl LinearOperator for Composed {
    fn name(&self) -> &'static str {
        "composed"
    }

    fn domain(&self) -> Shape {
        self.operators[0].domain()
    }

    fn range(&self) -> Shape {
        self.last().range()
    }

    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        let mut operators = self.operators.iter();
        operators.try_fold(x, |x, a| a.forward(tape, x))
    }

    fn adjoint(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        let mut operators = self.operators.iter().rev();
        operators.try_fold(y, |y, a| a.adjoint(tape, y))
    }

    /// The operators' own, in reverse.
    fn pseudo_inverse(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        let mut operators = self.operators.iter().rev();
        operators.try_fold(y, |y, a| a.pseudo_inverse(tape, y))
    }

    fn partial_pseudo_inverse(&self, tape: &mut Tape, y: Var, share: f64) -> Result<Var> {
        let y = self.last().partial_pseudo_inverse(tape, y, share)?;
        let mut others = self.operators.iter().rev().skip(1);
        others.try_fold(y, |y, a| a.pseudo_inverse(tape, y))
    }

    fn pseudo_inverse_name(&self) -> &'static str {
        match self.operators.as_slice() {
            [one] => one.pseudo_inverse_name(),
            _ => "composed",
        }
    }

    fn period(&self) -> usize {
        period(self.operators.iter().map(|o| o.period()))
    }

    fn measured(&self) -> usize {
        self.last().measured()
    }

    fn restrict(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        self.last().restrict(tape, y)
    }
}
