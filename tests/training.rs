//! Training end to end on whatever adapter there is: a small network, small images.

use equilens::error::{Error, Result};
use equilens::gpu::{Gpu, Selection};
use equilens::group::Group;
use equilens::losses::{EquivariantImaging, MeasurementConsistency, Supervised, Term, Unsure};
use equilens::models::{LearnedProximalGradientConfig, ModelConfig, UNetConfig};
use equilens::nn::NormalisationKind;
use equilens::operators::{LinearOperator, Noise, RayTransform};
use equilens::problems::{ImageSize, OperatorConfig, ProblemConfig, RayTransformConfig};
use equilens::shape::RayGeometry;
use equilens::tape::plan::Store;
use equilens::tape::{Tape, plan};
use equilens::train::{
    AdamConfig, DataConfig, Dataset, ModelSpec, OptimiserConfig, Progress, Recipe, Reconstructor,
    Record, RunDir, RunOptions, Schedule, Setup, TrainConfig, Trainer, TrainingConfig, Which,
    prepare, run,
};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

const SIZE: usize = 16;

fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| Gpu::open(&Selection::default()).expect("an adapter"))
}

fn operator() -> RayTransform {
    RayTransform::new(RayGeometry::parallel([SIZE, SIZE], 0.36, 12, 23))
}

/// Discs of different places and brightness.
fn images(count: usize) -> Vec<f32> {
    let mut images = Vec::with_capacity(count * SIZE * SIZE);
    for k in 0..count {
        let (row, column) = (5.0 + (3 * k % 7) as f32, 5.0 + (5 * k % 6) as f32);
        for i in 0..SIZE * SIZE {
            let (r, c) = ((i / SIZE) as f32 - row, (i % SIZE) as f32 - column);
            let inside = r * r + c * c < 12.0;
            images.push(if inside {
                0.5 + 0.1 * (k % 4) as f32
            } else {
                0.05
            });
        }
    }
    images
}

fn dataset(operator: &dyn LinearOperator, count: usize) -> Result<Dataset> {
    let truth = images(count);
    let mut tape = Tape::new();
    let x = tape.input("x", operator.domain().with(0, count));
    let y = operator.forward(&mut tape, x)?;
    let plan = plan::Plan::compile(&tape, &[y], &Store::new(gpu()), plan::Options::default())?;
    plan.run(&[("x", &truth)])?;
    Dataset::new(truth, plan.read(y)?, operator.domain(), operator.range())
}

fn model(group: Group, recompute: bool) -> ModelConfig {
    ModelConfig::LearnedProximalGradient(LearnedProximalGradientConfig {
        group,
        width: 8,
        blocks: 2,
        recompute,
        ..Default::default()
    })
}

fn recipe(steps: u64, batch: usize) -> Recipe {
    Recipe {
        optimiser: OptimiserConfig::Adam(AdamConfig {
            learning_rate: 3e-3,
            ..Default::default()
        }),
        training: TrainingConfig {
            steps,
            batch,
            seed: 1,
            validate_every: 5,
            checkpoint_every: 5,
            log_every: 2,
            patience: None,
        },
        ..Default::default()
    }
}

fn adam(recipe: &mut Recipe) -> &mut AdamConfig {
    let OptimiserConfig::Adam(adam) = &mut recipe.optimiser;
    adam
}

