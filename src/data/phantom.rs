//! Phantoms made of ellipses: images with a known formula, and the exact line integrals of it.
//!
//! A phantom is a list of [`Ellipse`]s whose values add. It is rasterised by averaging over points
//! inside each pixel, and its line integrals are known in closed form, which makes it an
//! independent truth for the ray transform.

use super::{image::Image, random::Stream};
use crate::shape::RayGeometry;
use std::f64::consts::{PI, TAU};

/// An ellipse of constant value, in metres and radians; x points right and y up.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ellipse {
    /// Centre, along x.
    pub centre_x: f64,
    /// Centre, along y.
    pub centre_y: f64,
    /// Semi-axis along the ellipse's own first axis. Positive.
    pub semi_a: f64,
    /// Semi-axis along the ellipse's own second axis. Positive.
    pub semi_b: f64,
    /// Counter-clockwise angle from x to the first axis.
    pub angle: f64,
    /// What the ellipse adds to each point inside.
    pub value: f64,
}

impl Ellipse {
    /// A disc.
    pub const fn disc([centre_x, centre_y]: [f64; 2], radius: f64, value: f64) -> Self {
        Ellipse {
            centre_x,
            centre_y,
            semi_a: radius,
            semi_b: radius,
            angle: 0.0,
            value,
        }
    }

    /// Whether the point `(x, y)` lies inside or on the border.
    pub fn contains(&self, x: f64, y: f64) -> bool {
        let (sin, cos) = self.angle.sin_cos();
        let (x, y) = (x - self.centre_x, y - self.centre_y);
        let a = (cos * x + sin * y) / self.semi_a;
        let b = (cos * y - sin * x) / self.semi_b;
        a * a + b * b <= 1.0
    }

    /// The integral of the value along the line `x cos theta + y sin theta = s`, in metres times
    /// the value's unit: `2 v a b sqrt(m^2 - t^2) / m^2` with `m^2 = a^2 cos^2(theta - angle) + b^2
    /// sin^2(theta - angle)` and `t` the line's distance from the centre (Kak and Slaney 1988,
    /// section 3.1), zero where the line misses.
    pub fn line_integral(&self, theta: f64, s: f64) -> f64 {
        let (sin, cos) = (theta - self.angle).sin_cos();
        let m2 = (self.semi_a * cos).powi(2) + (self.semi_b * sin).powi(2);
        let t = s - self.centre_x * theta.cos() - self.centre_y * theta.sin();
        let chord2 = (m2 - t * t).max(0.0);
        2.0 * self.value * self.semi_a * self.semi_b * chord2.sqrt() / m2
    }

    /// The ellipse turned counter-clockwise about the origin.
    pub fn rotated(&self, angle: f64) -> Ellipse {
        let (sin, cos) = angle.sin_cos();
        Ellipse {
            centre_x: cos * self.centre_x - sin * self.centre_y,
            centre_y: sin * self.centre_x + cos * self.centre_y,
            angle: self.angle + angle,
            ..*self
        }
    }

    /// Half the width and half the height of the upright box around the ellipse.
    fn half_box(&self) -> [f64; 2] {
        let (sin, cos) = self.angle.sin_cos();
        let (a, b) = (self.semi_a, self.semi_b);
        [(a * cos).hypot(b * sin), (a * sin).hypot(b * cos)]
    }
}

/// The modified Shepp-Logan head (contrasts of Toft 1996), filling a square of `field_of_view`
/// metres. Values lie in `[0, 1]`.
pub fn shepp_logan(field_of_view: f64) -> Vec<Ellipse> {
    // value, semi-axes, centre, degrees; in units of half the field of view.
    const TABLE: [[f64; 6]; 10] = [
        [1.0, 0.69, 0.92, 0.0, 0.0, 0.0],
        [-0.8, 0.6624, 0.874, 0.0, -0.0184, 0.0],
        [-0.2, 0.11, 0.31, 0.22, 0.0, -18.0],
        [-0.2, 0.16, 0.41, -0.22, 0.0, 18.0],
        [0.1, 0.21, 0.25, 0.0, 0.35, 0.0],
        [0.1, 0.046, 0.046, 0.0, 0.1, 0.0],
        [0.1, 0.046, 0.046, 0.0, -0.1, 0.0],
        [0.1, 0.046, 0.023, -0.08, -0.605, 0.0],
        [0.1, 0.023, 0.023, 0.0, -0.606, 0.0],
        [0.1, 0.023, 0.046, 0.06, -0.605, 0.0],
    ];
    let unit = field_of_view / 2.0;
    let ellipse = |[value, a, b, x, y, degrees]: [f64; 6]| Ellipse {
        centre_x: unit * x,
        centre_y: unit * y,
        semi_a: unit * a,
        semi_b: unit * b,
        angle: degrees.to_radians(),
        value,
    };
    TABLE.map(ellipse).to_vec()
}

