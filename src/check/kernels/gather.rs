//! The reads of the benchmark's ceiling.

use crate::check::Check;
use crate::check::harness::{Case, Problem, exact};
use crate::kernels::gather::{ELEMENTS, gather};
use crate::reference::gather as twin;

pub(super) fn checks() -> Vec<Check> {
    let cases = [(1, 1), (3, 100), (40, 4500)]
        .into_iter()
        .flat_map(|(rounds, invocations)| {
            [false, true].map(|uniform| (rounds, invocations, uniform))
        });
    let cases = cases.map(|(rounds, invocations, uniform)| {
        let launch = gather(rounds, invocations, uniform);
        let label = format!("{rounds} {invocations} {uniform}");
        Case::new(label, launch, move |_| {
            // Small whole numbers, whose sums are exact in any order.
            let source: Vec<f32> = (0..ELEMENTS).map(|i| (i * i % 61) as f32).collect();
            let wide: Vec<f64> = source.iter().map(|&x| x.into()).collect();
            let sums = twin::sums(&wide, rounds as usize, invocations as usize);
            Problem::new(vec![source], invocations as usize, exact(sums))
        })
    });
    vec![Check::kernel("bench/gather", cases)]
}
