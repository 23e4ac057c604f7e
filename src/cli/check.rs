//! `equilens check`.

use super::global::Session;
use super::{FAILED, devices, identifiability};
use crate::check::{self, AngleRow, Row};
use crate::error::Result;
use crate::report::{Align, Table};
use clap::{Args, Subcommand};
use serde_json::json;
use std::process::ExitCode;

/// Verify this installation on this adapter, or what transforms can reveal of a problem
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  equilens check
  equilens check conv
  equilens check variant
  equilens check --adapter 1 --json
  equilens check identifiability --problem ct.toml --group C36

Kernels are compared with their definitions in double precision, operators with their adjoints,
gradients with differences, networks with their turned selves. `check equivariance` also tells by how
much layers and networks miss rotations that their group or the pixel grid lacks. `check variant` does so for every
variant of every kernel, alone and within a network, which takes minutes without a GPU and is left
out otherwise. `check identifiability` needs no adapter. Exit code 1 if a check fails."
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only the checks with this in their name
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Identifiability(identifiability::Arguments),
}

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode> {
    if let Some(Command::Identifiability(arguments)) = &arguments.command {
        return identifiability::run(session, arguments);
    }
    let gpu = session.gpu()?;
    let seed = session.seed.unwrap_or_else(check::fresh_seed);
    let bar = session.console.bar(0, "checks");
    let rows = check::run_seeded(&gpu, arguments.name.as_deref(), seed, |row| {
        bar.inc_length(1);
        bar.inc(1);
        bar.set_message(row.name.clone());
    });
    bar.finish_and_clear();
    let rows = rows?;
    let angles = match arguments.name.as_deref() {
        Some("equivariance") => Some(check::angles(&gpu, seed)?),
        _ => None,
    };
    let failed = rows.iter().filter(|row| !row.pass).count();
    let mut document = json!({
        "adapter": devices::label(gpu.info()),
        "seed": seed,
        "checks": rows,
    });
    if let Some(angles) = &angles {
        document["angles"] = json!(angles);
    }
    session.console.result(&document, || {
        let verdict = match failed {
            0 => format!("all {} checks passed", rows.len()),
            _ => format!("{failed} of {} checks FAILED", rows.len()),
        };
        let angles = angles.as_deref().map_or(String::new(), |angles| {
            format!("{ANGLES_TITLE}\n\n{}\n", angle_table(angles))
        });
        format!("{}\n\n{}\n{angles}{verdict}", gpu.label(), table(&rows))
    })?;
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

const ANGLES_TITLE: &str = "\
How much f(T x) misses T f(x) for rotations T, relative to its variation, with random weights on a
smooth image: the group's quarter turns, which the pixel grid allows exactly, its other rotations, and
angles whether in the group or not.";

fn angle_table(rows: &[AngleRow]) -> Table {
    let angles = check::ANGLES.map(|degrees| format!("{degrees} degrees"));
    let [a, b, c] = [0, 1, 2].map(|i| (angles[i].as_str(), Align::Right));
    let mut table = Table::new([
        ("layer or network", Align::Left),
        ("group", Align::Left),
        ("quarter turns", Align::Right),
        ("its others", Align::Right),
        a,
        b,
        c,
    ]);
    for row in rows {
        let number = |error: f64| format!("{error:.1e}");
        let some = |error: Option<f64>| error.map_or("-".into(), number);
        let [a, b, c] = row.at.map(number);
        table.row([
            row.name.clone(),
            row.group.to_string(),
            some(row.on_grid),
            some(row.off_grid),
            a,
            b,
            c,
        ]);
    }
    table
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new([
        ("check", Align::Left),
        ("error", Align::Right),
        ("bound", Align::Right),
        ("", Align::Left),
    ]);
    for row in rows {
        let verdict = match (&row.note, row.pass) {
            (_, true) => "ok".to_string(),
            (None, false) => "FAILED".to_string(),
            (Some(note), false) => format!("FAILED: {note}"),
        };
        table.row([
            row.name.clone(),
            format!("{:.1e}", row.error),
            format!("{:.1e}", row.bound),
            verdict,
        ]);
    }
    table
}
