//! `equilens bench`.

use super::global::Session;
use super::{FAILED, devices, outputs};
use crate::bench::{self, Benchmark, Measurement, Report};
use crate::error::Result;
use crate::files;
use crate::report::{Align, Table};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Measure the kernels' speed against what the adapter could reach
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  equilens bench
  equilens bench --filter conv3x3/forward
  equilens bench step/ct/C1/96/128 step/ct/C4/96/128 --samples 3
  equilens bench --record benches/runs/my-machine.json

Names: conv3x3/forward|input_gradient|weight_gradient/IN-OUT/SIZE, ray/forward|adjoint/SIZE-VIEWS,
step/ct/GROUP/WIDTH/SIZE, infer/ct/GROUP/WIDTH/SIZE. Without a name or a filter the quick ones run.
A kernel is timed only if it has just agreed with its reference in double precision.")]
pub(super) struct Arguments {
    /// Benchmarks to run
    #[arg(value_name = "NAME", value_parser = str::parse::<Benchmark>)]
    names: Vec<Benchmark>,
    /// Run the known benchmarks whose name begins like this
    #[arg(long, value_name = "PREFIX", conflicts_with = "names")]
    filter: Option<String>,
    /// Timings of each
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    samples: u16,
    /// Also write the results with date, host and commit to this JSON file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode> {
    let benchmarks = match &arguments.filter {
        Some(prefix) => Benchmark::with_prefix(prefix)?,
        None if arguments.names.is_empty() => Benchmark::defaults(),
        None => arguments.names.clone(),
    };
    if let Some(record) = &arguments.record {
        outputs::check_file(record)?;
    }
    let gpu = session.gpu()?;
    let samples = usize::from(arguments.samples);
    // One tick for the ceiling, one for each comparison, one for each sample.
    let ticks = 1 + benchmarks.len() * (1 + samples);
    let bar = session.console.bar(ticks as u64, "");
    let report = bench::run(&gpu, &benchmarks, samples, |next| {
        bar.set_message(next.to_string());
        bar.inc(1);
    });
    bar.finish_and_clear();
    let report = report?;
    let document = json!({
        "adapter": devices::label(gpu.info()),
        "ceiling": report.ceiling,
        "results": report.results,
    });
    if let Some(path) = &arguments.record {
        let mut record = provenance();
        if let (Some(record), Some(results)) = (record.as_object_mut(), document.as_object()) {
            record.extend(results.clone());
        }
        let mut text = format!("{record:#}");
        text.push('\n');
        files::write_bytes(path, text.as_bytes())?;
    }
    session.console.result(&document, || {
        format!(
            "{}\nceiling: {:.1} GFLOP/s multiply-add, {:.1} GB/s copy\n\n{}",
            gpu.label(),
            report.ceiling.fma_gflops,
            report.ceiling.copy_gbytes,
            table(&report)
        )
    })?;
    for failed in report.results.iter().filter(|r| !r.verified) {
        let why = failed.mismatch.as_deref().unwrap_or_default();
        session
            .console
            .remark(&format!("{} was not timed: {why}", failed.name));
    }
    Ok(if report.verified() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

fn table(report: &Report) -> Table {
    let mut table = Table::new([
        ("benchmark", Align::Left),
        ("variant", Align::Left),
        ("median ms", Align::Right),
        ("min", Align::Right),
        ("max", Align::Right),
        ("GFLOP/s", Align::Right),
        ("GB/s", Align::Right),
        ("of roofline", Align::Right),
        ("MiB", Align::Right),
        ("overhead", Align::Right),
    ]);
    for result in &report.results {
        table.row(cells(result));
    }
    table
}

fn cells(result: &Measurement) -> Vec<String> {
    let mut cells = vec![result.name.clone(), result.variant.clone()];
    match &result.timing {
        Some(t) => cells.extend([
            format!("{:.3}", t.median_ms),
            format!("{:.3}", t.min_ms),
            format!("{:.3}", t.max_ms),
            format!("{:.1}", t.gflops),
            format!("{:.1}", t.gbytes),
            format!("{:.0} %", 100.0 * t.fraction),
        ]),
        None => cells.push("differs".into()),
    }
    if let (Some(network), Some(_)) = (&result.network, &result.timing) {
        cells.push(format!(
            "{:.0}",
            network.peak_bytes as f64 / f64::from(1 << 20)
        ));
        let overhead = network.replay_overhead.unwrap_or(f64::NAN);
        cells.push(format!("{:.1} %", 100.0 * overhead));
    }
    cells
}

/// Date, host, versions and commit: what makes a measurement worth keeping.
fn provenance() -> Value {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    json!({
        "date": date(seconds.map_or(0, |d| d.as_secs())),
        "commit": commit(),
        "equilens": env!("CARGO_PKG_VERSION"),
        "host": {
            "os": std::env::consts::OS,
            "architecture": std::env::consts::ARCH,
            "processor": processor(),
            "cores": cores,
        },
    })
}

/// The processor's name where the system tells it in a file.
fn processor() -> String {
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = told.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(':'));
    name.map_or("unknown", |(_, name)| name.trim()).to_string()
}

/// The commit of the working directory, as git or the environment tells it.
fn commit() -> String {
    if let Some(commit) = std::env::var("EQUILENS_COMMIT")
        .ok()
        .filter(|c| !c.is_empty())
    {
        return commit;
    }
    let git = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12"])
        .output();
    match git {
        Ok(told) if told.status.success() => {
            String::from_utf8_lossy(&told.stdout).trim().to_string()
        }
        _ => "unknown".into(),
    }
}

/// The UTC date `YYYY-MM-DD` of a Unix time (Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`).
fn date(unix_seconds: u64) -> String {
    let days = unix_seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_known_instants() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(951_868_800), "2000-03-01");
        assert_eq!(date(1_735_689_599), "2024-12-31");
    }
}
