//! The main job in a few minutes: low-dose CT of real images, reconstructed by FBP, TV, an
//! ordinary and two equivariant learned proximal gradient networks; tested upright and rotated.

use super::scores::{Method, Summary, picture};
use crate::data::assets;
use crate::data::image::Image;
use crate::data::random::Stream;
use crate::error::{Error, Result};
use crate::files;
use crate::gpu::Gpu;
use crate::group::Group;
use crate::models::{LearnedProximalGradientConfig, Start};
use crate::operators::{Filter, RayTransform};
use crate::problems::{
    ImageSize, NoiseConfig, OperatorConfig, Problem, ProblemConfig, RayTransformConfig,
};
use crate::report::plot::{Axes, Curve, line_plot};
use crate::report::{Page, Svg};
use crate::shape::Shape;
use crate::solvers::{Fbp, Tv};
use crate::tape::plan::Store;
use crate::train::{
    AdamConfig, Dataset, ModelConfig, ModelSpec, OptimiserConfig, Recipe, Reconstructor,
    RunOptions, Schedule, Trainer, TrainingConfig,
};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// What the demo does.
#[derive(Clone, PartialEq, Debug)]
pub struct DemoOptions {
    /// Where pictures, `metrics.json` and `report.html` go.
    pub out: PathBuf,
    /// Training slices, 1 to 24, all of one patient.
    pub slices: usize,
    /// Rows and columns of the reconstructions: 64, 128 or 256.
    pub size: usize,
    /// Steps of each training.
    pub steps: u64,
    /// Width of the ordinary network; the equivariant ones have the same width, or twice it for
    /// about equal parameters. A multiple of 4.
    pub width: usize,
    /// Unrolled iterations.
    pub blocks: usize,
    /// Seed of everything random.
    pub seed: u64,
}

impl Default for DemoOptions {
    fn default() -> Self {
        DemoOptions {
            out: PathBuf::from("equilens-demo"),
            slices: 10,
            size: 64,
            steps: 500,
            width: 16,
            blocks: 4,
            seed: 1,
        }
    }
}

/// What the demo tells while it runs.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A finished piece of work, in a sentence.
    Line(String),
    /// The state of a training.
    Training {
        /// The network's name.
        name: String,
        /// Steps done.
        step: u64,
        /// Steps in all.
        steps: u64,
        /// The last loss that was read.
        loss: f64,
        /// Seconds that remain for this network.
        seconds_left: f64,
    },
}

/// The results, as `metrics.json` holds them.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct DemoResult {
    /// What was reconstructed from what.
    pub problem: String,
    /// The adapter that computed it.
    pub adapter: String,
    /// The seed of everything random.
    pub seed: u64,
    /// Training slices.
    pub slices: usize,
    /// One row for each method.
    pub methods: Vec<Method>,
}

const VIEWS: usize = 50;
const PHOTONS: f64 = 1e4;
const FIELD_OF_VIEW: f64 = 0.36;
const LEARNING_RATE: f64 = 5e-3;

/// Test images and their measurements, in one orientation.
struct TestSet {
    truth: Vec<f32>,
    measurements: Vec<f32>,
}

/// A method's reconstructions of both test sets.
struct Reconstructions {
    upright: Vec<f32>,
    rotated: Vec<f32>,
}

struct Demo<'a> {
    gpu: &'a Gpu,
    options: &'a DemoOptions,
    problem: Problem,
    ray: RayTransform,
    store: Store,
    training: Dataset,
    upright: TestSet,
    rotated: TestSet,
    observer: &'a mut dyn FnMut(Event),
    interrupt: &'a AtomicBool,
    methods: Vec<Method>,
    pictures: Vec<(String, Reconstructions)>,
    curves: Vec<Curve>,
}

/// Runs the demo and writes its files.
///
/// # Errors
/// [`Error::Config`] if an option is out of range; [`Error::Io`] if the folder cannot be written,
/// before any work is done; [`Error::Interrupted`]; those of simulating and training.
pub fn run(
    gpu: &Gpu,
    options: &DemoOptions,
    interrupt: &AtomicBool,
    observer: &mut dyn FnMut(Event),
) -> Result<DemoResult> {
    options.validate()?;
    files::create_directory(&options.out)?;
    let mut demo = Demo::prepare(gpu, options, interrupt, observer)?;
    demo.filtered_back_projection()?;
    demo.total_variation()?;
    for (name, group, width) in [
        ("ordinary", Group::cyclic(1), options.width),
        ("equivariant", Group::cyclic(4), 2 * options.width),
        ("equivariant-wide", Group::cyclic(4), options.width),
    ] {
        demo.train(name, group, width)?;
    }
    demo.finish()
}

