//! The iterative methods' arguments: one settings type for each.

use super::Files;
use super::iterate::{Choose, Sigma};
use crate::error::Result;
use crate::group::Group;
use crate::problems::Problem;
use crate::shape::Shape;
use crate::solvers::{
    Admm, Cgls, Fista, Iterative, Landweber, Penalty, PlugAndPlay, Quadratic, Scheme, Sirt, Tgv,
    Tikhonov, Tv, Wavelet, WaveletFamily,
};
use crate::train::{NetworkDenoiser, RunDir, Which};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::sync::Arc;

/// What every iterative method takes.
#[derive(Debug, Args)]
pub(super) struct Plain {
    #[command(flatten)]
    pub files: Files,
    /// Iterations at most
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    iterations: Option<usize>,
    /// Stop at this relative accuracy; 0 for all iterations
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    tolerance: Option<f64>,
    /// Start at these images instead of zero, one for each measurement
    #[arg(long, value_name = "U0.npy")]
    pub start: Option<PathBuf>,
    /// Discrepancy principle: the weight with which the residual is that of noise of this standard
    /// deviation (of each real number measured; without a value that of the problem's Gaussian
    /// noise); where no weight regularises, stop there
    #[arg(long, value_name = "SIGMA", num_args = 0..=1, default_missing_value = "problem",
          allow_negative_numbers = true)]
    discrepancy: Option<Sigma>,
    /// Write objective, residual and stopping criterion over the iterations to this .json or .svg file
    #[arg(long, value_name = "FILE")]
    pub curves: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct CglsSettings {
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

/// What every method with a weight takes.
#[derive(Debug, Args)]
pub(super) struct Regularised {
    #[command(flatten)]
    pub plain: Plain,
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
    /// The weight at the corner of the L-curve, where residual over penalty bends the most, among
    /// three a decade
    #[arg(long, conflicts_with_all = ["weight", "discrepancy"])]
    l_curve: bool,
}

#[derive(Debug, Args)]
pub(super) struct TikhonovSettings {
    #[command(flatten)]
    pub regularised: Regularised,
    /// What is penalised
    #[arg(long, value_enum)]
    penalty: Option<Square>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Square {
    /// The image
    Identity,
    /// Its differences
    Differences,
}

#[derive(Debug, Args)]
pub(super) struct TgvSettings {
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
pub(super) struct PnpSettings {
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
    /// Brightness at which the denoiser sees the images, D(MU x) / MU: as if made for noise MU times
    /// weaker; nothing to a network without biases
    #[arg(
        long,
        value_name = "MU",
        default_value_t = 1.0,
        allow_negative_numbers = true
    )]
    scale: f64,
    /// Share of the denoised image in what the denoiser gives; small shares keep pgd from blurring
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

#[derive(Debug, Args)]
pub(super) struct TvSettings {
    #[command(flatten)]
    regularised: Regularised,
}

#[derive(Debug, Args)]
pub(super) struct FistaSettings {
    #[command(flatten)]
    sparse: Sparse,
}

#[derive(Debug, Args)]
pub(super) struct AdmmSettings {
    #[command(flatten)]
    sparse: Sparse,
}

#[derive(Debug, Args)]
pub(super) struct LandweberSettings {
    #[command(flatten)]
    descent: Descent,
}

#[derive(Debug, Args)]
pub(super) struct SirtSettings {
    #[command(flatten)]
    descent: Descent,
}

impl Plain {
    /// Puts what was asked for in the place of the defaults.
    fn limit(&self, iterations: &mut usize, tolerance: &mut f64) {
        *iterations = self.iterations.unwrap_or(*iterations);
        *tolerance = self.tolerance.unwrap_or(*tolerance);
    }
}

impl Sign {
    fn constrain(&self, nonnegative: &mut bool) {
        *nonnegative = self.nonnegative.unwrap_or(*nonnegative);
    }
}

impl Regularised {
    fn regularise(&self, weight: &mut f64, nonnegative: &mut bool) {
        *weight = self.weight.unwrap_or(*weight);
        self.sign.constrain(nonnegative);
    }
}

type Solver = Box<dyn Iterative>;

/// What a method was told that it shares with others.
pub(super) enum Common<'a> {
    /// It has a weight that can be chosen.
    Weighted(&'a Regularised),
    /// The number of iterations regularises.
    Unweighted(&'a Plain),
}

/// An iterative method as the command line describes it.
pub(super) trait Settings {
    fn common(&self) -> Common<'_>;

    fn plain(&self) -> &Plain {
        match self.common() {
            Common::Weighted(given) => &given.plain,
            Common::Unweighted(plain) => plain,
        }
    }

    /// The method for images of this shape.
    ///
    /// # Errors
    /// Those of opening a denoiser.
    fn solver(&self, image: Shape) -> Result<Solver>;

    /// How the weight is found, or where the iteration stops.
    ///
    /// # Errors
    /// Those of [`Sigma::norm`].
    fn choose(&self, problem: &Problem) -> Result<Choose> {
        let common = self.common();
        if let Common::Weighted(Regularised { l_curve: true, .. }) = common {
            return Ok(Choose::LCurve);
        }
        let Some(sigma) = self.plain().discrepancy else {
            return Ok(Choose::Given);
        };
        let noise = sigma.norm(problem)?;
        Ok(match common {
            Common::Weighted(_) => Choose::Weight(noise),
            Common::Unweighted(_) => Choose::Stop(noise),
        })
    }
}

impl TikhonovSettings {
    /// Nothing asks for iterations: the operator's own inverse.
    pub fn is_direct(&self) -> bool {
        let Regularised {
            plain,
            sign,
            weight,
            l_curve,
        } = &self.regularised;
        let asked = plain.iterations.is_some()
            || plain.tolerance.is_some()
            || plain.start.is_some()
            || plain.discrepancy.is_some()
            || plain.curves.is_some()
            || sign.nonnegative.is_some()
            || weight.is_some()
            || *l_curve;
        !asked && self.penalty.is_none()
    }
}

impl Settings for TikhonovSettings {
    fn common(&self) -> Common<'_> {
        Common::Weighted(&self.regularised)
    }

    fn solver(&self, _: Shape) -> Result<Solver> {
        let given = &self.regularised;
        let mut solver = Tikhonov::default();
        if let Some(Square::Differences) = self.penalty {
            solver.penalty = Quadratic::Differences;
        }
        given.regularise(&mut solver.weight, &mut solver.nonnegative);
        given
            .plain
            .limit(&mut solver.iterations, &mut solver.tolerance);
        Ok(Box::new(solver))
    }
}

impl Settings for TvSettings {
    fn common(&self) -> Common<'_> {
        Common::Weighted(&self.regularised)
    }

    fn solver(&self, image: Shape) -> Result<Solver> {
        let given = &self.regularised;
        let mut solver = Tv::for_images(image);
        given.regularise(&mut solver.weight, &mut solver.nonnegative);
        given
            .plain
            .limit(&mut solver.iterations, &mut solver.tolerance);
        Ok(Box::new(solver))
    }
}

impl Settings for TgvSettings {
    fn common(&self) -> Common<'_> {
        Common::Weighted(&self.regularised)
    }

    fn solver(&self, image: Shape) -> Result<Solver> {
        let given = &self.regularised;
        let mut solver = Tgv::for_images(image);
        solver.ratio = self.ratio;
        given.regularise(&mut solver.weight, &mut solver.nonnegative);
        given
            .plain
            .limit(&mut solver.iterations, &mut solver.tolerance);
        Ok(Box::new(solver))
    }
}

