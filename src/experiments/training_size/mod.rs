//! How many training images it takes: ordinary and equivariant networks for MRI, trained on sets of
//! several sizes and tested on upright and on rotated images (Celledoni et al. 2021, section 5.4,
//! figures 9 and 10).
//!
//! Every network is a [training run](RunDir) of its own under `runs/`, so an interrupted experiment
//! goes on where it stopped, and `equilens evaluate` and `reconstruct` take each of them.

mod report;

pub use report::table;

use super::scores::Method;
use super::study::{Images, Orientation, Reconstructions, Slices, Study};
use super::{Event, Scale};
use crate::data::{Stream, npy};
use crate::error::{Error, Result};
use crate::files;
use crate::gpu::Gpu;
use crate::group::Group;
use crate::models::{LearnedProximalGradientConfig, ModelConfig, Start};
use crate::nn::BasisKind;
use crate::problems::{
    FourierConfig, ImageSize, NoiseConfig, OperatorConfig, Problem, ProblemConfig,
};
use crate::train::{
    self, AdamConfig, DataConfig, Dataset, OptimiserConfig, Progress, Reconstructor, RunDir,
    RunOptions, Schedule, TrainConfig, TrainingConfig, Which, dataset::load_images,
};
use num_complex::Complex32;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// What the experiment does.
#[derive(Clone, PartialEq, Debug)]
pub struct TrainingSizeOptions {
    /// How much.
    pub scale: Scale,
    /// Where runs, plots, pictures, `metrics.json` and `report.html` go.
    pub out: PathBuf,
    /// Training and test images, `.npy` files `[N, rows, columns]`, instead of those that the
    /// program carries.
    pub images: Option<[PathBuf; 2]>,
    /// Seed of everything random.
    pub seed: u64,
}

/// One network, or one classical method, on one training set.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Point {
    /// Training images; none for a classical method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<usize>,
    /// The training's seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The scores.
    #[serde(flatten)]
    pub method: Method,
}

/// The results, as `metrics.json` holds them.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TrainingSizeResult {
    /// `mri-training-size`.
    pub experiment: &'static str,
    /// How much was done.
    pub scale: Scale,
    /// What was reconstructed from what.
    pub problem: String,
    /// The adapter that computed it.
    pub adapter: String,
    /// The first seed.
    pub seed: u64,
    /// Test images in each orientation.
    pub tests: usize,
    /// Every network and classical method.
    pub methods: Vec<Point>,
}

/// What a [`Scale`] stands for.
struct Settings {
    size: usize,
    /// Training images; sizes beyond what there is are left out.
    images: &'static [usize],
    seeds: u64,
    networks: Vec<Network>,
    model: LearnedProximalGradientConfig,
    steps: u64,
    adam: AdamConfig,
}

/// What is compared.
#[derive(Clone, Copy)]
struct Network {
    name: &'static str,
    group: Group,
    width: usize,
}

const SIGMA: f64 = 0.03;
/// White, and the error in full colour.
const WINDOW: [f32; 2] = [0.8, 0.15];

impl Settings {
    fn of(scale: Scale) -> Self {
        let (c1, c4) = (Group::cyclic(1), Group::cyclic(4));
        // Short trainings get farther from the zero-filled image, block by block added to.
        let short = |blocks| LearnedProximalGradientConfig {
            blocks,
            start: Start::PseudoInverse,
            residual: true,
            ..LearnedProximalGradientConfig::default()
        };
        let network = |name, group, width| Network { name, group, width };
        let networks = |width| {
            vec![
                network("ordinary", c1, width),
                network("equivariant", c4, 2 * width),
                network("equivariant-wide", c4, width),
            ]
        };
        let adam = AdamConfig {
            learning_rate: 5e-3,
            schedule: Schedule::Cosine,
            ..AdamConfig::default()
        };
        match scale {
            Scale::Smoke => Settings {
                size: 32,
                images: &[1, 4],
                seeds: 1,
                networks: networks(4),
                model: short(2),
                steps: 40,
                adam,
            },
            Scale::Small => Settings {
                size: 64,
                images: &[1, 3, 8, 24],
                seeds: 2,
                networks: networks(16),
                model: short(4),
                steps: 500,
                adam,
            },
            // One width, the published kernels and settings.
            Scale::Paper => Settings {
                size: 320,
                images: &[10, 50, 100, 500, 1000, 5000],
                seeds: 1,
                networks: vec![
                    network("ordinary", c1, 96),
                    network("equivariant-wide", c4, 96),
                ],
                model: LearnedProximalGradientConfig {
                    basis: BasisKind::Harmonic,
                    ..LearnedProximalGradientConfig::default()
                },
                steps: 100_000,
                adam: AdamConfig::default(),
            },
        }
    }

