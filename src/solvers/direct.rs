//! Methods of one pass: filtered back-projection, zero filling, the root sum of squares.

use super::run::check_measurements;
use crate::error::Result;
use crate::operators::{Filter, FourierSampling, LinearOperator, RayTransform, fbp};
use crate::tape::plan::{Options, Plan, Store};
use crate::tape::{Tape, Unary, Var};
use std::borrow::Cow;

/// Filtered back-projection, image by image; [`fbp`] says what it computes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fbp {
    /// The window of the ramp filter.
    pub filter: Filter,
    /// Sets what is negative to zero.
    pub nonnegative: bool,
}

impl Fbp {
    /// The images of the `n` measurements `y` (N times the operator's range).
    ///
    /// # Errors
    /// [`crate::error::Error::Data`] if `y` does not fit; [`crate::error::Error::NotFinite`]; those
    /// of [`fbp`], of compiling and running.
    pub fn solve(
        &self,
        operator: &RayTransform,
        store: &Store,
        y: &[f32],
        n: usize,
    ) -> Result<Vec<f32>> {
        one_by_one(operator, store, y, n, |tape, y| {
            let image = fbp(tape, y, operator, self.filter)?;
            Ok(match self.nonnegative {
                true => tape.unary(Unary::AtLeast(0.0), image),
                false => image,
            })
        })
    }
}

/// The operator's [pseudo-inverse](LinearOperator::pseudo_inverse) of the `n` measurements `y`:
/// filtered back-projection, zero filling.
///
/// # Errors
/// As [`Fbp::solve`].
pub fn pseudo_inverse(
    operator: &dyn LinearOperator,
    store: &Store,
    y: &[f32],
    n: usize,
) -> Result<Vec<f32>> {
    let record = |tape: &mut Tape, y| operator.pseudo_inverse(tape, y);
    one_by_one(operator, store, y, n, record)
}

/// The [root sum of squares](FourierSampling::root_sum_of_squares) of the `n` measurements `y`:
/// magnitudes, N 1 H W.
///
/// # Errors
/// As [`Fbp::solve`].
pub fn root_sum_of_squares(
    operator: &FourierSampling,
    store: &Store,
    y: &[f32],
    n: usize,
) -> Result<Vec<f32>> {
    let record = |tape: &mut Tape, y| operator.root_sum_of_squares(tape, y);
    one_by_one(operator, store, y, n, record)
}

/// What `record` makes of each measurement.
fn one_by_one(
    operator: &dyn LinearOperator,
    store: &Store,
    y: &[f32],
    n: usize,
    record: impl FnOnce(&mut Tape, Var) -> Result<Var>,
) -> Result<Vec<f32>> {
    check_measurements(operator, y, n)?;
    let mut tape = Tape::new();
    // Operators that take turns each get theirs; what the last round lacks is zero.
    let period = operator.period();
    let input = tape.input("y", operator.range().with(0, period));
    let image = record(&mut tape, input)?;
    let plan = Plan::compile(&tape, &[image], store, Options::tuned())?;
    let mut images = Vec::with_capacity(n.next_multiple_of(period) * image.shape().elements());
    for values in y.chunks(input.shape().elements()) {
        let mut values = Cow::Borrowed(values);
        if values.len() < input.shape().elements() {
            values.to_mut().resize(input.shape().elements(), 0.0);
        }
        plan.run(&[("y", &values)])?;
        images.extend(plan.read(image)?);
    }
    images.truncate(n * image.shape().elements() / period);
    Ok(images)
}
