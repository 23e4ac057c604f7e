//! Which of a family's kernels is the fastest on this device.
//!
//! | file | holds |
//! | --- | --- |
//! | `subject` | a problem with its candidates, and the key that it is known by |
//! | `measure` | candidates on the device: compared with the default, then timed |
//! | `race` | the order of the timings, and who has won |
//! | `records` | what was measured, in one JSON file for each device |
//!
//! A record is found by the operation (family, structure, extents rounded up to powers of two), by
//! the hash of its candidates' composed sources, and by the device: adapter, driver and wgpu. So an
//! edited kernel or a new driver is measured again by itself.

mod measure;
mod race;
mod records;
mod subject;

pub use measure::Trial;
pub use race::median;
pub use records::Record;
pub use subject::Subject;

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Tuning};
use crate::kernels::{Capabilities, Family};
use records::Records;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Seconds that the candidates of one operation may take where a plan measures what it misses.
const UNASKED: Duration = Duration::from_secs(30);

/// The share of a budget with which something can be found out: the candidates of one operation take
/// seconds to compile where there is no GPU.
const WORTHWHILE: Duration = Duration::from_secs(10);

/// What is known of a device's kernels; one for all plans of the device. A cheap handle.
#[derive(Clone)]
pub struct Tuner {
    gpu: Gpu,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// Read at the first question.
    records: Option<Records>,
    /// What this process has decided, by operation: a winner, or the default.
    settled: HashMap<String, Option<String>>,
}

/// What [`Tuner::tune`] tells while it works.
#[derive(Clone, PartialEq, Debug)]
pub struct Progress<'a> {
    /// Operations done.
    pub done: usize,
    /// What is measured now.
    pub operation: &'a str,
    /// The candidate that is compiled or timed, or empty.
    pub candidate: &'a str,
}

/// What [`Tuner::tune`] has come to.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Tuned {
    /// The operations of which something is known now, in the order of the subjects.
    pub outcomes: Vec<Outcome>,
    /// Operations that are not on record, because no time was left for them.
    pub left_out: Vec<String>,
    /// Operations that are not on record, because the device has no memory for them.
    pub too_large: Vec<String>,
}

/// What is known of an operation after [`Tuner::tune`].
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// The winner and all timings.
    pub record: Record,
    /// Candidates that there are.
    pub candidates: usize,
    /// Whether it was measured now, and not known before.
    pub fresh: bool,
}

impl Tuner {
    /// The tuner of the device.
    ///
    /// # Errors
    /// [`Error::Device`] if a thread panicked in it.
    pub fn of(gpu: &Gpu) -> Result<Self> {
        Ok(Tuner {
            gpu: gpu.clone(),
            known: gpu.attached()?,
        })
    }

