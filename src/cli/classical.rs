//! `equilens classical`.

mod compare;
mod iterate;
mod settings;

use super::global::Session;
use super::outputs::about_file;
use super::problem::{ProblemFile, check_direct, fourier, ray_transform};
use super::{outputs, pictures};
use crate::data::stack::Stack;
use crate::error::{Error, Result};
use crate::operators::Filter;
use crate::problems::Problem;
use crate::shape::Shape;
use crate::solvers;
use crate::tape::plan::Store;
use clap::{Args, Subcommand, ValueEnum};
use iterate::{Outcome, Scores};
use serde_json::json;
use settings::{
    AdmmSettings, CglsSettings, FistaSettings, LandweberSettings, PnpSettings, Settings,
    SirtSettings, TgvSettings, TikhonovSettings, TvSettings,
};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Reconstruct with a classical method
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  equilens classical fbp --problem ct.toml --input y.npy --out fbp.npy --filter hann
  equilens classical tv --problem ct.toml --input y.npy --out tv.npy --weight 2e-3 --png pictures
  equilens classical tgv --problem ct.toml --input y.npy --out tgv.npy --curves tgv.svg
  equilens classical cgls --problem ct.toml --input y.npy --out cgls.npy --iterations 12
  equilens classical cgls --problem ct.toml --input y.npy --out cgls.npy --discrepancy 2e-3
  equilens classical tikhonov --problem ct.toml --input y.npy --out u.npy --l-curve
  equilens classical tv --problem ct.toml --input y.npy --out u.npy --l-curve --curves trials.json
  equilens classical fista --problem mri.toml --input k.npy --out u.npy --penalty daubechies4
  equilens classical pnp --problem ct.toml --input y.npy --out u.npy --denoiser runs/denoiser
  equilens classical zero-filled --problem mri.toml --input k.npy --out zero.npy
  equilens classical cg-sense --problem mri.toml --input k.npy --out sense.npy --weight 1e-2
  equilens classical tikhonov --problem blur.toml --input y.npy --out u.npy
  equilens classical compare --problem ct.toml --input y.npy --truth images.npy --out results

