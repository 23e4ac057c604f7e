//! Every method against minimisers found by SciPy and by an interior-point solver, step by step where its
//! steps are known, and on other operators.

use super::support::{
    Dense, case, golden, haar, largest, minimisers, noise, scan, solved, store, wide,
};
use equilens::error::{Error, Result};
use equilens::operators::{FourierSampling, Inpainting, LinearOperator, RayTransform};
use equilens::shape::{RayGeometry, Shape};
use equilens::solvers::{
    Admm, Cgls, Fista, Iterative, Landweber, Penalty, Run, Sirt, Stop, Tv, WaveletFamily,
};
use equilens::tape::{Tape, Var};

#[test]
fn every_method_finds_the_minimiser() {
    let store = store();
    let (operator, y) = scan();
    // A second image of another scale must not disturb the first.
    let mut batch = y.clone();
    batch.extend(y.iter().rev().map(|v| 3.0 * v));
    let runs =
        [(&y, 1), (&batch, 2)].map(|(y, n)| Run::new(&operator, &store, y, n).expect("fits"));
    let mut errors = Vec::new();
    for (name, method, bounds) in minimisers() {
        let [alone, found] = runs.each_ref().map(|run| solved(method.as_ref(), run));
        assert_eq!(alone.stop, Stop::Converged, "{name} by {}", method.name());
        let expected = case()["objective"][name].as_f64().expect("a number");
        let last = alone.history.last().expect("measured");
        let objective = (last.objective / expected - 1.0).abs();
        let image: Vec<f64> = golden(&format!("solvers/{name}"));
        let error = largest(&alone.images, &image);
        let in_batch = largest(&found.images[..image.len()], &image);
        println!(
            "{name:22} {:9} {:5} iterations, criterion {:.1e}, {}: objective {objective:.1e}, image {error:.1e}, in a batch {in_batch:.1e}",
            method.name(),
            last.iteration,
            last.criterion,
            alone.stop
        );
        if objective > bounds[0] || error > bounds[1] || in_batch > bounds[1] {
            errors.push(format!(
                "{name} by {}: {objective} {error} {in_batch}",
                method.name()
            ));
        }
        // Objective and residual are those of the image.
        let first = alone.history[0];
        assert!(first.iteration == 0 && (first.residual - 1.0).abs() < 1e-6);
        assert!(last.residual < 0.5 && last.seconds > 0.0);
        assert!(alone.history.is_sorted_by_key(|p| p.iteration));
    }
    assert!(errors.is_empty(), "\n{}", errors.join("\n"));
}

#[test]
fn cgls_makes_the_steps_of_scipys_lsqr() {
    let (operator, y) = scan();
    for (steps, bound) in [(3, 1e-5), (6, 1e-3)] {
        let method = Cgls {
            iterations: steps,
            tolerance: 0.0,
            ..Cgls::default()
        };
        let found = method
            .solve(&operator, &store(), &y, 1, &mut |_| {})
            .expect("solves");
        let expected: Vec<f64> = golden(&format!("solvers/cgls_{steps}"));
        let error = largest(&found.images, &expected);
        println!("{steps} steps: {error:.1e}");
        assert!(error < bound, "{steps} steps: {error}");
    }
}

#[test]
fn sirt_makes_its_steps_and_refuses_operators_of_both_signs() {
    let store = store();
    // The detector is wider than the image: some rays miss it.
    let beam = RayGeometry {
        bin_width: 0.05,
        ..RayGeometry::parallel([9, 7], 0.36, 7, 15)
    };
    let operator = RayTransform::new(beam);
    let dense = Dense::new(&operator);
    let image: Vec<f64> = wide(&noise(3, dense.pixels));
    let y: Vec<f32> = dense.forward(&image).iter().map(|&v| v as f32).collect();
    let inverse = |sums: Vec<f64>| -> Vec<f64> {
        let inverse = |s: f64| if s > 1e-9 { 1.0 / s } else { 0.0 };
        sums.into_iter().map(inverse).collect()
    };
    let rows = inverse(dense.forward(&vec![1.0; dense.pixels]));
    let columns = inverse(dense.adjoint(&vec![1.0; y.len()]));
    assert!(rows.contains(&0.0), "some rays miss the image");
    for nonnegative in [false, true] {
        let method = Sirt {
            relaxation: 1.3,
            nonnegative,
            iterations: 23,
            tolerance: 0.0,
        };
        let found = method
            .solve(&operator, &store, &y, 1, &mut |_| {})
            .expect("solves");
        let mut u = vec![0.0; dense.pixels];
        for _ in 0..23 {
            let mut r = dense.residual(&u, &wide(&y));
            r.iter_mut().zip(&rows).for_each(|(r, w)| *r *= w);
            let s = dense.adjoint(&r);
            for (u, (s, c)) in u.iter_mut().zip(s.iter().zip(&columns)) {
                *u += 1.3 * c * s;
                if nonnegative {
                    *u = u.max(0.0);
                }
            }
        }
        let error = largest(&found.images, &u);
        assert!(error < 1e-5, "{error}");
    }
    let mri = FourierSampling::new([8, 8], &[true; 64]).expect("fits");
    let error = Sirt::default()
        .solve(&mri, &store, &[0.5; 128], 1, &mut |_| {})
        .expect_err("refused");
    assert!(matches!(error, Error::Config(_)), "{error:?}");
    assert!(error.to_string().contains("complex"), "{error}");
    // An operator whose weights cancel, or are negative.
    for (weights, named) in [([1.0, -1.0], "cancel"), ([-1.0, -1.0], "are negative")] {
        let method = Sirt::default();
        let error = method
            .solve(&Rows(weights), &store, &[0.5; 4], 1, &mut |_| {})
            .expect_err("refused");
        assert!(error.to_string().contains(named), "{error}");
    }
}

