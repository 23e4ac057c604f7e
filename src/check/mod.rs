//! Verification of this installation on one adapter: kernels against their f64 twins, plans
//! against the tape's definition, adjointness, gradients and equivariance, as a table of measured
//! errors and bounds.
//!
//! [`run`] goes through one registry. A kernel's rows stand in the file of its family under
//! `kernels/`; a new row is one line there.

mod angles;
mod eigenvalues;
mod equivariance;
mod gradients;
pub mod harness;
mod identifiability;
mod kernels;
mod layers;
mod losses;
mod operators;
mod plans;

pub use angles::{ANGLES, AngleRow, angles};
pub use identifiability::{
    Below, Identifiability, RANK_TOLERANCE, Spectrum, TransformGroup, identifiability,
};

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Trust};
use crate::kernels::{Capabilities, Launch};
use crate::shader::Variant;
use crate::tape::plan::Store;
use harness::Case;
use std::collections::HashMap;
use std::sync::{Arc, mpsc};

/// One line of the table.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Row {
    /// What was checked: `family/...`, from the general to the special.
    pub name: String,
    /// The largest error found, in the unit of `bound`; NaN (`null` in JSON) if something was not
    /// a number or not written.
    pub error: f64,
    /// The largest error allowed.
    pub bound: f64,
    /// `error <= bound`; a NaN fails.
    pub pass: bool,
    /// Where a failed check failed, and the seed that repeats it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// An error and its bound.
#[derive(Clone, PartialEq, Debug)]
pub struct Measure {
    /// What was found.
    pub error: f64,
    /// What is allowed.
    pub bound: f64,
    /// Where the error was found.
    pub note: Option<String>,
}

impl Measure {
    /// Without a note.
    pub fn new(error: f64, bound: f64) -> Self {
        Measure {
            error,
            bound,
            note: None,
        }
    }

    /// No number at all: `what` went wrong.
    pub fn failed(bound: f64, what: impl Into<String>) -> Self {
        Measure {
            error: f64::NAN,
            bound,
            note: Some(what.into()),
        }
    }

    /// Whether the error keeps the bound; a NaN does not.
    pub fn pass(&self) -> bool {
        self.error <= self.bound
    }

    /// The part of the bound that the error takes up: at most 1 if it passes.
    fn share(&self) -> f64 {
        match self.error {
            e if e.is_nan() => f64::INFINITY,
            0.0 => 0.0,
            e => e / self.bound,
        }
    }

    /// The one that takes up more of its bound.
    pub fn worse(self, other: Measure) -> Measure {
        let (mine, theirs) = (self.share(), other.share());
        // Between equals the one with a bound says more.
        if theirs > mine || (theirs == mine && other.bound > self.bound) {
            other
        } else {
            self
        }
    }
}

/// The largest difference between two arrays, relative to the largest element of `expected`; NaN
/// if anything is, or if the lengths differ.
fn relative_error(found: &[f32], expected: &[f64]) -> f64 {
    let scale = expected.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    let differences = (found.iter().zip(expected)).map(|(&f, &e)| (f64::from(f) - e).abs());
    let worst = differences.fold(0.0, nan_max);
    match worst {
        _ if found.len() != expected.len() => f64::NAN,
        0.0 => 0.0,
        worst => worst / scale,
    }
}

/// The larger one; NaN if one of them is.
fn nan_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// What a check that is not a kernel's may use.
struct Context<'a> {
    gpu: &'a Gpu,
    seed: u64,
}

impl Context<'_> {
    /// A store of its own, so that checks do not see each other's states.
    fn store(&self) -> Store {
        Store::new(self.gpu)
    }
}

/// How a row is measured.
enum Method {
    /// Cases of one kernel; the worst counts.
    Kernel(Vec<Case>),
    /// Anything else on the device.
    Device(DeviceMethod),
    /// On the host alone, from a seed.
    Host(HostMethod),
}

type DeviceMethod = Box<dyn Fn(&Context) -> Result<Measure>>;
type HostMethod = Arc<dyn Fn(u64) -> Result<Measure> + Send + Sync>;

/// One row to be.
struct Check {
    name: String,
    method: Method,
}

impl Check {
    fn kernel(name: impl Into<String>, cases: impl IntoIterator<Item = Case>) -> Self {
        Check {
            name: name.into(),
            method: Method::Kernel(cases.into_iter().collect()),
        }
    }

    fn new(name: impl Into<String>, body: impl Fn(&Context) -> Result<Measure> + 'static) -> Self {
        Check {
            name: name.into(),
            method: Method::Device(Box::new(body)),
        }
    }

    fn host(
        name: impl Into<String>,
        body: impl Fn(u64) -> Result<Measure> + Send + Sync + 'static,
    ) -> Self {
        Check {
            name: name.into(),
            method: Method::Host(Arc::new(body)),
        }
    }

    fn launches(&self) -> impl Iterator<Item = &Launch> {
        let cases = match &self.method {
            Method::Kernel(cases) => cases.as_slice(),
            Method::Device(_) | Method::Host(_) => &[],
        };
        cases.iter().flat_map(|c| &c.lowered.launches)
    }

