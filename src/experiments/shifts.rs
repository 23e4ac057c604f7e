//! Which networks generalise over shifts: a convolutional and a fully connected network, trained on
//! images in one place and tested on the same images, measured anew, and on shifted ones (and on those
//! of another patient). Blur commutes with circular shifts, and there the
//! convolutional network does; where a part of the image is missing the measurement does not commute,
//! and an equivariant network is not enough. What is: training on shifted images, measured anew (Chen
//! et al. 2023, section I and figure 1).

use super::inputs;
use super::jobs::{Job, Trials};
use super::networks::Annealed;
use super::results::{by_method, pooled};
use super::scores::{Summary, write_json};
use super::study::{Images, Orientation, Slices, Study};
use super::{Event, Options, Scale};
use crate::data::Stream;
use crate::error::Result;
use crate::files;
use crate::gpu::Gpu;
use crate::group::Group;
use crate::losses::{Augmentation, Supervised, Term, Transforms};
use crate::models::{DenoisingCnnConfig, FullyConnectedConfig, ModelConfig};
use crate::operators::{Boundary, Noise};
use crate::problems::{
    BlurConfig, FileOr, GaussianConfig, HoleConfig, ImageSize, InpaintingConfig, KernelConfig,
    OperatorConfig, PixelMaskConfig, Problem, ProblemConfig,
};
use crate::report::plot::{Axes, Mark, Series, grouped_plot};
use crate::report::{Align, Page, Table};
use crate::shape::Padding;
use crate::train::TrainConfig;
use serde::Serialize;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Standard deviation of the blur, in pixels.
const BLUR: f64 = 1.5;
/// Standard deviation of the noise of blurred images.
const SIGMA: f64 = 0.005;
/// Training images that are tested, at most.
const TESTED: usize = 12;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Subject {
    Deblurring,
    Inpainting,
}

impl Subject {
    const ALL: [Subject; 2] = [Subject::Deblurring, Subject::Inpainting];

    fn name(self) -> &'static str {
        match self {
            Subject::Deblurring => "deblurring",
            Subject::Inpainting => "inpainting",
        }
    }

    fn problem(self, size: usize) -> ProblemConfig {
        let image_size = ImageSize::Square(size);
        let (operator, noise) = match self {
            Subject::Deblurring => {
                let kernel = KernelConfig::Gaussian(GaussianConfig {
                    sigma: BLUR,
                    size: None,
                });
                let blur = BlurConfig {
                    image_size,
                    kernel: FileOr::Made(kernel),
                    boundary: Boundary::Circular,
                };
                (OperatorConfig::Blur(blur), Noise::Gaussian { sigma: SIGMA })
            }
            Subject::Inpainting => {
                let hole = PixelMaskConfig::Hole(HoleConfig {
                    size: ImageSize::Square(size / 4),
                    at: None,
                });
                let inpainting = InpaintingConfig {
                    image_size,
                    mask: FileOr::Made(hole),
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

    fn described(self, size: usize) -> String {
        match self {
            Subject::Deblurring => format!(
                "deblurring (circular, Gaussian of {BLUR} pixels, noise {SIGMA}), {size} x {size} pixels"
            ),
            Subject::Inpainting => format!(
                "inpainting (a square of {hole} x {hole} pixels in the middle is missing), {size} x {size} pixels",
                hole = size / 4
            ),
        }
    }
}

/// What is trained, and on what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Lesson {
    connected: bool,
    shifted: bool,
}

impl Lesson {
    const ALL: [Lesson; 4] = [
        Lesson::new(false, false),
        Lesson::new(true, false),
        Lesson::new(false, true),
        Lesson::new(true, true),
    ];

    const fn new(connected: bool, shifted: bool) -> Self {
        Lesson { connected, shifted }
    }

    fn name(self) -> &'static str {
        match (self.connected, self.shifted) {
            (false, false) => "cnn",
            (true, false) => "fully-connected",
            (false, true) => "cnn-shifts",
            (true, true) => "fully-connected-shifts",
        }
    }

    /// Images in their place, or shifted by any number of pixels and measured anew in every step.
    fn loss(self) -> Term {
        if !self.shifted {
            return Term::Supervised(Supervised::default());
        }
        Term::Augmentation(Augmentation {
            transforms: Transforms {
                shift: 0.5,
                ..Transforms::default()
            },
            ..Augmentation::default()
        })
    }
}

/// What a [`Scale`] stands for.
struct Settings {
    size: usize,
    seeds: u64,
    /// Channels of the convolutional network.
    width: usize,
    depth: usize,
    /// Units of a layer of the fully connected network.
    units: usize,
    steps: u64,
    batch: usize,
    learning_rate: f64,
}

impl Settings {
    fn of(scale: Scale) -> Self {
        match scale {
            Scale::Smoke => Settings {
                size: 32,
                seeds: 1,
                width: 4,
                depth: 3,
                units: 32,
                steps: 10,
                batch: 1,
                learning_rate: 1e-3,
            },
            Scale::Small => Settings {
                size: 32,
                seeds: 2,
                width: 16,
                depth: 6,
                units: 512,
                steps: 1000,
                batch: 4,
                learning_rate: 1e-3,
            },
            Scale::Paper => Settings {
                size: 128,
                seeds: 3,
                width: 64,
                depth: 17,
                units: 2048,
                steps: 50_000,
                batch: 8,
                learning_rate: 1e-4,
            },
        }
    }

    fn model(&self, lesson: Lesson) -> ModelConfig {
        match lesson.connected {
            true => ModelConfig::FullyConnected(FullyConnectedConfig {
                width: self.units,
                ..FullyConnectedConfig::default()
            }),
            false => ModelConfig::DenoisingCnn(DenoisingCnnConfig {
                group: Group::TRIVIAL,
                width: self.width,
                depth: self.depth,
                // Equivariant under circular shifts to the bit.
                padding: Padding::Circular,
                ..DenoisingCnnConfig::default()
            }),
        }
    }

    fn config(&self, subject: Subject, lesson: Lesson, train: &Path, seed: u64) -> TrainConfig {
        let training = Annealed {
            steps: self.steps,
            batch: self.batch,
            learning_rate: self.learning_rate,
        };
        let model = self.model(lesson);
        training.config(
            subject.problem(self.size),
            train,
            model,
            vec![lesson.loss()],
            seed,
        )
    }
}

/// One network, or the pseudo-inverse.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// `cnn`, `fully-connected`, each also with `-shifts`; or the pseudo-inverse.
    pub name: String,
    /// The training's seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Trained numbers.
    pub parameters: usize,
    /// Seconds of training.
    pub train_seconds: f64,
    /// On the training images, measured anew.
    pub training: Pair,
    /// On images of another patient.
    pub other: Pair,
}

