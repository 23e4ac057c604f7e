//! Reconstruction by total variation as a system: turning an image before it is measured and
//! reconstructed, or the reconstruction afterwards, is not the same where pixels are missing, although
//! the penalty does not change under turns (Celledoni et al. 2021, section 4.1 and figure 2).

use super::scores::{picture, write_json};
use super::{Event, Options, Scale};
use crate::data::stack::Stack;
use crate::data::{Image, assets};
use crate::error::{Error, Result};
use crate::files;
use crate::gpu::Gpu;
use crate::metrics;
use crate::operators::{Identity, Inpainting, LinearOperator};
use crate::report::{Align, Page, Table};
use crate::shape::{Affine, Maps, Shape};
use crate::solvers::{Iterative, Tv};
use crate::tape::Tape;
use crate::tape::plan::{self, Plan, Store};
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};

/// The turn of the figure, in degrees, and one that maps pixels to pixels.
const TURNS: [f64; 2] = [20.0, 90.0];
/// White, and the error in full colour.
const WINDOW: [f32; 2] = [0.4, 0.1];

/// What a [`Scale`] stands for.
struct Settings {
    size: usize,
    iterations: usize,
}

impl Settings {
    fn of(scale: Scale) -> Self {
        match scale {
            Scale::Smoke => Settings {
                size: 32,
                iterations: 200,
            },
            Scale::Small => Settings {
                size: 128,
                iterations: 3000,
            },
            Scale::Paper => Settings {
                size: 256,
                iterations: 10_000,
            },
        }
    }
}

/// What is missing of the images.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Missing {
    /// A square beside the middle.
    Hole,
    /// A square in the middle, which a quarter turn maps to itself.
    Middle,
    Nothing,
}

impl Missing {
    const ALL: [Missing; 3] = [Missing::Hole, Missing::Middle, Missing::Nothing];

    fn name(self) -> &'static str {
        match self {
            Missing::Hole => "a square",
            Missing::Middle => "a square in the middle",
            Missing::Nothing => "nothing",
        }
    }

    fn operator(self, size: usize) -> Result<Box<dyn LinearOperator>> {
        let side = size / 4;
        let [top, left] = match self {
            Missing::Hole => [size / 2, size / 5],
            Missing::Middle => [(size - side) / 2; 2],
            Missing::Nothing => {
                return Ok(Box::new(Identity::new(Shape::new(1, 1, size, size))));
            }
        };
        let inside = |at: usize, first: usize| (first..first + side).contains(&at);
        let measured = |i: usize| !(inside(i / size, top) && inside(i % size, left));
        let measured: Vec<bool> = (0..size * size).map(measured).collect();
        Ok(Box::new(Inpainting::new([size, size], &measured)?))
    }
}

/// One operator and one turn.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Case {
    /// What is missing.
    pub missing: &'static str,
    /// The turn, in degrees.
    pub degrees: f64,
    /// `|Phi(A R u) - R Phi(A u)| / |R u|` within the largest disc.
    pub difference: f64,
    /// PSNR of `Phi(A R u)` against `R u`, in decibels, within the disc.
    pub turned_before: f64,
    /// PSNR of `R Phi(A u)` against `R u`, within the disc.
    pub turned_after: f64,
}

/// The results, as `metrics.json` holds them.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TvInpaintingResults {
    /// The experiment's name.
    pub experiment: &'static str,
    /// How much was done.
    pub scale: Scale,
    /// The adapter that computed it.
    pub adapter: String,
    /// Rows and columns of the image.
    pub size: usize,
    /// Weight of the total variation.
    pub weight: f64,
    /// Every operator with every turn.
    pub cases: Vec<Case>,
}

/// Runs the experiment and writes its files. Of one's own images the first test image is taken.
///
/// # Errors
/// [`Error::Io`] if the directory cannot be written, before any work is done; [`Error::Data`] about
/// images that do not fit; [`Error::Interrupted`]; those of solving.
pub fn run(
    gpu: &Gpu,
    options: &Options,
    interrupt: &AtomicBool,
    observer: &mut dyn FnMut(Event),
) -> Result<TvInpaintingResults> {
    let Settings { size, iterations } = Settings::of(options.scale);
    let iterations = options.steps.map_or(iterations, |steps| steps as usize);
    let image = image(options, size)?;
    files::create_directory(&options.out)?;
    let mut page = Page::new("Total variation is not equivariant as a system");
    let tv = Tv {
        weight: 1e-3,
        iterations,
        tolerance: 1e-6,
        ..Tv::for_images(Shape::new(1, 1, size, size))
    };
    page.paragraph(&format!(
        "A slice of {size} x {size} pixels, on {}; total variation with the weight {}. R turns about the centre (bilinear, zero outside), A leaves pixels out, Phi reconstructs.",
        gpu.label(),
        tv.weight
    ));
    let mut cases = Vec::new();
    for missing in Missing::ALL {
        for degrees in TURNS {
            if interrupt.load(Ordering::Relaxed) {
                return Err(Error::Interrupted(
                    "the experiment stopped and wrote nothing; it takes minutes, so start it again"
                        .into(),
                ));
            }
            let operator = missing.operator(size)?;
            let bench = Bench {
                gpu,
                operator: &*operator,
                tv: &tv,
                degrees,
            };
            let turned = bench.turned(&image)?;
            let before = bench.reconstructed(&turned)?;
            let after = bench.turned(&bench.reconstructed(&image)?)?;
            let case = case(missing, degrees, &turned, &before, &after)?;
            observer(Event::Line(format!(
                "{} missing, {degrees} degrees: Phi A R and R Phi A differ by {:.2e}",
                case.missing, case.difference
            )));
            if missing == Missing::Hole && degrees == TURNS[0] {
                let shown = [
                    ("A R u", bench.measured(&turned)?),
                    ("Phi A R u", before),
                    ("R Phi A u", after),
                ];
                let zoom = (256 / size).max(1);
                let title = format!("turned by {degrees} degrees");
                let png = picture(&title, &turned, &shown, [0.0, WINDOW[0]], WINDOW[1], zoom)?;
                let png = png.to_png()?;
                files::write_bytes(options.out.join("turned.png"), &png)?;
                page.picture(
                    &png,
                    "The turned slice; what is measured of it; reconstructed after turning; turned after reconstruction.",
                );
            }
            cases.push(case);
        }
    }
    let result = TvInpaintingResults {
        experiment: "tv-inpainting",
        scale: options.scale,
        adapter: gpu.label(),
        size,
        weight: tv.weight,
        cases,
    };
    page.table(&table(&result));
    write_json(&options.out.join("metrics.json"), &result)?;
    page.write(options.out.join("report.html"))?;
    Ok(result)
}

