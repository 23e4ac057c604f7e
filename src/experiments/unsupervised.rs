//! Learning from measurements alone: networks that improve the pseudo-inverse, trained by
//! measurement consistency, by equivariant imaging and, for comparison, with ground truth (Chen et
//! al. 2023, section V, figures 8 and 9).
//!
//! Ground truth is averaged onto the grid of the reconstructions before it is measured, so that `y =
//! A x` holds but for the noise: what these losses build on. The test images are of another patient,
//! upright and turned. On CT without noise the ordinary U-Net is compared with the one that is
//! equivariant under C4 by design, of about as many parameters (the open question of section VI).

use super::inputs;
use super::jobs::{Job, Trials};
use super::networks::Annealed;
use super::results::{COLUMNS, Point, Results, by_method, cells, pooled};
use super::scores::{Summary, write_json};
use super::study::{Orientation, Slices};
use super::{Event, Options, Scale};
use crate::data::Stream;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::group::Group;
use crate::losses::{
    EquivariantImaging, MeasurementConsistency, Supervised, Sure, Term, Transforms,
};
use crate::metrics;
use crate::models::{ModelConfig, UNetConfig};
use crate::operators::Noise;
use crate::problems::{
    CartesianConfig, FileOr, FourierConfig, ImageSize, InpaintingConfig, MaskConfig,
    OperatorConfig, PixelMaskConfig, Problem, ProblemConfig, RandomPixelsConfig,
    RayTransformConfig,
};
use crate::report::plot::{Axes, Mark, Series, grouped_plot};
use crate::report::{Align, Page, Table};
use crate::train::TrainConfig;
use serde::Serialize;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Standard deviation of the noise in noisy CT, some 8 % of a middling line integral. The noise
/// of low-dose CT with 1e4 photons costs equivariant imaging too little to be regained (half a decibel
/// against supervision after 3000 steps), and with 1e3 photons rays without any decide.
const SIGMA: f64 = 0.004;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// CT of few views, without noise.
    Ct,
    /// CT of few views and much noise.
    NoisyCt,
    /// MRI of few lines.
    Mri,
    /// Images of which many pixels are missing.
    Inpainting,
}

/// How a network is trained.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lesson {
    Consistency,
    Imaging,
    RobustImaging,
    Supervised,
}

impl Lesson {
    fn name(self) -> &'static str {
        match self {
            Lesson::Consistency => "mc",
            Lesson::Imaging => "ei",
            Lesson::RobustImaging => "rei",
            Lesson::Supervised => "supervised",
        }
    }
}

