//! Total variation by the primal-dual method of Chambolle and Pock.

use super::Iterative;
use super::analysis::{self, Differences};
use super::run::{Measures, Prepared, Recipe, Run, State};
use crate::config::within;
use crate::error::Result;
use crate::shape::Shape;
use crate::tape::{Tape, Unary, Var};

/// Total variation: makes `|A u - y|^2 / (2 ||A||^2) + weight TV(u)` small, over `u >= 0` if asked.
///
/// `TV(u)` is isotropic: the sum over the pixels of `sqrt(sum of squared forward differences)` to
/// the right and lower neighbour, zero across the border; the channels of one pixel are coupled
/// (so a complex image is penalised by the modulus of its complex differences). Differences are
/// between pixels, not per metre, and the data term is divided by `||A||^2`: `weight` has the unit
/// of the image, and flat regions lose contrast in proportion to it. For images in [0, 1], 1e-4 is
/// little and 1e-2 is much.
///
/// The iteration is PDHG (Chambolle and Pock, J. Math. Imaging Vis. 40 (2011), algorithm 1, theta =
/// 1), with one step size for each dual variable (Pock and Chambolle, ICCV 2011).
///
/// The criterion is the primal-dual gap relative to the objective. The dual problem has a
/// constraint that holds only in the limit, so the gap is the one over images bounded by twice the
/// current maximum of `|u|`: an upper bound of the distance to the optimal objective, provided the
/// optimal image obeys that bound. In f32 it ends at about 1e-5.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Tv {
    /// Weight of the total variation, in the unit of the image.
    pub weight: f64,
    /// Iterations at most.
    pub iterations: usize,
    /// Keeps the image from becoming negative.
    pub nonnegative: bool,
    /// The relative gap at which it stops; 0 for all iterations.
    pub tolerance: f64,
}

impl Default for Tv {
    fn default() -> Self {
        Tv {
            weight: 1e-3,
            iterations: 1000,
            nonnegative: true,
            tolerance: 1e-3,
        }
    }
}

/// Steps of the two dual variables. With `||A|| = 1` and `||D||^2 <= 8` the method converges for
/// `tau (DATA + 8 DIFFERENCES) < 1`. Any choice is right; this one was the fastest over weights
/// from 3e-4 to 1e-2 on noisy sinograms (the dual variables are about that much smaller than the
/// image).
const DATA: f32 = 0.1;
const DIFFERENCES: f32 = 0.01;
/// Step of the image.
const TAU: f32 = 0.99 / (DATA + Differences::NORM_SQUARED * DIFFERENCES);

impl Tv {
    /// The default for images of this shape: real ones are not negative, complex ones are free.
    pub fn for_images(image: Shape) -> Self {
        Tv {
            nonnegative: image.c() == 1,
            ..Tv::default()
        }
    }
}

impl Iterative for Tv {
    fn name(&self) -> &'static str {
        "tv"
    }

    fn iterations(&self) -> usize {
        self.iterations
    }

    fn prepare<'r>(&self, run: &'r Run<'r>) -> Result<Prepared<'r>> {
        let weight = within("tv.weight", self.weight, 1e-12..=1e6)?;
        run.check_sign("tv", self.nonnegative)?;
        let domain = run.domain();
        // The image u, and the dual variables p of the data and q of the differences.
        let states = [
            State("u", domain, 0.0),
            State("p", run.range(), 0.0),
            State("q", Differences::shape(domain), 0.0),
        ];
        // A^T p + D^T q
        let slope = |tape: &mut Tape, p, q| {
            let data = run.adjoint(tape, p)?;
            let smooth = Differences::adjoint(tape, q, domain)?;
            tape.add(data, smooth)
        };
        let step = |tape: &mut Tape, [u, p, q]: [Var; 3]| {
            let slope = slope(tape, p, q)?;
            let slope = tape.scale(slope, -TAU);
            let next = tape.add(u, slope)?;
            let next = run.constrained(tape, next, self.nonnegative);
            let ahead = over_relaxed(tape, next, u)?;
            let p = data_step(run, tape, p, ahead, DATA)?;
            // q <- projection of q + DIFFERENCES D ahead onto |q| <= weight
            let d = Differences::forward(tape, ahead)?;
            let d = tape.scale(d, DIFFERENCES);
            let q = tape.add(q, d)?;
            let weight = run.weight(tape);
            let q = analysis::project(tape, q, weight)?;
            Ok([next, p, q])
        };
        let measure = |tape: &mut Tape, [u, p, q]: [Var; 3]| {
            let d = Differences::forward(tape, u)?;
            let tv = analysis::sum_of_lengths(tape, d)?;
            let slope = slope(tape, p, q)?;
            let violation = violation(run, tape, u, slope, self.nonnegative)?;
            gap(run, tape, u, p, tv, violation)
        };
        let recipe = Recipe {
            method: "tv",
            iterations: self.iterations,
            tolerance: self.tolerance,
            weight: Some(weight),
            states,
            block: usize::MAX,
            begin: None,
            step: &step,
            measure: &measure,
        };
        Prepared::new(run, &recipe)
    }
}

