//! What data augmentation and equivariance by design each gain, against the number of training
//! images: U-Nets on few-view CT, ordinary and equivariant under C4, trained on the images as they
//! are or turned by random angles and measured anew (Chen et al. 2023, section IV).

use super::jobs::{Job, Trials};
use super::results::{PLOTTED, Plotted, Point, Results, pooled, table};
use super::scores::write_json;
use super::study::{Orientation, Slices};
use super::unsupervised::{Settings, Subject};
use super::{Event, Options, Scale, inputs};
use crate::data::Stream;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::losses::{Augmentation, Supervised, Term};
use crate::problems::Problem;
use crate::report::Page;
use crate::report::plot::{Axes, Mark, Series, grouped_plot};
use std::sync::atomic::AtomicBool;

/// Numbers of training images.
fn sizes(scale: Scale) -> &'static [usize] {
    match scale {
        Scale::Smoke => &[1, 2],
        Scale::Small | Scale::Paper => &[1, 24],
    }
}

/// As they are, or turned and measured anew.
fn lessons() -> [(&'static str, Term); 2] {
    [
        ("supervised", Term::Supervised(Supervised::default())),
        ("augmented", Term::Augmentation(Augmentation::default())),
    ]
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
    let settings = Settings::of(Subject::Ct, options);
    let config = Subject::Ct.problem(&settings);
    let problem = Problem::new(&config)?;
    let mut angles = Stream::new(options.seed, "rotation");
    let own = options.images.as_ref();
    let slices = Slices::for_ct(gpu, own, &config, settings.size, &mut angles)?;
    let slices = slices.shuffled(options.seed).averaged(&problem)?;
    let described = Subject::Ct.described(&settings);
    let (mut trials, train) = Trials::begin(
        gpu, options, problem, &slices, &described, interrupt, observer,
    )?;
    trials.untrained()?;
    let available = slices.training.shape.n();
    let sizes = sizes(options.scale).iter().map(|&n| n.min(available));
    let mut sizes: Vec<usize> = sizes.collect();
    sizes.dedup();
    let mut jobs = Vec::new();
    for k in 0..settings.seeds {
        let seed = options.seed.wrapping_add(k);
        for &images in &sizes {
            for network in settings.networks() {
                for (name, term) in lessons() {
                    let mut config = settings.config(&config, &train, network, vec![term], seed);
                    config.data.train_images = Some(images);
                    jobs.push(Job {
                        directory: format!("{name}-{}-{images}-{seed}", network.0),
                        name,
                        config,
                        pictured: k == 0 && images == sizes[0],
                    });
                }
            }
        }
    }
    trials.train(&jobs)?;
    finish(&trials, &settings, &sizes)
}

/// Plots, pictures, `metrics.json`, `report.html`.
fn finish(trials: &Trials<'_>, settings: &Settings, sizes: &[usize]) -> Result<Results> {
    let result = trials.results("augmentation", Subject::Ct.described(settings));
    let mut page = Page::new("Augmentation against equivariance by design");
    page.paragraph(&format!(
        "{}, on {}. U-Nets on the pseudo-inverse: ordinary (C1, width {}) and equivariant (C4, width {}), {} levels, {} steps, {} seeds; supervised on the images as they are, or on images turned by random angles and measured anew. PSNR with the maximum of the reference as the peak.",
        result.problem,
        result.adapter,
        settings.width,
        2 * settings.width,
        settings.levels,
        settings.steps,
        settings.seeds
    ));
    page.table(&table(&trials.points));
    let names: Vec<String> = sizes.iter().map(usize::to_string).collect();
    let groups: Vec<&str> = names.iter().map(String::as_str).collect();
    for orientation in Orientation::BOTH {
        for Plotted { name, axis, of } in PLOTTED {
            let mut series = Vec::new();
            for (group, _) in settings.networks() {
                for (lesson, _) in lessons() {
                    let scores = sizes.iter().map(|&images| {
                        let same = |p: &&Point| {
                            p.images == Some(images)
                                && p.method.name == lesson
                                && p.method.group == Some(group)
                        };
                        let points: Vec<&Point> = trials.points.iter().filter(same).collect();
                        let pooled = pooled(&points, orientation);
                        pooled.per_image.iter().map(of).collect()
                    });
                    series.push(Series::new(format!("{lesson} ({group})"), scores.collect()));
                }
            }
            let title = format!("{name} of the test images, {}", orientation.name());
            let axes = Axes::new(title, "training images", axis);
            let plot = grouped_plot(&axes, &groups, &series, Mark::Violin)?;
            let file = format!("{}-{}", name.to_lowercase(), orientation.name());
            let caption = format!("{name} of each test image; the line is the median.");
            trials.plot(&mut page, &file, &plot, &caption)?;
        }
    }
    for orientation in Orientation::BOTH {
        let index = result.tests / 2;
        let caption = format!(
            "Test image {index}, {}, trained on {} image(s)",
            orientation.name(),
            sizes[0]
        );
        trials.sample(&mut page, orientation, index, inputs::CT_WINDOW, &caption)?;
    }
    let out = &trials.options.out;
    write_json(&out.join("metrics.json"), &result)?;
    page.write(out.join("report.html"))?;
    Ok(result)
}
