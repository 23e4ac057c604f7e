//! The ray transform, the back-projection, and their transposes.

use crate::check::Check;
use crate::check::harness::{Case, Problem, close, wide};
use crate::kernels::Lowered;
use crate::kernels::ray_transform::{self, Reading};
use crate::reference::{Twin, ray_transform as twin};
use crate::shape::ParallelBeam;
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for kind in KINDS {
        for (name, beam, batch) in geometries() {
            let row = format!("ray/{}/{name}", kind.name);
            let cases = READINGS.map(|reading| case(kind, name, beam.clone(), batch, reading));
            checks.push(Check::kernel(row, cases));
        }
    }
    checks
}

/// From storage, from one uniform binding, and from many small ones.
const READINGS: [Reading; 3] = [
    Reading::Storage,
    Reading::Uniform { limit: 16_384 },
    Reading::Uniform { limit: 256 },
];

/// A kernel, its twin, and the terms that it adds.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    kernel: fn(&ParallelBeam, usize, Reading) -> Lowered,
    twin: fn(&[f64], usize, &ParallelBeam) -> Twin,
    terms: fn(&ParallelBeam, usize, [f64; 2], f64) -> Option<f64>,
    /// Bound of the sum's roundings and of those of the place where a term is read.
    roundings: fn(&ParallelBeam) -> f64,
    /// The input is an image.
    of_images: bool,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "forward",
        kernel: ray_transform::forward,
        twin: twin::forward,
        terms: joseph_term,
        // Blocks of 16 lines.
        roundings: |beam| crossing_roundings(beam) + 16.0 + extent(beam) / 16.0,
        of_images: true,
    },
    Kind {
        name: "adjoint",
        kernel: ray_transform::adjoint,
        twin: twin::adjoint,
        terms: joseph_term,
        // The bins of a view, then the views.
        roundings: |beam| {
            let bins = 2.0 * beam.pixel / beam.bin_width + 1.0;
            crossing_roundings(beam) + bins + beam.angles.len() as f64
        },
        of_images: false,
    },
    Kind {
        name: "backproject",
        kernel: ray_transform::backproject,
        twin: twin::backproject,
        terms: bin_term,
        // Blocks of 16 views.
        roundings: |beam| place_roundings(beam) + 16.0 + beam.angles.len() as f64 / 16.0,
        of_images: false,
    },
    Kind {
        name: "backproject_transpose",
        kernel: ray_transform::backproject_transpose,
        twin: twin::backproject_transpose,
        terms: bin_term,
        // The pixels of a line, then the lines.
        roundings: |beam| {
            let pixels = 3.0 * beam.bin_width / beam.pixel + 1.0;
            place_roundings(beam) + pixels + extent(beam)
        },
        of_images: true,
    },
];

/// Name, geometry, batch.
fn geometries() -> Vec<(&'static str, ParallelBeam, usize)> {
    let with_angles = |size, bins, angles: &[f64]| ParallelBeam {
        angles: angles.to_vec(),
        ..ParallelBeam::equispaced(size, 0.36, 1, bins)
    };
    let square = ParallelBeam::equispaced([37, 37], 0.36, 23, 59);
    let wide = ParallelBeam {
        offset: 0.013,
        ..ParallelBeam::equispaced([20, 31], 0.36, 17, 47)
    };
    let all_around = [
        -2.9, -1.6, -FRAC_PI_4, 0.0, 0.7, FRAC_PI_2, 2.0, PI, 4.0, 6.2,
    ];
    let tall = ParallelBeam {
        offset: -0.02,
        ..with_angles([31, 20], 41, &all_around)
    };
    vec![
        ("square", square, 2),
        ("wide-offset", wide, 1),
        ("tall-any-angle", tall, 3),
        ("one-view-45", with_angles([16, 16], 23, &[FRAC_PI_4]), 1),
        ("one-view-90", with_angles([16, 17], 24, &[FRAC_PI_2]), 1),
        (
            "few-bins",
            ParallelBeam::equispaced([24, 24], 0.36, 9, 5),
            1,
        ),
        (
            "many-bins",
            ParallelBeam::equispaced([12, 13], 0.36, 9, 199),
            1,
        ),
        (
            "many-views",
            ParallelBeam::equispaced([4, 6], 0.36, 1100, 7),
            1,
        ),
        ("one-pixel", ParallelBeam::equispaced([1, 1], 0.36, 7, 3), 2),
    ]
}