/// What [`random_ellipses`] draws.
#[derive(Clone, PartialEq, Debug)]
pub struct RandomEllipses {
    /// Edge in metres of the square that holds the phantom.
    pub field_of_view: f64,
    /// The fewest and the most ellipses inside the body.
    pub inside: [usize; 2],
    /// The fraction of ellipses whose long axis lies within 10 degrees of x; the others point
    /// anywhere. At 1 the images have an orientation to overfit to, at 0 none.
    pub horizontal: f64,
}

impl Default for RandomEllipses {
    fn default() -> Self {
        RandomEllipses {
            field_of_view: 0.36,
            inside: [6, 12],
            horizontal: 0.0,
        }
    }
}

/// A random phantom: a body of value 0.2 to 0.4 and ellipses of random contrast inside it, drawn
/// from the stream of `seed`. Values lie in `[0, 1]` everywhere, and nothing is outside the body.
pub fn random_ellipses(seed: u64, of: &RandomEllipses) -> Vec<Ellipse> {
    let mut stream = Stream::new(seed, "ellipses");
    let unit = of.field_of_view / 2.0;
    let orientation = |stream: &mut Stream| {
        if stream.uniform() < of.horizontal {
            stream.between(-PI / 18.0, PI / 18.0)
        } else {
            stream.between(-PI / 2.0, PI / 2.0)
        }
    };
    let body = Ellipse {
        centre_x: 0.0,
        centre_y: 0.0,
        semi_a: unit * stream.between(0.75, 0.95),
        semi_b: unit * stream.between(0.5, 0.75),
        angle: orientation(&mut stream),
        value: stream.between(0.2, 0.4),
    };
    let mut ellipses = vec![body];
    let [fewest, most] = of.inside;
    let count = fewest + stream.below(most.saturating_sub(fewest) + 1);
    for _ in 0..count {
        let semi_a = unit * stream.between(0.04, 0.25);
        let semi_b = semi_a * stream.between(0.3, 1.0);
        // In the coordinates where the body is the unit disc, the ellipse's radius is at most
        // semi_a / body.semi_b; a centre that keeps this distance from the border keeps it inside.
        let reach = 1.0 - semi_a / body.semi_b;
        let (radius, direction) = (reach * stream.uniform().sqrt(), stream.between(0.0, TAU));
        let placed = Ellipse {
            centre_x: body.semi_a * radius * direction.cos(),
            centre_y: body.semi_b * radius * direction.sin(),
            ..body
        }
        .rotated(body.angle);
        let value = contrast(&mut stream, &ellipses, &placed, semi_a);
        ellipses.push(Ellipse {
            semi_a,
            semi_b,
            angle: orientation(&mut stream),
            value,
            ..placed
        });
    }
    ellipses
}

/// A value for a new ellipse within `radius` of `centre` that keeps all sums in `[0, 1]`: every
/// point of it lies in the body and in some of the ellipses whose circumscribed circles meet it.
fn contrast(stream: &mut Stream, ellipses: &[Ellipse], centre: &Ellipse, radius: f64) -> f64 {
    let (mut low, mut high) = (ellipses[0].value, ellipses[0].value);
    for other in &ellipses[1..] {
        let distance = (other.centre_x - centre.centre_x).hypot(other.centre_y - centre.centre_y);
        if distance <= radius + other.semi_a {
            low += other.value.min(0.0);
            high += other.value.max(0.0);
        }
    }
    // The bounds count ellipses that need not meet one another, so there may be no room at all.
    let (below, above) = (low.max(0.0), (1.0 - high).max(0.0));
    let strength = stream.between(0.25, 1.0);
    let thinner = stream.uniform() < 0.5;
    if below > 0.0 && (thinner || above == 0.0) {
        -strength * below
    } else {
        strength * above
    }
}