impl DemoOptions {
    fn validate(&self) -> Result<()> {
        let bad = |what: String| Err(Error::Config(what));
        if !(1..=24).contains(&self.slices) {
            return bad(format!("--slices {}: between 1 and 24", self.slices));
        }
        if ![64, 128, 256].contains(&self.size) {
            return bad(format!("--size {}: 64, 128 or 256", self.size));
        }
        if !(1..=1_000_000).contains(&self.steps) {
            return bad(format!("--steps {}: between 1 and 1000000", self.steps));
        }
        if self.width == 0 || !self.width.is_multiple_of(4) || self.width > 256 {
            return bad(format!("--width {}: a multiple of 4 up to 256", self.width));
        }
        if !(1..=32).contains(&self.blocks) {
            return bad(format!("--blocks {}: between 1 and 32", self.blocks));
        }
        Ok(())
    }
}

fn flat(images: &[Image]) -> Vec<f32> {
    images
        .iter()
        .flat_map(|i| i.pixels.iter().copied())
        .collect()
}

/// `count` of `images`, evenly spread.
fn spread(images: Vec<Image>, count: usize) -> Vec<Image> {
    let total = images.len();
    (0..count)
        .map(|k| images[(2 * k + 1) * total / (2 * count)].clone())
        .collect()
}

impl<'a> Demo<'a> {
    fn prepare(
        gpu: &'a Gpu,
        options: &'a DemoOptions,
        interrupt: &'a AtomicBool,
        observer: &'a mut dyn FnMut(Event),
    ) -> Result<Self> {
        let geometry = RayTransformConfig {
            image_size: ImageSize::Square(options.size),
            views: Some(VIEWS),
            field_of_view: FIELD_OF_VIEW,
            ..RayTransformConfig::default()
        };
        let ray = RayTransform::new(geometry.geometry(1)?);
        let problem = Problem::new(&ProblemConfig {
            operator: OperatorConfig::RayTransform(geometry),
            noise: NoiseConfig::LowDoseCt {
                photons: PHOTONS,
                attenuation: 81.35858,
                eta: 1e-8,
            },
        })?;
        let store = Store::new(gpu);
        let training_images = spread(assets::ct_train(), options.slices);
        let test_images = assets::ct_test();
        let mut angles = Stream::new(options.seed, "demo rotation");
        let turned: Vec<Image> = test_images
            .iter()
            .map(|i| i.rotated(angles.between(0.0, std::f64::consts::TAU)))
            .collect();
        let [rows, columns] = test_images[0].size();
        let shape = |images: &[Image]| Shape::new(images.len(), 1, rows, columns);
        observer(Event::Line(format!(
            "Low-dose CT on {}: {VIEWS} views, {PHOTONS} photons a ray, simulated at {rows} x {columns}, reconstructed at {size} x {size}.",
            gpu.label(),
            size = options.size
        )));
        observer(Event::Line(format!(
            "{} training slices of one patient, {} test slices of another, upright and turned by random angles.",
            training_images.len(),
            test_images.len()
        )));
        let seed = options.seed;
        let training = Dataset::simulate(
            &problem,
            &store,
            &flat(&training_images),
            shape(&training_images),
            seed,
        )?;
        let test = |images: &[Image], seed: u64| -> Result<TestSet> {
            let (images, shape) = (flat(images), shape(images));
            Ok(TestSet {
                truth: problem.ground_truth(&images, shape)?,
                measurements: problem.simulate(&store, &images, shape, seed)?,
            })
        };
        let upright = test(&test_images, seed.wrapping_add(1))?;
        let rotated = test(&turned, seed.wrapping_add(2))?;
        Ok(Demo {
            gpu,
            options,
            ray,
            store,
            training,
            upright,
            rotated,
            observer,
            interrupt,
            problem,
            methods: Vec::new(),
            pictures: Vec::new(),
            curves: Vec::new(),
        })
    }

    fn tests(&self) -> usize {
        self.upright.truth.len() / (self.options.size * self.options.size)
    }

