//! Many trainings in a row, each a [run](RunDir) of its own under `runs/`: an interrupted experiment
//! goes on where it stopped, and `equilens evaluate` and `reconstruct` take each of the networks.

use super::inputs::file_name;
use super::results::{Point, Results};
use super::scores::Method;
use super::study::{Images, Orientation, Reconstructions, Slices, Study};
use super::{Event, Options};
use crate::error::{Error, Result};
use crate::files;
use crate::gpu::Gpu;
use crate::problems::{OperatorConfig, Problem};
use crate::report::{Page, Svg};
use crate::train::{
    self, Dataset, Progress, Reconstructor, RunDir, RunOptions, TrainConfig, Which,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// One training.
pub(super) struct Job {
    /// Of the run, below `runs/`.
    pub directory: String,
    /// As in [`Method::name`].
    pub name: &'static str,
    pub config: TrainConfig,
    /// Its reconstructions are shown.
    pub pictured: bool,
}

/// Trainings and classical methods on one study, and what they have scored so far.
pub(super) struct Trials<'a> {
    pub options: &'a Options,
    pub study: Study<'a>,
    pub points: Vec<Point>,
    pictured: Vec<(String, Reconstructions)>,
    interrupt: &'a AtomicBool,
    observer: &'a mut dyn FnMut(Event),
}

impl<'a> Trials<'a> {
    /// Tells what is done (`described`), makes the directory, writes the images, measures the test
    /// images; with the path of the training images.
    pub fn begin(
        gpu: &'a Gpu,
        options: &'a Options,
        problem: Problem,
        slices: &Slices,
        described: &str,
        interrupt: &'a AtomicBool,
        observer: &'a mut dyn FnMut(Event),
    ) -> Result<(Self, PathBuf)> {
        observer(Event::Line(format!(
            "On {}: {described}; {} training images, {} test images of another patient, upright and turned.",
            gpu.label(),
            slices.training.shape.n(),
            slices.upright.shape.n()
        )));
        files::create_directory(&options.out)?;
        let train = slices.write(&options.out)?;
        // Other noise than that of any training.
        let study = Study::new(gpu, problem, slices, options.seed.wrapping_add(1 << 32))?;
        Ok((Trials::new(options, study, interrupt, observer), train))
    }

    /// On a study that is made.
    pub fn new(
        options: &'a Options,
        study: Study<'a>,
        interrupt: &'a AtomicBool,
        observer: &'a mut dyn FnMut(Event),
    ) -> Self {
        Trials {
            options,
            study,
            points: Vec::new(),
            pictured: Vec::new(),
            interrupt,
            observer,
        }
    }

    /// Scores reconstructions, completes `point` by them, and tells about it.
    fn add(&mut self, mut point: Point, images: Reconstructions, pictured: bool) -> Result<()> {
        let method = &mut point.method;
        method.upright = self.study.scores(&images, Orientation::Upright)?;
        let rotated = self.study.scores(&images, Orientation::Rotated)?;
        let of = (point.images).map_or(String::new(), |n| format!(", N = {n}"));
        (self.observer)(Event::Line(format!(
            "{}{of}: PSNR {:.2} dB {}, {:.2} dB {} ({:.0} s)",
            method.label(),
            method.upright.psnr,
            self.study.name(Orientation::Upright),
            rotated.psnr,
            self.study.name(Orientation::Rotated),
            method.train_seconds
        )));
        method.rotated = Some(rotated);
        if pictured {
            self.pictured.push((method.label(), images));
        }
        self.points.push(point);
        Ok(())
    }

    /// What the measurement alone tells: the operator's cheap pseudo-inverse, and least squares.
    pub fn untrained(&mut self) -> Result<()> {
        self.pseudo_inverse()?;
        // Where everything is measured as it is, nothing is left to solve.
        match self.study.problem.config.operator {
            OperatorConfig::Identity(_) => Ok(()),
            _ => self.add(
                untrained("least-squares"),
                self.study.least_squares()?,
                true,
            ),
        }
    }

    /// The operator's cheap pseudo-inverse.
    pub fn pseudo_inverse(&mut self) -> Result<()> {
        let name = self.study.problem.operator.pseudo_inverse_name();
        self.add(untrained(name), self.study.pseudo_inverse()?, true)
    }

