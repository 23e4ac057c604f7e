//! Magnetic resonance imaging on the device: against NumPy, against closed forms, and from images
//! through training to an experiment.

use equilens::data::npy;
use equilens::error::{Error, Result};
use equilens::experiments::{Event, Options, Point, Results, Scale, training_size};
use equilens::gpu::{Gpu, Selection};
use equilens::group::Group;
use equilens::metrics;
use equilens::models::{LearnedProximalGradientConfig, ModelConfig};
use equilens::operators::{FourierSampling, LinearOperator, diagnostics};
use equilens::problems::{Problem, ProblemConfig};
use equilens::shape::Shape;
use equilens::solvers::{self, Cgls, Tv};
use equilens::tape::plan::Store;
use equilens::train::{
    AdamConfig, Dataset, ModelSpec, OptimiserConfig, Recipe, Reconstructor, Trainer, TrainingConfig,
};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| Gpu::open(&Selection::default()).expect("an adapter"))
}

fn golden(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/golden/mri").join(name)
}

/// Complex numbers of a golden file, real and imaginary planes after each other, image by image of
/// `plane` pixels.
fn planes(name: &str, plane: usize) -> Vec<f32> {
    let values = npy::read_complex_npy(golden(name)).expect(name).data;
    let mut planes = Vec::new();
    for image in values.chunks(plane) {
        planes.extend(image.iter().map(|z| z.re));
        planes.extend(image.iter().map(|z| z.im));
    }
    planes
}

/// An image `[H, W, 2]` of float64 as two planes.
fn image(name: &str) -> Vec<f32> {
    let pairs = npy::read_real_npy(golden(name)).expect(name).data;
    let part = |p: usize| pairs.chunks(2).map(move |z| z[p]);
    part(0).chain(part(1)).collect()
}

fn largest(values: &[f32]) -> f64 {
    values.iter().fold(0.0, |m, v| m.max(f64::from(v.abs())))
}

#[track_caller]
fn assert_near(found: &[f32], expected: &[f32], bound: f64) {
    assert_eq!(found.len(), expected.len());
    let differences: Vec<f32> = found.iter().zip(expected).map(|(f, e)| f - e).collect();
    let error = largest(&differences) / largest(expected);
    println!("error {error:.1e}, bound {bound:.0e}");
    assert!(error <= bound, "{error:.1e} exceeds {bound:.0e}");
}

#[test]
fn cg_sense_and_tv_find_the_minimisers() -> Result<()> {
    let text = std::fs::read_to_string(golden("case.json")).expect("golden numbers");
    let case: Value = serde_json::from_str(&text).expect("JSON");
    let number = |key: &str| case["small"][key].as_f64().expect("a number");
    let (rows, columns) = (12, 10);
    // The lines of generate.py.
    let line = |r: usize| r.min(rows - r) < 4 || 7 * r * r % 11 < 4;
    let mask: Vec<bool> = (0..rows * columns).map(|i| line(i / columns)).collect();
    let maps = planes("small_maps.npy", rows * columns);
    let operator = FourierSampling::new([rows, columns], &mask)?.with_coils(&maps)?;
    let y = planes("small_kspace.npy", rows * columns);
    let store = Store::new(gpu());
    let norm = diagnostics::norm(&operator, &store, 500)?;
    assert!((norm / number("norm") - 1.0).abs() < 1e-4, "{norm}");
    let sense = Cgls {
        weight: number("cg_weight"),
        iterations: 60,
        tolerance: 1e-6,
    };
    let solution = sense.solve(&operator, &store, &y, 1, &mut |_| {})?;
    // The norm, by power iteration within 1e-4, scales the weight.
    assert_near(&solution.images, &image("small_cg_sense.npy"), 5e-4);
    let tv = Tv {
        weight: number("tv_weight"),
        iterations: 4000,
        tolerance: 1e-5,
        ..Tv::for_images(operator.domain())
    };
    assert!(!tv.nonnegative, "complex images have no sign");
    let solution = tv.solve(&operator, &store, &y, 1, &mut |_| {})?;
    assert_near(&solution.images, &image("small_tv.npy"), 2e-3);
    Ok(())
}

fn problem(text: &str) -> Problem {
    let text = format!("[operator]\nkind = \"fourier\"\n{text}");
    let config: ProblemConfig = equilens::config::parse_toml("p.toml", &text).expect("parses");
    Problem::new(&config).expect("valid")
}

