//! `[operator] kind = "downsampling"`: images of low resolution.

use super::{BoxConfig, FileOr, ImageSize, KernelConfig};
use crate::config::within;
use crate::error::Result;
use crate::operators::Downsampling;
use serde::{Deserialize, Serialize};

/// Images of low resolution; what it computes is told at [`Downsampling`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DownsamplingConfig {
    /// Pixels of the image, a whole multiple of `factor` along both sides.
    pub image_size: ImageSize,
    /// How many times fewer pixels along each side are measured.
    pub factor: usize,
    /// The antialiasing kernel, as that of a blur; by default the mean over `factor` by `factor`
    /// pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<FileOr<KernelConfig>>,
}

impl Default for DownsamplingConfig {
    fn default() -> Self {
        DownsamplingConfig {
            image_size: ImageSize::Square(256),
            factor: 2,
            kernel: None,
        }
    }
}

impl DownsamplingConfig {
    /// The operator.
    ///
    /// # Errors
    /// [`crate::error::Error::Config`] naming the key whose value cannot be used;
    /// [`crate::error::Error::Io`] or [`crate::error::Error::Data`] naming the file of the kernel.
    pub fn operator(&self) -> Result<Downsampling> {
        let size = self.image_size.checked()?;
        self.check_factor()?;
        Downsampling::new(size, self.factor, &self.kernel().point_spread(self.factor)?)
    }

    /// The same with every default written out.
    ///
    /// # Errors
    /// [`crate::error::Error::Config`] naming the key whose value cannot be used.
    pub fn resolved(&self) -> Result<Self> {
        self.image_size.checked()?;
        self.check_factor()?;
        Ok(DownsamplingConfig {
            kernel: Some(self.kernel().resolved(self.factor)?),
            ..self.clone()
        })
    }

    fn check_factor(&self) -> Result<()> {
        within("operator.factor", self.factor, 1..=1024).map(drop)
    }

    fn kernel(&self) -> FileOr<KernelConfig> {
        let size = ImageSize::Square(self.factor);
        let mean = || FileOr::Made(KernelConfig::Box(BoxConfig { size }));
        self.kernel.clone().unwrap_or_else(mean)
    }
}
