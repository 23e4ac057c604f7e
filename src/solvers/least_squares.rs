//! Least squares: conjugate gradients and Landweber's iteration.

use super::prepared::{Prepared, Recipe, State};
use super::run::Run;
use super::tikhonov::{self, Quadratic};
use super::{Iterative, TINY};
use crate::config::within;
use crate::error::Result;
use crate::shape::Shape;
use crate::tape::{Binary, Tape, Unary, Var};

/// Relative gradient below which conjugate gradients in f32 only stir up rounding errors.
const CONVERGED: f64 = 1e-6;

/// Conjugate gradients on the normal equations, the CGLS of Hestenes and Stiefel (1952; Björck,
/// "Numerical Methods for Least Squares Problems", 1996, algorithm 7.4.1): makes
/// `|A u - y|^2 / (2 ||A||^2) + weight |u|^2 / 2` small.
///
/// For several coils of magnetic resonance imaging this is CG-SENSE (Pruessmann et al. 2001).
///
/// With weight 0 the number of iterations regularises; with a positive weight this is Tikhonov's
/// solution. The criterion is the norm of the objective's gradient relative to that at zero; an
/// image that has reached the tolerance (or 1e-6) rests while others of its batch go on.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cgls {
    /// Weight of the penalty, without unit; 0 for none.
    pub weight: f64,
    /// Iterations at most.
    pub iterations: usize,
    /// The relative gradient at which it stops; f32 reaches about 1e-5.
    pub tolerance: f64,
}

impl Default for Cgls {
    fn default() -> Self {
        Cgls {
            weight: 0.0,
            iterations: 20,
            tolerance: 1e-4,
        }
    }
}

impl Iterative for Cgls {
    fn name(&self) -> &'static str {
        "cgls"
    }

    fn iterations(&self) -> usize {
        self.iterations
    }

    fn prepare<'r>(&self, run: &'r Run<'r>) -> Result<Prepared<'r>> {
        let weight = within("cgls.weight", self.weight, 0.0..=1e6)?;
        let penalty = (weight > 0.0).then_some((weight, Quadratic::Identity));
        conjugate_gradients("cgls", run, penalty, self.iterations, self.tolerance)
    }
}

/// Conjugate gradients for `|A u - y|^2 / 2 + weight |L u|^2 / 2`.
pub(super) fn conjugate_gradients<'r>(
    method: &'static str,
    run: &'r Run<'r>,
    penalty: Option<(f64, Quadratic)>,
    iterations: usize,
    tolerance: f64,
) -> Result<Prepared<'r>> {
    let goal = tolerance.max(CONVERGED).powi(2) as f32;
    let quadratic = penalty.map(|(_, quadratic)| quadratic);
    // Image u, residual r = y - A u, direction p and gamma = |s|^2 for the negative gradient s,
    // now and at the zero image.
    let states = [
        State("u", run.domain(), 0.0),
        State("r", run.range(), 0.0),
        State("p", run.domain(), 0.0),
        State("gamma", run.per_image(), 0.0),
        State("start", run.per_image(), 0.0),
    ];
    let descent = |tape: &mut Tape, u, r| {
        let s = run.adjoint(tape, r)?;
        match quadratic {
            None => Ok(s),
            Some(quadratic) => {
                let penalty = tikhonov::gradient(run, tape, quadratic, u)?;
                tape.sub(s, penalty)
            }
        }
    };
    let begin = |tape: &mut Tape, [u, ..]: [Var; 5]| {
        let r = run.residual(tape, u)?;
        let s = descent(tape, u, r)?;
        let gamma = run.dot(tape, s, s)?;
        let y = run.y(tape);
        let start = run.adjoint(tape, y)?;
        let start = run.dot(tape, start, start)?;
        Ok([u, r, s, gamma, start])
    };
    let step = |tape: &mut Tape, [u, r, p, gamma, start]: [Var; 5]| {
        let q = run.forward(tape, p)?;
        let mut delta = run.dot(tape, q, q)?;
        if let Some(quadratic) = quadratic {
            let curvature = tikhonov::gradient(run, tape, quadratic, p)?;
            let curvature = run.dot(tape, p, curvature)?;
            delta = tape.add(delta, curvature)?;
        }
        let delta = tape.unary(Unary::AtLeast(TINY), delta);
        let alpha = tape.div(gamma, delta)?;
        let goal = tape.scale(start, goal);
        let moves = tape.binary(Binary::Greater, gamma, goal)?;
        let alpha = tape.mul(alpha, moves)?;
        let du = tape.mul(alpha, p)?;
        let u = tape.add(u, du)?;
        let dr = tape.mul(alpha, q)?;
        let r = tape.sub(r, dr)?;
        let s = descent(tape, u, r)?;
        let next = run.dot(tape, s, s)?;
        let gamma = tape.unary(Unary::AtLeast(TINY), gamma);
        let beta = tape.div(next, gamma)?;
        let p = tape.mul(beta, p)?;
        let p = tape.add(s, p)?;
        Ok([u, r, p, next, start])
    };
    let measure = |tape: &mut Tape, [u, ..]: [Var; 5]| {
        let r = run.residual(tape, u)?;
        let square = run.dot(tape, r, r)?;
        let s = descent(tape, u, r)?;
        let criterion = run.relative_to_start(tape, s)?;
        tikhonov::measures(run, tape, quadratic, u, square, criterion)
    };
    let recipe = Recipe {
        weight: penalty.map(|(weight, _)| weight),
        begin: Some(&begin),
        ..Recipe::new(method, (iterations, tolerance), states, &step, &measure)
    };
    Prepared::new(run, recipe)
}

