//! The main job in a few minutes: real images measured by low-dose CT or by MRI, reconstructed
//! classically, by an ordinary and by two equivariant learned proximal gradient networks; tested
//! upright and rotated.

use super::Event;
use super::inputs::{self, PHOTONS, SIGMA, VIEWS};
use super::scores::{Method, write_json};
use super::study::{Orientation, Reconstructions, Slices, Study};
use crate::data::random::Stream;
use crate::error::{Error, Result};
use crate::files;
use crate::gpu::Gpu;
use crate::group::Group;
use crate::models::{LearnedProximalGradientConfig, ModelConfig, Start};
use crate::problems::{Problem, ProblemConfig};
use crate::report::plot::{Axes, Curve, line_plot};
use crate::report::{Page, Svg};
use crate::train::{
    AdamConfig, Dataset, ModelSpec, OptimiserConfig, Recipe, Reconstructor, RunOptions, Schedule,
    Trainer, TrainingConfig,
};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// How the demo's images are measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Scan {
    /// Low-dose computed tomography of chests.
    #[default]
    Ct,
    /// Magnetic resonance imaging of heads, a fifth of k-space.
    Mri,
}

/// What the demo does.
#[derive(Clone, PartialEq, Debug)]
pub struct DemoOptions {
    /// How the images are measured.
    pub scan: Scan,
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
            scan: Scan::Ct,
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

const LEARNING_RATE: f64 = 5e-3;

impl Scan {
    /// The problem for images of `size` x `size` pixels.
    fn problem(self, size: usize) -> ProblemConfig {
        match self {
            Scan::Ct => inputs::ct(size),
            Scan::Mri => inputs::mri(size),
        }
    }

    fn slices(self, gpu: &Gpu, size: usize, seed: u64) -> Result<Slices> {
        let mut angles = Stream::new(seed, "demo rotation");
        match self {
            Scan::Ct => Slices::ct(gpu, &mut angles),
            Scan::Mri => Slices::mri(gpu, size, &mut angles),
        }
    }

    fn describe(self) -> String {
        match self {
            Scan::Ct => format!("low-dose CT, {VIEWS} views, {PHOTONS} photons"),
            Scan::Mri => format!("MRI, a fifth of the lines of k-space, noise {SIGMA}"),
        }
    }