    fn measure(&self, context: &Context) -> Result<Measure> {
        match &self.method {
            Method::Kernel(cases) => cases
                .iter()
                .try_fold(Measure::new(0.0, 0.0), |worst, case| {
                    Ok(worst.worse(case.measure(context.gpu, context.seed)?))
                }),
            Method::Device(body) => body(context),
            Method::Host(body) => body(context.seed),
        }
    }

    /// The row, from what the host has measured early or measured now. A kernel or device that
    /// fails is a failed row, so that the others are still seen.
    fn row(&self, context: &Context, early: Option<Result<Measure>>) -> Row {
        let measured = early.unwrap_or_else(|| self.measure(context));
        let faultless = context.gpu.check_fault();
        let measure = (measured.and_then(|m| faultless.map(|()| m)))
            .unwrap_or_else(|e| Measure::failed(0.0, e.to_string()));
        let pass = measure.pass();
        let seed = context.seed;
        let note = measure
            .note
            .unwrap_or_else(|| "the bound is exceeded".into());
        Row {
            name: self.name.clone(),
            error: measure.error,
            bound: measure.bound,
            pass,
            note: (!pass).then(|| format!("{note} (seed {seed})")),
        }
    }
}

/// Every check for a device with these capabilities: one line for each room.
fn registry(capabilities: Capabilities) -> Vec<Check> {
    let mut checks = kernels::checks(capabilities);
    checks.extend(plans::checks());
    checks.extend(operators::checks());
    checks.extend(gradients::checks());
    checks.extend(equivariance::checks());
    checks.extend(layers::checks());
    checks.extend(losses::checks());
    // What software and what hardware with these limits would choose from: either can run both.
    let mut variants: Vec<Check> = Vec::new();
    for software in [capabilities.software, !capabilities.software] {
        let capabilities = Capabilities {
            software,
            ..capabilities
        };
        let rows = kernels::variants(capabilities).into_iter();
        let rows = rows.chain(plans::variants(capabilities));
        for row in rows.chain(equivariance::variants(capabilities)) {
            if variants.iter().all(|known| known.name != row.name) {
                variants.push(row);
            }
        }
    }
    checks.extend(variants);
    checks
}

/// The rows `variant/...` that a device with these capabilities has no room for.
fn left_out(capabilities: Capabilities) -> Vec<String> {
    let run = names(capabilities);
    let most = Capabilities {
        memory: u32::MAX,
        ..capabilities
    };
    let all = names(most).into_iter();
    all.filter(|name| !run.contains(name)).collect()
}

/// Rows that compile every variant of every kernel, which takes minutes on a processor: they run if
/// the filter begins like this.
const ON_REQUEST: &str = "variant";

/// The launches of every kernel case, by the name of its row: what the static shader suite goes
/// through. Needs no device.
pub fn launches(capabilities: Capabilities) -> Vec<(String, Launch)> {
    let mut all = Vec::new();
    for check in registry(capabilities) {
        all.extend(check.launches().map(|l| (check.name.clone(), l.clone())));
    }
    all
}

/// The names of all rows on a device with these capabilities, in order.
pub fn names(capabilities: Capabilities) -> Vec<String> {
    let checks = registry(capabilities).into_iter();
    checks.map(|check| check.name).collect()
}

/// A seed that differs from run to run.
pub fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // Rust seeds each of these from the operating system. Short seeds are easier to type again.
    std::hash::RandomState::new().build_hasher().finish() % 1_000_000
}

/// [`run_seeded`] with a fresh seed, which is logged and stands in the note of every failed row.
///
/// # Errors
/// Those of [`run_seeded`].
pub fn run(gpu: &Gpu, filter: Option<&str>, progress: impl FnMut(&Row)) -> Result<Vec<Row>> {
    let seed = fresh_seed();
    log::info!("check: inputs from seed {seed}");
    run_seeded(gpu, filter, seed, progress)
}

