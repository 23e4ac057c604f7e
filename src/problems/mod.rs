//! Problems: a forward operator together with its noise, and how measurements are simulated.
//!
//! ```
//! use equilens::problems::{Problem, ProblemConfig};
//! let text = r#"
//!     [operator]
//!     kind = "ray_transform"
//!     image_size = 128
//!     views = 50
//!     [noise]
//!     kind = "low_dose_ct"
//!     photons = 1e4
//! "#;
//! let config: ProblemConfig = equilens::config::parse_toml("problem.toml", text)?;
//! let problem = Problem::new(&config)?;
//! assert_eq!(problem.operator.range().0, [1, 1, 50, 182]);
//! # Ok::<(), equilens::error::Error>(())
//! ```

mod blur;
mod config;
mod downsampling;
mod file_or;
mod fourier;
mod identity;
mod inpainting;
mod matrix;
mod scaled;

pub use blur::{BlurConfig, BoxConfig, GaussianConfig, KernelConfig, MotionConfig};
pub use config::{
    BeamConfig, FieldOfView, ImageSize, OperatorConfig, ProblemConfig, RayTransformConfig,
    ScanConfig, SeveralConfig,
};
pub use downsampling::DownsamplingConfig;
pub use file_or::FileOr;
pub use fourier::{BirdcageConfig, CartesianConfig, CoilsConfig, FourierConfig, MaskConfig};
pub use identity::IdentityConfig;
pub use inpainting::{HoleConfig, InpaintingConfig, PixelMaskConfig, RandomPixelsConfig};
pub use matrix::{MatrixConfig, RandomMatrixConfig, RowsConfig};

use crate::config::parse_toml;
use crate::error::{Error, Result};
use crate::files;
use crate::operators::{LinearOperator, Noise};
use crate::shape::Shape;
use crate::tape::plan::{Options, Plan, Store};
use crate::tape::{Tape, Var};
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

/// Draws are counted in an f32.
const MAX_DRAWS: usize = 1 << 24;
/// Finest grid that is simulated on, in pixels along a side.
const MAX_SIDE: usize = 16_384;

/// A forward operator and its noise.
#[derive(Clone)]
pub struct Problem {
    /// The configuration with every default written out.
    pub config: ProblemConfig,
    /// The forward operator on the grid of reconstructions.
    pub operator: Arc<dyn LinearOperator>,
    /// The noise.
    pub noise: Noise,
}

impl std::fmt::Debug for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Problem({:?})", self.config)
    }
}

impl Problem {
    /// The problem of this configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key whose value cannot be used; [`Error::Io`] or
    /// [`Error::Data`] naming a file that the operator needs.
    pub fn new(config: &ProblemConfig) -> Result<Self> {
        let config = config.resolved()?;
        Ok(Problem {
            operator: config.operator.build(1)?,
            noise: config.noise,
            config,
        })
    }

    /// The problem of a problem file. Relative paths in it start at its directory.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::Config`] that names the file and the key;
    /// else as [`Problem::new`].
    pub fn load(path: &Path) -> Result<Self> {
        let config: ProblemConfig = parse_toml(path, &files::read_text(path)?)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let config = config.anchored(directory)?;
        Problem::new(&config).map_err(|e| e.in_config(path))
    }

    /// Records the measurement of `x` (N times the operator's domain) with noise from draw number
    /// `draw` (a scalar holding an integer below 2^24) under the key `seed`.
    ///
    /// # Errors
    /// [`Error::Shape`] if `x` or `draw` does not fit.
    pub fn measure(&self, tape: &mut Tape, x: Var, draw: Var, seed: u64) -> Result<Var> {
        self.measure_by(self.operator.as_ref(), tape, x, draw, seed)
    }

    fn measure_by(
        &self,
        operator: &dyn LinearOperator,
        tape: &mut Tape,
        x: Var,
        draw: Var,
        seed: u64,
    ) -> Result<Var> {
        let clean = operator.forward(tape, x)?;
        if self.noise == (Noise::None {}) {
            return Ok(clean);
        }
        let noisy = self.noise.record(tape, clean, draw, seed)?;
        operator.restrict(tape, noisy)
    }