/// Smooth positive images with the imaginary part zero.
fn images(count: usize, [rows, columns]: [usize; 2]) -> (Vec<f32>, Shape) {
    let mut values = Vec::new();
    for k in 0..count {
        for i in 0..rows * columns {
            let (r, c) = ((i / columns) as f32, (i % columns) as f32);
            let (dy, dx) = (
                r - 0.45 * rows as f32,
                c - (0.4 + 0.02 * k as f32) * columns as f32,
            );
            let inside = dy * dy + 2.0 * dx * dx < (0.1 * (rows * columns) as f32);
            values.push(if inside {
                0.6 + 0.2 * (r * 0.7).sin()
            } else {
                0.02
            });
        }
        values.extend(vec![0.0; rows * columns]);
    }
    (values, Shape::new(count, 2, rows, columns))
}

#[test]
fn noise_is_white_on_what_is_measured_and_nowhere_else() -> Result<()> {
    let sigma = 0.05;
    let noisy = problem(
        "image_size = [24, 17]\ncoils = { kind = \"birdcage\", count = 3 }\nmask = { kind = \"cartesian\", lines = 9, centre = 3 }\n[noise]\nkind = \"gaussian\"\nsigma = 0.05\n",
    );
    let clean = Problem::new(&ProblemConfig {
        noise: Default::default(),
        ..noisy.config.clone()
    })?;
    let (x, shape) = images(40, [24, 17]);
    let store = Store::new(gpu());
    let y = noisy.simulate(&store, &x, shape, 3)?;
    let without = clean.simulate(&store, &x, shape, 3)?;
    assert_eq!(y.len(), 40 * 6 * 24 * 17);
    // Real and imaginary parts for themselves.
    for part in 0..2 {
        let mut residuals = Vec::new();
        let mut measured = 0;
        for (i, (y, clean)) in y.iter().zip(&without).enumerate() {
            if i / (24 * 17) % 2 != part {
                continue;
            }
            if *clean == 0.0 {
                assert_eq!(*y, 0.0, "noise where nothing is measured");
            } else {
                measured += 1;
                residuals.push(f64::from(y - clean) / sigma);
            }
        }
        assert_eq!(measured, 40 * 3 * 9 * 17);
        let n = residuals.len() as f64;
        let mean = residuals.iter().sum::<f64>() / n;
        let variance = residuals.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 5.0 / n.sqrt(), "{mean}");
        assert!(
            (variance - 1.0).abs() < 5.0 * (2.0 / n).sqrt(),
            "{variance}"
        );
    }
    assert_ne!(y, noisy.simulate(&store, &x, shape, 4)?);
    Ok(())
}

#[test]
fn a_phase_belongs_to_the_object() -> Result<()> {
    let with = problem("image_size = [16, 20]\n[phase]\nradians = 2.0\n");
    let without = problem("image_size = [16, 20]\n");
    let (x, shape) = images(3, [16, 20]);
    let truth = with.ground_truth(&x, shape)?;
    assert_eq!(without.ground_truth(&x, shape)?, x);
    let one = 2 * 16 * 20;
    for (turned, plain) in truth.chunks(one).zip(x.chunks(one)) {
        assert_ne!(turned, plain);
        assert_near(
            &metrics::magnitude(turned, 2),
            &metrics::magnitude(plain, 2),
            1e-6,
        );
    }
    // Measured is the ground truth, wherever in the batch it stands.
    let store = Store::new(gpu());
    let y = with.simulate(&store, &x, shape, 1)?;
    let direct = without.simulate(&store, &truth, shape, 1)?;
    assert_eq!(y, direct);
    let last = with.simulate(&store, &x[2 * one..], shape.with(0, 1), 1)?;
    assert_eq!(y[2 * one..], last);
    Ok(())
}

#[test]
fn images_of_another_grid_are_refused() {
    let problem = problem("image_size = 16\n");
    let store = Store::new(gpu());
    let (x, shape) = images(1, [32, 32]);
    let error = problem.simulate(&store, &x, shape, 1).expect_err("refused");
    assert!(matches!(error, Error::Data { .. }), "{error:?}");
    let message = error.to_string();
    assert!(
        message.contains("32 rows") && !message.contains("multiple"),
        "{message}"
    );
}