/// Landweber's iteration (1951), gradient descent on `|A u - y|^2 / (2 ||A||^2)` with the fixed step
/// `relaxation`; projected onto `u >= 0` if asked. The number of iterations regularises.
///
/// The criterion is the norm of the gradient relative to that at zero (where the image may not
/// become negative, of the part that may still move it).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Landweber {
    /// The step, above 0 and below 2.
    pub relaxation: f64,
    /// Keeps the image from becoming negative.
    pub nonnegative: bool,
    /// Iterations at most.
    pub iterations: usize,
    /// The relative gradient at which it stops.
    pub tolerance: f64,
}

impl Default for Landweber {
    fn default() -> Self {
        Landweber {
            relaxation: 1.0,
            nonnegative: true,
            iterations: 200,
            tolerance: 1e-4,
        }
    }
}

impl Landweber {
    /// The default for images of this shape: real ones are not negative, complex ones are free.
    pub fn for_images(image: Shape) -> Self {
        Landweber {
            nonnegative: image.c() == 1,
            ..Landweber::default()
        }
    }
}

impl Iterative for Landweber {
    fn name(&self) -> &'static str {
        "landweber"
    }

    fn iterations(&self) -> usize {
        self.iterations
    }

    fn prepare<'r>(&self, run: &'r Run<'r>) -> Result<Prepared<'r>> {
        // At 2 the iteration no longer converges.
        let relaxation = within("landweber.relaxation", self.relaxation, 1e-6..=1.999)? as f32;
        run.check_sign("landweber", self.nonnegative)?;
        let ahead = |tape: &mut Tape, u, s, step| {
            let s = tape.scale(s, step);
            let u = tape.add(u, s)?;
            Ok(run.constrained(tape, u, self.nonnegative))
        };
        let step = |tape: &mut Tape, [u]: [Var; 1]| {
            let r = run.residual(tape, u)?;
            let s = run.adjoint(tape, r)?;
            Ok([ahead(tape, u, s, relaxation)?])
        };
        let measure = |tape: &mut Tape, [u]: [Var; 1]| {
            let r = run.residual(tape, u)?;
            let square = run.dot(tape, r, r)?;
            let s = run.adjoint(tape, r)?;
            // How far one whole step would move the image.
            let moved = match self.nonnegative {
                false => s,
                true => {
                    let next = ahead(tape, u, s, 1.0)?;
                    tape.sub(next, u)?
                }
            };
            let criterion = run.relative_to_start(tape, moved)?;
            tikhonov::measures(run, tape, None, u, square, criterion)
        };
        let limits = (self.iterations, self.tolerance);
        let states = [State("u", run.domain(), 0.0)];
        let recipe = Recipe::new("landweber", limits, states, &step, &measure);
        Prepared::new(run, recipe)
    }
}