fn trainer(config: &ModelConfig, recipe: &Recipe, images: usize) -> Result<Trainer> {
    let operator = operator();
    let spec = ModelSpec::measure(config, &operator, &Store::new(gpu()))?;
    let data = dataset(&operator, images)?;
    let validation = dataset(&operator, 2)?;
    Trainer::new(gpu(), &spec, &operator, recipe, data, Some(validation))
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// A config whose images lie in `directory`.
fn config(directory: &Path, recipe: &Recipe) -> TrainConfig {
    let train = directory.join("train.npy");
    equilens::data::npy::write_npy(&train, &[5, SIZE, SIZE], &images(5)).expect("written");
    TrainConfig {
        problem: ProblemConfig {
            operator: OperatorConfig::RayTransform(RayTransformConfig {
                image_size: ImageSize::Square(SIZE),
                views: Some(12),
                ..Default::default()
            }),
            noise: recipe.noise,
            ..Default::default()
        },
        data: DataConfig {
            train: Some(train.clone()),
            train_images: Some(3),
            validation: Some(train),
            ..DataConfig::default()
        },
        model: model(Group::cyclic(4), false),
        loss: recipe.loss.clone(),
        optimiser: recipe.optimiser.clone(),
        training: recipe.training.clone(),
    }
}

fn silent(_: &Progress) {}

#[test]
fn one_image_is_overfitted() -> Result<()> {
    for group in [Group::cyclic(1), Group::cyclic(4)] {
        let mut trainer = trainer(&model(group, false), &recipe(200, 1), 1)?;
        trainer.step()?;
        let first = trainer.loss()?;
        let before = trainer.validate()?.and_then(|s| s.psnr).expect("a PSNR");
        for _ in 0..150 {
            trainer.step()?;
        }
        let last = trainer.loss()?;
        assert!(last < 0.1 * first, "{group}: {first} to {last}");
        let after = trainer.validate()?.and_then(|s| s.psnr).expect("a PSNR");
        assert!(after > before, "{group}: {before} to {after} dB");
    }
    Ok(())
}

#[test]
fn a_resumed_run_has_the_same_bits() -> Result<()> {
    let mut recipe = recipe(20, 2);
    adam(&mut recipe).schedule = Schedule::Cosine;
    adam(&mut recipe).clip_norm = Some(0.01);
    resumes(&recipe)
}

/// Random transforms, noise and probes, and a number that the loss carries along.
#[test]
fn a_resumed_run_without_ground_truth_has_the_same_bits() -> Result<()> {
    let imaging = EquivariantImaging {
        noise: true,
        ..EquivariantImaging::default()
    };
    let recipe = Recipe {
        noise: Noise::Gaussian { sigma: 1e-3 },
        loss: vec![
            Term::Unsure(Unsure::default()),
            Term::EquivariantImaging(imaging),
        ],
        ..recipe(20, 2)
    };
    resumes(&recipe)
}

fn resumes(recipe: &Recipe) -> Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let config = config(directory.path(), recipe);

    let mut straight = RunDir::create(directory.path().join("straight"), &config)?;
    let mut trainer = prepare(gpu(), &config, Some(&straight))?;
    let options = RunOptions {
        directory: Some(&mut straight),
        interrupt: None,
    };
    let summary = run(&mut trainer, options, &mut silent)?;
    assert_eq!(summary.steps, 20);

    // The same with an interruption after step 10, an edit of the log as by a kill, and a new
    // process's state.
    let path = directory.path().join("resumed");
    let interrupt = AtomicBool::new(false);
    let mut stop = |progress: &Progress| interrupt.store(progress.step >= 10, Ordering::Relaxed);
    let mut resumed = RunDir::create(&path, &config)?;
    let mut trainer = prepare(gpu(), &config, Some(&resumed))?;
    let options = RunOptions {
        directory: Some(&mut resumed),
        interrupt: Some(&interrupt),
    };
    let error = run(&mut trainer, options, &mut stop).expect_err("interrupted");
    assert!(matches!(error, Error::Interrupted(_)), "{error}");
    assert_eq!(error.exit_code(), 130);
    let stopped = trainer.completed();
    assert!((10..20).contains(&stopped), "{stopped}");
    drop((trainer, resumed));
    let log = path.join("log.jsonl");
    let mut text = std::fs::read_to_string(&log).expect("a log");
    text.push_str("{\"step\":18,\"seconds\":1.0,\"loss\":9.0}\n{\"step\":19,\"sec");
    std::fs::write(&log, text).expect("written");

    let mut resumed = RunDir::open(&path)?;
    assert_eq!(resumed.config(), straight.config());
    let mut trainer = prepare(gpu(), &resumed.config().clone(), Some(&resumed))?;
    assert_eq!(trainer.completed(), stopped);
    let options = RunOptions {
        directory: Some(&mut resumed),
        interrupt: None,
    };
    run(&mut trainer, options, &mut silent)?;

    for which in [Which::Last, Which::Best] {
        let (a, b) = (straight.load(which)?, resumed.load(which)?);
        let told = |c: &equilens::train::Checkpoint| {
            let state = &c.state;
            (state.step, state.best, state.stale, bits(&state.loss))
        };
        assert_eq!(told(&a), told(&b));
        assert_eq!(bits(&a.parameters), bits(&b.parameters), "{which:?}");
        let moments =
            |c: &equilens::train::Checkpoint| c.moments.clone().expect("moments").map(|m| bits(&m));
        assert_eq!(moments(&a), moments(&b), "{which:?}");
    }
    let strip = |run: &RunDir| -> Result<Vec<Record>> {
        let mut records = run.records()?;
        records.iter_mut().for_each(|r| r.seconds = 0.0);
        Ok(records)
    };
    assert_eq!(strip(&straight)?, strip(&resumed)?);
    let seconds: Vec<f64> = resumed.records()?.iter().map(|r| r.seconds).collect();
    assert!(seconds.is_sorted(), "{seconds:?}");
    // What each part was computed on.
    let setups = resumed.setups()?;
    let starts: Vec<u64> = setups.iter().map(|s| s.from_step).collect();
    assert_eq!(starts, [0, stopped]);
    assert_eq!(setups[0].variants, setups[1].variants);
    assert!(
        setups[0]
            .variants
            .iter()
            .any(|v| v.operation.starts_with("symmetric conv forward"))
    );
    Ok(())
}

