//! Forward operators: adjointness, the dense matrix, the norm.

use super::harness::{Noise, wide};
use super::{Check, Context, Measure, relative_error};
use crate::error::Result;
use crate::operators::{LinearOperator, RayTransform, diagnostics};
use crate::reference::ray_transform::matrix;
use crate::shape::ParallelBeam;
use crate::tape::Tape;
use crate::tape::plan::{Options, Plan};
use std::rc::Rc;

/// An operator and its dense matrix in f64, written down independently of it: rows are
/// measurements.
struct Entry {
    operator: Box<dyn LinearOperator>,
    matrix: Vec<f64>,
}

/// Makes an [`Entry`] when its row runs.
type Make = fn() -> Entry;

/// Every operator: one line each.
fn operators() -> Vec<(&'static str, Make)> {
    vec![("ray_transform", || {
        let beam = ParallelBeam::equispaced([37, 37], 0.36, 23, 59);
        Entry {
            matrix: matrix(&beam),
            operator: Box::new(RayTransform::new(beam)),
        }
    })]
}

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, make) in operators() {
        let make = Rc::new(make);
        let row = |part: &str, measure: fn(&Context, &Entry) -> Result<Measure>| {
            let make = make.clone();
            Check::new(format!("operator/{name}/{part}"), move |c| {
                measure(c, &make())
            })
        };
        checks.push(row("adjointness", adjointness));
        checks.push(row("matrix", |c, e| against_matrix(c, e, false)));
        checks.push(row("matrix-transposed", |c, e| against_matrix(c, e, true)));
        checks.push(row("norm", norm));
    }
    checks
}

fn adjointness(context: &Context, entry: &Entry) -> Result<Measure> {
    let (error, ratio) =
        diagnostics::adjointness(&*entry.operator, &context.store(), context.seed)?;
    Ok(Measure {
        note: Some(format!("<x, A'y> is {ratio} times <Ax, y>")),
        ..Measure::new(error, 1e-6)
    })
}

/// The operator, or its adjoint, applied to noise on the device, and the same product in f64.
fn against_matrix(context: &Context, entry: &Entry, transposed: bool) -> Result<Measure> {
    let (domain, range) = (entry.operator.domain(), entry.operator.range());
    let from = if transposed { range } else { domain };
    let x = Noise::new(context.seed, entry.operator.name()).signed(from.elements());
    let mut tape = Tape::new();
    let input = tape.input("x", from);
    let output = match transposed {
        false => entry.operator.forward(&mut tape, input)?,
        true => entry.operator.adjoint(&mut tape, input)?,
    };
    let plan = Plan::compile(&tape, &[output], &context.store(), Options::default())?;
    plan.run(&[("x", &x)])?;
    let expected = product(&entry.matrix, &wide(&x), domain.elements(), transposed);
    Ok(Measure::new(
        relative_error(&plan.read(output)?, &expected),
        1e-5,
    ))
}

/// `A x`, or `A^T x`, for a row-major matrix with `columns` columns.
fn product(matrix: &[f64], x: &[f64], columns: usize, transposed: bool) -> Vec<f64> {
    let rows = matrix.chunks(columns);
    if transposed {
        let mut y = vec![0.0; columns];
        for (row, x) in rows.zip(x) {
            y.iter_mut().zip(row).for_each(|(y, a)| *y += a * x);
        }
        y
    } else {
        let dot = |row: &[f64]| row.iter().zip(x).map(|(a, x)| a * x).sum();
        rows.map(dot).collect()
    }
}

/// The norm by power iteration on the device, and on the dense matrix.
fn norm(context: &Context, entry: &Entry) -> Result<Measure> {
    let found = diagnostics::norm(&*entry.operator, &context.store(), 300)?;
    let columns = entry.operator.domain().elements();
    let mut x = vec![1.0; columns];
    let mut expected = 0.0;
    for _ in 0..300 {
        let length = x.iter().map(|x| x * x).sum::<f64>().sqrt();
        x.iter_mut().for_each(|x| *x /= length);
        let y = product(&entry.matrix, &x, columns, false);
        x = product(&entry.matrix, &y, columns, true);
        let before = expected;
        expected = y.iter().map(|y| y * y).sum::<f64>().sqrt();
        if (expected - before).abs() <= 1e-9 * expected {
            break;
        }
    }
    // The device's iteration stops when its estimate moves by less than 1e-6.
    Ok(Measure::new((found - expected).abs() / expected, 1e-4))
}
