//! Equivariant imaging, and its robust form.

use super::motion::Transforms;
use super::scene::{Scene, mean_square};
use crate::error::Result;
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};

/// `mean |f(A T_g x1) - T_g x1|^2` with `x1 = f(y)` (Chen, Tachella and Davies 2021; Chen et al.
/// 2023, eq. 19): what the network makes of a moved reconstruction, measured again, is the moved
/// reconstruction. With `noise` the second measurement is noisy like the first, the loss of robust
/// equivariant imaging (Chen, Tachella and Davies 2022, eq. 11).
///
/// Gradients flow through both calls of the network and through `T_g x1`. It needs a partner that
/// ties `f(y)` to the measurement: measurement consistency or SURE.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EquivariantImaging {
    /// What it is multiplied by in the sum.
    pub weight: f64,
    /// What the set of images is invariant under.
    pub transforms: Transforms,
    /// Transforms of each image in each step.
    pub draws: usize,
    /// The second measurement is noisy.
    pub noise: bool,
}

impl Default for EquivariantImaging {
    fn default() -> Self {
        EquivariantImaging {
            weight: 1.0,
            transforms: Transforms::rotations(),
            draws: 1,
            noise: false,
        }
    }
}

impl EquivariantImaging {
    pub(super) fn record(&self, tape: &mut Tape, scene: &mut Scene) -> Result<Var> {
        let x1 = scene.estimate(tape)?;
        let copies = match self.draws {
            1 => x1,
            draws => tape.concat(&vec![x1; draws], 0)?,
        };
        let motion = scene.motion(tape, &self.transforms, copies.shape().n())?;
        let x2 = motion.apply(tape, copies)?;
        let mut z = scene.operator().forward(tape, x2)?;
        if self.noise {
            z = scene.with_noise(tape, z)?;
        }
        let x3 = scene.reconstruct(tape, scene.operator(), z)?;
        mean_square(tape, x3, x2)
    }
}