    fn problem(&self) -> ProblemConfig {
        ProblemConfig {
            operator: OperatorConfig::Fourier(FourierConfig {
                image_size: ImageSize::Square(self.size),
                ..FourierConfig::default()
            }),
            noise: NoiseConfig::Gaussian { sigma: SIGMA },
            phase: None,
        }
    }

    /// The run of one network.
    fn config(&self, job: &Job, train: &Path) -> TrainConfig {
        let Network { group, width, .. } = job.network;
        // The complete basis of the trivial group is the only one that ordinary networks have.
        let basis = match group.order() {
            1 => BasisKind::Complete,
            _ => self.model.basis,
        };
        TrainConfig {
            problem: self.problem(),
            data: DataConfig {
                train: train.to_path_buf(),
                train_images: Some(job.images),
                ..DataConfig::default()
            },
            model: ModelConfig::LearnedProximalGradient(LearnedProximalGradientConfig {
                group,
                width,
                basis,
                ..self.model.clone()
            }),
            loss: Default::default(),
            optimiser: OptimiserConfig::Adam(self.adam.clone()),
            training: TrainingConfig {
                steps: self.steps,
                seed: job.seed,
                checkpoint_every: (self.steps / 10).max(1),
                ..TrainingConfig::default()
            },
        }
    }
}

/// Runs the experiment and writes its files; in a directory where it was interrupted, it goes on.
///
/// # Errors
/// [`Error::Io`] if the directory cannot be written, before any work is done; [`Error::Data`] about
/// images that do not fit; [`Error::Config`] if the directory holds another experiment;
/// [`Error::Interrupted`]; those of simulating and training.
pub fn run(
    gpu: &Gpu,
    options: &TrainingSizeOptions,
    interrupt: &AtomicBool,
    observer: &mut dyn FnMut(Event),
) -> Result<TrainingSizeResult> {
    let settings = Settings::of(options.scale);
    let slices = slices(gpu, options, &settings)?;
    let available = slices.training.shape.n();
    let sizes: Vec<usize> = (settings.images.iter().copied())
        .filter(|&n| n <= available)
        .collect();
    if sizes.is_empty() {
        return Err(Error::Config(format!(
            "the experiment's smallest training set has {} images and there are {available}: give more with --train and --test",
            settings.images[0]
        )));
    }
    let problem = Problem::new(&settings.problem())?;
    observer(Event::Line(format!(
        "On {}: MRI of {size} x {size} pixels, {} training images at most, {} test images, upright and turned.",
        gpu.label(),
        sizes[sizes.len() - 1],
        slices.upright.shape.n(),
        size = settings.size,
    )));
    files::create_directory(&options.out)?;
    let train = write_images(&options.out, &slices)?;
    let study = Study::new(gpu, problem, &slices, options.seed)?;
    let mut experiment = Experiment {
        options,
        settings,
        study,
        observer,
        interrupt,
        points: Vec::new(),
        pictured: Vec::new(),
    };
    experiment.classical(&slices.training)?;
    let middle = sizes[sizes.len() / 2];
    let mut jobs = Vec::new();
    for &images in &sizes {
        for k in 0..experiment.settings.seeds {
            for &network in &experiment.settings.networks {
                jobs.push(Job {
                    network,
                    images,
                    seed: options.seed.wrapping_add(k),
                    pictured: images == middle && k == 0,
                });
            }
        }
    }
    for (i, job) in jobs.iter().enumerate() {
        let place = format!("{} of {}", i + 1, jobs.len());
        experiment.network(job, &train, &place)?;
    }
    experiment.finish(&sizes, middle)
}

/// One training.
struct Job {
    network: Network,
    images: usize,
    seed: u64,
    /// Its reconstructions are shown.
    pictured: bool,
}