    /// Scores a method and keeps its pictures.
    fn add(
        &mut self,
        name: &str,
        group: Option<Group>,
        parameters: usize,
        train_seconds: f64,
        images: Reconstructions,
    ) -> Result<()> {
        let size = [self.options.size; 2];
        let upright = Summary::of(&self.upright.truth, &images.upright, size)?;
        let rotated = Summary::of(&self.rotated.truth, &images.rotated, size)?;
        (self.observer)(Event::Line(format!(
            "{name}: PSNR {:.2} dB upright, {:.2} dB rotated ({train_seconds:.0} s)",
            upright.psnr, rotated.psnr
        )));
        self.methods.push(Method {
            name: name.to_string(),
            group,
            parameters,
            train_seconds,
            upright,
            rotated: Some(rotated),
        });
        self.pictures.push((name.to_string(), images));
        Ok(())
    }

    /// FBP with the filter that is best on the training slices, clamped at 0.
    fn filtered_back_projection(&mut self) -> Result<()> {
        let started = Instant::now();
        let apply = |filter: Filter, y: &[f32]| -> Result<Vec<f32>> {
            let fbp = Fbp {
                filter,
                nonnegative: true,
            };
            let n = y.len() / self.ray_range().elements();
            fbp.solve(&self.ray, &self.store, y, n)
        };
        let mut best = (f64::NEG_INFINITY, Filter::Hann);
        for filter in [
            Filter::RamLak,
            Filter::SheppLogan,
            Filter::Cosine,
            Filter::Hann,
        ] {
            let images = apply(filter, self.training.measurements())?;
            let score = Summary::of(self.training.truth(), &images, [self.options.size; 2])?.psnr;
            if score > best.0 {
                best = (score, filter);
            }
        }
        let images = Reconstructions {
            upright: apply(best.1, &self.upright.measurements)?,
            rotated: apply(best.1, &self.rotated.measurements)?,
        };
        self.add("fbp", None, 0, started.elapsed().as_secs_f64(), images)
    }

    fn ray_range(&self) -> Shape {
        self.training.measurement()
    }

    /// TV with the weight that is best on (up to eight of) the training slices.
    fn total_variation(&mut self) -> Result<()> {
        let started = Instant::now();
        let tuned = self.training.count().min(8);
        let y = &self.training.measurements()[..tuned * self.ray_range().elements()];
        let truth = &self.training.truth()[..tuned * self.training.image().elements()];
        let solve = |weight: f64, y: &[f32]| -> Result<Vec<f32>> {
            let tv = Tv {
                weight,
                iterations: 100,
                nonnegative: true,
                tolerance: 1e-3,
            };
            let n = y.len() / self.ray_range().elements();
            let solution = tv.solve(&self.ray, &self.store, y, n, &mut |_| {})?;
            Ok(solution.images)
        };
        let mut best = (f64::NEG_INFINITY, 0.0);
        for weight in [1e-3, 2e-3, 4e-3, 8e-3] {
            let images = solve(weight, y)?;
            let score = Summary::of(truth, &images, [self.options.size; 2])?.psnr;
            if score > best.0 {
                best = (score, weight);
            }
        }
        let images = Reconstructions {
            upright: solve(best.1, &self.upright.measurements)?,
            rotated: solve(best.1, &self.rotated.measurements)?,
        };
        self.add("tv", None, 0, started.elapsed().as_secs_f64(), images)
    }

