//! Plug-and-play methods: a denoiser in the place of a penalty's proximal map.

use super::Iterative;
use super::run::{Measures, Prepared, Recipe, Run, State};
use crate::config::within;
use crate::error::Result;
use crate::shape::Shape;
use crate::tape::{Tape, Var};
use std::sync::Arc;

/// Steps of conjugate gradients for the data term's proximal map. They start at its last result, so few
/// are enough.
const INNER: usize = 6;

/// A map from noisy images to less noisy ones.
pub trait Denoiser {
    /// The values that [`Denoiser::denoise`] finds in states: name, shape, numbers.
    fn states(&self) -> Vec<(String, Shape, Vec<f32>)>;

    /// Records the denoised images, of the shape of `x`.
    ///
    /// # Errors
    /// [`crate::error::Error::Shape`] if the images do not fit.
    fn denoise(&self, tape: &mut Tape, x: Var) -> Result<Var>;
}

/// How a data term and a denoiser take turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// Proximal gradient descent: `u <- D(u - step A^T (A u - y))`.
    Gradient,
    /// Half-quadratic splitting: `u <- D(argmin |A x - y|^2 / 2 + rho |x - u|^2 / 2)`.
    HalfQuadratic,
    /// The alternating direction method of multipliers: the same with `u - w` for `u` and `D(x + w)`,
    /// and `w <- w + x - u` after it.
    Multipliers,
}

/// Plug-and-play reconstruction (Venkatakrishnan, Bouman and Wohlberg 2013; Chen et al. 2023, section
/// III): the denoiser `D` makes images likely, the data term makes them fit, in turns, with `A` and `y`
/// divided by `||A||`.
///
/// Nothing is made small, unless the denoiser is the proximal map of something: the objective that is
/// told is the data term, `|A u - y|^2 / 2`, and the criterion how far an iteration moves the image,
/// relative to it. It converges if the denoiser is averaged, of which `relaxation` below 1 makes one
/// that is not expansive.
#[derive(Clone)]
pub struct PlugAndPlay {
    /// What makes images likely.
    pub denoiser: Arc<dyn Denoiser>,
    /// How the two take turns.
    pub scheme: Scheme,
    /// Of gradients, above 0 and below 2.
    pub step: f64,
    /// The weight that keeps the data term's image near to the denoiser's, in the other schemes.
    pub rho: f64,
    /// The share of the denoised image in `(1 - relaxation) x + relaxation D(x)`.
    pub relaxation: f64,
    /// Iterations at most.
    pub iterations: usize,
    /// The criterion at which it stops; 0 for all iterations.
    pub tolerance: f64,
}

impl PlugAndPlay {
    /// Proximal gradients with this denoiser.
    pub fn new(denoiser: Arc<dyn Denoiser>) -> Self {
        PlugAndPlay {
            denoiser,
            scheme: Scheme::Gradient,
            step: 1.0,
            rho: 0.1,
            relaxation: 1.0,
            iterations: 100,
            tolerance: 1e-3,
        }
    }
}

impl Iterative for PlugAndPlay {
    fn name(&self) -> &'static str {
        "pnp"
    }

    fn iterations(&self) -> usize {
        self.iterations
    }

    fn prepare<'r>(&self, run: &'r Run<'r>) -> Result<Prepared<'r>> {
        let size = within("pnp.step", self.step, 1e-6..=1.999)? as f32;
        let rho = within("pnp.rho", self.rho, 1e-9..=1e6)? as f32;
        let relaxation = within("pnp.relaxation", self.relaxation, 1e-6..=1.0)? as f32;
        // The image, the scaled multipliers, and the data term's image.
        let states = ["u", "w", "x"].map(|name| State(name, run.domain(), 0.0));
        let denoised = |tape: &mut Tape, x: Var| {
            let d = self.denoiser.denoise(tape, x)?;
            if relaxation == 1.0 {
                return Ok(d);
            }
            let kept = tape.scale(x, 1.0 - relaxation);
            let d = tape.scale(d, relaxation);
            tape.add(kept, d)
        };
        // argmin |A x - y|^2 / 2 + rho |x - v|^2 / 2.
        let fitted = |tape: &mut Tape, x: Var, v: Var| {
            let y = run.y(tape);
            let b = run.adjoint(tape, y)?;
            let near = tape.scale(v, rho);
            let b = tape.add(b, near)?;
            run.descended(tape, x, b, INNER, |tape, x| {
                let ax = run.forward(tape, x)?;
                let data = run.adjoint(tape, ax)?;
                let near = tape.scale(x, rho);
                tape.add(data, near)
            })
        };
        let begin = |_: &mut Tape, [u, w, _]: [Var; 3]| Ok([u, w, u]);
        let step = |tape: &mut Tape, [u, w, x]: [Var; 3]| {
            Ok(match self.scheme {
                Scheme::Gradient => {
                    let r = run.residual(tape, u)?;
                    let s = run.adjoint(tape, r)?;
                    let s = tape.scale(s, size);
                    let descended = tape.add(u, s)?;
                    [denoised(tape, descended)?, w, x]
                }
                Scheme::HalfQuadratic => {
                    let x = fitted(tape, x, u)?;
                    [denoised(tape, x)?, w, x]
                }
                Scheme::Multipliers => {
                    let v = tape.sub(u, w)?;
                    let x = fitted(tape, x, v)?;
                    let sum = tape.add(x, w)?;
                    let u = denoised(tape, sum)?;
                    [u, tape.sub(sum, u)?, x]
                }
            })
        };
        let measure = |tape: &mut Tape, [u, w, x]: [Var; 3]| {
            let r = run.residual(tape, u)?;
            let square = run.dot(tape, r, r)?;
            let [next, ..] = step(tape, [u, w, x])?;
            let moved = tape.sub(next, u)?;
            Ok(Measures {
                objective: tape.scale(square, 0.5),
                criterion: run.ratio(tape, moved, next)?,
                square,
                penalty: None,
            })
        };
        let recipe = Recipe {
            method: "pnp",
            iterations: self.iterations,
            tolerance: self.tolerance,
            weight: None,
            states,
            // Networks are long: one to a plan.
            block: 1,
            begin: Some(&begin),
            step: &step,
            measure: &measure,
        };
        let prepared = Prepared::new(run, &recipe)?;
        for (name, shape, values) in self.denoiser.states() {
            prepared.write(&name, shape, &values)?;
        }
        Ok(prepared)
    }
}
