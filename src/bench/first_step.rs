//! What a fresh process pays before its first training step is done, and the memory of steps.

use super::case::network::{self, Recorded, Settings};
use super::name::Network;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::tape::plan::{Options, Store};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// The first training step of a process.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct FirstStep {
    /// Seconds from the open device to the loss of the first step: the operator's norm, compiling,
    /// running.
    pub seconds: f64,
    /// Seconds of a step after it.
    pub next_seconds: f64,
    /// Bytes that the plan takes.
    pub plan_bytes: u64,
    /// Highest resident memory of the process after two steps, in bytes, where the system tells
    /// it; with an adapter that runs on the processor this holds the plan's buffers.
    #[serde(default)]
    pub peak_rss: Option<u64>,
    /// The same before the first buffer was made.
    #[serde(default)]
    pub base_rss: Option<u64>,
}

/// Records, compiles and runs the step `step/ct/...` of `network` on a device that has done nothing
/// yet. Nothing is compared with a twin: what counts is the time from a cold start.
///
/// # Errors
/// Those of compiling and running; [`Error::NotFinite`] if the loss is no number.
pub fn first_step(gpu: &Gpu, network: Network) -> Result<FirstStep> {
    let base_rss = peak_rss();
    let start = Instant::now();
    let store = Store::new(gpu);
    let settings = Settings::named(true);
    let norm = network::norm(network, settings, &store)?;
    let recorded = Recorded::new(network, settings, norm)?;
    let plan = recorded.compile(&store, Options::tuned())?;
    let step = || -> Result<()> {
        plan.submit();
        let loss = recorded.first_output(&plan)?;
        match loss.first() {
            Some(loss) if loss.is_finite() => Ok(()),
            _ => Err(Error::NotFinite(format!(
                "the loss of the first step is {loss:?}"
            ))),
        }
    };
    step()?;
    let seconds = start.elapsed().as_secs_f64();
    let next = Instant::now();
    step()?;
    Ok(FirstStep {
        seconds,
        next_seconds: next.elapsed().as_secs_f64(),
        plan_bytes: plan.memory().total(),
        peak_rss: peak_rss(),
        base_rss,
    })
}

/// Highest resident memory of this process so far, in bytes, as Linux tells it.
fn peak_rss() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes << 10)
}