    fn lock(&self) -> Result<MutexGuard<'_, Known>> {
        (self.known.lock()).map_err(|_| Error::Device("a thread that measured panicked".into()))
    }

    /// The algorithm for `problem` under [`Gpu::tuning`]. What is missing is measured where the mode
    /// says so and `may_measure`; else the default stands in.
    ///
    /// # Errors
    /// [`Error::Shader`] that names the candidate whose result is not the default's;
    /// [`Error::Device`].
    pub fn choose<F: Family>(&self, problem: &F::Problem, may_measure: bool) -> Result<F> {
        let capabilities = Capabilities::of(&self.gpu);
        let default = || F::default_for(capabilities, problem);
        // The winner's name may be that of a candidate which only the representative has.
        let named = |name: &str| F::by_name(name, capabilities, problem).unwrap_or_else(default);
        let mode = self.gpu.tuning();
        if mode == Tuning::Off {
            return Ok(default());
        }
        let operation = Subject::name::<F>(problem);
        let mut known = self.lock()?;
        if let Some(settled) = known.settled.get(&operation) {
            return Ok(settled.as_deref().map_or_else(default, named));
        }
        let subject = || Subject::of::<F>(capabilities, problem);
        let records = known.records.get_or_insert_with(|| Records::of(&self.gpu));
        let mut winner = None;
        // Composing all sources takes time; without a record it is not needed.
        if mode != Tuning::Force && records.has(&operation) {
            let found = records.find(&subject())?;
            winner = found.map(|record| record.winner.clone());
        }
        if winner.is_none() && matches!(mode, Tuning::On | Tuning::Force) {
            if !may_measure {
                return Ok(default());
            }
            log::info!("measuring {operation}");
            let deadline = Instant::now() + UNASKED;
            winner = match measure::measure(&self.gpu, &subject(), None, deadline, &mut |_| true) {
                Ok(record) => record.map(|record| {
                    let winner = record.winner.clone();
                    if let Err(e) = records.insert(record) {
                        log::warn!("the measurements of kernel variants are lost: {e}");
                    }
                    winner
                }),
                // The plan itself may still fit.
                Err(e @ Error::OutOfMemory { .. }) => {
                    log::warn!("{operation} was not measured: {e}");
                    None
                }
                Err(e) => return Err(e),
            };
        }
        let algorithm = winner.as_deref().map_or_else(default, named);
        known.settled.insert(operation, winner);
        Ok(algorithm)
    }

    /// Measures `subjects` within `budget`: those without a record one after another, then those of
    /// which only some candidates were tried, with the others; in the mode [`Tuning::Force`] all of
    /// them from the start. Each gets an equal share of what is left, but no less than 10 s; for the
    /// last ones nothing may be left. Keeps each result at once. Ends early, with what is known by
    /// then, when `progress` returns false.
    ///
    /// # Errors
    /// As [`Tuner::choose`]; [`Error::Io`] if a result cannot be kept.
    pub fn tune(
        &self,
        subjects: &[Subject],
        budget: Duration,
        mut progress: impl FnMut(Progress) -> bool,
    ) -> Result<Tuned> {
        let end = Instant::now() + budget;
        let mut known = self.lock()?;
        let known = &mut *known;
        let records = known.records.get_or_insert_with(|| Records::of(&self.gpu));
        let mut found: Vec<Option<Record>> = (subjects.iter())
            .map(|subject| match self.gpu.tuning() {
                Tuning::Force => Ok(None),
                // Composing all sources takes time; without a record it is not needed.
                _ if !records.has(subject.operation()) => Ok(None),
                _ => Ok(records.find(subject)?.cloned()),
            })
            .collect::<Result<_>>()?;
        let complete = |record: &Option<Record>| record.as_ref().is_some_and(|r| r.complete);
        let mut order: Vec<usize> = (0..subjects.len())
            .filter(|&i| !complete(&found[i]))
            .collect();
        order.sort_by_key(|&i| found[i].is_some());
        let mut fresh = vec![false; subjects.len()];
        let mut too_large = vec![false; subjects.len()];
        for (k, &i) in order.iter().enumerate() {
            let (subject, operation) = (&subjects[i], subjects[i].operation());
            let done = subjects.len() - order.len() + k;
            let mut tell = |candidate: &str| {
                progress(Progress {
                    done,
                    operation,
                    candidate,
                })
            };
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || !tell("") {
                break;
            }
            let share = left / (order.len() - k) as u32;
            let deadline = Instant::now() + share.max(WORTHWHILE).min(left);
            let before = found[i].as_ref();
            match measure::measure(&self.gpu, subject, before, deadline, &mut tell) {
                Ok(Some(record)) => {
                    records.insert(record.clone())?;
                    (fresh[i], found[i]) = (true, Some(record));
                }
                Ok(None) => break,
                Err(e @ Error::OutOfMemory { .. }) => {
                    log::warn!("{operation} was not measured: {e}");
                    too_large[i] = true;
                }
                Err(e) => return Err(e),
            }
        }
        let mut tuned = Tuned::default();
        for (i, (subject, record)) in subjects.iter().zip(found).enumerate() {
            let operation = subject.operation().to_string();
            match record {
                Some(record) => {
                    (known.settled).insert(operation, Some(record.winner.clone()));
                    tuned.outcomes.push(Outcome {
                        record,
                        candidates: subject.len(),
                        fresh: fresh[i],
                    });
                }
                None if too_large[i] => tuned.too_large.push(operation),
                None => tuned.left_out.push(operation),
            }
        }
        Ok(tuned)
    }

    /// The file that measurements are kept in, if they are.
    ///
    /// # Errors
    /// [`Error::Device`] if a thread panicked in here.
    pub fn path(&self) -> Result<Option<std::path::PathBuf>> {
        let mut known = self.lock()?;
        let records = known.records.get_or_insert_with(|| Records::of(&self.gpu));
        Ok(records.path().map(Into::into))
    }
}
