//! `equilens reconstruct`.

use super::global::Session;
use super::outputs::about_file;
use super::{outputs, pictures};
use crate::data::stack::Stack;
use crate::error::Result;
use crate::problems::Problem;
use crate::train::{Reconstructor, RunDir, Which};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Reconstruct images from measurements with a trained network
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  equilens reconstruct runs/c4 --input y.npy --out u.npy
  equilens reconstruct runs/c4 --input y.npy --out u.npy --png pictures")]
pub(super) struct Arguments {
    /// Directory of a training run
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Measurements, as `simulate` writes them
    #[arg(long, value_name = "Y.npy")]
    input: PathBuf,
    /// Write the reconstructions to this file
    #[arg(long, value_name = "U.npy")]
    out: PathBuf,
    /// Also write each reconstruction as a picture into this directory
    #[arg(long, value_name = "DIR")]
    png: Option<PathBuf>,
    /// Which of the run's checkpoints
    #[arg(long, value_enum, default_value = "best")]
    checkpoint: Choice,
}

/// A checkpoint as typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Choice {
    /// The best in validation, or the last one without validation
    Best,
    /// The last one
    Last,
}

impl From<Choice> for Which {
    fn from(choice: Choice) -> Which {
        match choice {
            Choice::Best => Which::Best,
            Choice::Last => Which::Last,
        }
    }
}

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode> {
    let run = RunDir::open(&arguments.run)?;
    outputs::check_file(&arguments.out)?;
    if let Some(directory) = &arguments.png {
        outputs::check_directory(directory)?;
    }
    let problem = Problem::new(&run.config().problem)?;
    let operator = problem.operator.as_ref();
    let measurements = Stack::measurements(&arguments.input, operator.range())?;
    let gpu = session.gpu()?;
    let count = measurements.count();
    let which = Which::from(arguments.checkpoint);
    let network = Reconstructor::open(&gpu, &run, which, operator, count)?;
    let images = network.reconstruct(&measurements.values, count);
    let images = about_file(images, &arguments.input)?;
    gpu.check_fault()?;
    let images = measurements.with_items(images, operator.domain());
    images.write(&arguments.out)?;
    if let Some(directory) = &arguments.png {
        pictures::write(directory, &images)?;
    }
    let document = json!({
        "out": arguments.out,
        "images": count,
        "parameters": network.parameters(),
    });
    session.console.result(&document, || {
        let out = arguments.out.display();
        format!("{out}: {count} images by {}", arguments.run.display())
    })?;
    Ok(ExitCode::SUCCESS)
}
