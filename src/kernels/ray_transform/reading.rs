//! How the ray kernels read their source, and the problems that this is chosen for.

use super::{adjoint, backproject, backproject_transpose, forward};
use crate::kernels::family::rounded;
use crate::kernels::{Capabilities, Family, Forced, Lowered};
use crate::shape::{Beam, Detector, Projector, RayGeometry, Shape};
use std::fmt;
use std::sync::Arc;

/// How the kernels read images and sinograms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// From a storage buffer.
    Storage,
    /// From uniform bindings of at most `limit` elements (a multiple of 64), a dispatch for each;
    /// where not even one row or view fits, from storage. A thread works on four pixels, which
    /// share the load of a view, or on four lines of its ray, which share a loop's turn.
    Uniform {
        /// Elements.
        limit: usize,
    },
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reading::Storage => f.write_str("storage"),
            Reading::Uniform { limit } => write!(f, "uniform {limit}"),
        }
    }
}

/// One of the four maps between images and sinograms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RayMap {
    /// The ray transform.
    Forward,
    /// Its transpose.
    Adjoint,
    /// Back-projection by interpolation between bins.
    Backproject,
    /// Its transpose.
    BackprojectTranspose,
}

/// A map on a geometry, for a batch.
#[derive(Clone, PartialEq, Debug)]
pub struct RayProblem {
    /// Which map.
    pub map: RayMap,
    /// The geometry.
    pub geometry: Arc<RayGeometry>,
    /// Images or sinograms.
    pub n: usize,
}

impl RayProblem {
    /// Shapes of the source and of the result.
    fn shapes(&self) -> (Shape, Shape) {
        let (image, sinogram) = (self.geometry.image(self.n), self.geometry.sinogram(self.n));
        match self.map {
            RayMap::Forward | RayMap::BackprojectTranspose => (image, sinogram),
            RayMap::Adjoint | RayMap::Backproject => (sinogram, image),
        }
    }
}

impl fmt::Display for RayProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let map = match self.map {
            RayMap::Forward => "forward",
            RayMap::Adjoint => "adjoint",
            RayMap::Backproject => "backproject",
            RayMap::BackprojectTranspose => "backproject transpose",
        };
        let geometry = &self.geometry;
        write!(
            f,
            "{map} {} views of {} bins of {:.3} pixels on {}x{}x{}",
            geometry.angles.len(),
            geometry.bins,
            geometry.ray_spacing() / geometry.pixel[1],
            self.n,
            geometry.rows,
            geometry.columns
        )?;
        match geometry.beam {
            Beam::Parallel => {}
            Beam::Fan(fan) => match fan.detector {
                Detector::Flat => f.write_str(", flat fan")?,
                Detector::Curved => f.write_str(", curved fan")?,
            },
        }
        match geometry.projector {
            Projector::Joseph => Ok(()),
            Projector::Siddon => f.write_str(", siddon"),
        }
    }
}

impl Family for Reading {
    type Problem = RayProblem;

    const NAME: &'static str = "ray transform";

    /// On a processor a load from a storage buffer is a loop over the lanes and costs ten times one
    /// from a uniform buffer, of which WebGPU grants 64 KiB.
    fn default_for(capabilities: Capabilities, _: &RayProblem) -> Self {
        match capabilities.software {
            true => Reading::Uniform { limit: 16_384 },
            false => Reading::Storage,
        }
    }

    fn alternatives(_: Capabilities, _: &RayProblem) -> Vec<Self> {
        vec![
            Reading::Storage,
            Reading::Uniform { limit: 16_384 },
            Reading::Uniform { limit: 4096 },
        ]
    }

    fn forced(forced: &Forced) -> Option<Self> {
        forced.reading
    }

    fn force(self, forced: &mut Forced) {
        forced.reading = Some(self);
    }

    fn lower(self, problem: &RayProblem) -> Lowered {
        let kernel = match problem.map {
            RayMap::Forward => forward,
            RayMap::Adjoint => adjoint,
            RayMap::Backproject => backproject,
            RayMap::BackprojectTranspose => backproject_transpose,
        };
        kernel(&problem.geometry, problem.n, self)
    }

    /// The views and bins stay as they are: few scanners meet in one program. Pixels shrink, so that
    /// a larger image does not reach a fan's source.
    fn representative(problem: &RayProblem) -> RayProblem {
        let own = problem.geometry.as_ref();
        let (rows, columns) = (rounded(own.rows), rounded(own.columns));
        let pixel = match own.beam {
            Beam::Parallel => own.pixel,
            Beam::Fan(_) => [
                own.pixel[0] * own.rows as f64 / rows as f64,
                own.pixel[1] * own.columns as f64 / columns as f64,
            ],
        };
        let geometry = RayGeometry {
            rows,
            columns,
            pixel,
            ..own.clone()
        };
        RayProblem {
            map: problem.map,
            geometry: Arc::new(geometry),
            n: problem.n.next_power_of_two(),
        }
    }

    fn inputs(problem: &RayProblem) -> Vec<Shape> {
        vec![problem.shapes().0]
    }

    fn output(problem: &RayProblem) -> Shape {
        problem.shapes().1
    }
}
