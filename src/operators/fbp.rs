//! Filtered back-projection for parallel and fan beams.

use super::{LinearOperator, RayTransform};
use crate::error::{Error, Result};
use crate::kernels::fourier::factors::convolution_size;
use crate::reference::filter;
use crate::reference::fourier::{self, Complex};
use crate::shape::{Beam, Detector, Fourier, FourierDirection, RayGeometry, Shape};
use crate::tape::{Tape, Var};
use serde::{Deserialize, Serialize};
use std::f64::consts::{PI, TAU};
use std::sync::Arc;

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
/// [`parker`]'s for short scans, and [`wang`]'s for detectors shifted past the object), convolved with
/// the filter, zero outside the detector, and back-projected pixel by pixel with linear interpolation
/// between bins. (The exact adjoint would weight the pixels unevenly where bins are about as wide as
/// pixels.) Linear, with exact gradients. Where the detector does not see the whole object, and a full
/// turn with a shifted one does not make up for it, the image gets the usual bright rim.
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
    let turn = Widths::new(&geometry.angles, TAU);
    let overlap = Overlap::of(geometry).filter(|_| turn.full);
    let (y, geometry) = match &overlap {
        None => (y, operator.shared_geometry().clone()),
        Some(overlap) => {
            let (before, whole) = overlap.completed(geometry);
            (tape.pad(y, 3, before, whole.bins)?, Arc::new(whole))
        }
    };
    let (weights, shape) = match (geometry.beam, &overlap) {
        (Beam::Parallel, None) => (view_weights(&geometry), Shape::new(1, 1, views, 1)),
        _ => (
            ray_weights(&geometry, &turn, overlap.as_ref()),
            geometry.sinogram(1),
        ),
    };
    let weights: Vec<f32> = weights.into_iter().map(|w| w as f32).collect();
    let weights = tape.constant(shape, weights)?;
    let weighted = tape.mul(y, weights)?;
    let filtered = filter_views(tape, weighted, &taps(&geometry, filter))?;
    tape.ray_backproject(filtered, &geometry)
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

/// The weight of each ray (views bins) before the filter: its share in the integral over the view
/// angles, in radians; of a fan, the cosine of its angle with the central ray; and `1 / R` for a curved
/// detector, in `1 / m`.
///
/// A full turn sees every line twice, and both count by half; with a shifted detector their shares are
/// [`wang`]'s. If one gap between the views is more than four times the median one, they are an arc and
/// its rays get [`parker`]'s weights. (More such gaps than one: as a full turn, each view with its
/// width.)
fn ray_weights(geometry: &RayGeometry, turn: &Widths, overlap: Option<&Overlap>) -> Vec<f64> {
    let unit = match geometry.beam {
        Beam::Fan(fan) if fan.detector == Detector::Curved => 1.0 / fan.source_to_centre,
        _ => 1.0,
    };
    let mut weights = Vec::with_capacity(geometry.angles.len() * geometry.bins);
    for (angle, width) in geometry.angles.iter().zip(&turn.of_views) {
        for bin in 0..geometry.bins {
            let gamma = geometry.ray_angle(bin as f64);
            let share = match (overlap, turn.arc) {
                (Some(overlap), _) => overlap.share(geometry, bin as f64),
                (None, Some([start, extent])) => {
                    parker((angle - start).rem_euclid(TAU), gamma, extent)
                }
                (None, None) => 0.5,
            };
            weights.push(share * width * gamma.cos() * unit);
        }
    }
    weights
}

/// The lines that a full turn with a shifted detector sees twice: those that pass the centre nearer than
/// the detector's nearer edge reaches.
struct Overlap {
    /// How far they reach: an angle in radians for a fan, a distance in metres for parallel rays.
    reach: f64,
    /// 1 if the detector reaches farther to its last bin's side, else -1.
    side: f64,
}

impl Overlap {
    /// Of a detector with one edge inside the circle around the image and the other one farther out, by
    /// more than a bin; `None` for any other, whose full turns see all lines alike.
    fn of(geometry: &RayGeometry) -> Option<Self> {
        let across = |bin: f64| Self::across(geometry, bin);
        let (first, last) = (-0.5, geometry.bins as f64 - 0.5);
        let side = (across(first) + across(last)).signum();
        let [near, far] = match side > 0.0 {
            true => [-across(first), across(last)],
            false => [across(last), -across(first)],
        };
        let rim = match geometry.beam {
            Beam::Parallel => geometry.radius(),
            Beam::Fan(fan) => (geometry.radius() / fan.source_to_centre).asin(),
        };
        let bin = (across(last) - across(first)) / geometry.bins as f64;
        (near < rim && far - near > bin).then_some(Overlap { reach: near, side })
    }

    /// The same geometry with bins added at the nearer edge until it reaches as far as the other one, or
    /// as the image, and how many lie before the first one now. Nothing is measured there; but the
    /// filter spreads what is, and the two views of a pixel only add up to what one centred detector
    /// says with its value beyond the nearer edge.
    fn completed(&self, geometry: &RayGeometry) -> (usize, RayGeometry) {
        let width = geometry.bin_width;
        let [first, last] = [-0.5, geometry.bins as f64 - 0.5].map(|bin| geometry.detector(bin));
        let [near, far] = match self.side > 0.0 {
            true => [-first, last],
            false => [last, -first],
        };
        let rim = 0.5 * geometry.bins as f64 * geometry.covering_width();
        let added = ((far.min(rim) - near) / width).ceil().max(0.0);
        let whole = RayGeometry {
            bins: geometry.bins + added as usize,
            offset: geometry.offset - 0.5 * self.side * added * width,
            ..geometry.clone()
        };
        let before = if self.side > 0.0 { added as usize } else { 0 };
        (before, whole)
    }

