//! `equilens bench`.

mod provenance;
mod text;

use super::global::Session;
use super::{FAILED, devices, outputs};
use crate::bench::peers::{PeerCommand, PeerRecord};
use crate::bench::table::{self, Program, TableOptions};
use crate::bench::{self, Benchmark};
use crate::error::{Error, Result};
use crate::files;
use crate::gpu::Gpu;
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// Measure the kernels' speed against what the adapter could reach
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  equilens bench
  equilens bench --filter conv3x3/forward
  equilens bench step/ct/C1/96/128 step/ct/C4/96/128 --samples 3
  equilens bench --record benches/runs/my-machine.json
  equilens bench --compare step/ct/C4/96/64 step/ct/C1/96/64
  equilens bench --compare 'tiled 16x4x4' readable --name conv3x3/forward/96-96/64
  equilens bench --scaling --quick
  equilens bench --table --filter ray \\
    --peer-command scipy='python3 benches/peers/python/scipy_peer.py'

Names: conv3x3/forward|input_gradient|weight_gradient/IN-OUT/SIZE,
symmetric_conv/GROUP/forward|input_gradient|weight_gradient/INFIELDS-OUTFIELDS/SIZE,
ray/forward|adjoint/[fan_flat/|fan_curved/][BATCHx]SIZE-VIEWS[-BINS], warp/forward|adjoint/SIZE,
fft2/SIZE, fft2/ROWSxCOLUMNS,
step/ct|mri/GROUP/WIDTH/SIZE, infer/ct|mri/GROUP/WIDTH/SIZE. Without a name or a filter the quick
ones run. A kernel is timed only if it has just agreed with its
reference in double precision.")]
pub(super) struct Arguments {
    /// Benchmarks to run
    #[arg(value_name = "NAME", value_parser = str::parse::<Benchmark>)]
    names: Vec<Benchmark>,
    /// Run the known benchmarks, or with --table the rows, whose name begins like this
    #[arg(long, value_name = "PREFIX", conflicts_with = "names")]
    filter: Option<String>,
    /// Compare two benchmarks, or with --name two variants of one, in turns: pair by pair
    #[arg(long, num_args = 2, value_names = ["A", "B"], group = "mode", conflicts_with_all = ["names", "filter"])]
    compare: Option<Vec<String>>,
    /// The benchmark whose variants are compared
    #[arg(long, value_name = "NAME", requires = "compare", value_parser = str::parse::<Benchmark>)]
    name: Option<Benchmark>,
    /// Measure how a training step grows with image size, width, blocks and batch
    #[arg(long, group = "mode", conflicts_with_all = ["names", "filter"])]
    scaling: bool,
    /// Leave the large ones out
    #[arg(long, requires = "scaling")]
    quick: bool,
    /// Measure everything that has an aim, side by side with other programs where these are given
    #[arg(long, group = "mode", conflicts_with = "names")]
    table: bool,
    /// Records of other programs, one JSON object a line (see benches/peers/README.md)
    #[arg(long, value_name = "FILE", requires = "table")]
    peers: Option<PathBuf>,
    /// Another program to run in turns with ours, as PEER=COMMAND; once for each
    #[arg(long, value_name = "PEER=COMMAND", requires = "table", value_parser = str::parse::<PeerCommand>)]
    peer_command: Vec<PeerCommand>,
    /// Tell time and memory of this process's first training step, without comparing it
    #[arg(long, value_name = "NAME", group = "mode", conflicts_with_all = ["names", "filter"], value_parser = str::parse::<Benchmark>)]
    first_step: Option<Benchmark>,
    /// Timings of each [default: 7; --compare 9 pairs; --table 5; --scaling 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    samples: Option<u16>,
    /// Also write the results with date, host and commit to this JSON file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode> {
    if let Some(record) = &arguments.record {
        outputs::check_file(record)?;
    }
    let samples = |default: usize| arguments.samples.map_or(default, usize::from);
    if let Some([a, b]) = arguments.compare.as_deref() {
        compare(session, arguments, [a, b], samples(9))
    } else if arguments.scaling {
        scaling(session, arguments, samples(3))
    } else if arguments.table {
        table(session, arguments, samples(5))
    } else if let Some(step) = arguments.first_step {
        first_step(session, arguments, step)
    } else {
        measure(session, arguments, samples(7))
    }
}

