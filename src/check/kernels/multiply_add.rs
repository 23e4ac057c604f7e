//! The chains of the benchmark's ceiling.

use crate::check::Check;
use crate::check::harness::{Case, Problem, exact};
use crate::kernels::multiply_add::multiply_add;
use crate::reference::multiply_add as twin;

pub(super) fn checks() -> Vec<Check> {
    // Small whole numbers: every way to round gives the same.
    let cases = [(1.0, 1.0, 7, 100, false), (1.0, 1.0, 7, 100, true)]
        .into_iter()
        .chain([(-1.0, 3.0, 3, 64, false), (-1.0, 3.0, 3, 64, true)])
        .chain([(2.0, 1.0, 1, 1, false), (2.0, 1.0, 1, 1, true)]);
    let cases = cases.map(|(factor, summand, rounds, invocations, fused)| {
        let launch = multiply_add([factor, summand], rounds, invocations, fused);
        let label = format!("{factor} {summand} {rounds} {invocations} {fused}");
        Case::new(label, launch, move |_| {
            let [factor, summand] = [factor, summand].map(f64::from);
            let (rounds, invocations) = (rounds as usize, invocations as usize);
            let sums = twin::sums(factor, summand, rounds, invocations);
            Problem::new(Vec::new(), invocations, exact(sums))
        })
    });
    vec![Check::kernel("bench/multiply_add", cases)]
}
