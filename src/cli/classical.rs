//! `equilens classical`.

use super::global::Session;
use super::outputs::about_file;
use super::problem::{ProblemFile, check_direct, fourier, ray_transform};
use super::{outputs, pictures};
use crate::data::stack::Stack;
use crate::error::Result;
use crate::operators::Filter;
use crate::problems::Problem;
use crate::shape::Shape;
use crate::solvers::{self, Cgls, Landweber, Progress, Solution, Tv};
use crate::tape::plan::Store;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Reconstruct with a classical method
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  equilens classical fbp --problem ct.toml --input y.npy --out fbp.npy --filter hann
  equilens classical tv --problem ct.toml --input y.npy --out tv.npy --weight 2e-3 --png pictures
  equilens classical cgls --problem ct.toml --input y.npy --out cgls.npy --iterations 12
  equilens classical zero-filled --problem mri.toml --input k.npy --out zero.npy
  equilens classical cg-sense --problem mri.toml --input k.npy --out sense.npy --weight 1e-2
  equilens classical tv --problem inpainting.toml --input y.npy --out u.npy --weight 1e-3
  equilens classical tikhonov --problem blur.toml --input y.npy --out u.npy")]
pub(super) struct Arguments {
    #[command(subcommand)]
    method: Method,
}

#[derive(Debug, Subcommand)]
enum Method {
    /// Filtered back-projection
    Fbp(Fbp),
    /// Zeros where k-space was not measured (coils combined by their maps), or where pixels are missing
    ZeroFilled(Files),
    /// The regularised inverse of a circular blur, or of downsampling with a kernel of its own
    Tikhonov(Files),
    /// Every measured value in the place of the block whose mean it is
    Replicated(Files),
    /// The root of the sum of the squared magnitudes of the coils' zero-filled images: no maps
    RootSumOfSquares(Files),
    /// Total variation by primal-dual hybrid gradients
    Tv(Regularised),
    /// Conjugate gradients for least squares; for several coils, CG-SENSE
    #[command(visible_alias = "cg-sense")]
    Cgls(Regularised),
    /// Projected gradient descent for least squares
    Landweber(Plain),
}

