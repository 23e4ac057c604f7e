//! The alternating direction method of multipliers.

use super::Iterative;
use super::analysis::{Analysis, Differences, Penalty, shrink};
use super::fista::sparse_measures;
use super::prepared::{Prepared, Recipe, State};
use super::run::Run;
use crate::config::within;
use crate::error::Result;
use crate::shape::Shape;
use crate::tape::{Tape, Unary, Var};

/// Steps of conjugate gradients for the image. They start at the last image, so few are enough.
const INNER: usize = 3;
/// Over-relaxation: the copy sees `RELAXATION K u + (1 - RELAXATION) z`.
const RELAXATION: f32 = 1.6;
/// The splitting's weight `rho` at most.
const GREATEST: f32 = 10.0;

/// ADMM (Glowinski and Marrocco 1975; Boyd et al., Found. Trends Mach. Learn. 3 (2011), sections 3.1.1
/// and 3.4.3): makes `|A u - y|^2 / (2 ||A||^2) + weight R(u)` small, over `u >= 0` if asked, for the
/// penalties of [`Fista`](super::Fista).
///
/// The penalty and the constraint see a copy `z` of `K u`, `K` the differences or the wavelet transform
/// (and the image itself if it is constrained). The image solves
/// `(A^T A / ||A||^2 + rho K^T K) u = A^T y / ||A||^2 + rho K^T (z - w)` by a few steps of conjugate
/// gradients. Each image of a batch has its `rho`, in proportion to its weight.
///
/// The criterion is the larger one of `|K u - z| / |z|` and `|A^T (A u - y) / ||A||^2 + rho K^T w|`
/// relative to the gradient at zero.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Admm {
    /// `R`.
    pub penalty: Penalty,
    /// Weight of the penalty, in the unit of the image.
    pub weight: f64,
    /// Keeps the image from becoming negative.
    pub nonnegative: bool,
    /// Iterations at most.
    pub iterations: usize,
    /// The criterion at which it stops; 0 for all iterations.
    pub tolerance: f64,
}

impl Default for Admm {
    fn default() -> Self {
        Admm {
            penalty: Penalty::TotalVariation,
            weight: 1e-3,
            nonnegative: true,
            iterations: 300,
            tolerance: 1e-3,
        }
    }
}

impl Admm {
    /// The default for images of this shape: real ones are not negative, complex ones are free.
    pub fn for_images(image: Shape) -> Self {
        Admm {
            nonnegative: image.c() == 1,
            ..Admm::default()
        }
    }
}

/// `K`: the analysis, and below it the image if its sign is constrained.
struct Split<'r> {
    run: &'r Run<'r>,
    analysis: Analysis,
    nonnegative: bool,
}

impl Split<'_> {
    fn shape(&self) -> Shape {
        let (images, own) = (self.run.domain(), self.analysis.shape(self.run.domain()));
        let extra = if self.nonnegative { images.c() } else { 0 };
        own.with(1, own.c() + extra)
    }

    fn forward(&self, tape: &mut Tape, u: Var) -> Result<Var> {
        let lu = self.analysis.forward(tape, u)?;
        match self.nonnegative {
            true => tape.concat(&[lu, u], 1),
            false => Ok(lu),
        }
    }

    /// The parts that belong to the analysis and to the image.
    fn parts(&self, tape: &mut Tape, z: Var) -> Result<(Var, Option<Var>)> {
        if !self.nonnegative {
            return Ok((z, None));
        }
        let own = self.analysis.shape(self.run.domain()).c();
        let image = tape.slice(z, 1, own, self.run.domain().c())?;
        Ok((tape.slice(z, 1, 0, own)?, Some(image)))
    }

    fn adjoint(&self, tape: &mut Tape, z: Var) -> Result<Var> {
        let (own, image) = self.parts(tape, z)?;
        let u = self.analysis.adjoint(tape, own, self.run.domain())?;
        match image {
            Some(image) => tape.add(u, image),
            None => Ok(u),
        }
    }

    /// The proximal map of the penalty, `threshold` its weight, and of the constraint.
    fn proximal(&self, tape: &mut Tape, z: Var, threshold: Var) -> Result<Var> {
        let (own, image) = self.parts(tape, z)?;
        let own = shrink(tape, own, threshold)?;
        match image {
            Some(image) => {
                let image = self.run.constrained(tape, image, true);
                tape.concat(&[own, image], 1)
            }
            None => Ok(own),
        }
    }

    /// `A^T A u + rho K^T K u`.
    fn normal(&self, tape: &mut Tape, u: Var, rho: Var) -> Result<Var> {
        let au = self.run.forward(tape, u)?;
        let data = self.run.adjoint(tape, au)?;
        let ku = self.forward(tape, u)?;
        let split = self.adjoint(tape, ku)?;
        let split = tape.mul(rho, split)?;
        tape.add(data, split)
    }

    /// `u` after a few steps of conjugate gradients for `normal(u) = b`.
    fn solve(&self, tape: &mut Tape, u: Var, b: Var, rho: Var) -> Result<Var> {
        let normal = |tape: &mut Tape, u| self.normal(tape, u, rho);
        self.run.descended(tape, u, b, INNER, normal)
    }
}

