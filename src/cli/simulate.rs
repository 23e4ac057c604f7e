//! `equilens simulate`.

use super::global::Session;
use super::outputs;
use super::outputs::about_file;
use super::problem::ProblemFile;
use crate::data::stack::{self, Stack};
use crate::error::Result;
use crate::tape::plan::Store;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Simulate noisy measurements of images
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  equilens simulate --problem ct.toml --images slices.npy --out sinograms.npy --seed 1

A problem file of computed tomography:
  [operator]
  kind = \"ray_transform\"
  image_size = 128
  views = 50
  [noise]
  kind = \"low_dose_ct\"
  photons = 1e4

Images of a whole multiple of its size are measured on their own, finer grid.

Other scans, in the same section (lengths in metres, angles in degrees):
  angular_range = [0, 120]          # views on a part of the turn; or angles = [...], any list
  field_of_view = [0.30, 0.36]      # height and width, for pixels that are not square
  detector_bins = 512               # with detector_width and detector_offset (half scans: a whole turn)
  projector = \"siddon\"            # by default \"joseph\"
  [operator.beam]
  kind = \"fan\"                    # by default \"parallel\"
  source_to_centre = 0.6
  centre_to_detector = 0.5
  detector = \"curved\"             # by default \"flat\"
  scan = \"short\"                  # 180 degrees and the fan's angle; by default \"full\"

A problem file of magnetic resonance imaging, complex images and measurements:
  [operator]
  kind = \"fourier\"
  image_size = 320                                        # or [rows, columns]
  mask = { kind = \"cartesian\", lines = 65, centre = 16, density = \"variable\", seed = 1 }
  # or mask = \"mask.npy\": ones where k-space is measured; density is variable, uniform or random
  coils = { kind = \"birdcage\", count = 8 }               # or \"maps.npy\"; by default one, uniform
  centred = false                                         # frequency 0 at entry (0, 0)
  [noise]
  kind = \"gaussian\"
  sigma = 0.03                                            # of real and of imaginary part
  [phase]                                                 # if given: a smooth phase of the object
  radians = 1.5

The operators of three more problems, with noise of kind gaussian, poisson, poisson_gaussian or none:
  kind = \"inpainting\"
  mask = { kind = \"random\", share = 0.5, seed = 1 }       # measured pixels
  # or { kind = \"hole\", size = [20, 30], at = [5, 8] }, or \"mask.npy\"

  kind = \"blur\"
  kernel = { kind = \"gaussian\", sigma = 2.0 }             # pixels; size = 17 by default
  # or { kind = \"motion\", length = 9.0, angle = 30.0 }, { kind = \"box\", size = 5 }, \"kernel.npy\"
  boundary = \"circular\"                                  # or valid

  kind = \"downsampling\"
  factor = 2
  # by default the mean over 2 by 2 pixels; or a kernel as that of a blur")]
pub(super) struct Arguments {
    #[command(flatten)]
    problem: ProblemFile,
    /// Images: [H, W] or [N, H, W], real or, for k-space, complex
    #[arg(long, value_name = "X.npy")]
    images: PathBuf,
    /// Write the measurements to this file
    #[arg(long, value_name = "Y.npy")]
    out: PathBuf,
}

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode> {
    let problem = arguments.problem.read()?;
    outputs::check_file(&arguments.out)?;
    let images = Stack::read(&arguments.images, problem.operator.domain().c())?;
    let store = Store::new(&session.gpu()?);
    let seed = session.seed.unwrap_or(0);
    let measured = problem.simulate(&store, &images.values, images.shape, seed);
    let measured = about_file(measured, &arguments.images)?;
    store.gpu().check_fault()?;
    let range = problem.operator.range();
    images.with_items(measured, range).write(&arguments.out)?;
    let document = json!({
        "out": arguments.out,
        "measurements": images.count(),
        "shape": stack::extents(range),
        "seed": seed,
    });
    session.console.result(&document, || {
        format!(
            "{}: {} measurements of {}, seed {seed}",
            arguments.out.display(),
            images.count(),
            stack::described(range)
        )
    })?;
    Ok(ExitCode::SUCCESS)
}
