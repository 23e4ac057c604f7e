//! Paired comparison: two variants of one kernel, or two benchmarks, in turns.

use super::case::variants;
use super::entry::Entry;
use super::name::Benchmark;
use super::statistics::Spread;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::tape::plan::Options;
use crate::tune::median;
use serde::Serialize;

/// One side of a comparison.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Side {
    /// The benchmark.
    pub name: String,
    /// Which variant of the kernel ran.
    pub variant: String,
    /// The result agreed with the twin just before it was timed.
    pub verified: bool,
    /// How it disagreed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mismatch: Option<String>,
    /// Milliseconds of one replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median_ms: Option<f64>,
}

/// Two sides measured in turns. Without a match with their twins there are no times.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Comparison {
    /// The first.
    pub a: Side,
    /// The second.
    pub b: Side,
    /// The time of the first over that of the second, pair by pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Spread>,
    /// Each pair's ratio, in the order in which they were measured.
    pub pairs: Vec<f64>,
}

impl Comparison {
    /// Whether both sides agreed with their twins.
    pub fn verified(&self) -> bool {
        self.a.verified && self.b.verified
    }
}

/// Compares `a` with `b` in `pairs` pairs (at least one): two variants of `of`, by the names that
/// the measurements give them, or without `of` two benchmarks.
///
/// # Errors
/// [`Error::Config`] for names that there are not; those of compiling and running. A disagreement
/// with a twin is no error but stands in the result.
pub fn compare(
    gpu: &Gpu,
    [a, b]: [&str; 2],
    of: Option<Benchmark>,
    pairs: usize,
    mut progress: impl FnMut(&str),
) -> Result<Comparison> {
    let side = |name: &str| -> Result<(Benchmark, Options)> {
        match of {
            Some(of) => Ok((of, variants::named(gpu, of, name)?)),
            None => Ok((name.parse().map_err(unless_variant)?, Options::tuned())),
        }
    };
    // Both names are understood before any work.
    let sides = [side(a)?, side(b)?];
    let mut entries = Vec::with_capacity(2);
    for ((benchmark, options), name) in sides.iter().zip([a, b]) {
        progress(&format!("verifying {name}"));
        entries.push(Entry::new(gpu, *benchmark, *options)?);
    }
    let mut ratios = Vec::new();
    if let [first, second] = entries.as_mut_slice()
        && first.verified()
        && second.verified()
    {
        for pair in 0..pairs.max(1) {
            progress(&format!("pair {}", pair + 1));
            ratios.push(pair_ratio(gpu, first, second, pair)?);
        }
    }
    gpu.check_fault()?;
    let mut sides = entries.into_iter().map(|entry| Side {
        name: entry.benchmark.to_string(),
        variant: entry.case.variant.clone(),
        verified: entry.verified(),
        median_ms: median(&entry.samples),
        mismatch: entry.case.mismatch,
    });
    match (sides.next(), sides.next()) {
        (Some(a), Some(b)) => Ok(Comparison {
            a,
            b,
            ratio: Spread::of(&ratios),
            pairs: ratios,
        }),
        _ => unreachable!("there are two sides"),
    }
}

/// A sample of each; the first over the second. Which one goes first changes from pair to pair, so
/// that a drift of the machine's speed meets both alike.
pub(super) fn pair_ratio(
    gpu: &Gpu,
    first: &mut Entry,
    second: &mut Entry,
    pair: usize,
) -> Result<f64> {
    if pair == 0 {
        first.warm_up(gpu)?;
    }
    let [a, b] = if pair.is_multiple_of(2) {
        let a = first.sample(gpu)?;
        [a, second.sample(gpu)?]
    } else {
        let b = second.sample(gpu)?;
        [first.sample(gpu)?, b]
    };
    Ok(a / b)
}

fn unless_variant(error: Error) -> Error {
    Error::Config(format!(
        "{error}; to compare two variants of one benchmark, say which with --name"
    ))
}
