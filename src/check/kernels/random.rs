//! Random numbers: the generator's bits, and the distributions.

use crate::check::harness::{Case, Judge, Noise, Problem, close};
use crate::check::{Check, Measure, nan_max};
use crate::kernels::random;
use crate::reference::Twin;
use crate::reference::random::{self as twin, Distribution, Draw};
use crate::shape::Shape;

pub(super) fn checks() -> Vec<Check> {
    let lengths = [1, 63, 64, 65, 4099];
    vec![
        Check::kernel(
            "random/uniform",
            lengths.map(|n| elements(Distribution::Uniform, n)),
        ),
        // More workgroups than one dimension of a dispatch holds.
        Check::kernel(
            "random/uniform/65537-workgroups",
            [elements(Distribution::Uniform, 65_536 * 64 + 1)],
        ),
        Check::kernel(
            "random/normal",
            lengths.map(|n| elements(Distribution::Normal, n)),
        ),
        Check::kernel("random/normal/moments", [normal_moments()]),
        Check::kernel("random/poisson/twin", [poisson("twin", agreement)]),
        Check::kernel("random/poisson/moments", [poisson("moments", moments)]),
    ]
}

/// Any key and stream, and a draw that needs all of an f32's digits.
fn draw(noise: &mut Noise) -> Draw {
    Draw {
        seed: u64::from(noise.below(u32::MAX)) << 32 | u64::from(noise.below(u32::MAX)),
        stream: noise.below(u32::MAX),
        number: noise.below(1 << 24),
    }
}

/// The draw is part of the launch, so it is fixed by the label and not by the seed; the draw's
/// number is an input and fresh.
fn fixed(label: &str) -> Draw {
    draw(&mut Noise::new(0, label))
}

fn elements(distribution: Distribution, len: usize) -> Case {
    let label = format!("{distribution:?} {len}");
    let key = fixed(&label);
    let lowered = random::draw(distribution, key.seed, key.stream, Shape::vector(len));
    Case::new(label, lowered, move |noise| {
        let number = noise.below(1 << 24);
        let from = Draw { number, ..key };
        let judge = match distribution {
            // Exact words; (w + 1/2) rounds once.
            Distribution::Uniform => {
                let value = twin::uniform(from, len);
                let magnitude = value.clone();
                close(Twin { value, magnitude }, 0.5)
            }
            _ => normal(twin::normal(from, len)),
        };
        Problem::new(vec![vec![number as f32]], len, judge)
    })
}

/// WGSL promises 2^-11 for the cosine, whose factor stays below 6, and 2^-21 for the logarithm,
/// whose root then is right to 2^-10.
const NORMAL: f64 = 6.0 / 2048.0 + 1.0 / 1024.0;

fn normal(expected: Vec<f64>) -> Judge {
    Box::new(move |found| {
        let differences = found
            .iter()
            .zip(&expected)
            .map(|(&f, e)| (f64::from(f) - e).abs());
        Measure::new(differences.fold(0.0, nan_max), NORMAL)
    })
}

/// Standard errors that a mean or a variance may be off: less than once in 1e8 checks.
const SIGMAS: f64 = 6.0;

fn normal_moments() -> Case {
    let len = 1 << 16;
    let key = fixed("normal moments");
    let lowered = random::draw(
        Distribution::Normal,
        key.seed,
        key.stream,
        Shape::vector(len),
    );
    Case::new("normal moments", lowered, move |noise| {
        let number = noise.below(1 << 24);
        let judge: Judge = Box::new(|x| {
            // The variance of (x - mean)^2 is 2.
            Measure::new(standard_errors(x, 0.0, 1.0, 2.0), SIGMAS)
        });
        Problem::new(vec![vec![number as f32]], len, judge)
    })
}

/// The larger of the deviations of sample mean and variance from `mean` and `variance`, in
/// standard errors; `spread` is the variance of `(x - mean)^2`.
fn standard_errors(x: &[f32], mean: f64, variance: f64, spread: f64) -> f64 {
    let n = x.len() as f64;
    let average = |f: &dyn Fn(f64) -> f64| x.iter().map(|&x| f(f64::from(x))).sum::<f64>() / n;
    let mean_error = (average(&|x| x) - mean).abs() / (variance / n).sqrt();
    let found = average(&|x| (x - mean) * (x - mean));
    let variance_error = (found - variance).abs() / (spread / n).sqrt();
    nan_max(mean_error, variance_error)
}

/// Below and above the change of method at 10, and fractions.
const MEANS: [f32; 11] = [0.0, 0.01, 0.5, 3.3, 9.0, 9.99, 10.0, 33.7, 100.0, 1e4, 1e6];
/// Numbers drawn for each mean.
const EACH: usize = 8192;

fn poisson(label: &'static str, judge: fn(&[f32], &[f64]) -> Measure) -> Case {
    let len = MEANS.len() * EACH;
    let key = fixed(label);
    let lowered = random::draw(
        Distribution::Poisson,
        key.seed,
        key.stream,
        Shape::vector(len),
    );
    Case::new(format!("poisson {label}"), lowered, move |noise| {
        let number = noise.below(1 << 24);
        // Means alternate, so that neighbouring threads take different paths.
        let means: Vec<f32> = (0..len).map(|i| MEANS[i % MEANS.len()]).collect();
        let wide: Vec<f64> = means.iter().map(|&m| f64::from(m)).collect();
        let expected = twin::poisson(Draw { number, ..key }, &wide);
        let inputs = vec![vec![number as f32], means];
        Problem::new(inputs, len, Box::new(move |found| judge(found, &expected)))
    })
}

/// The share of numbers that differ from the twin's. Rounding may take the other side of a
/// comparison: the error of a number of size 2500 sigma or of a probability, about 1e-4 at worst.
fn agreement(found: &[f32], expected: &[f64]) -> Measure {
    let pairs = found.iter().zip(expected);
    let differ = pairs.filter(|(f, e)| f64::from(**f) != **e).count();
    let whole = |f: f32| f >= 0.0 && f.fract() == 0.0;
    let wrong = found.iter().position(|&f| !whole(f));
    match wrong {
        Some(i) => Measure::failed(5e-4, format!("element {i} is {}", found[i])),
        None => Measure::new(differ as f64 / found.len() as f64, 5e-4),
    }
}

/// Mean and variance are the given mean; the fourth central moment is `mean + 3 mean^2`.
fn moments(found: &[f32], _: &[f64]) -> Measure {
    let mut worst = Measure::new(0.0, SIGMAS + 1.0);
    for (k, &mean) in MEANS.iter().enumerate() {
        let x: Vec<f32> = found.iter().skip(k).step_by(MEANS.len()).copied().collect();
        let m = f64::from(mean);
        let error = if mean == 0.0 {
            if x.iter().all(|&x| x == 0.0) {
                0.0
            } else {
                f64::INFINITY
            }
        } else {
            standard_errors(&x, m, m, m + 2.0 * m * m)
        };
        worst.error = nan_max(worst.error, error);
    }
    worst
}
