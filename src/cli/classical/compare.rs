//! `equilens classical compare`.

use super::super::outputs::about_file;
use super::super::problem::ProblemFile;
use super::super::{global::Session, outputs, pictures};
use super::iterate::{self, Choose, How, Outcome, Scores, Sigma};
use crate::data::stack::Stack;
use crate::error::{Error, Result};
use crate::files;
use crate::report::{Align, Table};
use crate::shape::Shape;
use crate::solvers::{
    self, Admm, Cgls, Fista, Iterative, Landweber, Penalty, Sirt, Tgv, Tikhonov, Tv, Wavelet,
    WaveletFamily,
};
use crate::tape::plan::Store;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Several methods on the same measurements: a table of PSNR, iterations and seconds
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  equilens classical compare --problem ct.toml --input y.npy --truth images.npy
  equilens classical compare --problem ct.toml --input y.npy --truth images.npy --discrepancy 2e-3
  equilens classical compare --problem mri.toml --input k.npy --methods direct,tv,fista-daubechies4

Every method has its default settings; seconds include compiling. With --discrepancy the weights (or the
iterations) are chosen by the discrepancy principle, with --l-curve the weights at the corners of the
L-curves. Methods that are not for the problem's operator are
left out, with the reason. --out gets scores.json, the reconstructions and pictures of them.")]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    problem: ProblemFile,
    /// Measurements, as `simulate` writes them
    #[arg(long, value_name = "Y.npy")]
    input: PathBuf,
    /// The true images, for PSNR and SSIM: of the problem's size or a whole multiple of it
    #[arg(long, value_name = "X.npy")]
    truth: Option<PathBuf>,
    /// The methods; all by default
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    methods: Vec<Name>,
    /// Discrepancy principle with noise of this standard deviation; without a value that of the
    /// problem's Gaussian noise
    #[arg(long, value_name = "SIGMA", num_args = 0..=1, default_missing_value = "problem",
          allow_negative_numbers = true)]
    discrepancy: Option<Sigma>,
    /// The weights at the corners of the L-curves
    #[arg(long, conflicts_with = "discrepancy")]
    l_curve: bool,
    /// Write scores, reconstructions and pictures into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Name {
    /// The operator's cheap inverse: fbp, zero-filled, replicated, ...
    Direct,
    Landweber,
    Sirt,
    Cgls,
    Tikhonov,
    Tv,
    Tgv,
    Fista,
    FistaHaar,
    FistaDaubechies4,
    Admm,
}