    /// White, and the error that has full colour.
    fn window(self) -> [f32; 2] {
        match self {
            Scan::Ct => inputs::CT_WINDOW,
            Scan::Mri => inputs::MRI_WINDOW,
        }
    }
}

struct Demo<'a> {
    options: &'a DemoOptions,
    study: Study<'a>,
    training: Dataset,
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
    demo.direct()?;
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

impl<'a> Demo<'a> {
    fn prepare(
        gpu: &'a Gpu,
        options: &'a DemoOptions,
        interrupt: &'a AtomicBool,
        observer: &'a mut dyn FnMut(Event),
    ) -> Result<Self> {
        let DemoOptions {
            scan, size, seed, ..
        } = *options;
        let problem = Problem::new(&scan.problem(size))?;
        let slices = scan.slices(gpu, size, seed)?;
        let training_slices = slices.training.spread(options.slices);
        observer(Event::Line(format!(
            "On {}: {}, simulated at {rows} x {columns}, reconstructed at {size} x {size}.",
            gpu.label(),
            scan.describe(),
            rows = slices.upright.shape.h(),
            columns = slices.upright.shape.w(),
        )));
        observer(Event::Line(format!(
            "{} training slices of one patient, {} test slices of another, upright and turned by random angles.",
            options.slices,
            slices.upright.shape.n()
        )));
        let study = Study::new(gpu, problem, &slices, seed)?;
        let training = Dataset::simulate(
            &study.problem,
            &study.store,
            &training_slices.values,
            training_slices.shape,
            seed,
        )?;
        Ok(Demo {
            options,
            study,
            training,
            observer,
            interrupt,
            methods: Vec::new(),
            pictures: Vec::new(),
            curves: Vec::new(),
        })
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
        let [upright, rotated] = Orientation::BOTH.map(|o| self.study.scores(&images, o));
        let (upright, rotated) = (upright?, rotated?);
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

    fn direct(&mut self) -> Result<()> {
        let started = Instant::now();
        let images = self.study.direct(&self.training)?;
        let name = self.study.problem.operator.pseudo_inverse_name();
        self.add(name, None, 0, started.elapsed().as_secs_f64(), images)
    }

    fn total_variation(&mut self) -> Result<()> {
        let started = Instant::now();
        let images = self.study.total_variation(&self.training)?;
        self.add("tv", None, 0, started.elapsed().as_secs_f64(), images)
    }

    fn train(&mut self, name: &str, group: Group, width: usize) -> Result<()> {
        let started = Instant::now();
        let operator = self.study.problem.operator.clone();
        let model = ModelConfig::LearnedProximalGradient(LearnedProximalGradientConfig {
            group,
            width,
            blocks: self.options.blocks,
            start: Start::PseudoInverse,
            residual: true,
            ..LearnedProximalGradientConfig::default()
        });
        let spec = ModelSpec::measure(&model, operator.as_ref(), &self.study.store)?;
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
            self.study.gpu,
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
            observer(Event::training(name, p));
        })?;
        let seconds = started.elapsed().as_secs_f64();
        self.curves.push(Curve::new(name, losses));
        let values = trainer.parameters()?;
        let count = trainer.model().parameters().count();
        drop(trainer);
        let (gpu, tests) = (self.study.gpu, self.study.tests());
        let network = Reconstructor::new(gpu, operator.as_ref(), &spec, &values, tests)?;
        let images = self.study.network(&network)?;
        self.add(name, Some(group), count, seconds, images)
    }

    /// Pictures, `metrics.json`, `report.html`.
    fn finish(self) -> Result<DemoResult> {
        let out = self.options.out.as_path();
        let scan = self.options.scan;
        let result = DemoResult {
            problem: format!(
                "{}, {size} x {size} pixels",
                scan.describe(),
                size = self.options.size
            ),
            adapter: self.study.gpu.label(),
            seed: self.options.seed,
            slices: self.options.slices,
            methods: self.methods.clone(),
        };
        let start = match scan {
            Scan::Ct => "the Ram-Lak FBP",
            Scan::Mri => "the zero-filled image",
        };
        let mut page = Page::new("equilens demo");
        page.paragraph(&format!(
            "{}, on {}. {} training slices of one patient, {} test slices of another; means and standard deviations over the test slices. The networks start at {start} and add the image of each block to the one before. PSNR with the maximum of the reference as the peak, SSIM with data range 1, complex images by their magnitudes. Slices of one patient are near-duplicates: this shows what the methods do, it does not rank them for a clinic.",
            result.problem,
            result.adapter,
            result.slices,
            self.study.tests()
        ));
        page.table(&Method::table(&result.methods));
        let plot: Svg = line_plot(
            &Axes::new("Training loss", "step", "loss").log_y(),
            &self.curves,
        )?;
        page.plot(&plot, "Loss on the training batches.");
        let shown: Vec<(String, &Reconstructions)> = (self.pictures.iter())
            .map(|(name, images)| (name.clone(), images))
            .collect();
        let window = scan.window();
        for orientation in Orientation::BOTH {
            let title = orientation.name();
            page.heading(&format!("Test slices, {title}"));
            for index in [2, self.study.tests() / 2] {
                let png = self.study.picture(orientation, index, &shown, window)?;
                let name = format!("{title}-{index}.png");
                files::write_bytes(out.join(&name), &png)?;
                page.picture(&png, &format!("Slice {index}, {title}: truth and reconstructions in one grey window; below, the error of each (blue too low, red too high, full colour at {}).", window[1]));
            }
        }
        write_json(&out.join("metrics.json"), &result)?;
        page.write(out.join("report.html"))?;
        Ok(result)
    }
}
