//! The simultaneous iterative reconstruction technique.

use super::Iterative;
use super::prepared::{Measures, Prepared, Recipe, State};
use super::run::Run;
use crate::config::within;
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tape::plan::{Options, Plan};
use crate::tape::{Distribution, Tape, Var};

/// Sums below this part of the largest are those of rays that miss the image, and of pixels that no
/// ray meets.
const MISSED: f32 = 1e-5;

/// SIRT (Gilbert, J. Theor. Biol. 36 (1972); in this form Gregor and Benson, IEEE Trans. Med. Imaging
/// 27 (2008)): `u <- u + relaxation C A^T R (y - A u)` with `R` one over the sums of the rows of `A` and
/// `C` one over those of its columns; projected onto `u >= 0` if asked. It converges to the image that
/// makes `|A u - y|_R` small, and the number of iterations regularises.
///
/// For operators whose weights are not negative (rays, missing pixels, blurs): others are an error.
/// The objective is `|A u - y|_R^2 / 2`, with `R` that of `A / ||A||`; the criterion is how far a step moves
/// the image, in the norm of `C^-1`, relative to the first step from zero.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sirt {
    /// The step, above 0 and below 2.
    pub relaxation: f64,
    /// Keeps the image from becoming negative.
    pub nonnegative: bool,
    /// Iterations at most.
    pub iterations: usize,
    /// The criterion at which it stops.
    pub tolerance: f64,
}

impl Default for Sirt {
    fn default() -> Self {
        Sirt {
            relaxation: 1.0,
            nonnegative: true,
            iterations: 200,
            tolerance: 1e-4,
        }
    }
}

impl Sirt {
    /// The default for images of this shape: real ones are not negative, complex ones are free.
    pub fn for_images(image: Shape) -> Self {
        Sirt {
            nonnegative: image.c() == 1,
            ..Sirt::default()
        }
    }
}

impl Iterative for Sirt {
    fn name(&self) -> &'static str {
        "sirt"
    }

    fn iterations(&self) -> usize {
        self.iterations
    }

    fn prepare<'r>(&self, run: &'r Run<'r>) -> Result<Prepared<'r>> {
        let relaxation = within("sirt.relaxation", self.relaxation, 1e-6..=1.999)? as f32;
        let [rows, columns] = weights(run)?;
        let states = [State("u", run.domain(), 0.0)];
        let constants = |tape: &mut Tape| -> Result<[Var; 2]> {
            Ok([
                tape.constant(run.range(), rows.clone())?,
                tape.constant(run.domain(), columns.clone())?,
            ])
        };
        // `R x`, and `C A^T` of it.
        let back = |tape: &mut Tape, x: Var| -> Result<[Var; 2]> {
            let [rows, columns] = constants(tape)?;
            let x = tape.mul(rows, x)?;
            let u = run.adjoint(tape, x)?;
            Ok([x, tape.mul(columns, u)?])
        };
        let ahead = |tape: &mut Tape, u, s| {
            let s = tape.scale(s, relaxation);
            let u = tape.add(u, s)?;
            Ok(run.constrained(tape, u, self.nonnegative))
        };
        let step = |tape: &mut Tape, [u]: [Var; 1]| {
            let r = run.residual(tape, u)?;
            let [_, s] = back(tape, r)?;
            Ok([ahead(tape, u, s)?])
        };
        // `|x|` in the norm of `C^-1`: pixels that no ray meets do not move.
        let weighed = |tape: &mut Tape, x: Var| {
            let inverse: Vec<f32> = columns
                .iter()
                .map(|c| if *c > 0.0 { c.sqrt().recip() } else { 0.0 })
                .collect();
            let inverse = tape.constant(run.domain(), inverse)?;
            tape.mul(inverse, x)
        };
        let measure = |tape: &mut Tape, [u]: [Var; 1]| {
            let r = run.residual(tape, u)?;
            let square = run.dot(tape, r, r)?;
            let [rr, s] = back(tape, r)?;
            let objective = run.dot(tape, r, rr)?;
            let objective = tape.scale(objective, 0.5);
            let next = ahead(tape, u, s)?;
            let moved = tape.sub(next, u)?;
            let moved = weighed(tape, moved)?;
            let y = run.y(tape);
            let [_, first] = back(tape, y)?;
            let first = tape.scale(first, relaxation);
            let first = weighed(tape, first)?;
            Ok(Measures {
                objective,
                criterion: run.ratio(tape, moved, first)?,
                square,
                penalty: None,
            })
        };
        let limits = (self.iterations, self.tolerance);
        let recipe = Recipe::new("sirt", limits, states, &step, &measure);
        Prepared::new(run, recipe)
    }
}

type Array = std::sync::Arc<[f32]>;

/// `R` and `C` for every image of the batch.
///
/// # Errors
/// [`Error::Config`] if the operator's weights are not all of one sign.
fn weights(run: &Run) -> Result<[Array; 2]> {
    let refused = |why: &str| {
        Err(Error::Config(format!(
            "sirt is for operators whose weights are not negative, and {why} in the operator {}; use landweber or cgls",
            run.operator().name()
        )))
    };
    if run.domain().c() != 1 {
        return refused("images are complex");
    }
    // Sums of the rows and columns, and what a random image and measurement give, which tells rows
    // of zeros from those whose weights cancel.
    let mut tape = Tape::new();
    let draw = tape.scalar(0.0);
    let mut images = Vec::new();
    for (stream, from, forward) in [(0, run.domain(), true), (1, run.range(), false)] {
        let ones = tape.scalar(1.0);
        let ones = tape.broadcast(ones, from)?;
        let random = tape.random(Distribution::Normal, draw, 1, stream, from)?;
        for x in [ones, random] {
            images.push(match forward {
                true => run.forward(&mut tape, x)?,
                false => run.adjoint(&mut tape, x)?,
            });
        }
    }
    let plan = Plan::compile(&tape, &images, &run.store(), Options::tuned())?;
    plan.submit();
    let mut inverses = Vec::new();
    for pair in images.chunks(2) {
        let (sums, random) = (plan.read(pair[0])?, plan.read(pair[1])?);
        let largest = |values: &[f32]| values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        let (floor, quiet) = (MISSED * largest(&sums), MISSED.sqrt() * largest(&random));
        if sums.iter().any(|&s| s < -floor) {
            return refused("some are negative");
        }
        let cancels = |(s, r): (&f32, &f32)| *s <= floor && r.abs() > quiet;
        if sums.iter().zip(&random).any(cancels) {
            return refused("some cancel");
        }
        let inverse = |&s: &f32| if s > floor { s.recip() } else { 0.0 };
        inverses.push(sums.iter().map(inverse).collect::<Array>());
    }
    let columns = inverses.pop().unwrap_or_default();
    Ok([inverses.pop().unwrap_or_default(), columns])
}
