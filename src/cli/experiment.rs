//! `equilens experiment`.

use super::global::Session;
use super::watch::Watch;
use super::{interrupt, outputs};
use crate::error::Result;
use crate::experiments::Scale;
use crate::experiments::timing::{self, TimingOptions};
use crate::experiments::training_size::{self, TrainingSizeOptions};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// Repeat an experiment of the papers
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  equilens experiment mri-training-size --scale small --out results/mri
  equilens experiment mri-training-size --scale paper --train t1.npy --test t1-test.npy --out results/mri
  equilens experiment timing --scale small --out results/timing

Scales: smoke takes about a minute on two processor cores, small less than an hour, paper is for a
GPU. Ctrl-C saves; the same command again goes on.")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// MRI: ordinary against equivariant networks by the number of training images, tested upright
    /// and rotated (Celledoni et al. 2021, figures 9 and 10)
    MriTrainingSize(TrainingSize),
    /// Time of a training step, ordinary against equivariant, CT and MRI (the same, section 5.2.4)
    Timing(Common),
}

#[derive(Debug, Args)]
struct Common {
    /// How much is done
    #[arg(long, value_enum, default_value = "small")]
    scale: Amount,
    /// Directory for results
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct TrainingSize {
    #[command(flatten)]
    common: Common,
    /// Training images of the scale's size (320 x 320 for paper), instead of the built-in ones
    #[arg(long, value_name = "X.npy", requires = "test")]
    train: Option<PathBuf>,
    /// Test images of other patients
    #[arg(long, value_name = "X.npy", requires = "train")]
    test: Option<PathBuf>,
}

/// A scale as typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Amount {
    /// A minute
    Smoke,
    /// Less than an hour
    Small,
    /// The paper's sizes
    Paper,
}

impl From<Amount> for Scale {
    fn from(amount: Amount) -> Scale {
        match amount {
            Amount::Smoke => Scale::Smoke,
            Amount::Small => Scale::Small,
            Amount::Paper => Scale::Paper,
        }
    }
}

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode> {
    let common = match &arguments.command {
        Command::MriTrainingSize(size) => &size.common,
        Command::Timing(common) => common,
    };
    let (scale, out) = (Scale::from(common.scale), common.out.clone());
    outputs::check_directory(&out)?;
    let gpu = session.gpu()?;
    let console = session.console;
    let mut watch = Watch::new(console);
    let mut observer = |event| watch.show(event);
    match &arguments.command {
        Command::MriTrainingSize(size) => {
            let options = TrainingSizeOptions {
                scale,
                out,
                images: size
                    .train
                    .clone()
                    .zip(size.test.clone())
                    .map(<[PathBuf; 2]>::from),
                seed: session.seed.unwrap_or(1),
            };
            let result = training_size::run(&gpu, &options, interrupt::watch(), &mut observer)?;
            gpu.check_fault()?;
            console.result(&result, || {
                format!(
                    "\n{}\n{}, on {}\nPlots, pictures and report: {}",
                    training_size::table(&result),
                    result.problem,
                    result.adapter,
                    options.out.join("report.html").display()
                )
            })?;
        }
        Command::Timing(_) => {
            let options = TimingOptions {
                scale,
                out,
                seed: session.seed.unwrap_or(1),
            };
            let result = timing::run(&gpu, &options, interrupt::watch(), &mut observer)?;
            gpu.check_fault()?;
            console.result(&result, || {
                format!(
                    "\n{}\nwidth {}, {} blocks, on {}",
                    timing::table(&result),
                    result.width,
                    result.blocks,
                    result.adapter
                )
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
