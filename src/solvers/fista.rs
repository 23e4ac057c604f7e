//! Accelerated proximal gradients.

use super::Iterative;
use super::analysis::{self, Analysis, Penalty};
use super::prepared::{Measures, Prepared, Recipe, State};
use super::primal_dual::{gap, violation};
use super::run::Run;
use super::tikhonov::{self, Quadratic};
use crate::config::within;
use crate::error::Result;
use crate::shape::Shape;
use crate::tape::{Binary, Tape, Unary, Var};

/// The step relative to `1 / ||A||^2`: power iteration sees a little less than the norm.
const STEP: f32 = 0.98;
/// Steps of the dual problem that is the proximal map of total variation. It starts where the last
/// one ended, so few are enough.
const INNER: usize = 10;

/// FISTA (Beck and Teboulle, SIAM J. Imaging Sci. 2 (2009), 183-202): makes
/// `|A u - y|^2 / (2 ||A||^2) + weight R(u)` small, over `u >= 0` if asked, for `R` the total
/// variation or the sum of the moduli of the wavelet coefficients.
///
/// The proximal map of `R` with the constraint is found by accelerated projected gradients of its
/// dual (Beck and Teboulle, IEEE Trans. Image Process. 18 (2009), 2419-2434), begun where the last one
/// ended; for wavelets without constraint one step is exact. The momentum is dropped where it points
/// uphill (O'Donoghue and Candes, Found. Comput. Math. 15 (2015), gradient scheme).
///
/// The criterion is the primal-dual gap relative to the objective, as in [`Tv`](super::Tv).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fista {
    /// `R`.
    pub penalty: Penalty,
    /// Weight of the penalty, in the unit of the image.
    pub weight: f64,
    /// Keeps the image from becoming negative.
    pub nonnegative: bool,
    /// Iterations at most.
    pub iterations: usize,
    /// The relative gap at which it stops; 0 for all iterations.
    pub tolerance: f64,
}

impl Default for Fista {
    fn default() -> Self {
        Fista {
            penalty: Penalty::TotalVariation,
            weight: 1e-3,
            nonnegative: true,
            iterations: 500,
            tolerance: 1e-3,
        }
    }
}

impl Fista {
    /// The default for images of this shape: real ones are not negative, complex ones are free.
    pub fn for_images(image: Shape) -> Self {
        Fista {
            nonnegative: image.c() == 1,
            ..Fista::default()
        }
    }
}

impl Iterative for Fista {
    fn name(&self) -> &'static str {
        "fista"
    }

    fn iterations(&self) -> usize {
        self.iterations
    }

    fn prepare<'r>(&self, run: &'r Run<'r>) -> Result<Prepared<'r>> {
        let weight = within("fista.weight", self.weight, 1e-12..=1e6)?;
        let analysis = Analysis::new(self.penalty, run.domain())?;
        let sparse = Some((weight, analysis));
        let (iterations, tolerance) = (self.iterations, self.tolerance);
        accelerated(
            "fista",
            run,
            None,
            sparse,
            self.nonnegative,
            iterations,
            tolerance,
        )
    }
}