impl Subject {
    /// The experiment's name.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Ct => "ei-ct",
            Subject::NoisyCt => "rei-ct",
            Subject::Mri => "ei-mri",
            Subject::Inpainting => "ei-inpainting",
        }
    }

    pub(super) fn problem(self, settings: &Settings) -> ProblemConfig {
        let image_size = ImageSize::Square(settings.size);
        let scan = OperatorConfig::RayTransform(RayTransformConfig {
            image_size,
            views: Some(settings.views),
            ..RayTransformConfig::default()
        });
        let (operator, noise) = match self {
            Subject::Ct => (scan, Noise::None {}),
            Subject::NoisyCt => (scan, Noise::Gaussian { sigma: SIGMA }),
            Subject::Mri => {
                let mask = MaskConfig::Cartesian(CartesianConfig {
                    lines: Some(settings.size / 4),
                    centre: Some(settings.size / 16),
                    ..CartesianConfig::default()
                });
                let fourier = FourierConfig {
                    image_size,
                    mask: FileOr::Made(mask),
                    ..FourierConfig::default()
                };
                (OperatorConfig::Fourier(fourier), Noise::None {})
            }
            Subject::Inpainting => {
                let pixels = RandomPixelsConfig {
                    share: 0.3,
                    seed: 1,
                };
                let inpainting = InpaintingConfig {
                    image_size,
                    mask: FileOr::Made(PixelMaskConfig::Random(pixels)),
                };
                (OperatorConfig::Inpainting(inpainting), Noise::None {})
            }
        };
        ProblemConfig {
            operator,
            noise,
            phase: None,
        }
    }

    pub(super) fn described(self, settings: &Settings) -> String {
        let size = settings.size;
        match self {
            Subject::Ct => format!(
                "CT, {} views, no noise, {size} x {size} pixels",
                settings.views
            ),
            Subject::NoisyCt => format!(
                "CT, {} views, Gaussian noise of {SIGMA}, {size} x {size} pixels",
                settings.views
            ),
            Subject::Mri => format!(
                "MRI, {} of {size} lines, no noise, {size} x {size} pixels",
                size / 4
            ),
            Subject::Inpainting => {
                format!("CT slices of which 30 % of the pixels are seen, {size} x {size} pixels")
            }
        }
    }

    fn lessons(self) -> &'static [Lesson] {
        use Lesson::*;
        match self {
            Subject::NoisyCt => &[Consistency, Imaging, RobustImaging, Supervised],
            _ => &[Consistency, Imaging, Supervised],
        }
    }

    /// How many of the networks are trained: the question whether equivariance by design and by
    /// learning add up is asked once, of CT.
    fn networks(self) -> usize {
        match self {
            Subject::Ct => 2,
            _ => 1,
        }
    }

    /// What the set of images is taken to be invariant under: shifts where turning the operator
    /// would change nothing, turns elsewhere.
    fn transforms(self) -> Transforms {
        match self {
            Subject::Inpainting => Transforms {
                shift: 0.5,
                ..Transforms::default()
            },
            _ => Transforms::rotations(),
        }
    }

    /// The weights of the two terms: of the measured residual, which is in the unit of the
    /// measurements, and of equivariance. Chosen in trial runs of a few hundred steps at
    /// 64 x 64 pixels with seed 1 that were scored on the built-in test images.
    fn weights(self) -> [f64; 2] {
        match self {
            Subject::Ct => [1e3, 10.0],
            Subject::NoisyCt => [1e3, 3.0],
            Subject::Mri | Subject::Inpainting => [1.0, 1.0],
        }
    }

    fn loss(self, lesson: Lesson) -> Vec<Term> {
        let [residual, equivariance] = self.weights();
        let consistency = Term::MeasurementConsistency(MeasurementConsistency { weight: residual });
        let imaging = |noise| {
            Term::EquivariantImaging(EquivariantImaging {
                weight: equivariance,
                transforms: self.transforms(),
                draws: 1,
                noise,
            })
        };
        match lesson {
            Lesson::Consistency => vec![consistency],
            Lesson::Imaging => vec![consistency, imaging(false)],
            Lesson::RobustImaging => {
                let sure = Sure {
                    weight: residual,
                    ..Sure::default()
                };
                vec![Term::Sure(sure), imaging(true)]
            }
            Lesson::Supervised => vec![Term::Supervised(Supervised::default())],
        }
    }

    fn window(self) -> [f32; 2] {
        match self {
            Subject::Mri => inputs::MRI_WINDOW,
            _ => inputs::CT_WINDOW,
        }
    }
}

/// What a [`Scale`] stands for.
pub(super) struct Settings {
    pub size: usize,
    pub views: usize,
    pub seeds: u64,
    /// Channels of the ordinary network; the equivariant one has twice as many, which is about as
    /// many parameters.
    pub width: usize,
    pub levels: usize,
    pub steps: u64,
    pub learning_rate: f64,
}

impl Settings {
    /// Those of the options.
    pub fn of(subject: Subject, options: &Options) -> Self {
        let scale = Self::of_scale(subject, options.scale);
        Settings {
            steps: options.steps.unwrap_or(scale.steps),
            ..scale
        }
    }