impl Name {
    /// Its name in the table.
    fn label(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |v| v.get_name().to_string())
    }

    fn method(self, image: Shape) -> Option<Box<dyn Iterative>> {
        let wavelet = |family| {
            Box::new(Fista {
                penalty: Penalty::Wavelet(Wavelet {
                    family,
                    ..Wavelet::default()
                }),
                ..Fista::for_images(image)
            })
        };
        Some(match self {
            Name::Direct => return None,
            Name::Landweber => Box::new(Landweber::for_images(image)),
            Name::Sirt => Box::new(Sirt::for_images(image)),
            Name::Cgls => Box::new(Cgls::default()),
            Name::Tikhonov => Box::new(Tikhonov::default()),
            Name::Tv => Box::new(Tv::for_images(image)),
            Name::Tgv => Box::new(Tgv::for_images(image)),
            Name::Fista => Box::new(Fista::for_images(image)),
            Name::FistaHaar => wavelet(WaveletFamily::Haar),
            Name::FistaDaubechies4 => wavelet(WaveletFamily::Daubechies4),
            Name::Admm => Box::new(Admm::for_images(image)),
        })
    }

    /// The number of iterations regularises, and no weight.
    fn stops_early(self) -> bool {
        matches!(self, Name::Landweber | Name::Sirt | Name::Cgls)
    }
}

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode> {
    let problem = arguments.problem.read()?;
    let noise = match arguments.discrepancy {
        None => None,
        Some(sigma) => Some(sigma.norm(&problem)?),
    };
    if let Some(directory) = &arguments.out {
        outputs::check_directory(directory)?;
    }
    let operator = problem.operator.as_ref();
    let measurements = Stack::measurements(&arguments.input, operator.range())?;
    let truth = match &arguments.truth {
        None => None,
        Some(path) => Some(iterate::truth(path, &problem, measurements.count())?),
    };
    let store = Store::new(&session.gpu()?);
    let names = match arguments.methods.as_slice() {
        [] => Name::value_variants(),
        names => names,
    };
    let mut table = Table::new([
        ("method", Align::Left),
        ("PSNR", Align::Right),
        ("SSIM", Align::Right),
        ("iterations", Align::Right),
        ("residual", Align::Right),
        ("weight", Align::Right),
        ("stop", Align::Left),
        ("seconds", Align::Right),
    ]);
    let mut documents: Vec<Value> = Vec::new();
    for &name in names {
        let solved = match name.method(operator.domain()) {
            None => {
                let started = Instant::now();
                let (y, n) = (&measurements.values, measurements.count());
                solvers::pseudo_inverse(operator, &store, y, n)
                    .map(|images| Outcome::direct(images, started.elapsed().as_secs_f64()))
            }
            Some(method) => {
                let choose = match noise {
                    None if arguments.l_curve && !name.stops_early() => Choose::LCurve,
                    None => Choose::Given,
                    Some(noise) if name.stops_early() => Choose::Stop(noise),
                    Some(noise) => Choose::Weight(noise),
                };
                let how = How {
                    choose,
                    start: None,
                    every: None,
                };
                iterate::solve(
                    session,
                    method.as_ref(),
                    operator,
                    &store,
                    &measurements,
                    &how,
                )
            }
        };
        let label = match name {
            // Tikhonov's method is iterated as well.
            Name::Direct if operator.pseudo_inverse_name() != "tikhonov" => {
                operator.pseudo_inverse_name().to_string()
            }
            _ => name.label(),
        };
        let outcome = match solved {
            // The reason is a property of method and problem.
            Err(Error::Config(reason)) if arguments.methods.is_empty() => {
                session
                    .console
                    .remark(&format!("{label} is left out: {reason}"));
                continue;
            }
            solved => about_file(solved, &arguments.input)?,
        };
        store.gpu().check_fault()?;
        let images = measurements.with_items(outcome.images.clone(), operator.domain());
        let scores = match &truth {
            None => None,
            Some(truth) => Some(Scores::of(truth, &images)?),
        };
        if let Some(directory) = &arguments.out {
            let directory = directory.join(&label);
            files::create_directory(&directory)?;
            images.write(&directory.join("images.npy"))?;
            pictures::write(&directory, &images)?;
        }
        let last = outcome.last();
        let stop = outcome.solution.as_ref().map(|s| s.stop.to_string());
        let number = |value: Option<f64>, digits: usize| match value {
            Some(value) => format!("{value:.digits$}"),
            None => String::new(),
        };
        let weights = outcome.weights().map(|weights| {
            let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
            for &weight in weights {
                (low, high) = (low.min(weight), high.max(weight));
            }
            match low == high {
                true => format!("{low:.2e}"),
                false => format!("{low:.2e} to {high:.2e}"),
            }
        });
        table.row([
            label.clone(),
            number(scores.as_ref().map(Scores::mean_psnr), 2),
            number(scores.as_ref().and_then(Scores::mean_ssim), 3),
            last.map_or_else(String::new, |p| p.iteration.to_string()),
            last.map_or_else(String::new, |p| format!("{:.2} %", 100.0 * p.residual)),
            weights.unwrap_or_default(),
            stop.clone().unwrap_or_default(),
            number(Some(outcome.seconds), 1),
        ]);
        documents.push(json!({
            "name": label,
            "psnr": scores.as_ref().map(Scores::mean_psnr),
            "ssim": scores.as_ref().and_then(Scores::mean_ssim),
            "per_image": scores.as_ref().map(|s| &s.psnr),
            "iterations": last.map(|p| p.iteration),
            "objective": last.map(|p| p.objective),
            "residual": last.map(|p| p.residual),
            "criterion": last.map(|p| p.criterion),
            "weights": outcome.weights(),
            "stop": stop,
            "seconds": outcome.seconds,
        }));
    }
    let document = json!({ "images": measurements.count(), "methods": documents });
    if let Some(directory) = &arguments.out {
        let text = format!("{document:#}\n");
        files::write_bytes(directory.join("scores.json"), text.as_bytes())?;
    }
    session.console.result(&document, || table.to_string())?;
    Ok(ExitCode::SUCCESS)
}
