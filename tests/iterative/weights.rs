//! How weights are chosen.

use super::support::{Dense, largest, length, number, scan, store, wide};
use equilens::error::Error;
use equilens::solvers::{
    Admm, Cgls, Fista, Iterative, Run, Tikhonov, Tv, by_discrepancy, l_curve, weights_of_l_curve,
};

#[test]
fn the_discrepancy_principle_finds_its_weight() {
    let store = store();
    let (operator, y) = scan();
    let dense = Dense::new(&operator);
    let mut batch = y.clone();
    batch.extend(y.iter().map(|v| 0.5 * v));
    let noise = number("noise");
    let tikhonov = Tikhonov {
        tolerance: 1e-5,
        ..Tikhonov::default()
    };
    let tv = Tv {
        tolerance: 1e-4,
        iterations: 2000,
        nonnegative: false,
        ..Tv::default()
    };
    for method in [&tikhonov as &dyn Iterative, &tv] {
        let run = Run::new(&operator, &store, &batch, 2).expect("fits");
        let prepared = method.prepare(&run).expect("compiles");
        let choice = by_discrepancy(&prepared, noise, &mut |_| {}).expect("found");
        println!(
            "{}: {:?}, {} trials",
            method.name(),
            choice.weights,
            choice.trials[0].len()
        );
        let images = choice.solution.images.chunks(dense.pixels);
        for (image, y) in images.zip(batch.chunks(y.len())) {
            let residual = length(&dense.residual(&wide(image), &wide(y)));
            assert!((residual / noise - 1.0).abs() < 0.011, "{residual} {noise}");
        }
        assert!(
            choice.weights[1] > choice.weights[0],
            "{:?}",
            choice.weights
        );
        if method.name() == "tikhonov" {
            // The residual changes by one per cent where the weight changes by about five.
            let ratio = choice.weights[0] / number("discrepancy");
            assert!((ratio - 1.0).abs() < 0.06, "{ratio}");
        }
        // The weight alone gives the same image.
        let run = Run::new(&operator, &store, &y, 1).expect("fits");
        let prepared = method.prepare(&run).expect("compiles");
        prepared
            .set_weights(&choice.weights[..1])
            .expect("positive");
        let again = prepared.iterate(&mut |_| {}).expect("solves");
        let error = largest(
            &again.images,
            &wide(&choice.solution.images[..dense.pixels]),
        );
        assert!(error < 5e-3, "{}: {error}", method.name());
    }
    let run = Run::new(&operator, &store, &y, 1).expect("fits");
    let prepared = tikhonov.prepare(&run).expect("compiles");
    let refused = |noise, named: &str| {
        let error = by_discrepancy(&prepared, noise, &mut |_| {}).expect_err("refused");
        assert!(matches!(error, Error::Config(_)), "{error:?}");
        assert!(error.to_string().contains(named), "{error}");
    };
    refused(2.0 * length(&wide(&y)), "a zero image explains it");
    refused(1e-4 * noise, "larger noise level");
    refused(-1.0, "positive");
    refused(f64::NAN, "positive");
    let prepared = Cgls::default().prepare(&run).expect("compiles");
    let error = by_discrepancy(&prepared, noise, &mut |_| {}).expect_err("refused");
    assert!(error.to_string().contains("cgls has no weight"), "{error}");
}

#[test]
fn the_l_curve_has_its_corner_where_the_singular_values_say() {
    let store = store();
    let (operator, y) = scan();
    let run = Run::new(&operator, &store, &y, 1).expect("fits");
    let method = Tikhonov {
        iterations: 300,
        tolerance: 1e-5,
        ..Tikhonov::default()
    };
    let prepared = method.prepare(&run).expect("compiles");
    let weights: Vec<f64> = weights_of_l_curve()
        .into_iter()
        .filter(|w| *w > 1e-5)
        .collect();
    let choice = l_curve(&prepared, &weights, &mut |_| {}).expect("has a corner");
    for trial in &choice.trials[0] {
        println!("{trial:?}");
    }
    let ratio = (choice.weights[0] / number("l_curve")).ln().abs();
    assert!(
        ratio < 10_f64.ln() / 3.0,
        "{:?} {}",
        choice.weights,
        number("l_curve")
    );
    // Residuals fall and penalties grow with falling weights.
    let curve = &choice.trials[0][..weights.len()];
    assert!(curve.is_sorted_by(|a, b| a.residual > b.residual && a.penalty < b.penalty));
    let error = l_curve(&prepared, &[1.0, 2.0, 0.1], &mut |_| {}).expect_err("refused");
    assert!(error.to_string().contains("must fall"), "{error}");
    assert!(l_curve(&prepared, &[1.0, 0.1], &mut |_| {}).is_err());
}

#[test]
fn the_l_curve_of_total_variation_is_that_of_its_minimisers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/tv/case.json");
    let text = std::fs::read_to_string(path).expect("a golden file");
    let case: serde_json::Value = serde_json::from_str(&text).expect("json");
    let norm = case["norm"].as_f64().expect("a number");
    // Weight, residual, penalty, curvature.
    let expected: Vec<[Option<f64>; 4]> = case["l_curve"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| [0, 1, 2, 3].map(|i| row[i].as_f64()))
        .collect();
    let weights: Vec<f64> = expected.iter().filter_map(|row| row[0]).collect();
    let corner = (expected.iter().enumerate())
        .max_by(|a, b| a.1[3].partial_cmp(&b.1[3]).expect("finite"))
        .map(|(i, _)| i);
    let (operator, y) = scan();
    let run = Run::new(&operator, &store(), &y, 1).expect("fits");
    let tv = Tv {
        nonnegative: false,
        ..Tv::default()
    };
    let fista = Fista {
        nonnegative: false,
        ..Fista::default()
    };
    let admm = Admm {
        nonnegative: false,
        tolerance: 1e-4,
        ..Admm::default()
    };
    for method in [&tv as &dyn Iterative, &fista, &admm] {
        let prepared = method.prepare(&run).expect("compiles");
        let choice = l_curve(&prepared, &weights, &mut |_| {}).expect("has a corner");
        let found = &choice.trials[0];
        assert_eq!(found.len(), weights.len() + 1);
        for (trial, expected) in found.iter().zip(&expected) {
            println!("{} {trial:?} {expected:?}", method.name());
            let near = |a: f64, b: Option<f64>, bound: f64| {
                (a - b.expect("a number")).abs() < bound * b.expect("a number").max(1.0)
            };
            assert!(near(trial.residual / norm, expected[1], 0.01));
            assert!(near(trial.penalty, expected[2], 0.02));
        }
        assert_eq!(corner.map(|i| weights[i]), Some(choice.weights[0]));
        // A constant image is not on the curve.
        assert_eq!(found[1].curvature, None);
        assert!(found[2].curvature.is_some());
    }
    // The curve is not followed far beyond its end.
    let prepared = tv.prepare(&run).expect("compiles");
    let weights: Vec<f64> = (0..20).map(|i| 10_f64.powf(-f64::from(i) / 2.0)).collect();
    let choice = l_curve(&prepared, &weights, &mut |_| {}).expect("has a corner");
    let trials = &choice.trials[0];
    assert!(trials.len() < weights.len(), "{} trials", trials.len());
    assert!(trials[trials.len() - 2].weight < 1e-5);
}
