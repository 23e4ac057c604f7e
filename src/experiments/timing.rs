//! What a training step costs: ordinary against equivariant networks of one width, for CT and MRI
//! (Celledoni et al. 2021, section 5.2.4: 100 steps for MRI took 35.5 s and 41.9 s, 18 % more).

use super::scores::write_json;
use super::{Event, Scale};
use crate::data::Stream;
use crate::error::{Error, Result};
use crate::files;
use crate::gpu::Gpu;
use crate::group::Group;
use crate::models::{LearnedProximalGradientConfig, ModelConfig};
use crate::problems::{
    FourierConfig, ImageSize, OperatorConfig, Problem, ProblemConfig, RayTransformConfig,
};
use crate::report::{Align, Table};
use crate::tape::plan::Store;
use crate::train::{Dataset, ModelSpec, Recipe, Trainer};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What the experiment does.
#[derive(Clone, PartialEq, Debug)]
pub struct TimingOptions {
    /// How much.
    pub scale: Scale,
    /// Where `metrics.json` goes.
    pub out: PathBuf,
    /// Seed of parameters and data.
    pub seed: u64,
}

/// The training steps of one network.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Steps {
    /// `ordinary`, `equivariant-wide`.
    pub name: &'static str,
    /// The symmetry group.
    pub group: Group,
    /// Trained numbers.
    pub parameters: usize,
    /// Milliseconds of one step: the median over all rounds.
    pub step_ms: f64,
    /// Milliseconds of one step in each round.
    pub rounds_ms: Vec<f64>,
    /// Bytes of all buffers.
    pub peak_bytes: u64,
}

/// The networks for one problem.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Comparison {
    /// `ray_transform` or `fourier`.
    pub problem: String,
    /// Pixels along a side of the image.
    pub size: usize,
    /// Ordinary, then equivariant.
    pub networks: Vec<Steps>,
    /// Time of an equivariant step over that of an ordinary one: the median over the rounds, in
    /// each of which both were timed one after the other.
    pub ratio: f64,
}

/// The results, as `metrics.json` holds them.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TimingResult {
    /// `timing`.
    pub experiment: &'static str,
    /// How much was done.
    pub scale: Scale,
    /// The adapter that computed it.
    pub adapter: String,
    /// Channels inside the networks.
    pub width: usize,
    /// Unrolled iterations.
    pub blocks: usize,
    /// Timed steps of each network.
    pub steps: usize,
    /// CT and MRI.
    pub comparisons: Vec<Comparison>,
}

/// What a [`Scale`] stands for.
struct Settings {
    ct: usize,
    mri: usize,
    width: usize,
    blocks: usize,
    rounds: usize,
    /// Steps of each network in a round.
    steps: usize,
}

impl Settings {
    fn of(scale: Scale) -> Self {
        let [ct, mri, width, blocks, rounds, steps] = match scale {
            Scale::Smoke => [16, 16, 8, 2, 3, 2],
            Scale::Small => [64, 64, 32, 8, 10, 5],
            Scale::Paper => [512, 320, 96, 8, 10, 10],
        };
        Settings {
            ct,
            mri,
            width,
            blocks,
            rounds,
            steps,
        }
    }
}

/// Runs the experiment and writes its file.
///
/// # Errors
/// [`Error::Io`] if the directory cannot be written, before any work is done; [`Error::OutOfMemory`]
/// if the two networks do not fit together; [`Error::Interrupted`]; those of training.
pub fn run(
    gpu: &Gpu,
    options: &TimingOptions,
    interrupt: &AtomicBool,
    observer: &mut dyn FnMut(Event),
) -> Result<TimingResult> {
    let settings = Settings::of(options.scale);
    files::create_directory(&options.out)?;
    let ct = OperatorConfig::RayTransform(RayTransformConfig {
        image_size: ImageSize::Square(settings.ct),
        ..RayTransformConfig::default()
    });
    let mri = OperatorConfig::Fourier(FourierConfig {
        image_size: ImageSize::Square(settings.mri),
        ..FourierConfig::default()
    });
    let mut comparisons = Vec::new();
    for operator in [ct, mri] {
        let comparison = compare(gpu, options.seed, &settings, operator, interrupt)?;
        let [ordinary, equivariant] = [0, 1].map(|i| comparison.networks[i].step_ms);
        observer(Event::Line(format!(
            "{}: {ordinary:.1} ms a step ordinary, {equivariant:.1} ms equivariant, ratio {:.2}",
            comparison.problem, comparison.ratio
        )));
        comparisons.push(comparison);
    }
    let result = TimingResult {
        experiment: "timing",
        scale: options.scale,
        adapter: gpu.label(),
        width: settings.width,
        blocks: settings.blocks,
        steps: settings.rounds * settings.steps,
        comparisons,
    };
    write_json(&options.out.join("metrics.json"), &result)?;
    Ok(result)
}