    /// Measurements of `images`, shape `N C kH kW` for a whole number `k` and the operator's domain
    /// `C H W`; the result has shape N times the operator's range.
    ///
    /// The operator that simulates lives on the finer grid, with the same field of view and
    /// measurement, so for `k > 1` reconstruction does not invert the very map that made the data.
    /// (K-space is simulated on the problem's own grid: there `k` is 1.)
    /// Image `i` gets draw number `i`: its noise depends on the seed and on `i`, not on the batch.
    ///
    /// # Errors
    /// [`Error::Data`] if the images do not fit, naming both sizes; [`Error::NotFinite`] if a
    /// measurement is NaN or infinite; those of compiling and running.
    pub fn simulate(
        &self,
        store: &Store,
        images: &[f32],
        shape: Shape,
        seed: u64,
    ) -> Result<Vec<f32>> {
        let k = self.oversampling(images, shape)?;
        let plans = self.config.operator.each(k)?.into_iter().map(|operator| {
            let mut tape = Tape::new();
            let x = tape.input("image", operator.domain());
            let draw = tape.input("draw", Shape::SCALAR);
            let y = self.measure_by(operator.as_ref(), &mut tape, x, draw, seed)?;
            let plan = Plan::compile(&tape, &[y], store, Options::default())?;
            Ok((plan, y))
        });
        let plans = plans.collect::<Result<Vec<_>>>()?;
        let mut measurements = Vec::with_capacity(shape.n() * self.operator.range().elements());
        let images = self.with_phase(images, shape);
        let one = shape.with(0, 1).elements();
        for (i, image) in images.chunks_exact(one).enumerate() {
            let (plan, y) = &plans[i % plans.len()];
            // Without noise nothing reads the draw, and the plan does not have it.
            if self.noise != (Noise::None {}) {
                plan.write("draw", &[i as f32])?;
            }
            plan.run(&[("image", image)])?;
            let measurement = plan.read(*y)?;
            if let Some(at) = measurement.iter().position(|v| !v.is_finite()) {
                let mut cause = "the noise cannot be drawn: Poisson noise needs images whose measurement is not negative";
                if image.iter().any(|v| !v.is_finite()) {
                    cause = "the image itself holds a value that is not finite";
                }
                return Err(Error::NotFinite(format!(
                    "element {at} of the simulated measurement of image {i} is {}; {cause}",
                    measurement[at]
                )));
            }
            measurements.extend(measurement);
        }
        Ok(measurements)
    }

    /// What a reconstruction is compared with: means over blocks of `k x k` pixels, for images of
    /// the shapes that [`Problem::simulate`] takes, with the problem's phase. The result is N times
    /// the operator's domain.
    ///
    /// # Errors
    /// [`Error::Data`] if the images do not fit, naming both sizes.
    pub fn ground_truth(&self, images: &[f32], shape: Shape) -> Result<Vec<f32>> {
        let k = self.oversampling(images, shape)?;
        let domain = self.operator.domain();
        let images = self.with_phase(images, shape);
        if k == 1 {
            return Ok(images.into_owned());
        }
        let (rows, columns) = (domain.h(), domain.w());
        let mut truth = Vec::with_capacity(shape.n() * domain.elements());
        for plane in images.chunks_exact(shape.h() * shape.w()) {
            for row in 0..rows {
                for column in 0..columns {
                    let block = (0..k).flat_map(|i| {
                        let start = (row * k + i) * shape.w() + column * k;
                        &plane[start..start + k]
                    });
                    let sum: f64 = block.map(|&v| f64::from(v)).sum();
                    truth.push((sum / (k * k) as f64) as f32);
                }
            }
        }
        Ok(truth)
    }

    /// The images with the problem's phase.
    fn with_phase<'a>(&self, images: &'a [f32], shape: Shape) -> Cow<'a, [f32]> {
        let Some(phase) = &self.config.phase else {
            return images.into();
        };
        let mut images = images.to_vec();
        for image in images.chunks_exact_mut(shape.with(0, 1).elements()) {
            phase.apply(image, [shape.h(), shape.w()]);
        }
        images.into()
    }

    /// How many times finer than the problem's the grid of images of this shape is.
    fn oversampling(&self, images: &[f32], shape: Shape) -> Result<usize> {
        let domain = self.operator.domain();
        let bad = |what: String| Err(Error::data("images", what));
        if images.len() != shape.elements() || shape.n() == 0 {
            return bad(format!(
                "{} values do not fill the shape {shape}; give at least one image",
                images.len()
            ));
        }
        if shape.n() > MAX_DRAWS {
            return bad(format!(
                "{} images at once: simulate at most {MAX_DRAWS}",
                shape.n()
            ));
        }
        let k = shape.h() / domain.h();
        if shape.c() != domain.c()
            || k == 0
            || shape.h() != k * domain.h()
            || shape.w() != k * domain.w()
            || (k > 1 && !self.config.operator.has_finer_grids())
        {
            let multiple = match self.config.operator.has_finer_grids() {
                true => ", or the same whole multiple of it along both sides",
                false => "",
            };
            return bad(format!(
                "images of {} channels, {} rows and {} columns, but the problem has {}, {} and {}: use images of that size{multiple}, or change operator.image_size",
                shape.c(),
                shape.h(),
                shape.w(),
                domain.c(),
                domain.h(),
                domain.w()
            ));
        }
        if shape.h().max(shape.w()) > MAX_SIDE {
            return bad(format!(
                "{} rows and {} columns: simulate on at most {MAX_SIDE} along a side",
                shape.h(),
                shape.w()
            ));
        }
        Ok(k)
    }
}
