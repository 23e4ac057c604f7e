//! How runs start, stop, go on and are refused.

use super::support::{
    Dense, case, golden, iterations, largest, length, minimisers, number, scan, solved, store, wide,
};
use equilens::error::Error;
use equilens::operators::FourierSampling;
use equilens::solvers::{
    Admm, Cgls, Fista, Iterative, Landweber, Penalty, Run, Sirt, Solution, Stop, Tgv, Tikhonov, Tv,
    Wavelet,
};

#[test]
fn a_warm_start_goes_on_where_it_was() {
    let store = store();
    let (operator, y) = scan();
    let method = Landweber {
        iterations: 40,
        tolerance: 0.0,
        ..Landweber::default()
    };
    let twice = Landweber {
        iterations: 80,
        ..method
    };
    let half = method
        .solve(&operator, &store, &y, 1, &mut |_| {})
        .expect("solves");
    let run = Run::new(&operator, &store, &y, 1).expect("fits");
    let run = run.starting_at(&half.images).expect("fits");
    let prepared = method.prepare(&run).expect("compiles");
    let whole = prepared.iterate(&mut |_| {}).expect("solves");
    let expected = twice
        .solve(&operator, &store, &y, 1, &mut |_| {})
        .expect("solves");
    assert_eq!(whole.images, expected.images);
    // And again from there.
    let more = prepared.iterate(&mut |_| {}).expect("solves");
    assert!(more.history[0].objective == whole.history.last().expect("measured").objective);
    // Everything else is near its minimiser at once.
    for (name, method, bounds) in minimisers() {
        let image: Vec<f64> = golden(&format!("solvers/{name}"));
        let start: Vec<f32> = image.iter().map(|&v| v as f32).collect();
        let run = Run::new(&operator, &store, &y, 1).expect("fits");
        let run = run.starting_at(&start).expect("fits");
        let found = solved(method.as_ref(), &run);
        let expected = case()["objective"][name].as_f64().expect("a number");
        let objective = (found.history[0].objective / expected - 1.0).abs();
        // Its field starts at zero, whatever the image.
        let bound = if method.name() == "tgv" { 0.2 } else { 1e-5 };
        assert!(objective < bound, "{name}: {objective}");
        let error = largest(&found.images, &image);
        assert!(error < bounds[1], "{name}: {error}");
    }
}

/// The gap bounds the distance of the objective from its minimum at every look, as soon as no pixel of
/// the minimiser is twice as bright as the image; and it begins
/// low where a run starts at the minimiser, since the dual variables are made from the image.
#[test]
fn the_gap_is_a_bound_and_begins_low_at_the_minimiser() {
    let store = store();
    let (operator, y) = scan();
    let tv = Tv {
        weight: number("tv"),
        iterations: 200,
        nonnegative: false,
        tolerance: 0.0,
    };
    let expected = case()["objective"]["tv_cone"].as_f64().expect("a number");
    let run = || Run::new(&operator, &store, &y, 1).expect("fits");
    let cold = solved(&tv, &run().looking_every(1).expect("positive"));
    for point in &cold.history[20..] {
        let above = (point.objective - expected) / point.objective;
        assert!(
            above < point.criterion + 1e-6,
            "iteration {}: {above:e} above the minimum, gap {:e}",
            point.iteration,
            point.criterion
        );
    }
    let image: Vec<f64> = golden("solvers/tv_cone");
    let start: Vec<f32> = image.iter().map(|&v| v as f32).collect();
    let warm = solved(&tv, &run().starting_at(&start).expect("fits"));
    // Where the image is flat it does not tell the dual variables; with the data's of the wrong sign the
    // gap is 20.
    let gap = warm.history[0].criterion;
    assert!(gap < 5.0, "{gap}");
}