#[derive(Debug, Args)]
struct Files {
    #[command(flatten)]
    problem: ProblemFile,
    /// Measurements, as `simulate` writes them
    #[arg(long, value_name = "Y.npy")]
    input: PathBuf,
    /// Write the reconstructions to this file
    #[arg(long, value_name = "U.npy")]
    out: PathBuf,
    /// Also write each reconstruction as a picture into this directory
    #[arg(long, value_name = "DIR")]
    png: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Fbp {
    #[command(flatten)]
    files: Files,
    /// Window of the ramp filter
    #[arg(long, value_enum, default_value = "ram-lak")]
    filter: Window,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Window {
    RamLak,
    SheppLogan,
    Cosine,
    Hann,
}

impl From<Window> for Filter {
    fn from(window: Window) -> Filter {
        match window {
            Window::RamLak => Filter::RamLak,
            Window::SheppLogan => Filter::SheppLogan,
            Window::Cosine => Filter::Cosine,
            Window::Hann => Filter::Hann,
        }
    }
}

#[derive(Debug, Args)]
struct Plain {
    #[command(flatten)]
    files: Files,
    /// Iterations at most
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    iterations: Option<usize>,
    /// Stop at this relative accuracy; 0 for all iterations
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    tolerance: Option<f64>,
}

#[derive(Debug, Args)]
struct Regularised {
    #[command(flatten)]
    plain: Plain,
    /// Weight of the regulariser
    #[arg(long, value_name = "W", allow_negative_numbers = true)]
    weight: Option<f64>,
}

impl Method {
    fn files(&self) -> &Files {
        match self {
            Method::Fbp(fbp) => &fbp.files,
            Method::ZeroFilled(files)
            | Method::Tikhonov(files)
            | Method::Replicated(files)
            | Method::RootSumOfSquares(files) => files,
            Method::Tv(regularised) | Method::Cgls(regularised) => &regularised.plain.files,
            Method::Landweber(plain) => &plain.files,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Method::Fbp(_) => "fbp",
            Method::ZeroFilled(_) => "zero-filled",
            Method::Tikhonov(_) => "tikhonov",
            Method::Replicated(_) => "replicated",
            Method::RootSumOfSquares(_) => "root-sum-of-squares",
            Method::Tv(_) => "tv",
            Method::Cgls(_) => "cgls",
            Method::Landweber(_) => "landweber",
        }
    }
}

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode> {
    let method = &arguments.method;
    let files = method.files();
    let problem = files.problem.read()?;
    check_kind(method, &problem)?;
    outputs::check_file(&files.out)?;
    if let Some(directory) = &files.png {
        outputs::check_directory(directory)?;
    }
    let measurements = Stack::measurements(&files.input, problem.operator.range())?;
    let store = Store::new(&session.gpu()?);
    let bar = session.console.bar(iterations(method) as u64, "iterations");
    let solved = solve(method, &problem, &store, &measurements, &mut |progress| {
        bar.set_position(progress.iteration as u64);
        bar.set_message(format!(
            "objective {:.4e}, criterion {:.1e}",
            progress.objective, progress.criterion
        ));
    });
    bar.finish_and_clear();
    let (images, last) = about_file(solved, &files.input)?;
    store.gpu().check_fault()?;
    let domain = problem.operator.domain();
    let item = match method {
        // Magnitudes.
        Method::RootSumOfSquares(_) => domain.with(1, 1),
        _ => domain,
    };
    let images = measurements.with_items(images, item);
    images.write(&files.out)?;
    if let Some(directory) = &files.png {
        pictures::write(directory, &images)?;
    }
    let document = json!({
        "method": method.name(),
        "out": files.out,
        "images": images.count(),
        "iterations": last.map(|p| p.iteration),
        "objective": last.map(|p| p.objective),
        "criterion": last.map(|p| p.criterion),
    });
    session.console.result(&document, || {
        let mut text = format!(
            "{}: {} images by {}",
            files.out.display(),
            images.count(),
            method.name()
        );
        if let Some(p) = last {
            text += &format!(
                ", {} iterations, objective {:.4e}, criterion {:.1e}",
                p.iteration, p.objective, p.criterion
            );
        }
        text
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Checks that the problem's operator is of a kind that a direct method is for.
fn check_kind(method: &Method, problem: &Problem) -> Result<()> {
    let needed = match method {
        Method::ZeroFilled(_) => "\"fourier\" or \"inpainting\"",
        Method::Tikhonov(_) => {
            "\"blur\" with a circular boundary, or \"downsampling\" with a kernel other than the mean over its blocks"
        }
        Method::Replicated(_) => "\"downsampling\" with the mean over its blocks as kernel",
        _ => return Ok(()),
    };
    check_direct(problem, method.name(), needed)
}

/// Iterations at most.
fn iterations(method: &Method) -> usize {
    match method {
        Method::Fbp(_)
        | Method::ZeroFilled(_)
        | Method::Tikhonov(_)
        | Method::Replicated(_)
        | Method::RootSumOfSquares(_) => 0,
        Method::Tv(r) => tv(r, Shape::SCALAR).iterations,
        Method::Cgls(r) => cgls(r).iterations,
        Method::Landweber(plain) => landweber(plain, Shape::SCALAR).iterations,
    }
}

fn tv(given: &Regularised, image: Shape) -> Tv {
    let default = Tv::for_images(image);
    Tv {
        weight: given.weight.unwrap_or(default.weight),
        iterations: given.plain.iterations.unwrap_or(default.iterations),
        tolerance: given.plain.tolerance.unwrap_or(default.tolerance),
        ..default
    }
}

fn cgls(given: &Regularised) -> Cgls {
    let default = Cgls::default();
    Cgls {
        weight: given.weight.unwrap_or(default.weight),
        iterations: given.plain.iterations.unwrap_or(default.iterations),
        tolerance: given.plain.tolerance.unwrap_or(default.tolerance),
    }
}

fn landweber(given: &Plain, image: Shape) -> Landweber {
    let default = Landweber::for_images(image);
    Landweber {
        iterations: given.iterations.unwrap_or(default.iterations),
        tolerance: given.tolerance.unwrap_or(default.tolerance),
        ..default
    }
}

/// The images, and where the iteration ended.
fn solve(
    method: &Method,
    problem: &Problem,
    store: &Store,
    measurements: &Stack,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Vec<f32>, Option<Progress>)> {
    let operator = problem.operator.as_ref();
    let image = operator.domain();
    let (y, n) = (measurements.values.as_slice(), measurements.count());
    let iterated = |solution: Solution| {
        let last = solution.history.last().copied();
        (solution.images, last)
    };
    Ok(match method {
        Method::Fbp(given) => {
            let fbp = solvers::Fbp {
                filter: given.filter.into(),
                ..solvers::Fbp::default()
            };
            let operator = ray_transform(problem, "fbp")?;
            (fbp.solve(&operator, store, y, n)?, None)
        }
        Method::ZeroFilled(_) | Method::Tikhonov(_) | Method::Replicated(_) => {
            (solvers::pseudo_inverse(operator, store, y, n)?, None)
        }
        Method::RootSumOfSquares(_) => {
            let operator = fourier(problem, "root-sum-of-squares")?;
            (solvers::root_sum_of_squares(&operator, store, y, n)?, None)
        }
        Method::Tv(given) => iterated(tv(given, image).solve(operator, store, y, n, progress)?),
        Method::Cgls(given) => iterated(cgls(given).solve(operator, store, y, n, progress)?),
        Method::Landweber(given) => {
            iterated(landweber(given, image).solve(operator, store, y, n, progress)?)
        }
    })
}
