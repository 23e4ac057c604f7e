//! Training on a single image: an ordinary network and equivariant ones for CT, tested on that image
//! upright and turned by a quarter, as in Celledoni et al. 2021, figure 1, and on the slices of
//! another patient, upright and turned by random angles.
//!
//! The figure shows denoising; here the same is asked of a reconstruction. The tests on the training
//! image have noise of their own.

use super::inputs;
use super::jobs::{Job, Trials};
use super::networks::{Network, Training};
use super::results::{Point, Results, table};
use super::scores::{Summary, write_json};
use super::study::{Images, Orientation, Slices};
use super::{Event, Options, Scale};
use crate::data::Stream;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::problems::Problem;
use crate::report::Page;
use crate::shape::GridSymmetry;
use serde::Serialize;
use std::sync::atomic::AtomicBool;

/// The results, as `metrics.json` holds them.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct OneImageResults {
    /// On the slices of another patient.
    #[serde(flatten)]
    pub other: Results,
    /// On the training image with new noise; `rotated` is its quarter turn.
    pub training_image: Vec<Point>,
}

/// What a [`Scale`] stands for.
struct Settings {
    size: usize,
    seeds: u64,
    networks: Vec<Network>,
    training: Training,
}

impl Settings {
    fn of(scale: Scale) -> Self {
        match scale {
            Scale::Smoke => Settings {
                size: 32,
                seeds: 1,
                networks: Network::compared(4),
                training: Training::short(1, 20),
            },
            Scale::Small => Settings {
                size: 64,
                seeds: 2,
                networks: Network::compared(16),
                training: Training::short(3, 300),
            },
            Scale::Paper => Settings {
                size: 512,
                seeds: 1,
                networks: Network::published(),
                training: Training::published(),
            },
        }
    }
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
    gpu: &Gpu,
    options: &Options,
    interrupt: &AtomicBool,
    observer: &mut dyn FnMut(Event),
) -> Result<OneImageResults> {
    let mut settings = Settings::of(options.scale);
    settings.training.steps = options.steps.unwrap_or(settings.training.steps);
    let config = inputs::ct(settings.size);
    let mut angles = Stream::new(options.seed, "rotation");
    let own = options.images.as_ref();
    let slices = Slices::for_ct(gpu, own, &config, settings.size, &mut angles)?;
    let slices = with_training_image_first(slices)?;
    let problem = Problem::new(&config)?;
    // The first test image is the training image.
    let described = inputs::described_ct(settings.size);
    let (mut trials, train) = Trials::begin(
        gpu, options, problem, &slices, &described, interrupt, observer,
    )?;
    trials.classical(&slices.training)?;
    let mut jobs = Vec::new();
    for k in 0..settings.seeds {
        let seed = options.seed.wrapping_add(k);
        for &network in &settings.networks {
            jobs.push(Job {
                directory: format!("{}-{seed}", network.name),
                name: network.name,
                config: (settings.training).config(network, config.clone(), &train, 1, seed),
                pictured: k == 0,
            });
        }
    }
    trials.train(&jobs)?;
    finish(&trials, &settings)
}

/// The middle training image alone, and again as the first test image: as it is, and turned by a
/// quarter counter-clockwise.
fn with_training_image_first(slices: Slices) -> Result<Slices> {
    let training = slices.training.spread(1);
    let [h, w] = [training.shape.h(), training.shape.w()];
    let quarter = GridSymmetry::new(1, false);
    let source = |pixel: usize| {
        let (row, column) = quarter.source(pixel / w, pixel % w, h, w);
        training.values[row * w + column]
    };
    let turned: Vec<f32> = (0..h * w).map(source).collect();
    let before = |first: &[f32], images: Images| Images {
        values: [first, &images.values].concat(),
        shape: images.shape.with(0, images.shape.n() + 1),
    };
    Ok(Slices {
        upright: before(&training.values, slices.upright),
        rotated: before(&turned, slices.rotated),
        names: slices.names,
        training,
    })
}

