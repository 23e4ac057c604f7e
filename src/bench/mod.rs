//! Benchmarks: time, throughput, and the fraction of what the adapter could reach.
//!
//! Nothing is timed that did not just pass its comparison with its f64 twin. The samples of a
//! family's benchmarks are taken in turns, so that a change of the machine's load meets all alike.

mod case;
mod ceiling;
mod compare;
mod entry;
mod first_step;
mod name;
pub mod peers;
mod profile;
mod scaling;
mod statistics;
pub mod table;

pub use compare::{Comparison, Side, compare};
pub use first_step::{FirstStep, first_step};
pub use name::{Benchmark, Direction, Network, Pass, Rays, Scan, SymmetricConvolution};
pub use profile::{KernelTime, StepProfile, profile};
pub use scaling::{Axis, Point, Scaling, scaling};
pub use statistics::Spread;

use crate::error::Result;
use crate::gpu::Gpu;
use crate::kernels::Work;
use crate::tape::plan::Options;
use entry::Entry;
use serde::Serialize;
use std::fmt;

/// What the adapter could reach, measured in the same run.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Ceiling {
    /// Multiply-adds in registers, 2 operations each, in 1e9 operations a second.
    pub fma_gflops: f64,
    /// Copies between buffers, bytes read and bytes written, in 1e9 bytes a second.
    pub copy_gbytes: f64,
    /// Single numbers read from places of the threads' own, out of a cache, in 1e9 numbers a second.
    pub gather_gnumbers: f64,
}

impl Ceiling {
    /// The rates of work that took `milliseconds`.
    fn rates(self, work: Work, milliseconds: f64) -> Rates {
        let rate = |amount: u64| amount as f64 / milliseconds / 1e6;
        let (gflops, gbytes) = (rate(work.flops), rate(work.bytes));
        let gathered_gnumbers = rate(work.gathers);
        let fraction = (gflops / self.fma_gflops)
            .max(gbytes / self.copy_gbytes)
            .max(gathered_gnumbers / self.gather_gnumbers);
        Rates {
            gflops,
            gbytes,
            gathered_gnumbers,
            fraction,
        }
    }
}

impl fmt::Display for Ceiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ceiling: {:.1} GFLOP/s multiply-add, {:.1} GB/s copy, {:.2} G/s gathered numbers",
            self.fma_gflops, self.copy_gbytes, self.gather_gnumbers
        )
    }
}

/// How fast work was done.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Rates {
    /// 1e9 floating-point operations a second, as executed.
    pub gflops: f64,
    /// 1e9 bytes a second that must move at least.
    pub gbytes: f64,
    /// 1e9 gathered numbers a second.
    pub gathered_gnumbers: f64,
    /// The roofline's time (the largest one of operations, bytes and gathered numbers at their
    /// ceilings) over the measured one.
    pub fraction: f64,
}

/// The result of one benchmark. Without a match with the twin there are no times.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Measurement {
    /// The benchmark.
    pub name: String,
    /// Which variant of the kernel ran.
    pub variant: String,
    /// The result agreed with the twin just before it was timed.
    pub verified: bool,
    /// How it disagreed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mismatch: Option<String>,
    /// Times and rates.
    #[serde(flatten)]
    pub timing: Option<Timing>,
    /// What whole networks tell beside.
    #[serde(flatten)]
    pub network: Option<NetworkCost>,
}

/// Times of one replay, and rates at the median.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Timing {
    /// Milliseconds.
    pub median_ms: f64,
    /// Milliseconds.
    pub min_ms: f64,
    /// Milliseconds.
    pub max_ms: f64,
    /// At the median.
    #[serde(flatten)]
    pub rates: Rates,
    /// 1e9 operations a second of an ordinary convolution with the same result.
    pub dense_equivalent_gflops: f64,
}

/// Memory and overhead of a replay.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct NetworkCost {
    /// Bytes that the plan takes, states included.
    pub peak_bytes: u64,
    /// Dispatches of a replay.
    pub dispatches: usize,
    /// The time of a replay beyond that of its dispatches already encoded, relative to the latter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_overhead: Option<f64>,
}

/// Ceiling and measurements.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// What the adapter could reach.
    pub ceiling: Ceiling,
    /// In the order in which they were asked for, by family.
    pub results: Vec<Measurement>,
}

impl Report {
    /// Whether all results agreed with their twins.
    pub fn verified(&self) -> bool {
        self.results.iter().all(|r| r.verified)
    }
}

/// Measures `benchmarks` with `samples` samples each (at least one), telling `progress` what comes
/// next.
///
/// # Errors
/// Those of compiling and running. A disagreement with a twin is no error but stands in the report.
pub fn run(
    gpu: &Gpu,
    benchmarks: &[Benchmark],
    samples: usize,
    mut progress: impl FnMut(&str),
) -> Result<Report> {
    progress("ceiling");
    let ceiling = ceiling::measure(gpu, samples)?;
    let mut results = Vec::with_capacity(benchmarks.len());
    let mut families: Vec<&str> = Vec::new();
    for family in benchmarks.iter().map(|b| b.family()) {
        if !families.contains(&family) {
            families.push(family);
        }
    }
    for family in families {
        let mut entries = Vec::new();
        for &benchmark in benchmarks.iter().filter(|b| b.family() == family) {
            progress(&format!("verifying {benchmark}"));
            entries.push(Entry::new(gpu, benchmark, Options::tuned())?);
        }
        if let Some(entry) = entries.iter().find(|e| e.verified()) {
            entry.warm_up(gpu)?;
        }
        for _ in 0..samples.max(1) {
            for entry in entries.iter_mut().filter(|e| e.verified()) {
                progress(&entry.benchmark.to_string());
                entry.sample(gpu)?;
            }
        }
        for entry in entries {
            results.push(entry.finish(gpu, ceiling)?);
        }
    }
    gpu.check_fault()?;
    Ok(Report { ceiling, results })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_the_documented_names() {
        let timing = Timing::of(&[1.0], Work::default(), 1, Ceiling::default());
        let measurement = Measurement {
            name: "ray/forward/128-50".into(),
            variant: String::new(),
            verified: true,
            mismatch: None,
            timing,
            network: None,
        };
        let json = serde_json::to_value(measurement).unwrap();
        for key in [
            "name",
            "variant",
            "verified",
            "median_ms",
            "min_ms",
            "max_ms",
            "gflops",
            "dense_equivalent_gflops",
            "gbytes",
            "fraction",
        ] {
            assert!(json.get(key).is_some(), "{key}");
        }
    }
}
