//! What the primal-dual methods share: steps, relaxation and the duality gap.
//!
//! They are PDHG (Chambolle and Pock, J. Math. Imaging Vis. 40 (2011), algorithm 1, theta = 1) with one
//! step for each variable (Pock and Chambolle, ICCV 2011), over-relaxed (Condat, J. Optim. Theory Appl.
//! 158 (2013), algorithm 3.1): from `z` to `z + RELAXATION (T z - z)`, `T` the step without it. It
//! converges for every relaxation below 2.
//!
//! The dual variables of a penalty are divided by its weight, so they stay within the unit ball, and
//! a new weight finds them near to where it wants them.

use super::prepared::{Measures, State};
use super::run::Run;
use crate::error::Result;
use crate::tape::{Tape, Unary, Var};

const RELAXATION: f32 = 1.8;
/// The dual step of the penalty at most: that of the data is its root, and below 1 as well.
const GREATEST: f32 = 1.0;
/// Products of steps and squared norms add up to this: with `||A|| = 1` and bounds of the others the
/// method converges below 1.
const SAFETY: f32 = 0.99;

/// The steps of each image, which follow its weight.
pub(super) struct Steps {
    /// Dual step `s` of the penalty, for dual variables divided by the weight: `s / weight`.
    pub penalty: Var,
    /// `1 / (1 + root of s)`: by how much a step shortens the data's dual variable.
    pub data: Var,
    /// The step of each primal variable.
    pub primal: [Var; 2],
}

impl Steps {
    /// The states that hold them.
    pub fn states(run: &Run) -> [State; 4] {
        ["penalty step", "data step", "image step", "field step"]
            .map(|name| State(name, run.per_image(), 1.0))
    }

    pub fn of([penalty, data, image, field]: [Var; 4]) -> Self {
        Steps {
            penalty,
            data,
            primal: [image, field],
        }
    }

    pub fn vars(&self) -> [Var; 4] {
        [self.penalty, self.data, self.primal[0], self.primal[1]]
    }

    /// The steps for the weights of now: `s` of the penalty is [`Run::dual_scale`], that of the data
    /// its root (any choice is right; this one was the fastest, within about a third, over weights from
    /// 1e-4 to 0.2 on noisy sinograms), and primal steps are `SAFETY / (a sqrt(s) + b s)` for the
    /// `bounds` `[a, b]` of each variable.
    pub fn new(run: &Run, tape: &mut Tape, bounds: [[f32; 2]; 2]) -> Result<Self> {
        let s = run.dual_scale(tape, GREATEST)?;
        let weight = run.weight(tape);
        let root = tape.unary(Unary::Sqrt, s);
        let longer = tape.unary(Unary::Offset(1.0), root);
        let mut primal = |[a, b]: [f32; 2]| -> Result<Var> {
            let (of_data, of_penalty) = (tape.scale(root, a), tape.scale(s, b));
            let sum = tape.add(of_data, of_penalty)?;
            let step = tape.unary(Unary::Reciprocal, sum);
            Ok(tape.scale(step, SAFETY))
        };
        let primal = [primal(bounds[0])?, primal(bounds[1])?];
        Ok(Steps {
            penalty: tape.div(s, weight)?,
            data: tape.unary(Unary::Reciprocal, longer),
            primal,
        })
    }

    /// The data's dual variable after its step of size `s`: `(p + s (A u - y)) / (1 + s)`.
    pub fn of_data(&self, run: &Run, tape: &mut Tape, p: Var, u: Var) -> Result<Var> {
        let residual = run.residual(tape, u)?;
        let sum = tape.add(p, residual)?;
        let sum = tape.mul(self.data, sum)?;
        tape.sub(sum, residual)
    }
}

/// `x - step slope`.
pub(super) fn descended(tape: &mut Tape, x: Var, step: Var, slope: Var) -> Result<Var> {
    let moved = tape.mul(step, slope)?;
    tape.sub(x, moved)
}

/// `2 next - before`.
pub(super) fn ahead(tape: &mut Tape, next: Var, before: Var) -> Result<Var> {
    let twice = tape.scale(next, 2.0);
    tape.sub(twice, before)
}

/// Each variable moved beyond its new value.
pub(super) fn relaxed<const S: usize>(
    tape: &mut Tape,
    before: [Var; S],
    next: [Var; S],
) -> Result<[Var; S]> {
    let mut moved = next;
    for (to, from) in moved.iter_mut().zip(before) {
        let (far, back) = (
            tape.scale(*to, RELAXATION),
            tape.scale(from, RELAXATION - 1.0),
        );
        *to = tape.sub(far, back)?;
    }
    Ok(moved)
}

/// What the violated constraint of the dual problem, `slope = 0` (or `slope >= 0` for `x >= 0`), costs
/// over the `x` bounded by twice the current maximum of `|x|`: that bound times the sum of the
/// violation, for each image.
pub(super) fn violation(
    run: &Run,
    tape: &mut Tape,
    x: Var,
    slope: Var,
    nonnegative: bool,
) -> Result<Var> {
    let violation = match nonnegative {
        true => {
            let slope = tape.scale(slope, -1.0);
            tape.unary(Unary::AtLeast(0.0), slope)
        }
        false => tape.unary(Unary::Abs, slope),
    };
    let violation = tape.sum(violation, run.per_image())?;
    let bound = tape.unary(Unary::Abs, x);
    let bound = tape.max(bound, run.per_image())?;
    let bound = tape.scale(bound, 2.0);
    tape.mul(bound, violation)
}

/// The measures of a primal-dual method: the criterion is the gap relative to the objective, with the
/// dual objective `-(|p|^2 / 2 + <p, y> + violation)`.
pub(super) fn gap(
    run: &Run,
    tape: &mut Tape,
    u: Var,
    p: Var,
    penalty: Var,
    violation: Var,
) -> Result<Measures> {
    let residual = run.residual(tape, u)?;
    let square = run.dot(tape, residual, residual)?;
    let objective = run.objective(tape, square, penalty)?;
    let dual = run.dot(tape, p, p)?;
    let dual = tape.scale(dual, 0.5);
    let y = run.y(tape);
    let inner = run.dot(tape, p, y)?;
    let dual = tape.add(dual, inner)?;
    let dual = tape.add(dual, violation)?;
    let gap = tape.add(objective, dual)?;
    // Rounding may leave it just below zero.
    let gap = tape.unary(Unary::Abs, gap);
    let floor = tape.unary(Unary::AtLeast(1e-30), objective);
    Ok(Measures {
        objective,
        criterion: tape.div(gap, floor)?,
        square,
        penalty: Some(penalty),
    })
}
