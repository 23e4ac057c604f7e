//! Measurement consistency.

use super::scene::Scene;
use crate::error::Result;
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};

/// `mean |A f(y) - y|^2` over what is measured (Chen et al. 2023, eq. 15). It is blind to the null
/// space of `A`: alone, it leaves there whatever the network begins with.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeasurementConsistency {
    /// What it is multiplied by in the sum.
    pub weight: f64,
}

impl Default for MeasurementConsistency {
    fn default() -> Self {
        MeasurementConsistency { weight: 1.0 }
    }
}

impl MeasurementConsistency {
    pub(super) fn record(&self, tape: &mut Tape, scene: &mut Scene) -> Result<Var> {
        let predicted = scene.predicted(tape)?;
        residual(tape, scene, predicted, scene.measurements())
    }
}

/// The mean square of `a - b`, measurements both, over what is measured.
pub(super) fn residual(tape: &mut Tape, scene: &Scene, a: Var, b: Var) -> Result<Var> {
    let difference = tape.sub(a, b)?;
    let square = tape.mul(difference, difference)?;
    scene.measured_mean(tape, square)
}
