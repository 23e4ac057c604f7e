//! Iterative methods against dense matrices and independent golden numbers.

use equilens::error::Error;
use equilens::gpu::{Gpu, Selection};
use equilens::operators::{Filter, RayTransform, diagnostics, fbp};
use equilens::reference::ray_transform;
use equilens::shape::{RayGeometry, Shape};
use equilens::solvers::{Cgls, Iterative, Landweber, Progress, Tv};
use equilens::tape::Tape;
use equilens::tape::plan::Store;

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

/// The dense matrix divided by its norm, on 9 x 7 pixels with more rays than pixels.
struct Dense {
    operator: RayTransform,
    matrix: Vec<f64>,
    rays: usize,
    pixels: usize,
    norm: f64,
}

fn dense(store: &Store) -> Dense {
    let beam = RayGeometry::parallel([9, 7], 0.3, 10, 15);
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
            let row = matrix[k].clone();
            for (value, above) in matrix[i][k..].iter_mut().zip(&row[k..]) {
                *value -= factor * above;
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
    let beam = RayGeometry::parallel([16, 12], 0.36, 12, 23);
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
        for at in &alone.history[1..] {
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
    let operator = RayTransform::new(RayGeometry::parallel([16, 12], 0.36, 12, 23));
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
    let looks: Vec<usize> = run(120).history.iter().map(|p| p.iteration).collect();
    assert_eq!(looks, [0, 50, 100, 120]);
    // Twelve in blocks of ten would differ from twelve in blocks of six.
    assert_eq!(run(22).images, run(22).images);
    assert_ne!(run(22).images, run(21).images);
}

#[test]
fn settings_and_data_that_cannot_be_used_are_refused() {
    let store = store();
    let operator = RayTransform::new(RayGeometry::parallel([8, 8], 0.36, 4, 12));
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
    let blind = RayTransform::new(RayGeometry {
        offset: 10.0,
        ..operator.geometry().clone()
    });
    let error = tv
        .solve(&blind, &store, &y, 1, &mut ignore)
        .expect_err("refused");
    config(error, "norm");
    let mut tape = Tape::new();
    let wrong = tape.input("z", Shape::new(1, 1, 4, 13));
    assert!(fbp(&mut tape, wrong, &operator, Filter::Hann).is_err());
}
