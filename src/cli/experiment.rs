//! `equilens experiment`.

use super::global::Session;
use super::watch::Watch;
use super::{interrupt, outputs};
use crate::error::Result;
use crate::experiments::timing::{self, TimingOptions};
use crate::experiments::unsupervised::{self, Subject};
use crate::experiments::{
    Options, Scale, augmentation, denoising, one_image, orders, results, shifts, training_size,
    tv_inpainting, unrolled,
};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// Repeat an experiment of the papers
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  equilens experiment mri-training-size --scale small --out results/mri
  equilens experiment mri-training-size --scale paper --train t1.npy --test t1-test.npy --out results/mri
  equilens experiment orders --scale small --out results/orders
  equilens experiment one-image --scale small --out results/one-image
  equilens experiment ei-ct --scale small --out results/ei-ct
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
    MriTrainingSize(Trainings),
    /// CT: reconstruction quality against the order m of the group C_m of rotations, networks of
    /// one width (the same, figure 6)
    Orders(Trainings),
    /// CT: networks trained on one image, tested on it and on others, upright and rotated (the
    /// same, figure 1)
    OneImage(Trainings),
    /// CT of few views: measurement consistency, equivariant imaging and supervision, with ordinary
    /// and equivariant networks (Chen et al. 2023, section V)
    EiCt(Trainings),
    /// The same with much noise, and robust equivariant imaging (the same, figure 9)
    ReiCt(Trainings),
    /// MRI of few lines: measurement consistency, equivariant imaging and supervision (the same,
    /// figure 8)
    EiMri(Trainings),
    /// The same for images of which most pixels are missing, with shifts
    EiInpainting(Trainings),
    /// CT of few views: what augmentation and equivariance by design gain, by the number of
    /// training images (the same, section IV)
    Augmentation(Trainings),
    /// Denoisers at levels of noise that they were not trained on, with and without biases (the same,
    /// figure 6)
    Denoising(Trainings),
    /// Deblurring and inpainting: which networks generalise over shifts, convolutional or fully
    /// connected (the same, figure 1)
    Shifts(Trainings),
    /// CT: unrolled networks with translational and with roto-translational parts (the same, figure 5)
    Unrolled(Trainings),
    /// Inpainting by total variation: turning before or after it is not the same (Celledoni et al.
    /// 2021, figure 2)
    TvInpainting(Trainings),
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
struct Trainings {
    #[command(flatten)]
    common: Common,
    /// Training steps of each network (iterations, where total variation is all there is), instead
    /// of the scale's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Training images of the scale's size (for paper 320 x 320 in MRI, 512 x 512 or a multiple in
    /// CT), instead of the built-in ones
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

impl Trainings {
    fn options(&self, session: &Session) -> Options {
        let own = self.train.clone().zip(self.test.clone());
        Options {
            scale: self.common.scale.into(),
            out: self.common.out.clone(),
            images: own.map(<[PathBuf; 2]>::from),
            steps: self.steps,
            seed: session.seed.unwrap_or(1),
        }
    }
}

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode> {
    let common = match &arguments.command {
        Command::MriTrainingSize(trainings)
        | Command::Orders(trainings)
        | Command::OneImage(trainings)
        | Command::EiCt(trainings)
        | Command::ReiCt(trainings)
        | Command::EiMri(trainings)
        | Command::EiInpainting(trainings)
        | Command::Augmentation(trainings)
        | Command::Denoising(trainings)
        | Command::Shifts(trainings)
        | Command::Unrolled(trainings)
        | Command::TvInpainting(trainings) => &trainings.common,
        Command::Timing(common) => common,
    };
    outputs::check_directory(&common.out)?;
    let gpu = session.gpu()?;
    let console = session.console;
    let mut watch = Watch::new(console);
    let mut observer = |event| watch.show(event);
    let interrupt = interrupt::watch();
    // What stands below the tables.
    let place = |problem: &str, adapter: &str| {
        let report = common.out.join("report.html");
        format!(
            "{problem}, on {adapter}\nPlots, pictures and report: {}",
            report.display()
        )
    };
    match &arguments.command {
        Command::EiCt(trainings)
        | Command::ReiCt(trainings)
        | Command::EiMri(trainings)
        | Command::EiInpainting(trainings) => {
            let subject = match &arguments.command {
                Command::ReiCt(_) => Subject::NoisyCt,
                Command::EiMri(_) => Subject::Mri,
                Command::EiInpainting(_) => Subject::Inpainting,
                _ => Subject::Ct,
            };
            let options = trainings.options(session);
            let result = unsupervised::run(subject, &gpu, &options, interrupt, &mut observer)?;
            gpu.check_fault()?;
            console.result(&result, || {
                let table = unsupervised::table(&result);
                let found = &result.results;
                format!("\n{table}\n{}", place(&found.problem, &found.adapter))
            })?;
        }
        Command::MriTrainingSize(trainings) | Command::Augmentation(trainings) => {
            let options = trainings.options(session);
            let run = match &arguments.command {
                Command::Augmentation(_) => augmentation::run,
                _ => training_size::run,
            };
            let result = run(&gpu, &options, interrupt, &mut observer)?;
            gpu.check_fault()?;
            console.result(&result, || {
                let table = results::table(&result.methods);
                format!("\n{table}\n{}", place(&result.problem, &result.adapter))
            })?;
        }
        Command::Denoising(trainings) => {
            let options = trainings.options(session);
            let result = denoising::run(&gpu, &options, interrupt, &mut observer)?;
            gpu.check_fault()?;
            console.result(&result, || {
                let table = denoising::table(&result);
                let found = &result.results;
                format!("\n{table}\n{}", place(&found.problem, &found.adapter))
            })?;
        }
        Command::Shifts(trainings) => {
            let options = trainings.options(session);
            let result = shifts::run(&gpu, &options, interrupt, &mut observer)?;
            gpu.check_fault()?;
            console.result(&result, || {
                let table = shifts::table(&result.problems);
                let first = &result.problems[0];
                let problem = format!(
                    "PSNR of {} training images and of {} of another patient",
                    first.known, first.tests
                );
                format!("\n{table}\n{}", place(&problem, &result.adapter))
            })?;
        }
        Command::Unrolled(trainings) => {
            let options = trainings.options(session);
            let result = unrolled::run(&gpu, &options, interrupt, &mut observer)?;
            gpu.check_fault()?;
            console.result(&result, || {
                let table = unrolled::table(&result);
                format!("\n{table}\n{}", place(&result.problem, &result.adapter))
            })?;
        }
        Command::TvInpainting(trainings) => {
            let options = trainings.options(session);
            let result = tv_inpainting::run(&gpu, &options, interrupt, &mut observer)?;
            gpu.check_fault()?;
            console.result(&result, || {
                let (table, report) = (
                    tv_inpainting::table(&result),
                    common.out.join("report.html"),
                );
                format!(
                    "\n{table}\non {}\nPictures and report: {}",
                    result.adapter,
                    report.display()
                )
            })?;
        }
        Command::Orders(trainings) => {
            let options = trainings.options(session);
            let result = orders::run(&gpu, &options, interrupt, &mut observer)?;
            gpu.check_fault()?;
            console.result(&result, || {
                let table = orders::table(&result);
                format!("\n{table}\n{}", place(&result.problem, &result.adapter))
            })?;
        }
        Command::OneImage(trainings) => {
            let options = trainings.options(session);
            let result = one_image::run(&gpu, &options, interrupt, &mut observer)?;
            gpu.check_fault()?;
            console.result(&result, || {
                format!(
                    "\nThe training image, with new noise, upright and turned by a quarter:\n{}\n{} slices of another patient:\n{}\n{}",
                    results::table(&result.training_image),
                    result.other.tests,
                    results::table(&result.other.methods),
                    place(&result.other.problem, &result.other.adapter)
                )
            })?;
        }
        Command::Timing(common) => {
            let options = TimingOptions {
                scale: common.scale.into(),
                out: common.out.clone(),
                seed: session.seed.unwrap_or(1),
            };
            let result = timing::run(&gpu, &options, interrupt, &mut observer)?;
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
