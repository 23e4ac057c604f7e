//! Unrolled networks of low-dose CT with translational and with roto-translational parts: learned
//! proximal gradient, unrolled proximal gradient with a denoiser, untied and tied, and learned
//! primal-dual, each ordinary and equivariant under C4 with about as many parameters (Chen et al.
//! 2023, sections III-B and IV, figure 5).

use super::inputs;
use super::jobs::{Job, Trials};
use super::networks::Annealed;
use super::results::{
    self, COLUMNS, GAIN_COLUMNS, Point, Results, by_method, cells, gain_cell, pooled,
};
use super::scores::write_json;
use super::study::{Orientation, Slices};
use super::{Event, Options, Scale};
use crate::data::Stream;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::group::Group;
use crate::losses::Term;
use crate::models::{
    DenoisingCnnConfig, LearnedPrimalDualConfig, LearnedProximalGradientConfig, ModelConfig, Start,
    UnrolledProximalGradientConfig,
};
use crate::problems::{Problem, ProblemConfig};
use crate::report::plot::{Axes, Mark, Series, grouped_plot};
use crate::report::{Page, Table};
use crate::train::TrainConfig;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// What is unrolled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scheme {
    LearnedProximalGradient,
    Unrolled { tied: bool },
    PrimalDual,
}

impl Scheme {
    const ALL: [Scheme; 4] = [
        Scheme::LearnedProximalGradient,
        Scheme::Unrolled { tied: false },
        Scheme::Unrolled { tied: true },
        Scheme::PrimalDual,
    ];

    fn name(self) -> &'static str {
        match self {
            Scheme::LearnedProximalGradient => "proximal-gradient",
            Scheme::Unrolled { tied: false } => "unrolled",
            Scheme::Unrolled { tied: true } => "unrolled-tied",
            Scheme::PrimalDual => "primal-dual",
        }
    }
}

/// The groups that are compared, the one without rotations first.
fn groups() -> [Group; 2] {
    [Group::TRIVIAL, Group::cyclic(4)]
}

/// What a [`Scale`] stands for.
struct Settings {
    size: usize,
    seeds: u64,
    blocks: usize,
    /// Images, and measurements, that learned primal-dual carries.
    carried: usize,
    /// Channels of the ordinary networks; the equivariant ones have twice as many, which is about as
    /// many parameters.
    width: usize,
    steps: u64,
    learning_rate: f64,
}

impl Settings {
    fn of(scale: Scale) -> Self {
        match scale {
            Scale::Smoke => Settings {
                size: 32,
                seeds: 1,
                blocks: 2,
                carried: 2,
                width: 4,
                steps: 10,
                learning_rate: 3e-3,
            },
            Scale::Small => Settings {
                size: 64,
                seeds: 2,
                blocks: 4,
                carried: 5,
                width: 16,
                steps: 500,
                learning_rate: 3e-3,
            },
            Scale::Paper => Settings {
                size: 512,
                seeds: 1,
                blocks: 8,
                carried: 5,
                width: 96,
                steps: 100_000,
                learning_rate: 1e-4,
            },
        }
    }

    fn model(&self, scheme: Scheme, group: Group) -> ModelConfig {
        let blocks = self.blocks;
        let width = self.width * if group.is_trivial() { 1 } else { 2 };
        let start = Start::PseudoInverse;
        match scheme {
            Scheme::LearnedProximalGradient => {
                ModelConfig::LearnedProximalGradient(LearnedProximalGradientConfig {
                    group,
                    width,
                    blocks,
                    start,
                    residual: true,
                    ..LearnedProximalGradientConfig::default()
                })
            }
            Scheme::Unrolled { tied } => {
                ModelConfig::UnrolledProximalGradient(UnrolledProximalGradientConfig {
                    blocks,
                    tied,
                    start,
                    proximal: Box::new(ModelConfig::DenoisingCnn(DenoisingCnnConfig {
                        group,
                        width,
                        depth: 4,
                        ..DenoisingCnnConfig::default()
                    })),
                    ..UnrolledProximalGradientConfig::default()
                })
            }
            Scheme::PrimalDual => ModelConfig::LearnedPrimalDual(LearnedPrimalDualConfig {
                group,
                width,
                iterations: blocks,
                primal: self.carried,
                dual: self.carried,
                start,
                ..LearnedPrimalDualConfig::default()
            }),
        }
    }

