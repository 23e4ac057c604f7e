//! `[operator] kind = "matrix"`: compressed sensing by a small dense matrix.

use super::{FileOr, ImageSize};
use crate::config::within;
use crate::data::npy;
use crate::error::{Error, Result};
use crate::operators::Matrix;
use crate::reference::random::{Draw, normal};
use serde::{Deserialize, Serialize};

/// The generator's stream: apart from those of noise and initialisation under the same seed.
const STREAM: u32 = 0x6d01;

/// A dense matrix; what it computes is told at [`Matrix`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MatrixConfig {
    /// Pixels of the image.
    pub image_size: ImageSize,
    /// `{ kind = "gaussian", ... }`, `{ kind = "signs", ... }` or a `.npy` file `[rows, pixels]`, the
    /// pixels row by row.
    pub matrix: FileOr<RandomMatrixConfig>,
}

impl Default for MatrixConfig {
    fn default() -> Self {
        MatrixConfig {
            image_size: ImageSize::Square(32),
            matrix: FileOr::Made(RandomMatrixConfig::Gaussian(RowsConfig::default())),
        }
    }
}

/// A random matrix by its `kind`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RandomMatrixConfig {
    /// Independent normal entries of variance `1 / rows`.
    Gaussian(RowsConfig),
    /// Independent entries of `+-1 / sqrt(rows)`, both equally likely.
    Signs(RowsConfig),
}

/// The rows of a random matrix.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RowsConfig {
    /// Measurements of one image.
    pub rows: usize,
    /// Which matrix.
    pub seed: u64,
}

impl Default for RowsConfig {
    fn default() -> Self {
        RowsConfig { rows: 256, seed: 0 }
    }
}

impl MatrixConfig {
    /// The operator.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key whose value cannot be used; [`Error::Io`] or
    /// [`Error::Data`] naming the file of the matrix.
    pub fn operator(&self) -> Result<Matrix> {
        let size = self.image_size.checked()?;
        let pixels = size[0] * size[1];
        let (random, value): (_, fn(f64) -> f64) = match &self.matrix {
            FileOr::File(path) => {
                let array = npy::read_real_npy(path)?;
                return match array.shape.as_slice() {
                    &[_, columns] if columns == pixels => Matrix::new(size, &array.data),
                    shape => Err(Error::data(
                        path,
                        format!(
                            "the matrix's shape is {shape:?}; give [rows, {pixels}] for images of {}x{} pixels",
                            size[0], size[1]
                        ),
                    )),
                };
            }
            FileOr::Made(RandomMatrixConfig::Gaussian(rows)) => (rows, |v| v),
            FileOr::Made(RandomMatrixConfig::Signs(rows)) => (rows, f64::signum),
        };
        random.check()?;
        // Before the draws are made.
        within(
            "operator.matrix.rows",
            random.rows,
            1..=((1 << 24) / pixels).max(1),
        )?;
        let scale = 1.0 / (random.rows as f64).sqrt();
        let entries = normal(Draw::new(random.seed, STREAM), random.rows * pixels);
        let entries: Vec<f32> = entries
            .into_iter()
            .map(|v| (scale * value(v)) as f32)
            .collect();
        Matrix::new(size, &entries)
    }

    /// The same with every default written out.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key whose value cannot be used.
    pub fn resolved(&self) -> Result<Self> {
        self.image_size.checked()?;
        if let FileOr::Made(RandomMatrixConfig::Gaussian(rows) | RandomMatrixConfig::Signs(rows)) =
            &self.matrix
        {
            rows.check()?;
        }
        Ok(self.clone())
    }
}

impl RowsConfig {
    fn check(&self) -> Result<()> {
        within("operator.matrix.rows", self.rows, 1..=1 << 24)?;
        within("operator.matrix.seed", self.seed, 0..=i64::MAX as u64).map(drop)
    }
}