impl Iterative for Admm {
    fn name(&self) -> &'static str {
        "admm"
    }

    fn iterations(&self) -> usize {
        self.iterations
    }

    fn prepare<'r>(&self, run: &'r Run<'r>) -> Result<Prepared<'r>> {
        let weight = within("admm.weight", self.weight, 1e-12..=1e6)?;
        run.check_sign("admm", self.nonnegative)?;
        let split = Split {
            run,
            analysis: Analysis::new(self.penalty, run.domain())?,
            nonnegative: self.nonnegative,
        };
        // The image that is returned, which obeys the constraint; u, z and the scaled multipliers w,
        // which follow the weight with rho; A^T y.
        let states = [
            State("image", run.domain(), 0.0),
            State("u", run.domain(), 0.0),
            State("z", split.shape(), 0.0),
            State("w", split.shape(), 0.0),
            State("rho", run.per_image(), 1.0),
            State("back", run.domain(), 0.0),
        ];
        let enter = |tape: &mut Tape, [image, _, _, w, rho, back]: [Var; 6]| {
            let z = split.forward(tape, image)?;
            Ok([image, image, z, w, rho, back])
        };
        let begin = |tape: &mut Tape, [image, u, z, w, ..]: [Var; 6]| {
            let y = run.y(tape);
            let back = run.adjoint(tape, y)?;
            let rho = run.dual_scale(tape, GREATEST)?;
            // The scale is that of differences, which are longer than wavelet coefficients, but not
            // than the image that the constraint sees.
            let length = match self.nonnegative {
                true => 1.0,
                false => (split.analysis.norm_squared() / Differences::NORM_SQUARED).sqrt(),
            };
            let rho = tape.scale(rho, length);
            Ok([image, u, z, w, rho, back])
        };
        let step = |tape: &mut Tape, [_, u, z, w, rho, back]: [Var; 6]| {
            let target = tape.sub(z, w)?;
            let target = split.adjoint(tape, target)?;
            let target = tape.mul(rho, target)?;
            let b = tape.add(back, target)?;
            let u = split.solve(tape, u, b, rho)?;
            let ku = split.forward(tape, u)?;
            let far = tape.scale(ku, RELAXATION);
            let near = tape.scale(z, RELAXATION - 1.0);
            let beyond = tape.sub(far, near)?;
            let sum = tape.add(beyond, w)?;
            let weight = run.weight(tape);
            let threshold = tape.div(weight, rho)?;
            let z = split.proximal(tape, sum, threshold)?;
            let w = tape.sub(sum, z)?;
            let image = run.constrained(tape, u, self.nonnegative);
            Ok([image, u, z, w, rho, back])
        };
        let measure = |tape: &mut Tape, [image, u, z, w, rho, _]: [Var; 6]| {
            let r = run.residual(tape, u)?;
            let s = run.adjoint(tape, r)?;
            let multipliers = split.adjoint(tape, w)?;
            let multipliers = tape.mul(rho, multipliers)?;
            let slope = tape.sub(multipliers, s)?;
            let slope = run.relative_to_start(tape, slope)?;
            let ku = split.forward(tape, u)?;
            let apart = tape.sub(ku, z)?;
            let apart = run.ratio(tape, apart, ku)?;
            // The larger one.
            let above = tape.sub(apart, slope)?;
            let above = tape.unary(Unary::AtLeast(0.0), above);
            let criterion = tape.add(slope, above)?;
            let r = run.residual(tape, image)?;
            let square = run.dot(tape, r, r)?;
            sparse_measures(run, tape, &split.analysis, image, square, criterion)
        };
        let limits = (self.iterations, self.tolerance);
        let recipe = Recipe {
            weight: Some(weight),
            // Two iterations make a long plan.
            block: 2,
            enter: Some(&enter),
            begin: Some(&begin),
            ..Recipe::new("admm", limits, states, &step, &measure)
        };
        Prepared::new(run, recipe)
    }
}
