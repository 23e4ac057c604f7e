//! `[operator] kind = "inpainting"`: missing pixels.

use super::{FileOr, ImageSize};
use crate::config::within;
use crate::data::mask;
use crate::error::{Error, Result};
use crate::operators::Inpainting;
use serde::{Deserialize, Serialize};

/// Images of which some pixels are measured; what it computes is told at [`Inpainting`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InpaintingConfig {
    /// Pixels of the image.
    pub image_size: ImageSize,
    /// Which pixels are measured: `{ kind = "random", ... }`, `{ kind = "hole", ... }` or a `.npy`
    /// file of zeros and ones.
    pub mask: FileOr<PixelMaskConfig>,
}

impl Default for InpaintingConfig {
    fn default() -> Self {
        InpaintingConfig {
            image_size: ImageSize::Square(256),
            mask: FileOr::Made(PixelMaskConfig::Random(RandomPixelsConfig::default())),
        }
    }
}

/// A mask of pixels by its `kind`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PixelMaskConfig {
    /// Pixels here and there.
    Random(RandomPixelsConfig),
    /// Everything but a rectangle.
    Hole(HoleConfig),
}

/// Pixels drawn at random, all alike.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomPixelsConfig {
    /// The share of pixels that are measured, rounded to whole pixels, at least one.
    pub share: f64,
    /// Which ones.
    pub seed: u64,
}

impl Default for RandomPixelsConfig {
    fn default() -> Self {
        RandomPixelsConfig {
            share: 0.5,
            seed: 0,
        }
    }
}

/// A rectangle that is missing.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoleConfig {
    /// Its rows and columns.
    pub size: ImageSize,
    /// The row and column of its first pixel; by default the hole is in the middle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<[usize; 2]>,
}

impl InpaintingConfig {
    /// The operator.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key whose value cannot be used; [`Error::Io`] or
    /// [`Error::Data`] naming the file of the mask.
    pub fn operator(&self) -> Result<Inpainting> {
        let size = self.image_size.checked()?;
        let measured = match &self.mask {
            FileOr::File(path) => mask::read_mask(path, size)?,
            FileOr::Made(PixelMaskConfig::Random(random)) => random.measured(size)?,
            FileOr::Made(PixelMaskConfig::Hole(hole)) => hole.measured(size)?,
        };
        Inpainting::new(size, &measured)
    }

    /// The same with every default written out.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key whose value cannot be used.
    pub fn resolved(&self) -> Result<Self> {
        let mut config = self.clone();
        let size = self.image_size.checked()?;
        match &mut config.mask {
            FileOr::File(_) => {}
            FileOr::Made(PixelMaskConfig::Random(random)) => random.check()?,
            FileOr::Made(PixelMaskConfig::Hole(hole)) => hole.at = Some(hole.start(size)?),
        }
        Ok(config)
    }
}

impl RandomPixelsConfig {
    fn check(&self) -> Result<()> {
        within("operator.mask.share", self.share, 1e-6..=1.0)?;
        within("operator.mask.seed", self.seed, 0..=i64::MAX as u64).map(drop)
    }

    fn measured(&self, [rows, columns]: [usize; 2]) -> Result<Vec<bool>> {
        self.check()?;
        let count = rows * columns;
        let measured = (self.share * count as f64).round() as usize;
        Ok(mask::random_pixels(count, measured.max(1), self.seed))
    }
}

impl HoleConfig {
    /// The first pixel of a hole that lies in an image of `image` = [rows, columns].
    fn start(&self, image: [usize; 2]) -> Result<[usize; 2]> {
        let size = self.size.extents();
        for (extent, side) in size.into_iter().zip(image) {
            within("operator.mask.size", extent, 1..=side)?;
        }
        if size == image {
            return Err(Error::Config(format!(
                "operator.mask.size: a hole of {}x{} leaves nothing of the image; use a smaller one",
                size[0], size[1]
            )));
        }
        let last = [image[0] - size[0], image[1] - size[1]];
        let at = self.at.unwrap_or(last.map(|room| room / 2));
        for (at, last) in at.into_iter().zip(last) {
            within("operator.mask.at", at, 0..=last)?;
        }
        Ok(at)
    }

    fn measured(&self, image: [usize; 2]) -> Result<Vec<bool>> {
        let ([top, left], [rows, columns]) = (self.start(image)?, self.size.extents());
        let inside = |i: usize| {
            let (r, c) = (i / image[1], i % image[1]);
            (top..top + rows).contains(&r) && (left..left + columns).contains(&c)
        };
        Ok((0..image[0] * image[1]).map(|i| !inside(i)).collect())
    }
}
