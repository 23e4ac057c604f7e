//! `equilens evaluate`.

use super::global::Session;
use super::outputs::about_file;
use super::reconstruct::Choice;
use super::{outputs, pictures};
use crate::data::stack::Stack;
use crate::data::{Image, Stream};
use crate::error::Result;
use crate::experiments::{self, Method, Summary};
use crate::files;
use crate::gpu::Gpu;
use crate::problems::Problem;
use crate::solvers::{self, Iterative, Tv};
use crate::tape::plan::Store;
use crate::train::{Reconstructor, RunDir, Which};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Simulate measurements of test images, reconstruct them by network and classically, and compare
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  equilens evaluate runs/c4 --images test.npy
  equilens evaluate runs/c4 --images test.npy --rotate 1 --out results
  equilens evaluate runs/c4 --images test.npy --tv-weight 2e-3
  equilens --json evaluate runs/c4 --images test.npy > scores.json

The methods are fbp (Ram-Lak filter) or, for k-space, zero-filled; tv (real images not negative); and
the network: ordinary for the group C1, equivariant for any other. Complex images are compared by
their magnitudes. PSNR takes the maximum of each true image as the peak; SSIM is given for the data
range 1, in JSON for 2 as well. --out gets metrics.json, the reconstructions and pictures of them
beside the truth.")]
pub(super) struct Arguments {
    /// Directory of a training run
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Test images: [H, W] or [N, H, W], of the problem's size or a whole multiple of it
    #[arg(long, value_name = "X.npy")]
    images: PathBuf,
    /// Also turn each image by a random angle from this seed, and evaluate those
    #[arg(long, value_name = "SEED")]
    rotate: Option<u64>,
    /// Weight of TV, in the unit of the images
    #[arg(
        long,
        value_name = "W",
        default_value_t = 4e-3,
        allow_negative_numbers = true
    )]
    tv_weight: f64,
    /// Write scores, reconstructions and pictures into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Which of the run's checkpoints
    #[arg(long, value_enum, default_value = "best")]
    checkpoint: Choice,
}

/// Images of one orientation: the truth and each method's reconstruction of it.
struct Case {
    truth: Stack,
    reconstructions: [Stack; 3],
}

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode> {
    let run = RunDir::open(&arguments.run)?;
    if let Some(out) = &arguments.out {
        outputs::check_directory(out)?;
    }
    let problem = Problem::new(&run.config().problem)?;
    let which = Which::from(arguments.checkpoint);
    let (_, state) = run.describe(which)?;
    let images = Stack::read(&arguments.images, problem.operator.domain().c())?;
    // Before anything is simulated: sizes that do not fit.
    about_file(
        problem.ground_truth(&images.values, images.shape),
        &arguments.images,
    )?;
    let gpu = session.gpu()?;
    let seed = session.seed.unwrap_or(0);
    let network =
        Reconstructor::open(&gpu, &run, which, problem.operator.as_ref(), images.count())?;
    let evaluate = |images: &Stack| {
        let case = reconstruct(&gpu, &problem, &network, images, seed, arguments.tv_weight);
        about_file(case, &arguments.images)
    };
    let upright = evaluate(&images)?;
    let rotated = match arguments.rotate {
        Some(seed) => {
            let mut angles = Stream::new(seed, "rotation");
            let values = experiments::turned(&gpu, &images.values, images.shape, &mut angles)?;
            Some(evaluate(&images.with_items(values, images.item()))?)
        }
        None => None,
    };
    gpu.check_fault()?;
    let group = run.config().model.group();
    let trained = Method::network_name(group);
    let direct = problem.operator.pseudo_inverse_name();
    let rows = [
        (direct, None, 0, 0.0),
        ("tv", None, 0, 0.0),
        (trained, Some(group), network.parameters(), state.seconds),
    ];
    let mut methods = Vec::new();
    for (i, (name, group, parameters, train_seconds)) in rows.into_iter().enumerate() {
        let score = |case: &Case| {
            let scores = compare(&case.truth, &case.reconstructions[i]);
            about_file(scores, &arguments.images)
        };
        methods.push(Method {
            name: name.to_string(),
            group,
            parameters,
            train_seconds,
            upright: score(&upright)?,
            rotated: rotated.as_ref().map(score).transpose()?,
        });
    }
    let document = json!({
        "problem": problem.operator.name(),
        "seed": seed,
        "rotate": arguments.rotate,
        "tv_weight": arguments.tv_weight,
        "methods": methods,
    });
    if let Some(out) = &arguments.out {
        files::create_directory(out)?;
        // The reconstructions' names in files and pictures.
        let names = [direct, "tv", "network"];
        write(out, "upright", &upright, names)?;
        if let Some(rotated) = &rotated {
            write(out, "rotated", rotated, names)?;
        }
        let text = format!("{document:#}\n");
        files::write_bytes(out.join("metrics.json"), text.as_bytes())?;
    }
    session
        .console
        .result(&document, || Method::table(&methods).to_string())?;
    Ok(ExitCode::SUCCESS)
}

