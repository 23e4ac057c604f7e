//! Benchmarks as plans, and the comparison with the twin that each must pass before it is timed.
//!
//! | file | holds |
//! | --- | --- |
//! | `compared` | the comparison, and choosing part of a result |
//! | `convolution`, `symmetric`, `ray`, `warp`, `fourier` | one kernel each |
//! | `network` | training steps and reconstructions |
//! | `variants` | the names under which a kernel can be asked for |

mod compared;
mod convolution;
mod fourier;
pub(super) mod network;
mod ray;
mod symmetric;
pub(super) mod variants;
mod warp;

use super::name::Benchmark;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::tape::plan::{Options, Plan, Store};
use network::{Recorded, Settings};

/// A benchmark ready to be timed.
pub(super) struct Case {
    pub plan: Plan,
    /// Which variants of its kernels it runs.
    pub variant: String,
    /// Floating-point operations of a replay if every convolution were an ordinary one.
    pub dense_flops: u64,
    /// Why it must not be timed, if the comparison with its twin failed.
    pub mismatch: Option<String>,
    /// Keeps the states of the plan.
    _store: Store,
}

impl Case {
    /// Compiles the benchmark and compares it with its twin.
    ///
    /// # Errors
    /// Those of compiling and running.
    pub fn new(gpu: &Gpu, benchmark: Benchmark, options: Options) -> Result<Self> {
        let store = Store::new(gpu);
        let mut dense_flops = None;
        let (plan, mismatch) = match benchmark {
            Benchmark::Convolution {
                pass,
                input,
                output,
                size,
            } => convolution::convolution(&store, pass, [input, output, size], options)?,
            Benchmark::Symmetric { pass, layer } => {
                let [_, kernel, output] = layer.expanded();
                let terms = output.elements() * kernel.elements() / kernel.n();
                dense_flops = Some(2 * terms as u64);
                symmetric::symmetric(&store, pass, layer, options)?
            }
            Benchmark::Ray { direction, rays } => ray::ray(&store, direction, rays, options)?,
            Benchmark::Warp { direction, size } => warp::warp(&store, direction, size, options)?,
            Benchmark::Fourier { rows, columns } => {
                fourier::fourier(&store, [rows, columns], options)?
            }
            Benchmark::Step(network) | Benchmark::Infer(network) => {
                let settings = Settings::named(matches!(benchmark, Benchmark::Step(_)));
                // The same kernels on few pixels: the twin of the whole would take minutes.
                let mismatch = network::mismatch(network, settings, &store, options)?;
                if network.group.order() > 1 {
                    dense_flops = Some(network::dense_flops(network, settings, &store)?);
                }
                let norm = network::norm(network, settings, &store)?;
                let whole = Recorded::new(network, settings, norm)?;
                let plan = whole.compile(&store, options)?;
                let mismatch = match mismatch {
                    None => whole.differs(&plan, gpu)?,
                    found => found,
                };
                (plan, mismatch)
            }
        };
        Ok(Case {
            dense_flops: dense_flops.unwrap_or(plan.work().flops),
            variant: variant(&plan),
            plan,
            mismatch,
            _store: store,
        })
    }
}

/// The names of the variants that a plan runs, in the order of their first use.
fn variant(plan: &Plan) -> String {
    let mut names: Vec<&str> = Vec::new();
    for chosen in plan.chosen() {
        if !names.contains(&chosen.variant.as_str()) {
            names.push(&chosen.variant);
        }
    }
    names.join(" + ")
}
