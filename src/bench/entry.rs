//! One benchmark under measurement.

use super::case::Case;
use super::name::Benchmark;
use super::{Ceiling, Measurement, NetworkCost, Timing, ceiling};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::kernels::Work;
use crate::tape::plan::Options;
use crate::tune::median;
use std::time::Instant;

/// Milliseconds that a sample takes at least: short replays are repeated in one submission.
const LONG_ENOUGH: f64 = 20.0;
/// Milliseconds above which a replay is submitted in the pieces that the plan cuts it into, as in
/// real use.
const SPLIT: f64 = 80.0;
/// Pairs from which the overhead of a replay is found in an ordinary run.
const PAIRS: usize = 3;

pub(super) struct Entry {
    pub benchmark: Benchmark,
    pub case: Case,
    /// Replays in one sample.
    repetitions: usize,
    /// Replays are submitted as in real use, in pieces.
    split: bool,
    /// Milliseconds of one replay.
    pub samples: Vec<f64>,
}

impl Entry {
    /// Prepares, and warms up if it may be timed.
    pub fn new(gpu: &Gpu, benchmark: Benchmark, options: Options) -> Result<Self> {
        let mut entry = Entry {
            benchmark,
            case: Case::new(gpu, benchmark, options)?,
            repetitions: 1,
            split: true,
            samples: Vec::new(),
        };
        if entry.verified() {
            entry.sample(gpu)?;
            let once = entry.sample(gpu)?;
            entry.samples.clear();
            entry.split = once > SPLIT;
            if !entry.split {
                entry.repetitions = (LONG_ENOUGH / once).ceil().clamp(1.0, 1000.0) as usize;
            }
        }
        Ok(entry)
    }

    /// The result agreed with the twin.
    pub fn verified(&self) -> bool {
        self.case.mismatch.is_none()
    }

    /// Brings the device to full speed.
    pub fn warm_up(&self, gpu: &Gpu) -> Result<()> {
        gpu.warm_up(|| self.encoded(gpu))
    }

    /// Takes a sample; milliseconds of one replay.
    pub fn sample(&mut self, gpu: &Gpu) -> Result<f64> {
        let milliseconds = if self.split {
            self.replay(gpu)?
        } else {
            self.encoded(gpu)?
        };
        self.samples.push(milliseconds);
        Ok(milliseconds)
    }

    /// Milliseconds of one replay when it is already encoded.
    fn encoded(&self, gpu: &Gpu) -> Result<f64> {
        let total = ceiling::time(gpu, |encoder| {
            (0..self.repetitions).for_each(|_| self.case.plan.encode(encoder));
        })?;
        Ok(total / self.repetitions as f64)
    }

    /// Milliseconds of one replay as in real use, encoding included.
    fn replay(&self, gpu: &Gpu) -> Result<f64> {
        gpu.wait()?;
        let start = Instant::now();
        self.case.plan.submit();
        gpu.wait()?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    }

    /// The measurement, from the samples so far.
    pub fn finish(self, gpu: &Gpu, ceiling: Ceiling) -> Result<Measurement> {
        let network = match self.benchmark {
            Benchmark::Step(_) | Benchmark::Infer(_) => Some(self.cost(gpu)?),
            _ => None,
        };
        Ok(Measurement {
            name: self.benchmark.to_string(),
            variant: self.case.variant.clone(),
            verified: self.verified(),
            timing: self.timing(ceiling),
            mismatch: self.case.mismatch,
            network,
        })
    }

    /// Times and rates of the samples so far.
    pub fn timing(&self, ceiling: Ceiling) -> Option<Timing> {
        let work = self.case.plan.work();
        Timing::of(&self.samples, work, self.case.dense_flops, ceiling)
    }

    fn cost(&self, gpu: &Gpu) -> Result<NetworkCost> {
        let pairs = match self.verified() {
            true => self.overheads(gpu, PAIRS)?,
            false => Vec::new(),
        };
        Ok(NetworkCost {
            peak_bytes: self.case.plan.memory().total(),
            dispatches: self.case.plan.dispatches(),
            replay_overhead: median(&pairs),
        })
    }

    /// The time of a replay beyond that of its dispatches already encoded, relative to the latter:
    /// once for each of `pairs` neighbouring measurements, the first of a pair in turns.
    pub fn overheads(&self, gpu: &Gpu, pairs: usize) -> Result<Vec<f64>> {
        (0..pairs)
            .map(|pair| {
                let (kernels, replay) = if pair % 2 == 0 {
                    let kernels = self.encoded(gpu)?;
                    (kernels, self.replay(gpu)?)
                } else {
                    let replay = self.replay(gpu)?;
                    (self.encoded(gpu)?, replay)
                };
                Ok((replay - kernels) / kernels)
            })
            .collect()
    }
}

impl Timing {
    /// Of `samples` in milliseconds; `None` without samples.
    pub(super) fn of(
        samples: &[f64],
        work: Work,
        dense_flops: u64,
        ceiling: Ceiling,
    ) -> Option<Timing> {
        let median_ms = median(samples)?;
        Some(Timing {
            median_ms,
            min_ms: samples.iter().copied().fold(f64::INFINITY, f64::min),
            max_ms: samples.iter().copied().fold(0.0, f64::max),
            rates: ceiling.rates(work, median_ms),
            dense_equivalent_gflops: dense_flops as f64 / median_ms / 1e6,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roofline_takes_the_tighter_ceiling() {
        let ceiling = Ceiling {
            fma_gflops: 100.0,
            copy_gbytes: 10.0,
            gather_gnumbers: 1.0,
        };
        // 1 ms: 50 GFLOP/s is half of one ceiling, 1 GB/s a tenth of the next, 0.2 G/s a fifth of the
        // last.
        let work = Work {
            flops: 50_000_000,
            bytes: 1_000_000,
            gathers: 200_000,
        };
        let t = Timing::of(&[3.0, 1.0, 0.5], work, 100_000_000, ceiling).unwrap();
        assert_eq!((t.median_ms, t.min_ms, t.max_ms), (1.0, 0.5, 3.0));
        assert!((t.rates.fraction - 0.5).abs() < 1e-12, "{t:?}");
        let gathering = Work {
            gathers: 700_000,
            ..work
        };
        let other = Timing::of(&[1.0], gathering, 1, ceiling).unwrap();
        assert!((other.rates.fraction - 0.7).abs() < 1e-12, "{other:?}");
        assert!((t.dense_equivalent_gflops - 100.0).abs() < 1e-9, "{t:?}");
        assert_eq!(Timing::of(&[], work, 1, ceiling), None);
    }
}
