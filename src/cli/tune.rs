//! `equilens tune`.

use super::global::Session;
use super::{devices, interrupt};
use crate::error::{Error, Result};
use crate::group::Group;
use crate::kernels::Capabilities;
use crate::models::{LearnedProximalGradientConfig, ModelConfig, Start};
use crate::operators::{LinearOperator, RayTransform};
use crate::problems::Problem;
use crate::report::{Align, Table};
use crate::shape::RayGeometry;
use crate::tape::plan::Plan;
use crate::train::{self, Recipe, TrainConfig};
use crate::tune::{Outcome, Subject, Tuner};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Measure which kernel variants are fastest on this adapter, and keep the winners
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  equilens tune
  equilens tune \"weight gradient\" --budget 60
  equilens tune --config ct.toml
  equilens tune --tune force

Without a config, the operations of the demo's and of the papers' CT networks are measured, the
longest first. Every variant must give the result of the default one before it is timed. What has a
complete record is not measured again without --tune force. Ctrl-C keeps what is measured so far.

Other commands use the winners (--tune read, the default). They are kept in the directory of
EQUILENS_CACHE or the platform's cache, in one file for each adapter, driver and version.")]
pub(super) struct Arguments {
    /// Only operations with this in their name, e.g. \"conv2d forward\" or \"96-96\"
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The operations of this training config
    #[arg(long, value_name = "CONFIG.toml")]
    config: Option<PathBuf>,
    /// Seconds that measuring may take, compiling included
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    budget: u32,
}

/// Image size, group and width of the networks that are tuned for unasked: the demo's and the
/// papers'.
const NETWORKS: [(usize, usize, usize); 5] = [
    (64, 1, 16),
    (64, 4, 32),
    (64, 4, 16),
    (128, 1, 96),
    (128, 4, 96),
];
const VIEWS: usize = 50;
const FIELD_OF_VIEW: f64 = 0.36;

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode> {
    let config = arguments.config.as_ref();
    let config = config
        .map(|path| TrainConfig::load(path, &[]))
        .transpose()?;
    let gpu = session.gpu()?;
    let capabilities = Capabilities::of(&gpu);
    let subjects = match &config {
        Some(config) => {
            let problem = Problem::new(&config.problem)?;
            let operator = problem.operator.as_ref();
            collect(capabilities, &config.model, operator, &config.recipe())?
        }
        None => standard(capabilities)?,
    };
    let mut subjects = wanted(subjects, &arguments.names)?;
    // What takes longest promises most.
    subjects.sort_by_key(|subject| std::cmp::Reverse(subject.flops()));
    let interrupted = interrupt::watch();
    let stopped = || interrupted.load(Ordering::Relaxed);
    let tuner = Tuner::of(&gpu)?;
    let bar = session.console.bar(subjects.len() as u64, "operations");
    let budget = Duration::from_secs(arguments.budget.into());
    let outcomes = tuner.tune(&subjects, budget, |progress| {
        bar.set_position(progress.done as u64);
        bar.set_message(format!("{}: {}", progress.operation, progress.candidate));
        !stopped()
    });
    bar.finish_and_clear();
    let outcomes = outcomes?;
    let file = tuner.path()?;
    let document = json!({
        "adapter": devices::label(gpu.info()),
        "file": file,
        "results": outcomes.iter().map(result).collect::<Vec<_>>(),
    });
    session.console.result(&document, || {
        let kept = match &file {
            Some(file) => format!("kept in {}", file.display()),
            None => "not kept: set EQUILENS_CACHE to a directory".into(),
        };
        format!("{}\n\n{}\n{kept}", gpu.label(), table(&outcomes))
    })?;
    let incomplete = outcomes.iter().filter(|o| !o.record.complete).count();
    let left_out = subjects.len() - outcomes.len();
    if incomplete + left_out > 0 && !stopped() {
        session.console.remark(&format!(
            "the budget ended: of {incomplete} operations not all variants were tried, and {left_out} were left out; run it again, or with a larger --budget, to go on"
        ));
    }
    if stopped() {
        return Err(Error::Interrupted(format!(
            "{} of {} operations are measured, and kept",
            outcomes.len(),
            subjects.len()
        )));
    }
    Ok(ExitCode::SUCCESS)
}