fn case(kind: Kind, geometry: &str, beam: ParallelBeam, batch: usize, reading: Reading) -> Case {
    let label = format!("ray {} {geometry} {reading:?}", kind.name);
    let lowered = (kind.kernel)(&beam, batch, reading);
    Case::new(label, lowered, move |noise| {
        let (image, sinogram) = (beam.image(batch), beam.sinogram(batch));
        let (from, to) = match kind.of_images {
            true => (image, sinogram),
            false => (sinogram, image),
        };
        let x = noise.signed(from.elements());
        let mut twin = (kind.twin)(&wide(&x), batch, &beam);
        twin.magnitude = magnitude(kind, &wide(&x), batch, &beam);
        no_cancelled_noise(&mut twin);
        let judge = close(twin, (kind.roundings)(&beam));
        Problem::new(vec![x], to.elements(), judge)
    })
}

/// The sum of the terms with every interpolation weight replaced by 1: the rounding of the place
/// where a term is read moves its weight by an absolute amount, whatever its size. A term that the
/// rounded place may touch and the exact one does not counts as well.
fn magnitude(kind: Kind, x: &[f64], batch: usize, beam: &ParallelBeam) -> Vec<f64> {
    let (pixels, rays) = (beam.image(1).elements(), beam.sinogram(1).elements());
    let outputs = if kind.of_images { rays } else { pixels };
    let mut sums = vec![0.0; batch * outputs];
    for pixel in 0..pixels {
        let row = (pixel / beam.columns) as f64 - centre(beam.rows);
        let column = (pixel % beam.columns) as f64 - centre(beam.columns);
        for ray in 0..rays {
            let (view, bin) = (ray / beam.bins, (ray % beam.bins) as f64);
            let Some(weight) = (kind.terms)(beam, view, [row, column], bin) else {
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

/// The length of the ray through a line, if it may interpolate from the pixel.
fn joseph_term(beam: &ParallelBeam, view: usize, [row, column]: [f64; 2], bin: f64) -> Option<f64> {
    let joseph = beam.joseph_view(view);
    let (line, across) = match joseph.along_rows {
        true => (row, column),
        false => (column, row),
    };
    let q = bin - centre(beam.bins);
    let crossing = joseph.per_bin * q + joseph.per_step * line + joseph.shift;
    ((crossing - across).abs() <= REACH).then_some(joseph.weight)
}

/// 1, if the pixel may interpolate from the bin.
fn bin_term(beam: &ParallelBeam, view: usize, [row, column]: [f64; 2], bin: f64) -> Option<f64> {
    let [per_column, per_row, origin] = beam.bin_view(view);
    let place = per_column * column + per_row * row + origin;
    ((place - bin).abs() <= REACH).then_some(1.0)
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

fn extent(beam: &ParallelBeam) -> f64 {
    beam.rows.max(beam.columns) as f64
}

/// Roundings of the crossing coordinate: of `per_bin q` (up to half the width, half the lines and
/// the shift), `per_step line`, `shift` and their sums, each by half an eps of its size; together
/// `width + lines + 2 shift` at most. Then the interpolation's four.
fn crossing_roundings(beam: &ParallelBeam) -> f64 {
    let shifts = (0..beam.angles.len()).map(|v| beam.joseph_view(v).shift.abs());
    2.0 * extent(beam) + 2.0 * shifts.fold(0.0, f64::max) + 4.0
}

/// Roundings of the place on the detector: of both products, of the centre and of their sums, each
/// by half an eps of its size. Then the interpolation's four.
fn place_roundings(beam: &ParallelBeam) -> f64 {
    let half = |extent: usize| extent as f64 / 2.0;
    let sizes = (0..beam.angles.len()).map(|view| {
        let [per_column, per_row, origin] = beam.bin_view(view);
        per_column.abs() * half(beam.columns) + per_row.abs() * half(beam.rows) + origin.abs()
    });
    2.0 * sizes.fold(0.0, f64::max) + 4.0
}
