//! Total generalised variation of second order by the primal-dual method of Chambolle and Pock.

use super::Iterative;
use super::analysis::{self, Differences, SymmetrisedDifferences};
use super::prepared::{Prepared, Recipe, State};
use super::primal_dual::{Steps, ahead, descended, gap, relaxed, violation};
use super::run::Run;
use super::tv::along_differences;
use crate::config::within;
use crate::error::Result;
use crate::shape::Shape;
use crate::tape::{Tape, Var};
use std::sync::Arc;

/// Total generalised variation of second order (Bredies, Kunisch and Pock, SIAM J. Imaging Sci. 3
/// (2010), 492-526): makes `|A u - y|^2 / (2 ||A||^2) + weight TGV(u)` small, over `u >= 0` if asked,
/// with
///
/// `TGV(u) = min over w of sum |D u - w| + ratio sum |E w|`,
///
/// `D` the forward differences to the right and lower neighbour, `E w` their symmetrised derivative
/// with the Frobenius norm. `w` lives between pixels: neither the difference across the border nor
/// what `w` is there counts, so `TGV` vanishes for images that are affine functions of the pixel, and
/// for no others. (Total variation prefers constant ones, and makes stairs of ramps.) The channels of
/// a pixel are coupled, and the unit of `weight` is as in [`Tv`](super::Tv).
///
/// The iteration is that of [`Tv`](super::Tv), with one step for each variable. The criterion is the primal-dual gap relative
/// to the objective, over `u` and `w` bounded by twice their current maxima as in [`Tv`](super::Tv).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Tgv {
    /// Weight of the whole, in the unit of the image.
    pub weight: f64,
    /// Weight of the second term relative to the first, in pixels; 2 is usual.
    pub ratio: f64,
    /// Iterations at most.
    pub iterations: usize,
    /// Keeps the image from becoming negative.
    pub nonnegative: bool,
    /// The relative gap at which it stops; 0 for all iterations.
    pub tolerance: f64,
}

impl Default for Tgv {
    fn default() -> Self {
        Tgv {
            weight: 1e-3,
            ratio: 2.0,
            iterations: 2000,
            nonnegative: true,
            tolerance: 1e-3,
        }
    }
}

impl Tgv {
    /// The default for images of this shape: real ones are not negative, complex ones are free.
    pub fn for_images(image: Shape) -> Self {
        Tgv {
            nonnegative: image.c() == 1,
            ..Tgv::default()
        }
    }
}

/// With the steps `a` of the data's dual variable and `s` of both others, `||A|| = 1` and
/// `||D||^2, ||E||^2 <= 8`,
///
/// `a |A u|^2 + s |D u - w|^2 + s |E w|^2
///  <= (a + 8 (1 + c) s) |u|^2 + ((1 + 1/c) s + 8 s) |w|^2`
///
/// for any `c > 0`; the method converges if each primal step is below one over the factor of its variable
/// (Pock and Chambolle, ICCV 2011, section 2). `c = 1`.
const BOUNDS: [[f32; 2]; 2] = [
    [1.0, 2.0 * Differences::NORM_SQUARED],
    [0.0, 2.0 + SymmetrisedDifferences::NORM_SQUARED],
];