fn reconstruct(
    gpu: &Gpu,
    problem: &Problem,
    network: &Reconstructor,
    images: &Stack,
    seed: u64,
    tv_weight: f64,
) -> Result<Case> {
    let store = Store::new(gpu);
    let domain = problem.operator.domain();
    let truth = problem.ground_truth(&images.values, images.shape)?;
    let measured = problem.simulate(&store, &images.values, images.shape, seed)?;
    let operator = problem.operator.as_ref();
    let direct = solvers::pseudo_inverse(operator, &store, &measured, images.count())?;
    let tv = Tv {
        weight: tv_weight,
        ..Tv::for_images(domain)
    };
    // As many at once as the network takes.
    let item = operator.range().elements();
    let mut smooth = Vec::with_capacity(truth.len());
    for y in measured.chunks(network.batch() * item) {
        let solution = tv.solve(operator, &store, y, y.len() / item, &mut |_| {})?;
        smooth.extend(solution.images);
    }
    let learned = network.reconstruct(&measured, images.count())?;
    Ok(Case {
        truth: images.with_items(truth, domain),
        reconstructions: [direct, smooth, learned].map(|values| images.with_items(values, domain)),
    })
}

fn compare(truth: &Stack, images: &Stack) -> Result<Summary> {
    let flat = |stack: &Stack| -> Result<Vec<f32>> {
        let images = pictures::images(stack)?.into_iter();
        Ok(images.flat_map(|image| image.pixels).collect())
    };
    let item = truth.item();
    Summary::of(&flat(truth)?, &flat(images)?, [item.h(), item.w()])
}

/// The reconstructions of one set as arrays, and a picture for each image.
fn write(out: &Path, set: &str, case: &Case, names: [&str; 3]) -> Result<()> {
    let directory = out.join(set);
    files::create_directory(&directory)?;
    case.truth.write(&directory.join("truth.npy"))?;
    let mut shown = Vec::new();
    for (name, stack) in names.into_iter().zip(&case.reconstructions) {
        stack.write(&directory.join(format!("{name}.npy")))?;
        shown.push((name, pictures::images(stack)?));
    }
    for (i, truth) in pictures::images(&case.truth)?.iter().enumerate() {
        let white = truth.range().1.max(f32::MIN_POSITIVE);
        let row: Vec<(&str, Image)> = (shown.iter())
            .map(|(name, images)| (*name, images[i].clone()))
            .collect();
        let zoom = (256 / truth.size()[0].max(1)).clamp(1, 8);
        let window = [0.0, white];
        let picture = experiments::picture(set, truth, &row, window, 0.2 * white, zoom)?;
        picture.write_png(directory.join(format!("{i:03}.png")))?;
    }
    Ok(())
}
