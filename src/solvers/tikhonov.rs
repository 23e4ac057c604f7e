//! Tikhonov's regularisation.

use super::Iterative;
use super::analysis::Differences;
use super::fista::accelerated;
use super::least_squares::conjugate_gradients;
use super::prepared::{Measures, Prepared};
use super::run::Run;
use crate::config::within;
use crate::error::Result;
use crate::tape::{Tape, Var};

/// What [`Tikhonov`] penalises the square of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Quadratic {
    /// The image: `|L u|^2 = |u|^2`.
    #[default]
    Identity,
    /// Its forward differences to the right and lower neighbour, zero across the border.
    Differences,
}

impl Quadratic {
    /// Records `L^T L u`.
    fn normal(self, tape: &mut Tape, u: Var) -> Result<Var> {
        match self {
            Quadratic::Identity => Ok(u),
            Quadratic::Differences => {
                let d = Differences::forward(tape, u)?;
                Differences::adjoint(tape, d, u.shape())
            }
        }
    }

    /// A bound of `||L||^2`.
    pub(super) fn norm_squared(self) -> f32 {
        match self {
            Quadratic::Identity => 1.0,
            Quadratic::Differences => Differences::NORM_SQUARED,
        }
    }
}

/// Records `weight L^T L u`.
pub(super) fn gradient(run: &Run, tape: &mut Tape, penalty: Quadratic, u: Var) -> Result<Var> {
    let normal = penalty.normal(tape, u)?;
    let weight = run.weight(tape);
    tape.mul(weight, normal)
}

/// The measures of least squares with an optional penalty of each image: `square` is `|A u - y|^2`.
pub(super) fn measures(
    run: &Run,
    tape: &mut Tape,
    penalty: Option<Quadratic>,
    u: Var,
    square: Var,
    criterion: Var,
) -> Result<Measures> {
    let Some(quadratic) = penalty else {
        return Ok(Measures {
            objective: tape.scale(square, 0.5),
            criterion,
            square,
            penalty: None,
        });
    };
    let normal = quadratic.normal(tape, u)?;
    let penalty = run.dot(tape, u, normal)?;
    let penalty = tape.scale(penalty, 0.5);
    Ok(Measures {
        objective: run.objective(tape, square, penalty)?,
        criterion,
        square,
        penalty: Some(penalty),
    })
}

/// Tikhonov's regularisation (1963): makes `|A u - y|^2 / (2 ||A||^2) + weight |L u|^2 / 2` small,
/// over `u >= 0` if asked.
///
/// Without the constraint the normal equations `(A^T A / ||A||^2 + weight L^T L) u = A^T y / ||A||^2`
/// are solved by conjugate gradients as in [`Cgls`](super::Cgls), with it by accelerated projected
/// gradients as in [`Fista`](super::Fista). The criterion is theirs: the relative gradient, or how far
/// a step still moves the image.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Tikhonov {
    /// Weight of the penalty, without unit.
    pub weight: f64,
    /// What is penalised.
    pub penalty: Quadratic,
    /// Keeps the image from becoming negative.
    pub nonnegative: bool,
    /// Iterations at most.
    pub iterations: usize,
    /// The relative gradient at which it stops; f32 reaches about 1e-5.
    pub tolerance: f64,
}

impl Default for Tikhonov {
    fn default() -> Self {
        Tikhonov {
            weight: 1e-2,
            penalty: Quadratic::Identity,
            nonnegative: false,
            iterations: 500,
            tolerance: 1e-4,
        }
    }
}

impl Iterative for Tikhonov {
    fn name(&self) -> &'static str {
        "tikhonov"
    }

    fn iterations(&self) -> usize {
        self.iterations
    }

    fn prepare<'r>(&self, run: &'r Run<'r>) -> Result<Prepared<'r>> {
        let weight = within("tikhonov.weight", self.weight, 1e-12..=1e6)?;
        let penalty = Some((weight, self.penalty));
        let (iterations, tolerance) = (self.iterations, self.tolerance);
        if self.nonnegative {
            return accelerated("tikhonov", run, penalty, None, true, iterations, tolerance);
        }
        conjugate_gradients("tikhonov", run, penalty, iterations, tolerance)
    }
}
