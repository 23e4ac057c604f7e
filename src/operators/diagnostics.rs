//! Properties of operators measured on the device: norm and adjointness.

use super::LinearOperator;
use crate::error::Result;
use crate::tape::plan::{Options, Plan, Store};
use crate::tape::{Distribution, Tape};

/// The operator norm `||A||`, the largest singular value, by power iteration on `A^T A` from a
/// fixed random start until the estimate moves by less than 1e-6 (at most `iterations` times).
///
/// # Errors
/// Those of compiling and running.
pub fn norm(operator: &dyn LinearOperator, store: &Store, iterations: usize) -> Result<f64> {
    let mut tape = Tape::new();
    let domain = operator.domain().with(0, operator.period());
    let x = tape.input("x", domain);
    let ax = operator.forward(&mut tape, x)?;
    let next = operator.adjoint(&mut tape, ax)?;
    let plan = Plan::compile(&tape, &[next], store, Options::default())?;
    // Positive start: for the positive operators here it cannot be orthogonal to the first
    // singular vector; elsewhere the random part makes that improbable.
    let start = crate::reference::random::uniform(
        crate::reference::random::Draw::new(1, 0),
        domain.elements(),
    );
    let mut x: Vec<f64> = start;
    let mut estimate = 0.0;
    for _ in 0..iterations.max(1) {
        let length = x.iter().map(|v| v * v).sum::<f64>().sqrt();
        if length == 0.0 {
            return Ok(0.0);
        }
        let unit: Vec<f32> = x.iter().map(|v| (v / length) as f32).collect();
        plan.run(&[("x", &unit)])?;
        x = plan.read(next)?.into_iter().map(f64::from).collect();
        let before = estimate;
        estimate = x.iter().map(|v| v * v).sum::<f64>().sqrt().sqrt();
        if (estimate - before).abs() <= 1e-6 * estimate {
            break;
        }
    }
    Ok(estimate)
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
