//! `equilens simulate`.

use super::global::Session;
use super::outputs;
use super::problem::ProblemFile;
use super::stacks::{Stack, about_file};
use crate::error::Result;
use crate::tape::plan::Store;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Simulate noisy measurements of images
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  equilens simulate --problem ct.toml --images slices.npy --out sinograms.npy --seed 1

A problem file:
  [operator]
  kind = \"ray_transform\"
  image_size = 128
  views = 50
  [noise]
  kind = \"low_dose_ct\"
  photons = 1e4

Images of a whole multiple of the problem's size are measured on their own, finer grid.")]
pub(super) struct Arguments {
    #[command(flatten)]
    problem: ProblemFile,
    /// Images: [H, W] or [N, H, W]
    #[arg(long, value_name = "X.npy")]
    images: PathBuf,
    /// Write the measurements to this file
    #[arg(long, value_name = "Y.npy")]
    out: PathBuf,
}

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode> {
    let problem = arguments.problem.read()?;
    outputs::check_file(&arguments.out)?;
    let images = Stack::read(&arguments.images, problem.operator.domain().c())?;
    let store = Store::new(&session.gpu()?);
    let seed = session.seed.unwrap_or(0);
    let measured = problem.simulate(&store, &images.values, images.shape, seed);
    let measured = about_file(measured, &arguments.images)?;
    store.gpu().check_fault()?;
    let range = problem.operator.range();
    images.with_items(measured, range).write(&arguments.out)?;
    let document = json!({
        "out": arguments.out,
        "measurements": images.count(),
        "shape": [range.h(), range.w()],
        "seed": seed,
    });
    session.console.result(&document, || {
        format!(
            "{}: {} measurements of {}x{}, seed {seed}",
            arguments.out.display(),
            images.count(),
            range.h(),
            range.w()
        )
    })?;
    Ok(ExitCode::SUCCESS)
}
