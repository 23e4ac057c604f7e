//! `equilens train`.

use super::global::Session;
use super::{devices, interrupt, outputs};
use crate::bench::{self, StepProfile};
use crate::error::{Error, Result};
use crate::files;
use crate::report::{Align, Table};
use crate::tape::plan::Clock;
use crate::train::{self, Progress, RunDir, RunOptions, TrainConfig};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Train a reconstruction network
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  equilens train ct.toml --out runs/c4
  equilens train ct.toml --out runs/c1 --set model.group=C1 --set training.steps=20000
  equilens train --out runs/c4 --resume
  equilens train ct.toml --print-config
  equilens train ct.toml --profile --set model.recompute=true

A small config:
  [problem]
  file = \"problem.toml\"
  [data]
  train = \"train.npy\"
  validation = \"validation.npy\"
  [model]
  kind = \"learned_proximal_gradient\"
  group = \"C4\"
  [training]
  steps = 10000

Without ground truth, from measurements alone:
  [data]
  train_measurements = \"y.npy\"
  [[loss]]
  kind = \"measurement_consistency\"
  [[loss]]
  kind = \"equivariant_imaging\"
  weight = 100.0
  transforms = { rotation = \"any\" }

Ctrl-C saves the state and exits with 130; --resume goes on as if nothing had happened.")]
pub(super) struct Arguments {
    /// Training config; with --resume the run's own by default
    #[arg(value_name = "CONFIG.toml", required_unless_present = "resume")]
    config: Option<PathBuf>,
    /// Directory of the run: config, log, checkpoints
    #[arg(long, value_name = "RUN", required_unless_present_any = ["print_config", "profile"])]
    out: Option<PathBuf>,
    /// Go on with the run in --out
    #[arg(long)]
    resume: bool,
    /// Override a key of the config, e.g. training.steps=5000
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Print the config with every default written out, and stop
    #[arg(long)]
    print_config: bool,
    /// Show where the time of a training step goes, kernel by kernel, and stop
    #[arg(long, conflicts_with_all = ["print_config", "resume", "out"])]
    profile: bool,
}

/// Samples of a profile, of which the least counts.
const SAMPLES: usize = 5;

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode> {
    let mut overrides = arguments.overrides.clone();
    if let Some(seed) = session.seed {
        overrides.push(format!("training.seed={seed}"));
    }
    // clap demands the directory unless the config is only printed.
    let out = arguments.out.as_deref().unwrap_or(Path::new(""));
    let mut resumed = match arguments.resume {
        true => Some(RunDir::open(out)?),
        false => None,
    };
    let config = match (&arguments.config, &resumed) {
        (Some(path), _) => TrainConfig::load(path, &overrides)?,
        (None, Some(run)) => TrainConfig::load(run.path().join("config.toml"), &overrides)?,
        (None, None) => return Err(Error::Config("give a training config".into())),
    };
    if arguments.print_config {
        let text = config.to_toml()?;
        session.console.result(&config, || text)?;
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.profile {
        return profile(session, &config);
    }
    match &resumed {
        None => {
            if out.join("config.toml").exists() {
                return Err(Error::Config(format!(
                    "{} holds a run already: give another directory, or --resume to go on with it",
                    out.display()
                )));
            }
            outputs::check_directory(out)?;
        }
        Some(run) => {
            check_same(run.config(), &config)?;
            outputs::check_directory(out)?;
        }
    }
    let gpu = session.gpu()?;
    let interrupted = interrupt::watch();
    let mut trainer = train::prepare(&gpu, &config, resumed.as_ref())?;
    let mut directory = match resumed.take() {
        None => RunDir::create(out, &config)?,
        Some(run) if *run.config() == config => run,
        // Longer, or with another rhythm: the directory must tell the truth.
        Some(run) => {
            let path = run.path().join("config.toml");
            files::write_bytes(path, config.to_toml()?.as_bytes())?;
            RunDir::open(out)?
        }
    };
    session
        .console
        .remark(&format!("training on {}", gpu.label()));
    let bar = session.console.bar(config.training.steps, "steps");
    bar.set_position(trainer.completed());
    let mut observer = |progress: &Progress| {
        bar.set_position(progress.step);
        bar.set_message(describe(progress));
    };
    let options = RunOptions {
        directory: Some(&mut directory),
        interrupt: Some(interrupted),
    };
    let finished = train::run(&mut trainer, options, &mut observer);
    bar.finish_and_clear();
    let summary = finished?;
    let parameters = trainer.model().parameters().count();
    let psnr = summary.validation.and_then(|v| v.psnr);
    let best = |by_loss: bool| {
        summary
            .best
            .filter(|_| by_loss == trainer.selects_by_loss())
    };
    let document = json!({
        "run": out,
        "parameters": parameters,
        "steps": summary.steps,
        "loss": summary.loss,
        "validation_psnr": psnr,
        "best_psnr": best(false),
        "validation_loss": summary.validation.map(|v| v.loss),
        "best_validation_loss": best(true),
        "seconds": summary.seconds,
        "peak_bytes": trainer.memory().total() + trainer.validation_bytes(),
    });
    session.console.result(&document, || {
        let mut text = format!(
            "{}: {parameters} parameters, {} steps in {:.1} s",
            out.display(),
            summary.steps,
            summary.seconds
        );
        if let Some(loss) = summary.loss {
            text += &format!(", loss {loss:.4e}");
        }
        if let Some(psnr) = psnr {
            text += &format!(", validation PSNR {psnr:.2} dB");
        }
        if let Some(best) = best(false) {
            text += &format!(" (best {best:.2} dB)");
        }
        if let (Some(last), Some(best)) = (summary.validation, best(true)) {
            text += &format!(", validation loss {:.4e} (best {best:.4e})", last.loss);
        }
        if summary.steps < config.training.steps {
            text += "; stopped early, no validation was better for [training] patience";
        }
        text
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Times the config's training step and trains nothing.
fn profile(session: &Session, config: &TrainConfig) -> Result<ExitCode> {
    let gpu = session.gpu()?;
    let mut trainer = train::prepare(&gpu, config, None)?;
    let profile = bench::profile(&mut trainer, SAMPLES)?;
    let mut document = json!({ "adapter": devices::label(gpu.info()) });
    let found = serde_json::to_value(&profile).unwrap_or_default();
    if let (Some(document), Some(found)) = (document.as_object_mut(), found.as_object()) {
        document.extend(found.clone());
    }
    session.console.result(&document, || {
        format!("{}\n{}", gpu.label(), describe_profile(&profile))
    })?;
    Ok(ExitCode::SUCCESS)
}

fn describe_profile(profile: &StepProfile) -> String {
    let mut table = Table::new([
        ("kernel", Align::Left),
        ("operation", Align::Left),
        ("calls", Align::Right),
        ("ms", Align::Right),
        ("share", Align::Right),
        ("GFLOP/s", Align::Right),
        ("GB/s", Align::Right),
        ("G/s gathered", Align::Right),
        ("of roofline", Align::Right),
        ("MiB moved", Align::Right),
    ]);
    for k in &profile.kernels {
        table.row([
            k.kernel.clone(),
            k.operation.clone(),
            k.dispatches.to_string(),
            format!("{:.2}", k.milliseconds),
            format!("{:.1} %", 100.0 * k.milliseconds / profile.kernels_ms),
            format!("{:.1}", k.rates.gflops),
            format!("{:.1}", k.rates.gbytes),
            format!("{:.2}", k.rates.gathered_gnumbers),
            format!("{:.0} %", 100.0 * k.rates.fraction),
            format!("{:.1}", k.work.bytes as f64 / f64::from(1 << 20)),
        ]);
    }
    let clock = match profile.clock {
        Clock::Timestamps => "the device's timestamps",
        Clock::WallClock => "the host's clock, submission included",
    };
    format!(
        "{}\n\
         one step: {:.1} ms, its {} dispatches one by one {:.1} ms by {clock}; {:.0} MiB of buffers\n\n{table}",
        profile.ceiling,
        profile.step_ms,
        profile.dispatches,
        profile.kernels_ms,
        profile.peak_bytes as f64 / f64::from(1 << 20),
    )
}

/// Loss, PSNR, time left.
fn describe(progress: &Progress) -> String {
    let mut text = format!("loss {:.3e}", progress.loss);
    if let Some(scores) = &progress.validation {
        text += &match scores.psnr {
            Some(psnr) => format!(", PSNR {psnr:.2} dB"),
            None => format!(", validation loss {:.3e}", scores.loss),
        };
    }
    let left = progress.seconds_left.max(0.0) as u64;
    let (hours, minutes, seconds) = (left / 3600, left / 60 % 60, left % 60);
    text + &format!(", {hours}:{minutes:02}:{seconds:02} left")
}

/// A resumed run may become longer, and look and save at other steps; anything else would make it
/// another run.
fn check_same(before: &TrainConfig, now: &TrainConfig) -> Result<()> {
    let mut comparable = now.clone();
    let (old, new) = (&before.training, &mut comparable.training);
    new.steps = old.steps;
    new.validate_every = old.validate_every;
    new.checkpoint_every = old.checkpoint_every;
    new.log_every = old.log_every;
    new.patience = old.patience;
    let flat = |config: &TrainConfig| serde_json::to_value(config).unwrap_or_default();
    match first_difference(&flat(before), &flat(&comparable), "") {
        None => Ok(()),
        Some(key) => Err(Error::Config(format!(
            "the run cannot be resumed: {key} is not what it was when the run began; leave it as it was, or start a new run directory"
        ))),
    }
}

/// The path of the first key whose values differ.
fn first_difference(a: &serde_json::Value, b: &serde_json::Value, path: &str) -> Option<String> {
    match (a.as_object(), b.as_object()) {
        (Some(a), Some(b)) => a.keys().chain(b.keys()).find_map(|key| {
            let null = serde_json::Value::Null;
            let path = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            let (a, b) = (a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null));
            first_difference(a, b, &path)
        }),
        _ => (a != b).then(|| path.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_differing_key_is_named() {
        let a = json!({"model": {"width": 8, "group": "C4"}, "training": {"seed": 1}});
        let b = json!({"model": {"width": 8, "group": "C1"}, "training": {"seed": 1}});
        assert_eq!(first_difference(&a, &a, ""), None);
        assert_eq!(first_difference(&a, &b, "").unwrap(), "model.group");
        let c = json!({"model": {"width": 8, "group": "C4"}});
        assert_eq!(first_difference(&a, &c, "").unwrap(), "training");
    }
}