/// `2 next - before`.
pub(super) fn over_relaxed(tape: &mut Tape, next: Var, before: Var) -> Result<Var> {
    let twice = tape.scale(next, 2.0);
    tape.sub(twice, before)
}

/// The data's dual variable after a step of `sigma`: `(p + sigma (A u - y)) / (1 + sigma)`.
pub(super) fn data_step(run: &Run, tape: &mut Tape, p: Var, u: Var, sigma: f32) -> Result<Var> {
    let residual = run.residual(tape, u)?;
    let residual = tape.scale(residual, -sigma);
    let p = tape.add(p, residual)?;
    Ok(tape.scale(p, 1.0 / (1.0 + sigma)))
}

/// What the violated constraint of the dual problem, `slope = 0` (or `slope >= 0` for `x >= 0`), costs
/// over the `x` bounded by twice the current maximum of `|x|`: that bound times the sum of the
/// violation, for each image.
pub(super) fn violation(
    run: &Run,
    tape: &mut Tape,
    x: Var,
    slope: Var,
    nonnegative: bool,
) -> Result<Var> {
    let violation = match nonnegative {
        true => {
            let slope = tape.scale(slope, -1.0);
            tape.unary(Unary::AtLeast(0.0), slope)
        }
        false => tape.unary(Unary::Abs, slope),
    };
    let violation = tape.sum(violation, run.per_image())?;
    let bound = tape.unary(Unary::Abs, x);
    let bound = tape.max(bound, run.per_image())?;
    let bound = tape.scale(bound, 2.0);
    tape.mul(bound, violation)
}

/// The measures of a primal-dual method: the criterion is the gap relative to the objective, with the
/// dual objective `-(|p|^2 / 2 + <p, y> + violation)`.
pub(super) fn gap(
    run: &Run,
    tape: &mut Tape,
    u: Var,
    p: Var,
    penalty: Var,
    violation: Var,
) -> Result<Measures> {
    let residual = run.residual(tape, u)?;
    let square = run.dot(tape, residual, residual)?;
    let data = tape.scale(square, 0.5);
    let weight = run.weight(tape);
    let weighted = tape.mul(weight, penalty)?;
    let objective = tape.add(data, weighted)?;
    let dual = run.dot(tape, p, p)?;
    let dual = tape.scale(dual, 0.5);
    let y = run.y(tape);
    let inner = run.dot(tape, p, y)?;
    let dual = tape.add(dual, inner)?;
    let dual = tape.add(dual, violation)?;
    let gap = tape.add(objective, dual)?;
    // Rounding may leave it just below zero.
    let gap = tape.unary(Unary::Abs, gap);
    let floor = tape.unary(Unary::AtLeast(1e-30), objective);
    Ok(Measures {
        objective,
        criterion: tape.div(gap, floor)?,
        square,
        penalty: Some(penalty),
    })
}
