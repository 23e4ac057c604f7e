//! `equilens classical`.

mod compare;
mod iterate;

use super::global::Session;
use super::outputs::about_file;
use super::problem::{ProblemFile, check_direct, fourier, ray_transform};
use super::{outputs, pictures};
use crate::data::stack::Stack;
use crate::error::{Error, Result};
use crate::group::Group;
use crate::operators::Filter;
use crate::problems::Problem;
use crate::shape::Shape;
use crate::solvers::{
    self, Admm, Cgls, Fista, Iterative, Landweber, Penalty, PlugAndPlay, Quadratic, Scheme, Sirt,
    Tgv, Tikhonov, Tv, Wavelet, WaveletFamily,
};
use crate::tape::plan::Store;
use crate::train::{NetworkDenoiser, RunDir, Which};
use clap::{Args, Subcommand, ValueEnum};
use iterate::{Choose, Outcome, Scores};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
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
    Tikhonov(TikhonovArguments),
    /// Every measured value in the place of the block whose mean it is
    Replicated(Files),
    /// The root of the sum of the squared magnitudes of the coils' zero-filled images: no maps
    RootSumOfSquares(Files),
    /// Total variation by primal-dual hybrid gradients, stopped by the duality gap
    Tv(Regularised),
    /// Total generalised variation of second order by primal-dual hybrid gradients, stopped by the gap
    Tgv(TgvArguments),
    /// Total variation or wavelets by accelerated proximal gradients
    Fista(Sparse),
    /// Total variation or wavelets by the alternating direction method of multipliers
    Admm(Sparse),
    /// Conjugate gradients for least squares; for several coils, CG-SENSE
    #[command(visible_alias = "cg-sense")]
    Cgls(CglsArguments),
    /// Projected gradient descent for least squares
    Landweber(Descent),
    /// The simultaneous iterative reconstruction technique: Landweber's iteration with the weights of
    /// rows and columns, for operators whose weights are not negative
    Sirt(Descent),
    /// Plug-and-play: a trained denoiser in the place of a penalty
    Pnp(PnpArguments),
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

/// What every iterative method takes.
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
    /// Start at these images instead of zero, one for each measurement
    #[arg(long, value_name = "U0.npy")]
    start: Option<PathBuf>,
    /// Discrepancy principle: the weight with which the residual is that of noise of this standard
    /// deviation (of each real number measured; without a value that of the problem's Gaussian
    /// noise); where no weight regularises, stop there
    #[arg(long, value_name = "SIGMA", num_args = 0..=1, default_missing_value = "problem",
          allow_negative_numbers = true)]
    discrepancy: Option<iterate::Sigma>,
    /// Write objective, residual and stopping criterion over the iterations to this .json or .svg file
    #[arg(long, value_name = "FILE")]
    curves: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct CglsArguments {
    #[command(flatten)]
    plain: Plain,
    /// Weight of |u|^2 / 2; none by default, the number of iterations regularises
    #[arg(long, value_name = "W", allow_negative_numbers = true)]
    weight: Option<f64>,
}

#[derive(Debug, Args)]
struct Descent {
    #[command(flatten)]
    plain: Plain,
    #[command(flatten)]
    sign: Sign,
    /// The step, above 0 and below 2
    #[arg(
        long,
        value_name = "R",
        default_value_t = 1.0,
        allow_negative_numbers = true
    )]
    relaxation: f64,
}

#[derive(Debug, Args)]
struct Sign {
    /// Keep the images from becoming negative [default: true for real images, but for tikhonov]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    nonnegative: Option<bool>,
}

#[derive(Debug, Args)]
struct Regularised {
    #[command(flatten)]
    plain: Plain,
    #[command(flatten)]
    sign: Sign,
    /// Weight of the regulariser
    #[arg(
        long,
        value_name = "W",
        allow_negative_numbers = true,
        conflicts_with = "discrepancy"
    )]
    weight: Option<f64>,
}

#[derive(Debug, Args)]
struct TikhonovArguments {
    #[command(flatten)]
    regularised: Regularised,
    /// What is penalised
    #[arg(long, value_enum)]
    penalty: Option<Square>,
    /// The weight at the corner of the L-curve: where residual over penalty bends the most
    #[arg(long, conflicts_with_all = ["weight", "discrepancy"])]
    l_curve: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Square {
    /// The image
    Identity,
    /// Its differences
    Differences,
}

#[derive(Debug, Args)]
struct TgvArguments {
    #[command(flatten)]
    regularised: Regularised,
    /// Weight of the second derivative relative to the first
    #[arg(
        long,
        value_name = "R",
        default_value_t = 2.0,
        allow_negative_numbers = true
    )]
    ratio: f64,
}

