//! Losses: scalars that training makes small.

use crate::error::Result;
use crate::tape::{Tape, Var};

/// Half the mean squared error, the supervised loss of Celledoni et al. (their 1/2 sum of squares
/// up to the constant number of pixels).
///
/// # Errors
/// [`crate::error::Error::Shape`] if the shapes do not broadcast.
pub fn half_mean_squared_error(tape: &mut Tape, estimate: Var, truth: Var) -> Result<Var> {
    let difference = tape.sub(estimate, truth)?;
    let square = tape.mul(difference, difference)?;
    let mean = tape.mean(square)?;
    Ok(tape.scale(mean, 0.5))
}