/// The steps follow the weight, so that no weight is slow; and a new weight goes on from the dual
/// variables of the last one.
#[test]
fn primal_dual_methods_are_as_fast_at_every_weight_and_keep_their_dual_variables() {
    let store = store();
    let (operator, y) = scan();
    let cold = || {
        let run = Run::new(&operator, &store, &y, 1).expect("fits");
        run.looking_every(10).expect("positive")
    };
    let run = cold();
    let weights = [0.1, 8e-3, 6e-3, 4.5e-3, 3.4e-3, 2.5e-3, 1e-4];
    let tolerance = 5e-4;
    let (tv, tgv) = (
        Tv {
            weight: weights[0],
            iterations: 1000,
            nonnegative: true,
            tolerance,
        },
        Tgv {
            weight: weights[0],
            iterations: 1000,
            nonnegative: true,
            tolerance,
            ..Tgv::default()
        },
    );
    for method in [&tv as &dyn Iterative, &tgv] {
        let path = method.prepare(&run).expect("compiles");
        let fresh = |run: &Run, weight: f64| {
            let prepared = method.prepare(run).expect("compiles");
            prepared.set_weights(&[weight]).expect("positive");
            prepared.iterate(&mut |_| {}).expect("solves")
        };
        let mut total = [0; 3];
        let mut image: Option<Vec<f32>> = None;
        for weight in weights {
            path.set_weights(&[weight]).expect("positive");
            let along = path.iterate(&mut |_| {}).expect("solves");
            let alone = fresh(&run, weight);
            let start = image.unwrap_or(vec![0.0; 192]);
            let from_image = fresh(&cold().starting_at(&start).expect("fits"), weight);
            let all = [&along, &alone, &from_image];
            let counts = all.map(iterations);
            println!("{} {weight}: {counts:?}", method.name());
            let objective = |s: &Solution| s.history.last().expect("measured").objective;
            for solution in all {
                assert_eq!(solution.stop, Stop::Converged);
                let ratio = objective(solution) / objective(&alone);
                assert!((ratio - 1.0).abs() < 2.0 * tolerance, "{ratio}");
            }
            // With fixed steps the largest weights take thousands.
            assert!(iterations(&alone) <= 600, "{counts:?}");
            for (total, count) in total.iter_mut().zip(counts) {
                *total += count;
            }
            image = Some(along.images);
        }
        println!("{}: {total:?}", method.name());
        // Dual variables help.
        assert!(total[0] < total[1], "{total:?}");
    }
}

#[test]
fn images_rest_at_the_noise_each_for_itself() {
    let store = store();
    let (operator, y) = scan();
    let dense = Dense::new(&operator);
    let mut batch = y.clone();
    batch.extend(y.iter().map(|v| 0.5 * v));
    let noise = 0.09 * length(&wide(&y));
    for (method, every) in [
        (
            &Cgls {
                iterations: 30,
                tolerance: 0.0,
                ..Cgls::default()
            } as &dyn Iterative,
            1,
        ),
        (
            &Landweber {
                nonnegative: false,
                iterations: 400,
                tolerance: 0.0,
                ..Landweber::default()
            },
            4,
        ),
    ] {
        let solve = |y: &[f32], n| {
            let run = Run::new(&operator, &store, y, n).expect("fits");
            let run = run.until_residual(noise).expect("positive");
            let prepared = method.prepare(&run).expect("compiles");
            prepared.iterate(&mut |_| {}).expect("solves")
        };
        let both = solve(&batch, 2);
        assert_eq!(both.stop, Stop::Discrepancy);
        let mut iterations = Vec::new();
        for (image, y) in both.images.chunks(dense.pixels).zip(batch.chunks(y.len())) {
            let residual = length(&dense.residual(&wide(image), &wide(y)));
            assert!(residual <= noise * (1.0 + 1e-5), "{residual} {noise}");
            let alone = solve(y, 1);
            assert_eq!(alone.images, image, "{}", method.name());
            let last = alone.history.len() - 1;
            iterations.push(alone.history[last].iteration);
            // At the look before it was above.
            assert_eq!(
                iterations[iterations.len() - 1] - alone.history[last - 1].iteration,
                every
            );
            let before = alone.history[last - 1].residual * length(&wide(y));
            assert!(before > noise, "{before} {noise}");
        }
        assert!(iterations[0] > iterations[1], "{iterations:?}");
    }
    // Zero explains noise as large as the data.
    let run = Run::new(&operator, &store, &y, 1).expect("fits");
    let run = run
        .until_residual(1.01 * length(&wide(&y)))
        .expect("positive");
    let prepared = Cgls::default().prepare(&run).expect("compiles");
    let found = prepared.iterate(&mut |_| {}).expect("solves");
    assert_eq!((found.history.len(), found.stop), (1, Stop::Discrepancy));
    assert_eq!(found.images, vec![0.0; dense.pixels]);
}

