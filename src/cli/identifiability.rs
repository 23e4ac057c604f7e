//! `equilens check identifiability`.

use super::global::Session;
use super::problem::ProblemFile;
use super::{FAILED, outputs};
use crate::check::{self, Identifiability, RANK_TOLERANCE, Spectrum, TransformGroup};
use crate::error::{Error, Result};
use crate::files;
use crate::problems::OperatorConfig;
use crate::report::plot::{Axes, Curve, line_plot};
use crate::report::{Align, Svg, Table};
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Longer side of the image, in pixels, unless told otherwise.
const SIZE: usize = 20;

/// Tell whether transforms of the image can reveal what an operator does not see
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  equilens check identifiability --problem ct.toml --group C36 --out spectrum
  equilens check identifiability --problem mri.toml --group shifts
  equilens check identifiability --problem mri.toml --group C12 --group shifts --size 16 --json

Networks that learn from measurements alone (equivariant imaging) can learn what the operator A
does not see only if the matrix M = [A T_g] of all transforms T_g has no null space (Chen et al.
2023, equation 18). The operator is rebuilt for a small image with as many measurements for each
pixel: fewer views, bins or lines, so try several sizes. The rank counts singular values above
1e-6 of the largest, which rounding does not reach; how many are below 1e-1, 1e-2 and 1e-3 tells
what noise hides.

Groups: C and D with the number of rotations (C4, D4, C36; rotations by other than quarter turns
are interpolated, with zeros outside the image, which lose its corners), and shifts, all circular
ones by whole pixels. With several, all products: the first one's transform moves the image last.

Needs no adapter. Exit code 0 if the answer is yes, 1 if it is no.")]
pub(super) struct Arguments {
    #[command(flatten)]
    problem: ProblemFile,
    /// Transforms: C4, D4, C36, ... or shifts; several give all products
    #[arg(long = "group", value_name = "G", required = true, value_parser = str::parse::<TransformGroup>)]
    groups: Vec<TransformGroup>,
    /// Longer side of the image in pixels [default: 20, or the problem's own if that is smaller]
    #[arg(long, value_name = "N")]
    size: Option<usize>,
    /// Write spectrum.svg and identifiability.json into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What is written as JSON.
#[derive(Serialize)]
struct Document<'a> {
    /// The operator that was looked at.
    operator: &'a OperatorConfig,
    /// The problem's own.
    problem_operator: &'a OperatorConfig,
    /// Singular values up to this part of the largest do not count.
    rank_tolerance: f64,
    #[serde(flatten)]
    found: &'a Identifiability,
    verdict: String,
}

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode> {
    if let Some(out) = &arguments.out {
        outputs::check_directory(out)?;
    }
    let own = arguments.problem.read()?.config.operator;
    let [rows, columns] = own.image_size().extents();
    let size = arguments.size.unwrap_or(SIZE.min(rows.max(columns)));
    let small = own.scaled(size)?;
    let found = check::identifiability(small.build(1)?.as_ref(), &arguments.groups)?;
    let document = Document {
        operator: &small,
        problem_operator: &own,
        rank_tolerance: RANK_TOLERANCE,
        found: &found,
        verdict: found.verdict(),
    };
    if let Some(out) = &arguments.out {
        files::create_directory(out)?;
        let plot = spectrum(&found)?.to_string();
        files::write_bytes(out.join("spectrum.svg"), plot.as_bytes())?;
        let json = serde_json::to_string_pretty(&document)
            .map_err(|e| Error::NotFinite(format!("the spectra cannot be written as JSON: {e}")))?;
        files::write_bytes(out.join("identifiability.json"), json.as_bytes())?;
    }
    session.console.result(&document, || {
        let rebuilt = match small == own {
            true => String::new(),
            false => format!("\nrebuilt from: {}", keys(&own)),
        };
        format!(
            "{}{rebuilt}\n{}\n\n{}\n{}",
            keys(&small),
            counted(&found),
            table(&found),
            document.verdict
        )
    })?;
    Ok(match found.identifiable {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FAILED),
    })
}

/// The keys of an operator, as a problem file has them, on one line.
fn keys(operator: &OperatorConfig) -> String {
    let table = toml::Table::try_from(operator).unwrap_or_default();
    let keys = table.iter().map(|(key, value)| format!("{key} = {value}"));
    keys.collect::<Vec<_>>().join(", ")
}

/// The necessary condition.
fn counted(found: &Identifiability) -> String {
    let Identifiability {
        order,
        unknowns,
        measured,
        ..
    } = found;
    let relation = match found.enough_measurements {
        true => ">= n: enough measurements",
        false => "< n: too few measurements, whatever the transforms",
    };
    format!(
        "n = {unknowns} numbers of an image, m = {measured} of a measurement, |G| = {order} transforms; m |G| = {} {relation}",
        measured * order
    )
}

/// Both matrices by their names.
fn spectra(found: &Identifiability) -> [(&'static str, &Spectrum); 2] {
    [("A alone", &found.alone), ("M = [A T_g]", &found.stacked)]
}

fn table(found: &Identifiability) -> Table {
    let mut table = Table::new([
        ("matrix", Align::Left),
        ("rank", Align::Right),
        ("smallest / largest", Align::Right),
        ("below 1e-1", Align::Right),
        ("below 1e-2", Align::Right),
        ("below 1e-3", Align::Right),
    ]);
    for (name, spectrum) in spectra(found) {
        let below = spectrum.below;
        table.row([
            name.to_string(),
            spectrum.rank.to_string(),
            format!("{:.1e}", spectrum.smallest),
            below.tenth.to_string(),
            below.hundredth.to_string(),
            below.thousandth.to_string(),
        ]);
    }
    table
}

/// The singular values of both matrices, relative to the largest of each.
fn spectrum(found: &Identifiability) -> Result<Svg> {
    // Rounding alone decides what is far below the tolerance.
    let lowest = 0.1 * RANK_TOLERANCE;
    let axes = Axes::new(
        format!("Singular values; {}", found.verdict()),
        "number",
        format!("singular value / largest ({lowest:.0e} or less at the bottom)"),
    );
    let curves = spectra(found).map(|(name, spectrum)| {
        let value = |(i, v): (usize, f64)| ((i + 1) as f64, v.max(lowest));
        Curve::new(name, spectrum.relative().enumerate().map(value).collect())
    });
    line_plot(&axes.log_y(), &curves)
}