/// The benchmarks one by one.
fn measure(session: &Session, arguments: &Arguments, samples: usize) -> Result<ExitCode> {
    let benchmarks = match &arguments.filter {
        Some(prefix) => Benchmark::with_prefix(prefix)?,
        None if arguments.names.is_empty() => Benchmark::defaults(),
        None => arguments.names.clone(),
    };
    let gpu = session.gpu()?;
    // One tick for the ceiling, one for each comparison, one for each sample.
    let ticks = 1 + benchmarks.len() * (1 + samples);
    let bar = session.console.bar(ticks as u64, "");
    let report = bench::run(&gpu, &benchmarks, samples, |next| {
        bar.set_message(next.to_string());
        bar.inc(1);
    });
    bar.finish_and_clear();
    let report = report?;
    let results = json!({"ceiling": report.ceiling, "results": report.results});
    tell(session, arguments, &gpu, results, || text::report(&report))?;
    for failed in report.results.iter().filter(|r| !r.verified) {
        not_timed(session, &failed.name, failed.mismatch.as_deref());
    }
    Ok(code(report.verified()))
}

fn compare(
    session: &Session,
    arguments: &Arguments,
    names: [&str; 2],
    pairs: usize,
) -> Result<ExitCode> {
    if arguments.name.is_none() {
        // A wrong name is told before a device is opened.
        for name in names {
            name.parse::<Benchmark>().map_err(|error| {
                Error::Config(format!(
                    "{error}; to compare two variants of one benchmark, say which with --name"
                ))
            })?;
        }
    }
    let gpu = session.gpu()?;
    let bar = session.console.bar(2 + pairs as u64, "");
    let comparison = bench::compare(&gpu, names, arguments.name, pairs, |next| {
        bar.set_message(next.to_string());
        bar.inc(1);
    });
    bar.finish_and_clear();
    let comparison = comparison?;
    let document = json!({ "comparison": comparison });
    tell(session, arguments, &gpu, document, || {
        text::comparison(&comparison)
    })?;
    for side in [&comparison.a, &comparison.b] {
        if !side.verified {
            not_timed(session, &side.name, side.mismatch.as_deref());
        }
    }
    Ok(code(comparison.verified()))
}

fn scaling(session: &Session, arguments: &Arguments, samples: usize) -> Result<ExitCode> {
    let gpu = session.gpu()?;
    let progress = |point: &str| session.console.remark(point);
    let scaling = bench::scaling(&gpu, samples, arguments.quick, progress)?;
    let document = json!({ "scaling": scaling });
    tell(session, arguments, &gpu, document, || {
        text::scaling(&scaling)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn table(session: &Session, arguments: &Arguments, samples: usize) -> Result<ExitCode> {
    let records = arguments.peers.as_deref().map(PeerRecord::read);
    let path = std::env::current_exe().map_err(|e| Error::io("equilens", "find", e))?;
    let options = TableOptions {
        samples,
        filter: arguments.filter.clone().unwrap_or_default(),
        records: records.transpose()?.unwrap_or_default(),
        commands: arguments.peer_command.clone(),
        program: Program {
            path,
            arguments: session.arguments(),
        },
    };
    let gpu = session.gpu()?;
    let rows = table::table(&gpu, &options, &mut |row| session.console.remark(row))?;
    let missed = rows.iter().any(|row| row.reached == Some(false));
    let document = json!({ "samples": samples, "table": rows });
    tell(session, arguments, &gpu, document, || text::table(&rows))?;
    Ok(code(!missed))
}

fn first_step(session: &Session, arguments: &Arguments, step: Benchmark) -> Result<ExitCode> {
    let Benchmark::Step(network) = step else {
        return Err(Error::Config(format!(
            "--first-step {step}: only step/ct|mri/GROUP/WIDTH/SIZE has a first step"
        )));
    };
    let gpu = session.gpu()?;
    let told = bench::first_step(&gpu, network)?;
    gpu.check_fault()?;
    let document = json!({ "name": step.to_string(), "first_step": told });
    tell(session, arguments, &gpu, document, || {
        text::first_step(&step.to_string(), &told)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the record, if one is asked for, and prints the result.
fn tell(
    session: &Session,
    arguments: &Arguments,
    gpu: &Gpu,
    results: Value,
    text: impl FnOnce() -> String,
) -> Result<()> {
    let mut document = json!({"adapter": devices::label(gpu.info())});
    extend(&mut document, &results);
    if let Some(path) = &arguments.record {
        let mut record = provenance::provenance();
        extend(&mut record, &document);
        let mut text = format!("{record:#}");
        text.push('\n');
        files::write_bytes(path, text.as_bytes())?;
    }
    (session.console).result(&document, || format!("{}\n{}", gpu.label(), text()))
}

fn extend(document: &mut Value, more: &Value) {
    if let (Some(document), Some(more)) = (document.as_object_mut(), more.as_object()) {
        document.extend(more.clone());
    }
}

fn not_timed(session: &Session, name: &str, why: Option<&str>) {
    let why = why.unwrap_or_default();
    let text = format!("{name} was not timed: {why}");
    session.console.remark(&text);
}

fn code(good: bool) -> ExitCode {
    match good {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FAILED),
    }
}
