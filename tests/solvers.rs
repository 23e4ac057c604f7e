//! Classical methods against closed forms, dense matrices and independent golden numbers.

use equilens::error::{Error, Result};
use equilens::gpu::{Gpu, Selection};
use equilens::operators::{LinearOperator, RayTransform, diagnostics};
use equilens::reference::ray_transform;
use equilens::shape::{ParallelBeam, Shape};
use equilens::solvers::{Cgls, Filter, Landweber, Progress, Tv, fbp, view_weights};
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
fn beams() -> [ParallelBeam; 4] {
    let square = ParallelBeam::equispaced([37, 37], 0.36, 23, 53);
    let wide = ParallelBeam {
        offset: 0.013,
        ..ParallelBeam::equispaced([20, 31], 0.36, 17, 59)
    };
    let tall = |width: f64| ParallelBeam {
        rows: 31,
        columns: 20,
        angles: vec![-2.9, -1.6, -PI / 4.0, 0.0, 0.7, PI / 2.0, 2.0, PI, 4.0, 6.2],
        bin_width: width * square.pixel,
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
    let mut beam = ParallelBeam::equispaced([9, 13], 0.26, 7, 41);
    beam.offset = 0.003;
    let s = |bin: usize| (bin as f64 - 20.0) * beam.bin_width + beam.offset;
    let sinogram: Vec<f64> = (0..7 * 41).map(|i| s(i % 41)).collect();
    let image = ray_transform::backproject(&sinogram, 1, &beam).value;
    for (pixel, value) in image.iter().enumerate() {
        let (r, c) = ((pixel / 13) as f64, (pixel % 13) as f64);
        let (x, y) = ((c - 6.0) * beam.pixel, (4.0 - r) * beam.pixel);
        let at = |a: &f64| x * a.cos() + y * a.sin();
        let expected: f64 = beam.angles.iter().map(at).sum();
        assert!((value - expected).abs() < 1e-12, "{value} not {expected}");
    }
}

/// A disc of value 3, radius 0.1 m, off-centre: its chords, and the image's pixels well inside it.
fn disc(beam: &ParallelBeam) -> (Vec<f32>, Vec<bool>) {
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
        let x = (c - (beam.columns as f64 - 1.0) / 2.0) * beam.pixel;
        let y = ((beam.rows as f64 - 1.0) / 2.0 - r) * beam.pixel;
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
    let square = ParallelBeam::equispaced([128, 128], 0.36, 180, 182);
    let rectangle = ParallelBeam {
        offset: 1.5e-3,
        ..ParallelBeam::equispaced([110, 128], 0.36, 150, 231)
    };
    // Golden-angle views over the whole circle.
    let golden = ParallelBeam {
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
    let beam = ParallelBeam::equispaced([128, 128], 0.36, 180, 182);
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
    let scale = PI / 180.0 * beam.bin_width / (beam.pixel * beam.pixel);
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
    let beam = ParallelBeam::equispaced([9, 11], 0.2, 7, 16);
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
        let beam = ParallelBeam {
            angles: degrees.iter().map(|d| d.to_radians()).collect(),
            ..ParallelBeam::equispaced([4, 4], 0.1, 1, 6)
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

#[test]
fn states_carry_values_from_replay_to_replay() {
    let store = store();
    let shape = Shape::vector(100);
    let mut tape = Tape::new();
    let (a, b) = (tape.state("a", shape), tape.state("b", shape));
    // Fibonacci, through a swap and a view: (a, b) <- (b, a + b).
    let sum = tape.add(a, b).expect("fits");
    let view = tape.reshape(b, Shape::new(1, 10, 10, 1)).expect("fits");
    let view = tape.reshape(view, shape).expect("fits");
    let a_new = tape.assign(a, view).expect("a state");
    let b_new = tape.assign(b, sum).expect("a state");
    let double = tape.scale(b_new, 2.0);
    let outputs = [a_new, b_new, double];
    let plan = Plan::compile(&tape, &outputs, &store, Options::default()).expect("compiles");
    store.write("b", shape, &[1.0; 100]).expect("fits");
    for _ in 0..10 {
        plan.submit();
    }
    assert_eq!(store.read("a").expect("exists"), [55.0; 100]);
    assert_eq!(plan.read(b_new).expect("an output"), [89.0; 100]);
    assert_eq!(plan.read(double).expect("an output"), [178.0; 100]);
    // The host's evaluation does the same.
    let mut feeds = HashMap::from([("a".into(), vec![0.0; 100]), ("b".into(), vec![1.0; 100])]);
    for _ in 0..10 {
        reference::evaluate(&tape, &mut feeds, &outputs).expect("evaluates");
    }
    assert_eq!((feeds["a"][99], feeds["b"][99]), (55.0, 89.0));
}

#[test]
fn assignments_that_would_be_ambiguous_are_refused() {
    let store = store();
    let shape = Shape::vector(4);
    let mut tape = Tape::new();
    let a = tape.state("a", shape);
    let x = tape.input("x", shape);
    assert!(tape.assign(x, a).is_err(), "x is no state");
    let scalar = tape.scalar(1.0);
    assert!(tape.assign(a, scalar).is_err(), "shapes differ");
    let view = tape.reshape(a, Shape::new(4, 1, 1, 1)).expect("fits");
    let new = tape.assign(a, x).expect("a state");
    let fine = tape.scale(new, 2.0);
    for old in [a, view] {
        let mut tape = tape.clone();
        let late = tape.scale(old, 2.0);
        let compile = |v| Plan::compile(&tape, &[new, v], &store, Options::default());
        let error = compile(late).err().expect("refused");
        assert!(
            error.to_string().contains("'a' after it was updated"),
            "{error}"
        );
        assert!(compile(fine).is_ok());
    }
    let gradient = tape
        .sum_all(new)
        .and_then(|loss| tape.gradients(loss, &[x]));
    assert!(matches!(gradient, Err(Error::NoGradient { op: "assign" })));
}

/// The dense matrix divided by its norm, on 9 x 7 pixels with more rays than pixels.
struct Dense {
    operator: RayTransform,
    matrix: Vec<f64>,
    rays: usize,
    pixels: usize,
    norm: f64,
}

fn dense(store: &Store) -> Dense {
    let beam = ParallelBeam::equispaced([9, 7], 0.3, 10, 15);
    let operator = RayTransform::new(beam.clone());
    let norm = diagnostics::norm(&operator, store, 200).expect("runs");
    let matrix = ray_transform::matrix(&beam);
    Dense {
        operator,
        matrix: matrix.iter().map(|v| v / norm).collect(),
        rays: beam.sinogram(1).elements(),
        pixels: beam.image(1).elements(),
        norm,
    }
}

impl Dense {
    fn forward(&self, x: &[f64]) -> Vec<f64> {
        let row = |r: usize| &self.matrix[r * self.pixels..][..self.pixels];
        let dot = |a: &[f64]| a.iter().zip(x).map(|(a, b)| a * b).sum();
        (0..self.rays).map(|r| dot(row(r))).collect()
    }

    fn adjoint(&self, y: &[f64]) -> Vec<f64> {
        let mut x = vec![0.0; self.pixels];
        for (r, y) in y.iter().enumerate() {
            for (p, x) in x.iter_mut().enumerate() {
                *x += self.matrix[r * self.pixels + p] * y;
            }
        }
        x
    }

    /// Two measurements with noise, as f32, and divided by the norm.
    fn data(&self) -> (Vec<f32>, Vec<Vec<f64>>) {
        let images = noise(5, 2 * self.pixels);
        let errors = noise(6, 2 * self.rays);
        let mut y = Vec::new();
        for (image, error) in images.chunks(self.pixels).zip(errors.chunks(self.rays)) {
            // Mostly positive, so that the constraint matters without deciding everything.
            let image: Vec<f64> = image.iter().map(|v| f64::from(*v) + 0.5).collect();
            for (clean, e) in self.forward(&image).iter().zip(error) {
                y.push((self.norm * (clean + 0.02 * f64::from(*e))) as f32);
            }
        }
        let scaled = y
            .chunks(self.rays)
            .map(|y| y.iter().map(|v| f64::from(*v) / self.norm).collect());
        let scaled = scaled.collect();
        (y, scaled)
    }
}

/// Solves `matrix x = b` by Gaussian elimination with pivoting.
fn solve(mut matrix: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for k in 0..n {
        let pivot = (k..n)
            .max_by(|&i, &j| matrix[i][k].abs().total_cmp(&matrix[j][k].abs()))
            .expect("not empty");
        matrix.swap(k, pivot);
        b.swap(k, pivot);
        for i in k + 1..n {
            let factor = matrix[i][k] / matrix[k][k];
            for j in k..n {
                matrix[i][j] -= factor * matrix[k][j];
            }
            b[i] -= factor * b[k];
        }
    }
    for k in (0..n).rev() {
        let sum: f64 = (k + 1..n).map(|j| matrix[k][j] * b[j]).sum();
        b[k] = (b[k] - sum) / matrix[k][k];
    }
    b
}

fn ignore(_: Progress) {}

#[test]
fn cgls_finds_tikhonovs_solution() {
    let store = store();
    let dense = dense(&store);
    let (y, scaled) = dense.data();
    for (weight, bound) in [(0.3, 1e-5), (3e-3, 5e-4)] {
        let method = Cgls {
            weight,
            iterations: 100,
            tolerance: 2e-6,
        };
        let solution = method
            .solve(&dense.operator, &store, &y, 2, &mut ignore)
            .expect("solves");
        for (image, y) in solution.images.chunks(dense.pixels).zip(&scaled) {
            let mut normal = vec![vec![0.0; dense.pixels]; dense.pixels];
            for (i, row) in normal.iter_mut().enumerate() {
                let mut unit = vec![0.0; dense.pixels];
                unit[i] = 1.0;
                *row = dense.adjoint(&dense.forward(&unit));
                row[i] += weight;
            }
            let expected = solve(normal, dense.adjoint(y));
            for (found, expected) in image.iter().zip(&expected) {
                let error = (f64::from(*found) - expected).abs();
                assert!(error < bound, "weight {weight}: {found} not {expected}");
            }
        }
    }
}

#[test]
fn cgls_makes_the_steps_of_conjugate_gradients() {
    let store = store();
    let dense = dense(&store);
    let (y, scaled) = dense.data();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let method = Cgls {
        iterations: 3,
        tolerance: 0.0,
        ..Cgls::default()
    };
    let found = method
        .solve(&dense.operator, &store, &y, 2, &mut ignore)
        .expect("solves")
        .images;
    for (found, y) in found.chunks(dense.pixels).zip(&scaled) {
        // Conjugate gradients on the normal equations, as every textbook has them.
        let mut u = vec![0.0; dense.pixels];
        let mut s = dense.adjoint(y);
        let mut p = s.clone();
        // Few: rounding in f32 grows tenfold with every other step.
        for _ in 0..3 {
            let ap = dense.adjoint(&dense.forward(&p));
            let gamma = dot(&s, &s);
            let alpha = gamma / dot(&p, &ap);
            for i in 0..u.len() {
                u[i] += alpha * p[i];
                s[i] -= alpha * ap[i];
            }
            let beta = dot(&s, &s) / gamma;
            for i in 0..u.len() {
                p[i] = s[i] + beta * p[i];
            }
        }
        for (found, u) in found.iter().zip(&u) {
            assert!((f64::from(*found) - u).abs() < 1e-5, "{found} not {u}");
        }
    }
}

#[test]
fn landweber_makes_its_steps() {
    let store = store();
    let dense = dense(&store);
    let (y, scaled) = dense.data();
    for nonnegative in [false, true] {
        let method = Landweber {
            relaxation: 1.5,
            nonnegative,
            iterations: 37,
            tolerance: 0.0,
        };
        let found = method
            .solve(&dense.operator, &store, &y, 2, &mut ignore)
            .expect("solves")
            .images;
        let mut clipped = false;
        for (found, y) in found.chunks(dense.pixels).zip(&scaled) {
            let mut u = vec![0.0; dense.pixels];
            for _ in 0..37 {
                let residual: Vec<f64> = dense
                    .forward(&u)
                    .iter()
                    .zip(y)
                    .map(|(a, y)| y - a)
                    .collect();
                for (u, s) in u.iter_mut().zip(dense.adjoint(&residual)) {
                    *u += 1.5 * s;
                    if nonnegative {
                        *u = u.max(0.0);
                    }
                }
            }
            clipped |= u.contains(&0.0);
            for (found, u) in found.iter().zip(&u) {
                assert!((f64::from(*found) - u).abs() < 1e-5, "{found} not {u}");
            }
        }
        assert_eq!(clipped, nonnegative);
    }
}

/// A golden array and its extents.
fn golden<T: npyz::Deserialize>(name: &str) -> Vec<T> {
    let path = format!("{}/tests/golden/tv/{name}.npy", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(&path).expect("a golden file");
    let npy = npyz::NpyFile::new(&bytes[..]).expect("an array");
    npy.into_vec().expect("of this type")
}

#[test]
fn tv_agrees_with_an_independent_minimiser() {
    let store = store();
    let path = format!("{}/tests/golden/tv/case.json", env!("CARGO_MANIFEST_DIR"));
    let case = std::fs::read_to_string(path).expect("a golden file");
    let case: serde_json::Value = serde_json::from_str(&case).expect("json");
    let beam = ParallelBeam::equispaced([16, 12], 0.36, 12, 23);
    let operator = RayTransform::new(beam);
    let sinogram: Vec<f32> = golden("sinogram");
    // A batch: the second image has data of another scale, and must not disturb the first.
    let mut batch = sinogram.clone();
    batch.extend(sinogram.iter().rev().map(|v| 3.0 * v));
    for (name, nonnegative) in [("free", false), ("nonnegative", true)] {
        let method = Tv {
            weight: case["weight"].as_f64().expect("a number"),
            iterations: 6000,
            nonnegative,
            tolerance: 2e-5,
        };
        let mut reports = 0;
        let alone = method
            .solve(&operator, &store, &sinogram, 1, &mut |_| reports += 1)
            .expect("solves");
        let last = *alone.history.last().expect("measured");
        println!("{name}: {last:?}");
        assert_eq!(reports, alone.history.len());
        assert!(last.criterion <= 2e-5 && last.iteration < 6000, "{last:?}");
        let expected = case["objective"][name].as_f64().expect("a number");
        let error = (last.objective / expected - 1.0).abs();
        assert!(error < 1e-4, "objective {} not {expected}", last.objective);
        let image: Vec<f64> = golden(name);
        for (found, expected) in alone.images.iter().zip(&image) {
            assert!((f64::from(*found) - expected).abs() < 1e-3);
        }
        // The gap bounds the distance to the optimum, on the way as well.
        for at in &alone.history {
            let distance = at.objective / expected - 1.0;
            assert!(
                distance <= at.criterion + 1e-5 && at.criterion >= 0.0,
                "{at:?}"
            );
        }
        let both = method
            .solve(&operator, &store, &batch, 2, &mut ignore)
            .expect("solves");
        for (found, expected) in both.images.iter().zip(&image) {
            assert!((f64::from(*found) - expected).abs() < 1e-3);
        }
    }
}

#[test]
fn the_iterations_asked_for_are_made_exactly() {
    let store = store();
    let operator = RayTransform::new(ParallelBeam::equispaced([16, 12], 0.36, 12, 23));
    let sinogram: Vec<f32> = golden("sinogram");
    let run = |iterations| {
        let method = Tv {
            iterations,
            tolerance: 0.0,
            ..Tv::default()
        };
        method
            .solve(&operator, &store, &sinogram, 1, &mut ignore)
            .expect("solves")
    };
    for iterations in [1, 7, 11, 120] {
        let history = run(iterations).history;
        assert_eq!(history.last().map(|p| p.iteration), Some(iterations));
    }
    assert_eq!(run(120).history[0].iteration, 50);
    // Twelve in blocks of ten would differ from twelve in blocks of six.
    assert_eq!(run(22).images, run(22).images);
    assert_ne!(run(22).images, run(21).images);
}

#[test]
fn settings_and_data_that_cannot_be_used_are_refused() {
    let store = store();
    let operator = RayTransform::new(ParallelBeam::equispaced([8, 8], 0.36, 4, 12));
    let y = vec![0.1f32; 48];
    let config = |error: Error, key: &str| {
        assert!(matches!(error, Error::Config(_)), "{error:?}");
        assert!(error.to_string().contains(key), "{error}");
    };
    for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let method = Tv {
            weight,
            ..Tv::default()
        };
        let error = method.solve(&operator, &store, &y, 1, &mut ignore);
        config(error.expect_err("refused"), "tv.weight");
    }
    let method = Tv {
        iterations: 0,
        ..Tv::default()
    };
    let error = method.solve(&operator, &store, &y, 1, &mut ignore);
    config(error.expect_err("refused"), "tv.iterations");
    let method = Cgls {
        weight: -1.0,
        ..Cgls::default()
    };
    let error = method.solve(&operator, &store, &y, 1, &mut ignore);
    config(error.expect_err("refused"), "cgls.weight");
    let method = Landweber {
        relaxation: 2.0,
        ..Landweber::default()
    };
    let error = method.solve(&operator, &store, &y, 1, &mut ignore);
    config(error.expect_err("refused"), "landweber.relaxation");
    let tv = Tv::default();
    let error = tv
        .solve(&operator, &store, &y[1..], 1, &mut ignore)
        .expect_err("refused");
    assert!(error.to_string().contains("47 values"), "{error}");
    assert!(error.to_string().contains("48"), "{error}");
    let mut bad = y.clone();
    bad[3] = f32::NAN;
    let error = tv
        .solve(&operator, &store, &bad, 1, &mut ignore)
        .expect_err("refused");
    assert!(matches!(error, Error::NotFinite(_)), "{error:?}");
    // Zero data have the zero image.
    let zero = vec![0.0; 48];
    for images in [
        tv.solve(&operator, &store, &zero, 1, &mut ignore),
        Cgls::default().solve(&operator, &store, &zero, 1, &mut ignore),
        Landweber::default().solve(&operator, &store, &zero, 1, &mut ignore),
    ] {
        assert_eq!(images.expect("solves").images, [0.0; 64]);
    }
    // A detector that misses the image.
    let blind = RayTransform::new(ParallelBeam {
        offset: 10.0,
        ..operator.geometry().clone()
    });
    let error = tv
        .solve(&blind, &store, &y, 1, &mut ignore)
        .expect_err("refused");
    config(error, "norm");
    // Too many bins for the filter.
    let many = RayTransform::new(ParallelBeam {
        bins: 20_000,
        ..operator.geometry().clone()
    });
    let mut tape = Tape::new();
    let y = tape.input("y", many.range());
    let error = fbp(&mut tape, y, &many, Filter::Hann).expect_err("refused");
    config(error, "operator.detector_bins");
    let wrong = tape.input("z", Shape::new(1, 1, 4, 13));
    assert!(fbp(&mut tape, wrong, &operator, Filter::Hann).is_err());
}
