//! Random numbers from a counter: Philox4x32-10, and the distributions made from it.
//!
//! Source: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy
//! as 1, 2, 3" (SC 2011). The generator has no state: element `i` of a draw is a function of the
//! seed (the two key words, low first) and of the counter `[i, 64 draw + attempt, stream, kind]`, where
//! `attempt` numbers the trials of a rejection method, `stream` tells draws under one seed apart,
//! and `kind` is [`UNIFORM`], [`NORMAL`] or [`POISSON`]. So any element can be computed by any
//! thread, and the result does not depend on the order.
//!
//! The algorithms are chosen so that f32 arithmetic can follow them step by step; where that
//! decided a formula, a comment says so. Arrays have fewer than `2^32` elements.

use std::f64::consts::TAU;

/// What is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Distribution {
    /// Uniform on (0, 1).
    Uniform,
    /// Normal with mean 0 and variance 1.
    Normal,
    /// Poisson, one number for each mean from 0 to 1e6.
    Poisson,
}

impl Distribution {
    /// The last counter word.
    pub fn kind(self) -> u32 {
        match self {
            Distribution::Uniform => UNIFORM,
            Distribution::Normal => NORMAL,
            Distribution::Poisson => POISSON,
        }
    }
}

/// Which numbers: the same ones for the same draw, whatever computes them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Draw {
    /// The generator's key.
    pub seed: u64,
    /// Tells places apart that draw under one seed.
    pub stream: u32,
    /// Tells the draws of one place apart; below 2^24, so that an f32 holds it.
    pub number: u32,
}

impl Draw {
    /// Draw 0 of a stream.
    pub fn new(seed: u64, stream: u32) -> Self {
        Draw {
            seed,
            stream,
            number: 0,
        }
    }
}

/// Last counter word of [`uniform`].
pub const UNIFORM: u32 = 0;
/// Last counter word of [`normal`].
pub const NORMAL: u32 = 1;
/// Last counter word of [`poisson`].
pub const POISSON: u32 = 2;

/// Means from here on are sampled by rejection, smaller ones by inversion.
const REJECTION_MEAN: f64 = 10.0;
/// Trials of the rejection method. Each accepts with probability above 0.7, so none of this many
/// does with probability below 1e-33.
const MAX_ATTEMPTS: u32 = 64;

/// Philox4x32-10: ten rounds of the bijection of 128-bit counters that `key` selects.
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..10 {
        let product0 = u64::from(c0) * 0xD251_1F53;
        let product1 = u64::from(c2) * 0xCD9E_8D57;
        let (high0, low0) = ((product0 >> 32) as u32, product0 as u32);
        let (high1, low1) = ((product1 >> 32) as u32, product1 as u32);
        [c0, c1, c2, c3] = [high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0];
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    [c0, c1, c2, c3]
}

/// `len` numbers, uniform in (0, 1): the midpoints of `2^24` equal cells, from the first word of
/// each element's block.
pub fn uniform(from: Draw, len: usize) -> Vec<f64> {
    (0..len)
        .map(|i| open_unit(block(from, i, 0, UNIFORM)[0]))
        .collect()
}

/// `len` standard normal numbers by the method of Box and Muller (1958), the cosine branch:
/// `sqrt(-2 log u) cos(2 pi v)` with `u` in (0, 1) from the first and `v` in (-1/2, 1/2) from the
/// second word. `|z|` stays below 5.9.
pub fn normal(from: Draw, len: usize) -> Vec<f64> {
    let draw = |i: usize| {
        let [first, second, ..] = block(from, i, 0, NORMAL);
        let radius = (-2.0 * open_unit(first).ln()).sqrt();
        radius * (TAU * centred_unit(second)).cos()
    };
    (0..len).map(draw).collect()
}

/// One Poisson number for each mean. Right for means from 0 to 1e6 (in f32; in f64 beyond). A mean
/// of 0 gives 0; a negative or infinite mean, or NaN, gives NaN.
///
/// Means below 10: inversion of the survival function, summed from its far tail upwards. Other
/// means: the transformed rejection PTRS of W. Hörmann, "The transformed rejection method for
/// generating Poisson random variables", Insurance: Mathematics and Economics 12 (1993) 39-45.
pub fn poisson(from: Draw, means: &[f64]) -> Vec<f64> {
    let draw = |(i, &mean): (usize, &f64)| {
        let words = |attempt| block(from, i, attempt, POISSON);
        if !(0.0..f64::INFINITY).contains(&mean) {
            f64::NAN
        } else if mean == 0.0 {
            0.0
        } else if mean < REJECTION_MEAN {
            poisson_by_inversion(mean, words(0))
        } else {
            poisson_by_rejection(mean, words)
        }
    };
    means.iter().enumerate().map(draw).collect()
}

