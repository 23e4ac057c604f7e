//! Data augmentation.

use super::distance::Distance;
use super::motion::Transforms;
use super::scene::Scene;
use crate::error::Result;
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};

/// The distance of `f(A T_g x + noise)` from `T_g x` for ground truth `x` (Chen et al. 2023, section
/// IV): moved images, measured anew with fresh noise.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// What it is multiplied by in the sum.
    pub weight: f64,
    /// What the set of images is invariant under.
    pub transforms: Transforms,
    /// Which distance.
    pub distance: Distance,
}

impl Default for Augmentation {
    fn default() -> Self {
        Augmentation {
            weight: 1.0,
            transforms: Transforms::rotations(),
            distance: Distance::default(),
        }
    }
}

impl Augmentation {
    pub(super) fn record(&self, tape: &mut Tape, scene: &mut Scene) -> Result<Var> {
        let truth = scene.truth(tape);
        let motion = scene.motion(tape, &self.transforms, truth.shape().n())?;
        let moved = motion.apply(tape, truth)?;
        let clean = scene.operator().forward(tape, moved)?;
        let y = scene.with_noise(tape, clean)?;
        let estimate = scene.reconstruct(tape, scene.operator(), y)?;
        self.distance.record(tape, estimate, moved)
    }
}
