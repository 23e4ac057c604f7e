//! `equilens evaluate`.

use super::global::Session;
use super::problem::ray_transform;
use super::reconstruct::Choice;
use super::stacks::{Stack, about_file};
use super::{outputs, pictures};
use crate::data::panel::{Figure, Panel};
use crate::data::{Image, Stream, files};
use crate::error::Result;
use crate::experiments::Summary;
use crate::gpu::Gpu;
use crate::metrics;
use crate::operators::{self, Filter};
use crate::problems::Problem;
use crate::report::{Align, Table};
use crate::tape::Tape;
use crate::tape::plan::{Options, Plan, Store};
use crate::train::{ModelConfig, Reconstructor, RunDir, Which};
use clap::Args;
use serde::Serialize;
use serde_json::json;
use std::f64::consts::TAU;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Simulate measurements of test images, reconstruct them, and compare with the truth
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  equilens evaluate runs/c4 --images test.npy
  equilens evaluate runs/c4 --images test.npy --rotate 1 --out results
  equilens --json evaluate runs/c4 --images test.npy > scores.json

PSNR takes the maximum of each true image as the peak; SSIM is given for data ranges 2 and 1.
--out gets metrics.json, the reconstructions and pictures of them beside the truth.")]
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
    /// Write scores, reconstructions and pictures into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Which of the run's checkpoints
    #[arg(long, value_enum, default_value = "best")]
    checkpoint: Choice,
}

#[derive(Clone, Debug, Serialize)]
struct Method {
    name: &'static str,
    parameters: usize,
    train_seconds: f64,
    upright: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated: Option<Summary>,
}

