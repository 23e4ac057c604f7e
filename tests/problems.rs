//! Simulated measurements against closed forms, on the device.

use equilens::error::Error;
use equilens::gpu::{Gpu, Selection};
use equilens::operators::Noise;
use equilens::problems::RayTransformConfig;
use equilens::problems::{ImageSize, OperatorConfig, Problem, ProblemConfig};
use equilens::reference::ray_transform;
use equilens::shape::Shape;
use equilens::tape::plan::Store;

fn store() -> Store {
    Store::new(&Gpu::open(&Selection::default()).expect("an adapter"))
}

fn ray(rows: usize, columns: usize, views: usize) -> RayTransformConfig {
    RayTransformConfig {
        image_size: ImageSize::Rectangle([rows, columns]),
        views: Some(views),
        ..Default::default()
    }
}

fn problem(operator: RayTransformConfig, noise: Noise) -> Problem {
    let operator = OperatorConfig::RayTransform(operator);
    let config = ProblemConfig {
        operator,
        noise,
        phase: None,
    };
    Problem::new(&config).expect("valid")
}

/// A smooth positive image.
fn image(rows: usize, columns: usize) -> Vec<f32> {
    let at = |i: usize| {
        let (r, c) = (
            (i / columns) as f32 / rows as f32,
            (i % columns) as f32 / columns as f32,
        );
        0.3 + 0.2 * (5.0 * r).sin() * (4.0 * c).cos()
    };
    (0..rows * columns).map(at).collect()
}

fn clean(operator: &RayTransformConfig, oversampling: usize, image: &[f32]) -> Vec<f64> {
    let beam = operator.geometry(oversampling).expect("valid");
    let image: Vec<f64> = image.iter().map(|&v| f64::from(v)).collect();
    ray_transform::forward(&image, 1, &beam).value
}

/// Mean and variance of numbers whose expectation is zero, and how far off the variance may be.
fn moments(samples: &[f64]) -> (f64, f64) {
    let n = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / n;
    let variance = samples.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, variance)
}

/// Standardised residuals have mean 0 and variance 1 within 5 standard errors. `kurtosis` is their
/// fourth moment.
#[track_caller]
fn assert_standard(samples: &[f64], kurtosis: f64) {
    let n = samples.len() as f64;
    assert!(n > 10_000.0, "{n} samples");
    let (mean, variance) = moments(samples);
    assert!(mean.abs() <= 5.0 / n.sqrt(), "mean {mean}");
    let error = ((kurtosis - 1.0) / n).sqrt();
    assert!((variance - 1.0).abs() <= 5.0 * error, "variance {variance}");
}

/// 40 copies of one image with their noise: copy by copy.
fn simulate(problem: &Problem, rows: usize, columns: usize, seed: u64) -> Vec<f32> {
    let images = image(rows, columns).repeat(40);
    let shape = Shape::new(40, 1, rows, columns);
    problem
        .simulate(&store(), &images, shape, seed)
        .expect("simulates")
}

#[test]
fn transmitted_counts_are_poisson() {
    let operator = ray(18, 27, 20);
    let (photons, mu) = (300.0, 20.0);
    let noise = Noise::LowDoseCt {
        photons,
        attenuation: mu,
        eta: 1e-8,
        readout: 0.0,
    };
    let y = simulate(&problem(operator.clone(), noise), 18, 27, 7);
    let clean = clean(&operator, 1, &image(18, 27));
    let mut residuals = Vec::new();
    let mut kurtosis = 0.0;
    for (i, &y) in y.iter().enumerate() {
        let counts = photons * (-mu * f64::from(y)).exp();
        assert!((counts - counts.round()).abs() < 2e-3, "{counts} photons");
        let mean = photons * (-mu * clean[i % clean.len()]).exp();
        residuals.push((counts.round() - mean) / mean.sqrt());
        kurtosis += 3.0 + 1.0 / mean;
    }
    assert!(
        clean.iter().any(|&c| mu * c > 1.0),
        "some rays are attenuated"
    );
    assert_standard(&residuals, kurtosis / y.len() as f64);
}

