//! The ray transform, the back-projection, and their transposes.

use crate::check::Check;
use crate::check::harness::{Case, Problem, close, wide};
use crate::kernels::Lowered;
use crate::kernels::ray_transform::{self, Reading};
use crate::reference::{Twin, ray_transform as twin};
use crate::shape::{Beam, Detector, Fan, Projector, RayGeometry};
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for kind in KINDS {
        for (name, geometry, batch) in geometries() {
            let row = format!("ray/{}/{name}", kind.name);
            let cases = READINGS.map(|reading| case(kind, name, geometry.clone(), batch, reading));
            checks.push(Check::kernel(row, cases));
        }
    }
    checks
}

/// From storage, by one thread and by several to a result (with 32 results next to each other in a
/// workgroup, and with fewer), from one uniform binding, and from many small ones.
const READINGS: [Reading; 5] = [
    Reading::Storage,
    Reading::Shared { threads: 2 },
    Reading::Shared { threads: 16 },
    Reading::Uniform { limit: 16_384 },
    Reading::Uniform { limit: 256 },
];

/// A kernel, its twin, and the terms that it adds.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    kernel: fn(&RayGeometry, usize, Reading) -> Lowered,
    twin: fn(&[f64], usize, &RayGeometry) -> Twin,
    terms: fn(&RayGeometry, usize, [f64; 2], f64) -> Option<f64>,
    /// Bound of the sum's roundings and of those of the place where a term is read.
    roundings: fn(&RayGeometry) -> f64,
    /// The input is an image.
    of_images: bool,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "forward",
        kernel: ray_transform::forward,
        twin: twin::forward,
        terms: ray_term,
        // Blocks of 16 lines.
        roundings: |geometry| crossing_roundings(geometry) + 16.0 + extent(geometry) / 16.0,
        of_images: true,
    },
    Kind {
        name: "adjoint",
        kernel: ray_transform::adjoint,
        twin: twin::adjoint,
        terms: ray_term,
        // The bins of a view, then the views.
        roundings: |geometry| {
            let bins = 2.0 * pixel(geometry)[1] / geometry.ray_spacing() + 1.0;
            crossing_roundings(geometry) + bins + geometry.angles.len() as f64
        },
        of_images: false,
    },
    Kind {
        name: "backproject",
        kernel: ray_transform::backproject,
        twin: twin::backproject,
        terms: bin_term,
        // Blocks of 16 views.
        roundings: |geometry| {
            place_roundings(geometry) + 16.0 + geometry.angles.len() as f64 / 16.0
        },
        of_images: false,
    },
    Kind {
        name: "backproject_transpose",
        kernel: ray_transform::backproject_transpose,
        twin: twin::backproject_transpose,
        terms: bin_term,
        // The pixels of a line, then the lines.
        roundings: |geometry| {
            let pixels = 3.0 * geometry.ray_spacing() / pixel(geometry)[0] + 1.0;
            place_roundings(geometry) + pixels + extent(geometry)
        },
        of_images: true,
    },
];