/// The scores of images in the place where training images are, and of the same images shifted.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Pair {
    /// As they are.
    pub in_place: Summary,
    /// Shifted.
    pub shifted: Summary,
}

/// The results of one problem.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ShiftsOf {
    /// What was reconstructed from what.
    pub problem: String,
    /// Training images that are tested.
    pub known: usize,
    /// Test images of another patient.
    pub tests: usize,
    /// Every network.
    pub methods: Vec<Row>,
}

/// The results, as `metrics.json` holds them.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ShiftsResults {
    /// The experiment's name.
    pub experiment: &'static str,
    /// How much was done.
    pub scale: Scale,
    /// The adapter that computed it.
    pub adapter: String,
    /// The first seed.
    pub seed: u64,
    /// Deblurring and inpainting.
    pub problems: Vec<ShiftsOf>,
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
) -> Result<ShiftsResults> {
    let mut settings = Settings::of(options.scale);
    settings.steps = options.steps.unwrap_or(settings.steps);
    let size = settings.size;
    let mut angles = Stream::new(options.seed, "rotation");
    let scan = inputs::ct(size);
    let slices = Slices::for_ct(gpu, options.images.as_ref(), &scan, size, &mut angles)?;
    let slices = slices.averaged(&Problem::new(&scan)?)?;
    let other = in_place_and_shifted(slices.training.clone(), slices.upright, options.seed);
    let known = slices.training.shape.n().min(TESTED);
    let known = slices.training.spread(known);
    let known = in_place_and_shifted(slices.training, known, options.seed.wrapping_add(1));
    observer(Event::Line(format!(
        "On {}: CT slices of {size} x {size} pixels; {} training images in place; {} of them and {} of another patient are tested, in place and shifted.",
        gpu.label(),
        known.training.shape.n(),
        known.upright.shape.n(),
        other.upright.shape.n()
    )));
    files::create_directory(&options.out)?;
    let train = other.write(&options.out)?;
    let mut page = Page::new("Which networks generalise over shifts");
    page.paragraph(&format!(
        "On {}. DnCNN of {} circular convolutions, width {}, and a fully connected network, {} units, both improving the pseudo-inverse; {} steps of {} images, {} seeds. Trained on images in one place, or with `-shifts` on the same images shifted at random and measured anew in every step; tested on training images and on images of another patient, in place and shifted circularly. PSNR with the maximum of the reference as the peak.",
        gpu.label(),
        settings.depth,
        settings.width,
        settings.units,
        settings.steps,
        settings.batch,
        settings.seeds
    ));
    let mut problems = Vec::new();
    for subject in Subject::ALL {
        let problem = Problem::new(&subject.problem(size))?;
        // Other noise than that of any training.
        let study = Study::new(gpu, problem, &known, options.seed.wrapping_add(1 << 32))?;
        let problem = Problem::new(&subject.problem(size))?;
        let other = Study::new(gpu, problem, &other, options.seed.wrapping_add(2 << 32))?;
        let own = Options {
            out: options.out.join(subject.name()),
            ..options.clone()
        };
        files::create_directory(&own.out)?;
        observer(Event::Line(format!("{}:", subject.described(size))));
        let mut trials = Trials::new(&own, study, interrupt, &mut *observer);
        trials.pseudo_inverse()?;
        let mut jobs = Vec::new();
        for k in 0..settings.seeds {
            let seed = options.seed.wrapping_add(k);
            for lesson in Lesson::ALL {
                jobs.push(Job {
                    directory: format!("{}-{seed}", lesson.name()),
                    name: lesson.name(),
                    config: settings.config(subject, lesson, &train, seed),
                    pictured: k == 0,
                });
            }
        }
        trials.train(&jobs)?;
        let rows = rows(&trials, &jobs, &other)?;
        problems.push(show(&trials, &mut page, subject.described(size), rows)?);
    }
    let result = ShiftsResults {
        experiment: "shifts",
        scale: options.scale,
        adapter: gpu.label(),
        seed: options.seed,
        problems,
    };
    write_json(&options.out.join("metrics.json"), &result)?;
    page.write(options.out.join("report.html"))?;
    Ok(result)
}

