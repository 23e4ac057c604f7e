//! How many training images it takes: ordinary and equivariant networks for MRI, trained on sets of
//! several sizes and tested on upright and on rotated images (Celledoni et al. 2021, section 5.4,
//! figures 9 and 10).

use super::inputs::{self, SIGMA};
use super::jobs::{Job, Trials};
use super::networks::{Network, Training};
use super::results::{PLOTTED, Plotted, Results, pooled, table};
use super::scores::write_json;
use super::study::{Orientation, Slices, Study};
use super::{Event, Options, Scale};
use crate::data::Stream;
use crate::error::{Error, Result};
use crate::files;
use crate::gpu::Gpu;
use crate::problems::Problem;
use crate::report::Page;
use crate::report::plot::{Axes, Mark, Series, grouped_plot};
use std::sync::atomic::AtomicBool;

/// What a [`Scale`] stands for.
struct Settings {
    size: usize,
    /// Training images; sizes beyond what there is are left out.
    images: &'static [usize],
    seeds: u64,
    networks: Vec<Network>,
    training: Training,
}

impl Settings {
    fn of(scale: Scale) -> Self {
        match scale {
            Scale::Smoke => Settings {
                size: 32,
                images: &[1, 4],
                seeds: 1,
                networks: Network::compared(4),
                training: Training::short(2, 40),
            },
            Scale::Small => Settings {
                size: 64,
                images: &[1, 3, 8, 24],
                seeds: 2,
                networks: Network::compared(16),
                training: Training::short(4, 500),
            },
            Scale::Paper => Settings {
                size: 320,
                images: &[10, 50, 100, 500, 1000, 5000],
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
/// [`Error::Io`] if the directory cannot be written, before any work is done; [`Error::Data`] about
/// images that do not fit; [`Error::Config`] if the directory holds another experiment;
/// [`Error::Interrupted`]; those of simulating and training.
pub fn run(
    gpu: &Gpu,
    options: &Options,
    interrupt: &AtomicBool,
    observer: &mut dyn FnMut(Event),
) -> Result<Results> {
    let mut settings = Settings::of(options.scale);
    settings.training.steps = options.steps.unwrap_or(settings.training.steps);
    let config = inputs::mri(settings.size);
    let mut angles = Stream::new(options.seed, "rotation");
    let slices = match &options.images {
        None => Slices::mri(gpu, settings.size, &mut angles)?,
        Some(paths) => Slices::own(gpu, paths, &config, settings.size, &mut angles)?,
    };
    let slices = slices.shuffled(options.seed);
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
    let problem = Problem::new(&config)?;
    observer(Event::Line(format!(
        "On {}: MRI of {size} x {size} pixels, {} training images at most, {} test images, upright and turned.",
        gpu.label(),
        sizes[sizes.len() - 1],
        slices.upright.shape.n(),
        size = settings.size,
    )));
    files::create_directory(&options.out)?;
    let train = slices.write(&options.out)?;
    // Other noise than that of any training.
    let study = Study::new(gpu, problem, &slices, options.seed.wrapping_add(1 << 32))?;
    let mut trials = Trials::new(options, study, interrupt, observer);
    trials.classical(&slices.training)?;
    let middle = sizes[sizes.len() / 2];
    let mut jobs = Vec::new();
    for &images in &sizes {
        for k in 0..settings.seeds {
            let seed = options.seed.wrapping_add(k);
            for &network in &settings.networks {
                jobs.push(Job {
                    directory: format!("{}-{images}-{seed}", network.name),
                    name: network.name,
                    config: (settings.training).config(
                        network,
                        config.clone(),
                        &train,
                        images,
                        seed,
                    ),
                    pictured: images == middle && k == 0,
                });
            }
        }
    }
    trials.train(&jobs)?;
    finish(&trials, &settings, &sizes, middle)
}

/// Plots, pictures, `metrics.json`, `report.html`.
fn finish(
    trials: &Trials<'_>,
    settings: &Settings,
    sizes: &[usize],
    middle: usize,
) -> Result<Results> {
    let result = trials.results(
        "mri-training-size",
        format!(
            "MRI, a fifth of the lines of k-space, noise {SIGMA}, {size} x {size} pixels",
            size = settings.size
        ),
    );
    let mut page = Page::new("MRI: how many training images it takes");
    page.paragraph(&format!(
        "{}, on {}. {} steps for each network; {} test images of another patient than the training images, {} seeds together. PSNR of magnitudes with the maximum of the reference as the peak.",
        result.problem, result.adapter, settings.training.steps, result.tests, settings.seeds
    ));
    page.table(&table(&result.methods));
    let groups: Vec<String> = sizes.iter().map(usize::to_string).collect();
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    for orientation in Orientation::BOTH {
        let title = orientation.name();
        page.heading(&format!("Test images, {title}"));
        for Plotted {
            name: score,
            axis,
            of,
        } in PLOTTED
        {
            let series: Vec<Series> = (settings.networks.iter())
                .map(|&Network { name, .. }| {
                    let scores = |&n: &usize| -> Vec<f64> {
                        let points = (trials.points.iter())
                            .filter(|p| p.method.name == name && p.images == Some(n));
                        let pooled = pooled(&points.collect::<Vec<_>>(), orientation);
                        pooled.per_image.iter().map(of).collect()
                    };
                    Series::new(name, sizes.iter().map(scores).collect())
                })
                .collect();
            let axes = Axes::new(
                format!("{score} of {title} test images by training images"),
                "training images",
                axis,
            );
            let plot = grouped_plot(&axes, &groups, &series, Mark::Violin)?;
            trials.plot(
                &mut page,
                &format!("{}-{title}", score.to_lowercase()),
                &plot,
                &format!("{score} of each {title} test image; the line is the median."),
            )?;
        }
        for index in [result.tests / 4, result.tests / 2] {
            let caption =
                format!("Test image {index}, {title}, networks trained on {middle} images");
            trials.sample(&mut page, orientation, index, inputs::MRI_WINDOW, &caption)?;
        }
    }
    let out = &trials.options.out;
    write_json(&out.join("metrics.json"), &result)?;
    page.write(out.join("report.html"))?;
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_scale_is_the_papers() {
        let paper = Settings::of(Scale::Paper);
        assert_eq!(paper.size, 320);
        assert_eq!(paper.networks, Network::published());
        assert_eq!(paper.training, Training::published());
    }
}