/// Runs the rows whose name contains `filter` (all without one) on inputs from `seed`, calling
/// `progress` after each. The rows `variant/...`, with every kernel variant in turn, take long and
/// run only if the filter begins with `variant`.
///
/// # Errors
/// [`Error::Config`] if no row has such a name. What goes wrong inside a row makes that row fail.
pub fn run_seeded(
    gpu: &Gpu,
    filter: Option<&str>,
    seed: u64,
    mut progress: impl FnMut(&Row),
) -> Result<Vec<Row>> {
    let capabilities = Capabilities::of(gpu);
    let mut checks = registry(capabilities);
    match filter.is_some_and(|filter| filter.starts_with(ON_REQUEST)) {
        true => {
            checks.retain(|check| check.name.starts_with(ON_REQUEST));
            let left_out = left_out(capabilities);
            if !left_out.is_empty() {
                log::warn!(
                    "check: {} variants need more workgroup memory than the {} KiB of this device and are not run: {}",
                    left_out.len(),
                    capabilities.memory >> 10,
                    left_out.join(", ")
                );
            }
        }
        false => checks.retain(|check| !check.name.starts_with(ON_REQUEST)),
    }
    if let Some(filter) = filter {
        let families = families(&checks);
        checks.retain(|check| check.name.contains(filter));
        if checks.is_empty() {
            return Err(Error::Config(format!(
                "no check has '{filter}' in its name; the families are {families}"
            )));
        }
    }
    let context = Context { gpu, seed };
    let host = HostRows::start(&checks, seed);
    let mut rows = Vec::with_capacity(checks.len());
    // All cores compile a batch, then its rows run. What does not compile fails again, with its
    // name, in its row.
    for (first, batch) in checks
        .chunks(BATCH)
        .enumerate()
        .map(|(i, b)| (BATCH * i, b))
    {
        let wanted: Vec<(&'static str, Variant, Trust)> = (batch.iter())
            .flat_map(Check::launches)
            .map(|l| (l.path, l.variant.clone(), l.trust))
            .collect();
        if let Err(e) = gpu.compile_all(&wanted) {
            log::warn!("check: {e}");
        }
        for (i, check) in batch.iter().enumerate() {
            let row = check.row(&context, host.take(first + i));
            progress(&row);
            rows.push(row);
        }
    }
    Ok(rows)
}

/// The host's rows, measured on a thread of their own while the device works.
struct HostRows(HashMap<usize, mpsc::Receiver<Result<Measure>>>);

impl HostRows {
    fn start(checks: &[Check], seed: u64) -> Self {
        let mut receivers = HashMap::new();
        let mut jobs = Vec::new();
        for (i, check) in checks.iter().enumerate() {
            if let Method::Host(body) = &check.method {
                let (sender, receiver) = mpsc::channel();
                receivers.insert(i, receiver);
                jobs.push((body.clone(), sender));
            }
        }
        std::thread::spawn(move || {
            for (body, sender) in jobs {
                // Nobody waits any more when the run was given up.
                if sender.send(body(seed)).is_err() {
                    return;
                }
            }
        });
        HostRows(receivers)
    }

    /// What row `i` came to, if it is one of the host's and its thread did not panic.
    fn take(&self, i: usize) -> Option<Result<Measure>> {
        self.0.get(&i)?.recv().ok()
    }
}

/// Rows whose pipelines are compiled together.
const BATCH: usize = 24;

fn families(checks: &[Check]) -> String {
    let mut names: Vec<&str> = (checks.iter())
        .map(|c| c.name.split('/').next().unwrap_or_default())
        .collect();
    names.dedup();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::WEBGPU_MEMORY;

    #[test]
    fn nan_fails_and_is_the_worst() {
        let nan = Measure::failed(1.0, "x");
        assert!(!nan.pass());
        let good = Measure::new(0.5, 1.0);
        assert!(good.clone().worse(nan.clone()).error.is_nan());
        assert!(nan.worse(good).error.is_nan());
        assert!(relative_error(&[f32::NAN, 1.0], &[1.0, 1.0]).is_nan());
        assert!(relative_error(&[1.0], &[1.0, 1.0]).is_nan());
        assert_eq!(relative_error(&[1.5, 2.0], &[1.0, 2.0]), 0.25);
        // Nothing but zero is expected: any value is infinitely wrong.
        assert_eq!(relative_error(&[1.0], &[0.0]), f64::INFINITY);
    }

    #[test]
    fn the_larger_share_of_the_bound_is_worse() {
        let (a, b) = (Measure::new(1e-6, 1e-5), Measure::new(2e-6, 1e-4));
        assert_eq!(a.clone().worse(b.clone()), a);
        assert_eq!(b.worse(a.clone()), a);
        // An exact check that fails is worse than one that just keeps its bound.
        let broken = Measure::new(1e-9, 0.0);
        assert_eq!(a.worse(broken.clone()), broken);
    }

    #[test]
    fn variants_that_need_more_memory_are_left_out_by_name() {
        for (memory, expected) in [(32 << 10, false), (WEBGPU_MEMORY, true), (4 << 10, true)] {
            let capabilities = Capabilities {
                memory,
                ..Capabilities::default()
            };
            let left_out = left_out(capabilities);
            assert_eq!(!left_out.is_empty(), expected, "{memory}: {left_out:?}");
            assert!(left_out.iter().all(|name| name.starts_with(ON_REQUEST)));
            let larger = |name: &String| name.contains("-in-32-KiB");
            assert_eq!(names(capabilities).iter().any(larger), !expected);
            // With WebGPU's memory only what asks for more is missing.
            assert!(memory != WEBGPU_MEMORY || left_out.iter().all(larger));
        }
    }

    #[test]
    fn names_are_unique_and_do_not_depend_on_the_run() {
        for capabilities in [
            Capabilities::default(),
            Capabilities {
                subgroup: Some(8),
                software: true,
                ..Capabilities::default()
            },
        ] {
            let mut names = names(capabilities);
            assert!(names.len() > 60, "{}", names.len());
            names.sort();
            let before = names.len();
            names.dedup();
            assert_eq!(names.len(), before);
        }
    }
}