fn in_place_and_shifted(training: Images, images: Images, seed: u64) -> Slices {
    Slices {
        training,
        rotated: shifted(&images, seed),
        upright: images,
        names: ["in place", "shifted"],
    }
}

/// Each image shifted circularly by its own random numbers of rows and columns, between an eighth and a
/// quarter of the extent, to either side: farther than images in place differ from one another. Shifts
/// that leave nothing but air in the hole of [`Subject::Inpainting`] are drawn again, a hundred times at
/// most.
fn shifted(images: &Images, seed: u64) -> Images {
    let [h, w] = [images.shape.h(), images.shape.w()];
    let mut stream = Stream::new(seed, "shifts");
    let mut draw = |extent: usize| {
        let least = extent / 8;
        let by = least + stream.below(extent / 4 - least + 1);
        match stream.below(2) {
            0 => by,
            _ => extent - by,
        }
    };
    let mut values = Vec::with_capacity(images.values.len());
    for plane in images.values.chunks_exact(h * w) {
        let source = |i: usize, [down, right]: [usize; 2]| {
            plane[(i / w + h - down) % h * w + (i % w + w - right) % w]
        };
        let mut by = [draw(h), draw(w)];
        for _ in 0..100 {
            let [top, left] = [h, w].map(|extent| (extent - extent / 4) / 2);
            let hole =
                (top..top + h / 4).flat_map(|r| (left..left + w / 4).map(move |c| r * w + c));
            if hole.map(|i| source(i, by)).any(|v| v != 0.0) {
                break;
            }
            by = [draw(h), draw(w)];
        }
        values.extend((0..h * w).map(|i| source(i, by)));
    }
    Images {
        values,
        shape: images.shape,
    }
}

/// What was tested on the training images, with its scores on those of the other patient.
fn rows(trials: &Trials<'_>, jobs: &[Job], other: &Study<'_>) -> Result<Vec<Row>> {
    // The pseudo-inverse, then the networks.
    let networks = std::iter::once(None).chain(jobs.iter().map(Some));
    let rows = trials.points.iter().zip(networks).map(|(p, job)| {
        let images = match job {
            None => other.pseudo_inverse()?,
            Some(job) => other.network(&trials.trained(job)?)?,
        };
        let [in_place, shifted] = Orientation::BOTH.map(|set| other.scores(&images, set));
        let known = Orientation::BOTH.map(|set| set.of_method(&p.method).cloned());
        let [known, known_shifted] = known.map(|s| s.unwrap_or_else(|| Summary::from(Vec::new())));
        Ok(Row {
            name: p.method.name.clone(),
            seed: p.seed,
            parameters: p.method.parameters,
            train_seconds: p.method.train_seconds,
            training: Pair {
                in_place: known,
                shifted: known_shifted,
            },
            other: Pair {
                in_place: in_place?,
                shifted: shifted?,
            },
        })
    });
    rows.collect()
}

