//! Where the time of a training step goes, kernel by kernel.

use super::{Ceiling, Rates, ceiling};
use crate::error::Result;
use crate::kernels::Work;
use crate::tape::plan::{Clock, Profile};
use crate::train::Trainer;
use serde::Serialize;

/// One training step by kernel, with what the adapter could reach in the same run.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct StepProfile {
    /// What the adapter could reach.
    pub ceiling: Ceiling,
    /// How dispatches were timed.
    pub clock: Clock,
    /// Milliseconds of a whole step as in training: upload, encoding and all dispatches.
    pub step_ms: f64,
    /// Milliseconds of the dispatches together, each by itself.
    pub kernels_ms: f64,
    /// Dispatches in a step, and copies into textures before them.
    pub dispatches: usize,
    /// Bytes that the step takes, states included.
    pub peak_bytes: u64,
    /// By kernel and operation, the longest first.
    pub kernels: Vec<KernelTime>,
}

/// What the dispatches of one kernel for one kind of operation take together.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct KernelTime {
    /// The kernel's file.
    pub kernel: String,
    /// The operation that it computes, or helps to compute.
    pub operation: String,
    /// How many.
    pub dispatches: usize,
    /// Milliseconds.
    pub milliseconds: f64,
    /// How fast; zeros where the clock is too coarse to see them.
    #[serde(flatten)]
    pub rates: Rates,
    /// What they have to do.
    #[serde(flatten)]
    pub work: Work,
}

/// Profiles one step of `trainer`, each time the least of `samples` (at least one). The trainer
/// ends in the state in which it began.
///
/// # Errors
/// Those of [`Trainer::profile`]; [`Error::Device`](crate::error::Error::Device) if the adapter
/// does not compute rightly.
pub fn profile(trainer: &mut Trainer, samples: usize) -> Result<StepProfile> {
    let ceiling = ceiling::measure(trainer.gpu(), samples)?;
    let (step_ms, profile) = trainer.profile(samples)?;
    Ok(StepProfile {
        ceiling,
        clock: profile.clock,
        step_ms,
        kernels_ms: profile.timings.iter().map(|t| t.milliseconds).sum(),
        dispatches: profile.timings.len(),
        peak_bytes: trainer.memory().total(),
        kernels: group(&profile, ceiling),
    })
}

fn group(profile: &Profile, ceiling: Ceiling) -> Vec<KernelTime> {
    let mut kernels: Vec<KernelTime> = Vec::new();
    for t in &profile.timings {
        let known =
            (kernels.iter()).position(|k| k.kernel == t.kernel && k.operation == t.operation);
        let at = known.unwrap_or_else(|| {
            kernels.push(KernelTime {
                kernel: t.kernel.into(),
                operation: t.operation.into(),
                dispatches: 0,
                milliseconds: 0.0,
                rates: Rates::default(),
                work: Work::default(),
            });
            kernels.len() - 1
        });
        let kernel = &mut kernels[at];
        kernel.dispatches += 1;
        kernel.milliseconds += t.milliseconds;
        kernel.work = kernel.work + t.work;
    }
    for kernel in &mut kernels {
        // A clock may be too coarse to see a kernel at all.
        if kernel.milliseconds > 0.0 {
            kernel.rates = ceiling.rates(kernel.work, kernel.milliseconds);
        }
    }
    kernels.sort_by(|a, b| b.milliseconds.total_cmp(&a.milliseconds));
    kernels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Shape;
    use crate::tape::plan::Timing;

    #[test]
    fn kernels_are_grouped_by_file_and_operation_and_sorted() {
        let timing = |kernel, operation, milliseconds| Timing {
            kernel,
            operation,
            shape: Shape::SCALAR,
            milliseconds,
            work: Work {
                flops: 1_000_000,
                bytes: 1000,
                gathers: 0,
            },
        };
        let profile = Profile {
            clock: Clock::WallClock,
            timings: vec![
                timing("a.wgsl", "sum", 1.0),
                timing("b.wgsl", "sum", 3.0),
                timing("a.wgsl", "sum", 1.0),
                timing("a.wgsl", "add", 0.0),
            ],
        };
        let ceiling = Ceiling {
            fma_gflops: 2.0,
            copy_gbytes: 1.0,
            gather_gnumbers: 1.0,
        };
        let kernels = group(&profile, ceiling);
        let short: Vec<_> = (kernels.iter())
            .map(|k| (k.kernel.as_str(), k.operation.as_str(), k.dispatches))
            .collect();
        let expected = [
            ("b.wgsl", "sum", 1),
            ("a.wgsl", "sum", 2),
            ("a.wgsl", "add", 1),
        ];
        assert_eq!(short, expected);
        // 2e6 operations in 2 ms are 1 of 2 GFLOP/s.
        let rates = kernels[1].rates;
        assert_eq!((rates.gflops, rates.fraction), (1.0, 0.5));
        assert_eq!(kernels[2].rates, Rates::default());
    }
}
