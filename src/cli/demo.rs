//! `equilens demo`.

use super::global::Session;
use super::interrupt;
use super::watch::Watch;
use crate::error::Result;
use crate::experiments::Method;
use crate::experiments::demo::{self, DemoOptions, Scan};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// Train and compare reconstructions of CT or MRI on the built-in images, in a few minutes
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  equilens demo
  equilens demo --slices 3
  equilens demo --problem mri --out mri-demo
  equilens demo --size 128 --steps 2000 --width 48 --blocks 8    (on a GPU)

Compares FBP (for MRI, zero filling), TV, an ordinary and two equivariant learned proximal gradient
networks on test slices of another patient, upright and turned by random angles. --out gets pictures,
metrics.json and report.html.")]
pub(super) struct Arguments {
    /// How the images are measured: low-dose CT, or MRI with a fifth of k-space
    #[arg(long, value_enum, default_value = "ct")]
    problem: Choice,
    /// Directory for pictures, metrics.json and report.html
    #[arg(long, value_name = "DIR", default_value = "equilens-demo")]
    out: PathBuf,
    /// Training slices, 1 to 24
    #[arg(long, value_name = "N", default_value_t = DemoOptions::default().slices)]
    slices: usize,
    /// Rows and columns of the reconstructions: 64, 128 or 256
    #[arg(long, value_name = "PIXELS", default_value_t = DemoOptions::default().size)]
    size: usize,
    /// Steps of each training
    #[arg(long, value_name = "N", default_value_t = DemoOptions::default().steps)]
    steps: u64,
    /// Channels of the ordinary network, a multiple of 4
    #[arg(long, value_name = "N", default_value_t = DemoOptions::default().width)]
    width: usize,
    /// Unrolled iterations
    #[arg(long, value_name = "N", default_value_t = DemoOptions::default().blocks)]
    blocks: usize,
}

/// A scan as typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Choice {
    /// Low-dose CT of chests
    Ct,
    /// MRI of heads
    Mri,
}

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode> {
    let options = DemoOptions {
        scan: match arguments.problem {
            Choice::Ct => Scan::Ct,
            Choice::Mri => Scan::Mri,
        },
        out: arguments.out.clone(),
        slices: arguments.slices,
        size: arguments.size,
        steps: arguments.steps,
        width: arguments.width,
        blocks: arguments.blocks,
        seed: session.seed.unwrap_or(DemoOptions::default().seed),
    };
    let gpu = session.gpu()?;
    let console = session.console;
    let mut watch = Watch::new(console);
    let mut observer = |event| watch.show(event);
    let result = demo::run(&gpu, &options, interrupt::watch(), &mut observer)?;
    gpu.check_fault()?;
    console.result(&result, || {
        format!(
            "\n{}\n{}, on {}\nPictures and report: {}",
            Method::table(&result.methods),
            result.problem,
            result.adapter,
            options.out.join("report.html").display()
        )
    })?;
    Ok(ExitCode::SUCCESS)
}
