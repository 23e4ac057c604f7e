//! Geometry of the ray transform: the pixels, the rays, and which rays are measured.

use super::Shape;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::f64::consts::{PI, SQRT_2, TAU};

/// A scan of a rectangular image by parallel or divergent rays. All lengths are metres, all angles
/// radians.
///
/// Pixel (row `r`, column `c`) has its centre at `x = (c - (W-1)/2) pixel[1]`,
/// `y = ((H-1)/2 - r) pixel[0]`. Bin `b`, which may be fractional, is at the detector coordinate
/// `d = (b - (bins-1)/2) bin_width + offset`.
///
/// In the view at angle `theta` the central ray runs along `(-sin theta, cos theta)` through the
/// origin, and the detector coordinate grows along `(cos theta, sin theta)`:
/// - [`Beam::Parallel`]: the ray of `d` is the line `x cos theta + y sin theta = d`;
/// - [`Beam::Fan`]: all rays leave the source, at `R (sin theta, -cos theta)`. The ray of `d` makes
///   the angle `gamma` with the central one, so that its normal has the angle `theta - gamma` and it
///   passes the origin at `s = R sin gamma`. A flat detector has `tan gamma = d / D`, a curved one,
///   whose bins lie on a circle about the source, `gamma = d / D`, with `D` the distance from the
///   source to the detector.
#[derive(Clone, PartialEq, Debug)]
pub struct RayGeometry {
    /// Image rows, `H`.
    pub rows: usize,
    /// Image columns, `W`.
    pub columns: usize,
    /// Height and width of a pixel in metres.
    pub pixel: [f64; 2],
    /// How the rays of one view run.
    pub beam: Beam,
    /// View angles in radians.
    pub angles: Vec<f64>,
    /// Detector bins in each view.
    pub bins: usize,
    /// Distance between bin centres along the detector in metres.
    pub bin_width: f64,
    /// Detector coordinate of the detector's centre, in metres.
    pub offset: f64,
    /// What an image made of pixels is between their centres.
    pub projector: Projector,
}

/// How the rays of one view run.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Beam {
    /// Side by side.
    Parallel,
    /// From a point.
    Fan(Fan),
}

/// A source and a detector that turn about the image's centre.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fan {
    /// Distance from the source to the image's centre in metres, `R`.
    pub source_to_centre: f64,
    /// Distance from the image's centre to the detector in metres; `D` is the sum of both.
    pub centre_to_detector: f64,
    /// The detector's shape.
    pub detector: Detector,
}

impl Fan {
    /// Distance from the source to the detector in metres, `D`.
    pub fn source_to_detector(&self) -> f64 {
        self.source_to_centre + self.centre_to_detector
    }
}

/// The shape of a fan beam's detector.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detector {
    /// A straight line across the central ray: bins at equal distances (equispaced rays in Kak and
    /// Slaney 1988).
    #[default]
    Flat,
    /// An arc of the circle about the source: bins at equal angles (equiangular rays).
    Curved,
}

/// How a ray weights the pixels that it meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Projector {
    /// Where the ray crosses the centre line of a row (steep rays) or of a column, the two nearest
    /// pixels count by linear interpolation (Joseph 1982).
    #[default]
    Joseph,
    /// Every pixel counts by the length of the ray inside it (Siddon 1985).
    Siddon,
}

impl Projector {
    /// Siddon's weights jump where a ray along the pixels' edges moves from one line of pixels to
    /// the next. Rays that cross less than this many pixels for each line are taken to cross so
    /// many, which rounding errors of single precision survive.
    pub const LEAST_SLOPE: f64 = 1.0 / 1024.0;

    /// The share of a line's ray that a pixel gets at `distance` pixels from the crossing, along the
    /// line, of a ray that moves by `slope` pixels from line to line, at most 1 either way.
    ///
    /// Joseph's is the hat. Within a line, the ray covers an interval of length `|slope|` about the
    /// crossing, and Siddon's share is the part of it inside the pixel, which is one pixel wide.
    pub fn share(self, distance: f64, slope: f64) -> f64 {
        match self {
            Projector::Joseph => (1.0 - distance.abs()).max(0.0),
            Projector::Siddon => {
                let covered = slope.abs().max(Self::LEAST_SLOPE);
                ((0.5 * (1.0 + covered) - distance.abs()) / covered).clamp(0.0, 1.0)
            }
        }
    }
}