/// The slices of the scale's size, in an order of which every beginning is a fair sample.
fn slices(gpu: &Gpu, options: &TrainingSizeOptions, settings: &Settings) -> Result<Slices> {
    let mut angles = Stream::new(options.seed, "rotation");
    let mut slices = match &options.images {
        None => Slices::mri(gpu, settings.size, &mut angles)?,
        Some(paths) => {
            let read = |path: &PathBuf| -> Result<Images> {
                let (values, shape) = load_images(path, 2, None)?;
                if [shape.h(), shape.w()] == [settings.size; 2] {
                    return Ok(Images { values, shape });
                }
                Err(Error::data(
                    path,
                    format!(
                        "its images are {}x{} and this scale's are {size}x{size}; crop, pad or average them to that size",
                        shape.h(),
                        shape.w(),
                        size = settings.size
                    ),
                ))
            };
            let [training, upright] = [read(&paths[0])?, read(&paths[1])?];
            Slices::new(gpu, training, upright, &mut angles)?
        }
    };
    let one = slices.training.shape.with(0, 1).elements();
    let mut order: Vec<usize> = (0..slices.training.shape.n()).collect();
    Stream::new(options.seed, "training images").shuffle(&mut order);
    slices.training.values = (order.into_iter())
        .flat_map(|i| slices.training.values[i * one..(i + 1) * one].to_vec())
        .collect();
    Ok(slices)
}

/// Writes the images as arrays, complex64, and returns the path of those to train on.
fn write_images(out: &Path, slices: &Slices) -> Result<PathBuf> {
    let directory = out.join("images");
    files::create_directory(&directory)?;
    for (name, images) in [
        ("train.npy", &slices.training),
        ("test-upright.npy", &slices.upright),
        ("test-rotated.npy", &slices.rotated),
    ] {
        let Images { values, shape } = images;
        let plane = shape.h() * shape.w();
        let complex: Vec<Complex32> = (values.chunks_exact(2 * plane))
            .flat_map(|item| (0..plane).map(|i| Complex32::new(item[i], item[plane + i])))
            .collect();
        let extents = [shape.n(), shape.h(), shape.w()];
        npy::write_npy(directory.join(name), &extents, &complex)?;
    }
    Ok(directory.join("train.npy"))
}

struct Experiment<'a> {
    options: &'a TrainingSizeOptions,
    settings: Settings,
    study: Study<'a>,
    observer: &'a mut dyn FnMut(Event),
    interrupt: &'a AtomicBool,
    points: Vec<Point>,
    pictured: Vec<(String, Reconstructions)>,
}

impl Experiment<'_> {
    /// Scores reconstructions, completes `point` by them, and tells about it.
    fn add(&mut self, mut point: Point, images: &Reconstructions) -> Result<()> {
        let method = &mut point.method;
        method.upright = self.study.scores(images, Orientation::Upright)?;
        let rotated = self.study.scores(images, Orientation::Rotated)?;
        let of = (point.images).map_or(String::new(), |n| format!(", N = {n}"));
        (self.observer)(Event::Line(format!(
            "{}{of}: PSNR {:.2} dB upright, {:.2} dB rotated ({:.0} s)",
            method.name, method.upright.psnr, rotated.psnr, method.train_seconds
        )));
        method.rotated = Some(rotated);
        self.points.push(point);
        Ok(())
    }

    /// Zero filling, and TV tuned on the training images.
    fn classical(&mut self, training: &Images) -> Result<()> {
        let study = &self.study;
        let few = training.shape.with(0, training.shape.n().min(8));
        let training = Dataset::simulate(
            &study.problem,
            &study.store,
            &training.values[..few.elements()],
            few,
            self.options.seed,
        )?;
        let zero_filled = study.direct(&training)?;
        let started = Instant::now();
        let tv = study.total_variation(&training)?;
        let seconds = started.elapsed().as_secs_f64();
        for (name, images, train_seconds) in
            [("zero-filled", zero_filled, 0.0), ("tv", tv, seconds)]
        {
            let method = Method {
                train_seconds,
                ..Method::unscored(name)
            };
            let point = Point {
                images: None,
                seed: None,
                method,
            };
            self.add(point, &images)?;
            self.pictured.push((name.to_string(), images));
        }
        Ok(())
    }

    /// Trains one network, or goes on with its training, and tests it. `place` is the job's among
    /// all.
    fn network(&mut self, job: &Job, train: &Path, place: &str) -> Result<()> {
        let Network { name, group, .. } = job.network;
        let config = self.settings.config(job, train);
        let directory = format!("runs/{name}-{}-{}", job.images, job.seed);
        let path = self.options.out.join(directory);
        let label = format!("{name}, N = {}, {place}", job.images);
        let observer = &mut *self.observer;
        let (gpu, interrupt) = (self.study.gpu, self.interrupt);
        let run = trained(gpu, &path, &config, interrupt, &mut |p| {
            observer(Event::training(&label, p));
        })?;
        let (operator, tests) = (self.study.problem.operator.as_ref(), self.study.tests());
        let network = Reconstructor::open(gpu, &run, Which::Last, operator, tests)?;
        let images = self.study.network(&network)?;
        let method = Method {
            group: Some(group),
            parameters: network.parameters(),
            train_seconds: run.describe(Which::Last)?.1.seconds,
            ..Method::unscored(name)
        };
        let point = Point {
            images: Some(job.images),
            seed: Some(job.seed),
            method,
        };
        self.add(point, &images)?;
        if job.pictured {
            self.pictured.push((name.to_string(), images));
        }
        Ok(())
    }
}