/// The Philox block of element `i`.
fn block(from: Draw, i: usize, attempt: u32, kind: u32) -> [u32; 4] {
    let trial = from.number * MAX_ATTEMPTS + attempt;
    philox(
        [i as u32, trial, from.stream, kind],
        [from.seed as u32, (from.seed >> 32) as u32],
    )
}

/// A number in (0, 1) from the upper 24 bits of a word. In f32 the half disappears by rounding
/// above 1/2, and the largest value becomes 1.
fn open_unit(word: u32) -> f64 {
    (f64::from(word >> 8) + 0.5) * 2f64.powi(-24)
}

/// [`open_unit`] minus 1/2, in (-1/2, 1/2). Subtracting in the integers keeps it exact in f32.
fn centred_unit(word: u32) -> f64 {
    (f64::from((word >> 8) as i32 - (1 << 23)) + 0.5) * 2f64.powi(-24)
}

/// The largest `k` with `P(X >= k) > u`, for `u` uniform in (0, 1) with steps of `2^-48`.
///
/// A sum of probabilities from zero up would reach `1 - rounding` in f32, and a `u` above it would
/// run into the far tail: about one draw in a million would be absurdly large. Summed from the
/// tail, every `P(X >= k)` has a small relative error and small `u` have enough digits; what
/// rounding leaves over goes to `k = 0`.
fn poisson_by_inversion(mean: f64, [high, low, ..]: [u32; 4]) -> f64 {
    let u = (f64::from(high >> 8) + open_unit(low)) * 2f64.powi(-24);
    // Up to where less than the smallest u is left. The probabilities start at exp(-mean) > 4e-5,
    // so they cannot be this small before the mode.
    let mut k = 0.0;
    let mut probability = (-mean).exp();
    while probability > 2f64.powi(-56) {
        k += 1.0;
        probability *= mean / k;
    }
    let mut survival = probability;
    while survival <= u && k > 0.0 {
        probability *= k / mean;
        k -= 1.0;
        survival += probability;
    }
    k
}

/// Hörmann's PTRS for a mean of at least 10; trial `t` uses the first two of `words(t)`.
fn poisson_by_rejection(mean: f64, words: impl Fn(u32) -> [u32; 4]) -> f64 {
    // The hat's constants, section 3 of the paper.
    let b = 0.931 + 2.53 * mean.sqrt();
    let a = -0.059 + 0.02483 * b;
    let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    let squeeze = 0.9277 - 3.6224 / (b - 2.0);
    // In f32 at a mean of 1e6, adding the mean before rounding down would round the candidate to
    // sixteenths first. Counting from the whole part of the mean is exact, and gives the distance
    // from the mean exactly too.
    let whole = mean.floor();
    let rest = mean - whole;
    for attempt in 0..MAX_ATTEMPTS {
        let [first, second, ..] = words(attempt);
        let u = centred_unit(first);
        let v = open_unit(second);
        let us = 0.5 - u.abs();
        let from_whole = ((2.0 * a / us + b) * u + rest + 0.43).floor();
        let k = whole + from_whole;
        if us >= 0.07 && v <= squeeze {
            return k;
        }
        if k < 0.0 || (us < 0.013 && v > us) {
            continue;
        }
        let log_hat = (v * inverse_alpha / (a / (us * us) + b)).ln();
        if log_hat <= poisson_log_probability(mean, k, from_whole - rest) {
            return k;
        }
    }
    whole
}

/// `log P(X = k)` for `k = mean + distance`.
///
/// `k log(mean) - mean - log(k!)` cancels: at a mean of 1e6 its terms are 1e7 and f32 keeps
/// nothing of the result. With Stirling's formula, `log(k!) = k log k - k + log(2 pi k) / 2 +
/// stirling(k)`, the large terms combine into one that is small and positive:
/// `-mean * h(distance / mean) - log(2 pi k) / 2 - stirling(k)`.
fn poisson_log_probability(mean: f64, k: f64, distance: f64) -> f64 {
    if k == 0.0 {
        return -mean;
    }
    -mean * relative_entropy(distance / mean) - 0.5 * (TAU * k).ln() - stirling(k)
}

/// `h(x) = (1 + x) log(1 + x) - x`, for `x > -1`.
///
/// For `|x| < 1/2` through `t = x / (2 + x)`, `log(1 + x) = 2 (t + t^3/3 + t^5/5 + ...)`: then
/// `h = 2 (t^2 + (1 + t) (t^3/3 + t^5/5 + ...)) / (1 - t)`, where nothing cancels. Since
/// `|t| < 1/3`, the terms up to `t^15` leave a relative error below 1e-8.
fn relative_entropy(x: f64) -> f64 {
    if x.abs() >= 0.5 {
        return (1.0 + x) * (1.0 + x).ln() - x;
    }
    let t = x / (2.0 + x);
    let t2 = t * t;
    let mut series = 0.0;
    for odd in [15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0] {
        series = t2 * (series + 1.0 / odd);
    }
    2.0 * (t2 + (1.0 + t) * t * series) / (1.0 - t)
}