    /// The pseudo-inverse, and TV tuned on (up to eight of) the training images.
    pub fn classical(&mut self, training: &Images) -> Result<()> {
        let study = &self.study;
        let Images { values, shape } = training.first(training.shape.n().min(8));
        let (problem, seed) = (&study.problem, self.options.seed);
        let training = Dataset::simulate(problem, &study.store, &values, shape, seed)?;
        let direct = study.direct(&training)?;
        let name = study.problem.operator.pseudo_inverse_name();
        let started = Instant::now();
        let tv = study.total_variation(&training)?;
        let seconds = started.elapsed().as_secs_f64();
        for (name, images, train_seconds) in [(name, direct, 0.0), ("tv", tv, seconds)] {
            let mut point = untrained(name);
            point.method.train_seconds = train_seconds;
            self.add(point, images, true)?;
        }
        Ok(())
    }

    /// Trains every network, or goes on with its training, and tests it.
    pub fn train(&mut self, jobs: &[Job]) -> Result<()> {
        for (i, job) in jobs.iter().enumerate() {
            let place = format!("{} of {}", i + 1, jobs.len());
            self.network(job, &place)?;
        }
        Ok(())
    }

    fn network(&mut self, job: &Job, place: &str) -> Result<()> {
        let path = self.path(job);
        let label = format!("{}, {place}", job.directory);
        let observer = &mut *self.observer;
        let (gpu, interrupt) = (self.study.gpu, self.interrupt);
        let run = trained(gpu, &path, &job.config, interrupt, &mut |p| {
            observer(Event::training(&label, p));
        })?;
        let network = self.open(&run)?;
        let images = self.study.network(&network)?;
        let method = Method {
            group: Some(job.config.model.group()),
            parameters: network.parameters(),
            train_seconds: run.describe(Which::Last)?.1.seconds,
            ..Method::unscored(job.name)
        };
        let point = Point {
            images: job.config.data.train_images,
            seed: Some(job.config.training.seed),
            method,
        };
        self.add(point, images, job.pictured)
    }

    /// The trained network of a job.
    pub fn trained(&self, job: &Job) -> Result<Reconstructor> {
        self.open(&RunDir::open(self.path(job))?)
    }

    fn open(&self, run: &RunDir) -> Result<Reconstructor> {
        let (operator, tests) = (self.study.problem.operator.as_ref(), self.study.tests());
        Reconstructor::open(self.study.gpu, run, Which::Last, operator, tests)
    }

    fn path(&self, job: &Job) -> PathBuf {
        self.options.out.join("runs").join(&job.directory)
    }

    /// What was found, named and described.
    pub fn results(&self, experiment: &'static str, problem: String) -> Results {
        Results {
            experiment,
            scale: self.options.scale,
            problem,
            adapter: self.study.gpu.label(),
            seed: self.options.seed,
            tests: self.study.tests(),
            methods: self.points.clone(),
        }
    }

    /// Writes a plot as `NAME.svg` and shows it on the page.
    pub fn plot(&self, page: &mut Page, name: &str, plot: &Svg, caption: &str) -> Result<()> {
        let path = self.options.out.join(format!("{name}.svg"));
        files::write_bytes(path, plot.to_string().as_bytes())?;
        page.plot(plot, caption);
        Ok(())
    }

    /// Writes the reconstructions of a test image as `sample-ORIENTATION-INDEX.png` and shows them
    /// on the page; `window` as for [`Study::picture`].
    pub fn sample(
        &self,
        page: &mut Page,
        orientation: Orientation,
        index: usize,
        window: [f32; 2],
        caption: &str,
    ) -> Result<()> {
        let shown: Vec<(String, &Reconstructions)> = (self.pictured.iter())
            .map(|(name, images)| (name.clone(), images))
            .collect();
        let png = self.study.picture(orientation, index, &shown, window)?;
        let name = format!(
            "sample-{}-{index}.png",
            file_name(self.study.name(orientation))
        );
        files::write_bytes(self.options.out.join(name), &png)?;
        page.picture(
            &png,
            &format!(
                "{caption}; below, the error of each (blue too low, red too high, full colour at {}).",
                window[1]
            ),
        );
        Ok(())
    }
}

/// A method without a network, not scored yet.
fn untrained(name: &str) -> Point {
    Point {
        images: None,
        seed: None,
        method: Method::unscored(name),
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
            "{} holds a run of another experiment (another scale, number of steps, seed or version): give another --out",
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