#[test]
fn recomputation_saves_memory_and_keeps_the_result() -> Result<()> {
    let mut losses = Vec::new();
    let mut bytes = Vec::new();
    for recompute in [false, true] {
        let ModelConfig::LearnedProximalGradient(mut config) = model(Group::cyclic(4), recompute)
        else {
            panic!("another model");
        };
        config.blocks = 6;
        let config = ModelConfig::LearnedProximalGradient(config);
        let mut trainer = trainer(&config, &recipe(10, 2), 3)?;
        bytes.push(trainer.memory().intermediate);
        let mut these = Vec::new();
        for _ in 0..5 {
            trainer.step()?;
            these.push(trainer.loss()?);
        }
        losses.push(these);
    }
    for (kept, recomputed) in losses[0].iter().zip(&losses[1]) {
        assert!((kept - recomputed).abs() <= 1e-6 * kept, "{losses:?}");
    }
    assert!(bytes[1] < bytes[0] * 2 / 3, "{bytes:?}");
    Ok(())
}

#[test]
fn divergence_stops_and_keeps_the_last_good_checkpoint() -> Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("run");
    let recipe = recipe(40, 1);
    let config = config(directory.path(), &recipe);
    let mut saved = RunDir::create(&path, &config)?;
    let mut trainer = prepare(gpu(), &config, None)?;
    saved.save(Which::Last, &trainer.checkpoint()?)?;
    let good = saved.load(Which::Last)?;
    let mut broken = good.clone();
    broken.parameters[3] = f32::NAN;
    trainer.restore(&broken)?;
    assert!(matches!(trainer.checkpoint(), Err(Error::NotFinite(_))));
    let options = RunOptions {
        directory: Some(&mut saved),
        interrupt: None,
    };
    let error = run(&mut trainer, options, &mut silent).expect_err("diverged");
    assert!(matches!(error, Error::NotFinite(_)), "{error}");
    let error = error.to_string();
    assert!(
        error.contains("step 2") && error.contains("learning_rate"),
        "{error}"
    );
    assert_eq!(saved.load(Which::Last)?, good);

    // A step size that blows up within a few steps, without a broken start.
    let mut wild = config.clone();
    let OptimiserConfig::Adam(adam) = &mut wild.optimiser;
    adam.learning_rate = 1e20;
    let mut trainer = prepare(gpu(), &wild, None)?;
    let error = run(&mut trainer, RunOptions::default(), &mut silent).expect_err("diverged");
    assert!(matches!(error, Error::NotFinite(_)), "{error}");
    Ok(())
}

