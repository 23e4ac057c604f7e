//! Several operators that take turns.

use super::LinearOperator;
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tape::{Tape, Var};
use std::sync::Arc;

/// Item `i` of a batch is measured by operator `i` modulo their number: images that were measured
/// in different ways (Tachella, Chen and Davies 2022). Whoever cuts a stack of images or measurements
/// into batches does so at multiples of that number.
#[derive(Clone)]
pub struct Several {
    operators: Vec<Arc<dyn LinearOperator>>,
}

impl Several {
    /// Operators of one kind, in the order in which they take turns.
    ///
    /// # Errors
    /// [`Error::Config`] if there are none, or if their domains, ranges, names or numbers of measured
    /// values differ.
    pub fn new(operators: Vec<Arc<dyn LinearOperator>>) -> Result<Self> {
        let Some(first) = operators.first() else {
            return Err(Error::Config(
                "operator.operators is empty: give at least two operators".into(),
            ));
        };
        for (i, operator) in operators.iter().enumerate() {
            if (operator.domain(), operator.range(), operator.period())
                != (first.domain(), first.range(), 1)
            {
                return Err(Error::Config(format!(
                    "operator.operators[{i}] takes images {} to measurements {}, and the first one {} to {}: operators that take turns have the same shapes",
                    operator.domain(),
                    operator.range(),
                    first.domain(),
                    first.range()
                )));
            }
            if (operator.name(), operator.measured()) != (first.name(), first.measured()) {
                return Err(Error::Config(format!(
                    "operator.operators[{i}] is a {} of {} measured values, and the first one a {} of {}: operators that take turns are of one kind and measure equally much",
                    operator.name(),
                    operator.measured(),
                    first.name(),
                    first.measured()
                )));
            }
        }
        Ok(Several { operators })
    }

    fn first(&self) -> &dyn LinearOperator {
        &*self.operators[0]
    }

    /// Each item by its operator.
    fn each(
        &self,
        tape: &mut Tape,
        x: Var,
        map: impl Fn(&dyn LinearOperator, &mut Tape, Var) -> Result<Var>,
    ) -> Result<Var> {
        let items = (0..x.shape().n()).map(|i| {
            let item = tape.slice(x, 0, i, 1)?;
            map(&*self.operators[i % self.operators.len()], tape, item)
        });
        let items = items.collect::<Result<Vec<Var>>>()?;
        tape.concat(&items, 0)
    }
}

impl LinearOperator for Several {
    fn name(&self) -> &'static str {
        self.first().name()
    }

    fn domain(&self) -> Shape {
        self.first().domain()
    }

    fn range(&self) -> Shape {
        self.first().range()
    }

    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        self.each(tape, x, |a, tape, x| a.forward(tape, x))
    }

    fn adjoint(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        self.each(tape, y, |a, tape, y| a.adjoint(tape, y))
    }

    fn pseudo_inverse(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        self.each(tape, y, |a, tape, y| a.pseudo_inverse(tape, y))
    }

    fn partial_pseudo_inverse(&self, tape: &mut Tape, y: Var, share: f64) -> Result<Var> {
        self.each(tape, y, |a, tape, y| {
            a.partial_pseudo_inverse(tape, y, share)
        })
    }

    fn pseudo_inverse_name(&self) -> &'static str {
        self.first().pseudo_inverse_name()
    }

    fn period(&self) -> usize {
        self.operators.len()
    }

    fn measured(&self) -> usize {
        self.first().measured()
    }

    fn restrict(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        self.each(tape, y, |a, tape, y| a.restrict(tape, y))
    }
}
