//! Which rotations help: CT reconstructed by learned proximal gradient networks of one width that
//! are equivariant under C_m, against the order m (Celledoni et al. 2021, section 5.2.3, figure 6).
//!
//! All kernels are of the harmonic basis, also those for m = 1 (circular harmonics up to the
//! frequency 2: six of the nine of the ordinary network), so that only the group changes. The
//! networks are compared on validation images of another patient than the training images.

use super::inputs;
use super::jobs::{Job, Trials};
use super::networks::{Network, Training};
use super::results::{
    self, COLUMNS, GAIN_COLUMNS, PLOTTED, Plotted, Point, Results, by_method, cells, gain_cell,
    pooled,
};
use super::scores::write_json;
use super::study::{Orientation, Slices};
use super::{Event, Options, Scale};
use crate::data::Stream;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::group::Group;
use crate::nn::BasisKind;
use crate::problems::Problem;
use crate::report::plot::{Axes, Mark, Series, grouped_plot};
use crate::report::{Page, Table};
use std::sync::atomic::AtomicBool;

/// The orders m.
const ORDERS: [usize; 7] = [1, 2, 3, 4, 6, 8, 12];
/// What a [`Scale`] stands for.
struct Settings {
    size: usize,
    /// Training images, at most.
    images: usize,
    seeds: u64,
    /// Channels inside a block; every order divides it.
    width: usize,
    training: Training,
}

impl Settings {
    fn of(scale: Scale) -> Self {
        match scale {
            Scale::Smoke => Settings {
                size: 32,
                images: 2,
                seeds: 1,
                width: 24,
                training: Training::short(1, 10),
            },
            // Few images for many parameters, where symmetry has something to add: with 8 images of
            // 64 x 64 pixels and width 24 all networks underfit, and quality falls with m.
            Scale::Small => Settings {
                size: 32,
                images: 2,
                seeds: 2,
                width: 48,
                training: Training::short(2, 300),
            },
            Scale::Paper => Settings {
                size: 512,
                images: 100,
                seeds: 1,
                width: 96,
                training: Training::published(),
            },
        }
    }

