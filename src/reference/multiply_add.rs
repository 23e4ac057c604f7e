//! Chains of multiply-adds, as the benchmark of the adapter's ceiling computes them.

/// For each of `invocations`, the sum of four times three chains: chain `k` starts at
/// `i % 64 + k` and becomes `x factor + summand` 16 times in each round.
pub fn sums(factor: f64, summand: f64, rounds: usize, invocations: usize) -> Vec<f64> {
    let chain = |start: usize| (0..16 * rounds).fold(start as f64, |x, _| x * factor + summand);
    (0..invocations)
        .map(|i| (0..3).map(|k| 4.0 * chain(i % 64 + k)).sum())
        .collect()
}