/// The operations of the networks that are tuned for unasked.
fn standard(capabilities: Capabilities) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for (size, order, width) in NETWORKS {
        let bins = (std::f64::consts::SQRT_2 * size as f64).ceil() as usize;
        let beam = RayGeometry::parallel([size, size], FIELD_OF_VIEW, VIEWS, bins);
        let model = ModelConfig::LearnedProximalGradient(LearnedProximalGradientConfig {
            group: Group::cyclic(order),
            width,
            // A second one has all that further ones have.
            blocks: 2,
            // The filtered back-projection is measured with it.
            start: Start::PseudoInverse,
            ..Default::default()
        });
        let operator = RayTransform::new(beam);
        let found = collect(capabilities, &model, &operator, &Recipe::default())?;
        add(&mut subjects, found);
    }
    Ok(subjects)
}

/// The operations of a training and of what comes after it.
fn collect(
    capabilities: Capabilities,
    model: &ModelConfig,
    operator: &dyn LinearOperator,
    recipe: &Recipe,
) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for (tape, outputs) in train::tapes(model, operator, recipe)? {
        add(
            &mut subjects,
            Plan::subjects(&tape, &outputs, capabilities)?,
        );
    }
    Ok(subjects)
}

/// Adds what is not there yet.
fn add(subjects: &mut Vec<Subject>, found: Vec<Subject>) {
    for subject in found {
        let known = |s: &Subject| s.operation() == subject.operation();
        if !subjects.iter().any(known) {
            subjects.push(subject);
        }
    }
}

/// Those with one of the names in theirs.
fn wanted(mut subjects: Vec<Subject>, names: &[String]) -> Result<Vec<Subject>> {
    let all: Vec<String> = subjects.iter().map(|s| s.operation().to_string()).collect();
    for name in names {
        if !all
            .iter()
            .any(|operation| operation.contains(name.as_str()))
        {
            let list = all.join(", ");
            return Err(Error::Config(format!(
                "no operation has '{name}' in its name; there are {list}"
            )));
        }
    }
    if !names.is_empty() {
        subjects.retain(|s| {
            names
                .iter()
                .any(|name| s.operation().contains(name.as_str()))
        });
    }
    Ok(subjects)
}

fn result(outcome: &Outcome) -> Value {
    let record = &outcome.record;
    json!({
        "operation": record.operation,
        "candidates": outcome.candidates,
        "tried": record.trials.len(),
        "default": record.trials.first().map(|t| &t.name),
        "winner": record.winner,
        "speedup": record.speedup(),
        "complete": record.complete,
        "measured_now": outcome.fresh,
        "trials": record.trials,
    })
}

fn table(outcomes: &[Outcome]) -> Table {
    let mut table = Table::new([
        ("operation", Align::Left),
        ("tried", Align::Right),
        ("winner", Align::Left),
        ("median ms", Align::Right),
        ("against the default", Align::Left),
        ("", Align::Left),
    ]);
    for outcome in outcomes {
        let record = &outcome.record;
        let winner = record.trials.iter().find(|t| t.name == record.winner);
        let milliseconds = winner.and_then(|t| t.median()).unwrap_or(f64::NAN);
        let is_default = record
            .trials
            .first()
            .is_some_and(|t| t.name == record.winner);
        table.row([
            record.operation.clone(),
            match record.complete {
                true => record.trials.len().to_string(),
                false => format!("{} of {}", record.trials.len(), outcome.candidates),
            },
            record.winner.clone(),
            format!("{milliseconds:.3}"),
            match record.speedup() {
                _ if is_default => "is the default".into(),
                Some(speedup) => format!("{speedup:.2} times the speed"),
                None => String::new(),
            },
            String::from(if outcome.fresh { "" } else { "on record" }),
        ]);
    }
    table
}
