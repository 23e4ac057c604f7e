//! Plug-and-play methods: a denoiser in the place of a penalty's proximal map.

use super::Iterative;
use super::prepared::{Measures, Prepared, Recipe, State};
use super::run::Run;
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
///
/// Two numbers match the denoiser's strength to the data:
/// - `scale` (Xu, Liu, Wohlberg and Kamilov, IEEE Signal Process. Lett. 27 (2020), 1420-1424): the denoiser
///   is applied to images `scale` times as bright, `D(scale x) / scale`, so that one made for noise of
///   standard deviation `sigma` is used as if for `sigma / scale`. Where `D` is the proximal map of a
///   penalty homogeneous of degree one (total variation, wavelets) this divides the penalty's weight by
///   `scale`. A bias-free network commutes with the scale and is the same with each of them.
/// - `relaxation`: a share `r` of the denoiser removes the share `r` of what it takes for noise. Gradients
///   of step `s` settle where `A^T (A u - y) + (r / s) (x - D(x)) = 0` with `x = u - s A^T (A u - y)`, nearly
///   the equation of regularisation by denoising (Romano, Elad and Milanfar, SIAM J. Imaging Sci. 10 (2017))
///   with the weight `r / s`: so a small `r` keeps [`Scheme::Gradient`] from blurring, with bias-free
///   networks too.
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
    /// The brightness at which the denoiser sees the images: `D(scale x) / scale`.
    pub scale: f64,
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
            scale: 1.0,
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
        let scale = within("pnp.scale", self.scale, 1e-6..=1e6)? as f32;
        let relaxation = within("pnp.relaxation", self.relaxation, 1e-6..=1.0)? as f32;
        // The image, the scaled multipliers, the data term's image, and A^T y.
        let states = ["u", "w", "x", "back"].map(|name| State(name, run.domain(), 0.0));
        let scaled = |tape: &mut Tape, x: Var, scale: f32| match scale {
            1.0 => x,
            _ => tape.scale(x, scale),
        };
        let denoised = |tape: &mut Tape, x: Var| {
            let bright = scaled(tape, x, scale);
            let d = self.denoiser.denoise(tape, bright)?;
            let d = scaled(tape, d, 1.0 / scale);
            if relaxation == 1.0 {
                return Ok(d);
            }
            let kept = tape.scale(x, 1.0 - relaxation);
            let d = tape.scale(d, relaxation);
            tape.add(kept, d)
        };
        // argmin |A x - y|^2 / 2 + rho |x - v|^2 / 2.
        let fitted = |tape: &mut Tape, x: Var, v: Var, back: Var| {
            let near = tape.scale(v, rho);
            let b = tape.add(back, near)?;
            run.descended(tape, x, b, INNER, |tape, x| {
                let ax = run.forward(tape, x)?;
                let data = run.adjoint(tape, ax)?;
                let near = tape.scale(x, rho);
                tape.add(data, near)
            })
        };
        let begin = |tape: &mut Tape, [u, w, ..]: [Var; 4]| {
            let y = run.y(tape);
            Ok([u, w, u, run.adjoint(tape, y)?])
        };
        let step = |tape: &mut Tape, [u, w, x, back]: [Var; 4]| {
            Ok(match self.scheme {
                Scheme::Gradient => {
                    let r = run.residual(tape, u)?;
                    let s = run.adjoint(tape, r)?;
                    let s = tape.scale(s, size);
                    let descended = tape.add(u, s)?;
                    [denoised(tape, descended)?, w, x, back]
                }
                Scheme::HalfQuadratic => {
                    let x = fitted(tape, x, u, back)?;
                    [denoised(tape, x)?, w, x, back]
                }
                Scheme::Multipliers => {
                    let v = tape.sub(u, w)?;
                    let x = fitted(tape, x, v, back)?;
                    let sum = tape.add(x, w)?;
                    let u = denoised(tape, sum)?;
                    [u, tape.sub(sum, u)?, x, back]
                }
            })
        };
        let measure = |tape: &mut Tape, [u, w, x, back]: [Var; 4]| {
            let r = run.residual(tape, u)?;
            let square = run.dot(tape, r, r)?;
            let [next, ..] = step(tape, [u, w, x, back])?;
            let moved = tape.sub(next, u)?;
            Ok(Measures {
                objective: tape.scale(square, 0.5),
                criterion: run.ratio(tape, moved, next)?,
                square,
                penalty: None,
            })
        };
        let limits = (self.iterations, self.tolerance);
        let recipe = Recipe {
            // Networks are long: one to a plan.
            block: 1,
            begin: Some(&begin),
            ..Recipe::new("pnp", limits, states, &step, &measure)
        };
        let prepared = Prepared::new(run, recipe)?;
        for (name, shape, values) in self.denoiser.states() {
            prepared.write(&name, shape, &values)?;
        }
        Ok(prepared)
    }
}
