//! Total generalised variation of second order by the primal-dual method of Chambolle and Pock.

use super::Iterative;
use super::analysis::{self, Differences, SymmetrisedDifferences};
use super::run::{Prepared, Recipe, Run, State};
use super::tv::{data_step, gap, over_relaxed, violation};
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
/// The iteration is PDHG with one step for each variable. The criterion is the primal-dual gap relative
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

/// Steps of the dual variables of the data, of `D u - w` and of `E w`; see [`Tv`](super::Tv).
const DATA: f32 = 0.1;
const FIRST: f32 = 0.01;
const SECOND: f32 = 0.01;
/// Steps of `u` and `w`. With `||A|| = 1` and `||D||^2, ||E||^2 <= 8`,
///
/// `DATA |A u|^2 + FIRST |D u - w|^2 + SECOND |E w|^2
///  <= (DATA + 8 (1 + c) FIRST) |u|^2 + ((1 + 1/c) FIRST + 8 SECOND) |w|^2`
///
/// for any `c > 0`; the method converges if each step is below one over the factor of its variable
/// (Pock and Chambolle, ICCV 2011, section 2). `c = 1`.
const TAU_U: f32 = 0.99 / (DATA + 2.0 * Differences::NORM_SQUARED * FIRST);
const TAU_W: f32 = 0.99 / (2.0 * FIRST + SymmetrisedDifferences::NORM_SQUARED * SECOND);

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
        // Image u, field w, and the dual variables p of the data, q of D u - w and r of E w.
        let states = [
            State("u", domain, 0.0),
            State("w", fields, 0.0),
            State("p", run.range(), 0.0),
            State("q", fields, 0.0),
            State("r", SymmetrisedDifferences::shape(domain), 0.0),
        ];
        // A^T p + D^T q, and E^T r - q
        let slopes = |tape: &mut Tape, p: Var, q: Var, r: Var| -> Result<[Var; 2]> {
            let data = run.adjoint(tape, p)?;
            let smooth = Differences::adjoint(tape, q, domain)?;
            let second = SymmetrisedDifferences::adjoint(tape, r, domain)?;
            let first = inside(tape, q)?;
            Ok([tape.add(data, smooth)?, tape.sub(second, first)?])
        };
        // D u - w
        let first = |tape: &mut Tape, u: Var, w: Var| {
            let d = Differences::forward(tape, u)?;
            let w = inside(tape, w)?;
            tape.sub(d, w)
        };
        let step = |tape: &mut Tape, [u, w, p, q, r]: [Var; 5]| {
            let [du, dw] = slopes(tape, p, q, r)?;
            let du = tape.scale(du, -TAU_U);
            let next = tape.add(u, du)?;
            let next = run.constrained(tape, next, self.nonnegative);
            let dw = tape.scale(dw, -TAU_W);
            let next_w = tape.add(w, dw)?;
            let ahead = over_relaxed(tape, next, u)?;
            let ahead_w = over_relaxed(tape, next_w, w)?;
            let p = data_step(run, tape, p, ahead, DATA)?;
            let weight = run.weight(tape);
            let d = first(tape, ahead, ahead_w)?;
            let d = tape.scale(d, FIRST);
            let q = tape.add(q, d)?;
            let q = analysis::project(tape, q, weight)?;
            let e = SymmetrisedDifferences::forward(tape, ahead_w, domain)?;
            let e = tape.scale(e, SECOND);
            let r = tape.add(r, e)?;
            let weight = tape.scale(weight, ratio);
            let r = analysis::project(tape, r, weight)?;
            Ok([next, next_w, p, q, r])
        };
        let measure = |tape: &mut Tape, [u, w, p, q, r]: [Var; 5]| {
            let d = first(tape, u, w)?;
            let edges = analysis::sum_of_lengths(tape, d)?;
            let e = SymmetrisedDifferences::forward(tape, w, domain)?;
            let bends = analysis::sum_of_lengths(tape, e)?;
            let bends = tape.scale(bends, ratio);
            let penalty = tape.add(edges, bends)?;
            let [du, dw] = slopes(tape, p, q, r)?;
            let of_u = violation(run, tape, u, du, self.nonnegative)?;
            let of_w = violation(run, tape, w, dw, false)?;
            let violation = tape.add(of_u, of_w)?;
            gap(run, tape, u, p, penalty, violation)
        };
        let recipe = Recipe {
            method: "tgv",
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
