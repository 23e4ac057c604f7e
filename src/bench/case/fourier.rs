//! The Fourier transform of one plane.

use super::compared::{noise, wide};
use crate::error::Result;
use crate::reference::fourier::transform;
use crate::shape::{Fourier, Shape};
use crate::tape::Tape;
use crate::tape::plan::{Options, Plan, Store};

/// What the norm of the error may be of the result's.
const BOUND: f64 = 1e-6;

/// One complex plane.
pub(super) fn shape([rows, columns]: [usize; 2]) -> Shape {
    Shape::new(1, 2, rows, columns)
}

/// The plan, and why it differs from its twin if it does.
pub(super) fn fourier(
    store: &Store,
    extents: [usize; 2],
    options: Options,
) -> Result<(Plan, Option<String>)> {
    let shape = shape(extents);
    let mut tape = Tape::new();
    let x = tape.input("a", shape);
    let y = tape.fourier(x, Fourier::planes())?;
    let plan = Plan::compile(&tape, &[y], store, options)?;
    let values = noise(shape, 0);
    plan.run(&[("a", &values)])?;
    let found = plan.read(y)?;
    let twin = transform(&wide(&values), shape, Fourier::planes()).value;
    let differences = found.iter().zip(&twin).map(|(&f, t)| f64::from(f) - t);
    let [error, size] = [
        differences.map(|d| d * d).sum::<f64>(),
        twin.iter().map(|t| t * t).sum(),
    ];
    let relative = (error / size).sqrt();
    // Not a number is no agreement.
    let agrees = relative <= BOUND;
    let mismatch = (!agrees).then(|| format!("the error's norm is {relative:e} of the result's"));
    Ok((plan, mismatch))
}
