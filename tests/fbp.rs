//! Pixel-driven back-projection and filtered back-projection against twins and closed forms.

use equilens::error::Result;
use equilens::gpu::{Gpu, Selection};
use equilens::operators::RayTransform;
use equilens::operators::{Filter, fbp, view_weights};
use equilens::reference::ray_transform;
use equilens::shape::{RayGeometry, Shape};
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

/// Square, wide with a shifted detector, and tall with odd angles and bins half as wide and twice
/// as wide as the pixels.
fn beams() -> [RayGeometry; 4] {
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
    [square.clone(), wide, tall(0.5), tall(2.0)]
}

#[test]
fn backprojection_and_its_transpose_are_their_twins() {
    let store = store();
    for beam in beams() {
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
                // The place on the detector is rounded to about 60 bins * 2^-24.
                for (k, &value) in found.iter().enumerate() {
                    let error = (f64::from(value) - twin.value[k]).abs();
                    let bound = 2e-5 * twin.magnitude[k] + 1e-5;
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
    let mut sinogram = Vec::new();
    for angle in &beam.angles {
        for bin in 0..beam.bins {
            let s = (bin as f64 - (beam.bins as f64 - 1.0) / 2.0) * beam.bin_width + beam.offset;
            let d = s - cx * angle.cos() - cy * angle.sin();
            let chord = 2.0 * f64::max(radius * radius - d * d, 0.0).sqrt();
            sinogram.push((value * chord) as f32);
        }
    }
    let inside = (0..beam.rows * beam.columns).map(|pixel| {
        let (r, c) = ((pixel / beam.columns) as f64, (pixel % beam.columns) as f64);
        let x = (c - (beam.columns as f64 - 1.0) / 2.0) * beam.pixel[0];
        let y = ((beam.rows as f64 - 1.0) / 2.0 - r) * beam.pixel[0];
        (x - cx).hypot(y - cy) < 0.85 * radius
    });
    (sinogram, inside.collect())
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
    for beam in [square, rectangle, golden] {
        let (sinogram, inside) = disc(&beam);
        let operator = RayTransform::new(beam.clone());
        for filter in FILTERS {
            let image = run(&store, &sinogram, beam.sinogram(1), |t, y| {
                fbp(t, y, &operator, filter)
            });
            let (worst, mean) = disc_errors(&image, &inside);
            assert!(worst < 0.01, "{filter:?}: {worst}");
            assert!(mean < 0.003, "{filter:?}: {mean}");
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

#[test]
fn fbp_is_linear_with_exact_gradients_and_matches_its_twin() {
    let beam = RayGeometry::parallel([9, 11], 0.2, 7, 16);
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