/// `log(k!) - (k log k - k + log(2 pi k) / 2)` for `k >= 1`, by Stieltjes' continued fraction (NIST
/// Digital Library of Mathematical Functions, 5.10). Its error is 2e-5 at `k = 1` and falls
/// quickly; the asymptotic series is not good enough there.
fn stirling(k: f64) -> f64 {
    let mut tail = 0.0;
    for coefficient in [
        22999.0 / 22737.0,
        195.0 / 371.0,
        53.0 / 210.0,
        1.0 / 30.0,
        1.0 / 12.0,
    ] {
        tail = coefficient / (k + tail);
    }
    tail
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLES: usize = 400_000;

    #[test]
    fn philox_gives_the_published_answers() {
        // kat_vectors of Random123, "philox4x32 10".
        let cases = [
            (
                [0; 4],
                [0; 2],
                [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
            ),
            (
                [u32::MAX; 4],
                [u32::MAX; 2],
                [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
            ),
            (
                [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
                [0xa4093822, 0x299f31d0],
                [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
            ),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox(counter, key), expected);
        }
    }

    /// Sample mean and (biased) variance.
    fn moments(x: &[f64]) -> (f64, f64) {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        (mean, x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n)
    }

    /// Within five standard errors of the mean (sqrt(variance / n)) and of the variance
    /// (sqrt((fourth central moment - variance^2) / n)).
    #[track_caller]
    fn assert_moments(x: &[f64], mean: f64, variance: f64, fourth: f64) {
        let n = x.len() as f64;
        let (sample_mean, sample_variance) = moments(x);
        let mean_error = (sample_mean - mean).abs() / (variance / n).sqrt();
        let variance_error =
            (sample_variance - variance).abs() / ((fourth - variance * variance) / n).sqrt();
        assert!(mean_error < 5.0, "mean {sample_mean}, expected {mean}");
        assert!(
            variance_error < 5.0,
            "variance {sample_variance}, expected {variance}"
        );
    }

    /// Pearson's statistic against its quantile four standard deviations up (probability 3e-5 by
    /// chance), by Wilson and Hilferty's approximation.
    #[track_caller]
    fn assert_chi_square(observed: &[f64], expected: &[f64]) {
        let statistic: f64 = observed
            .iter()
            .zip(expected)
            .map(|(o, e)| (o - e).powi(2) / e)
            .sum();
        let freedom = (observed.len() - 1) as f64;
        let spread = 2.0 / (9.0 * freedom);
        let bound = freedom * (1.0 - spread + 4.0 * spread.sqrt()).powi(3);
        assert!(statistic < bound, "chi square {statistic} above {bound}");
    }

    #[test]
    fn uniform_has_its_moments_and_is_flat() {
        let x = uniform(Draw::new(7, 3), SAMPLES);
        assert!(x.iter().all(|&x| 0.0 < x && x < 1.0));
        assert_moments(&x, 0.5, 1.0 / 12.0, 1.0 / 80.0);
        let mut counts = [0.0; 64];
        for x in &x {
            counts[(x * 64.0) as usize] += 1.0;
        }
        assert_chi_square(&counts, &[SAMPLES as f64 / 64.0; 64]);
    }

    #[test]
    fn normal_has_its_moments_and_tails() {
        let x = normal(Draw::new(7, 3), SAMPLES);
        assert_moments(&x, 0.0, 1.0, 3.0);
        // P(|z| > 1), P(|z| > 2), P(|z| > 3).
        for (limit, probability) in [(1.0, 0.317_310_5), (2.0, 0.045_500_3), (3.0, 0.002_699_8)] {
            let n = SAMPLES as f64;
            let share = x.iter().filter(|x| x.abs() > limit).count() as f64 / n;
            let error = (probability * (1.0 - probability) / n).sqrt();
            assert!((share - probability).abs() < 5.0 * error, "{share}");
        }
    }

    #[test]
    fn seeds_streams_kinds_and_elements_are_told_apart() {
        let x = uniform(Draw::new(1, 0), 8);
        assert_eq!(x, uniform(Draw::new(1, 0), 9)[..8]);
        assert_ne!(x, uniform(Draw::new(2, 0), 8));
        assert_ne!(x, uniform(Draw::new(1 + (1 << 32), 0), 8));
        assert_ne!(x, uniform(Draw::new(1, 1), 8));
        assert_ne!(x[0], x[1]);
        let draw = Draw::new(1, 0);
        assert_ne!(block(draw, 0, 0, UNIFORM), block(draw, 0, 0, NORMAL));
        // The draws of neighbouring elements and streams are uncorrelated.
        let (a, b) = (
            uniform(Draw::new(5, 0), SAMPLES),
            uniform(Draw::new(5, 1), SAMPLES),
        );
        let correlate = |a: &[f64], b: &[f64]| {
            12.0 * a
                .iter()
                .zip(b)
                .map(|(a, b)| (a - 0.5) * (b - 0.5))
                .sum::<f64>()
                / a.len() as f64
        };
        let bound = 5.0 / (SAMPLES as f64).sqrt();
        assert!(correlate(&a, &b).abs() < bound);
        assert!(correlate(&a[1..], &a).abs() < bound);
    }

    /// `log k!` as a sum of logarithms.
    fn log_factorial(k: usize) -> f64 {
        (1..=k).map(|j| (j as f64).ln()).sum()
    }

    #[test]
    fn poisson_has_its_probabilities() {
        for (stream, mean) in [0.1, 1.0, 5.0, 9.99, 10.0, 10.9, 30.0, 1000.0]
            .into_iter()
            .enumerate()
        {
            let x = poisson(Draw::new(11, stream as u32), &vec![mean; SAMPLES]);
            assert!(x.iter().all(|&k| k >= 0.0 && k.fract() == 0.0));
            // The fourth central moment of a Poisson variable is mean + 3 mean^2.
            assert_moments(&x, mean, mean, mean + 3.0 * mean * mean);

            // Cells of at least 20 expected draws: single values in the middle, both tails in one.
            let end = (mean + 12.0 * mean.sqrt() + 12.0) as usize;
            let mut observed = vec![0.0; end];
            for &k in &x {
                observed[(k as usize).min(end - 1)] += 1.0;
            }
            let (mut cells, mut expected) = (vec![0.0], vec![0.0]);
            for (k, &count) in observed.iter().enumerate() {
                let log_probability = k as f64 * mean.ln() - mean - log_factorial(k);
                let draws = SAMPLES as f64 * log_probability.exp();
                if draws >= 20.0 {
                    cells.push(count);
                    expected.push(draws);
                } else {
                    cells[0] += count;
                    expected[0] += draws;
                }
            }
            assert_chi_square(&cells, &expected);
        }
    }

    #[test]
    fn poisson_has_its_moments_at_a_million() {
        for mean in [1e6, 999_999.5] {
            let x = poisson(Draw::new(13, 0), &vec![mean; SAMPLES]);
            assert_moments(&x, mean, mean, mean + 3.0 * mean * mean);
        }
    }

    #[test]
    fn poisson_at_the_edges_of_its_domain() {
        let x = poisson(
            Draw::new(1, 0),
            &[0.0, -1.0, f64::NAN, f64::INFINITY, 1e-30, 1e-300],
        );
        assert_eq!(x[0], 0.0);
        assert!(x[1..4].iter().all(|x| x.is_nan()));
        assert_eq!(x[4..], [0.0, 0.0]);
    }

    #[test]
    fn inversion_reaches_the_far_tail() {
        // The smallest u is 2^-49, the largest gives zero.
        let survival = |mean: f64, k: usize| -> f64 {
            (k..k + 60)
                .map(|j| (j as f64 * mean.ln() - mean - log_factorial(j)).exp())
                .sum()
        };
        for mean in [0.1, 1.0, 9.99] {
            let k = poisson_by_inversion(mean, [0; 4]);
            assert!(survival(mean, k as usize) > 2f64.powi(-49));
            assert!(survival(mean, k as usize + 1) <= 2f64.powi(-49));
            assert_eq!(poisson_by_inversion(mean, [u32::MAX; 4]), 0.0);
        }
    }

    #[test]
    fn log_probability_equals_the_sum_of_logarithms() {
        for (mean, ks) in [
            (10.0, vec![0, 1, 2, 5, 10, 16, 30, 60]),
            (123.4, vec![40, 61, 62, 123, 200]),
            (1e4, vec![9_500, 10_000, 10_400]),
        ] {
            for k in ks {
                let expected = k as f64 * f64::ln(mean) - mean - log_factorial(k);
                let actual = poisson_log_probability(mean, k as f64, k as f64 - mean);
                assert!((actual - expected).abs() < 3e-5, "k = {k}: {actual}");
            }
        }
    }

    #[test]
    fn relative_entropy_is_smooth_and_does_not_cancel() {
        // Both formulas agree where they meet, and small arguments give x^2 / 2.
        for x in [-0.5, 0.5] {
            let closed = (1.0 + x) * f64::ln(1.0 + x) - x;
            assert!((relative_entropy(x * 0.999_999_999_9) / closed - 1.0).abs() < 2e-8);
        }
        let x = 1e-6;
        assert!((relative_entropy(x) / (x * x / 2.0 - x * x * x / 6.0) - 1.0).abs() < 1e-11);
    }
}
