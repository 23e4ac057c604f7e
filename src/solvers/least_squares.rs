//! Least squares: conjugate gradients (with Tikhonov's penalty) and Landweber's iteration.

use super::{Progress, Scaled, Solution, Stopping};
use crate::config::within;
use crate::error::Result;
use crate::operators::LinearOperator;
use crate::shape::Shape;
use crate::tape::plan::Store;
use crate::tape::{Binary, Tape, Unary, Var};

/// A divisor that is zero only where the dividend is: below every other number that occurs.
const TINY: f32 = 1e-37;

/// Relative gradient below which conjugate gradients in f32 only stir up rounding errors.
const CONVERGED: f64 = 1e-6;

/// Conjugate gradients on the normal equations, the CGLS of Hestenes and Stiefel (1952; Björck,
/// "Numerical Methods for Least Squares Problems", 1996, algorithm 7.4.1): makes
/// `|A u - y|^2 / (2 ||A||^2) + weight |u|^2 / 2` small, from `u = 0`.
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

impl Cgls {
    /// Solves for the `n` measurements `y` (N times the operator's range).
    ///
    /// # Errors
    /// [`crate::error::Error::Config`] if a setting is out of range; [`crate::error::Error::Data`]
    /// if `y` does not fit; [`crate::error::Error::NotFinite`]; those of compiling and running.
    pub fn solve(
        &self,
        operator: &dyn LinearOperator,
        store: &Store,
        y: &[f32],
        n: usize,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Solution> {
        let weight = within("cgls.weight", self.weight, 0.0..=1e6)? as f32;
        let stopping = Stopping::of("cgls", self.iterations, self.tolerance)?;
        let a = Scaled::new(operator, store, y, n)?;
        let goal = self.tolerance.max(CONVERGED).powi(2) as f32;
        // Image u, residual r = y - A u, direction p and gamma = |s|^2 for the negative gradient s,
        // now and at zero.
        let states = [
            ("u", a.domain()),
            ("r", a.range()),
            ("p", a.domain()),
            ("gamma", a.per_image()),
            ("start", a.per_image()),
        ];
        a.start_descent()?;
        let step = |tape: &mut Tape, [u, r, p, gamma, start]: [Var; 5]| {
            let q = a.forward(tape, p)?;
            let mut delta = a.dot(tape, q, q)?;
            if weight > 0.0 {
                let penalty = a.dot(tape, p, p)?;
                let penalty = tape.scale(penalty, weight);
                delta = tape.add(delta, penalty)?;
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
            let s = descent(&a, tape, u, r, weight)?;
            let next = a.dot(tape, s, s)?;
            let gamma = tape.unary(Unary::AtLeast(TINY), gamma);
            let beta = tape.div(next, gamma)?;
            let p = tape.mul(beta, p)?;
            let p = tape.add(s, p)?;
            Ok([u, r, p, next, start])
        };
        let measure = |tape: &mut Tape, [u, ..]: [Var; 5]| measure(&a, tape, u, weight);
        a.iterate(states, step, measure, stopping, progress)
    }
}

/// Landweber's iteration (1951), gradient descent on `|A u - y|^2 / (2 ||A||^2)` from `u = 0` with
/// the fixed step `relaxation`; projected onto `u >= 0` if asked. The number of iterations
/// regularises.
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

    /// Solves for the `n` measurements `y` (N times the operator's range).
    ///
    /// # Errors
    /// As [`Cgls::solve`].
    pub fn solve(
        &self,
        operator: &dyn LinearOperator,
        store: &Store,
        y: &[f32],
        n: usize,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Solution> {
        // At 2 the iteration no longer converges.
        let relaxation = within("landweber.relaxation", self.relaxation, 1e-6..=1.999)? as f32;
        let stopping = Stopping::of("landweber", self.iterations, self.tolerance)?;
        let a = Scaled::new(operator, store, y, n)?;
        let states = [("u", a.domain())];
        let step = |tape: &mut Tape, [u]: [Var; 1]| {
            let r = a.residual(tape, u)?;
            let s = a.adjoint(tape, r)?;
            let s = tape.scale(s, relaxation);
            let u = tape.add(u, s)?;
            Ok([if self.nonnegative {
                tape.unary(Unary::AtLeast(0.0), u)
            } else {
                u
            }])
        };
        let measure = |tape: &mut Tape, [u]: [Var; 1]| {
            let [objective, criterion] = measure(&a, tape, u, 0.0)?;
            if !self.nonnegative {
                return Ok([objective, criterion]);
            }
            // How far one whole step would move the image.
            let r = a.residual(tape, u)?;
            let s = a.adjoint(tape, r)?;
            let moved = tape.add(u, s)?;
            let moved = tape.unary(Unary::AtLeast(0.0), moved);
            let moved = tape.sub(moved, u)?;
            Ok([objective, relative(&a, tape, moved)?])
        };
        a.iterate(states, step, measure, stopping, progress)
    }
}

impl Scaled<'_> {
    /// The states of conjugate gradients at `u = 0`: `r = y`, `p = s = A^T y`, `gamma = start = |s|^2`.
    fn start_descent(&self) -> Result<()> {
        let mut tape = Tape::new();
        let y = self.y(&mut tape);
        let s = self.adjoint(&mut tape, y)?;
        let gamma = self.dot(&mut tape, s, s)?;
        let targets = [("r", y), ("p", s), ("gamma", gamma), ("start", gamma)];
        let mut updates = Vec::new();
        for (name, value) in targets {
            let state = tape.state(name, value.shape());
            updates.push(tape.assign(state, value)?);
        }
        let options = crate::tape::plan::Options::tuned();
        crate::tape::Plan::compile(&tape, &updates, &self.store, options)?.submit();
        Ok(())
    }
}

/// The negative gradient `A^T r - weight u`.
fn descent(a: &Scaled, tape: &mut Tape, u: Var, r: Var, weight: f32) -> Result<Var> {
    let s = a.adjoint(tape, r)?;
    if weight == 0.0 {
        return Ok(s);
    }
    let penalty = tape.scale(u, weight);
    tape.sub(s, penalty)
}

/// `|x| / |A^T y|` of each image.
fn relative(a: &Scaled, tape: &mut Tape, x: Var) -> Result<Var> {
    let y = a.y(tape);
    let start = a.adjoint(tape, y)?;
    let start = a.dot(tape, start, start)?;
    let start = tape.unary(Unary::AtLeast(TINY), start);
    let square = a.dot(tape, x, x)?;
    let ratio = tape.div(square, start)?;
    Ok(tape.unary(Unary::Sqrt, ratio))
}

/// Objective and relative gradient of each image.
fn measure(a: &Scaled, tape: &mut Tape, u: Var, weight: f32) -> Result<[Var; 2]> {
    let r = a.residual(tape, u)?;
    let mut objective = a.dot(tape, r, r)?;
    if weight > 0.0 {
        let penalty = a.dot(tape, u, u)?;
        let penalty = tape.scale(penalty, weight);
        objective = tape.add(objective, penalty)?;
    }
    let objective = tape.scale(objective, 0.5);
    let s = descent(a, tape, u, r, weight)?;
    Ok([objective, relative(a, tape, s)?])
}
