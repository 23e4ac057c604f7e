//! Filtered back-projection for parallel and fan beams.

use super::{LinearOperator, RayTransform};
use crate::error::{Error, Result};
use crate::kernels::fourier::factors::convolution_size;
use crate::reference::filter;
use crate::reference::fourier::{self, Complex};
use crate::shape::{Beam, Detector, Fan, Fourier, FourierDirection, RayGeometry, Shape};
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};
use std::f64::consts::{PI, TAU};

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
/// Every view is multiplied by its weight ([`view_weights`]; of a fan, each ray by its own, with
/// [`parker`]'s for short scans), convolved with the filter, zero outside the detector, and
/// back-projected pixel by pixel with linear interpolation between bins. (The exact adjoint would weight the pixels unevenly where bins
/// are about as wide as pixels.) Linear, with exact gradients. A detector that does not see the whole
/// object gives the usual bright rim.
///
/// Source: Kak and Slaney 1988, sections 3.3.3 (parallel rays), 3.4.1 (curved detector: equiangular
/// rays) and 3.4.2 (flat detector: equispaced rays).
///
/// # Errors
/// [`Error::Shape`] if `y` does not fit.
pub fn fbp(tape: &mut Tape, y: Var, operator: &RayTransform, filter: Filter) -> Result<Var> {
    let geometry = operator.geometry();
    let expected = operator.range().with(0, y.shape().n());
    if y.shape() != expected {
        return Err(Error::shape(
            "fbp",
            format!("{} where the geometry has {expected}", y.shape()),
        ));
    }
    let views = geometry.angles.len();
    let (weights, shape) = match geometry.beam {
        Beam::Parallel => (view_weights(geometry), Shape::new(1, 1, views, 1)),
        Beam::Fan(fan) => (fan_weights(geometry, fan), geometry.sinogram(1)),
    };
    let weights: Vec<f32> = weights.into_iter().map(|w| w as f32).collect();
    let weights = tape.constant(shape, weights)?;
    let weighted = tape.mul(y, weights)?;
    let filtered = filter_views(tape, weighted, &taps(geometry, filter))?;
    tape.ray_backproject(filtered, operator.shared_geometry())
}