#[derive(Debug, Args)]
struct PnpArguments {
    #[command(flatten)]
    plain: Plain,
    /// Directory of a training run with operator.kind = "identity"
    #[arg(long, value_name = "RUN")]
    denoiser: PathBuf,
    /// How the data and the denoiser take turns
    #[arg(long, value_enum, default_value = "pgd")]
    scheme: Turns,
    /// Average the denoiser over this group: C2, C4, D1, D2 or D4
    #[arg(long, value_name = "GROUP", default_value = "C1")]
    average: Group,
    /// Step of the gradients, above 0 and below 2 (pgd)
    #[arg(
        long,
        value_name = "S",
        default_value_t = 1.0,
        allow_negative_numbers = true
    )]
    step: f64,
    /// Weight that keeps the data's image near to the denoiser's (hqs, admm)
    #[arg(
        long,
        value_name = "RHO",
        default_value_t = 0.1,
        allow_negative_numbers = true
    )]
    rho: f64,
    /// Share of the denoised image in what the denoiser gives
    #[arg(
        long,
        value_name = "R",
        default_value_t = 1.0,
        allow_negative_numbers = true
    )]
    relaxation: f64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Turns {
    /// Proximal gradient descent
    Pgd,
    /// Half-quadratic splitting
    Hqs,
    /// The alternating direction method of multipliers
    Admm,
}

impl From<Turns> for Scheme {
    fn from(turns: Turns) -> Scheme {
        match turns {
            Turns::Pgd => Scheme::Gradient,
            Turns::Hqs => Scheme::HalfQuadratic,
            Turns::Admm => Scheme::Multipliers,
        }
    }
}

#[derive(Debug, Args)]
struct Sparse {
    #[command(flatten)]
    regularised: Regularised,
    /// What is sparse
    #[arg(long, value_enum, default_value = "tv")]
    penalty: Sparsity,
    /// Levels of the wavelet transform
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        allow_negative_numbers = true
    )]
    levels: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sparsity {
    /// Differences between neighbours
    Tv,
    /// Wavelet coefficients
    Haar,
    /// Wavelet coefficients, two vanishing moments
    Daubechies4,
    /// Wavelet coefficients, four vanishing moments
    Daubechies8,
}

impl Sparse {
    fn penalty(&self) -> Penalty {
        let family = match self.penalty {
            Sparsity::Tv => return Penalty::TotalVariation,
            Sparsity::Haar => WaveletFamily::Haar,
            Sparsity::Daubechies4 => WaveletFamily::Daubechies4,
            Sparsity::Daubechies8 => WaveletFamily::Daubechies8,
        };
        let levels = self.levels;
        Penalty::Wavelet(Wavelet { family, levels })
    }
}

impl TikhonovArguments {
    /// Nothing asks for iterations: the operator's own inverse.
    fn is_direct(&self) -> bool {
        let Regularised {
            plain,
            sign,
            weight,
        } = &self.regularised;
        let asked = plain.iterations.is_some()
            || plain.tolerance.is_some()
            || plain.start.is_some()
            || plain.discrepancy.is_some()
            || plain.curves.is_some()
            || sign.nonnegative.is_some()
            || weight.is_some();
        !asked && self.penalty.is_none() && !self.l_curve
    }
}

impl Method {
    fn files(&self) -> Option<&Files> {
        Some(match self {
            Method::Fbp(fbp) => &fbp.files,
            Method::ZeroFilled(files)
            | Method::Replicated(files)
            | Method::RootSumOfSquares(files) => files,
            Method::Tikhonov(given) => &given.regularised.plain.files,
            Method::Compare(_) => return None,
            _ => &self.plain()?.files,
        })
    }