/// Name, geometry, batch.
fn geometries() -> Vec<(&'static str, RayGeometry, usize)> {
    let with_angles = |size, bins, angles: &[f64]| RayGeometry {
        angles: angles.to_vec(),
        ..RayGeometry::parallel(size, 0.36, 1, bins)
    };
    let square = RayGeometry::parallel([37, 37], 0.36, 23, 59);
    let wide = RayGeometry {
        offset: 0.013,
        ..RayGeometry::parallel([20, 31], 0.36, 17, 47)
    };
    let all_around = [
        -2.9, -1.6, -FRAC_PI_4, 0.0, 0.7, FRAC_PI_2, 2.0, PI, 4.0, 6.2,
    ];
    let tall = RayGeometry {
        offset: -0.02,
        ..with_angles([31, 20], 41, &all_around)
    };
    let siddon = |geometry: &RayGeometry| RayGeometry {
        projector: Projector::Siddon,
        ..geometry.clone()
    };
    let fan = |size, views, bins, near: f64, detector| {
        let fan = Fan {
            source_to_centre: near,
            centre_to_detector: 0.4,
            detector,
        };
        RayGeometry::fan(size, 0.36, views, bins, fan)
    };
    // Pixels that are not square, and a fan shifted off the image's centre.
    let flat = RayGeometry {
        pixel: [0.012, 0.01],
        offset: 0.03,
        ..fan([31, 20], 17, 47, 0.5, Detector::Flat)
    };
    // Narrower than the image, and bins finer than pixels.
    let curved = RayGeometry {
        bin_width: 0.004,
        offset: -0.01,
        angles: all_around.to_vec(),
        ..fan([20, 31], 1, 90, 0.4, Detector::Curved)
    };
    vec![
        ("siddon", siddon(&square), 2),
        ("siddon-tall-any-angle", siddon(&tall), 1),
        ("square", square, 2),
        ("wide-offset", wide, 1),
        ("tall-any-angle", tall, 3),
        ("one-view-45", with_angles([16, 16], 23, &[FRAC_PI_4]), 1),
        ("one-view-90", with_angles([16, 17], 24, &[FRAC_PI_2]), 1),
        ("few-bins", RayGeometry::parallel([24, 24], 0.36, 9, 5), 1),
        (
            "many-bins",
            RayGeometry::parallel([12, 13], 0.36, 9, 199),
            1,
        ),
        (
            "many-views",
            RayGeometry::parallel([4, 6], 0.36, 1100, 7),
            1,
        ),
        // More lines than threads that share a ray have in a block.
        (
            "many-lines",
            RayGeometry::parallel([150, 170], 0.36, 3, 29),
            1,
        ),
        ("one-pixel", RayGeometry::parallel([1, 1], 0.36, 7, 3), 2),
        // Twice three entries to a thread, of which the last does not exist.
        ("batch", RayGeometry::parallel([11, 14], 0.36, 9, 21), 5),
        ("fan-siddon", siddon(&flat), 1),
        ("fan-curved-siddon", siddon(&curved), 2),
        ("fan-flat", flat, 2),
        ("fan-curved", curved, 1),
        // The source next to the image's corners, whose neighbouring rays run far apart.
        ("fan-close", fan([24, 24], 9, 6, 0.275, Detector::Flat), 1),
        (
            "fan-close-curved",
            fan([13, 12], 9, 100, 0.29, Detector::Curved),
            1,
        ),
        (
            "fan-many-views",
            fan([4, 6], 1100, 7, 0.5, Detector::Curved),
            1,
        ),
        ("fan-batch", fan([11, 14], 9, 21, 0.5, Detector::Curved), 7),
        ("fan-one-pixel", fan([1, 1], 7, 3, 0.9, Detector::Flat), 2),
    ]
}

fn case(kind: Kind, name: &str, geometry: RayGeometry, batch: usize, reading: Reading) -> Case {
    let label = format!("ray {} {name} {reading:?}", kind.name);
    let lowered = (kind.kernel)(&geometry, batch, reading);
    Case::new(label, lowered, move |noise| {
        let (image, sinogram) = (geometry.image(batch), geometry.sinogram(batch));
        let (from, to) = match kind.of_images {
            true => (image, sinogram),
            false => (sinogram, image),
        };
        let x = noise.signed(from.elements());
        let mut twin = (kind.twin)(&wide(&x), batch, &geometry);
        twin.magnitude = magnitude(kind, &wide(&x), batch, &geometry);
        no_cancelled_noise(&mut twin);
        let judge = close(twin, (kind.roundings)(&geometry));
        Problem::new(vec![x], to.elements(), judge)
    })
}

/// The sum of the terms with every interpolation weight replaced by 1: the rounding of the place
/// where a term is read moves its weight by an absolute amount, whatever its size. A term that the
/// rounded place may touch and the exact one does not counts as well.
fn magnitude(kind: Kind, x: &[f64], batch: usize, geometry: &RayGeometry) -> Vec<f64> {
    let (pixels, rays) = (
        geometry.image(1).elements(),
        geometry.sinogram(1).elements(),
    );
    let outputs = if kind.of_images { rays } else { pixels };
    let mut sums = vec![0.0; batch * outputs];
    for pixel in 0..pixels {
        let row = (pixel / geometry.columns) as f64 - centre(geometry.rows);
        let column = (pixel % geometry.columns) as f64 - centre(geometry.columns);
        for ray in 0..rays {
            let (view, bin) = (ray / geometry.bins, (ray % geometry.bins) as f64);
            let Some(weight) = (kind.terms)(geometry, view, [row, column], bin) else {
                continue;
            };
            for n in 0..batch {
                let (pixel, ray) = (n * pixels + pixel, n * rays + ray);
                match kind.of_images {
                    true => sums[ray] += weight * x[pixel].abs(),
                    false => sums[pixel] += weight * x[ray].abs(),
                }
            }
        }
    }
    sums
}