/// The points with the scores of the training image alone, and with those of the others.
fn split(points: &[Point]) -> [Vec<Point>; 2] {
    let part = |own: bool| {
        let some = |summary: &Summary| {
            let (first, others) = summary.per_image.split_at(1);
            Summary::from(if own { first } else { others }.to_vec())
        };
        let mut points = points.to_vec();
        for Point { method, .. } in &mut points {
            method.upright = some(&method.upright);
            method.rotated = method.rotated.as_ref().map(some);
        }
        points
    };
    [part(true), part(false)]
}

/// Pictures, `metrics.json`, `report.html`.
fn finish(trials: &Trials<'_>, settings: &Settings) -> Result<OneImageResults> {
    let [training_image, others] = split(&trials.points);
    let results = trials.results("one-image", inputs::described_ct(settings.size));
    let result = OneImageResults {
        other: Results {
            tests: results.tests - 1,
            methods: others,
            ..results
        },
        training_image,
    };
    let mut page = Page::new("CT: trained on one image");
    page.paragraph(&format!(
        "{}, on {}. {} blocks, {} steps on one image, {} seeds together. PSNR with the maximum of the reference as the peak.",
        result.other.problem,
        result.other.adapter,
        settings.training.model.blocks,
        settings.training.steps,
        settings.seeds
    ));
    page.heading("The training image, with new noise, upright and turned by a quarter");
    page.table(&table(&result.training_image));
    for orientation in Orientation::BOTH {
        let caption = format!("The training image, {}", orientation.name());
        trials.sample(&mut page, orientation, 0, inputs::CT_WINDOW, &caption)?;
    }
    let tests = result.other.tests;
    page.heading(&format!(
        "{tests} slices of another patient, upright and turned by random angles"
    ));
    page.table(&table(&result.other.methods));
    for orientation in Orientation::BOTH {
        for index in [1 + tests / 4, 1 + tests / 2] {
            let caption = format!("Test image {index}, {}", orientation.name());
            trials.sample(&mut page, orientation, index, inputs::CT_WINDOW, &caption)?;
        }
    }
    let out = &trials.options.out;
    write_json(&out.join("metrics.json"), &result)?;
    page.write(out.join("report.html"))?;
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::super::scores::{Method, Scores};
    use super::*;
    use crate::shape::Shape;

    #[test]
    fn the_papers_scale_is_the_papers() {
        let paper = Settings::of(Scale::Paper);
        assert_eq!(paper.size, 512);
        assert_eq!(paper.networks, Network::published());
        assert_eq!(paper.training, Training::published());
    }

    #[test]
    fn the_training_image_is_tested_first_and_turned_exactly() {
        let images = |first: f32, count: usize| Images {
            values: (0..4 * count).map(|i| first + i as f32).collect(),
            shape: Shape::new(count, 1, 2, 2),
        };
        let slices = Slices {
            training: images(0.0, 3),
            upright: images(100.0, 2),
            rotated: images(200.0, 2),
            names: Orientation::BOTH.map(Orientation::name),
        };
        let found = with_training_image_first(slices).expect("fits");
        assert_eq!(found.training.values, [4.0, 5.0, 6.0, 7.0]);
        assert_eq!(found.upright.shape, Shape::new(3, 1, 2, 2));
        assert_eq!(found.upright.values[..5], [4.0, 5.0, 6.0, 7.0, 100.0]);
        // Counter-clockwise: the right column becomes the upper row.
        assert_eq!(found.rotated.values[..5], [5.0, 7.0, 4.0, 6.0, 200.0]);
    }

    #[test]
    fn scores_of_the_training_image_stand_alone() {
        let score = |psnr| Scores {
            psnr,
            ssim_l2: 0.0,
            ssim_l1: 0.0,
        };
        let mut method = Method::unscored("tv");
        method.upright = Summary::from([40.0, 20.0, 22.0].map(score).to_vec());
        let point = Point {
            images: None,
            seed: None,
            method,
        };
        let [own, others] = split(&[point]);
        assert_eq!(own[0].method.upright.psnr, 40.0);
        assert_eq!(others[0].method.upright.psnr, 21.0);
        assert!(others[0].method.rotated.is_none());
    }
}
