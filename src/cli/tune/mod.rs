//! `equilens tune`.

mod networks;

use super::global::Session;
use super::{devices, interrupt};
use crate::error::{Error, Result};
use crate::gpu::Tuning;
use crate::kernels::Capabilities;
use crate::models::ModelConfig;
use crate::operators::LinearOperator;
use crate::problems::Problem;
use crate::report::{Align, Table};
use crate::tape::plan::Plan;
use crate::train::{self, Recipe, TrainConfig};
use crate::tune::{Outcome, Subject, Tuned, Tuner};
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
  equilens tune 64x64 fourier
  equilens tune --config ct.toml
  equilens tune --list
  equilens tune --tune force

Without a config, the operations of these networks are measured, the longest first: learned proximal
gradient of the demo (CT and MRI, 64x64), of the benchmarks (CT, 128x128) and of Celledoni et al.
2021 (MRI, 320x320, one coil and eight); and, with default settings, DnCNN (denoising, inpainting,
deblurring, 256x256), U-Net and learned primal-dual (CT, 128x128). Convolutions are measured at the
next power of two of rows and columns, so the inner ones of the paper's MRI are those of its CT,
512x512. For other networks give --config.

Every variant must give the result of the default one before it is timed. Where the budget ends
before all is tried, the next run goes on: with what is not on record, then with the variants that
were not tried. What has a complete record is not measured again without --tune force. Ctrl-C keeps
what is measured so far.

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
    /// Print the operations and measure nothing
    #[arg(long)]
    list: bool,
}

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode> {
    let config = arguments.config.as_ref();
    let config = config
        .map(|path| TrainConfig::load(path, &[]))
        .transpose()?;
    let gpu = session.gpu()?;
    let capabilities = Capabilities::of(&gpu);
    let mut subjects = match &config {
        Some(config) => {
            let problem = Problem::new(&config.problem)?;
            let operator = problem.operator.as_ref();
            collect(capabilities, &config.model, operator, &config.recipe())?
        }
        None => standard(capabilities)?,
    };
    // What takes longest promises most.
    subjects.sort_by_key(|subject| std::cmp::Reverse(subject.flops()));
    let subjects = wanted(subjects, &arguments.names)?;
    if arguments.list {
        list(session, &subjects)?;
        return Ok(ExitCode::SUCCESS);
    }
    let interrupted = interrupt::watch();
    let stopped = || interrupted.load(Ordering::Relaxed);
    let tuner = Tuner::of(&gpu)?;
    let bar = session.console.bar(subjects.len() as u64, "operations");
    let budget = Duration::from_secs(arguments.budget.into());
    let tuned = tuner.tune(&subjects, budget, |progress| {
        bar.set_position(progress.done as u64);
        bar.set_message(format!("{}: {}", progress.operation, progress.candidate));
        !stopped()
    });
    bar.finish_and_clear();
    let tuned = tuned?;
    let outcomes = &tuned.outcomes;
    let file = tuner.path()?;
    let document = json!({
        "adapter": devices::label(gpu.info()),
        "file": file,
        "results": outcomes.iter().map(result).collect::<Vec<_>>(),
        "left_out": tuned.left_out,
        "too_large": tuned.too_large,
    });
    session.console.result(&document, || {
        let kept = match &file {
            Some(file) => format!("kept in {}", file.display()),
            None => "not kept: set EQUILENS_CACHE to a directory".into(),
        };
        format!("{}\n\n{}\n{kept}", gpu.label(), table(&tuned))
    })?;
    if stopped() {
        return Err(Error::Interrupted(format!(
            "{} of {} operations are measured, and kept",
            outcomes.len(),
            subjects.len()
        )));
    }
    let incomplete = outcomes.iter().filter(|o| !o.record.complete).count();
    let left_out = tuned.left_out.len();
    if incomplete + left_out > 0 {
        let again = match gpu.tuning() {
            Tuning::Force => "run it again without --tune force",
            _ => "run it again, or with a larger --budget,",
        };
        session.console.remark(&format!(
            "the budget ended: of {incomplete} operations not all variants were tried, and {left_out} were left out, as the table says; {again} to go on"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The operations of the networks that are tuned for unasked.
fn standard(capabilities: Capabilities) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for (operator, model) in networks::networks() {
        let operator = operator.build(1)?;
        let found = collect(capabilities, &model, operator.as_ref(), &Recipe::default())?;
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

/// Adds what is not there yet and leaves something to choose.
fn add(subjects: &mut Vec<Subject>, found: Vec<Subject>) {
    for subject in found {
        let known = |s: &Subject| s.operation() == subject.operation();
        if subject.len() > 1 && !subjects.iter().any(known) {
            subjects.push(subject);
        }
    }
}

/// Those with one of the names in theirs.
fn wanted(mut subjects: Vec<Subject>, names: &[String]) -> Result<Vec<Subject>> {
    let named = |subject: &Subject, name: &String| subject.operation().contains(name.as_str());
    if let Some(name) = (names.iter()).find(|name| !subjects.iter().any(|s| named(s, name))) {
        let example = subjects.first().map_or("", |s| s.operation());
        return Err(Error::Config(format!(
            "no operation has '{name}' in its name; --list instead of it prints the {} that there are, such as '{example}'",
            subjects.len()
        )));
    }
    if !names.is_empty() {
        subjects.retain(|s| names.iter().any(|name| named(s, name)));
    }
    Ok(subjects)
}

/// Prints what would be measured.
fn list(session: &Session, subjects: &[Subject]) -> Result<()> {
    let one = |s: &Subject| json!({ "operation": s.operation(), "candidates": s.len() });
    let document = json!({ "operations": subjects.iter().map(one).collect::<Vec<_>>() });
    session.console.result(&document, || {
        let mut table = Table::new([("operation", Align::Left), ("variants", Align::Right)]);
        for subject in subjects {
            table.row([subject.operation().to_string(), subject.len().to_string()]);
        }
        table.to_string()
    })
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

fn table(tuned: &Tuned) -> Table {
    let mut table = Table::new([
        ("operation", Align::Left),
        ("tried", Align::Right),
        ("winner", Align::Left),
        ("median ms", Align::Right),
        ("against the default", Align::Left),
        ("", Align::Left),
    ]);
    for outcome in &tuned.outcomes {
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
    for (operations, why) in [
        (&tuned.left_out, "left out: no time"),
        (&tuned.too_large, "left out: no memory"),
    ] {
        for operation in operations {
            table.row([operation.as_str(), "0", "", "", "", why]);
        }
    }
    table
}