    fn of_scale(subject: Subject, scale: Scale) -> Self {
        match (scale, subject) {
            (Scale::Smoke, _) => Settings {
                size: 32,
                views: 10,
                seeds: 1,
                width: 4,
                levels: 1,
                steps: 10,
                learning_rate: 2e-3,
            },
            // At 32 x 32 pixels too few photons hurt less than SURE's own spread.
            (Scale::Small, Subject::NoisyCt) => Settings {
                size: 64,
                views: 20,
                seeds: 3,
                width: 8,
                levels: 2,
                steps: 500,
                learning_rate: 2e-3,
            },
            // Equivariant imaging takes many steps before it passes measurement consistency: small
            // images, for long.
            (Scale::Small, _) => Settings {
                size: 32,
                views: 10,
                seeds: 3,
                width: 8,
                levels: 2,
                steps: 1000,
                learning_rate: 2e-3,
            },
            // 128 x 128 pixels, 50 views: those of Chen, Tachella and Davies 2021.
            (Scale::Paper, _) => Settings {
                size: 128,
                views: 50,
                seeds: 3,
                width: 64,
                levels: 4,
                steps: 100_000,
                learning_rate: 5e-4,
            },
        }
    }

    /// The ordinary network and the equivariant one: groups and widths.
    pub fn networks(&self) -> [(Group, usize); 2] {
        [
            (Group::TRIVIAL, self.width),
            (Group::cyclic(4), 2 * self.width),
        ]
    }

    /// The run of one network.
    pub fn config(
        &self,
        problem: &ProblemConfig,
        train: &Path,
        (group, width): (Group, usize),
        loss: Vec<Term>,
        seed: u64,
    ) -> TrainConfig {
        let training = Annealed {
            steps: self.steps,
            batch: 1,
            learning_rate: self.learning_rate,
        };
        let model = ModelConfig::UNet(UNetConfig {
            group,
            width,
            levels: self.levels,
            // Images are positive and the equivariant network has few fields: with a smaller
            // slope, a layer all of whose fields see the mean with the wrong sign is dead.
            slope: 0.2,
            ..UNetConfig::default()
        });
        training.config(problem.clone(), train, model, loss, seed)
    }
}

/// What a loss without ground truth makes good of what measurement consistency alone lacks: 0 as
/// bad as that, 1 as good as training with ground truth.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Recovered {
    /// As in [`super::Method::name`].
    pub method: String,
    /// The network's group.
    pub group: Group,
    /// For each seed, by the mean PSNR of the upright test images.
    pub upright: Vec<f64>,
    /// The same on the turned ones.
    pub rotated: Vec<f64>,
}

/// The results, as `metrics.json` holds them.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct UnsupervisedResults {
    /// The scores of every network.
    #[serde(flatten)]
    pub results: Results,
    /// The shares of the gap that are closed.
    pub recovered: Vec<Recovered>,
}

/// Runs the experiment and writes its files; in a directory where it was interrupted, it goes on.
///
/// # Errors
/// [`Error::Io`](crate::error::Error::Io) if the directory cannot be written, before any work is
/// done; [`Error::Data`](crate::error::Error::Data) about images that do not fit;
/// [`Error::Config`](crate::error::Error::Config) if the scale's images are larger than the
/// built-in ones and none are given, or if the directory holds another experiment;
/// [`Error::Interrupted`](crate::error::Error::Interrupted); those of simulating and training.
pub fn run(
    subject: Subject,
    gpu: &Gpu,
    options: &Options,
    interrupt: &AtomicBool,
    observer: &mut dyn FnMut(Event),
) -> Result<UnsupervisedResults> {
    let settings = Settings::of(subject, options);
    let config = subject.problem(&settings);
    let problem = Problem::new(&config)?;
    let mut angles = Stream::new(options.seed, "rotation");
    let (own, size) = (options.images.as_ref(), settings.size);
    let slices = match (subject, own) {
        (Subject::Mri, None) => Slices::mri(gpu, size, &mut angles)?,
        (Subject::Mri, Some(paths)) => Slices::own(gpu, paths, &config, size, &mut angles)?,
        _ => {
            let scan = Subject::Ct.problem(&settings);
            let slices = Slices::for_ct(gpu, own, &scan, size, &mut angles)?;
            slices.averaged(&Problem::new(&scan)?)?
        }
    };
    let described = subject.described(&settings);
    let (mut trials, train) = Trials::begin(
        gpu, options, problem, &slices, &described, interrupt, observer,
    )?;
    trials.untrained()?;
    let mut jobs = Vec::new();
    for k in 0..settings.seeds {
        let seed = options.seed.wrapping_add(k);
        for network in settings.networks().into_iter().take(subject.networks()) {
            for &lesson in subject.lessons() {
                let loss = subject.loss(lesson);
                jobs.push(Job {
                    directory: format!("{}-{}-{seed}", lesson.name(), network.0),
                    name: lesson.name(),
                    config: settings.config(&config, &train, network, loss, seed),
                    pictured: k == 0 && network.0.is_trivial(),
                });
            }
        }
    }
    trials.train(&jobs)?;
    finish(subject, &trials, &settings, slices.training.shape.n())
}

