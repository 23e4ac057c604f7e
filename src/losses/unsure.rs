//! SURE without a known noise level.

use super::consistency::residual;
use super::distance::check_weight;
use super::scene::{LossState, Scene};
use super::sure::step;
use crate::config::within;
use crate::error::Result;
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};

/// UNSURE (Tachella, Davies and Jacques 2025) for Gaussian noise of unknown level:
///
/// `|h(y) - y|^2 / m + 2 s / (t m) sum b (h(y + t b) - h(y))`, `h = A f`,
///
/// least over the network and greatest over `s`, which takes the place of the variance: a Lagrange
/// multiplier of the condition that the divergence of `h` vanishes. Each step climbs with momentum.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Unsure {
    /// What it is multiplied by in the sum.
    pub weight: f64,
    /// The step `t` relative to the root mean square of the measurements.
    pub probe: f64,
    /// How far `s` climbs in a step, relative to the mean square of the measurements.
    pub rate: f64,
    /// How much of the last climb is kept.
    pub momentum: f64,
    /// `s` before the first step.
    pub initial: f64,
}

impl Default for Unsure {
    fn default() -> Self {
        Unsure {
            weight: 1.0,
            probe: 0.01,
            rate: 1e-3,
            momentum: 0.9,
            initial: 0.0,
        }
    }
}

impl Unsure {
    /// The state that holds the estimated variance.
    pub const VARIANCE: &'static str = "loss.unsure.variance";
    const CLIMB: &'static str = "loss.unsure.climb";

    pub(super) fn check(&self, key: &str) -> Result<()> {
        check_weight(key, self.weight)?;
        within(&format!("{key}.probe"), self.probe, 1e-6..=1.0)?;
        within(&format!("{key}.rate"), self.rate, 1e-12..=1.0)?;
        within(&format!("{key}.momentum"), self.momentum, 0.0..=0.9999)?;
        within(&format!("{key}.initial"), self.initial, 0.0..=1e12).map(drop)
    }

    pub(super) fn record(&self, tape: &mut Tape, scene: &mut Scene) -> Result<Var> {
        let y = scene.measurements();
        let h = scene.predicted(tape)?;
        let risk = residual(tape, scene, h, y)?;
        let step = step(tape, scene, y, self.probe)?;
        let b = scene.either(tape, y.shape(), 0.5, [-1.0, 1.0])?;
        let change = tape.mul(b, step)?;
        let change = scene.operator().restrict(tape, change)?;
        let moved = tape.add(y, change)?;
        let estimate = scene.reconstruct(tape, scene.operator(), moved)?;
        let ahead = scene.operator().forward(tape, estimate)?;
        let change = tape.sub(ahead, h)?;
        let divergence = tape.mul(b, change)?;
        let divergence = scene.measured_mean(tape, divergence)?;
        let divergence = tape.div(divergence, step)?;
        let divergence = tape.scale(divergence, 2.0);
        let [variance, climb] =
            [(Self::VARIANCE, self.initial), (Self::CLIMB, 0.0)].map(|(name, initial)| {
                let initial = initial as f32;
                scene.state(tape, LossState { name, initial })
            });
        // A copy: gradients are recorded after the update and read what was before it.
        let before = tape.scale(variance, 1.0);
        let term = tape.mul(before, divergence)?;
        let risk = tape.add(risk, term)?;
        // The derivative in s, in the unit of a variance.
        let square = tape.mul(y, y)?;
        let unit = scene.measured_mean(tape, square)?;
        let slope = tape.mul(divergence, unit)?;
        let slope = tape.detach(slope);
        let slope = tape.scale(slope, self.rate as f32);
        let kept = tape.scale(climb, self.momentum as f32);
        let next = tape.add(kept, slope)?;
        let next_variance = tape.add(variance, next)?;
        tape.assign(climb, next)?;
        tape.assign(variance, next_variance)?;
        Ok(risk)
    }
}
