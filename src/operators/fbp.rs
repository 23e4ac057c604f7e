//! Filtered back-projection for parallel beams.

use super::{LinearOperator, RayTransform};
use crate::error::{Error, Result};
use crate::kernels::fourier::factors::convolution_size;
use crate::reference::filter;
use crate::reference::fourier::{self, Complex};
use crate::shape::{Fourier, FourierDirection, ParallelBeam, Shape};
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
/// [`Error::Shape`] if `y` does not fit.
pub fn fbp(tape: &mut Tape, y: Var, operator: &RayTransform, filter: Filter) -> Result<Var> {
    let beam = operator.geometry();
    let expected = operator.range().with(0, y.shape().n());
    if y.shape() != expected {
        return Err(Error::shape(
            "fbp",
            format!("{} where the geometry has {expected}", y.shape()),
        ));
    }
    let filtered = filter_views(tape, y, &filter.taps(beam.bins, beam.bin_width))?;
    let weights: Vec<f32> = view_weights(beam).into_iter().map(|w| w as f32).collect();
    let weights = tape.constant(Shape::new(1, 1, weights.len(), 1), weights)?;
    let weighted = tape.mul(filtered, weights)?;
    tape.ray_backproject(weighted, operator.shared_geometry())
}

/// Records the convolution of every view of `y` (N 1 views bins) with a symmetric filter, zero
/// outside the detector: `taps` holds its values at the offsets `0..bins`.
///
/// The twin is [`filter::filter_views`]. Here it is a product in the Fourier domain, of lines padded
/// so that nothing wraps around. The filter is real, so two views are convolved as one complex line.
///
/// # Errors
/// None in practice: the shapes follow from `y`.
pub fn filter_views(tape: &mut Tape, y: Var, taps: &[f64]) -> Result<Var> {
    let Shape([n, c, views, bins]) = y.shape();
    let lines = n * c * views;
    let even = lines.next_multiple_of(2);
    let length = convolution_size(bins, 16);
    let mut kernel = vec![Complex::default(); length];
    for (k, &tap) in taps.iter().take(bins).enumerate() {
        kernel[k] = tap.into();
        kernel[(length - k) % length] = tap.into();
    }
    // Symmetric and real, as the taps are.
    let spectrum = fourier::line(&kernel, FourierDirection::Forward);
    let spectrum: Vec<f32> = spectrum.into_iter().map(|s| s.re as f32).collect();
    let spectrum = tape.constant(Shape::vector(length), spectrum)?;
    let lines_of = |length| Shape::new(1, 1, even, length);
    let pairs = Shape::new(even / 2, 2, 1, length);
    let y = tape.reshape(y, Shape::new(1, 1, lines, bins))?;
    let y = tape.pad(y, 2, 0, even)?;
    let y = tape.pad(y, 3, 0, length)?;
    let y = tape.reshape(y, pairs)?;
    let transform = Fourier::lines();
    let y = tape.fourier(y, transform)?;
    let y = tape.mul(y, spectrum)?;
    let y = tape.fourier(y, transform.inverse())?;
    let y = tape.reshape(y, lines_of(length))?;
    let y = tape.slice(y, 3, 0, bins)?;
    let y = tape.slice(y, 2, 0, lines)?;
    tape.reshape(y, Shape::new(n, c, views, bins))
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
