//! Learning from several operators.

use super::scene::{Scene, mean_square};
use crate::error::{Error, Result};
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};

/// `mean |f(A_s x1) - x1|^2` with `x1 = f(y)` of the measurement `y` through another operator `A_g`
/// (multi-operator imaging, Tachella, Chen and Davies 2022, eq. 8): what one operator does not see
/// of an image, another one sees of others. It needs a problem of several operators and a partner
/// that ties `f(y)` to the measurement.
///
/// Item `i` of a batch is measured by operator `i`; here each reconstruction changes place with its
/// neighbour, and so is measured by the next operator.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MultiOperator {
    /// What it is multiplied by in the sum.
    pub weight: f64,
    /// The second measurement is noisy.
    pub noise: bool,
}

impl Default for MultiOperator {
    fn default() -> Self {
        MultiOperator {
            weight: 1.0,
            noise: false,
        }
    }
}

impl MultiOperator {
    pub(super) fn record(&self, tape: &mut Tape, scene: &mut Scene) -> Result<Var> {
        let operators = scene.operator().period();
        if operators < 2 {
            return Err(Error::Config(
                "[[loss]] kind = \"multi_operator\": the problem has one operator; give operator.kind = \"several\", or use equivariant_imaging".into(),
            ));
        }
        let x1 = scene.estimate(tape)?;
        let n = x1.shape().n();
        let last = tape.slice(x1, 0, n - 1, 1)?;
        let others = tape.slice(x1, 0, 0, n - 1)?;
        let x2 = tape.concat(&[last, others], 0)?;
        let mut z = scene.operator().forward(tape, x2)?;
        if self.noise {
            z = scene.with_noise(tape, z)?;
        }
        let x3 = scene.reconstruct(tape, scene.operator(), z)?;
        mean_square(tape, x3, x2)
    }
}