/// The sum of two neighbours, each with its weight; its adjoint is the transpose times a factor.
struct Rows([f32; 2]);

impl LinearOperator for Rows {
    fn name(&self) -> &'static str {
        "rows"
    }
    fn domain(&self) -> Shape {
        Shape::new(1, 1, 4, 2)
    }
    fn range(&self) -> Shape {
        Shape::new(1, 1, 4, 1)
    }
    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        let weights = tape.constant(Shape::new(1, 1, 1, 2), self.0)?;
        let x = tape.mul(x, weights)?;
        tape.sum(x, x.shape().with(3, 1))
    }
    fn adjoint(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        let weights = tape.constant(Shape::new(1, 1, 1, 2), self.0)?;
        tape.mul(y, weights)
    }
    fn pseudo_inverse(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        self.adjoint(tape, y)
    }
    fn pseudo_inverse_name(&self) -> &'static str {
        "adjoint"
    }
}

/// An operator whose adjoint has the wrong sign: descent climbs.
struct WrongAdjoint(Rows);

impl LinearOperator for WrongAdjoint {
    fn name(&self) -> &'static str {
        "wrong"
    }
    fn domain(&self) -> Shape {
        self.0.domain()
    }
    fn range(&self) -> Shape {
        self.0.range()
    }
    fn forward(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        self.0.forward(tape, x)
    }
    fn adjoint(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        let x = self.0.adjoint(tape, y)?;
        Ok(tape.scale(x, -1.0))
    }
    fn pseudo_inverse(&self, tape: &mut Tape, y: Var) -> Result<Var> {
        self.adjoint(tape, y)
    }
    fn pseudo_inverse_name(&self) -> &'static str {
        "adjoint"
    }
}

#[test]
fn divergence_is_an_error() {
    let operator = WrongAdjoint(Rows([0.3, 1.0]));
    for iterations in [60, 2000] {
        let method = Landweber {
            nonnegative: false,
            iterations,
            ..Landweber::default()
        };
        let error = method
            .solve(&operator, &store(), &[1.0; 4], 1, &mut |_| {})
            .expect_err("diverges");
        assert!(matches!(error, Error::Data { .. }), "{error:?}");
        assert!(error.to_string().contains("landweber diverges"), "{error}");
    }
}

#[test]
fn methods_agree_on_other_operators() {
    let store = store();
    // Complex images of odd extents, a third of k-space; and missing pixels.
    let mask: Vec<bool> = (0..99).map(|i| i % 3 != 1).collect();
    let mri = FourierSampling::new([9, 11], &mask).expect("fits");
    let holes = Inpainting::new([9, 11], &mask).expect("fits");
    let operators: [&dyn LinearOperator; 2] = [&mri, &holes];
    for operator in operators {
        let image = operator.domain();
        let nonnegative = image.c() == 1;
        let y: Vec<f32> = noise(8, operator.range().elements());
        let y: Vec<f32> = match nonnegative {
            true => (y.iter().enumerate())
                .map(|(i, v)| if mask[i % 99] { 0.5 + 0.3 * v } else { 0.0 })
                .collect(),
            false => y,
        };
        let run = Run::new(operator, &store, &y, 1).expect("fits");
        let solve = |method: &dyn Iterative| {
            let found = solved(method, &run);
            let last = found.history.last().copied().expect("measured");
            println!("{} {}: {last:?}", operator.name(), method.name());
            (wide(&found.images), last.objective, found.images)
        };
        let weight = 0.05;
        let tv = solve(&Tv {
            weight,
            iterations: 4000,
            tolerance: 5e-5,
            nonnegative,
        });
        for penalty in [Penalty::TotalVariation, haar(WaveletFamily::Daubechies8)] {
            let fista = solve(&Fista {
                penalty,
                weight,
                nonnegative,
                iterations: 1000,
                tolerance: 1e-5,
            });
            let admm = solve(&Admm {
                penalty,
                weight,
                nonnegative,
                iterations: 500,
                tolerance: 1e-6,
            });
            let objective = (admm.1 / fista.1 - 1.0).abs();
            assert!(objective < 1e-4, "{penalty:?}: {} {}", admm.1, fista.1);
            let error = largest(&admm.2, &fista.0);
            // Where pixels are missing, several images have the same coefficients.
            let unique = operator.name() != "inpainting" || penalty == Penalty::TotalVariation;
            assert!(!unique || error < 5e-3, "{penalty:?}: {error}");
            if penalty == Penalty::TotalVariation {
                assert!((tv.1 / fista.1 - 1.0).abs() < 1e-4, "{} {}", tv.1, fista.1);
                assert!(largest(&tv.2, &fista.0) < 5e-3);
            }
        }
    }
}