/// How far beyond its interval of length 1 a weight counts.
const REACH: f64 = 1.001;

/// The length of the ray through a line, if it may read the pixel there, times how much the weight
/// moves with the place: Siddon's changes over as much as the ray moves from line to line.
fn ray_term(geometry: &RayGeometry, view: usize, [row, column]: [f64; 2], bin: f64) -> Option<f64> {
    let steps = geometry.crossings(view, bin);
    let (line, across) = match steps.along_rows {
        true => (row, column),
        false => (column, row),
    };
    let crossing = steps.at_centre + steps.per_line * line;
    let steepness = match geometry.projector {
        Projector::Joseph => 1.0,
        Projector::Siddon => 1.0 / steps.per_line.abs().max(Projector::LEAST_SLOPE),
    };
    ((crossing - across).abs() <= REACH).then_some(steps.metres * steepness)
}

/// The pixel's weight, if it may read the bin.
fn bin_term(geometry: &RayGeometry, view: usize, pixel: [f64; 2], bin: f64) -> Option<f64> {
    let place = geometry.sighting(view, pixel);
    ((place.bin - bin).abs() <= REACH).then_some(place.weight)
}

/// The angles' cosines come from f64 and are not exactly zero, so that a weight of 1e-17 may stand
/// where the kernel has none.
fn no_cancelled_noise(twin: &mut Twin) {
    for (value, magnitude) in twin.value.iter_mut().zip(&twin.magnitude) {
        if *magnitude == 0.0 && value.abs() < 1e-12 {
            *value = 0.0;
        }
    }
}

fn centre(extent: usize) -> f64 {
    (extent as f64 - 1.0) / 2.0
}

fn extent(geometry: &RayGeometry) -> f64 {
    geometry.rows.max(geometry.columns) as f64
}

/// The shorter and the longer side of a pixel.
fn pixel(geometry: &RayGeometry) -> [f64; 2] {
    let [height, width] = geometry.pixel;
    [height.min(width), height.max(width)]
}

/// Roundings of the crossing coordinate. Parallel rays: of `per_bin q` (up to half the width, half
/// the lines and the shift), `per_line line`, `shift` and their sums, each by half an eps of its
/// size; together `width + lines + 2 shift` at most. A fan: of the tangent, by one and a half of its
/// largest value, which is worth a length at the centre; of the ray's steepness, a sum of two
/// products, and of the divisions by it, four of the coordinate on either end. Then the
/// interpolation's four.
fn crossing_roundings(geometry: &RayGeometry) -> f64 {
    match geometry.beam {
        Beam::Parallel => {
            let centre = centre(geometry.bins);
            let shifts = (0..geometry.angles.len())
                .map(|view| geometry.crossings(view, centre).at_centre.abs());
            2.0 * extent(geometry) + 2.0 * shifts.fold(0.0, f64::max) + 4.0
        }
        Beam::Fan(fan) => {
            let tangent = geometry.half_fan().tan() * fan.source_to_centre / pixel(geometry)[0];
            1.5 * tangent + 8.0 * extent(geometry) + 4.0
        }
    }
}

/// Roundings of the place on the detector. Parallel rays: of both products, of the centre and of
/// their sums, each by half an eps of its size. A fan: four of the bins that the place is from the
/// centre's, and of those that the image's radius is worth, in front and behind the division by the
/// depth, which is least next to the source. Then the interpolation's four.
fn place_roundings(geometry: &RayGeometry) -> f64 {
    match geometry.beam {
        Beam::Parallel => {
            let half = |extent: usize| extent as f64 / 2.0;
            let sizes = (0..geometry.angles.len()).map(|view| {
                let bin = |pixel| geometry.sighting(view, pixel).bin;
                let origin = bin([0.0, 0.0]);
                let [per_row, per_column] = [[1.0, 0.0], [0.0, 1.0]].map(|p| bin(p) - origin);
                per_column.abs() * half(geometry.columns)
                    + per_row.abs() * half(geometry.rows)
                    + origin.abs()
            });
            2.0 * sizes.fold(0.0, f64::max) + 4.0
        }
        Beam::Fan(fan) => {
            let radius = geometry.radius() / geometry.ray_spacing();
            let depth = 1.0 - geometry.radius() / fan.source_to_centre;
            4.0 * (geometry.bins as f64 + radius) / depth + 4.0
        }
    }
}