impl RayGeometry {
    /// Parallel rays: `views` angles equally spaced on `[0, pi)`, square pixels on a field of view
    /// of `field_of_view` metres across the image's width, and `bins` bins that cover `sqrt(2)`
    /// times that width.
    pub fn parallel(
        [rows, columns]: [usize; 2],
        field_of_view: f64,
        views: usize,
        bins: usize,
    ) -> Self {
        RayGeometry {
            rows,
            columns,
            pixel: [field_of_view / columns as f64; 2],
            beam: Beam::Parallel,
            angles: equally_spaced(0.0, PI, views),
            bins,
            bin_width: SQRT_2 * field_of_view / bins as f64,
            offset: 0.0,
            projector: Projector::Joseph,
        }
    }

    /// A fan of rays: `views` angles equally spaced on `[0, 2 pi)`, square pixels on a field of view
    /// of `field_of_view` metres across the image's width, and `bins` bins that cover the circle
    /// around the image. The source must lie outside that circle: see [`RayGeometry::check`].
    pub fn fan(
        [rows, columns]: [usize; 2],
        field_of_view: f64,
        views: usize,
        bins: usize,
        fan: Fan,
    ) -> Self {
        let mut geometry = RayGeometry {
            beam: Beam::Fan(fan),
            angles: equally_spaced(0.0, TAU, views),
            ..RayGeometry::parallel([rows, columns], field_of_view, views, bins)
        };
        geometry.bin_width = geometry.covering_width();
        geometry
    }

    /// The width of `bins` bins, centred, that just cover the circle around the image.
    pub fn covering_width(&self) -> f64 {
        let length = match self.beam {
            Beam::Parallel => 2.0 * self.radius(),
            Beam::Fan(fan) => {
                let half = (self.radius() / fan.source_to_centre).asin();
                let far = fan.source_to_detector();
                match fan.detector {
                    Detector::Flat => 2.0 * far * half.tan(),
                    Detector::Curved => 2.0 * far * half,
                }
            }
        };
        length / self.bins as f64
    }

    /// The radius in metres of the circle around the image: half its diagonal.
    pub fn radius(&self) -> f64 {
        let [height, width] = self.pixel;
        0.5 * (self.rows as f64 * height).hypot(self.columns as f64 * width)
    }

    /// The largest angle in radians between the central ray and one that meets the detector, edges
    /// included, to either side; 0 for parallel rays.
    pub fn half_fan(&self) -> f64 {
        let edges = [-0.5, self.bins as f64 - 0.5];
        let angles = edges.map(|bin| self.ray_angle(bin).abs());
        angles[0].max(angles[1])
    }

    /// The distance in metres between neighbouring rays where the central one passes the image's
    /// centre.
    pub fn ray_spacing(&self) -> f64 {
        match self.beam {
            Beam::Parallel => self.bin_width,
            Beam::Fan(fan) => self.bin_width * fan.source_to_centre / fan.source_to_detector(),
        }
    }

    /// Whether the views are equally spaced on half a turn of parallel rays, from any first one on,
    /// the detector is centred and the pixels are square: then after the last view comes the first
    /// with its bins reversed.
    pub fn closed(&self) -> bool {
        let step = PI / self.angles.len().max(1) as f64;
        let steps = self.angles.windows(2).all(|pair| {
            let miss = pair[1] - pair[0] - step;
            miss.abs() <= 1e-9
        });
        let even = self.offset == 0.0 && self.pixel[0] == self.pixel[1];
        self.beam == Beam::Parallel && steps && even && !self.angles.is_empty()
    }