/// The finished run of `config` in `path`, trained from where it stands.
fn trained(
    gpu: &Gpu,
    path: &Path,
    config: &TrainConfig,
    interrupt: &AtomicBool,
    observer: &mut dyn FnMut(&Progress),
) -> Result<RunDir> {
    let begun = path.join("config.toml").exists();
    let mut run = match begun {
        true => RunDir::open(path)?,
        false => RunDir::create(path, config)?,
    };
    if begun && *run.config() != config.resolved(Path::new(""))? {
        return Err(Error::Config(format!(
            "{} holds a run of another experiment (another scale, seed or version): give another --out",
            path.display()
        )));
    }
    if run.has_checkpoint()? && run.describe(Which::Last)?.1.step == config.training.steps {
        return Ok(run);
    }
    let mut trainer = train::prepare(gpu, run.config(), begun.then_some(&run))?;
    let options = RunOptions {
        directory: Some(&mut run),
        interrupt: Some(interrupt),
    };
    let mut watch = |p: &Progress| observer(p);
    match train::run(&mut trainer, options, &mut watch) {
        Ok(_) => Ok(run),
        Err(Error::Interrupted(_)) => Err(Error::Interrupted(format!(
            "the training in {} stopped after step {} of {} and is saved: the same command again goes on from there",
            path.display(),
            trainer.completed(),
            config.training.steps
        ))),
        Err(other) => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::ModelSpec;

    fn parameters(settings: &Settings) -> Vec<usize> {
        let count = |&network: &Network| {
            let job = Job {
                network,
                images: 50,
                seed: 0,
                pictured: false,
            };
            let config = settings.config(&job, Path::new("train.npy"));
            assert_eq!(
                (config.training.batch, config.training.steps),
                (1, settings.steps)
            );
            let spec = ModelSpec {
                config: config.model,
                channels: 2,
                measurement_channels: 2,
                closed_views: false,
                operator_norm: 1.0,
            };
            spec.build().expect("valid").parameters().count()
        };
        settings.networks.iter().map(count).collect()
    }

    #[test]
    fn the_papers_scale_is_the_papers() {
        let paper = Settings::of(Scale::Paper);
        assert_eq!(parameters(&paper), [775_736, 129_464]);
        assert_eq!((paper.size, paper.steps), (320, 100_000));
        assert_eq!(paper.adam, AdamConfig::default());
        assert_eq!((paper.model.blocks, paper.model.start), (8, Start::Zero));
        assert!(!paper.model.residual);
    }

    #[test]
    fn networks_are_of_one_size_or_of_one_width() {
        let settings = Settings::of(Scale::Small);
        let [ordinary, equivariant, wide] = parameters(&settings)[..] else {
            panic!("three networks");
        };
        let ratio = equivariant as f64 / ordinary as f64;
        assert!((0.7..1.0).contains(&ratio), "{ratio}");
        assert!(3 * wide < ordinary);
        assert_eq!(settings.networks[0].width, settings.networks[2].width);
    }
}
