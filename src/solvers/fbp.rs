//! Filtered back-projection of a batch.

use super::check_measurements;
use crate::error::Result;
use crate::operators::{Filter, LinearOperator, RayTransform, fbp};
use crate::tape::plan::{Options, Plan, Store};
use crate::tape::{Tape, Unary};

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
        check_measurements(operator, y, n)?;
        let mut tape = Tape::new();
        let input = tape.input("y", operator.range());
        let mut image = fbp(&mut tape, input, operator, self.filter)?;
        if self.nonnegative {
            image = tape.unary(Unary::AtLeast(0.0), image);
        }
        let plan = Plan::compile(&tape, &[image], store, Options::tuned())?;
        let mut images = Vec::with_capacity(n * image.shape().elements());
        for values in y.chunks_exact(input.shape().elements()) {
            plan.run(&[("y", values)])?;
            images.extend(plan.read(image)?);
        }
        Ok(images)
    }
}