#[test]
fn one_image_is_overfitted() -> Result<()> {
    let problem = problem(
        "image_size = 24\nmask = { kind = \"cartesian\", lines = 8, centre = 4 }\n[noise]\nkind = \"gaussian\"\nsigma = 0.02\n[phase]\nradians = 0.5\n",
    );
    let operator = problem.operator.as_ref();
    let store = Store::new(gpu());
    let (x, shape) = images(1, [24, 24]);
    let data = Dataset::simulate(&problem, &store, &x, shape, 1)?;
    let psnr = |images: &[f32]| {
        let [truth, image] = [data.truth(), images].map(|i| metrics::magnitude(i, 2));
        metrics::psnr(&truth, &image)
    };
    let zero_filled = solvers::pseudo_inverse(operator, &store, data.measurements(), 1)?;
    for group in [Group::cyclic(1), Group::cyclic(4), Group::cyclic(3)] {
        let basis = match group.order() {
            3 => equilens::nn::BasisKind::Harmonic,
            _ => equilens::nn::BasisKind::Complete,
        };
        let model = ModelConfig::LearnedProximalGradient(LearnedProximalGradientConfig {
            group,
            basis,
            width: 12,
            blocks: 3,
            ..Default::default()
        });
        let recipe = Recipe {
            optimiser: OptimiserConfig::Adam(AdamConfig {
                learning_rate: 5e-3,
                ..Default::default()
            }),
            training: TrainingConfig {
                steps: 150,
                ..Default::default()
            },
            ..Default::default()
        };
        let spec = ModelSpec::measure(&model, operator, &store)?;
        assert_eq!(spec.channels, 2);
        assert!((spec.operator_norm - 1.0).abs() < 1e-5);
        let validation = Some(data.clone());
        let mut trainer = Trainer::new(gpu(), &spec, operator, &recipe, data.clone(), validation)?;
        for _ in 0..150 {
            trainer.step()?;
        }
        let network = Reconstructor::new(gpu(), operator, &spec, &trainer.parameters()?, 1)?;
        let image = network.reconstruct(data.measurements(), 1)?;
        let (before, after) = (psnr(&zero_filled)?, psnr(&image)?);
        println!("{group}: {before:.2} to {after:.2} dB");
        assert!(
            after > before + 6.0,
            "{group}: {before:.2} to {after:.2} dB"
        );
        let psnr = trainer.validate()?.and_then(|s| s.psnr).expect("a PSNR");
        assert!((psnr - after).abs() < 0.01, "magnitudes in validation too");
    }
    Ok(())
}

/// The scores without what depends on the clock.
fn scores(result: &Results) -> Vec<Value> {
    let mut scores = Vec::new();
    for point in &result.methods {
        let mut value = serde_json::to_value(point).expect("JSON");
        value["train_seconds"] = Value::Null;
        scores.push(value);
    }
    scores
}

#[test]
fn an_interrupted_experiment_goes_on() -> Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let options = |name: &str| Options {
        steps: None,
        scale: Scale::Smoke,
        out: directory.path().join(name),
        images: None,
        seed: 1,
    };
    let [stop, go] = [true, false].map(AtomicBool::new);
    let whole = training_size::run(gpu(), &options("whole"), &go, &mut |_| {})?;
    assert_eq!(whole.methods.len(), 2 + 2 * 3);
    assert_eq!(whole.tests, 10);
    let best = |images, name: &str| {
        let same = |p: &&Point| p.images == images && p.method.name == name;
        whole
            .methods
            .iter()
            .find(same)
            .expect(name)
            .method
            .upright
            .psnr
    };
    for name in ["ordinary", "equivariant", "equivariant-wide"] {
        assert!(best(Some(4), name) > best(None, "zero-filled"), "{name}");
    }
    let exists = |file: &str| directory.path().join("whole").join(file).is_file();
    for file in [
        "metrics.json",
        "report.html",
        "psnr-upright.svg",
        "ssim-rotated.svg",
        "sample-upright-5.png",
        "sample-rotated-2.png",
        "images/train.npy",
        "runs/ordinary-4-1/config.toml",
    ] {
        assert!(exists(file), "{file}");
    }

    // Stopped in the first training, then in none.
    let parts = options("parts");
    let error = training_size::run(gpu(), &parts, &stop, &mut |_| {}).expect_err("stopped");
    assert!(matches!(error, Error::Interrupted(_)), "{error:?}");
    assert!(error.to_string().contains("same command"), "{error}");
    let resumed = training_size::run(gpu(), &parts, &go, &mut |_| {})?;
    assert_eq!(scores(&resumed), scores(&whole));

    // What is trained is not trained again; another seed is another experiment.
    let mut trainings = 0;
    training_size::run(gpu(), &parts, &go, &mut |event| {
        trainings += usize::from(matches!(event, Event::Training { .. }));
    })?;
    assert_eq!(trainings, 0);
    std::fs::rename(
        parts.out.join("runs/ordinary-1-1"),
        parts.out.join("runs/ordinary-1-2"),
    )
    .expect("renamed");
    let other = Options { seed: 2, ..parts };
    let error = training_size::run(gpu(), &other, &go, &mut |_| {}).expect_err("refused");
    assert!(matches!(error, Error::Config(_)), "{error:?}");
    assert!(error.to_string().contains("--out"), "{error}");
    Ok(())
}
