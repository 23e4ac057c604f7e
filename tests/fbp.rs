//! Pixel-driven back-projection and filtered back-projection against twins and closed forms.

use equilens::data::phantom::{Ellipse, rasterise, shepp_logan, sinogram};
use equilens::error::Result;
use equilens::gpu::{Gpu, Selection};
use equilens::operators::{
    Blur, Boundary, Composed, LinearOperator as _, PointSpread, RayTransform,
};
use equilens::operators::{Filter, fbp, parker, view_weights, wang};
use equilens::reference::ray_transform;
use equilens::shape::{Beam, Detector, Fan, Projector, RayGeometry, Shape, equally_spaced};
use equilens::tape::plan::{Options, Plan, Store};
use equilens::tape::{Tape, Var, gradcheck, reference};
use std::collections::HashMap;
use std::f64::consts::PI;
use std::sync::Arc;

const FILTERS: [Filter; 4] = [
    Filter::RamLak,
    Filter::SheppLogan,
    Filter::Cosine,
    Filter::Hann,
];

fn store() -> Store {
    Store::new(&Gpu::open(&Selection::default()).expect("an adapter"))
}

fn noise(seed: u64, len: usize) -> Vec<f32> {
    use equilens::reference::random::{Draw, normal};
    normal(Draw::new(seed, 0), len)
        .into_iter()
        .map(|v| v as f32)
        .collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// What `record` makes of `input` on the device.
fn run(
    store: &Store,
    input: &[f32],
    shape: Shape,
    record: impl FnOnce(&mut Tape, Var) -> Result<Var>,
) -> Vec<f32> {
    let mut tape = Tape::new();
    let x = tape.input("x", shape);
    let y = record(&mut tape, x).expect("records");
    let plan = Plan::compile(&tape, &[y], store, Options::default()).expect("compiles");
    plan.run(&[("x", input)]).expect("runs");
    plan.read(y).expect("reads")
}

fn fan(size: [usize; 2], views: usize, bins: usize, detector: Detector) -> RayGeometry {
    let fan = Fan {
        source_to_centre: 0.5,
        centre_to_detector: 0.4,
        detector,
    };
    RayGeometry::fan(size, 0.36, views, bins, fan)
}

/// Square, wide with a shifted detector, and tall with odd angles and bins half as wide and twice
/// as wide as the pixels; fans of both kinds, with pixels that are not square.
fn beams() -> [RayGeometry; 6] {
    let square = RayGeometry::parallel([37, 37], 0.36, 23, 53);
    let wide = RayGeometry {
        offset: 0.013,
        ..RayGeometry::parallel([20, 31], 0.36, 17, 59)
    };
    let tall = |width: f64| RayGeometry {
        rows: 31,
        columns: 20,
        angles: vec![-2.9, -1.6, -PI / 4.0, 0.0, 0.7, PI / 2.0, 2.0, PI, 4.0, 6.2],
        bin_width: width * square.pixel[0],
        offset: -0.02,
        ..square.clone()
    };
    let flat = RayGeometry {
        offset: 0.02,
        pixel: [0.012, 0.01],
        ..fan([20, 31], 13, 47, Detector::Flat)
    };
    let curved = fan([31, 20], 13, 90, Detector::Curved);
    let [half, double] = [0.5, 2.0].map(tall);
    [square, wide, half, double, flat, curved]
}

#[test]
fn backprojection_and_its_transpose_are_their_twins() {
    let store = store();
    for beam in beams() {
        let scale = if beam.beam == Beam::Parallel {
            1.0
        } else {
            4.0
        };
        let beam = Arc::new(beam);
        for n in [1, 3] {
            let (image, sinogram) = (beam.image(n), beam.sinogram(n));
            let x = noise(1, image.elements());
            let y = noise(2, sinogram.elements());
            let back = run(&store, &y, sinogram, |t, v| t.ray_backproject(v, &beam));
            let twin = ray_transform::backproject(&wide(&y), n, &beam);
            let front = run(&store, &x, image, |t, v| {
                t.ray_backproject_transpose(v, &beam)
            });
            let transposed = ray_transform::backproject_transpose(&wide(&x), n, &beam);
            for (found, twin) in [(back, twin), (front, transposed)] {
                // The place on the detector is rounded to about 60 bins * 2^-24; of a fan, whose
                // every step is bounded by `check`, to four times that.
                for (k, &value) in found.iter().enumerate() {
                    let error = (f64::from(value) - twin.value[k]).abs();
                    let bound = scale * (2e-5 * twin.magnitude[k] + 1e-5);
                    assert!(error <= bound, "{k}: {value} not {}", twin.value[k]);
                }
            }
        }
    }
}

#[test]
fn backprojection_twins_are_transposes() {
    for beam in beams() {
        let x = wide(&noise(1, beam.image(2).elements()));
        let y = wide(&noise(2, beam.sinogram(2).elements()));
        let back = ray_transform::backproject(&y, 2, &beam).value;
        let front = ray_transform::backproject_transpose(&x, 2, &beam).value;
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (left, right) = (dot(&front, &y), dot(&x, &back));
        let scale = (dot(&front, &front) * dot(&y, &y)).sqrt();
        assert!(scale > 0.0 && (left - right).abs() <= 1e-13 * scale);
    }
}

#[test]
fn backprojection_interpolates_at_the_pixels_detector_coordinate() {
    // A sinogram that is linear in s comes back as the sum over the views of x cos + y sin.
    let mut beam = RayGeometry::parallel([9, 13], 0.26, 7, 41);
    beam.offset = 0.003;
    let s = |bin: usize| (bin as f64 - 20.0) * beam.bin_width + beam.offset;
    let sinogram: Vec<f64> = (0..7 * 41).map(|i| s(i % 41)).collect();
    let image = ray_transform::backproject(&sinogram, 1, &beam).value;
    for (pixel, value) in image.iter().enumerate() {
        let (r, c) = ((pixel / 13) as f64, (pixel % 13) as f64);
        let (x, y) = ((c - 6.0) * beam.pixel[0], (4.0 - r) * beam.pixel[0]);
        let at = |a: &f64| x * a.cos() + y * a.sin();
        let expected: f64 = beam.angles.iter().map(at).sum();
        assert!((value - expected).abs() < 1e-12, "{value} not {expected}");
    }
}

/// A disc of value 3, radius 0.1 m, off-centre: its chords, and the image's pixels well inside it.
fn disc(beam: &RayGeometry) -> (Vec<f32>, Vec<bool>) {
    let (value, radius, cx, cy) = (3.0, 0.1, 0.02, -0.01);
    let disc = Ellipse::disc([cx, cy], radius, value);
    let sinogram = sinogram(&[disc], beam).into_iter().map(|v| v as f32);
    let inside = (0..beam.rows * beam.columns).map(|pixel| {
        let (r, c) = ((pixel / beam.columns) as f64, (pixel % beam.columns) as f64);
        let x = (c - (beam.columns as f64 - 1.0) / 2.0) * beam.pixel[1];
        let y = ((beam.rows as f64 - 1.0) / 2.0 - r) * beam.pixel[0];
        (x - cx).hypot(y - cy) < 0.85 * radius
    });
    (sinogram.collect(), inside.collect())
}

/// Largest relative error inside the disc, and of the mean there.
fn disc_errors(image: &[f32], inside: &[bool]) -> (f64, f64) {
    let values: Vec<f64> = (image.iter().zip(inside))
        .filter(|(_, inside)| **inside)
        .map(|(v, _)| f64::from(*v))
        .collect();
    assert!(values.len() > 500);
    let error = |v: f64| (v / 3.0 - 1.0).abs();
    let worst = values.iter().map(|&v| error(v)).fold(0.0, f64::max);
    (
        worst,
        error(values.iter().sum::<f64>() / values.len() as f64),
    )
}

const DETECTORS: [Detector; 2] = [Detector::Flat, Detector::Curved];

/// The same by a short scan, from an odd angle on, of `excess` radians more than needed.
fn short(full: &RayGeometry, excess: f64) -> RayGeometry {
    let extent = PI + 2.0 * full.half_fan() + excess;
    let views = (full.angles.len() as f64 * extent / (2.0 * PI)).ceil() as usize;
    RayGeometry {
        angles: equally_spaced(5.1, 5.1 + extent, views),
        ..full.clone()
    }
}

/// The same with the bins `kept` alone, all around: a detector that is shifted past the image.
fn shifted(full: &RayGeometry, kept: std::ops::Range<usize>) -> RayGeometry {
    let middle = 0.5 * (kept.start + kept.end) as f64 - 0.5;
    RayGeometry {
        angles: equally_spaced(0.3, 0.3 + 2.0 * PI, 2 * full.angles.len()),
        offset: full.detector(middle),
        bins: kept.len(),
        ..full.clone()
    }
}

#[test]
fn fbp_returns_a_disc_at_its_value() {
    let store = store();
    let square = RayGeometry::parallel([128, 128], 0.36, 180, 182);
    let rectangle = RayGeometry {
        offset: 1.5e-3,
        ..RayGeometry::parallel([110, 128], 0.36, 150, 231)
    };
    // Golden-angle views over the whole circle.
    let golden = RayGeometry {
        angles: (0..233)
            .map(|v| v as f64 * PI * (5f64.sqrt() - 1.0))
            .collect(),
        ..square.clone()
    };
    let uneven = RayGeometry {
        pixel: [0.0034, 0.0025],
        ..square.clone()
    };
    let turns = DETECTORS.into_iter().flat_map(|detector| {
        let full = RayGeometry {
            // A quarter of a bin: opposite rays do not coincide.
            offset: 0.25 * fan([128, 128], 360, 182, detector).bin_width,
            ..fan([128, 128], 360, 182, detector)
        };
        let golden = RayGeometry {
            angles: golden.angles.clone(),
            ..full.clone()
        };
        let [least, more] = [0.0, 0.5].map(|excess| short(&full, excess));
        [full, golden, least, more]
    });
    let turns: Vec<_> = turns.collect();
    let past = [60..182, 0..130].map(|kept| shifted(&square, kept));
    // A part of the turn sees a line once or twice whatever the shift: all of the disc is in view.
    let aside = [square.clone(), fan([128, 128], 360, 182, Detector::Flat)].map(|full| {
        let shifted = shifted(&full, 40..182);
        let angles = match full.beam {
            Beam::Parallel => full.angles.clone(),
            Beam::Fan(_) => short(&shifted, 0.0).angles,
        };
        RayGeometry { angles, ..shifted }
    });
    for beam in [square, rectangle, golden.clone(), uneven]
        .into_iter()
        .chain(past)
        .chain(aside)
        .chain(turns)
    {
        let (sinogram, inside) = disc(&beam);
        let operator = RayTransform::new(beam.clone());
        for filter in FILTERS {
            let image = run(&store, &sinogram, beam.sinogram(1), |t, y| {
                fbp(t, y, &operator, filter)
            });
            let (worst, mean) = disc_errors(&image, &inside);
            let label = format!("{:?}, {} views, {filter:?}", beam.beam, beam.angles.len());
            println!("{label}: worst {worst:.5}, mean {mean:.5}");
            assert!(worst < 0.005, "{label}: {worst}");
            assert!(mean < 0.0005, "{label}: {mean}");
        }
    }
}

#[test]
fn pixel_driven_backprojection_beats_the_scaled_adjoint() {
    let store = store();
    let beam = RayGeometry::parallel([128, 128], 0.36, 180, 182);
    let (sinogram, inside) = disc(&beam);
    let operator = RayTransform::new(beam.clone());
    let pixel_driven = run(&store, &sinogram, beam.sinogram(1), |t, y| {
        fbp(t, y, &operator, Filter::RamLak)
    });
    // The same with the adjoint, whose weights in one view sum to h^2 / w on average.
    let filtered = equilens::reference::filter::filter_views(
        &wide(&sinogram),
        beam.sinogram(1),
        &equilens::reference::filter::ram_lak(beam.bins, beam.bin_width),
    );
    let scale = PI / 180.0 * beam.bin_width / (beam.pixel[0] * beam.pixel[0]);
    let adjoint: Vec<f32> = ray_transform::adjoint(&filtered.value, 1, &beam)
        .value
        .iter()
        .map(|v| (scale * v) as f32)
        .collect();
    let (pixel_driven, _) = disc_errors(&pixel_driven, &inside);
    let (adjoint, _) = disc_errors(&adjoint, &inside);
    println!("worst error inside: pixel-driven {pixel_driven}, adjoint {adjoint}");
    assert!(2.0 * pixel_driven < adjoint);
}

/// Root mean square errors of FBP of the head phantom: of all pixels, and of those far from edges.
fn head_errors(store: &Store, geometry: &RayGeometry) -> [f64; 2] {
    head_errors_weighted(store, geometry, |_| 1.0)
}

/// The same with the measurement of each bin multiplied by `weight`.
fn head_errors_weighted(
    store: &Store,
    geometry: &RayGeometry,
    weight: impl Fn(usize) -> f64,
) -> [f64; 2] {
    let head = shepp_logan(0.36);
    let size = geometry.rows;
    let pixel = geometry.pixel[0];
    let truth = rasterise(&head, [size, size], pixel, 8).pixels;
    let y: Vec<f32> = (sinogram(&head, geometry).into_iter().enumerate())
        .map(|(ray, v)| (weight(ray % geometry.bins) * v) as f32)
        .collect();
    let operator = RayTransform::new(geometry.clone());
    let image = run(store, &y, geometry.sinogram(1), |t, y| {
        fbp(t, y, &operator, Filter::SheppLogan)
    });
    let even = |i: usize| {
        let (r, c) = (i / size, i % size);
        let near = |k: usize| k.saturating_sub(4)..(k + 5).min(size);
        let mut around = near(r).flat_map(|r| near(c).map(move |c| r * size + c));
        truth[i] > 0.05 && around.all(|j| truth[j] == truth[i])
    };
    [false, true].map(|inner| {
        let errors = (0..size * size)
            .filter(|&i| !inner || even(i))
            .map(|i| f64::from(image[i] - truth[i]).powi(2));
        let errors: Vec<f64> = errors.collect();
        assert!(errors.len() > 1000);
        (errors.iter().sum::<f64>() / errors.len() as f64).sqrt()
    })
}

/// 256 x 256 pixels. Parallel rays are the yardstick: the phantom's edges are sharper than pixels.
#[test]
fn fans_reconstruct_the_head_phantom_as_well_as_parallel_rays() {
    let store = store();
    let parallel = RayGeometry::parallel([256, 256], 0.36, 360, 363);
    let yardstick = head_errors(&store, &parallel);
    println!("parallel: {yardstick:.5?}");
    for detector in DETECTORS {
        let full = fan([256, 256], 720, 363, detector);
        let least = short(&full, 0.0);
        let more = short(&full, 0.5);
        for (name, geometry) in [("full", full), ("short", least), ("longer", more)] {
            let errors = head_errors(&store, &geometry);
            println!("{detector:?}, {name}: {errors:.5?}");
            for (error, yardstick) in errors.into_iter().zip(yardstick) {
                assert!(error < 1.15 * yardstick, "{detector:?}, {name}: {error}");
            }
        }
    }
}

/// Detectors that reach 44 of the 118 bins from the centre to the head's rim on one side. Their lines
/// are those of centred detectors, of which they see some once and others twice.
#[test]
fn detectors_shifted_past_the_head_reconstruct_it_as_well_as_centred_ones() {
    let store = store();
    let parallel = RayGeometry::parallel([256, 256], 0.36, 360, 363);
    let fans = DETECTORS.map(|detector| fan([256, 256], 360, 363, detector));
    for centred in [parallel].into_iter().chain(fans) {
        let all = shifted(&centred, 0..363);
        let yardstick = head_errors(&store, &all);
        println!("{:?}, centred: {yardstick:.5?}", centred.beam);
        for (kept, side) in [(138..363, 1.0), (0..225, -1.0)] {
            let geometry = shifted(&centred, kept);
            let errors = head_errors(&store, &geometry);
            // What every ray would count without the weights: half.
            let across = |bin: f64| match geometry.beam {
                Beam::Parallel => geometry.detector(bin),
                Beam::Fan(_) => geometry.ray_angle(bin),
            };
            let edge = if side > 0.0 { -0.5 } else { 224.5 };
            let share = |bin: usize| wang(side * across(bin as f64), -side * across(edge));
            let even = head_errors_weighted(&store, &geometry, |bin| 0.5 / share(bin));
            println!("  shifted {side}: {errors:.5?}, even weights {even:.5?}");
            for ((error, even), yardstick) in errors.into_iter().zip(even).zip(yardstick) {
                assert!(error < 1.15 * yardstick, "{:?}: {error}", geometry.beam);
                assert!(even > 3.0 * yardstick, "{:?}: {even}", geometry.beam);
            }
        }
    }
}

/// The forward model against exact line integrals, but for the pixels at edges: as good for fans as
/// for parallel rays, by both methods.
#[test]
fn line_integrals_of_the_head_phantom_are_those_of_its_ellipses() {
    let store = store();
    let head = shepp_logan(0.36);
    let image = rasterise(&head, [256, 256], 0.36 / 256.0, 8).pixels;
    let mut parallel = RayGeometry::parallel([256, 256], 0.36, 12, 363);
    parallel.angles = equally_spaced(0.1, 3.2, 12);
    let fans = DETECTORS.map(|detector| RayGeometry {
        offset: 0.01,
        ..fan([256, 256], 24, 363, detector)
    });
    for geometry in [parallel].into_iter().chain(fans) {
        let exact = sinogram(&head, &geometry);
        let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
        for projector in [Projector::Joseph, Projector::Siddon] {
            let geometry = Arc::new(RayGeometry {
                projector,
                ..geometry.clone()
            });
            let found = run(&store, &image, geometry.image(1), |t, x| {
                t.ray_forward(x, &geometry)
            });
            let misses = found.iter().zip(&exact).map(|(f, e)| f64::from(*f) - e);
            let error = norm(&mut misses.into_iter()) / norm(&mut exact.iter().copied());
            println!("{:?} {projector:?}: {error:.5}", geometry.beam);
            assert!(error < 0.02, "{:?} {projector:?}: {error}", geometry.beam);
        }
    }
}

#[test]
fn parkers_weights_add_up_to_one_for_every_line() {
    // Extents of a limited angle, a short scan and a longer one.
    for extent in [2.9, PI + 0.6, 4.5] {
        let mut twice = 0;
        for i in 0..200 {
            let beta = extent * (f64::from(i) + 0.5) / 200.0;
            for j in -20..=20 {
                let gamma = 0.3 * f64::from(j) / 20.0;
                // The same line, seen from the other side.
                let others = [PI, -PI].map(|half| beta - 2.0 * gamma + half);
                let seen: Vec<f64> = (others.into_iter())
                    .filter(|beta| (0.0..=extent).contains(beta))
                    .collect();
                let other: f64 = seen.iter().map(|&b| parker(b, -gamma, extent)).sum();
                let sum = parker(beta, gamma, extent) + other;
                assert!((sum - 1.0).abs() < 1e-12, "{extent} {beta} {gamma}: {sum}");
                twice += seen.len();
            }
        }
        assert!(twice > 100, "{extent}: {twice}");
    }
    // Smooth: nothing at the ends, half in the middle of the rise.
    assert!(parker(1e-4, 0.1, PI + 0.6) < 1e-6);
    assert!(parker(PI + 0.6 - 1e-4, 0.1, PI + 0.6) < 1e-6);
    assert!((parker(0.4, 0.1, PI + 0.6) - 0.5).abs() < 1e-12);
    assert_eq!(parker(1.5, 0.1, PI + 0.6), 1.0);
    assert_eq!(parker(-0.01, 0.1, PI + 0.6), 0.0);
}

#[test]
fn shifted_detectors_reach_farther_to_one_side_and_close_no_half_turn() {
    let parallel = RayGeometry::parallel([8, 8], 0.36, 6, 12);
    assert!(parallel.closed());
    for offset in [-0.1, 0.1] {
        let aside = RayGeometry {
            offset,
            ..parallel.clone()
        };
        assert!(!aside.closed());
        for detector in DETECTORS {
            let geometry = RayGeometry {
                offset,
                ..fan([8, 8], 6, 12, detector)
            };
            // The bins' length and the shift, 0.9 m from the source.
            let edge = (6.0 * geometry.bin_width + 0.1) / 0.9;
            let expected = match detector {
                Detector::Flat => edge.atan(),
                Detector::Curved => edge,
            };
            assert!((geometry.half_fan() - expected).abs() < 1e-14, "{offset}");
        }
    }
}

/// A part of a sinogram makes a part of the image, of a composition too.
#[test]
fn partial_sinograms_keep_the_brightness_through_other_operators() -> Result<()> {
    let store = store();
    let beam = RayGeometry::parallel([16, 18], 0.36, 9, 25);
    let kernel = PointSpread::gaussian(1.0, 5)?;
    let blur = Blur::new([16, 18], &kernel, Boundary::Circular)?;
    let rays = RayTransform::new(beam.clone());
    let operator = Composed::new(vec![Arc::new(blur), Arc::new(rays)])?;
    let y = noise(5, beam.sinogram(1).elements());
    let whole = run(&store, &y, beam.sinogram(1), |t, y| {
        operator.pseudo_inverse(t, y)
    });
    let part = run(&store, &y, beam.sinogram(1), |t, y| {
        operator.partial_pseudo_inverse(t, y, 0.25)
    });
    let largest = part.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    assert!(largest > 0.0);
    for (part, whole) in part.iter().zip(&whole) {
        assert!((part - 4.0 * whole).abs() <= 1e-5 * largest);
    }
    Ok(())
}

#[test]
fn wangs_weights_add_up_to_one_for_every_line() {
    for overlap in [0.3, 0.02] {
        let mut last = 0.0;
        for i in -200..=200 {
            let across = 0.5 * f64::from(i) / 200.0;
            let weight = wang(across, overlap);
            assert!((weight + wang(-across, overlap) - 1.0).abs() < 1e-12);
            assert!(weight >= last, "{across}: {weight} after {last}");
            // Twice in the overlap, else once.
            assert_eq!(weight > 0.0 && weight < 1.0, across.abs() < overlap);
            last = weight;
        }
        assert!((wang(0.5 * overlap, overlap) - 0.5 - 0.125f64.sqrt()).abs() < 1e-12);
        // Smooth at both ends.
        assert!(wang(-0.999 * overlap, overlap) < 1e-5);
    }
    // A detector that does not reach the central ray sees what it sees once.
    assert_eq!(wang(0.1, -0.05), 1.0);
}

/// Limited angle: what is seen comes back, what is not is missing, nothing is not finite.
#[test]
fn a_limited_angle_keeps_its_share() {
    let store = store();
    for beam in [
        RayGeometry {
            angles: equally_spaced(0.4, 0.4 + 2.0 * PI / 3.0, 120),
            ..RayGeometry::parallel([128, 128], 0.36, 1, 182)
        },
        RayGeometry {
            angles: equally_spaced(0.4, 0.4 + 2.0 * PI / 3.0, 240),
            ..fan([128, 128], 1, 182, Detector::Flat)
        },
    ] {
        let (sinogram, inside) = disc(&beam);
        let operator = RayTransform::new(beam.clone());
        let image = run(&store, &sinogram, beam.sinogram(1), |t, y| {
            fbp(t, y, &operator, Filter::Hann)
        });
        let within = |inside: &&bool| **inside;
        let sum: f64 = (image.iter().zip(&inside))
            .filter(|(_, i)| within(i))
            .map(|(v, _)| f64::from(*v))
            .sum();
        let mean = sum / inside.iter().filter(within).count() as f64;
        // Two thirds of the directions.
        println!("{:?}: {mean}", beam.beam);
        assert!((1.8..2.4).contains(&mean), "{:?}: {mean}", beam.beam);
    }
}

#[test]
fn fbp_is_linear_with_exact_gradients_and_matches_its_twin() {
    for beam in [
        RayGeometry::parallel([9, 11], 0.2, 7, 16),
        fan([9, 11], 7, 16, Detector::Flat),
        short(&fan([9, 11], 12, 16, Detector::Curved), 0.1),
        shifted(&RayGeometry::parallel([9, 11], 0.2, 5, 16), 5..16),
        shifted(&fan([9, 11], 5, 16, Detector::Flat), 0..10),
    ] {
        linear_with_exact_gradients(beam);
    }
}

fn linear_with_exact_gradients(beam: RayGeometry) {
    let operator = RayTransform::new(beam.clone());
    let mut tape = Tape::new();
    let y = tape.input("x", beam.sinogram(2));
    let u = fbp(&mut tape, y, &operator, Filter::Hann).expect("records");
    let square = tape.mul(u, u).expect("fits");
    let loss = tape.sum_all(square).expect("fits");
    let values = noise(3, y.shape().elements());
    let mut feeds = HashMap::from([("x".to_string(), wide(&values))]);
    let error = gradcheck::gradient_error(&tape, &feeds, loss, &[(y, "x")]).expect("runs");
    assert!(error < 1e-8, "{error}");
    let twin = &reference::evaluate(&tape, &mut feeds, &[u]).expect("evaluates")[0];
    let found = run(&store(), &values, beam.sinogram(2), |t, y| {
        fbp(t, y, &operator, Filter::Hann)
    });
    let largest = twin.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (found, twin) in found.iter().zip(twin) {
        assert!((f64::from(*found) - twin).abs() <= 1e-5 * largest);
    }
}

#[test]
fn view_weights_are_angular_widths() {
    let with = |degrees: &[f64]| {
        let beam = RayGeometry {
            angles: degrees.iter().map(|d| d.to_radians()).collect(),
            ..RayGeometry::parallel([4, 4], 0.1, 1, 6)
        };
        let weights = view_weights(&beam);
        weights.into_iter().map(f64::to_degrees).collect::<Vec<_>>()
    };
    let close = |found: Vec<f64>, expected: &[f64]| {
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-9, "{found:?} not {expected:?}");
        }
    };
    close(with(&[0.0]), &[180.0]);
    close(with(&[0.0, 45.0, 90.0, 135.0]), &[45.0; 4]);
    // Any order and any half turn; unequal gaps 30, 60, 90.
    close(with(&[90.0, 180.0, -150.0]), &[75.0, 60.0, 45.0]);
    // Half a turn apart: the same lines, twice.
    close(with(&[0.0, 90.0, 180.0, 270.0]), &[45.0; 4]);
    // A limited angle: the missing 140 degrees are given to nobody.
    close(with(&[0.0, 10.0, 20.0, 30.0, 40.0]), &[10.0; 5]);
}
