//! Sums of gathered numbers, as the benchmark of the adapter's ceiling computes them.

/// For each of `invocations`, the sum of the elements `i + 31 k` of `source`, from its start again
/// beyond its end, for 16 values of `k` in each round.
pub fn sums(source: &[f64], rounds: usize, invocations: usize) -> Vec<f64> {
    let at = |i: usize| source[i % source.len()];
    (0..invocations)
        .map(|i| (0..16 * rounds).map(|k| at(i + 31 * k)).sum())
        .collect()
}
