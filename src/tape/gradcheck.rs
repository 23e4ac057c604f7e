//! Gradients by the rules against central differences, both in f64 arithmetic.

use super::record::{Tape, Var};
use super::reference::{Feeds, evaluate};
use crate::error::Result;

/// The largest difference between the rules' gradient of `loss` with respect to each of `wrt` and
/// central differences, relative to the gradient's largest element. `wrt` are inputs or states
/// with the given names.
///
/// # Errors
/// Those of recording and evaluating.
pub fn gradient_error(tape: &Tape, feeds: &Feeds, loss: Var, wrt: &[(Var, &str)]) -> Result<f64> {
    let mut tape = tape.clone();
    let vars: Vec<Var> = wrt.iter().map(|w| w.0).collect();
    let gradients = tape.gradients(loss, &vars)?;
    let gradients = evaluate(&tape, &mut feeds.clone(), &gradients)?;
    let mut worst: f64 = 0.0;
    for ((_, name), gradient) in wrt.iter().zip(&gradients) {
        let scale = gradient.iter().fold(1e-3, |m: f64, g| m.max(g.abs()));
        for (i, g) in gradient.iter().enumerate() {
            let at = |delta: f64| -> Result<f64> {
                let mut feeds = feeds.clone();
                if let Some(values) = feeds.get_mut(*name) {
                    values[i] += delta;
                }
                Ok(evaluate(&tape, &mut feeds, &[loss])?[0][0])
            };
            // Fourth-order differences: truncation and rounding both stay below 1e-9.
            let h = 1e-3;
            let near = (at(h)? - at(-h)?) * 8.0;
            let far = at(2.0 * h)? - at(-2.0 * h)?;
            let numerical = (near - far) / (12.0 * h);
            let error = (g - numerical).abs() / scale;
            // A NaN must not pass, and stays the worst.
            if (error.is_nan() || error > worst) && !worst.is_nan() {
                worst = error;
            }
        }
    }
    Ok(worst)
}
