//! Total variation by the primal-dual method of Chambolle and Pock.

use super::Iterative;
use super::analysis::{self, Differences};
use super::prepared::{Prepared, Recipe, State};
use super::primal_dual::{Steps, ahead, descended, gap, relaxed, violation};
use super::run::Run;
use crate::config::within;
use crate::error::Result;
use crate::shape::Shape;
use crate::tape::{Tape, Var};

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
/// 1), with one step size for each variable (Pock and Chambolle, ICCV 2011) and over-relaxation (Condat,
/// J. Optim. Theory Appl. 158 (2013)). The steps follow the weight, so that large and small ones need
/// about as many iterations.
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
        // The image; u, and the dual variables p of the data and q of the differences, the latter
        // divided by the weight; the steps.
        let [s0, s1, s2, s3] = Steps::states(run);
        let states = [
            State("image", domain, 0.0),
            State("u", domain, 0.0),
            State("p", run.range(), 0.0),
            State("q", Differences::shape(domain), 0.0),
            s0,
            s1,
            s2,
            s3,
        ];
        // A^T p + weight D^T q
        let slope = |tape: &mut Tape, p, q| {
            let data = run.adjoint(tape, p)?;
            let smooth = Differences::adjoint(tape, q, domain)?;
            let weight = run.weight(tape);
            let smooth = tape.mul(weight, smooth)?;
            tape.add(data, smooth)
        };
        // At the minimum p is A u - y, and q points along D u where that is not zero.
        let enter = |tape: &mut Tape, [image, _, _, _, s0, s1, s2, s3]: [Var; 8]| {
            let p = run.residual(tape, image)?;
            let p = tape.scale(p, -1.0);
            let q = along_differences(run, tape, image)?;
            Ok([image, image, p, q, s0, s1, s2, s3])
        };
        let begin = |tape: &mut Tape, [image, u, p, q, ..]: [Var; 8]| {
            let bounds = [1.0, Differences::NORM_SQUARED];
            let [s0, s1, s2, s3] = Steps::new(run, tape, [bounds, bounds])?.vars();
            Ok([image, u, p, q, s0, s1, s2, s3])
        };
        let step = |tape: &mut Tape, [_, u, p, q, s0, s1, s2, s3]: [Var; 8]| {
            let steps = Steps::of([s0, s1, s2, s3]);
            let slope = slope(tape, p, q)?;
            let image = descended(tape, u, steps.primal[0], slope)?;
            let image = run.constrained(tape, image, self.nonnegative);
            let ahead = ahead(tape, image, u)?;
            let of_data = steps.of_data(run, tape, p, ahead)?;
            let d = Differences::forward(tape, ahead)?;
            let of_penalty = analysis::climbed(tape, q, steps.penalty, d)?;
            let [u, p, q] = relaxed(tape, [u, p, q], [image, of_data, of_penalty])?;
            Ok([image, u, p, q, s0, s1, s2, s3])
        };
        let measure = |tape: &mut Tape, [image, _, p, q, ..]: [Var; 8]| {
            let d = Differences::forward(tape, image)?;
            let tv = analysis::sum_of_lengths(tape, d)?;
            // Relaxation may have left the ball.
            let q = analysis::into_unit_ball(tape, q)?;
            let slope = slope(tape, p, q)?;
            let violation = violation(run, tape, image, slope, self.nonnegative)?;
            gap(run, tape, image, p, tv, violation)
        };
        let limits = (self.iterations, self.tolerance);
        let recipe = Recipe {
            weight: Some(weight),
            enter: Some(&enter),
            begin: Some(&begin),
            ..Recipe::new("tv", limits, states, &step, &measure)
        };
        Prepared::new(run, recipe)
    }
}

/// The dual variable of the differences of an image from outside, divided by the weight: their
/// direction, shorter where they are below the weight.
pub(super) fn along_differences(run: &Run, tape: &mut Tape, image: Var) -> Result<Var> {
    let d = Differences::forward(tape, image)?;
    let weight = run.weight(tape);
    let d = tape.div(d, weight)?;
    analysis::into_unit_ball(tape, d)
}