/// Images of one orientation: the truth and each method's reconstruction of it.
struct Case {
    truth: Stack,
    fbp: Stack,
    network: Stack,
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
        let case = reconstruct(&gpu, &problem, &network, images, seed);
        about_file(case, &arguments.images)
    };
    let upright = evaluate(&images)?;
    let rotated = match arguments.rotate {
        Some(seed) => Some(evaluate(&turned(&images, seed)?)?),
        None => None,
    };
    gpu.check_fault()?;
    let score = |reconstructions: fn(&Case) -> &Stack| -> Result<(Summary, Option<Summary>)> {
        let scores = |case: &Case| {
            let scores = compare(&case.truth, reconstructions(case));
            about_file(scores, &arguments.images)
        };
        Ok((scores(&upright)?, rotated.as_ref().map(scores).transpose()?))
    };
    let (fbp_upright, fbp_rotated) = score(|case| &case.fbp)?;
    let (upright_scores, rotated_scores) = score(|case| &case.network)?;
    let ModelConfig::LearnedProximalGradient(model) = &run.config().model;
    let methods = [
        Method {
            name: "fbp",
            parameters: 0,
            train_seconds: 0.0,
            upright: fbp_upright,
            rotated: fbp_rotated,
        },
        Method {
            name: if model.group.order() == 1 {
                "ordinary"
            } else {
                "equivariant"
            },
            parameters: network.parameters(),
            train_seconds: state.seconds,
            upright: upright_scores,
            rotated: rotated_scores,
        },
    ];
    let document = json!({
        "problem": problem.operator.name(),
        "seed": seed,
        "rotate": arguments.rotate,
        "methods": methods,
    });
    if let Some(out) = &arguments.out {
        files::create_directory(out)?;
        write(&out.join("upright"), &upright)?;
        if let Some(rotated) = &rotated {
            write(&out.join("rotated"), rotated)?;
        }
        let text = format!("{document:#}\n");
        files::write_bytes(out.join("metrics.json"), text.as_bytes())?;
    }
    session
        .console
        .result(&document, || table(&methods).to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Every image turned about its centre by its own random angle (bilinear, zero outside).
fn turned(images: &Stack, seed: u64) -> Result<Stack> {
    let mut angles = Stream::new(seed, "rotation");
    let item = images.item();
    let mut values = Vec::with_capacity(images.values.len());
    for image in images.values.chunks_exact(item.elements()) {
        let angle = angles.between(0.0, TAU);
        for plane in image.chunks_exact(item.h() * item.w()) {
            let plane = Image::new([item.h(), item.w()], plane.to_vec())?;
            values.extend(plane.rotated(angle).pixels);
        }
    }
    Ok(images.with_items(values, item))
}

fn reconstruct(
    gpu: &Gpu,
    problem: &Problem,
    network: &Reconstructor,
    images: &Stack,
    seed: u64,
) -> Result<Case> {
    let store = Store::new(gpu);
    let domain = problem.operator.domain();
    let truth = problem.ground_truth(&images.values, images.shape)?;
    let measured = problem.simulate(&store, &images.values, images.shape, seed)?;
    let operator = ray_transform(problem)?;
    let mut tape = Tape::new();
    let y = tape.input("y", problem.operator.range());
    let fbp = operators::fbp(&mut tape, y, &operator, Filter::default())?;
    let plan = Plan::compile(&tape, &[fbp], &store, Options::default())?;
    let mut back_projected = Vec::with_capacity(truth.len());
    for values in measured.chunks_exact(y.shape().elements()) {
        plan.run(&[("y", values)])?;
        back_projected.extend(plan.read(fbp)?);
    }
    let learned = network.reconstruct(&measured, images.count())?;
    Ok(Case {
        truth: images.with_items(truth, domain),
        fbp: images.with_items(back_projected, domain),
        network: images.with_items(learned, domain),
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

/// The reconstructions as arrays, and a row of pictures for each image.
fn write(directory: &Path, case: &Case) -> Result<()> {
    files::create_directory(directory)?;
    for (name, stack) in [
        ("truth", &case.truth),
        ("fbp", &case.fbp),
        ("network", &case.network),
    ] {
        stack.write(&directory.join(format!("{name}.npy")))?;
    }
    let rows = pictures::images(&case.truth)?
        .into_iter()
        .zip(pictures::images(&case.fbp)?)
        .zip(pictures::images(&case.network)?);
    for (i, ((truth, fbp), network)) in rows.enumerate() {
        let white = truth.range().1.max(f32::MIN_POSITIVE);
        let window = [0.0, white];
        let limit = 0.2 * white;
        let label = |name: &str, image: &Image| -> Result<String> {
            let psnr = metrics::psnr(&truth.pixels, &image.pixels)?;
            Ok(format!("{name}\n{psnr:.2} dB"))
        };
        let row = vec![
            Panel::grey("truth", truth.clone(), window),
            Panel::grey(label("fbp", &fbp)?, fbp.clone(), window),
            Panel::grey(label("network", &network)?, network.clone(), window),
            Panel::error("fbp error", &truth, &fbp, limit)?,
            Panel::error("network error", &truth, &network, limit)?,
        ];
        let zoom = (256 / truth.size()[0].max(1)).clamp(1, 8);
        let picture = Figure::new(zoom).row(row).render()?;
        picture.write_png(directory.join(format!("{i:03}.png")))?;
    }
    Ok(())
}

fn table(methods: &[Method]) -> Table {
    let mut table = Table::new([
        ("method", Align::Left),
        ("parameters", Align::Right),
        ("images", Align::Left),
        ("PSNR dB", Align::Right),
        ("sd", Align::Right),
        ("SSIM (L=2)", Align::Right),
        ("SSIM (L=1)", Align::Right),
    ]);
    for method in methods {
        let sets = [
            ("upright", Some(&method.upright)),
            ("rotated", method.rotated.as_ref()),
        ];
        for (set, scores) in sets {
            let Some(scores) = scores else { continue };
            table.row([
                method.name.to_string(),
                method.parameters.to_string(),
                set.to_string(),
                format!("{:.2}", scores.psnr),
                format!("{:.2}", scores.psnr_sd),
                format!("{:.4}", scores.ssim_l2),
                format!("{:.4}", scores.ssim_l1),
            ]);
        }
    }
    table
}
