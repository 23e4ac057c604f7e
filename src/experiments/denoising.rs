//! Denoisers beyond the noise that they were trained on: DnCNN with and without biases. Without them
//! it is equivariant to scaling of the range (Mohan et al. 2020; Chen et al. 2023, section IV and
//! figure 6), which is why it should treat all levels of noise alike; the third network is equivariant
//! under C4 as well.

use super::inputs;
use super::jobs::{Job, Trials};
use super::networks::Annealed;
use super::results::{Point, Results, by_method, pooled};
use super::scores::{Method, write_json};
use super::study::{Orientation, Slices, Study};
use super::{Event, Options, Scale};
use crate::data::Stream;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::group::Group;
use crate::losses::{Supervised, Term};
use crate::metrics;
use crate::models::{DenoisingCnnConfig, ModelConfig};
use crate::operators::Noise;
use crate::problems::{IdentityConfig, ImageSize, OperatorConfig, Problem, ProblemConfig};
use crate::report::plot::{Axes, Mark, Series, grouped_plot};
use crate::report::{Align, Page, Table};
use crate::train::TrainConfig;
use serde::Serialize;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Noise of the training images: a PSNR of about 26 to 34 decibels, as in the figure, for slices
/// whose brightest pixel is about one half.
const TRAINED: [f64; 2] = [0.01, 0.025];
/// Noise of the test images.
const LEVELS: [f64; 7] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2];

/// One of the networks that are compared.
struct Denoiser {
    name: &'static str,
    group: Group,
    bias: bool,
}

const DENOISERS: [Denoiser; 3] = [
    Denoiser {
        name: "dncnn",
        group: Group::TRIVIAL,
        bias: true,
    },
    Denoiser {
        name: "bias-free",
        group: Group::TRIVIAL,
        bias: false,
    },
    Denoiser {
        name: "bias-free",
        group: Group::cyclic(4),
        bias: false,
    },
];

/// What a [`Scale`] stands for.
struct Settings {
    size: usize,
    seeds: u64,
    /// Channels of the ordinary networks; the equivariant one has twice as many, which is about as
    /// many parameters.
    width: usize,
    depth: usize,
    steps: u64,
    batch: usize,
}

impl Settings {
    fn of(scale: Scale) -> Self {
        match scale {
            Scale::Smoke => Settings {
                size: 32,
                seeds: 1,
                width: 4,
                depth: 3,
                steps: 10,
                batch: 1,
            },
            Scale::Small => Settings {
                size: 64,
                seeds: 3,
                width: 16,
                depth: 8,
                steps: 1000,
                batch: 2,
            },
            Scale::Paper => Settings {
                size: 256,
                seeds: 3,
                width: 64,
                depth: 20,
                steps: 50_000,
                batch: 8,
            },
        }
    }

    fn problem(&self, noise: Noise) -> ProblemConfig {
        ProblemConfig {
            operator: OperatorConfig::Identity(IdentityConfig {
                image_size: ImageSize::Square(self.size),
            }),
            noise,
            phase: None,
        }
    }

    fn config(&self, denoiser: &Denoiser, train: &Path, seed: u64) -> TrainConfig {
        let [least, greatest] = TRAINED;
        let training = Annealed {
            steps: self.steps,
            batch: self.batch,
            learning_rate: 1e-3,
        };
        let problem = self.problem(Noise::GaussianRange { least, greatest });
        let model = ModelConfig::DenoisingCnn(DenoisingCnnConfig {
            group: denoiser.group,
            width: self.width * if denoiser.group.is_trivial() { 1 } else { 2 },
            depth: self.depth,
            bias: denoiser.bias,
            ..DenoisingCnnConfig::default()
        });
        training.config(
            problem,
            train,
            model,
            vec![Term::Supervised(Supervised::default())],
            seed,
        )
    }
}

/// The scores at one level of noise.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Level {
    /// Standard deviation of the noise.
    pub sigma: f64,
    /// The noisy images themselves, then every network.
    pub methods: Vec<Point>,
}

/// The results, as `metrics.json` holds them.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct DenoisingResults {
    /// The scores on noise as in training.
    #[serde(flatten)]
    pub results: Results,
    /// The scores at other levels.
    pub levels: Vec<Level>,
}

/// Runs the experiment and writes its files; in a directory where it was interrupted, it goes on.
///
/// # Errors
/// As [`super::unsupervised::run`].
pub fn run(
    gpu: &Gpu,
    options: &Options,
    interrupt: &AtomicBool,
    observer: &mut dyn FnMut(Event),
) -> Result<DenoisingResults> {
    let mut settings = Settings::of(options.scale);
    settings.steps = options.steps.unwrap_or(settings.steps);
    let [least, greatest] = TRAINED;
    let problem = Problem::new(&settings.problem(Noise::GaussianRange { least, greatest }))?;
    let mut angles = Stream::new(options.seed, "rotation");
    let own = options.images.as_ref();
    let scan = inputs::ct(settings.size);
    let slices = Slices::for_ct(gpu, own, &scan, settings.size, &mut angles)?;
    let slices = slices.averaged(&Problem::new(&scan)?)?;
    let (mut trials, train) = Trials::begin(
        gpu,
        options,
        problem,
        &slices,
        &described(&settings),
        interrupt,
        observer,
    )?;
    trials.untrained()?;
    let mut jobs = Vec::new();
    for k in 0..settings.seeds {
        let seed = options.seed.wrapping_add(k);
        for denoiser in &DENOISERS {
            jobs.push(Job {
                directory: format!("{}-{}-{seed}", denoiser.name, denoiser.group),
                name: denoiser.name,
                config: settings.config(denoiser, &train, seed),
                pictured: k == 0,
            });
        }
    }
    trials.train(&jobs)?;
    let levels = levels(gpu, &settings, &slices, &trials, &jobs)?;
    finish(&trials, &settings, levels)
}