    /// What an iterative method was told.
    fn plain(&self) -> Option<&Plain> {
        match self {
            Method::Tikhonov(given) if !given.is_direct() => Some(&given.regularised.plain),
            Method::Tv(given) => Some(&given.plain),
            Method::Tgv(given) => Some(&given.regularised.plain),
            Method::Fista(given) | Method::Admm(given) => Some(&given.regularised.plain),
            Method::Cgls(given) => Some(&given.plain),
            Method::Landweber(given) | Method::Sirt(given) => Some(&given.plain),
            Method::Pnp(given) => Some(&given.plain),
            _ => None,
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
            Method::Tgv(_) => "tgv",
            Method::Fista(_) => "fista",
            Method::Admm(_) => "admm",
            Method::Cgls(_) => "cgls",
            Method::Landweber(_) => "landweber",
            Method::Sirt(_) => "sirt",
            Method::Pnp(_) => "pnp",
            Method::Compare(_) => "compare",
        }
    }

    /// The method with its settings, if it iterates.
    ///
    /// # Errors
    /// Those of opening a denoiser.
    fn iterative(&self, image: Shape) -> Result<Option<Box<dyn Iterative>>> {
        let Some(plain) = self.plain() else {
            return Ok(None);
        };
        let real = image.c() == 1;
        let iterations = |default: usize| plain.iterations.unwrap_or(default);
        let tolerance = |default: f64| plain.tolerance.unwrap_or(default);
        let sign = |sign: &Sign, default| sign.nonnegative.unwrap_or(default);
        let method: Box<dyn Iterative> = match self {
            Method::Tikhonov(given) => {
                let default = Tikhonov::default();
                Box::new(Tikhonov {
                    weight: given.regularised.weight.unwrap_or(default.weight),
                    penalty: match given.penalty {
                        Some(Square::Differences) => Quadratic::Differences,
                        _ => Quadratic::Identity,
                    },
                    nonnegative: sign(&given.regularised.sign, false),
                    iterations: iterations(default.iterations),
                    tolerance: tolerance(default.tolerance),
                })
            }
            Method::Tv(given) => {
                let default = Tv::default();
                Box::new(Tv {
                    weight: given.weight.unwrap_or(default.weight),
                    nonnegative: sign(&given.sign, real),
                    iterations: iterations(default.iterations),
                    tolerance: tolerance(default.tolerance),
                })
            }
            Method::Tgv(given) => {
                let default = Tgv::default();
                Box::new(Tgv {
                    weight: given.regularised.weight.unwrap_or(default.weight),
                    ratio: given.ratio,
                    nonnegative: sign(&given.regularised.sign, real),
                    iterations: iterations(default.iterations),
                    tolerance: tolerance(default.tolerance),
                })
            }
            Method::Fista(given) => {
                let default = Fista::default();
                Box::new(Fista {
                    penalty: given.penalty(),
                    weight: given.regularised.weight.unwrap_or(default.weight),
                    nonnegative: sign(&given.regularised.sign, real),
                    iterations: iterations(default.iterations),
                    tolerance: tolerance(default.tolerance),
                })
            }
            Method::Admm(given) => {
                let default = Admm::default();
                Box::new(Admm {
                    penalty: given.penalty(),
                    weight: given.regularised.weight.unwrap_or(default.weight),
                    nonnegative: sign(&given.regularised.sign, real),
                    iterations: iterations(default.iterations),
                    tolerance: tolerance(default.tolerance),
                })
            }
            Method::Cgls(given) => {
                let default = Cgls::default();
                Box::new(Cgls {
                    weight: given.weight.unwrap_or(default.weight),
                    iterations: iterations(default.iterations),
                    tolerance: tolerance(default.tolerance),
                })
            }
            Method::Landweber(given) => {
                let default = Landweber::default();
                Box::new(Landweber {
                    relaxation: given.relaxation,
                    nonnegative: sign(&given.sign, real),
                    iterations: iterations(default.iterations),
                    tolerance: tolerance(default.tolerance),
                })
            }
            Method::Sirt(given) => {
                let default = Sirt::default();
                Box::new(Sirt {
                    relaxation: given.relaxation,
                    nonnegative: sign(&given.sign, real),
                    iterations: iterations(default.iterations),
                    tolerance: tolerance(default.tolerance),
                })
            }
            Method::Pnp(given) => {
                let run = RunDir::open(&given.denoiser)?;
                let denoiser = NetworkDenoiser::open(&run, Which::Best)?;
                let denoiser = denoiser.averaged_over(given.average)?;
                let default = PlugAndPlay::new(Arc::new(denoiser));
                Box::new(PlugAndPlay {
                    scheme: given.scheme.into(),
                    step: given.step,
                    rho: given.rho,
                    relaxation: given.relaxation,
                    iterations: iterations(default.iterations),
                    tolerance: tolerance(default.tolerance),
                    ..default
                })
            }
            _ => return Ok(None),
        };
        Ok(Some(method))
    }