    /// Checks what the kernels rely on: lengths are positive, and the source of a fan lies outside
    /// the image by a pixel or more, with every ray within 85 degrees of the central one.
    ///
    /// # Errors
    /// [`Error::Shape`] that names the length.
    pub fn check(&self) -> Result<()> {
        let bad = |what: String| Err(Error::shape("ray geometry", what));
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let [height, width] = self.pixel;
        if ![height, width, self.bin_width].into_iter().all(positive) {
            return bad(format!(
                "pixels of {height} x {width} m and bins of {} m: lengths are positive",
                self.bin_width
            ));
        }
        let Beam::Fan(fan) = self.beam else {
            return Ok(());
        };
        let (near, far) = (fan.source_to_centre, fan.centre_to_detector);
        let least = self.radius() + height.max(width);
        if !(positive(far) && near.is_finite() && near > least) {
            return bad(format!(
                "the source is {near} m and the detector {far} m from the image's centre: the source has to be more than {least} m away, outside the image, and the detector on the other side"
            ));
        }
        let half = self.half_fan() + self.ray_spacing() / near;
        if half.is_nan() || half > 85f64.to_radians() {
            return bad(format!(
                "the detector's edge is {} degrees from the central ray: a fan reaches at most 85",
                half.to_degrees()
            ));
        }
        Ok(())
    }

    /// Image shape for a batch of `n`: `n 1 H W`.
    pub fn image(&self, n: usize) -> Shape {
        Shape::new(n, 1, self.rows, self.columns)
    }

    /// Sinogram shape for a batch of `n`: `n 1 views bins`.
    pub fn sinogram(&self, n: usize) -> Shape {
        Shape::new(n, 1, self.angles.len(), self.bins)
    }

    /// The detector coordinate in metres of a bin, which may be fractional.
    pub fn detector(&self, bin: f64) -> f64 {
        (bin - (self.bins as f64 - 1.0) / 2.0) * self.bin_width + self.offset
    }

    /// The angle `gamma` in radians between the ray of a bin, which may be fractional, and the
    /// central one; 0 for parallel rays.
    pub fn ray_angle(&self, bin: f64) -> f64 {
        match self.beam {
            Beam::Parallel => 0.0,
            Beam::Fan(fan) => {
                let along = self.detector(bin) / fan.source_to_detector();
                match fan.detector {
                    Detector::Flat => along.atan(),
                    Detector::Curved => along,
                }
            }
        }
    }

    /// The ray of a bin, which may be fractional.
    pub fn ray(&self, view: usize, bin: f64) -> Ray {
        let gamma = self.ray_angle(bin);
        let (sin, cos) = (self.angles[view] - gamma).sin_cos();
        Ray {
            normal: [cos, sin],
            distance: match self.beam {
                Beam::Parallel => self.detector(bin),
                Beam::Fan(fan) => fan.source_to_centre * gamma.sin(),
            },
        }
    }

    /// How the ray of a bin, which may be fractional, steps through the pixels.
    pub fn crossings(&self, view: usize, bin: f64) -> Crossings {
        let Ray {
            normal: [cos, sin],
            distance,
        } = self.ray(view, bin);
        let [height, width] = self.pixel;
        // The ray in pixels: across_columns c' + across_rows r' = distance, as rows grow downward.
        let (across_columns, across_rows) = (cos * width, -sin * height);
        let along_rows = across_columns.abs() >= across_rows.abs();
        match along_rows {
            true => Crossings {
                along_rows,
                at_centre: distance / across_columns,
                per_line: -across_rows / across_columns,
                metres: height / cos.abs(),
            },
            false => Crossings {
                along_rows,
                at_centre: distance / across_rows,
                per_line: -across_columns / across_rows,
                metres: width / sin.abs(),
            },
        }
    }