/// The filter's taps on the detector of `geometry`, in `1 / m` (curved detectors: `1 / rad`).
///
/// A flat detector is scaled to one through the image's centre, where the rays are
/// [`ray_spacing`](RayGeometry::ray_spacing) apart. A curved one has the angle `alpha` between
/// neighbouring rays in place of a length, and its tap `k` is multiplied by
/// `(k alpha / sin(k alpha))^2`.
fn taps(geometry: &RayGeometry, filter: Filter) -> Vec<f64> {
    let bins = geometry.bins;
    match geometry.beam {
        Beam::Fan(fan) if fan.detector == Detector::Curved => {
            let alpha = geometry.bin_width / fan.source_to_detector();
            let taps = filter.taps(bins, alpha).into_iter().enumerate();
            let stretched = taps.map(|(k, tap)| match k as f64 * alpha {
                0.0 => tap,
                angle => tap * (angle / angle.sin()).powi(2),
            });
            stretched.collect()
        }
        _ => filter.taps(bins, geometry.ray_spacing()),
    }
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

/// The weight of each view of parallel rays in the integral over the angles from 0 to pi, in radians:
/// the angular width of the views nearest to it, `pi / views` for equally spaced ones. Views half a
/// turn apart see the same lines and share their width.
///
/// A gap of more than four times the median one counts as not measured (a limited angle): its two
/// views get the median gap instead, because stretching them over it would draw streaks. The weights
/// then add up to less than pi, and the image keeps only the measured directions' share.
pub fn view_weights(geometry: &RayGeometry) -> Vec<f64> {
    Widths::new(&geometry.angles, PI).of_views
}

/// The weight of each ray of a fan (views bins) before the filter: its share in the integral over the
/// view angles, in radians; the cosine of its angle with the central ray; and `1 / R` for a curved
/// detector, in `1 / m`.
///
/// A full turn sees every line twice, and both count by half. If one gap is more than four times the
/// median one, the views are an arc and its rays get [`parker`]'s weights. (More such gaps than one:
/// as a full turn, each view with its width.)
fn fan_weights(geometry: &RayGeometry, fan: Fan) -> Vec<f64> {
    let widths = Widths::new(&geometry.angles, TAU);
    let unit = match fan.detector {
        Detector::Flat => 1.0,
        Detector::Curved => 1.0 / fan.source_to_centre,
    };
    let mut weights = Vec::with_capacity(geometry.angles.len() * geometry.bins);
    for (angle, width) in geometry.angles.iter().zip(&widths.of_views) {
        for bin in 0..geometry.bins {
            let gamma = geometry.ray_angle(bin as f64);
            let share = match widths.arc {
                Some([start, extent]) => parker((angle - start).rem_euclid(TAU), gamma, extent),
                None => 0.5,
            };
            weights.push(share * width * gamma.cos() * unit);
        }
    }
    weights
}

/// The share of a ray of a fan's short scan, at the angle `gamma` from the central one in a view at
/// the angle `beta` from the start of an arc of `extent`, all in radians: a line that the arc sees
/// twice, in the views `beta` and `beta - 2 gamma +- pi` from the angles `gamma` and `-gamma`, has
/// shares that add up to 1 and change smoothly to the 1 of lines that are seen once.
///
/// D. L. Parker, "Optimal short scan convolution reconstruction for fanbeam CT", Medical Physics 9
/// (1982) 254-257, with his `delta`, half the fan's angle, replaced by `(extent - pi) / 2`, which
/// extends it to longer arcs (M. D. Silver, Medical Physics 27 (2000) 773-774). Shorter ones do not
/// see every line, and those that they do see add up to 1 nevertheless. (His `gamma` has the other
/// sign.)
pub fn parker(beta: f64, gamma: f64, extent: f64) -> f64 {
    let delta = 0.5 * (extent - PI);
    let (rise, fall) = (2.0 * (delta + gamma), 2.0 * (delta - gamma));
    let left = extent - beta;
    let sine = |part: f64| (0.5 * PI * part).sin().powi(2);
    if beta < 0.0 || left < 0.0 {
        0.0
    } else if beta < rise {
        sine(beta / rise)
    } else if left < fall {
        sine(left / fall)
    } else {
        1.0
    }
}

/// The angular widths of views on a circle.
struct Widths {
    /// In radians, one for each view.
    of_views: Vec<f64>,
    /// Where the views' arc starts and how far it reaches, if they are one.
    arc: Option<[f64; 2]>,
}

impl Widths {
    /// Of these angles on a circle of circumference `period`. A gap of more than four times the
    /// median one counts as not measured.
    fn new(angles: &[f64], period: f64) -> Self {
        /// Views closer than this are one.
        const SAME: f64 = 1e-9;
        let turned: Vec<f64> = angles.iter().map(|a| a.rem_euclid(period)).collect();
        let mut order: Vec<usize> = (0..turned.len()).collect();
        order.sort_by(|&a, &b| turned[a].total_cmp(&turned[b]));
        let at = |k: usize| turned[order[k % order.len()]];
        // Gap k lies between view k and the next one in this order, the last one across the period.
        let mut gaps: Vec<f64> = (0..order.len())
            .map(|k| match k + 1 < order.len() {
                true => at(k + 1) - at(k),
                false => at(0) + period - at(k),
            })
            .collect();
        let mut sorted: Vec<f64> = gaps.iter().copied().filter(|&g| g > SAME).collect();
        sorted.sort_by(f64::total_cmp);
        let mut arc = None;
        if let Some(&median) = sorted.get(sorted.len() / 2) {
            let missing: Vec<usize> = (0..gaps.len())
                .filter(|&k| gaps[k] > 4.0 * median)
                .collect();
            if let [gap] = missing[..] {
                let start = at(gap + 1) - 0.5 * median;
                arc = Some([start, period - gaps[gap] + median]);
            }
            for gap in missing {
                gaps[gap] = median;
            }
        }
        let mut of_views = vec![0.0; order.len()];
        for (k, &view) in order.iter().enumerate() {
            let before = gaps[(k + gaps.len() - 1) % gaps.len()];
            of_views[view] = 0.5 * (before + gaps[k]);
        }
        Widths { of_views, arc }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arc_reaches_half_a_step_beyond_its_views() {
        let of = |degrees: &[f64]| {
            let angles: Vec<f64> = degrees.iter().map(|d| d.to_radians()).collect();
            let Widths { of_views, arc } = Widths::new(&angles, TAU);
            let degrees = |v: f64| (v.to_degrees() * 1e6).round() / 1e6;
            let widths: Vec<f64> = of_views.into_iter().map(degrees).collect();
            (widths, arc.map(|ends| ends.map(degrees)))
        };
        // Across zero, in any order.
        let (widths, arc) = of(&[10.0, 350.0, 20.0, 0.0]);
        assert_eq!((widths, arc), (vec![10.0; 4], Some([345.0, 40.0])));
        // A full turn, and one with an uneven step that still counts as one.
        assert_eq!(of(&[0.0, 90.0, 180.0, 270.0]), (vec![90.0; 4], None));
        assert_eq!(of(&[0.0, 60.0, 120.0, 180.0, 240.0]).1, None);
        // Two gaps are no arc.
        let (widths, arc) = of(&[0.0, 10.0, 20.0, 180.0, 190.0, 200.0]);
        assert_eq!((widths, arc), (vec![10.0; 6], None));
        // As many as one view.
        assert_eq!(of(&[30.0]), (vec![360.0], None));
    }
}