    fn config(
        &self,
        model: ModelConfig,
        problem: &ProblemConfig,
        train: &Path,
        seed: u64,
    ) -> TrainConfig {
        let training = Annealed {
            steps: self.steps,
            batch: 1,
            learning_rate: self.learning_rate,
        };
        training.config(problem.clone(), train, model, vec![Term::default()], seed)
    }
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
) -> Result<Results> {
    let mut settings = Settings::of(options.scale);
    settings.steps = options.steps.unwrap_or(settings.steps);
    let config = inputs::ct(settings.size);
    let problem = Problem::new(&config)?;
    let mut angles = Stream::new(options.seed, "rotation");
    let own = options.images.as_ref();
    let slices = Slices::for_ct(gpu, own, &config, settings.size, &mut angles)?;
    let described = inputs::described_ct(settings.size);
    let (mut trials, train) = Trials::begin(
        gpu, options, problem, &slices, &described, interrupt, observer,
    )?;
    trials.classical(&slices.training)?;
    let mut jobs = Vec::new();
    for k in 0..settings.seeds {
        let seed = options.seed.wrapping_add(k);
        for scheme in Scheme::ALL {
            for group in groups() {
                let model = settings.model(scheme, group);
                jobs.push(Job {
                    directory: format!("{}-{group}-{seed}", scheme.name()),
                    name: scheme.name(),
                    config: settings.config(model, &config, &train, seed),
                    pictured: k == 0 && scheme != Scheme::Unrolled { tied: true },
                });
            }
        }
    }
    trials.train(&jobs)?;
    finish(&trials, &settings, &described)
}

/// The points of one scheme and one group.
fn of<'a>(points: &'a [Point], name: &str, group: Group) -> Vec<&'a Point> {
    let same = |p: &&Point| p.method.name == name && p.method.group == Some(group);
    points.iter().filter(same).collect()
}

/// Plot, pictures, `metrics.json`, `report.html`.
fn finish(trials: &Trials<'_>, settings: &Settings, described: &str) -> Result<Results> {
    let result = trials.results("unrolled", described.to_string());
    let mut page = Page::new("Unrolled networks: translations, and rotations as well");
    page.paragraph(&format!(
        "{}, on {}. {} blocks; ordinary convolutions (C1, width {}) and equivariant ones (C4, width {}); {} steps, {} seeds; test images of another patient. A gain is that of C4 over C1 with the same seed, image by image: the mean, and the least and largest of the seeds' means. PSNR with the maximum of the reference as the peak.",
        result.problem,
        result.adapter,
        settings.blocks,
        settings.width,
        2 * settings.width,
        settings.steps,
        settings.seeds
    ));
    page.table(&table(&result));
    let names = Scheme::ALL.map(Scheme::name);
    let points = &trials.points;
    for orientation in Orientation::BOTH {
        let series = groups().map(|group| {
            let scores = names.iter().map(|name| {
                let pooled = pooled(&of(points, name, group), orientation);
                pooled.per_image.iter().map(|s| s.psnr).collect()
            });
            Series::new(group.to_string(), scores.collect())
        });
        let title = format!("PSNR of the test images, {}", orientation.name());
        let axes = Axes::new(title, "network", "PSNR / dB");
        let plot = grouped_plot(&axes, &names, &series, Mark::Violin)?;
        let file = format!("psnr-{}", orientation.name());
        let caption = "PSNR of each test image, all seeds; the line is the median.";
        trials.plot(&mut page, &file, &plot, caption)?;
    }
    for orientation in Orientation::BOTH {
        let index = result.tests / 2;
        let caption = format!("Test image {index}, {}", orientation.name());
        trials.sample(&mut page, orientation, index, inputs::CT_WINDOW, &caption)?;
    }
    let out = &trials.options.out;
    write_json(&out.join("metrics.json"), &result)?;
    page.write(out.join("report.html"))?;
    Ok(result)
}

/// The results for people: means over test images and seeds, and what C4 gains over C1.
pub fn table(result: &Results) -> Table {
    let [ordinary, _] = groups();
    let mut table = Table::new(COLUMNS.into_iter().chain(GAIN_COLUMNS));
    for points in by_method(&result.methods) {
        let method = &points[0].method;
        let gains = Orientation::BOTH.map(|orientation| match method.group {
            Some(group) if group != ordinary => {
                let over = of(&result.methods, &method.name, ordinary);
                gain_cell(&results::gains(&points, &over, orientation))
            }
            _ => String::new(),
        });
        table.row(cells(&points).into_iter().chain(gains));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::OperatorFacts;

    #[test]
    fn both_groups_have_about_as_many_parameters() {
        let settings = Settings::of(Scale::Small);
        let problem = Problem::new(&inputs::ct(settings.size)).expect("valid");
        let facts = OperatorFacts::of(&*problem.operator, 1.0);
        for scheme in Scheme::ALL {
            let [c1, c4] = groups().map(|group| {
                let network = settings.model(scheme, group).build(&facts).expect("valid");
                network.parameters().count() as f64
            });
            assert!((0.7..1.3).contains(&(c4 / c1)), "{scheme:?}: {c1} {c4}");
        }
    }
}