impl Iterative for Tgv {
    fn name(&self) -> &'static str {
        "tgv"
    }

    fn iterations(&self) -> usize {
        self.iterations
    }

    fn prepare<'r>(&self, run: &'r Run<'r>) -> Result<Prepared<'r>> {
        let weight = within("tgv.weight", self.weight, 1e-12..=1e6)?;
        let ratio = within("tgv.ratio", self.ratio, 1e-6..=1e6)? as f32;
        run.check_sign("tgv", self.nonnegative)?;
        let domain = run.domain();
        let fields = Differences::shape(domain);
        let mask = between_pixels(domain);
        // The part of a field that counts.
        let inside = |tape: &mut Tape, w: Var| {
            let mask = tape.constant(fields.with(0, 1), mask.clone())?;
            tape.mul(w, mask)
        };
        // The image; u, the field w, and the dual variables p of the data, q of D u - w and r of E w,
        // the latter two divided by their weights; the steps.
        let [s0, s1, s2, s3] = Steps::states(run);
        let states = [
            State("image", domain, 0.0),
            State("u", domain, 0.0),
            State("w", fields, 0.0),
            State("p", run.range(), 0.0),
            State("q", fields, 0.0),
            State("r", SymmetrisedDifferences::shape(domain), 0.0),
            s0,
            s1,
            s2,
            s3,
        ];
        // A^T p + weight D^T q, and weight (ratio E^T r - q)
        let slopes = |tape: &mut Tape, p: Var, q: Var, r: Var| -> Result<[Var; 2]> {
            let weight = run.weight(tape);
            let data = run.adjoint(tape, p)?;
            let smooth = Differences::adjoint(tape, q, domain)?;
            let smooth = tape.mul(weight, smooth)?;
            let second = SymmetrisedDifferences::adjoint(tape, r, domain)?;
            let second = tape.scale(second, ratio);
            let first = inside(tape, q)?;
            let of_field = tape.sub(second, first)?;
            Ok([tape.add(data, smooth)?, tape.mul(weight, of_field)?])
        };
        // D u - w
        let first = |tape: &mut Tape, u: Var, w: Var| {
            let d = Differences::forward(tape, u)?;
            let w = inside(tape, w)?;
            tape.sub(d, w)
        };
        // As for total variation: the field and its dual variable start at zero.
        let enter = |tape: &mut Tape, [image, _, w, _, _, r, s0, s1, s2, s3]: [Var; 10]| {
            let p = run.residual(tape, image)?;
            let p = tape.scale(p, -1.0);
            let q = along_differences(run, tape, image)?;
            Ok([image, image, w, p, q, r, s0, s1, s2, s3])
        };
        let begin = |tape: &mut Tape, [image, u, w, p, q, r, ..]: [Var; 10]| {
            let [s0, s1, s2, s3] = Steps::new(run, tape, BOUNDS)?.vars();
            Ok([image, u, w, p, q, r, s0, s1, s2, s3])
        };
        let step = |tape: &mut Tape, [_, u, w, p, q, r, s0, s1, s2, s3]: [Var; 10]| {
            let steps = Steps::of([s0, s1, s2, s3]);
            let [du, dw] = slopes(tape, p, q, r)?;
            let image = descended(tape, u, steps.primal[0], du)?;
            let image = run.constrained(tape, image, self.nonnegative);
            let field = descended(tape, w, steps.primal[1], dw)?;
            let [ahead_u, ahead_w] = [ahead(tape, image, u)?, ahead(tape, field, w)?];
            let of_data = steps.of_data(run, tape, p, ahead_u)?;
            let d = first(tape, ahead_u, ahead_w)?;
            let of_first = analysis::climbed(tape, q, steps.penalty, d)?;
            // Its weight is `ratio` times the other.
            let e = SymmetrisedDifferences::forward(tape, ahead_w, domain)?;
            let e = tape.scale(e, 1.0 / ratio);
            let of_second = analysis::climbed(tape, r, steps.penalty, e)?;
            let next = [image, field, of_data, of_first, of_second];
            let [u, w, p, q, r] = relaxed(tape, [u, w, p, q, r], next)?;
            Ok([image, u, w, p, q, r, s0, s1, s2, s3])
        };
        let measure = |tape: &mut Tape, [image, _, w, p, q, r, ..]: [Var; 10]| {
            let d = first(tape, image, w)?;
            let edges = analysis::sum_of_lengths(tape, d)?;
            let e = SymmetrisedDifferences::forward(tape, w, domain)?;
            let bends = analysis::sum_of_lengths(tape, e)?;
            let bends = tape.scale(bends, ratio);
            let penalty = tape.add(edges, bends)?;
            let q = analysis::into_unit_ball(tape, q)?;
            let r = analysis::into_unit_ball(tape, r)?;
            let [du, dw] = slopes(tape, p, q, r)?;
            let of_u = violation(run, tape, image, du, self.nonnegative)?;
            let of_w = violation(run, tape, w, dw, false)?;
            let violation = tape.add(of_u, of_w)?;
            gap(run, tape, image, p, penalty, violation)
        };
        let limits = (self.iterations, self.tolerance);
        let recipe = Recipe {
            weight: Some(weight),
            enter: Some(&enter),
            begin: Some(&begin),
            ..Recipe::new("tgv", limits, states, &step, &measure)
        };
        Prepared::new(run, recipe)
    }
}

/// Ones where a pixel has a right (a lower) neighbour, `1 2C H W`.
fn between_pixels(images: Shape) -> Arc<[f32]> {
    let [_, c, h, w] = images.0;
    let mut mask = Vec::with_capacity(2 * c * h * w);
    for field in 0..2 * c {
        for i in 0..h * w {
            let has_neighbour = match field % 2 {
                0 => i % w + 1 < w,
                _ => i / w + 1 < h,
            };
            mask.push(f32::from(u8::from(has_neighbour)));
        }
    }
    mask.into()
}