#[test]
fn a_clipped_gradient_changes_the_step_only_where_it_is_long() -> Result<()> {
    // Adam's epsilon is made large, so that the step is proportional to the gradient.
    let after_one_step = |clip| -> Result<(Vec<f32>, Vec<f32>)> {
        let mut recipe = recipe(10, 1);
        *adam(&mut recipe) = AdamConfig {
            learning_rate: 1e3,
            epsilon: 1e6,
            clip_norm: clip,
            ..Default::default()
        };
        let mut trainer = trainer(&model(Group::cyclic(4), false), &recipe, 1)?;
        let before = trainer.parameters()?;
        trainer.step()?;
        let moments = trainer.checkpoint()?.moments.expect("moments");
        Ok((before, moments[0].iter().map(|m| m / 0.1).collect()))
    };
    let norm = |g: &[f32]| g.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let (start, free) = after_one_step(None)?;
    let length = norm(&free);
    let (same_start, long) = after_one_step(Some(2.0 * length))?;
    assert_eq!(bits(&start), bits(&same_start));
    assert_eq!(bits(&free), bits(&long));
    let (_, short) = after_one_step(Some(0.25 * length))?;
    assert!((norm(&short) / length - 0.25).abs() < 1e-5);
    for (a, b) in free.iter().zip(&short) {
        assert!((0.25 * a - b).abs() <= 1e-5 * length as f32);
    }
    Ok(())
}

#[test]
fn a_trained_run_reconstructs_as_the_trainer_does() -> Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let config = config(directory.path(), &recipe(6, 1));
    let mut saved = RunDir::create(directory.path().join("run"), &config)?;
    let mut trainer = prepare(gpu(), &config, Some(&saved))?;
    let mut seen = Vec::new();
    let options = RunOptions {
        directory: Some(&mut saved),
        interrupt: None,
    };
    run(&mut trainer, options, &mut |p: &Progress| {
        seen.push(p.clone())
    })?;
    assert_eq!(
        seen.last().map(|p| (p.step, p.steps, p.seconds_left)),
        Some((6, 6, 0.0))
    );

    let problem = equilens::problems::Problem::new(&config.problem)?;
    let operator = problem.operator.as_ref();
    let data = dataset(operator, 5)?;
    let opened = RunDir::open(saved.path())?;
    let all = Reconstructor::open(gpu(), &opened, Which::Last, operator, 5)?;
    let two = Reconstructor::open(gpu(), &opened, Which::Last, operator, 2)?;
    assert_eq!((all.batch(), two.batch()), (5, 2));
    let images = all.reconstruct(data.measurements(), 5)?;
    let again = two.reconstruct(data.measurements(), 5)?;
    assert_eq!([images.len(), again.len()], [5 * SIZE * SIZE; 2]);
    for (a, b) in images.iter().zip(&again) {
        assert!((a - b).abs() < 1e-6);
    }
    // The frozen network against the scores of the trained one.
    let scores = trainer.validate()?.expect("scores");
    let one = SIZE * SIZE;
    let psnr: f64 = (data.truth().chunks(one).zip(images.chunks(one)))
        .map(|(t, u)| equilens::metrics::psnr(t, u).expect("a score"))
        .sum();
    assert!(
        (psnr / 5.0 - scores.psnr.expect("a PSNR")).abs() < 1e-3,
        "{psnr} {scores:?}"
    );
    let squares = data.truth().iter().zip(&images);
    let squares: f64 = squares.map(|(t, u)| f64::from(t - u).powi(2)).sum();
    let loss = 0.5 * squares / images.len() as f64;
    assert!((loss / scores.loss - 1.0).abs() < 1e-4, "{loss} {scores:?}");

    let mut bad = data.measurements().to_vec();
    bad[7] = f32::NAN;
    assert!(matches!(all.reconstruct(&bad, 5), Err(Error::NotFinite(_))));
    assert!(matches!(all.reconstruct(&bad, 4), Err(Error::Shape { .. })));
    Ok(())
}

