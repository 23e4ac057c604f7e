//! The ray transform of computed tomography.

use super::{Filter, LinearOperator, fbp};
use crate::error::Result;
use crate::shape::{RayGeometry, Shape};
use crate::tape::{Tape, Var};
use std::sync::Arc;

/// The ray transform of parallel or fan beams by Joseph's or Siddon's method, lengths in metres.
#[derive(Clone, Debug)]
pub struct RayTransform {
    geometry: Arc<RayGeometry>,
}

impl RayTransform {
    /// The transform of this geometry.
    pub fn new(geometry: RayGeometry) -> Self {
        RayTransform {
            geometry: Arc::new(geometry),
        }
    }

    /// The geometry.
    pub fn geometry(&self) -> &RayGeometry {
        &self.geometry
    }

    /// The geometry as the tape's operations hold it.
    pub fn shared_geometry(&self) -> &Arc<RayGeometry> {
        &self.geometry
    }
}

impl LinearOperator for RayTransform {
    fn name(&self) -> &'static str {
        "ray_transform"
    }

    fn domain(&self) -> Shape {
        self.geometry.image(1)
    }

    fn range(&self) -> Shape {
        self.geometry.sinogram(1)
    }

    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        tape.ray_forward(x, &self.geometry)
    }

    fn adjoint(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        tape.ray_adjoint(y, &self.geometry)
    }

    fn pseudo_inverse(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        fbp(tape, y, self, Filter::RamLak)
    }

    fn closed_views(&self) -> bool {
        self.geometry.closed()
    }

    /// The sum over fewer views, or rays, is smaller.
    fn partial_pseudo_inverse(&self, tape: &mut Tape, y: Var, share: f64) -> Result<Var> {
        let x = self.pseudo_inverse(tape, y)?;
        Ok(tape.scale(x, (1.0 / share) as f32))
    }

    fn pseudo_inverse_name(&self) -> &'static str {
        "fbp"
    }
}
