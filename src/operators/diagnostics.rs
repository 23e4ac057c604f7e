//! Properties of operators measured on the device: norm and adjointness.

use super::LinearOperator;
use crate::error::Result;
use crate::tape::plan::{Options, Plan, Store};
use crate::tape::{Distribution, Tape, Unary, Var};

/// Steps of power iteration between two looks at the estimate.
const STEPS: usize = 8;

/// The operator norm `||A||`, the largest singular value, by power iteration on `A^T A` from a
/// fixed random start until the estimate moves by less than 1e-6 from one step to the next (at most
/// about `iterations` times: it looks after every eighth). Nothing but the estimate is read back.
///
/// # Errors
/// Those of compiling and running.
pub fn norm(operator: &dyn LinearOperator, store: &Store, iterations: usize) -> Result<f64> {
    let domain = operator.domain().with(0, operator.period());
    // Positive start: for the positive operators here it cannot be orthogonal to the first
    // singular vector; elsewhere the random part makes that improbable.
    let draw = crate::reference::random::Draw::new(1, 0);
    let start = crate::reference::random::uniform(draw, domain.elements());
    let length = start.iter().map(|v| v * v).sum::<f64>().sqrt();
    let start: Vec<f32> = start.into_iter().map(|v| (v / length) as f32).collect();
    // A state of this iteration alone.
    let store = &Store::new(store.gpu());
    store.write(NORMED, domain, &start)?;
    let mut tape = Tape::new();
    let state = tape.state(NORMED, domain);
    let mut x = state;
    // `|A^T v|` for the `v = A x / |A x|` of the last two steps. Both are divided by their lengths, so
    // that no square leaves the range of f32 before the norm's own does.
    let mut estimates = [tape.scalar(0.0); 2];
    for _ in 0..STEPS {
        let ax = operator.forward(&mut tape, x)?;
        let (v, _) = normalised(&mut tape, ax)?;
        let back = operator.adjoint(&mut tape, v)?;
        let (next, estimate) = normalised(&mut tape, back)?;
        (x, estimates) = (next, [estimates[1], estimate]);
    }
    let table = tape.concat(&estimates, 3)?;
    let update = tape.assign(state, x)?;
    let plan = Plan::compile(&tape, &[table, update], store, Options::default())?;
    let mut estimate = 0.0;
    for _ in 0..iterations.div_ceil(STEPS).max(1) {
        plan.submit();
        let found = plan.read(table)?;
        let before = f64::from(found[0]);
        estimate = f64::from(found[1]);
        if (estimate - before).abs() <= 1e-6 * estimate {
            break;
        }
    }
    Ok(estimate)
}

/// The state of the power iteration.
const NORMED: &str = "power iteration";

/// `x / |x|`, or zero for zero, and `|x|`.
fn normalised(tape: &mut Tape, x: Var) -> Result<(Var, Var)> {
    let square = tape.mul(x, x)?;
    let square = tape.sum_all(square)?;
    let length = tape.unary(Unary::Sqrt, square);
    let divisor = tape.unary(Unary::AtLeast(1e-37), length);
    Ok((tape.div(x, divisor)?, length))
}

/// The error of `<A x, y> = <x, A^T y>` for random `x` and `y`, relative to `|A x| |y|`, and the
/// ratio of the two sides: a ratio of 0.5, say, tells that the adjoint is off by that factor.
///
/// # Errors
/// Those of compiling and running.
pub fn adjointness(operator: &dyn LinearOperator, store: &Store, seed: u64) -> Result<(f64, f64)> {
    let mut tape = Tape::new();
    let draw = tape.scalar(0.0);
    let [domain, range] =
        [operator.domain(), operator.range()].map(|one| one.with(0, operator.period()));
    let x = tape.random(Distribution::Normal, draw, seed, 0, domain)?;
    let y = tape.random(Distribution::Normal, draw, seed, 1, range)?;
    let ax = operator.forward(&mut tape, x)?;
    let aty = operator.adjoint(&mut tape, y)?;
    let outputs = [x, y, ax, aty];
    let plan = Plan::compile(&tape, &outputs, store, Options::default())?;
    plan.submit();
    let [x, y, ax, aty] = outputs.map(|v| plan.read(v));
    let (x, y, ax, aty) = (x?, y?, ax?, aty?);
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    let (left, right) = (dot(&ax, &y), dot(&x, &aty));
    let scale = (dot(&ax, &ax) * dot(&y, &y)).sqrt();
    Ok(((left - right).abs() / scale, right / left))
}
