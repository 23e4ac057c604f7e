//! `equilens operator`.

use super::global::Session;
use super::outputs;
use super::outputs::about_file;
use super::problem::ProblemFile;
use crate::data::stack::{self, Stack};
use crate::error::{Error, Result};
use crate::operators::diagnostics;
use crate::tape::plan::{Options, Plan, Store};
use crate::tape::{Tape, Var};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Apply a problem's forward operator A, its adjoint, or a gradient, without noise
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  equilens operator forward --problem ct.toml --input images.npy --out sinograms.npy
  equilens operator adjoint --problem ct.toml --input sinograms.npy --out images.npy
  equilens operator gradient --problem ct.toml --input images.npy --data sinograms.npy --out g.npy
  equilens operator norm --problem ct.toml")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A x
    Forward(Map),
    /// A^T y, the exact transpose (of complex numbers, the conjugate transpose)
    Adjoint(Map),
    /// A^T (A x - y), the gradient of |A x - y|^2 / 2
    Gradient(Gradient),
    /// The largest singular value of A
    Norm(Norm),
}

#[derive(Debug, Args)]
struct Map {
    #[command(flatten)]
    problem: ProblemFile,
    /// What the operator is applied to
    #[arg(long, value_name = "IN.npy")]
    input: PathBuf,
    /// Write the result to this file
    #[arg(long, value_name = "OUT.npy")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct Gradient {
    #[command(flatten)]
    map: Map,
    /// The measurements y
    #[arg(long, value_name = "Y.npy")]
    data: PathBuf,
}

#[derive(Debug, Args)]
struct Norm {
    #[command(flatten)]
    problem: ProblemFile,
    /// Power iterations at most
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    iterations: u32,
}

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode> {
    let map = match &arguments.command {
        Command::Forward(map) | Command::Adjoint(map) => map,
        Command::Gradient(gradient) => &gradient.map,
        Command::Norm(arguments) => return norm(session, arguments),
    };
    let operator = map.problem.read()?.operator;
    outputs::check_file(&map.out)?;
    let (domain, range) = (operator.domain(), operator.range());
    let read = |path: &Path, of_range: bool| match of_range {
        true => Stack::measurements(path, range),
        false => Stack::images(path, domain),
    };
    let adjoint = matches!(arguments.command, Command::Adjoint(_));
    let input = read(&map.input, adjoint)?;
    let data = match &arguments.command {
        Command::Gradient(gradient) => {
            let data = read(&gradient.data, true)?;
            if data.count() != input.count() {
                return Err(Error::data(
                    &gradient.data,
                    format!(
                        "it holds {} measurements and {} holds {} images; give one for each",
                        data.count(),
                        map.input.display(),
                        input.count()
                    ),
                ));
            }
            Some(data)
        }
        _ => None,
    };
    let store = Store::new(&session.gpu()?);
    let period = operator.period();
    let result = apply(
        &store,
        period,
        &input,
        data.as_ref(),
        |tape, x, y| match y {
            Some(y) => operator.gradient(tape, x, y),
            None if adjoint => operator.adjoint(tape, x),
            None => operator.forward(tape, x),
        },
    )?;
    if let Some(i) = result.values.iter().position(|v| !v.is_finite()) {
        let overflow = Error::NotFinite(format!(
            "element {i} of the result is {}; the input is too large for single precision",
            result.values[i]
        ));
        return about_file(Err(overflow), &map.input);
    }
    result.write(&map.out)?;
    let item = result.item();
    let document = json!({
        "out": map.out,
        "count": result.count(),
        "shape": stack::extents(item),
    });
    session.console.result(&document, || {
        let (count, out) = (result.count(), map.out.display());
        format!("{out}: {count} of {}", stack::described(item))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Records `body` for one item (and its data) of each of `period` operators that take turns, and
/// replays it for all items.
fn apply(
    store: &Store,
    period: usize,
    input: &Stack,
    data: Option<&Stack>,
    body: impl FnOnce(&mut Tape, Var, Option<Var>) -> Result<Var>,
) -> Result<Stack> {
    let mut tape = Tape::new();
    let x = tape.input("x", input.item().with(0, period));
    let y = data.map(|data| tape.input("y", data.item().with(0, period)));
    let result = body(&mut tape, x, y)?;
    let plan = Plan::compile(&tape, &[result], store, Options::default())?;
    let mut values = Vec::new();
    // What the last round lacks is zero.
    let round = |stack: &Stack, index: usize| {
        let len = period * stack.item().elements();
        let rest = &stack.values[index * len..];
        let mut items = rest[..len.min(rest.len())].to_vec();
        items.resize(len, 0.0);
        items
    };
    for index in 0..input.count().div_ceil(period) {
        plan.write("x", &round(input, index))?;
        if let Some(data) = data {
            plan.write("y", &round(data, index))?;
        }
        plan.submit();
        values.extend(plan.read(result)?);
    }
    let item = result.shape().with(0, 1);
    values.truncate(input.count() * item.elements());
    Ok(input.with_items(values, item))
}

fn norm(session: &Session, arguments: &Norm) -> Result<ExitCode> {
    let operator = arguments.problem.read()?.operator;
    let store = Store::new(&session.gpu()?);
    let norm = diagnostics::norm(operator.as_ref(), &store, arguments.iterations as usize)?;
    let document = json!({ "operator": operator.name(), "norm": norm });
    (session.console).result(&document, || format!("{norm:.8}"))?;
    Ok(ExitCode::SUCCESS)
}