/// Plot and pictures of one problem, and its results.
fn show(
    trials: &Trials<'_>,
    page: &mut Page,
    problem: String,
    methods: Vec<Row>,
) -> Result<ShiftsOf> {
    let found = ShiftsOf {
        problem,
        known: trials.study.tests(),
        tests: methods[0].other.in_place.per_image.len(),
        methods,
    };
    page.heading(&found.problem);
    page.table(&table(std::slice::from_ref(&found)));
    let methods = by_method(&trials.points);
    let names: Vec<&str> = methods.iter().map(|m| m[0].method.name.as_str()).collect();
    let series = Orientation::BOTH.map(|set| {
        let scores = methods.iter().map(|points| {
            let pooled = pooled(points, set);
            // An empty hole is filled perfectly by leaving it.
            let finite = pooled
                .per_image
                .iter()
                .map(|s| s.psnr)
                .filter(|v| v.is_finite());
            finite.collect()
        });
        Series::new(trials.study.name(set), scores.collect())
    });
    let axes = Axes::new("PSNR of the training images", "network", "PSNR / dB");
    let plot = grouped_plot(&axes, &names, &series, Mark::Violin)?;
    let caption = "PSNR of each training image, measured anew, all seeds; the line is the median.";
    trials.plot(page, "psnr", &plot, caption)?;
    for set in Orientation::BOTH {
        let index = found.known / 2;
        let caption = format!("Training image {index}, {}", trials.study.name(set));
        trials.sample(page, set, index, inputs::CT_WINDOW, &caption)?;
    }
    Ok(found)
}

/// The results for people: PSNR, means over images and seeds, on the training images and on those of
/// another patient.
pub fn table(problems: &[ShiftsOf]) -> Table {
    let mut table = Table::new([
        ("problem", Align::Left),
        ("method", Align::Left),
        ("parameters", Align::Right),
        ("train s", Align::Right),
        ("in place", Align::Right),
        ("shifted", Align::Right),
        ("another in place", Align::Right),
        ("shifted", Align::Right),
    ]);
    for problem in problems {
        let mut names: Vec<&str> = Vec::new();
        for row in &problem.methods {
            if !names.contains(&row.name.as_str()) {
                names.push(&row.name);
            }
        }
        for (k, name) in names.into_iter().enumerate() {
            let same = || problem.methods.iter().filter(|row| row.name == name);
            let scores: [fn(&Row) -> &Summary; 4] = [
                |row| &row.training.in_place,
                |row| &row.training.shifted,
                |row| &row.other.in_place,
                |row| &row.other.shifted,
            ];
            let count = same().count() as f64;
            let seconds = same().map(|row| row.train_seconds).sum::<f64>() / count;
            let parameters = same().next().map_or(0, |row| row.parameters);
            let cells = scores.map(|of| {
                let all = Summary::together(same().map(of));
                format!("{:.2} +- {:.2}", all.psnr, all.psnr_sd)
            });
            let title = problem.problem.split(' ').next().unwrap_or_default();
            let row = [
                if k == 0 {
                    title.to_string()
                } else {
                    String::new()
                },
                name.to_string(),
                match parameters {
                    0 => String::new(),
                    count => count.to_string(),
                },
                format!("{seconds:.0}"),
            ];
            table.row(row.into_iter().chain(cells));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Shape;

    #[test]
    fn shifts_are_far_circular_and_differ() {
        let shape = Shape::new(8, 1, 12, 16);
        let mut values = vec![0.0; shape.elements()];
        for n in 0..8 {
            values[n * 192] = 1.0 + n as f32;
        }
        let images = Images { values, shape };
        let moved = shifted(&images, 1);
        let mut places = Vec::new();
        for (n, plane) in moved.values.chunks_exact(192).enumerate() {
            let at = plane
                .iter()
                .position(|&v| v == 1.0 + n as f32)
                .expect("kept");
            assert_eq!(plane.iter().filter(|&&v| v != 0.0).count(), 1);
            let [down, right] = [at / 16, at % 16];
            let [down, right] = [down.min(12 - down), right.min(16 - right)];
            assert!(
                (1..=3).contains(&down) && (2..=4).contains(&right),
                "{down} {right}"
            );
            places.push(at);
        }
        places.sort_unstable();
        places.dedup();
        assert!(places.len() > 4, "{places:?}");
    }

    #[test]
    fn every_problem_and_network_of_every_scale_can_be_built() {
        for scale in [Scale::Smoke, Scale::Small, Scale::Paper] {
            let settings = Settings::of(scale);
            for subject in Subject::ALL {
                let problem = Problem::new(&subject.problem(settings.size)).expect("valid");
                let facts = crate::models::OperatorFacts::of(&*problem.operator, 1.0);
                for lesson in Lesson::ALL {
                    settings.model(lesson).build(&facts).expect("valid");
                }
            }
        }
    }
}