/// Every network at every level of noise.
fn levels(
    gpu: &Gpu,
    settings: &Settings,
    slices: &Slices,
    trials: &Trials<'_>,
    jobs: &[Job],
) -> Result<Vec<Level>> {
    let networks = jobs.iter().map(|job| trials.trained(job));
    let networks = networks.collect::<Result<Vec<_>>>()?;
    // The points of the networks follow those of what is not trained.
    let known = &trials.points[trials.points.len() - jobs.len()..];
    let mut levels = Vec::with_capacity(LEVELS.len());
    for (k, sigma) in (0..).zip(LEVELS) {
        let problem = Problem::new(&settings.problem(Noise::Gaussian { sigma }))?;
        let seed = trials.options.seed.wrapping_add((2 + k) << 32);
        let study = Study::new(gpu, problem, slices, seed)?;
        let scored = |images, mut point: Point| -> Result<Point> {
            point.method.upright = study.scores(&images, Orientation::Upright)?;
            point.method.rotated = Some(study.scores(&images, Orientation::Rotated)?);
            Ok(point)
        };
        let noisy = Point {
            images: None,
            seed: None,
            method: Method::unscored("noisy"),
        };
        let mut methods = vec![scored(study.pseudo_inverse()?, noisy)?];
        for (network, point) in networks.iter().zip(known) {
            methods.push(scored(study.network(network)?, point.clone())?);
        }
        levels.push(Level { sigma, methods });
    }
    Ok(levels)
}

fn described(settings: &Settings) -> String {
    let [least, greatest] = TRAINED;
    format!(
        "denoising of CT slices, {size} x {size} pixels, trained on noise of {least} to {greatest}",
        size = settings.size
    )
}

/// Plot, pictures, `metrics.json`, `report.html`.
fn finish(
    trials: &Trials<'_>,
    settings: &Settings,
    levels: Vec<Level>,
) -> Result<DenoisingResults> {
    let result = DenoisingResults {
        results: trials.results("denoising", described(settings)),
        levels,
    };
    let mut page = Page::new("Denoisers beyond the noise that they know");
    page.paragraph(&format!(
        "{}, on {}. DnCNN of {} convolutions, width {} (C4: {}), {} steps of {} images, {} seeds: with biases, and without, which makes it equivariant to scaling of the range. PSNR of upright test images of another patient, with the maximum of the reference as the peak.",
        result.results.problem,
        result.results.adapter,
        settings.depth,
        settings.width,
        2 * settings.width,
        settings.steps,
        settings.batch,
        settings.seeds
    ));
    page.table(&table(&result));
    let names: Vec<String> = LEVELS.iter().map(f64::to_string).collect();
    let groups: Vec<&str> = names.iter().map(String::as_str).collect();
    let labels = by_method(&result.levels[0].methods);
    let series = (0..labels.len()).map(|m| {
        let scores = result.levels.iter().map(|level| {
            let points = &by_method(&level.methods)[m];
            let pooled = pooled(points, Orientation::Upright);
            pooled.per_image.iter().map(|s| s.psnr).collect()
        });
        Series::new(labels[m][0].method.label(), scores.collect())
    });
    let axes = Axes::new(
        "PSNR of the test images",
        "standard deviation of the noise",
        "PSNR / dB",
    );
    let plot = grouped_plot(&axes, &groups, &series.collect::<Vec<_>>(), Mark::Violin)?;
    let caption = "PSNR of each test image, all seeds; the line is the median.";
    trials.plot(&mut page, "psnr", &plot, caption)?;
    for orientation in Orientation::BOTH {
        let index = result.results.tests / 2;
        let caption = format!(
            "Test image {index}, {}, noise as in training",
            orientation.name()
        );
        trials.sample(&mut page, orientation, index, inputs::CT_WINDOW, &caption)?;
    }
    let out = &trials.options.out;
    write_json(&out.join("metrics.json"), &result)?;
    page.write(out.join("report.html"))?;
    Ok(result)
}

/// The results for people: PSNR of the upright images by level, means over images and seeds with the
/// standard deviation over seeds.
pub fn table(result: &DenoisingResults) -> Table {
    let columns = LEVELS.map(|sigma| (format!("{sigma}"), Align::Right));
    let columns = columns.iter().map(|(name, align)| (name.as_str(), *align));
    let mut table = Table::new([("noise", Align::Left)].into_iter().chain(columns));
    let rows = by_method(&result.levels[0].methods).len();
    for row in 0..rows {
        let mut label = String::new();
        let mut cells = Vec::with_capacity(LEVELS.len());
        for level in &result.levels {
            let points = &by_method(&level.methods)[row];
            label = points[0].method.label();
            let means: Vec<f64> = points.iter().map(|p| p.method.upright.psnr).collect();
            cells.push(match metrics::mean_and_sd(&means) {
                Some((mean, sd)) if points.len() > 1 => format!("{mean:.2} +- {sd:.2}"),
                Some((mean, _)) => format!("{mean:.2}"),
                None => String::new(),
            });
        }
        table.row([label].into_iter().chain(cells));
    }
    table
}
