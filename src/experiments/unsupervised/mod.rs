//! Learning from measurements alone: networks that improve the pseudo-inverse, trained by
//! measurement consistency, by equivariant imaging and, for comparison, with ground truth (Chen et
//! al. 2023, section V, figures 8 and 9).
//!
//! Ground truth is averaged onto the grid of the reconstructions before it is measured, so that `y =
//! A x` holds but for the noise: what these losses build on. The test images are of another patient,
//! upright and turned. On CT without noise the ordinary U-Net is compared with the one that is
//! equivariant under C4 by design, of about as many parameters (the open question of section VI).

mod subject;

use super::jobs::{Job, Trials};
use super::results::{COLUMNS, Point, Results, by_method, cells, pooled};
use super::scores::{Summary, write_json};
use super::study::{Orientation, Slices};
use super::{Event, Options};
use crate::data::Stream;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::group::Group;
use crate::metrics;
use crate::problems::Problem;
use crate::report::plot::{Axes, Mark, Series, grouped_plot};
use crate::report::{Align, Page, Table};
use serde::Serialize;
use std::sync::atomic::AtomicBool;
use subject::Lesson;
pub(super) use subject::Settings;
pub use subject::Subject;

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
}