impl Settings for FistaSettings {
    fn common(&self) -> Common<'_> {
        Common::Weighted(&self.sparse.regularised)
    }

    fn solver(&self, image: Shape) -> Result<Solver> {
        let given = &self.sparse.regularised;
        let mut solver = Fista::for_images(image);
        solver.penalty = self.sparse.penalty();
        given.regularise(&mut solver.weight, &mut solver.nonnegative);
        given
            .plain
            .limit(&mut solver.iterations, &mut solver.tolerance);
        Ok(Box::new(solver))
    }
}

impl Settings for AdmmSettings {
    fn common(&self) -> Common<'_> {
        Common::Weighted(&self.sparse.regularised)
    }

    fn solver(&self, image: Shape) -> Result<Solver> {
        let given = &self.sparse.regularised;
        let mut solver = Admm::for_images(image);
        solver.penalty = self.sparse.penalty();
        given.regularise(&mut solver.weight, &mut solver.nonnegative);
        given
            .plain
            .limit(&mut solver.iterations, &mut solver.tolerance);
        Ok(Box::new(solver))
    }
}

impl Settings for CglsSettings {
    fn common(&self) -> Common<'_> {
        Common::Unweighted(&self.plain)
    }

    fn solver(&self, _: Shape) -> Result<Solver> {
        let mut solver = Cgls::default();
        solver.weight = self.weight.unwrap_or(solver.weight);
        (self.plain).limit(&mut solver.iterations, &mut solver.tolerance);
        Ok(Box::new(solver))
    }
}

impl Settings for LandweberSettings {
    fn common(&self) -> Common<'_> {
        Common::Unweighted(&self.descent.plain)
    }

    fn solver(&self, image: Shape) -> Result<Solver> {
        let given = &self.descent;
        let mut solver = Landweber::for_images(image);
        solver.relaxation = given.relaxation;
        given.sign.constrain(&mut solver.nonnegative);
        given
            .plain
            .limit(&mut solver.iterations, &mut solver.tolerance);
        Ok(Box::new(solver))
    }
}

impl Settings for SirtSettings {
    fn common(&self) -> Common<'_> {
        Common::Unweighted(&self.descent.plain)
    }

    fn solver(&self, image: Shape) -> Result<Solver> {
        let given = &self.descent;
        let mut solver = Sirt::for_images(image);
        solver.relaxation = given.relaxation;
        given.sign.constrain(&mut solver.nonnegative);
        given
            .plain
            .limit(&mut solver.iterations, &mut solver.tolerance);
        Ok(Box::new(solver))
    }
}

impl Settings for PnpSettings {
    fn common(&self) -> Common<'_> {
        Common::Unweighted(&self.plain)
    }

    fn solver(&self, _: Shape) -> Result<Solver> {
        let run = RunDir::open(&self.denoiser)?;
        let denoiser = NetworkDenoiser::open(&run, Which::Best)?;
        let denoiser = denoiser.averaged_over(self.average)?;
        let mut solver = PlugAndPlay {
            scheme: self.scheme.into(),
            step: self.step,
            rho: self.rho,
            scale: self.scale,
            relaxation: self.relaxation,
            ..PlugAndPlay::new(Arc::new(denoiser))
        };
        (self.plain).limit(&mut solver.iterations, &mut solver.tolerance);
        Ok(Box::new(solver))
    }
}
