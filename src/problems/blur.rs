//! `[operator] kind = "blur"`, and the kernels of blur and downsampling.

use super::{FileOr, ImageSize};
use crate::config::within;
use crate::data::npy;
use crate::error::{Error, Result};
use crate::operators::{Blur, Boundary, PointSpread};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// Extents of a kernel along a side.
const SIZE: RangeInclusive<usize> = 1..=8192;

/// Blurred images; what it computes is told at [`Blur`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlurConfig {
    /// Pixels of the image.
    pub image_size: ImageSize,
    /// The point spread function: `{ kind = "gaussian", ... }`, `{ kind = "motion", ... }`,
    /// `{ kind = "box", ... }` or a `.npy` file `[rows, columns]`, which is divided by its sum.
    pub kernel: FileOr<KernelConfig>,
    /// What happens at the border.
    pub boundary: Boundary,
}

impl Default for BlurConfig {
    fn default() -> Self {
        let gaussian = GaussianConfig {
            sigma: 2.0,
            size: None,
        };
        BlurConfig {
            image_size: ImageSize::Square(256),
            kernel: FileOr::Made(KernelConfig::Gaussian(gaussian)),
            boundary: Boundary::default(),
        }
    }
}

/// A point spread function by its `kind`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum KernelConfig {
    /// A Gaussian.
    Gaussian(GaussianConfig),
    /// A camera that moves evenly along a line; see [`PointSpread::motion`].
    Motion(MotionConfig),
    /// Equal entries.
    Box(BoxConfig),
}

/// Samples of a Gaussian.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianConfig {
    /// Standard deviation, in pixels.
    pub sigma: f64,
    /// Rows, and columns; by default as far as 4 standard deviations, an odd number for a blur, as
    /// even as the factor for downsampling (so that it is centred on the blocks).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
}

/// A segment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MotionConfig {
    /// Its length, in pixels.
    pub length: f64,
    /// Its direction, in degrees counter-clockwise from the rows' direction.
    #[serde(default)]
    pub angle: f64,
}

/// A rectangle.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxConfig {
    /// Its rows and columns.
    pub size: ImageSize,
}

impl BlurConfig {
    /// The operator.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key whose value cannot be used; [`Error::Io`] or
    /// [`Error::Data`] naming the file of the kernel.
    pub fn operator(&self) -> Result<Blur> {
        let size = self.image_size.checked()?;
        Blur::new(size, &self.kernel.point_spread(1)?, self.boundary)
    }

    /// The same with every default written out.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key whose value cannot be used.
    pub fn resolved(&self) -> Result<Self> {
        self.image_size.checked()?;
        Ok(BlurConfig {
            kernel: self.kernel.resolved(1)?,
            ..self.clone()
        })
    }
}

impl FileOr<KernelConfig> {
    /// The kernel, before downsampling by `factor` (1: none).
    ///
    /// # Errors
    /// As [`BlurConfig::operator`].
    pub(super) fn point_spread(&self, factor: usize) -> Result<PointSpread> {
        match self.resolved(factor)? {
            FileOr::File(path) => {
                let kernel = npy::read_real_npy(&path)?;
                let &[rows, columns] = kernel.shape.as_slice() else {
                    return Err(Error::data(
                        path,
                        format!(
                            "the kernel's shape is {:?}; give [rows, columns]",
                            kernel.shape
                        ),
                    ));
                };
                for extent in [rows, columns] {
                    within("operator.kernel, the extent", extent, SIZE)
                        .map_err(|e| Error::data(&path, e.to_string()))?;
                }
                let values: Vec<f64> = kernel.data.iter().map(|&v| f64::from(v)).collect();
                PointSpread::new([rows, columns], &values)
                    .map_err(|e| Error::data(&path, e.to_string()))
            }
            FileOr::Made(KernelConfig::Gaussian(config)) => {
                PointSpread::gaussian(config.sigma, config.extent(factor))
            }
            FileOr::Made(KernelConfig::Motion(config)) => {
                PointSpread::motion(config.length, config.angle)
            }
            FileOr::Made(KernelConfig::Box(config)) => PointSpread::uniform(config.size.extents()),
        }
    }

    /// The same with every default written out.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key whose value cannot be used.
    pub(super) fn resolved(&self, factor: usize) -> Result<Self> {
        let mut kernel = self.clone();
        match &mut kernel {
            FileOr::File(_) => {}
            FileOr::Made(KernelConfig::Gaussian(config)) => {
                within("operator.kernel.sigma", config.sigma, 0.01..=1000.0)?;
                let size = config.extent(factor);
                config.size = Some(within("operator.kernel.size", size, SIZE)?);
            }
            FileOr::Made(KernelConfig::Motion(config)) => {
                within("operator.kernel.length", config.length, 1.0..=1000.0)?;
                within("operator.kernel.angle", config.angle, -360.0..=360.0)?;
            }
            FileOr::Made(KernelConfig::Box(config)) => {
                for extent in config.size.extents() {
                    within("operator.kernel.size", extent, SIZE)?;
                }
            }
        }
        Ok(kernel)
    }
}

impl GaussianConfig {
    fn extent(&self, factor: usize) -> usize {
        let radius = (4.0 * self.sigma).round() as usize;
        self.size.unwrap_or(2 * radius + 1 + (factor + 1) % 2)
    }
}
