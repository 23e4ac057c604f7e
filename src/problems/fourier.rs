//! `[operator] kind = "fourier"`: magnetic resonance imaging.

use super::{FileOr, ImageSize};
use crate::config::within;
use crate::data::coils;
use crate::data::mask::{self, Cartesian, Density};
use crate::error::{Error, Result};
use crate::operators::FourierSampling;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Complex numbers in all the coils' images: 1 GiB of maps.
const MAX_VALUES: usize = 1 << 27;

/// A sampled Fourier transform; what it computes is told at [`FourierSampling`]. The defaults are
/// the scan of Celledoni et al. 2021, section 5.1.2.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FourierConfig {
    /// Pixels of the image.
    pub image_size: ImageSize,
    /// Which entries of k-space are measured: `{ kind = "cartesian", ... }` or a `.npy` file of
    /// zeros and ones in the order of k-space.
    pub mask: FileOr<MaskConfig>,
    /// Several receive coils: `{ kind = "birdcage", ... }` or a `.npy` file of complex maps
    /// `[coils, rows, columns]`; by default one coil that sees every pixel alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coils: Option<FileOr<CoilsConfig>>,
    /// Whether frequency 0 lies in the middle of k-space, at row `rows / 2`, column `columns / 2`
    /// (and the origin of the image in its middle), instead of at entry (0, 0).
    pub centred: bool,
}

impl Default for FourierConfig {
    fn default() -> Self {
        FourierConfig {
            image_size: ImageSize::Square(320),
            mask: FileOr::Made(MaskConfig::Cartesian(CartesianConfig::default())),
            coils: None,
            centred: false,
        }
    }
}

/// A mask by its `kind`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MaskConfig {
    /// Whole rows of k-space.
    Cartesian(CartesianConfig),
}

/// Rows of k-space; [`Cartesian`] tells which.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CartesianConfig {
    /// Lines that are measured; by default 65 of 320, in proportion to the image's rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<usize>,
    /// How many of them are the ones of lowest frequency; by default 16 of 320.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub centre: Option<usize>,
    /// How the others are spread.
    pub density: Density,
    /// Seed of the others.
    pub seed: u64,
}

/// Coils by their `kind`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CoilsConfig {
    /// Coils on a circle; see [`coils::birdcage`].
    Birdcage(BirdcageConfig),
}

/// Coils on a circle about the image.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BirdcageConfig {
    /// How many.
    pub count: usize,
    /// Radius of the circle, in units of half the longer side of the image.
    pub radius: f64,
}

impl Default for BirdcageConfig {
    fn default() -> Self {
        BirdcageConfig {
            count: 8,
            radius: 1.5,
        }
    }
}

impl FourierConfig {
    /// The operator.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key whose value cannot be used; [`Error::Io`] or
    /// [`Error::Data`] naming a file of the mask or the coils.
    pub fn operator(&self) -> Result<FourierSampling> {
        let config = self.resolved()?;
        let size = config.image_size.extents();
        let measured = match &config.mask {
            FileOr::File(path) => mask::read_mask(path, size)?,
            FileOr::Made(MaskConfig::Cartesian(pattern)) => pattern.measured(size, self.centred)?,
        };
        let operator = FourierSampling::new(size, &measured)?;
        let operator = match &config.coils {
            None => operator,
            Some(FileOr::File(path)) => {
                let (maps, count) = coils::read_maps(path, size)?;
                check_coils(count, size).map_err(|e| Error::data(path, e.to_string()))?;
                operator.with_coils(&maps)?
            }
            Some(FileOr::Made(CoilsConfig::Birdcage(birdcage))) => {
                let maps = coils::birdcage(size, birdcage.count, birdcage.radius);
                operator.with_coils(&maps)?
            }
        };
        Ok(if self.centred {
            operator.centred()
        } else {
            operator
        })
    }

    /// The same with every default written out.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key whose value cannot be used.
    pub fn resolved(&self) -> Result<Self> {
        let mut config = self.clone();
        let size = self.image_size.checked()?;
        if let FileOr::Made(MaskConfig::Cartesian(pattern)) = &mut config.mask {
            *pattern = pattern.resolved(size[0])?;
        }
        if let Some(FileOr::Made(CoilsConfig::Birdcage(birdcage))) = &config.coils {
            within("operator.coils.count", birdcage.count, 1..=128)?;
            // Outside every square image: on a wire the field has no value.
            within("operator.coils.radius", birdcage.radius, 1.42..=100.0)?;
            check_coils(birdcage.count, size)?;
        }
        Ok(config)
    }

    /// Makes relative paths absolute from `directory`.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no current directory.
    pub(super) fn anchor(&mut self, directory: &Path) -> Result<()> {
        self.mask.anchor(directory)?;
        match &mut self.coils {
            Some(coils) => coils.anchor(directory),
            None => Ok(()),
        }
    }
}

fn check_coils(count: usize, [rows, columns]: [usize; 2]) -> Result<()> {
    if count * rows * columns <= MAX_VALUES {
        return Ok(());
    }
    Err(Error::Config(format!(
        "operator.coils: {count} coils of {rows}x{columns} pixels are more than {MAX_VALUES} numbers; combine coils, or use a smaller operator.image_size"
    )))
}

impl CartesianConfig {
    fn resolved(&self, rows: usize) -> Result<Self> {
        within("operator.mask.seed", self.seed, 0..=i64::MAX as u64)?;
        let share = |of_320: usize| (2 * rows * of_320 + 320) / 640;
        let lines = self.lines.unwrap_or_else(|| share(65).max(1));
        let centre = self.centre.unwrap_or_else(|| share(16).min(lines));
        let resolved = CartesianConfig {
            lines: Some(lines),
            centre: Some(centre),
            ..self.clone()
        };
        resolved.lines_of(rows).map(|_| resolved)
    }

    /// Whether each line is measured, frequency 0 in the middle.
    fn lines_of(&self, rows: usize) -> Result<Vec<bool>> {
        let pattern = Cartesian {
            lines: self.lines.unwrap_or(0),
            centre: self.centre.unwrap_or(0),
            density: self.density,
            seed: self.seed,
        };
        pattern.centred_lines(rows)
    }

    /// The mask of a k-space of [rows, columns].
    fn measured(&self, [rows, columns]: [usize; 2], centred: bool) -> Result<Vec<bool>> {
        let mut lines = self.lines_of(rows)?;
        if !centred {
            lines.rotate_left(rows / 2);
        }
        let line = |measured: bool| std::iter::repeat_n(measured, columns);
        Ok(lines.into_iter().flat_map(line).collect())
    }
}

#[cfg(test)]
#[path = "fourier_tests.rs"]
mod tests;