#[test]
fn run_directories_refuse_what_they_cannot_be() -> Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let config = config(directory.path(), &recipe(4, 1));
    let error = RunDir::create(directory.path(), &config).expect_err("not empty");
    assert!(
        matches!(&error, Error::Config(m) if m.contains("--resume")),
        "{error}"
    );
    let file = directory.path().join("train.npy");
    let error = RunDir::create(file.join("run"), &config).expect_err("no directory");
    assert!(matches!(error, Error::Io { .. }), "{error}");
    let error = RunDir::open(directory.path()).expect_err("no run");
    assert!(matches!(error, Error::Data { .. }), "{error}");

    let path = directory.path().join("run");
    let mut first = RunDir::create(&path, &config)?;
    let error = first.load(Which::Best).expect_err("no checkpoint");
    assert!(error.to_string().contains("no checkpoint yet"), "{error}");
    first.begin(&Setup::default())?;
    let error = RunDir::open(&path)?
        .begin(&Setup::default())
        .expect_err("locked");
    assert!(
        matches!(&error, Error::Config(m) if m.contains("another process")),
        "{error}"
    );
    first.log(&Record::default())?;
    assert_eq!(first.records()?.len(), 1);
    Ok(())
}

#[test]
fn settings_that_do_not_fit_are_typed_errors() -> Result<()> {
    let config = model(Group::cyclic(4), false);
    let refused = |recipe: &Recipe| match trainer(&config, recipe, 2) {
        Err(Error::Config(message)) => message,
        other => panic!("{:?}", other.map(|_| ())),
    };
    assert!(refused(&recipe(10, 3)).contains("only 2 training images"));
    assert!(refused(&recipe(0, 1)).contains("training.steps = 0"));

    let directory = tempfile::tempdir().expect("a directory");
    let base = crate::config(directory.path(), &recipe(4, 1));
    let trainer = prepare(gpu(), &base, None)?;
    let checkpoint = trainer.checkpoint()?;
    let mut other = base.clone();
    other.training.seed = 2;
    let error = prepare(gpu(), &other, None)?
        .restore(&checkpoint)
        .expect_err("seed");
    assert!(
        matches!(&error, Error::Config(m) if m.contains("seed was 1")),
        "{error}"
    );
    let mut other = base.clone();
    other.model = model(Group::cyclic(2), false);
    let error = prepare(gpu(), &other, None)?
        .restore(&checkpoint)
        .expect_err("group");
    assert!(
        matches!(&error, Error::Config(m) if m.contains("group was \"C4\"")),
        "{error}"
    );
    Ok(())
}

#[test]
fn too_little_memory_is_an_error_with_both_numbers() {
    let limited = Gpu::open(&Selection {
        memory_limit: Some(20_000),
        ..Selection::default()
    })
    .expect("an adapter");
    let operator = operator();
    let spec = ModelSpec::new(&model(Group::cyclic(4), false), &operator, 0.3);
    let data = dataset(&operator, 1).expect("data");
    let result = Trainer::new(&limited, &spec, &operator, &recipe(1, 1), data, None);
    let error = result.map(|_| ()).expect_err("refused");
    let Error::OutOfMemory {
        needed, available, ..
    } = &error
    else {
        panic!("{error}");
    };
    assert!(*needed > 20_000 && *available == 20_000);
    let message = error.to_string();
    assert!(
        message.contains("20000") && message.contains("recompute")
            || message.contains("recomputation")
    );
    assert_eq!(error.exit_code(), 5);
}

