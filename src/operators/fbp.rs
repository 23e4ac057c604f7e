//! Filtered back-projection for parallel beams.

use super::{LinearOperator, RayTransform};
use crate::error::{Error, Result};
use crate::reference::filter;
use crate::shape::{ParallelBeam, Shape};
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// The window of the ramp filter (Kak and Slaney 1988, section 3.3.3); see [`filter`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// No window.
    #[default]
    RamLak,
    /// `sinc(f w)`.
    SheppLogan,
    /// `cos(pi f w)`.
    Cosine,
    /// `(1 + cos(2 pi f w)) / 2`, the smoothest.
    Hann,
}

impl Filter {
    /// Taps at the offsets `0..bins`, the factor `bin_width` of the convolution included.
    fn taps(self, bins: usize, bin_width: f64) -> Vec<f64> {
        match self {
            Filter::RamLak => filter::ram_lak(bins, bin_width),
            Filter::SheppLogan => filter::shepp_logan(bins, bin_width),
            Filter::Cosine => filter::cosine(bins, bin_width),
            Filter::Hann => filter::hann(bins, bin_width),
        }
    }
}

/// The filter is a matrix, `bins x bins`: this keeps it below 1 GiB.
const MAX_BINS: usize = 16_384;

/// Records the filtered back-projection of the sinograms `y` (N 1 views bins, metres times the
/// image's unit): images N 1 H W in the image's unit, so that a disc comes back at its value.
///
/// Every view is convolved with the filter, zero outside the detector, multiplied by its
/// [angular weight](view_weights), and back-projected pixel by pixel with linear interpolation
/// between bins. (The exact adjoint would weight the pixels unevenly where bins are about as wide
/// as pixels.) Linear, with exact gradients. A detector that does not see the whole object gives the
/// usual bright rim.
///
/// # Errors
/// [`Error::Shape`] if `y` does not fit; [`Error::Config`] if there are too many bins to filter.
pub fn fbp(tape: &mut Tape, y: Var, operator: &RayTransform, filter: Filter) -> Result<Var> {
    let beam = operator.geometry();
    let expected = operator.range().with(0, y.shape().n());
    if y.shape() != expected {
        return Err(Error::shape(
            "fbp",
            format!("{} where the geometry has {expected}", y.shape()),
        ));
    }
    let bins = beam.bins;
    if bins > MAX_BINS {
        return Err(Error::Config(format!(
            "operator.detector_bins = {bins}: filtered back-projection takes at most {MAX_BINS}; merge neighbouring bins"
        )));
    }
    let taps: Vec<f32> = (filter.taps(bins, beam.bin_width).into_iter())
        .map(|t| t as f32)
        .collect();
    let toeplitz: Vec<f32> = (0..bins * bins)
        .map(|i| taps[(i / bins).abs_diff(i % bins)])
        .collect();
    let weights: Vec<f32> = view_weights(beam).into_iter().map(|w| w as f32).collect();
    let toeplitz = tape.constant(Shape::new(1, 1, bins, bins), toeplitz)?;
    let weights = tape.constant(Shape::new(1, 1, weights.len(), 1), weights)?;
    let filtered = tape.matmul(y, toeplitz, false, false)?;
    let weighted = tape.mul(filtered, weights)?;
    tape.ray_backproject(weighted, operator.shared_geometry())
}

/// The weight of each view in the integral over the angles from 0 to pi, in radians: the angular
/// width of the views nearest to it, `pi / views` for equally spaced ones. Views half a turn apart
/// see the same lines and share their width.
///
/// A gap of more than four times the median one counts as not measured (a limited angle): its two
/// views get the median gap instead, because stretching them over it would draw streaks. The weights
/// then add up to less than pi, and the image keeps only the measured directions' share.
pub fn view_weights(beam: &ParallelBeam) -> Vec<f64> {
    /// Views closer than this are one.
    const SAME: f64 = 1e-9;
    let half_turn: Vec<f64> = beam.angles.iter().map(|a| a.rem_euclid(PI)).collect();
    let mut order: Vec<usize> = (0..half_turn.len()).collect();
    order.sort_by(|&a, &b| half_turn[a].total_cmp(&half_turn[b]));
    // Gap k lies between view k and the next one in this order, the last one across pi.
    let mut gaps: Vec<f64> = (0..order.len())
        .map(|k| match order.get(k + 1) {
            Some(&next) => half_turn[next] - half_turn[order[k]],
            None => half_turn[order[0]] + PI - half_turn[order[k]],
        })
        .collect();
    let mut sorted: Vec<f64> = gaps.iter().copied().filter(|&g| g > SAME).collect();
    sorted.sort_by(f64::total_cmp);
    if let Some(&median) = sorted.get(sorted.len() / 2) {
        for gap in gaps.iter_mut().filter(|g| **g > 4.0 * median) {
            *gap = median;
        }
    }
    let mut weights = vec![0.0; order.len()];
    for (k, &view) in order.iter().enumerate() {
        let before = gaps[(k + gaps.len() - 1) % gaps.len()];
        weights[view] = 0.5 * (before + gaps[k]);
    }
    weights
}
