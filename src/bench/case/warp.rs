//! One image turned about its centre, and the transpose.

use super::compared::{UNITS, compare, noise, wide};
use crate::bench::name::Direction;
use crate::error::Result;
use crate::reference::{Twin, warp as twin};
use crate::shape::{Affine, Maps, Shape};
use crate::tape::Tape;
use crate::tape::plan::{Options, Plan, Store};

/// Radians: no axis stays where it is.
const ANGLE: f64 = 0.5;

/// The plan of one direction, and why it differs from its twin if it does.
pub(super) fn warp(
    store: &Store,
    direction: Direction,
    size: usize,
    options: Options,
) -> Result<(Plan, Option<String>)> {
    let shape = Shape::new(1, 1, size, size);
    let turn = Maps::of(&[Affine::rotation(ANGLE)])?;
    let mut tape = Tape::new();
    let (x, maps) = (tape.input("a", shape), tape.input("b", Maps::shape(1)));
    let y = match direction {
        Direction::Forward => tape.warp(x, maps)?,
        Direction::Adjoint => tape.warp_adjoint(x, maps)?,
    };
    let plan = Plan::compile(&tape, &[y], store, options)?;
    let values = noise(shape, 0);
    plan.run(&[("a", &values), ("b", &turn)])?;
    let found = plan.read(y)?;
    let twin = match direction {
        Direction::Forward => twin::forward,
        Direction::Adjoint => twin::adjoint,
    };
    let Twin { value, magnitude } = twin(&wide(&values), shape, &wide(&turn));
    // A share is rounded in units of 1, whatever the weight: a term may be off by so much of the
    // largest pixel.
    let largest = values.iter().fold(0.0f64, |m, v| m.max(f64::from(v.abs())));
    let magnitude = magnitude.iter().map(|m| m + largest * 4.0 / UNITS);
    let magnitude = magnitude.collect();
    let mismatch = compare(&found, &Twin { value, magnitude });
    Ok((plan, mismatch))
}
