//! Benchmarks: time, throughput, and the fraction of what the adapter could reach.
//!
//! Nothing is timed that did not just pass its comparison with its f64 twin. The samples of a
//! family's benchmarks are taken in turns, so that a change of the machine's load meets all alike.

mod case;
mod ceiling;
mod name;
mod profile;

pub use name::{Benchmark, Direction, Network, Pass};
pub use profile::{KernelTime, StepProfile, profile};

use crate::error::Result;
use crate::gpu::Gpu;
use crate::tune::median;
use case::Case;
use serde::Serialize;
use std::time::Instant;

/// What the adapter could reach, measured in the same run.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Ceiling {
    /// Multiply-adds in registers, 2 operations each, in 1e9 operations a second.
    pub fma_gflops: f64,
    /// Copies between buffers, bytes read and bytes written, in 1e9 bytes a second.
    pub copy_gbytes: f64,
}

impl Ceiling {
    /// 1e9 operations and 1e9 bytes a second of work that took `milliseconds`, and the fraction of
    /// the roofline: its time (the larger one of operations and bytes at their ceilings) over that.
    fn rates(self, flops: u64, bytes: u64, milliseconds: f64) -> (f64, f64, f64) {
        let [gflops, gbytes] = [flops, bytes].map(|work| work as f64 / milliseconds / 1e6);
        let fraction = (gflops / self.fma_gflops).max(gbytes / self.copy_gbytes);
        (gflops, gbytes, fraction)
    }
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
    /// 1e9 floating-point operations a second, as executed.
    pub gflops: f64,
    /// 1e9 operations a second of an ordinary convolution with the same result.
    pub dense_equivalent_gflops: f64,
    /// 1e9 bytes a second that must move at least.
    pub gbytes: f64,
    /// The roofline's time (the larger one of operations and bytes at their ceilings) over the
    /// median.
    pub fraction: f64,
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

/// Milliseconds that a sample takes at least: short replays are repeated in one submission.
const LONG_ENOUGH: f64 = 20.0;
/// Milliseconds above which a replay is submitted in the pieces that the plan cuts it into, as in
/// real use.
const SPLIT: f64 = 80.0;

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
            entries.push(Entry::new(gpu, benchmark)?);
        }
        for _ in 0..samples.max(1) {
            for entry in entries.iter_mut().filter(|e| e.case.mismatch.is_none()) {
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

struct Entry {
    benchmark: Benchmark,
    case: Case,
    /// Replays in one sample.
    repetitions: usize,
    /// Replays are submitted as in real use, in pieces.
    split: bool,
    samples: Vec<f64>,
}

impl Entry {
    /// Prepares, and warms up if it may be timed.
    fn new(gpu: &Gpu, benchmark: Benchmark) -> Result<Self> {
        let mut entry = Entry {
            benchmark,
            case: Case::new(gpu, benchmark)?,
            repetitions: 1,
            split: true,
            samples: Vec::new(),
        };
        if entry.case.mismatch.is_none() {
            entry.sample(gpu)?;
            entry.sample(gpu)?;
            let once = entry.samples.pop().unwrap_or(LONG_ENOUGH);
            entry.samples.clear();
            entry.split = once > SPLIT;
            if !entry.split {
                entry.repetitions = (LONG_ENOUGH / once).ceil().clamp(1.0, 1000.0) as usize;
            }
        }
        Ok(entry)
    }

    fn sample(&mut self, gpu: &Gpu) -> Result<()> {
        let milliseconds = if self.split {
            replay(gpu, &self.case)?
        } else {
            self.encoded(gpu)?
        };
        self.samples.push(milliseconds);
        Ok(())
    }

    /// Milliseconds of one replay when it is already encoded.
    fn encoded(&self, gpu: &Gpu) -> Result<f64> {
        let total = ceiling::time(gpu, |encoder| {
            (0..self.repetitions).for_each(|_| self.case.plan.encode(encoder));
        })?;
        Ok(total / self.repetitions as f64)
    }

    fn finish(self, gpu: &Gpu, ceiling: Ceiling) -> Result<Measurement> {
        let network = match self.benchmark {
            Benchmark::Step(_) | Benchmark::Infer(_) => Some(self.cost(gpu)?),
            _ => None,
        };
        Ok(Measurement {
            name: self.benchmark.to_string(),
            variant: self.case.variant.clone(),
            verified: self.case.mismatch.is_none(),
            timing: timing(&self.samples, self.case.plan.work(), ceiling),
            mismatch: self.case.mismatch,
            network,
        })
    }

    fn cost(&self, gpu: &Gpu) -> Result<NetworkCost> {
        const PAIRS: usize = 3;
        let mut pairs = Vec::new();
        if self.case.mismatch.is_none() {
            for _ in 0..PAIRS {
                pairs.push((self.encoded(gpu)?, replay(gpu, &self.case)?));
            }
        }
        let kernels = median(&pairs.iter().map(|p| p.0).collect::<Vec<_>>());
        let replays = median(&pairs.iter().map(|p| p.1).collect::<Vec<_>>());
        let overhead = |(replay, kernel): (f64, f64)| (replay - kernel) / kernel;
        Ok(NetworkCost {
            peak_bytes: self.case.plan.memory().total(),
            dispatches: self.case.plan.dispatches(),
            replay_overhead: replays.zip(kernels).map(overhead),
        })
    }
}

/// Milliseconds of one replay as in real use, encoding included.
fn replay(gpu: &Gpu, case: &Case) -> Result<f64> {
    gpu.wait()?;
    let start = Instant::now();
    case.plan.submit();
    gpu.wait()?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

fn timing(samples: &[f64], (flops, bytes): (u64, u64), ceiling: Ceiling) -> Option<Timing> {
    let median_ms = median(samples)?;
    let (gflops, gbytes, fraction) = ceiling.rates(flops, bytes, median_ms);
    Some(Timing {
        median_ms,
        min_ms: samples.iter().copied().fold(f64::INFINITY, f64::min),
        max_ms: samples.iter().copied().fold(0.0, f64::max),
        gflops,
        // Every convolution that runs today is the ordinary one.
        dense_equivalent_gflops: gflops,
        gbytes,
        fraction,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roofline_takes_the_tighter_ceiling() {
        let ceiling = Ceiling {
            fma_gflops: 100.0,
            copy_gbytes: 10.0,
        };
        // 1 ms: 50 GFLOP/s is half of one ceiling, 1 GB/s a tenth of the other.
        let t = timing(&[3.0, 1.0, 0.5], (50_000_000, 1_000_000), ceiling).unwrap();
        assert_eq!((t.median_ms, t.min_ms, t.max_ms), (1.0, 0.5, 3.0));
        assert!((t.fraction - 0.5).abs() < 1e-12, "{t:?}");
        assert_eq!(timing(&[], (1, 1), ceiling), None);
    }

    #[test]
    fn the_json_has_the_documented_names() {
        let timing = timing(&[1.0], (1, 1), Ceiling::default());
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