    /// The ray through the centred pixel position (row `r' = r - (H-1)/2`, column
    /// `c' = c - (W-1)/2`) in one view.
    pub fn sighting(&self, view: usize, [row, column]: [f64; 2]) -> Sighting {
        let (sin, cos) = self.angles[view].sin_cos();
        let [x, y] = [column * self.pixel[1], -row * self.pixel[0]];
        let across = x * cos + y * sin;
        let (detector, weight) = match self.beam {
            Beam::Parallel => (across, 1.0),
            Beam::Fan(fan) => {
                let depth = fan.source_to_centre - x * sin + y * cos;
                let far = fan.source_to_detector();
                let ratio = fan.source_to_centre / depth;
                match fan.detector {
                    Detector::Flat => (far * across / depth, ratio * ratio),
                    Detector::Curved => {
                        let t = across / depth;
                        (far * t.atan(), ratio * ratio / (1.0 + t * t))
                    }
                }
            }
        };
        let centre = (self.bins as f64 - 1.0) / 2.0;
        Sighting {
            bin: (detector - self.offset) / self.bin_width + centre,
            weight,
        }
    }
}

/// `count` numbers equally spaced on `[from, to)`.
pub fn equally_spaced(from: f64, to: f64, count: usize) -> Vec<f64> {
    let step = |k: usize| from + (to - from) * k as f64 / count as f64;
    (0..count).map(step).collect()
}

/// The line `normal . (x, y) = distance`, in metres.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ray {
    /// A unit vector across the ray.
    pub normal: [f64; 2],
    /// From the image's centre to the ray, along the normal.
    pub distance: f64,
}

/// A ray in centred pixel indices: it steps through one line of pixels after another (rows
/// `r' = r - (H-1)/2` if [`along_rows`](Self::along_rows), else columns `c' = c - (W-1)/2`) and
/// crosses each line's centre at `at_centre + per_line * line` (centred column, or centred row).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Crossings {
    /// The ray crosses rows: it moves by at most one column from row to row.
    pub along_rows: bool,
    /// Where it crosses the image's central line.
    pub at_centre: f64,
    /// Pixels it moves from line to line, at most 1 either way.
    pub per_line: f64,
    /// Metres of ray in one line.
    pub metres: f64,
}

