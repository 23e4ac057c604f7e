//! Chains of multiply-adds, as the benchmark of the adapter's ceiling computes them.

/// For each of `invocations`, the sum of four times four chains: chain `k` starts at
/// `i % 64 + k` and becomes `x factor + summand` twice in each round.
pub fn sums(factor: f64, summand: f64, rounds: usize, invocations: usize) -> Vec<f64> {
    let chain = |start: usize| (0..2 * rounds).fold(start as f64, |x, _| x * factor + summand);
    (0..invocations)
        .map(|i| (0..4).map(|k| 4.0 * chain(i % 64 + k)).sum())
        .collect()
}