#[test]
fn runs_and_settings_that_cannot_be_used_are_refused() {
    let store = store();
    let (operator, y) = scan();
    let run = Run::new(&operator, &store, &y, 1).expect("fits");
    let refused = |method: &dyn Iterative, run: &Run, key: &str| {
        let error = method.prepare(run).err().expect("refused");
        assert!(matches!(error, Error::Config(_)), "{error:?}");
        assert!(error.to_string().contains(key), "{error}");
    };
    for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        refused(
            &Tikhonov {
                weight,
                ..Tikhonov::default()
            },
            &run,
            "tikhonov.weight",
        );
        refused(
            &Fista {
                weight,
                ..Fista::default()
            },
            &run,
            "fista.weight",
        );
        refused(
            &Admm {
                weight,
                ..Admm::default()
            },
            &run,
            "admm.weight",
        );
        refused(
            &Tgv {
                weight,
                ..Tgv::default()
            },
            &run,
            "tgv.weight",
        );
    }
    refused(
        &Tgv {
            ratio: 0.0,
            ..Tgv::default()
        },
        &run,
        "tgv.ratio",
    );
    refused(
        &Sirt {
            relaxation: 2.0,
            ..Sirt::default()
        },
        &run,
        "sirt.relaxation",
    );
    refused(
        &Fista {
            iterations: 0,
            ..Fista::default()
        },
        &run,
        "fista.iterations",
    );
    refused(
        &Admm {
            tolerance: 2.0,
            ..Admm::default()
        },
        &run,
        "admm.tolerance",
    );
    let penalty = Penalty::Wavelet(Wavelet {
        levels: 0,
        ..Wavelet::default()
    });
    refused(
        &Fista {
            penalty,
            ..Fista::default()
        },
        &run,
        "wavelet.levels",
    );
    let mri = FourierSampling::new([8, 8], &[true; 64]).expect("fits");
    let complex = Run::new(&mri, &store, &[0.5; 128], 1).expect("fits");
    for method in [
        &Tv::default() as &dyn Iterative,
        &Tgv::default(),
        &Fista::default(),
        &Admm::default(),
        &Landweber::default(),
    ] {
        refused(method, &complex, "complex");
    }
    let fresh = || Run::new(&operator, &store, &y, 1).expect("fits");
    let error = fresh().starting_at(&[0.0; 5]).err().expect("refused");
    assert!(error.to_string().contains("5 values"), "{error}");
    let mut start = vec![0.0; 192];
    start[7] = f32::NAN;
    let error = fresh().starting_at(&start).err().expect("refused");
    assert!(matches!(error, Error::NotFinite(_)), "{error:?}");
    assert!(fresh().until_residual(0.0).is_err());
    assert!(fresh().until_residual(f64::NAN).is_err());
    assert!(fresh().looking_every(0).is_err());
    let mut bad = y.clone();
    bad[3] = f32::INFINITY;
    assert!(matches!(
        Run::new(&operator, &store, &bad, 1),
        Err(Error::NotFinite(_))
    ));
    // Zero data have the zero image.
    let zero = vec![0.0; y.len()];
    let run = Run::new(&operator, &store, &zero, 1).expect("fits");
    let run = run.looking_every(10).expect("positive");
    for (name, method, _) in minimisers() {
        let found = solved(method.as_ref(), &run);
        assert!(found.images.iter().all(|v| *v == 0.0), "{name}");
    }
}
