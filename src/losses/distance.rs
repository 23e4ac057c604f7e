//! The distance of images from the ground truth: the supervised loss.

use super::scene::Scene;
use crate::config::within;
use crate::error::{Error, Result};
use crate::shape::{Padding, Shape, Window};
use crate::tape::{Tape, Unary, Var};
use serde::{Deserialize, Serialize};

/// How far images are from others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// Half the mean squared difference.
    #[default]
    HalfMse,
    /// The mean absolute difference.
    L1,
    /// `1 - SSIM` (Wang et al. 2004) with the uniform window of 7 x 7 pixels, sample covariances and
    /// data range 1 of [`crate::metrics::ssim`], as a mean over images and channels.
    Ssim,
}

impl Distance {
    /// Records the distance of `estimate` from `truth`, images `N C H W`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the shapes differ, or images are smaller than the window of the SSIM.
    pub fn record(self, tape: &mut Tape, estimate: Var, truth: Var) -> Result<Var> {
        match self {
            Distance::HalfMse => half_mean_squared_error(tape, estimate, truth),
            Distance::L1 => {
                let difference = tape.sub(estimate, truth)?;
                let magnitude = tape.unary(Unary::Abs, difference);
                tape.mean(magnitude)
            }
            Distance::Ssim => {
                let similarity = ssim(tape, estimate, truth)?;
                let negative = tape.scale(similarity, -1.0);
                Ok(tape.unary(Unary::Offset(1.0), negative))
            }
        }
    }
}

/// Half the mean squared error, the supervised loss of Celledoni et al. (their 1/2 sum of squares
/// up to the constant number of pixels).
///
/// # Errors
/// [`Error::Shape`] if the shapes do not broadcast.
pub fn half_mean_squared_error(tape: &mut Tape, estimate: Var, truth: Var) -> Result<Var> {
    let square = super::scene::mean_square(tape, estimate, truth)?;
    Ok(tape.scale(square, 0.5))
}

/// The SSIM of every channel, averaged.
fn ssim(tape: &mut Tape, a: Var, b: Var) -> Result<Var> {
    const SIZE: usize = 7;
    const C1: f32 = 0.01 * 0.01;
    const C2: f32 = 0.03 * 0.03;
    let [n, c, h, w] = a.shape().0;
    if a.shape() != b.shape() || h < SIZE || w < SIZE {
        return Err(Error::shape(
            "ssim",
            format!(
                "{} and {}: two shapes alike, of at least {SIZE}x{SIZE} pixels",
                a.shape(),
                b.shape()
            ),
        ));
    }
    let planes = Shape::new(n * c, 1, h, w);
    let [a, b] = [tape.reshape(a, planes)?, tape.reshape(b, planes)?];
    let weight = vec![1.0 / (SIZE * SIZE) as f32; SIZE * SIZE];
    let window = tape.constant(Shape::new(1, 1, SIZE, SIZE), weight)?;
    // Means over the windows that lie within the image.
    let mean = |tape: &mut Tape, x: Var| -> Result<Var> {
        let all = tape.conv2d(x, window, Window::same(SIZE, Padding::Zero))?;
        let rows = tape.slice(all, 2, SIZE / 2, h - SIZE + 1)?;
        tape.slice(rows, 3, SIZE / 2, w - SIZE + 1)
    };
    let [ma, mb] = [mean(tape, a)?, mean(tape, b)?];
    let covariance = |tape: &mut Tape, [x, mx]: [Var; 2], [y, my]: [Var; 2]| -> Result<Var> {
        let product = tape.mul(x, y)?;
        let moment = mean(tape, product)?;
        let means = tape.mul(mx, my)?;
        let difference = tape.sub(moment, means)?;
        let samples = (SIZE * SIZE) as f32;
        Ok(tape.scale(difference, samples / (samples - 1.0)))
    };
    let vaa = covariance(tape, [a, ma], [a, ma])?;
    let vbb = covariance(tape, [b, mb], [b, mb])?;
    let vab = covariance(tape, [a, ma], [b, mb])?;
    let factor = |tape: &mut Tape, twice: Var, [x, y]: [Var; 2], c: f32| -> Result<Var> {
        let numerator = tape.scale(twice, 2.0);
        let numerator = tape.unary(Unary::Offset(c), numerator);
        let denominator = tape.add(x, y)?;
        let denominator = tape.unary(Unary::Offset(c), denominator);
        tape.div(numerator, denominator)
    };
    let [maa, mbb, mab] = [tape.mul(ma, ma)?, tape.mul(mb, mb)?, tape.mul(ma, mb)?];
    let luminance = factor(tape, mab, [maa, mbb], C1)?;
    let structure = factor(tape, vab, [vaa, vbb], C2)?;
    let map = tape.mul(luminance, structure)?;
    tape.mean(map)
}

/// The distance of the reconstruction from the ground truth.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Supervised {
    /// What it is multiplied by in the sum.
    pub weight: f64,
    /// Which distance.
    pub distance: Distance,
}

impl Default for Supervised {
    fn default() -> Self {
        Supervised {
            weight: 1.0,
            distance: Distance::default(),
        }
    }
}

impl Supervised {
    pub(super) fn record(&self, tape: &mut Tape, scene: &mut Scene) -> Result<Var> {
        let truth = scene.truth(tape);
        let estimate = scene.estimate(tape)?;
        self.distance.record(tape, estimate, truth)
    }
}

/// Checks a term's weight; `key` is where it stands.
pub(super) fn check_weight(key: &str, weight: f64) -> Result<()> {
    within(&format!("{key}.weight"), weight, 1e-12..=1e12).map(drop)
}