The iterative methods see A / ||A|| and y / ||A||, so weights mean about the same for every problem. What
each of them makes small is told by its own --help.")]
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
    /// Least squares with weight |u|^2 / 2 or its differences; without a weight, the regularised inverse of
    /// a circular blur, of downsampling with a kernel of its own, or of a matrix
    Tikhonov(TikhonovSettings),
    /// Every measured value in the place of the block whose mean it is
    Replicated(Files),
    /// The root of the sum of the squared magnitudes of the coils' zero-filled images: no maps
    RootSumOfSquares(Files),
    /// Total variation by primal-dual hybrid gradients, stopped by the duality gap
    Tv(TvSettings),
    /// Total generalised variation of second order by primal-dual hybrid gradients, stopped by the gap
    Tgv(TgvSettings),
    /// Total variation or wavelets by accelerated proximal gradients
    Fista(FistaSettings),
    /// Total variation or wavelets by the alternating direction method of multipliers
    Admm(AdmmSettings),
    /// Conjugate gradients for least squares; for several coils, CG-SENSE
    #[command(visible_alias = "cg-sense")]
    Cgls(CglsSettings),
    /// Projected gradient descent for least squares
    Landweber(LandweberSettings),
    /// The simultaneous iterative reconstruction technique: Landweber's iteration with the weights of
    /// rows and columns, for operators whose weights are not negative
    Sirt(SirtSettings),
    /// Plug-and-play: a trained denoiser in the place of a penalty
    Pnp(PnpSettings),
    /// Several methods on the same measurements: a table of PSNR, iterations and seconds
    Compare(compare::Arguments),
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
    /// The true images, for PSNR and SSIM: of the problem's size or a whole multiple of it
    #[arg(long, value_name = "X.npy")]
    truth: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Fbp {
    #[command(flatten)]
    files: Files,
    /// Window of the ramp filter
    #[arg(long, value_enum, default_value = "ram-lak")]
    filter: Window,
    /// Set what is negative to zero
    #[arg(long)]
    nonnegative: bool,
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

impl Method {
    /// The settings of an iterative method.
    fn iterative(&self) -> Option<&dyn Settings> {
        Some(match self {
            Method::Tikhonov(given) if !given.is_direct() => given,
            Method::Tv(given) => given,
            Method::Tgv(given) => given,
            Method::Fista(given) => given,
            Method::Admm(given) => given,
            Method::Cgls(given) => given,
            Method::Landweber(given) => given,
            Method::Sirt(given) => given,
            Method::Pnp(given) => given,
            _ => return None,
        })
    }

    /// A method of one pass: its name and files.
    fn direct(&self) -> Option<(&'static str, &Files)> {
        Some(match self {
            Method::Fbp(fbp) => ("fbp", &fbp.files),
            Method::ZeroFilled(files) => ("zero-filled", files),
            Method::Tikhonov(given) => ("tikhonov", &given.regularised.plain.files),
            Method::Replicated(files) => ("replicated", files),
            Method::RootSumOfSquares(files) => ("root-sum-of-squares", files),
            _ => return None,
        })
    }
}

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode> {
    let method = &arguments.method;
    match (method, method.iterative(), method.direct()) {
        (Method::Compare(given), ..) => return compare::run(session, given),
        (_, Some(settings), _) => iterate(session, settings)?,
        (_, None, Some((name, files))) => in_one_pass(session, method, name, files)?,
        (_, None, None) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks that everything can be written.
fn check_outputs(files: &Files, curves: Option<&Path>) -> Result<()> {
    outputs::check_file(&files.out)?;
    if let Some(directory) = &files.png {
        outputs::check_directory(directory)?;
    }
    curves.map_or(Ok(()), iterate::check_curves)
}

/// The true images, if they were given.
fn truth(files: &Files, problem: &Problem, count: usize) -> Result<Option<Stack>> {
    let path = files.truth.as_ref();
    path.map(|path| iterate::truth(path, problem, count))
        .transpose()
}

/// The images to start at.
fn start(path: &Path, domain: Shape, count: usize) -> Result<Stack> {
    let stack = Stack::images(path, domain)?;
    if stack.count() != count {
        return Err(Error::data(
            path,
            format!(
                "it holds {} images and there are {count} measurements; give one to start at for each",
                stack.count(),
            ),
        ));
    }
    Ok(stack)
}

fn iterate(session: &Session, settings: &dyn Settings) -> Result<()> {
    let plain = settings.plain();
    let files = &plain.files;
    let problem = files.problem.read()?;
    let choose = settings.choose(&problem)?;
    let curves = plain.curves.as_deref();
    check_outputs(files, curves)?;
    let operator = problem.operator.as_ref();
    let measurements = Stack::measurements(&files.input, operator.range())?;
    let count = measurements.count();
    let start = (plain.start.as_ref())
        .map(|path| start(path, operator.domain(), count))
        .transpose()?;
    let truth = truth(files, &problem, count)?;
    let solver = settings.solver(operator.domain())?;
    let store = Store::new(&session.gpu()?);
    let how = iterate::How {
        choose,
        start: start.as_ref(),
        every: curves.map(|_| (solver.iterations() / 100).max(1)),
    };
    let solve = iterate::solve(
        session,
        solver.as_ref(),
        operator,
        &store,
        &measurements,
        &how,
    );
    let outcome = about_file(solve, &files.input)?;
    store.gpu().check_fault()?;
    if let (Some(path), Some(solution)) = (curves, &outcome.solution) {
        iterate::write_curves(path, solver.name(), solution, &outcome)?;
    }
    let images = measurements.with_items(outcome.images.clone(), operator.domain());
    finish(session, solver.name(), files, &outcome, &images, truth)
}

fn in_one_pass(session: &Session, method: &Method, name: &str, files: &Files) -> Result<()> {
    let problem = files.problem.read()?;
    check_kind(method, name, &problem)?;
    check_outputs(files, None)?;
    let operator = problem.operator.as_ref();
    let measurements = Stack::measurements(&files.input, operator.range())?;
    let truth = truth(files, &problem, measurements.count())?;
    let store = Store::new(&session.gpu()?);
    let started = Instant::now();
    let images = direct(method, &problem, &store, &measurements);
    let images = about_file(images, &files.input)?;
    let outcome = Outcome::direct(images, started.elapsed().as_secs_f64());
    store.gpu().check_fault()?;
    let item = match method {
        // Magnitudes.
        Method::RootSumOfSquares(_) => operator.domain().with(1, 1),
        _ => operator.domain(),
    };
    let images = measurements.with_items(outcome.images.clone(), item);
    finish(session, name, files, &outcome, &images, truth)
}

/// Writes the images and tells how they were found.
fn finish(
    session: &Session,
    name: &str,
    files: &Files,
    outcome: &Outcome,
    images: &Stack,
    truth: Option<Stack>,
) -> Result<()> {
    images.write(&files.out)?;
    if let Some(directory) = &files.png {
        pictures::write(directory, images)?;
    }
    let scores = match &truth {
        None => None,
        Some(truth) => Some(Scores::of(truth, images)?),
    };
    let last = outcome.last();
    let mut document = json!({
        "method": name,
        "out": files.out,
        "images": images.count(),
        "iterations": last.map(|p| p.iteration),
        "objective": last.map(|p| p.objective),
        "residual": last.map(|p| p.residual),
        "criterion": last.map(|p| p.criterion),
        "stop": outcome.solution.as_ref().map(|s| s.stop.to_string()),
        "seconds": outcome.seconds,
    });
    if let Some(weights) = outcome.weights() {
        document["weights"] = json!(weights);
    }
    if let Some(scores) = &scores {
        document["psnr"] = json!(scores.psnr);
        document["ssim"] = json!(scores.ssim);
    }
    session.console.result(&document, || {
        let mut text = format!(
            "{}: {} images by {}",
            files.out.display(),
            images.count(),
            name
        );
        if let Some(p) = last {
            text += &format!(
                ", {} iterations, objective {:.4e}, residual {:.1} %, criterion {:.1e}",
                p.iteration,
                p.objective,
                100.0 * p.residual,
                p.criterion
            );
        }
        if let Some(weights) = outcome.weights() {
            let weights: Vec<String> = weights.iter().map(|w| format!("{w:.3e}")).collect();
            text += &format!(", weight {}", weights.join(", "));
        }
        if let Some(scores) = &scores {
            text += &format!(", PSNR {:.2} dB", scores.mean_psnr());
        }
        text + &format!(", {:.1} s", outcome.seconds)
    })
}

/// Checks that the problem's operator is of a kind that a direct method is for.
fn check_kind(method: &Method, name: &str, problem: &Problem) -> Result<()> {
    let needed = match method {
        Method::ZeroFilled(_) => "\"fourier\" or \"inpainting\"",
        Method::Tikhonov(_) => {
            "\"blur\" with a circular boundary, \"downsampling\" with a kernel other than the mean over its blocks, or \"matrix\" (for any operator with --weight, --discrepancy or --l-curve)"
        }
        Method::Replicated(_) => "\"downsampling\" with the mean over its blocks as kernel",
        _ => return Ok(()),
    };
    check_direct(problem, name, needed)
}

/// The images of a method of one pass.
fn direct(
    method: &Method,
    problem: &Problem,
    store: &Store,
    measurements: &Stack,
) -> Result<Vec<f32>> {
    let operator = problem.operator.as_ref();
    let (y, n) = (measurements.values.as_slice(), measurements.count());
    match method {
        Method::Fbp(given) => {
            let fbp = solvers::Fbp {
                filter: given.filter.into(),
                nonnegative: given.nonnegative,
            };
            let operator = ray_transform(problem, "fbp")?;
            fbp.solve(&operator, store, y, n)
        }
        Method::RootSumOfSquares(_) => {
            let operator = fourier(problem, "root-sum-of-squares")?;
            solvers::root_sum_of_squares(&operator, store, y, n)
        }
        _ => solvers::pseudo_inverse(operator, store, y, n),
    }
}