/// Accelerated proximal gradients for `|A u - y|^2 / 2` with a quadratic or a sparse penalty (of both,
/// one at most: there is one weight).
pub(super) fn accelerated<'r>(
    method: &'static str,
    run: &'r Run<'r>,
    quadratic: Option<(f64, Quadratic)>,
    sparse: Option<(f64, Analysis)>,
    nonnegative: bool,
    iterations: usize,
    tolerance: f64,
) -> Result<Prepared<'r>> {
    run.check_sign(method, nonnegative)?;
    let weight = quadratic.map(|q| q.0).or(sparse.as_ref().map(|s| s.0));
    let smooth = quadratic.map(|q| q.1);
    let sparse = sparse.map(|s| s.1);
    let domain = run.domain();
    let dual = sparse.as_ref().map_or(run.per_image(), |s| s.shape(domain));
    // The image, the point ahead of it, the momentum's t, and the dual variable of the proximal map.
    let states = [
        State("u", domain, 0.0),
        State("ahead", domain, 0.0),
        State("t", run.per_image(), 1.0),
        State("z", dual, 0.0),
    ];
    // 1 / step is the constant of Lipschitz of the smooth part.
    let step_size = |tape: &mut Tape| match smooth {
        None => Ok(tape.scalar(STEP)),
        Some(quadratic) => {
            let weight = run.weight(tape);
            let curvature = tape.scale(weight, quadratic.norm_squared());
            let curvature = tape.unary(Unary::Offset(1.0), curvature);
            let step = tape.unary(Unary::Reciprocal, curvature);
            Ok(tape.scale(step, STEP))
        }
    };
    // One proximal gradient step from `x`, and the dual variable after it.
    let forward_backward = |tape: &mut Tape, x: Var, z: Var| -> Result<[Var; 2]> {
        let r = run.residual(tape, x)?;
        let mut s = run.adjoint(tape, r)?;
        if let Some(quadratic) = smooth {
            let gradient = tikhonov::gradient(run, tape, quadratic, x)?;
            s = tape.sub(s, gradient)?;
        }
        let size = step_size(tape)?;
        let s = tape.mul(size, s)?;
        let v = tape.add(x, s)?;
        match &sparse {
            None => Ok([run.constrained(tape, v, nonnegative), z]),
            Some(sparse) => {
                let weight = run.weight(tape);
                let radius = tape.mul(size, weight)?;
                proximal(run, tape, sparse, v, z, radius, nonnegative)
            }
        }
    };
    let begin = |tape: &mut Tape, [u, _, _, z]: [Var; 4]| {
        let t = tape.constant(run.per_image(), vec![1.0; run.count()])?;
        Ok([u, u, t, z])
    };
    let step = |tape: &mut Tape, [u, ahead, t, z]: [Var; 4]| {
        let [next, z] = forward_backward(tape, ahead, z)?;
        let moved = tape.sub(next, u)?;
        // Uphill, the momentum starts anew.
        let back = tape.sub(ahead, next)?;
        let uphill = run.dot(tape, back, moved)?;
        let zero = tape.scalar(0.0);
        let uphill = tape.binary(Binary::Greater, uphill, zero)?;
        let keeps = tape.scale(uphill, -1.0);
        let keeps = tape.unary(Unary::Offset(1.0), keeps);
        // (1 + sqrt(1 + 4 t^2)) / 2
        let square = tape.mul(t, t)?;
        let square = tape.scale(square, 4.0);
        let square = tape.unary(Unary::Offset(1.0), square);
        let root = tape.unary(Unary::Sqrt, square);
        let root = tape.unary(Unary::Offset(1.0), root);
        let later = tape.scale(root, 0.5);
        let momentum = tape.unary(Unary::Offset(-1.0), t);
        let momentum = tape.div(momentum, later)?;
        let momentum = tape.mul(momentum, keeps)?;
        let later = tape.mul(later, keeps)?;
        let later = tape.add(later, uphill)?;
        let momentum = tape.mul(momentum, moved)?;
        let ahead = tape.add(next, momentum)?;
        Ok([next, ahead, later, z])
    };
    let measure = |tape: &mut Tape, [u, _, _, z]: [Var; 4]| {
        let r = run.residual(tape, u)?;
        let size = step_size(tape)?;
        if let Some(sparse) = &sparse {
            // At the minimum A u - y and z / step solve the dual problem.
            let p = tape.scale(r, -1.0);
            let q = tape.div(z, size)?;
            let coefficients = sparse.forward(tape, u)?;
            let penalty = analysis::sum_of_lengths(tape, coefficients)?;
            let data = run.adjoint(tape, p)?;
            let back = sparse.adjoint(tape, q, domain)?;
            let slope = tape.add(data, back)?;
            let violation = violation(run, tape, u, slope, nonnegative)?;
            return gap(run, tape, u, p, penalty, violation);
        }
        let square = run.dot(tape, r, r)?;
        let [next, _] = forward_backward(tape, u, z)?;
        let moved = tape.sub(next, u)?;
        let moved = tape.div(moved, size)?;
        let criterion = run.relative_to_start(tape, moved)?;
        tikhonov::measures(run, tape, smooth, u, square, criterion)
    };
    let recipe = Recipe {
        weight,
        // The proximal maps make long plans.
        block: if sparse.is_some() { 2 } else { usize::MAX },
        begin: Some(&begin),
        ..Recipe::new(method, (iterations, tolerance), states, &step, &measure)
    };
    Prepared::new(run, recipe)
}

/// The measures of least squares with a sparse penalty; `square` is `|A u - y|^2`.
pub(super) fn sparse_measures(
    run: &Run,
    tape: &mut Tape,
    sparse: &Analysis,
    u: Var,
    square: Var,
    criterion: Var,
) -> Result<Measures> {
    let coefficients = sparse.forward(tape, u)?;
    let penalty = analysis::sum_of_lengths(tape, coefficients)?;
    Ok(Measures {
        objective: run.objective(tape, square, penalty)?,
        criterion,
        square,
        penalty: Some(penalty),
    })
}

/// The image that makes `|u - v|^2 / 2 + radius |L u|_1` small, over `u >= 0` if asked, and the dual
/// variable: `u = P(v - L^T z)` for the `z` of length `radius` at most at each pixel that makes
/// `|P(v - L^T z)|^2` small.
fn proximal(
    run: &Run,
    tape: &mut Tape,
    sparse: &Analysis,
    v: Var,
    z: Var,
    radius: Var,
    nonnegative: bool,
) -> Result<[Var; 2]> {
    let primal = |tape: &mut Tape, z: Var| {
        let back = sparse.adjoint(tape, z, run.domain())?;
        let u = tape.sub(v, back)?;
        Ok::<_, crate::error::Error>(run.constrained(tape, u, nonnegative))
    };
    let exact = sparse.is_tight() && !nonnegative;
    let (mut z, mut ahead, mut t) = (z, z, 1.0_f32);
    for _ in 0..if exact { 1 } else { INNER } {
        let u = primal(tape, ahead)?;
        let lu = sparse.forward(tape, u)?;
        let lu = tape.scale(lu, 1.0 / sparse.norm_squared());
        let next = tape.add(ahead, lu)?;
        let next = analysis::project(tape, next, radius)?;
        let later = (1.0 + (1.0 + 4.0 * t * t).sqrt()) / 2.0;
        let moved = tape.sub(next, z)?;
        let moved = tape.scale(moved, (t - 1.0) / later);
        ahead = tape.add(next, moved)?;
        (z, t) = (next, later);
    }
    Ok([primal(tape, z)?, z])
}