/// For each loss without ground truth and each group, how much of the gap it closes.
fn recovered(points: &[Point]) -> Vec<Recovered> {
    let psnr = |name: &str, like: &Point, orientation: Orientation| {
        let same = |p: &&Point| {
            p.method.name == name && p.method.group == like.method.group && p.seed == like.seed
        };
        let summary = orientation.of_method(&points.iter().find(same)?.method);
        summary.map(|s: &Summary| s.psnr)
    };
    let mut found: Vec<Recovered> = Vec::new();
    for point in points {
        let method = &point.method;
        let (Some(group), "ei" | "rei") = (method.group, method.name.as_str()) else {
            continue;
        };
        let share = |orientation| {
            let [low, this, high] = [
                Lesson::Consistency.name(),
                &method.name,
                Lesson::Supervised.name(),
            ]
            .map(|name| psnr(name, point, orientation));
            let (low, this, high) = (low?, this?, high?);
            Some((this - low) / (high - low))
        };
        let [upright, rotated] = Orientation::BOTH
            .map(share)
            .map(|s| s.into_iter().collect());
        let same = |r: &&mut Recovered| r.method == method.name && r.group == group;
        match found.iter_mut().find(same) {
            Some(entry) => {
                entry.upright.extend::<Vec<f64>>(upright);
                entry.rotated.extend::<Vec<f64>>(rotated);
            }
            None => found.push(Recovered {
                method: method.name.clone(),
                group,
                upright,
                rotated,
            }),
        }
    }
    found
}

/// Plot, pictures, `metrics.json`, `report.html`.
fn finish(
    subject: Subject,
    trials: &Trials<'_>,
    settings: &Settings,
    images: usize,
) -> Result<UnsupervisedResults> {
    let results = trials.results(subject.name(), subject.described(settings));
    let result = UnsupervisedResults {
        recovered: recovered(&trials.points),
        results,
    };
    let [residual, equivariance] = subject.weights();
    let mut page = Page::new("Learning from measurements alone");
    page.paragraph(&format!(
        "{}, on {}. U-Nets on the pseudo-inverse of width {} (C4, equivariant by design: {}), {} levels, {} steps on {images} images, {} seeds. mc: measurement consistency; ei: equivariant imaging (weights {residual} and {equivariance}); rei: with SURE and noise; supervised: with ground truth, which the others never read. PSNR with the maximum of the reference as the peak.",
        result.results.problem,
        result.results.adapter,
        settings.width,
        2 * settings.width,
        settings.levels,
        settings.steps,
        settings.seeds,
    ));
    page.table(&table(&result));
    let methods = by_method(&trials.points);
    let labels: Vec<String> = methods.iter().map(|m| m[0].method.label()).collect();
    let groups: Vec<&str> = labels.iter().map(String::as_str).collect();
    let series = Orientation::BOTH.map(|orientation| {
        let scores = methods.iter().map(|points| {
            let pooled = pooled(points, orientation);
            pooled.per_image.iter().map(|s| s.psnr).collect()
        });
        Series::new(orientation.name(), scores.collect())
    });
    let axes = Axes::new("PSNR of the test images", "training", "PSNR / dB");
    let plot = grouped_plot(&axes, &groups, &series, Mark::Violin)?;
    let caption = "PSNR of each test image, all seeds; the line is the median.";
    trials.plot(&mut page, "psnr", &plot, caption)?;
    for orientation in Orientation::BOTH {
        let index = result.results.tests / 2;
        let caption = format!("Test image {index}, {}", orientation.name());
        trials.sample(&mut page, orientation, index, subject.window(), &caption)?;
    }
    let out = &trials.options.out;
    write_json(&out.join("metrics.json"), &result)?;
    page.write(out.join("report.html"))?;
    Ok(result)
}