/// The image of `rows` x `columns` square pixels of edge `pixel` metres, centred on the origin:
/// each pixel is the mean over `supersample` x `supersample` points inside it (at least one).
pub fn rasterise(
    ellipses: &[Ellipse],
    [rows, columns]: [usize; 2],
    pixel: f64,
    supersample: usize,
) -> Image {
    let n = supersample.max(1);
    let step = pixel / n as f64;
    // Points on the fine grid: x = (i - (n W - 1) / 2) step, and rows downwards.
    let (middle_x, middle_y) = (
        (n * columns) as f64 / 2.0 - 0.5,
        (n * rows) as f64 / 2.0 - 0.5,
    );
    let mut sums = vec![0.0; rows * columns];
    for ellipse in ellipses {
        let [half_x, half_y] = ellipse.half_box();
        let span = |centre: f64, half: f64, points: usize| {
            let first = (centre - half / step).floor().max(0.0) as usize;
            let last = (centre + half / step).ceil().max(-1.0) + 1.0;
            first..(last as usize).min(points)
        };
        for i in span(middle_y - ellipse.centre_y / step, half_y, n * rows) {
            let y = (middle_y - i as f64) * step;
            for j in span(middle_x + ellipse.centre_x / step, half_x, n * columns) {
                let x = (j as f64 - middle_x) * step;
                if ellipse.contains(x, y) {
                    sums[(i / n) * columns + j / n] += ellipse.value;
                }
            }
        }
    }
    let points = (n * n) as f64;
    Image {
        rows,
        columns,
        pixels: sums.iter().map(|s| (s / points) as f32).collect(),
    }
}

