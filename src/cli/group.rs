//! `equilens group`.

use super::global::Session;
use super::outputs;
use crate::data::npy;
use crate::error::Result;
use crate::group::{Group, KernelBasis, Representation};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Look into symmetry groups
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Basis(BasisArguments),
}

/// Compute a basis of the convolution kernels that commute with a group
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  equilens group basis --group C4 --output regular
  equilens group basis --group D4 --input regular --output regular --out basis.npy
  equilens group basis --group C8 --basis harmonic --size 5 --output 'irrep(1)'
  equilens group basis --group SO2 --basis harmonic --size 5 --input 'irrep(0)+irrep(1)' --output 'irrep(2)'

Groups: C and D with the number of rotations, SO2 and O2 with all rotations (harmonic basis, irreps).
Representations: trivial, regular, irrep(FREQUENCY), irrep(FREQUENCY,odd), quotient(C2), or several
joined by +. The file holds [elements, out, in, size, size] float64.")]
struct BasisArguments {
    /// Group: C4 for quarter turns, D4 with mirrors, SO2 for all rotations, ...
    #[arg(long, default_value = "C4", value_parser = str::parse::<Group>)]
    group: Group,
    /// Representation of the input
    #[arg(long, default_value = "trivial")]
    input: String,
    /// Representation of the output
    #[arg(long, default_value = "regular")]
    output: String,
    /// Kernel rows and columns
    #[arg(long, default_value_t = 3)]
    size: usize,
    /// Every kernel on the pixel grid, or circular harmonics
    #[arg(long, value_enum, default_value = "complete")]
    basis: Kind,
    /// Write the basis to this .npy file
    #[arg(long, value_name = "K.npy")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Complete,
    Harmonic,
}

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode> {
    let Command::Basis(arguments) = &arguments.command;
    let group = arguments.group;
    let input = Representation::parse(&arguments.input, group)?;
    let output = Representation::parse(&arguments.output, group)?;
    if let Some(out) = &arguments.out {
        outputs::check_file(out)?;
    }
    let build = match arguments.basis {
        Kind::Complete => KernelBasis::complete,
        Kind::Harmonic => KernelBasis::harmonic,
    };
    let basis = build(group, &input, &output, arguments.size)?;
    if let Some(out) = &arguments.out {
        npy::write_npy(out, &basis.shape(), basis.elements())?;
    }
    let document = json!({
        "group": group.to_string(),
        "input": input.to_string(),
        "output": output.to_string(),
        "dimension": basis.len(),
        "shape": basis.shape(),
    });
    session.console.result(&document, || {
        let [dimension, rows, columns, size, _] = basis.shape();
        format!(
            "{dimension} kernels of {size}x{size} pixels, {rows}x{columns} channels, from {input} to {output} of {group}"
        )
    })?;
    Ok(ExitCode::SUCCESS)
}