#[test]
fn rays_without_photons_are_floored() {
    // Opaque: exp(-1e4 * 0.3 * 0.36) = 0.
    let noise = Noise::LowDoseCt {
        photons: 1e4,
        attenuation: 1e4,
        eta: 1e-8,
        readout: 0.0,
    };
    let problem = problem(ray(16, 16, 4), noise);
    let shape = Shape::new(1, 1, 16, 16);
    let y = problem
        .simulate(&store(), &image(16, 16), shape, 1)
        .expect("simulates");
    let floor = 1e8f64.ln() / 1e4;
    let largest = y.iter().copied().fold(0.0, f32::max);
    assert!(
        (f64::from(largest) - floor).abs() < 1e-6 * floor,
        "{largest}"
    );
}

#[test]
fn gaussian_and_mixed_noise_have_their_moments() {
    let operator = ray(16, 16, 25);
    let clean = clean(&operator, 1, &image(16, 16));
    let (gain, sigma) = (2e-3, 4e-3);
    for (noise, gain, sigma) in [
        (Noise::Gaussian { sigma }, 0.0, sigma),
        (Noise::Poisson { gain }, gain, 0.0),
        (Noise::PoissonGaussian { gain, sigma }, gain, sigma),
    ] {
        let y = simulate(&problem(operator.clone(), noise), 16, 16, 3);
        let mut residuals = Vec::new();
        for (i, &y) in y.iter().enumerate() {
            let mean = clean[i % clean.len()];
            let deviation = (gain * mean + sigma * sigma).sqrt();
            // Few counts have a heavy tail: the moments below assume some.
            if sigma > 0.0 || mean > 5.0 * gain {
                residuals.push((f64::from(y) - mean) / deviation);
            }
        }
        assert_standard(&residuals, 3.2);
    }
}

/// Every copy has a level of its own, spread evenly over the range.
#[test]
fn a_range_of_levels_is_drawn_measurement_by_measurement() {
    let operator = ray(16, 16, 25);
    let clean = clean(&operator, 1, &image(16, 16));
    let (least, greatest) = (2e-3, 10e-3);
    let noise = Noise::GaussianRange { least, greatest };
    let y = simulate(&problem(operator, noise), 16, 16, 3);
    let mut levels: Vec<f64> = (y.chunks_exact(clean.len()))
        .map(|copy| {
            let residuals = copy.iter().zip(&clean).map(|(&y, c)| f64::from(y) - c);
            let (mean, variance) = moments(&residuals.collect::<Vec<f64>>());
            // 575 samples: five standard errors.
            assert!(mean.abs() < 5.0 * (variance / clean.len() as f64).sqrt());
            variance.sqrt()
        })
        .collect();
    levels.sort_by(f64::total_cmp);
    let slack = 5.0 / (2.0 * clean.len() as f64).sqrt();
    assert!(levels[0] > least * (1.0 - slack) && levels[39] < greatest * (1.0 + slack));
    // Quartiles of 40 uniform numbers: their standard error is about 0.07 of the range.
    for (quarter, at) in [(0.25, 10), (0.5, 20), (0.75, 30)] {
        let expected = least + quarter * (greatest - least);
        let error = (levels[at] - expected).abs() / (greatest - least);
        assert!(
            error < 0.3,
            "{quarter}: {} instead of {expected}",
            levels[at]
        );
    }
}

#[test]
fn noise_depends_on_seed_and_image_number_alone() {
    let problem = problem(ray(12, 12, 9), Noise::Gaussian { sigma: 1.0 });
    let store = store();
    let one = image(12, 12);
    let m = problem.operator.range().elements();
    let run = |n: usize, seed| {
        let shape = Shape::new(n, 1, 12, 12);
        let images = one.repeat(n);
        problem
            .simulate(&store, &images, shape, seed)
            .expect("simulates")
    };
    let three = run(3, 5);
    assert_eq!(three, run(3, 5));
    assert_eq!(three[..m], run(1, 5));
    assert_ne!(three[..m], three[m..2 * m]);
    assert_ne!(three[..m], run(1, 6));
    assert_ne!(three[..m], run(1, 5 + (1 << 32)));
}