/// The results for people: means over test images and seeds, and the share of the gap between
/// measurement consistency and supervision that is closed, with its standard deviation over seeds.
pub fn table(result: &UnsupervisedResults) -> Table {
    let columns = [
        ("of the gap upright", Align::Right),
        ("of the gap rotated", Align::Right),
    ];
    let mut table = Table::new(COLUMNS.into_iter().chain(columns));
    for points in by_method(&result.results.methods) {
        let method = &points[0].method;
        let of = result.recovered.iter();
        let share = of
            .clone()
            .find(|r| r.method == method.name && Some(r.group) == method.group);
        let cell = |shares: &[f64]| match metrics::mean_and_sd(shares) {
            Some((mean, sd)) => format!("{:.0} +- {:.0} %", 100.0 * mean, 100.0 * sd),
            None => String::new(),
        };
        let shares = match share {
            Some(share) => [cell(&share.upright), cell(&share.rotated)],
            None => [String::new(), String::new()],
        };
        table.row(cells(&points).into_iter().chain(shares));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::scores::{Method, Scores};
    use super::*;

    fn point(name: &str, m: usize, seed: u64, psnr: f64) -> Point {
        let score = Scores {
            psnr,
            ssim_l2: 0.0,
            ssim_l1: 0.0,
        };
        let mut method = Method::unscored(name);
        method.group = Some(Group::cyclic(m));
        method.upright = Summary::from(vec![score]);
        method.rotated = Some(Summary::from(vec![score]));
        Point {
            images: Some(1),
            seed: Some(seed),
            method,
        }
    }

    #[test]
    fn the_gap_is_that_of_the_same_network_and_seed() {
        let points = [
            point("mc", 1, 1, 20.0),
            point("ei", 1, 1, 23.0),
            point("supervised", 1, 1, 24.0),
            point("mc", 4, 1, 10.0),
            point("ei", 4, 1, 11.0),
            point("supervised", 4, 1, 14.0),
            point("mc", 1, 2, 20.0),
            point("ei", 1, 2, 22.0),
            point("supervised", 1, 2, 24.0),
        ];
        let found = recovered(&points);
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].group, &found[0].upright[..]),
            (Group::TRIVIAL, &[0.75, 0.5][..])
        );
        assert_eq!(found[1].rotated, [0.25]);
    }

    #[test]
    fn only_supervision_asks_for_ground_truth() {
        for subject in [
            Subject::Ct,
            Subject::NoisyCt,
            Subject::Mri,
            Subject::Inpainting,
        ] {
            for &lesson in subject.lessons() {
                let asks = subject.loss(lesson).iter().any(Term::needs_truth);
                assert_eq!(asks, lesson == Lesson::Supervised, "{subject:?} {lesson:?}");
            }
        }
    }

    #[test]
    fn every_problem_of_every_scale_can_be_built() {
        for scale in [Scale::Smoke, Scale::Small, Scale::Paper] {
            for subject in [
                Subject::Ct,
                Subject::NoisyCt,
                Subject::Mri,
                Subject::Inpainting,
            ] {
                let settings = Settings::of_scale(subject, scale);
                let problem = Problem::new(&subject.problem(&settings)).expect("valid");
                let domain = problem.operator.domain();
                assert_eq!([domain.h(), domain.w()], [settings.size; 2]);
                // There is something to be learned.
                assert!(
                    problem.operator.measured() < domain.elements(),
                    "{subject:?}"
                );
            }
        }
    }

    #[test]
    fn both_networks_have_about_as_many_parameters() {
        let settings = Settings::of_scale(Subject::Ct, Scale::Small);
        let counts = settings.networks().map(|network| {
            let problem = Subject::Ct.problem(&settings);
            let config = settings.config(&problem, Path::new("x"), network, Vec::new(), 0);
            let ModelConfig::UNet(unet) = &config.model else {
                panic!("another model");
            };
            let unet = crate::models::UNet::new(unet, 1).expect("valid");
            crate::models::Network::parameters(&unet).count() as f64
        });
        let ratio = counts[1] / counts[0];
        assert!((0.8..1.2).contains(&ratio), "{counts:?}");
    }
}