/// Equivariant imaging, with its partner.
fn unsupervised() -> Vec<Term> {
    vec![
        Term::MeasurementConsistency(MeasurementConsistency::default()),
        Term::EquivariantImaging(EquivariantImaging::default()),
    ]
}

#[test]
fn training_from_measurements_reads_no_ground_truth() -> Result<()> {
    let operator = operator();
    let spec = ModelSpec::measure(
        &model(Group::cyclic(4), false),
        &operator,
        &Store::new(gpu()),
    )?;
    let recipe = Recipe {
        loss: unsupervised(),
        ..recipe(6, 2)
    };
    let known = dataset(&operator, 4)?;
    let (domain, range) = (operator.domain(), operator.range());
    let unknown = Dataset::measured(known.measurements().to_vec(), domain, range)?;
    assert!(known.has_truth() && !unknown.has_truth());
    let mut results = Vec::new();
    for data in [known, unknown.clone()] {
        let validation = Some(data.clone());
        let mut trainer = Trainer::new(gpu(), &spec, &operator, &recipe, data, validation)?;
        let summary = run(&mut trainer, RunOptions::default(), &mut silent)?;
        assert!(trainer.selects_by_loss());
        let scores = summary.validation.expect("scores");
        assert!(summary.best.is_some_and(|best| best <= scores.loss));
        results.push((bits(&trainer.parameters()?), scores.loss, summary.best));
    }
    assert_eq!(results[0], results[1]);
    // Where ground truth is asked for, there must be some.
    let recipe = Recipe {
        loss: vec![Term::Supervised(Supervised::default())],
        ..recipe
    };
    let refused = Trainer::new(gpu(), &spec, &operator, &recipe, unknown, None);
    let error = refused.err().expect("no ground truth").to_string();
    assert!(error.contains("ground truth"), "{error}");
    Ok(())
}

#[test]
fn training_ends_early_when_validation_stands_still() -> Result<()> {
    let mut recipe = Recipe {
        loss: unsupervised(),
        ..recipe(100, 1)
    };
    recipe.training.validate_every = 1;
    recipe.training.patience = Some(3);
    // Steps this small change nothing that single precision can see.
    adam(&mut recipe).learning_rate = 1e-30;
    let directory = tempfile::tempdir().expect("a directory");
    let mut config = config(directory.path(), &recipe);
    config.loss = recipe.loss.clone();
    let mut kept = RunDir::create(directory.path().join("run"), &config)?;
    let mut trainer = prepare(gpu(), &config, Some(&kept))?;
    let options = RunOptions {
        directory: Some(&mut kept),
        interrupt: None,
    };
    let summary = run(&mut trainer, options, &mut silent)?;
    // The first validation is the best, and three more do not better it.
    assert_eq!(summary.steps, 4);
    assert_eq!(kept.load(Which::Last)?.state.step, 4);
    assert_eq!(kept.load(Which::Best)?.state.step, 1);
    // What has ended stays ended.
    let mut trainer = prepare(gpu(), &config, Some(&kept))?;
    let summary = run(&mut trainer, RunOptions::default(), &mut silent)?;
    assert_eq!(summary.steps, 4);
    Ok(())
}

#[test]
fn statistics_of_the_batch_are_refused_where_the_network_is_applied_twice() -> Result<()> {
    let operator = operator();
    let config = ModelConfig::UNet(UNetConfig {
        group: Group::cyclic(1),
        width: 4,
        levels: 1,
        normalisation: NormalisationKind::Batch,
        ..UNetConfig::default()
    });
    let spec = ModelSpec::new(&config, &operator, 1.0);
    let data = dataset(&operator, 2)?;
    let mut recipe = recipe(1, 2);
    Trainer::new(gpu(), &spec, &operator, &recipe, data.clone(), None)?;
    recipe.loss = unsupervised();
    let refused = Trainer::new(gpu(), &spec, &operator, &recipe, data, None);
    let error = refused.err().expect("two calls").to_string();
    assert!(error.contains("normalisation"), "{error}");
    Ok(())
}
