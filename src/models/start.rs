//! The image that an unrolled network improves first.

use crate::error::Result;
use crate::operators::LinearOperator;
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};

/// The image that the first block improves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// 0, as in the paper.
    #[default]
    Zero,
    /// The operator's [pseudo-inverse](LinearOperator::pseudo_inverse): filtered back-projection
    /// for the ray transform. Short trainings get much farther from there, since the few 3x3
    /// convolutions of a short network cannot sharpen `A^T y` themselves.
    PseudoInverse,
}

impl Start {
    /// Records it for the measurements `y`.
    pub(super) fn record(
        self,
        tape: &mut Tape,
        operator: &dyn LinearOperator,
        y: Var,
    ) -> Result<Var> {
        match self {
            Start::Zero => {
                let zero = tape.scalar(0.0);
                tape.broadcast(zero, operator.domain().with(0, y.shape().n()))
            }
            Start::PseudoInverse => operator.pseudo_inverse(tape, y),
        }
    }
}