    /// Where a ray passes the centre: its angle with the central ray, or of parallel rays the distance.
    fn across(geometry: &RayGeometry, bin: f64) -> f64 {
        match geometry.beam {
            Beam::Parallel => geometry.detector(bin),
            Beam::Fan(_) => geometry.ray_angle(bin),
        }
    }

    fn share(&self, geometry: &RayGeometry, bin: f64) -> f64 {
        wang(self.side * Self::across(geometry, bin), self.reach)
    }
}

/// The share of a ray of a full turn with a shifted detector, at `across` from the central ray, counted
/// towards the side where the detector reaches farther; to the other one it reaches as far as `overlap`
/// (negative if not even to the central ray). A line that is seen twice, from `across` and `-across`, has
/// shares that add up to 1 and change smoothly to the 1 of lines beyond, which are seen once, and
/// to 0 at the nearer edge. Both numbers are angles in radians for a fan, distances in metres for
/// parallel rays. Uneven shares cost noise: its variance is up to one and a half times that of even ones.
///
/// G. Wang, "X-ray micro-CT with a displaced detector array", Medical Physics 29 (2002) 1634-1636. A
/// short scan, or half a turn of parallel rays, does not see the lines beyond from every side, and no
/// weight makes up for it.
pub fn wang(across: f64, overlap: f64) -> f64 {
    if across >= overlap {
        1.0
    } else if across <= -overlap {
        0.0
    } else {
        0.5 * (1.0 + (0.5 * PI * across / overlap).sin())
    }
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
    /// They go all around: nothing is missing, and no gap is half the circle.
    full: bool,
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
        let (mut arc, mut full) = (None, false);
        if let Some(&median) = sorted.get(sorted.len() / 2) {
            let missing: Vec<usize> = (0..gaps.len())
                .filter(|&k| gaps[k] > 4.0 * median)
                .collect();
            full = missing.is_empty() && sorted.iter().all(|gap| 2.0 * gap < period);
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
        Widths {
            of_views,
            arc,
            full,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Fan;

    #[test]
    fn an_arc_reaches_half_a_step_beyond_its_views() {
        let of = |degrees: &[f64]| {
            let angles: Vec<f64> = degrees.iter().map(|d| d.to_radians()).collect();
            let Widths { of_views, arc, .. } = Widths::new(&angles, TAU);
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

    #[test]
    fn only_views_all_around_are_a_full_turn() {
        for (degrees, full) in [
            (&[0.0, 90.0, 180.0, 270.0][..], true),
            (&[0.0, 60.0, 120.0, 180.0, 240.0], true),
            (&[10.0, 350.0, 20.0, 0.0], false),
            (&[0.0, 10.0, 20.0, 180.0, 190.0, 200.0], false),
            (&[0.0, 60.0, 120.0, 180.0], false),
            (&[30.0, 210.0], false),
            (&[30.0], false),
            (&[], false),
        ] {
            let angles: Vec<f64> = degrees.iter().map(|d| f64::to_radians(*d)).collect();
            assert_eq!(Widths::new(&angles, TAU).full, full, "{degrees:?}");
        }
    }

    #[test]
    fn detectors_overlap_where_one_edge_alone_leaves_the_image_out() {
        let fan = Fan {
            source_to_centre: 0.6,
            centre_to_detector: 0.4,
            detector: Detector::Curved,
        };
        let parallel = RayGeometry::parallel([100, 100], 0.1, 8, 142);
        let fan = RayGeometry::fan([100, 100], 0.1, 8, 142, fan);
        for geometry in [parallel, fan] {
            let overlap = |bins: usize, offset: f64| {
                let shifted = RayGeometry {
                    bins,
                    offset: offset * geometry.bin_width,
                    ..geometry.clone()
                };
                let reach = Overlap::of(&shifted)?;
                // In bins.
                let unit = Overlap::across(&geometry, 71.0) - Overlap::across(&geometry, 70.0);
                Some([reach.side, (reach.reach / unit * 1e6).round() / 1e6])
            };
            // All in view, with a shifted detector as well.
            assert_eq!(overlap(142, 0.0), None);
            assert_eq!(overlap(160, 8.0), None);
            // Too short on both sides, up to a quarter of a bin.
            assert_eq!(overlap(90, 0.0), None);
            assert_eq!(overlap(90, 0.25), None);
            assert_eq!(overlap(90, 26.0), Some([1.0, 19.0]));
            assert_eq!(overlap(90, -26.0), Some([-1.0, 19.0]));
            // Too short on both sides and not alike: what is seen counts once.
            assert_eq!(overlap(90, 5.0), Some([1.0, 40.0]));
            // The central ray is not seen.
            assert_eq!(overlap(60, 35.0), Some([1.0, -5.0]));
        }
    }
}