    /// The networks, all of one width.
    fn networks(&self) -> [Network; 7] {
        ORDERS.map(|m| Network {
            name: "equivariant-wide",
            group: Group::cyclic(m),
            width: self.width,
            basis: BasisKind::Harmonic,
        })
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
) -> Result<Results> {
    let mut settings = Settings::of(options.scale);
    settings.training.steps = options.steps.unwrap_or(settings.training.steps);
    let config = inputs::ct(settings.size);
    let mut angles = Stream::new(options.seed, "rotation");
    let own = options.images.as_ref();
    let mut slices =
        Slices::for_ct(gpu, own, &config, settings.size, &mut angles)?.shuffled(options.seed);
    let images = settings.images.min(slices.training.shape.n());
    slices.training = slices.training.first(images);
    let problem = Problem::new(&config)?;
    let (mut trials, train) = Trials::begin(
        gpu,
        options,
        problem,
        &slices,
        &described(&settings),
        interrupt,
        observer,
    )?;
    trials.classical(&slices.training)?;
    let mut jobs = Vec::new();
    for k in 0..settings.seeds {
        let seed = options.seed.wrapping_add(k);
        for network in settings.networks() {
            jobs.push(Job {
                directory: format!("{}-{seed}", network.group),
                name: network.name,
                config: (settings.training).config(network, config.clone(), &train, images, seed),
                pictured: k == 0 && [1, 4, 12].contains(&network.group.order()),
            });
        }
    }
    trials.train(&jobs)?;
    finish(&trials, &settings, images)
}

fn described(settings: &Settings) -> String {
    inputs::described_ct(settings.size)
}

fn order(point: &Point) -> Option<usize> {
    point.method.group.map(|group| group.order())
}

/// For each seed, what order `m` gains over m = 1 in PSNR, image by image.
fn gains(points: &[Point], m: usize, orientation: Orientation) -> Vec<Vec<f64>> {
    let of = |m: usize| {
        points
            .iter()
            .filter(|p| order(p) == Some(m))
            .collect::<Vec<_>>()
    };
    results::gains(&of(m), &of(1), orientation)
}

/// Plots, pictures, `metrics.json`, `report.html`.
fn finish(trials: &Trials<'_>, settings: &Settings, images: usize) -> Result<Results> {
    let result = trials.results("orders", described(settings));
    let mut page = Page::new("CT: which group of rotations");
    page.paragraph(&format!(
        "{}, on {}. Networks of one width ({} channels) and of the harmonic basis, equivariant under C_m, {} blocks, {} steps on {images} images each; {} validation images of another patient, {} seeds together. Only m = 1, 2 and 4 turn the pixel grid onto itself. PSNR with the maximum of the reference as the peak.",
        result.problem,
        result.adapter,
        settings.width,
        settings.training.model.blocks,
        settings.training.steps,
        result.tests,
        settings.seeds
    ));
    page.table(&table(&result));
    let groups = ORDERS.map(|m| m.to_string());
    let groups = groups.each_ref().map(String::as_str);
    let axes = |title: String, unit: &str| Axes::new(title, "order m of C_m", unit);
    let points = &trials.points;
    for Plotted { name, axis, of } in PLOTTED {
        let series = Orientation::BOTH.map(|orientation| {
            let scores = |m: usize| -> Vec<f64> {
                let points = points.iter().filter(|p| order(p) == Some(m));
                let pooled = pooled(&points.collect::<Vec<_>>(), orientation);
                pooled.per_image.iter().map(of).collect()
            };
            Series::new(orientation.name(), ORDERS.map(scores).to_vec())
        });
        let axes = axes(format!("{name} of validation images by order"), axis);
        let plot = grouped_plot(&axes, &groups, &series, Mark::Violin)?;
        let caption = format!("{name} of each validation image; the line is the median.");
        trials.plot(&mut page, &name.to_lowercase(), &plot, &caption)?;
    }
    let series = Orientation::BOTH.map(|orientation| {
        let scores = |m: usize| gains(points, m, orientation).concat();
        Series::new(orientation.name(), ORDERS.map(scores).to_vec())
    });
    let title = "What each order gains over m = 1, image by image";
    let axes = axes(title.to_string(), "gain in PSNR / dB");
    let plot = grouped_plot(&axes, &groups, &series, Mark::Violin)?;
    let caption = format!("{title}, with the same seed; the line is the median.");
    trials.plot(&mut page, "gain", &plot, &caption)?;
    for orientation in Orientation::BOTH {
        let (title, index) = (orientation.name(), result.tests / 2);
        let caption = format!("Validation image {index}, {title}");
        trials.sample(&mut page, orientation, index, inputs::CT_WINDOW, &caption)?;
    }
    let out = &trials.options.out;
    write_json(&out.join("metrics.json"), &result)?;
    page.write(out.join("report.html"))?;
    Ok(result)
}

/// The results for people: means over validation images and seeds. What an order gains over m = 1
/// is followed by the least and the largest of the seeds' means.
pub fn table(result: &Results) -> Table {
    let mut table = Table::new(COLUMNS.into_iter().chain(GAIN_COLUMNS));
    for method in by_method(&result.methods) {
        let gain = |orientation| match order(method[0]) {
            None | Some(1) => String::new(),
            Some(m) => gain_cell(&gains(&result.methods, m, orientation)),
        };
        let gains = Orientation::BOTH.map(gain);
        table.row(cells(&method).into_iter().chain(gains));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::networks::parameters;
    use super::super::scores::{Method, Scores, Summary};
    use super::*;

    #[test]
    fn the_papers_scale_is_the_papers() {
        let paper = Settings::of(Scale::Paper);
        assert_eq!((paper.size, paper.images), (512, 100));
        assert_eq!(paper.training, Training::published());
        // Six of the nine kernels of the ordinary network, and the counts for the other orders.
        let ordinary = 754_992 - 8 * 3 * 96 * (7 + 96 + 6);
        let expected = [ordinary, 251_952, 167_984, 126_000, 84_016, 63_024, 42_032];
        let found = parameters(&paper.training, &paper.networks(), 1);
        assert_eq!(found, expected);
    }

    #[test]
    fn every_order_divides_every_width() {
        for scale in [Scale::Smoke, Scale::Small, Scale::Paper] {
            let width = Settings::of(scale).width;
            assert!(ORDERS.iter().all(|&m| width.is_multiple_of(m)), "{width}");
        }
    }

    #[test]
    fn gains_are_against_the_same_seed() {
        let point = |m: usize, seed: u64, psnr: [f64; 2]| {
            let score = |psnr| Scores {
                psnr,
                ssim_l2: 0.0,
                ssim_l1: 0.0,
            };
            let mut method = Method::unscored("equivariant-wide");
            method.group = Some(Group::cyclic(m));
            method.upright = Summary::from(psnr.map(score).to_vec());
            Point {
                images: Some(1),
                seed: Some(seed),
                method,
            }
        };
        let points = [
            point(1, 1, [20.0, 30.0]),
            point(4, 1, [21.0, 33.0]),
            point(1, 2, [10.0, 20.0]),
            point(4, 2, [9.0, 20.5]),
        ];
        let found = gains(&points, 4, Orientation::Upright);
        assert_eq!(found, [[1.0, 3.0], [-1.0, 0.5]]);
        assert!(gains(&points, 4, Orientation::Rotated).is_empty());
    }
}