/// The exact sinogram `[views, bins]` of a phantom: line integrals along the rays of the bin centres.
pub fn sinogram(ellipses: &[Ellipse], scan: &RayGeometry) -> Vec<f64> {
    let integral = |view: usize, bin: usize| -> f64 {
        let ray = scan.ray(view, bin as f64);
        let [cos, sin] = ray.normal;
        let (theta, s) = (sin.atan2(cos), ray.distance);
        ellipses.iter().map(|e| e.line_integral(theta, s)).sum()
    };
    let views = 0..scan.angles.len();
    views
        .flat_map(|view| (0..scan.bins).map(move |bin| integral(view, bin)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::FRAC_PI_2;

    const TILTED: Ellipse = Ellipse {
        centre_x: 0.03,
        centre_y: -0.02,
        semi_a: 0.08,
        semi_b: 0.03,
        angle: 0.6,
        value: 1.5,
    };

    #[test]
    fn line_integrals_are_the_length_inside_times_the_value() {
        let step = 1e-5;
        for theta in [0.0, 0.4, FRAC_PI_2, 2.5, -1.0] {
            let (sin, cos) = f64::sin_cos(theta);
            for s in [-0.05, -0.01, 0.0, 0.02, 0.06, 0.2] {
                let inside = (-30_000..30_000).filter(|&k| {
                    let t = f64::from(k) * step;
                    TILTED.contains(s * cos - t * sin, s * sin + t * cos)
                });
                let measured = inside.count() as f64 * step * TILTED.value;
                let exact = TILTED.line_integral(theta, s);
                assert!(
                    (exact - measured).abs() < 3.0 * step,
                    "{theta} {s}: {exact} {measured}"
                );
            }
        }
    }

    #[test]
    fn a_disc_casts_the_same_shadow_in_every_view() {
        let disc = Ellipse::disc([0.0, 0.0], 0.1, 2.0);
        for theta in [0.0, 1.0, 2.0] {
            assert!((disc.line_integral(theta, 0.06) - 4.0 * 0.08).abs() < 1e-15);
            assert_eq!(disc.line_integral(theta, 0.1001), 0.0);
        }
    }

    #[test]
    fn every_view_and_the_image_hold_the_same_mass() {
        let mut scan = RayGeometry::parallel([90, 120], 0.36, 7, 2000);
        scan.offset = 1e-4;
        let area: f64 = PI * TILTED.semi_a * TILTED.semi_b * TILTED.value;
        for view in sinogram(&[TILTED], &scan).chunks(scan.bins) {
            let mass = view.iter().sum::<f64>() * scan.bin_width;
            assert!((mass / area - 1.0).abs() < 1e-4, "{mass} {area}");
        }
        let image = rasterise(&[TILTED], [90, 120], scan.pixel[0], 8);
        let mass: f64 = image.pixels.iter().map(|&v| f64::from(v)).sum();
        assert!((mass * scan.pixel[0].powi(2) / area - 1.0).abs() < 1e-3);
    }

    #[test]
    fn pixels_lie_where_the_geometry_says() {
        let (rows, columns, pixel) = (9, 12, 0.02);
        let image = rasterise(&[TILTED], [rows, columns], pixel, 1);
        for r in 0..rows {
            for c in 0..columns {
                let x = (c as f64 - 5.5) * pixel;
                let y = (4.0 - r as f64) * pixel;
                let expected = if TILTED.contains(x, y) { 1.5 } else { 0.0 };
                assert_eq!(image.at(r, c), expected, "{r} {c}");
            }
        }
        assert!(image.range().1 > 0.0);
        // Partly and wholly outside the grid.
        for centre in [[0.12, 0.0], [-0.12, 0.09], [5.0, 5.0], [-5.0, -5.0]] {
            let disc = Ellipse::disc(centre, 0.05, 1.0);
            let image = rasterise(&[disc], [rows, columns], pixel, 3);
            let mass: f32 = image.pixels.iter().sum();
            assert_eq!(mass > 0.0, centre[0].abs() < 1.0);
        }
    }

    #[test]
    fn rotating_the_phantom_rotates_the_image() {
        let ellipses = shepp_logan(0.36);
        let quarter: Vec<Ellipse> = ellipses.iter().map(|e| e.rotated(FRAC_PI_2)).collect();
        let upright = rasterise(&ellipses, [64, 64], 0.36 / 64.0, 4);
        let turned = rasterise(&quarter, [64, 64], 0.36 / 64.0, 4);
        // Counter-clockwise: the right column becomes the top row.
        let expected = Image::from_fn([64, 64], |r, c| upright.at(c, 63 - r));
        let pairs = turned.pixels.iter().zip(&expected.pixels);
        // A point on a border may fall to either side.
        let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 1.0 / 16.0, "{worst}");
        assert_ne!(upright.pixels, turned.pixels);
    }

    #[test]
    fn shepp_logan_has_its_published_values() {
        let image = rasterise(&shepp_logan(2.0), [256, 256], 2.0 / 256.0, 1);
        let at = |x: f64, y: f64| {
            image.at(
                (127.5 - y * 128.0).round() as usize,
                (127.5 + x * 128.0).round() as usize,
            )
        };
        for ((x, y), value) in [
            ((0.0, 0.9), 1.0),
            ((0.0, -0.4), 0.2),
            ((0.22, 0.0), 0.0),
            ((-0.22, 0.0), 0.0),
            ((0.0, 0.45), 0.3),
            ((0.0, 0.1), 0.3),
            ((-0.08, -0.605), 0.3),
            ((0.9, 0.9), 0.0),
        ] {
            assert!((at(x, y) - value).abs() < 1e-6, "{x} {y}: {}", at(x, y));
        }
    }

    #[test]
    fn random_phantoms_are_reproducible_and_stay_in_range() {
        let settings = RandomEllipses {
            horizontal: 0.5,
            ..RandomEllipses::default()
        };
        for seed in 0..40 {
            let ellipses = random_ellipses(seed, &settings);
            assert_eq!(ellipses, random_ellipses(seed, &settings));
            assert_ne!(ellipses, random_ellipses(seed + 1, &settings));
            assert!((7..=13).contains(&ellipses.len()));
            let pixel = settings.field_of_view / 96.0;
            let (low, high) = rasterise(&ellipses, [96, 96], pixel, 2).range();
            assert!(
                low >= -1e-6 && high <= 1.0 + 1e-6 && high > 0.2,
                "{seed}: {low} {high}"
            );
            // Nothing sticks out of the body.
            for inner in &ellipses[1..] {
                for k in 0..64 {
                    let (sin, cos) = (TAU * f64::from(k) / 64.0).sin_cos();
                    let rim = Ellipse::disc([inner.semi_a * cos, inner.semi_b * sin], 0.0, 0.0);
                    let rim = rim.rotated(inner.angle);
                    let (x, y) = (inner.centre_x + rim.centre_x, inner.centre_y + rim.centre_y);
                    assert!(ellipses[0].contains(0.9999 * x, 0.9999 * y), "{seed}");
                }
            }
        }
    }

    #[test]
    fn the_horizontal_fraction_orients_the_ellipses() {
        let share = |horizontal: f64| {
            let settings = RandomEllipses {
                horizontal,
                ..RandomEllipses::default()
            };
            let all = (0..100).flat_map(|seed| random_ellipses(seed, &settings));
            let angles: Vec<f64> = all.map(|e| e.angle.abs()).collect();
            angles.iter().filter(|&&a| a <= PI / 18.0).count() as f64 / angles.len() as f64
        };
        assert_eq!(share(1.0), 1.0);
        assert!((share(0.0) - 1.0 / 9.0).abs() < 0.05);
    }
}