    /// How the weight is found.
    fn choose(&self, problem: &Problem) -> Result<Choose> {
        if let Method::Tikhonov(TikhonovArguments { l_curve: true, .. }) = self {
            return Ok(Choose::LCurve);
        }
        let Some(sigma) = self.plain().and_then(|plain| plain.discrepancy) else {
            return Ok(Choose::Given);
        };
        let noise = sigma.norm(problem)?;
        Ok(match self {
            Method::Cgls(_) | Method::Landweber(_) | Method::Sirt(_) | Method::Pnp(_) => {
                Choose::Stop(noise)
            }
            _ => Choose::Weight(noise),
        })
    }
}

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode> {
    let method = &arguments.method;
    let files = match (method, method.files()) {
        (Method::Compare(given), _) => return compare::run(session, given),
        (_, None) => return Ok(ExitCode::SUCCESS),
        (_, Some(files)) => files,
    };
    let problem = files.problem.read()?;
    check_kind(method, &problem)?;
    let choose = method.choose(&problem)?;
    outputs::check_file(&files.out)?;
    if let Some(directory) = &files.png {
        outputs::check_directory(directory)?;
    }
    let curves = method.plain().and_then(|plain| plain.curves.as_deref());
    if let Some(curves) = curves {
        iterate::check_curves(curves)?;
    }
    let operator = problem.operator.as_ref();
    let domain = operator.domain();
    let measurements = Stack::measurements(&files.input, operator.range())?;
    let start = match method.plain().and_then(|plain| plain.start.as_deref()) {
        None => None,
        Some(path) => {
            let stack = Stack::images(path, domain)?;
            if stack.count() != measurements.count() {
                return Err(Error::data(
                    path,
                    format!(
                        "it holds {} images and there are {} measurements; give one to start at for each",
                        stack.count(),
                        measurements.count()
                    ),
                ));
            }
            Some(stack)
        }
    };
    let truth = match &files.truth {
        None => None,
        Some(path) => Some(iterate::truth(path, &problem, measurements.count())?),
    };
    let iterative = method.iterative(domain)?;
    let store = Store::new(&session.gpu()?);
    let outcome = match iterative {
        Some(iterative) => {
            let every = curves.map(|_| (iterative.iterations() / 100).max(1));
            let how = iterate::How {
                choose,
                start: start.as_ref(),
                every,
            };
            let solve = iterate::solve(
                session,
                iterative.as_ref(),
                operator,
                &store,
                &measurements,
                &how,
            );
            about_file(solve, &files.input)?
        }
        None => {
            let started = Instant::now();
            let images = about_file(
                direct(method, &problem, &store, &measurements),
                &files.input,
            )?;
            Outcome::direct(images, started.elapsed().as_secs_f64())
        }
    };
    store.gpu().check_fault()?;
    let item = match method {
        // Magnitudes.
        Method::RootSumOfSquares(_) => domain.with(1, 1),
        _ => domain,
    };
    let images = measurements.with_items(outcome.images.clone(), item);
    images.write(&files.out)?;
    if let Some(directory) = &files.png {
        pictures::write(directory, &images)?;
    }
    if let (Some(path), Some(solution)) = (curves, &outcome.solution) {
        iterate::write_curves(path, method.name(), solution, &outcome)?;
    }
    let scores = match &truth {
        None => None,
        Some(truth) => Some(Scores::of(truth, &images)?),
    };
    let last = outcome.last();
    let mut document = json!({
        "method": method.name(),
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
            method.name()
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
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Checks that the problem's operator is of a kind that a direct method is for.
fn check_kind(method: &Method, problem: &Problem) -> Result<()> {
    let needed = match method {
        Method::ZeroFilled(_) => "\"fourier\" or \"inpainting\"",
        Method::Tikhonov(given) if given.is_direct() => {
            "\"blur\" with a circular boundary, \"downsampling\" with a kernel other than the mean over its blocks, or \"matrix\" (for any operator with --weight, --discrepancy or --l-curve)"
        }
        Method::Replicated(_) => "\"downsampling\" with the mean over its blocks as kernel",
        _ => return Ok(()),
    };
    check_direct(problem, method.name(), needed)
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