fn compare(
    gpu: &Gpu,
    seed: u64,
    settings: &Settings,
    operator: OperatorConfig,
    interrupt: &AtomicBool,
) -> Result<Comparison> {
    let problem = Problem::new(&ProblemConfig {
        operator,
        ..ProblemConfig::default()
    })?;
    let operator = problem.operator.as_ref();
    let store = Store::new(gpu);
    // What the numbers are does not matter, as long as they are ordinary ones.
    let mut stream = Stream::new(seed, "timing");
    let mut noise = |count: usize| (0..count).map(|_| stream.uniform() as f32).collect();
    let (image, measurement) = (operator.domain(), operator.range());
    let (truth, y) = (noise(image.elements()), noise(measurement.elements()));
    let data = Dataset::new(truth, y, image, measurement)?;
    let mut networks = Vec::new();
    let mut trainers = Vec::new();
    for (name, group) in [
        ("ordinary", Group::cyclic(1)),
        ("equivariant-wide", Group::cyclic(4)),
    ] {
        let model = ModelConfig::LearnedProximalGradient(LearnedProximalGradientConfig {
            group,
            width: settings.width,
            blocks: settings.blocks,
            ..LearnedProximalGradientConfig::default()
        });
        let spec = ModelSpec::measure(&model, operator, &store)?;
        let mut trainer =
            Trainer::new(gpu, &spec, operator, &Recipe::default(), data.clone(), None)?;
        // Drivers compile at the first step.
        trainer.step()?;
        trainer.step()?;
        gpu.wait()?;
        networks.push(Steps {
            name,
            group,
            parameters: trainer.model().parameters().count(),
            step_ms: 0.0,
            rounds_ms: Vec::new(),
            peak_bytes: trainer.memory().total(),
        });
        trainers.push(trainer);
    }
    for _ in 0..settings.rounds {
        for (trainer, network) in trainers.iter_mut().zip(&mut networks) {
            if interrupt.load(Ordering::Relaxed) {
                return Err(Error::Interrupted(
                    "the timing stopped; run it again".into(),
                ));
            }
            let started = Instant::now();
            for _ in 0..settings.steps {
                trainer.step()?;
                gpu.wait()?;
            }
            let milliseconds = 1e3 * started.elapsed().as_secs_f64();
            network.rounds_ms.push(milliseconds / settings.steps as f64);
        }
    }
    for network in &mut networks {
        network.step_ms = median(network.rounds_ms.clone());
    }
    let pairs = networks[1].rounds_ms.iter().zip(&networks[0].rounds_ms);
    Ok(Comparison {
        problem: operator.name().to_string(),
        size: image.w(),
        ratio: median(pairs.map(|(a, b)| a / b).collect()),
        networks,
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[half],
        _ => 0.5 * (values[half - 1] + values[half]),
    }
}

/// The results for people.
pub fn table(result: &TimingResult) -> Table {
    let mut table = Table::new([
        ("problem", Align::Left),
        ("network", Align::Left),
        ("parameters", Align::Right),
        ("MiB", Align::Right),
        ("s for 100 steps", Align::Right),
        ("ratio", Align::Right),
    ]);
    for comparison in &result.comparisons {
        for (i, steps) in comparison.networks.iter().enumerate() {
            table.row([
                format!(
                    "{} {size}x{size}",
                    comparison.problem,
                    size = comparison.size
                ),
                steps.name.to_string(),
                steps.parameters.to_string(),
                format!("{:.0}", steps.peak_bytes as f64 / f64::from(1 << 20)),
                format!("{:.2}", 0.1 * steps.step_ms),
                match i {
                    0 => String::new(),
                    _ => format!("{:.2}", comparison.ratio),
                },
            ]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }
}