/// The middle test slice, or the first of one's own, of `size` x `size` pixels.
fn image(options: &Options, size: usize) -> Result<Image> {
    let mut image = match &options.images {
        None => {
            let mut slices = assets::ct_test();
            slices.swap_remove(slices.len() / 2)
        }
        Some([_, test]) => {
            let stack = Stack::read(test, 1)?;
            let [h, w] = [stack.item().h(), stack.item().w()];
            Image::new([h, w], stack.values[..h * w].to_vec())?
        }
    };
    while image.rows > size && image.rows.is_multiple_of(2) && image.columns.is_multiple_of(2) {
        image = image.downsampled()?;
    }
    match image.size() == [size; 2] {
        true => Ok(image),
        false => Err(Error::data(
            "the test image",
            format!(
                "it has {}x{} pixels after halving, and this scale takes {size}x{size}, or that times a power of two",
                image.rows, image.columns
            ),
        )),
    }
}

struct Bench<'a> {
    gpu: &'a Gpu,
    operator: &'a dyn LinearOperator,
    tv: &'a Tv,
    degrees: f64,
}

impl Bench<'_> {
    /// `R u`.
    fn turned(&self, u: &Image) -> Result<Image> {
        let mut tape = Tape::new();
        let x = tape.input("image", Shape::new(1, 1, u.rows, u.columns));
        let maps = tape.input("maps", Maps::shape(1));
        let y = tape.warp(x, maps)?;
        let plan = Plan::compile(&tape, &[y], &Store::new(self.gpu), plan::Options::default())?;
        let map = Maps::of(&[Affine::rotation(self.degrees.to_radians())])?;
        plan.run(&[("image", &u.pixels), ("maps", &map)])?;
        Image::new(u.size(), plan.read(y)?)
    }

    /// `A u`.
    fn measured(&self, u: &Image) -> Result<Image> {
        let mut tape = Tape::new();
        let x = tape.input("image", Shape::new(1, 1, u.rows, u.columns));
        let y = self.operator.forward(&mut tape, x)?;
        let plan = Plan::compile(&tape, &[y], &Store::new(self.gpu), plan::Options::default())?;
        plan.run(&[("image", &u.pixels)])?;
        Image::new(u.size(), plan.read(y)?)
    }

    /// `Phi A u`.
    fn reconstructed(&self, u: &Image) -> Result<Image> {
        let y = self.measured(u)?;
        let store = Store::new(self.gpu);
        let solution = (self.tv).solve(self.operator, &store, &y.pixels, 1, &mut |_| {})?;
        Image::new(u.size(), solution.images)
    }
}

/// The pixels of an image within the largest disc, which turns keep.
fn disc(image: &Image) -> Vec<f32> {
    let half = (image.rows as f64 - 1.0) / 2.0;
    let inside = |i: usize| {
        let (y, x) = (i / image.columns, i % image.columns);
        (y as f64 - half).hypot(x as f64 - half) < half - 1.0
    };
    let pixels = image.pixels.iter().enumerate();
    pixels
        .filter(|(i, _)| inside(*i))
        .map(|(_, &v)| v)
        .collect()
}

fn case(
    missing: Missing,
    degrees: f64,
    turned: &Image,
    before: &Image,
    after: &Image,
) -> Result<Case> {
    let [turned, before, after] = [turned, before, after].map(disc);
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let mut gaps = (before.iter().zip(&after)).map(|(a, b)| f64::from(a - b));
    let difference = norm(&mut gaps) / norm(&mut turned.iter().map(|&v| f64::from(v)));
    Ok(Case {
        missing: missing.name(),
        degrees,
        difference,
        turned_before: metrics::psnr(&turned, &before)?,
        turned_after: metrics::psnr(&turned, &after)?,
    })
}

/// The results for people.
pub fn table(result: &TvInpaintingResults) -> Table {
    let mut table = Table::new([
        ("missing", Align::Left),
        ("degrees", Align::Right),
        ("relative difference", Align::Right),
        ("PSNR turned before", Align::Right),
        ("PSNR turned after", Align::Right),
    ]);
    for case in &result.cases {
        table.row([
            case.missing.to_string(),
            case.degrees.to_string(),
            format!("{:.2e}", case.difference),
            format!("{:.2}", case.turned_before),
            format!("{:.2}", case.turned_after),
        ]);
    }
    table
}
