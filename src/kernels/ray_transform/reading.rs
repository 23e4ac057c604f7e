//! How the ray kernels read their source, and the problems that this is chosen for.

use super::{adjoint, backproject, backproject_transpose, forward};
use crate::kernels::family::rounded;
use crate::kernels::{Capabilities, FILLING, Family, Forced, Lowered};
use crate::shape::{Beam, Detector, Projector, RayGeometry, Shape};
use std::fmt;
use std::sync::Arc;

/// How the kernels read images and sinograms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// From a storage buffer.
    Storage,
    /// From a storage buffer by several threads for each result, which share its lines or views and
    /// add up what they have found through workgroup memory. Of a ray, each works on four lines at
    /// once, whose loads are under way together.
    Shared {
        /// For each result: 2, 4, 8 or 16.
        threads: usize,
    },
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
            Reading::Shared { threads } => write!(f, "storage by {threads}"),
            Reading::Uniform { limit } => write!(f, "uniform {limit}"),
        }
    }
}

/// The most threads that share a result.
const MOST_SHARES: usize = 16;

/// Results next to each other in a workgroup whose threads share them, where it has room: as many as
/// the lanes that read together on most hardware.
const NEIGHBOURS: usize = 32;

/// Threads that every WebGPU adapter grants a workgroup.
const MOST_THREADS: usize = 256;

impl Reading {
    /// Threads of a workgroup, and of each result.
    pub(super) fn workgroup(self) -> [usize; 2] {
        match self {
            Reading::Storage | Reading::Uniform { .. } => [64, 1],
            Reading::Shared { threads } => {
                let shares = 1 << threads.clamp(1, MOST_SHARES).ilog2();
                [(NEIGHBOURS * shares).min(MOST_THREADS), shares]
            }
        }
    }

    /// From storage, by as many threads to a result as fill a processor with results and find
    /// something to do.
    fn filling(problem: &RayProblem) -> Self {
        let (results, turns) = (problem.shapes().1.elements(), problem.turns());
        let mut threads = 1;
        while threads < MOST_SHARES && results * threads < FILLING && 2 * threads <= turns {
            threads *= 2;
        }
        match threads {
            1 => Reading::Storage,
            _ => Reading::Shared { threads },
        }
    }
}

/// Whether kernels that share results are worth trying: a sum of four lanes for each thread.
fn has_shares(capabilities: Capabilities) -> bool {
    capabilities.has_memory(16 * MOST_THREADS as u32)
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

    /// What the threads of a result can share: views, or fours of lines.
    fn turns(&self) -> usize {
        let geometry = &self.geometry;
        match self.map {
            RayMap::Forward | RayMap::BackprojectTranspose => {
                geometry.rows.min(geometry.columns).div_ceil(4)
            }
            RayMap::Adjoint | RayMap::Backproject => geometry.angles.len(),
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
    /// from a uniform buffer, of which WebGPU grants 64 KiB. Hardware waits long for a load, and needs
    /// many threads to do something else meanwhile.
    fn default_for(capabilities: Capabilities, problem: &RayProblem) -> Self {
        match capabilities.software {
            true => Reading::Uniform { limit: 16_384 },
            false if has_shares(capabilities) => Reading::filling(problem),
            false => Reading::Storage,
        }
    }

    fn alternatives(capabilities: Capabilities, _: &RayProblem) -> Vec<Self> {
        let mut readings = vec![
            Reading::Storage,
            Reading::Uniform { limit: 16_384 },
            Reading::Uniform { limit: 4096 },
        ];
        if has_shares(capabilities) {
            readings.extend([2, 4, 8, 16].map(|threads| Reading::Shared { threads }));
        }
        readings
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

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(map: RayMap, size: usize, views: usize, n: usize) -> RayProblem {
        let bins = (size * 1414).div_ceil(1000) + 1;
        let geometry = RayGeometry::parallel([size, size], 0.36, views, bins);
        RayProblem {
            map,
            geometry: Arc::new(geometry),
            n,
        }
    }

    #[test]
    fn few_results_are_shared_on_hardware_alone() {
        let hardware = Capabilities::default();
        for (map, size, views, n, expected) in [
            (RayMap::Forward, 128, 50, 1, "storage by 16"),
            (RayMap::BackprojectTranspose, 512, 50, 1, "storage by 4"),
            (RayMap::Forward, 128, 50, 16, "storage"),
            (RayMap::Adjoint, 128, 50, 1, "storage by 8"),
            (RayMap::Backproject, 512, 50, 1, "storage"),
            // As many threads as there are views, or fours of lines.
            (RayMap::Adjoint, 64, 5, 1, "storage by 4"),
            (RayMap::Adjoint, 64, 1, 1, "storage"),
            (RayMap::Forward, 32, 50, 1, "storage by 8"),
        ] {
            let problem = problem(map, size, views, n);
            let default = Reading::default_for(hardware, &problem);
            assert_eq!(default.to_string(), expected, "{problem}");
            for other in [
                Capabilities {
                    software: true,
                    ..hardware
                },
                Capabilities {
                    memory: 2 << 10,
                    ..hardware
                },
            ] {
                let candidates = Reading::candidates(other, &problem).into_iter();
                let shared = |reading| matches!(reading, Reading::Shared { .. });
                assert!(!candidates.into_iter().any(shared), "{other:?}: {problem}");
            }
        }
    }

    #[test]
    fn workgroups_hold_whole_results_within_the_limits() {
        for threads in 0..40 {
            let [all, shares] = Reading::Shared { threads }.workgroup();
            assert!((32..=MOST_THREADS).contains(&all) && all.is_multiple_of(shares));
            assert!(shares.is_power_of_two() && shares <= MOST_SHARES);
        }
    }
}
