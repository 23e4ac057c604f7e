//! The ray transform and its transpose.

use crate::check::Check;
use crate::check::harness::{Case, Problem, close, wide};
use crate::kernels::ray_transform;
use crate::reference::{Twin, ray_transform as twin};
use crate::shape::ParallelBeam;
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, beam, batch) in geometries() {
        let forward = case(&format!("ray {name}"), beam.clone(), batch, false);
        let adjoint = case(&format!("ray adjoint {name}"), beam, batch, true);
        checks.push(Check::kernel(format!("ray/forward/{name}"), [forward]));
        checks.push(Check::kernel(format!("ray/adjoint/{name}"), [adjoint]));
    }
    checks
}

/// Name, geometry, batch.
fn geometries() -> Vec<(&'static str, ParallelBeam, usize)> {
    let with_angles = |size, bins, angles: &[f64]| ParallelBeam {
        angles: angles.to_vec(),
        ..ParallelBeam::equispaced(size, 0.36, 1, bins)
    };
    let all_around = [
        -2.9, -1.6, -FRAC_PI_4, 0.0, 0.7, FRAC_PI_2, 2.0, PI, 4.0, 6.2,
    ];
    vec![
        (
            "square",
            ParallelBeam::equispaced([37, 37], 0.36, 23, 59),
            2,
        ),
        (
            "wide-offset",
            ParallelBeam {
                offset: 0.013,
                ..ParallelBeam::equispaced([20, 31], 0.36, 17, 47)
            },
            1,
        ),
        (
            "tall-any-angle",
            ParallelBeam {
                offset: -0.02,
                ..with_angles([31, 20], 41, &all_around)
            },
            3,
        ),
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
        ("one-pixel", ParallelBeam::equispaced([1, 1], 0.36, 7, 3), 2),
    ]
}

fn case(label: &str, beam: ParallelBeam, batch: usize, transposed: bool) -> Case {
    let lowered = match transposed {
        false => ray_transform::forward(&beam, batch),
        true => ray_transform::adjoint(&beam, batch),
    };
    Case::new(label, lowered, move |noise| {
        let (image, sinogram) = (
            beam.image(batch).elements(),
            beam.sinogram(batch).elements(),
        );
        let (from, to) = if transposed {
            (sinogram, image)
        } else {
            (image, sinogram)
        };
        let x = noise.signed(from);
        let mut twin = match transposed {
            false => twin::forward(&wide(&x), batch, &beam),
            true => twin::adjoint(&wide(&x), batch, &beam),
        };
        twin.magnitude = magnitude(&wide(&x), batch, &beam, transposed);
        no_cancelled_noise(&mut twin);
        Problem::new(vec![x], to, close(twin, roundings(&beam, transposed)))
    })
}

/// The sum of the terms with every interpolation weight replaced by the ray's whole weight: the
/// rounding of the crossing coordinate moves a weight by an absolute amount, whatever its size. A
/// pixel that the rounded ray may touch and the exact one does not counts as well.
fn magnitude(x: &[f64], batch: usize, beam: &ParallelBeam, transposed: bool) -> Vec<f64> {
    let centre = |extent: usize| (extent as f64 - 1.0) / 2.0;
    let (pixels, rays) = (beam.image(1).elements(), beam.sinogram(1).elements());
    let mut sums = vec![0.0; batch * if transposed { pixels } else { rays }];
    for view in 0..beam.angles.len() {
        let joseph = beam.joseph_view(view);
        for row in 0..beam.rows {
            for column in 0..beam.columns {
                let (r, c) = (
                    row as f64 - centre(beam.rows),
                    column as f64 - centre(beam.columns),
                );
                let (line, across) = if joseph.along_rows { (r, c) } else { (c, r) };
                for bin in 0..beam.bins {
                    let q = bin as f64 - centre(beam.bins);
                    let crossing = joseph.per_bin * q + joseph.per_step * line + joseph.shift;
                    if (crossing - across).abs() > 1.001 {
                        continue;
                    }
                    let (pixel, ray) = (row * beam.columns + column, view * beam.bins + bin);
                    for n in 0..batch {
                        let (pixel, ray) = (n * pixels + pixel, n * rays + ray);
                        let (from, to) = if transposed {
                            (ray, pixel)
                        } else {
                            (pixel, ray)
                        };
                        sums[to] += joseph.weight * x[from].abs();
                    }
                }
            }
        }
    }
    sums
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

/// Roundings of the crossing coordinate: of `per_bin q` (up to half the width, half the lines and
/// the shift), `per_step line`, `shift` and their sums, each by half an eps of its size; together
/// `width + lines + 2 shift` at most. Then the interpolation's four, and those of the sum: over
/// blocks of 16 lines, or over the bins of a view and the views.
fn roundings(beam: &ParallelBeam, transposed: bool) -> f64 {
    let extent = beam.rows.max(beam.columns) as f64;
    let views = 0..beam.angles.len();
    let shift = views
        .map(|v| beam.joseph_view(v).shift.abs())
        .fold(0.0, f64::max);
    let sum = if transposed {
        let reach = 2.0 * beam.pixel / beam.bin_width + 1.0;
        beam.angles.len() as f64 + reach
    } else {
        16.0 + extent / 16.0
    };
    2.0 * extent + 2.0 * shift + 4.0 + sum
}