/// Where a point appears on the detector, and how far the back-projection of a fan weights it there.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sighting {
    /// The bin, fractional.
    pub bin: f64,
    /// Parallel rays: 1. Flat detector: `(R / L)^2` with `L` the distance from the source along the
    /// central ray, `1 / U^2` of Kak and Slaney 1988, section 3.4.2. Curved detector: the same with
    /// the distance from the source itself, `R^2 / L^2` of section 3.4.1.
    pub weight: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fan(detector: Detector) -> RayGeometry {
        let fan = Fan {
            source_to_centre: 0.5,
            centre_to_detector: 0.3,
            detector,
        };
        RayGeometry {
            offset: 0.01,
            pixel: [0.012, 0.009],
            ..RayGeometry::fan([20, 31], 0.36, 7, 40, fan)
        }
    }

    /// The definition, in coordinates: source, detector, and the line through both.
    #[test]
    fn rays_join_the_source_and_their_bin() {
        for detector in [Detector::Flat, Detector::Curved] {
            let geometry = fan(detector);
            for (view, theta) in geometry.angles.iter().enumerate() {
                let (sin, cos) = theta.sin_cos();
                let source = [0.5 * sin, -0.5 * cos];
                for bin in [0.0, 3.5, 19.5, 39.0] {
                    let d = (bin - 19.5) * geometry.bin_width + 0.01;
                    let (across, along) = match detector {
                        Detector::Flat => (d, 0.8),
                        Detector::Curved => (0.8 * (d / 0.8).sin(), 0.8 * (d / 0.8).cos()),
                    };
                    let hit = [
                        source[0] - along * sin + across * cos,
                        source[1] + along * cos + across * sin,
                    ];
                    let ray = geometry.ray(view, bin);
                    for point in [source, hit] {
                        let miss = ray.normal[0] * point[0] + ray.normal[1] * point[1];
                        assert!((miss - ray.distance).abs() < 1e-14);
                    }
                }
            }
        }
    }

    #[test]
    fn points_of_a_ray_appear_at_its_bin_and_the_weight_is_the_distance() {
        for detector in [Detector::Flat, Detector::Curved] {
            let geometry = fan(detector);
            for (view, theta) in geometry.angles.iter().enumerate() {
                let (sin, cos) = theta.sin_cos();
                for bin in [0.0, 3.5, 19.5, 39.0] {
                    let steps = geometry.crossings(view, bin);
                    for line in [-9.0, 0.5, 4.0] {
                        let crossing = steps.at_centre + steps.per_line * line;
                        let [row, column] = match steps.along_rows {
                            true => [line, crossing],
                            false => [crossing, line],
                        };
                        let found = geometry.sighting(view, [row, column]);
                        assert!((found.bin - bin).abs() < 1e-10, "{} not {bin}", found.bin);
                        let from = [column * 0.009 - 0.5 * sin, -row * 0.012 + 0.5 * cos];
                        let distance = match detector {
                            Detector::Flat => -from[0] * sin + from[1] * cos,
                            Detector::Curved => from[0].hypot(from[1]),
                        };
                        assert!((found.weight * (distance / 0.5).powi(2) - 1.0).abs() < 1e-12);
                    }
                }
            }
        }
    }

    /// Independent of the formula: the ray clipped to the square of each pixel.
    #[test]
    fn siddons_shares_are_lengths_inside_pixels() {
        let mut tried = 0;
        for slope in [0.0, 0.013, -0.3, 0.7, -1.0] {
            for crossing in [-1.3, -0.5, -0.2, 0.0, 0.31, 0.75, 1.2] {
                // x = crossing + slope y for y in [-1/2, 1/2], inside |x| <= 1/2.
                let points = 200_000;
                let inside = (0..points).filter(|i| {
                    let y = (f64::from(*i) + 0.5) / f64::from(points) - 0.5;
                    (crossing + slope * y).abs() < 0.5
                });
                let expected = inside.count() as f64 / f64::from(points);
                let found = Projector::Siddon.share(crossing, slope);
                // A ray along an edge belongs to both sides, by half.
                if slope == 0.0 && crossing == -0.5 {
                    assert_eq!(found, 0.5);
                } else {
                    assert!(
                        (found - expected).abs() < 1e-4,
                        "{crossing} {slope}: {found}"
                    );
                    tried += 1;
                }
            }
        }
        assert_eq!(tried, 34);
    }

    #[test]
    fn sources_inside_and_fans_too_wide_are_refused() {
        let geometry = |near: f64, far: f64, width: f64| RayGeometry {
            bin_width: width,
            ..RayGeometry::fan(
                [16, 16],
                0.32,
                4,
                20,
                Fan {
                    source_to_centre: near,
                    centre_to_detector: far,
                    detector: Detector::Flat,
                },
            )
        };
        assert!(geometry(0.5, 0.3, 0.03).check().is_ok());
        for (near, far, width, named) in [
            (0.2, 0.3, 0.03, "0.2 m"),
            (0.23, 0.3, 0.03, "0.23 m"),
            (0.0, 0.3, 0.03, "0 m"),
            (f64::NAN, 0.3, 0.03, "NaN m"),
            (0.5, 0.0, 0.03, "detector 0 m"),
            (0.5, 0.3, 0.0, "bins of 0 m"),
            (0.5, 0.3, 2.0, "85"),
        ] {
            let error = geometry(near, far, width).check().expect_err("refused");
            assert!(error.to_string().contains(named), "{error}");
        }
    }

    #[test]
    fn the_default_detector_sees_the_image_and_no_more() {
        for detector in [Detector::Flat, Detector::Curved] {
            let mut geometry = fan(detector);
            geometry.offset = 0.0;
            geometry.bin_width = geometry.covering_width();
            let sine = geometry.half_fan().sin() * 0.5;
            assert!((sine - geometry.radius()).abs() < 1e-14);
        }
    }

    #[test]
    fn only_parallel_views_of_square_pixels_close() {
        let parallel = RayGeometry::parallel([8, 8], 0.36, 6, 12);
        assert!(parallel.closed());
        let flat = RayGeometry {
            pixel: [0.04, 0.05],
            ..parallel.clone()
        };
        assert!(!flat.closed());
        let fan = RayGeometry {
            beam: fan(Detector::Flat).beam,
            ..parallel
        };
        assert!(!fan.closed());
    }
}