    fn train(&mut self, name: &str, group: Group, width: usize) -> Result<()> {
        let started = Instant::now();
        let operator = self.problem.operator.clone();
        let model = ModelConfig::LearnedProximalGradient(LearnedProximalGradientConfig {
            group,
            width,
            blocks: self.options.blocks,
            start: Start::PseudoInverse,
            residual: true,
            ..LearnedProximalGradientConfig::default()
        });
        let spec = ModelSpec::measure(&model, operator.as_ref(), &self.store)?;
        let recipe = Recipe {
            optimiser: OptimiserConfig::Adam(AdamConfig {
                learning_rate: LEARNING_RATE,
                schedule: Schedule::Cosine,
                ..AdamConfig::default()
            }),
            training: TrainingConfig {
                steps: self.options.steps,
                batch: 1,
                seed: self.options.seed,
                log_every: 10,
                ..TrainingConfig::default()
            },
            ..Recipe::default()
        };
        let mut trainer = Trainer::new(
            self.gpu,
            &spec,
            operator.as_ref(),
            &recipe,
            self.training.clone(),
            None,
        )?;
        let observer = &mut *self.observer;
        let mut losses = Vec::new();
        let options = RunOptions {
            directory: None,
            interrupt: Some(self.interrupt),
        };
        crate::train::run(&mut trainer, options, &mut |p: &crate::train::Progress| {
            if p.loss.is_finite() {
                losses.push((p.step as f64, p.loss));
            }
            observer(Event::Training {
                name: name.to_string(),
                step: p.step,
                steps: p.steps,
                loss: p.loss,
                seconds_left: p.seconds_left,
            });
        })?;
        let seconds = started.elapsed().as_secs_f64();
        self.curves.push(Curve::new(name, losses));
        let values = trainer.parameters()?;
        let count = trainer.model().parameters().count();
        drop(trainer);
        let n = self.tests();
        let network = Reconstructor::new(self.gpu, operator.as_ref(), &spec, &values, n)?;
        let images = Reconstructions {
            upright: network.reconstruct(&self.upright.measurements, n)?,
            rotated: network.reconstruct(&self.rotated.measurements, n)?,
        };
        self.add(name, Some(group), count, seconds, images)
    }

    /// Pictures, `metrics.json`, `report.html`.
    fn finish(self) -> Result<DemoResult> {
        let out = self.options.out.as_path();
        let result = DemoResult {
            problem: format!(
                "low-dose CT, {VIEWS} views, {PHOTONS} photons, {size} x {size} pixels",
                size = self.options.size
            ),
            adapter: self.gpu.label(),
            seed: self.options.seed,
            slices: self.options.slices,
            methods: self.methods.clone(),
        };
        let mut page = Page::new("equilens demo");
        page.paragraph(&format!(
            "{}, on {}. {} training slices of one patient, {} test slices of another; means and standard deviations over the test slices. The networks start at the Ram-Lak FBP and add the image of each block to the one before. PSNR with the maximum of the reference as the peak, SSIM with data range 1. Slices of one patient are near-duplicates: this shows what the methods do, it does not rank them for a clinic.",
            result.problem,
            result.adapter,
            result.slices,
            self.tests()
        ));
        page.table(&Method::table(&result.methods));
        let plot: Svg = line_plot(
            &Axes::new("Training loss", "step", "loss").log_y(),
            &self.curves,
        )?;
        page.plot(&plot, "Loss on the training batches.");
        for (title, set, pick) in [
            (
                "upright",
                &self.upright,
                (|r: &Reconstructions| &r.upright) as fn(&Reconstructions) -> &Vec<f32>,
            ),
            ("rotated", &self.rotated, |r: &Reconstructions| &r.rotated),
        ] {
            page.heading(&format!("Test slices, {title}"));
            for index in [2, self.tests() / 2] {
                let png = self.picture(title, set, pick, index)?;
                let name = format!("{title}-{index}.png");
                files::write_bytes(out.join(&name), &png)?;
                page.picture(&png, &format!("Slice {index}, {title}: truth and reconstructions in one grey window; below, the error of each (blue too low, red too high, full colour at 0.05)."));
            }
        }
        write_json(&out.join("metrics.json"), &result)?;
        page.write(out.join("report.html"))?;
        Ok(result)
    }

    /// Truth and reconstructions of one test slice above their error maps.
    fn picture(
        &self,
        title: &str,
        set: &TestSet,
        pick: fn(&Reconstructions) -> &Vec<f32>,
        index: usize,
    ) -> Result<Vec<u8>> {
        let size = self.options.size;
        let image = |values: &[f32]| {
            Image::new(
                [size, size],
                values[index * size * size..][..size * size].to_vec(),
            )
        };
        let truth = image(&set.truth)?;
        let mut shown = Vec::new();
        for (name, images) in &self.pictures {
            shown.push((name.as_str(), image(pick(images))?));
        }
        let zoom = (192 / size).max(1);
        picture(title, &truth, &shown, [0.0, 0.4], 0.05, zoom)?.to_png()
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::NotFinite(format!("the results cannot be written as JSON: {e}")))?;
    text.push('\n');
    files::write_bytes(path, text.as_bytes())
}