#[test]
fn finer_images_are_projected_on_their_own_grid() {
    let operator = ray(10, 14, 11);
    let problem = problem(operator.clone(), Noise::None {});
    let store = store();
    for k in [1, 2] {
        let (rows, columns) = (10 * k, 14 * k);
        let images = image(rows, columns);
        let shape = Shape::new(1, 1, rows, columns);
        let y = problem
            .simulate(&store, &images, shape, 1)
            .expect("simulates");
        let expected = clean(&operator, k, &images);
        let largest = expected.iter().copied().fold(0.0, f64::max);
        for (a, e) in y.iter().zip(&expected) {
            assert!((f64::from(*a) - e).abs() <= 1e-6 * largest, "{a} not {e}");
        }
        let truth = problem.ground_truth(&images, shape).expect("fits");
        for r in 0..10 {
            for c in 0..14 {
                let mut mean = 0.0;
                for i in 0..k * k {
                    mean += images[(r * k + i / k) * columns + c * k + i % k] / (k * k) as f32;
                }
                assert!((truth[r * 14 + c] - mean).abs() < 1e-6);
            }
        }
    }
}

#[test]
fn simulating_on_a_finer_grid_is_no_inverse_crime() {
    let operator = ray(32, 32, 8);
    // A disc, sampled finely enough to be nearly exact on both grids.
    let disc: Vec<f32> = (0..64 * 64)
        .map(|i| {
            let (y, x) = ((i / 64) as f32 - 31.5, (i % 64) as f32 - 31.5);
            (20.5 - x.hypot(y)).clamp(0.0, 1.0)
        })
        .collect();
    let problem = problem(operator.clone(), Noise::None {});
    let shape = Shape::new(1, 1, 64, 64);
    let y = problem
        .simulate(&store(), &disc, shape, 1)
        .expect("simulates");
    let truth = problem.ground_truth(&disc, shape).expect("fits");
    let crime = clean(&operator, 1, &truth);
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
    let size = norm(&mut crime.iter().copied());
    let differ = norm(&mut y.iter().zip(&crime).map(|(a, b)| f64::from(*a) - b)) / size;
    // The same object, but not the same numbers.
    assert!((1e-4..0.05).contains(&differ), "{differ}");
}

#[test]
fn wrong_images_are_named_with_both_sizes() {
    let problem = problem(ray(10, 14, 5), Noise::Poisson { gain: 1e-3 });
    let store = store();
    let refuse = |values: usize, shape: Shape, parts: &[&str]| {
        let images = vec![0.5; values];
        let error = problem
            .simulate(&store, &images, shape, 1)
            .expect_err("refused");
        assert!(matches!(error, Error::Data { .. }), "{error:?}");
        let truth = problem.ground_truth(&images, shape).expect_err("refused");
        assert_eq!(truth.to_string(), error.to_string());
        for part in parts {
            assert!(error.to_string().contains(part), "{error}");
        }
    };
    refuse(
        140,
        Shape::new(1, 1, 14, 10),
        &["14 rows and 10 columns", "10 and 14"],
    );
    refuse(560, Shape::new(1, 1, 10, 56), &["10 rows and 56 columns"]);
    refuse(35, Shape::new(1, 1, 5, 7), &["5 rows and 7 columns"]);
    refuse(280, Shape::new(1, 2, 10, 14), &["2 channels"]);
    refuse(139, Shape::new(1, 1, 10, 14), &["139 values", "1x1x10x14"]);
    refuse(0, Shape::new(0, 1, 10, 14), &["at least one image"]);
    // Poisson noise of a negative measurement, and NaN in the input.
    for bad in [-1.0, f32::NAN] {
        let mut images = vec![0.5; 280];
        images[140..].fill(bad);
        let shape = Shape::new(2, 1, 10, 14);
        let error = problem
            .simulate(&store, &images, shape, 1)
            .expect_err("refused");
        assert!(matches!(error, Error::NotFinite(_)), "{error:?}");
        assert!(error.to_string().contains("image 1"), "{error}");
    }
}
