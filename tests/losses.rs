//! Losses by their definitions, in double precision on the host: unbiasedness by Monte Carlo,
//! invariances, and what a network may see.

use equilens::config::parse_toml;
use equilens::data::{AffineRanges, Stream};
use equilens::error::{Error, Result};
use equilens::losses::{
    self, Distance, Domain, EquivariantImaging, MeasurementConsistency, MotionInput, Moved,
    Randomness, Rotation, Scene, Splitting, Supervised, Sure, Term, Transforms, Turns, Unit,
    Unsure,
};
use equilens::metrics;
use equilens::operators::{
    FourierSampling, Identity, LinearOperator, Noise, RayTransform, Several,
};
use equilens::shape::{Affine, RayGeometry, Shape};
use equilens::tape::reference::{Feeds, evaluate};
use equilens::tape::{Tape, Var};
use std::cell::RefCell;
use std::f64::consts::FRAC_PI_2;
use std::sync::Arc;

fn scan() -> RayTransform {
    RayTransform::new(RayGeometry::parallel([8, 8], 4.0, 6, 12))
}

fn images(n: usize, shape: Shape, seed: u64) -> Vec<f32> {
    let mut stream = Stream::new(seed, "images");
    let count = n * shape.elements();
    (0..count)
        .map(|_| stream.between(0.3, 1.0) as f32)
        .collect()
}

/// `f(y) = a x + b x^2` with `x = A^+ y`.
fn quadratic(a: f32, b: f32) -> impl Fn(&mut Tape, &dyn LinearOperator, Var) -> Result<Var> {
    move |tape, operator, y| {
        let x = operator.pseudo_inverse(tape, y)?;
        let square = tape.mul(x, x)?;
        let (linear, square) = (tape.scale(x, a), tape.scale(square, b));
        tape.add(linear, square)
    }
}

fn value(tape: &Tape, feeds: &mut Feeds, output: Var) -> Result<f64> {
    Ok(evaluate(tape, feeds, &[output])?[0][0])
}

fn draw_feed(number: usize) -> Feeds {
    Feeds::from([("draw".to_string(), vec![number as f64])])
}

/// The mean over noise of a loss minus the true risk `|h(y) - A x|^2 / m`, its standard error, the
/// mean risk, and that of the measurement itself, which is the variance of the noise. Risks are compared on transmissions if `domain` says so.
fn excess(
    operator: &dyn LinearOperator,
    noise: Noise,
    term: Term,
    [a, b]: [f32; 2],
    draws: usize,
) -> Result<[f64; 4]> {
    let mut tape = Tape::new();
    let draw = tape.input("draw", Shape::SCALAR);
    let x = tape.constant(operator.domain(), images(1, operator.domain(), 1))?;
    let clean = operator.forward(&mut tape, x)?;
    let noisy = noise.record(&mut tape, clean, draw, 77)?;
    let y = operator.restrict(&mut tape, noisy)?;
    let network = quadratic(a, b);
    let randomness = Randomness { seed: 5, draw };
    let mut scene = Scene::new(&network, operator, noise, y, randomness);
    let loss = losses::record(&[term], &mut tape, &mut scene)?;
    let (mut predicted, mut expected, mut noisy) = (scene.predicted(&mut tape)?, clean, y);
    if let (Term::Sure(sure), Noise::LowDoseCt { attenuation, .. }) = (term, noise)
        && sure.domain == Domain::PreLog
    {
        for v in [&mut predicted, &mut expected, &mut noisy] {
            let depth = tape.scale(*v, -attenuation as f32);
            *v = tape.unary(equilens::tape::Unary::Exp, depth);
        }
    }
    let mut risk = |v: Var| -> Result<Var> {
        let difference = tape.sub(v, expected)?;
        let square = tape.mul(difference, difference)?;
        scene.measured_mean(&mut tape, square)
    };
    let (risk, noise) = (risk(predicted)?, risk(noisy)?);
    let mut sums = [0.0; 4];
    for number in 0..draws {
        let values = evaluate(&tape, &mut draw_feed(number), &[loss, risk, noise])?;
        let excess = values[0][0] - values[1][0];
        sums[0] += excess;
        sums[1] += excess * excess;
        sums[2] += values[1][0];
        sums[3] += values[2][0];
    }
    let n = draws as f64;
    let mean = sums[0] / n;
    let error = ((sums[1] / n - mean * mean) / n).sqrt();
    Ok([mean, error, sums[2] / n, sums[3] / n])
}

fn sure(domain: Domain) -> Term {
    Term::Sure(Sure {
        domain,
        ..Sure::default()
    })
}

#[test]
fn sure_is_unbiased() -> Result<()> {
    let measured: Vec<bool> = (0..80).map(|i| i % 5 < 3).collect();
    let k_space = FourierSampling::new([8, 10], &measured)?;
    let scan = scan();
    let gaussian = Noise::Gaussian { sigma: 0.3 };
    let poisson = Noise::Poisson { gain: 0.02 };
    for (what, operator, noise, ab, draws) in [
        (
            "linear, k-space",
            &k_space as &dyn LinearOperator,
            gaussian,
            [0.8, 0.0],
            2000,
        ),
        ("quadratic, k-space", &k_space, gaussian, [0.8, 0.2], 2000),
        ("linear, CT", &scan, gaussian, [0.8, 0.0], 2000),
        ("quadratic, CT", &scan, gaussian, [0.8, 0.2], 2000),
        ("linear, counts", &scan, poisson, [0.8, 0.0], 2000),
        ("quadratic, counts", &scan, poisson, [0.8, 0.2], 2000),
    ] {
        let [mean, error, risk, _] = excess(operator, noise, sure(Domain::PostLog), ab, draws)?;
        println!("{what}: {mean:.2e} +- {error:.1e} of a risk of {risk:.3e}");
        assert!(mean.abs() < 4.0 * error, "{what}: {mean} +- {error}");
        // The standard error must be able to tell.
        assert!(error < 0.05 * risk, "{what}: {error} of {risk}");
    }
    Ok(())
}

/// Each pixel alone: `h = a y + b y^2` has the second derivative `2 b`, and the last term matters.
#[test]
fn sure_of_poisson_gaussian_noise_has_the_sign_of_its_last_term() -> Result<()> {
    let operator = Identity::new(Shape::new(1, 1, 8, 8));
    let (gain, sigma, b) = (0.05, 1.0, 0.5);
    let noise = Noise::PoissonGaussian { gain, sigma };
    let [mean, error, risk, _] = excess(
        &operator,
        noise,
        sure(Domain::PostLog),
        [0.5, b as f32],
        6000,
    )?;
    let last = 2.0 * sigma * sigma * gain * 2.0 * b;
    // What Taylor's expansion of Hudson's lemma leaves out: gain^2 y h'' with y below 1.
    let neglected = gain * gain * 2.0 * b;
    println!(
        "{mean:.2e} +- {error:.1e} of {risk:.3e}; last term {last:.2e}, neglected {neglected:.1e}"
    );
    assert!(error < last / 10.0, "{error} cannot see {last}");
    assert!(mean.abs() < 4.0 * error + neglected, "{mean} +- {error}");
    Ok(())
}

#[test]
fn sure_of_low_dose_ct_is_nearly_unbiased() -> Result<()> {
    // Each pixel as if it were a ray: a network whose error is that of the noise, so that the bias
    // of the logarithm, half of a photon's share, has no large error to multiply.
    let operator = Identity::new(Shape::new(1, 1, 8, 8));
    for (readout, domain) in [
        (0.0, Domain::PostLog),
        (8.0, Domain::PostLog),
        (0.0, Domain::PreLog),
        (8.0, Domain::PreLog),
    ] {
        let noise = Noise::LowDoseCt {
            photons: 600.0,
            attenuation: 2.0,
            eta: 1e-8,
            readout,
        };
        let [mean, error, risk, level] =
            excess(&operator, noise, sure(domain), [0.95, 0.02], 4000)?;
        println!(
            "{domain:?}, readout {readout}: {mean:.2e} +- {error:.1e} of {risk:.3e}; noise {level:.3e}"
        );
        // Linearising the logarithm, and the first-order form of Hudson's lemma, cost some parts in
        // the counts, a hundred or so.
        assert!(
            mean.abs() < 4.0 * error + 0.05 * level,
            "{domain:?}: {mean}"
        );
        // Half a variance too much or too little must show.
        assert!(4.0 * error < 0.3 * level, "{error} of {level}");
    }
    Ok(())
}

#[test]
fn consistency_alone_is_biased_by_the_noise() -> Result<()> {
    let term = Term::MeasurementConsistency(MeasurementConsistency::default());
    let noise = Noise::Gaussian { sigma: 0.3 };
    let [mean, error, ..] = excess(&scan(), noise, term, [0.8, 0.0], 500)?;
    assert!(mean.abs() > 8.0 * error, "{mean} +- {error}");
    Ok(())
}

/// A scene on its own tape, evaluated.
fn evaluated(
    operator: &dyn LinearOperator,
    term: Term,
    network: &losses::Reconstruct,
    y: Vec<f32>,
    moved: impl Fn(usize) -> Moved,
) -> Result<f64> {
    let mut tape = Tape::new();
    let draw = tape.input("draw", Shape::SCALAR);
    let n = y.len() / operator.range().elements();
    let y = tape.constant(operator.range().with(0, n), y)?;
    let randomness = Randomness { seed: 3, draw };
    let noise = Noise::None {};
    let mut scene = Scene::new(network, operator, noise, y, randomness);
    let loss = losses::record(&[term], &mut tape, &mut scene)?;
    let mut feeds = draw_feed(1);
    for motion in scene.motions() {
        let moved: Vec<Moved> = (0..motion.images.n()).map(&moved).collect();
        for (name, values) in motion.values(&moved)? {
            feeds.insert(name, values.into_iter().map(f64::from).collect());
        }
    }
    value(&tape, &mut feeds, loss)
}

fn exact() -> Transforms {
    Transforms {
        rotation: Rotation::Named(Turns::Quarter),
        shift: 0.5,
        ..Transforms::default()
    }
}

fn exactly_moved(i: usize) -> Moved {
    Moved {
        map: Affine::rotation((i + 1) as f64 * FRAC_PI_2),
        shift: [2 * i + 1, 3],
    }
}

#[test]
fn equivariant_imaging_vanishes_where_everything_is_equivariant() -> Result<()> {
    let shape = Shape::new(1, 1, 8, 8);
    let imaging = |transforms| {
        Term::EquivariantImaging(EquivariantImaging {
            transforms,
            ..EquivariantImaging::default()
        })
    };
    let y = images(3, shape, 2);
    let identity = |_: &mut Tape, _: &dyn LinearOperator, y: Var| Ok(y);
    let operator = Identity::new(shape);
    let loss = evaluated(
        &operator,
        imaging(exact()),
        &identity,
        y.clone(),
        exactly_moved,
    )?;
    assert_eq!(loss, 0.0);
    // With an operator that misses some entries and no prior in f, it does not.
    let measured: Vec<bool> = (0..64).map(|i| i % 8 < 3).collect();
    let k_space = FourierSampling::new([8, 8], &measured)?;
    let zero_filling = |tape: &mut Tape, a: &dyn LinearOperator, y: Var| a.pseudo_inverse(tape, y);
    let y = images(3, k_space.range(), 2);
    let turned = |i| Moved {
        shift: [0, 0],
        ..exactly_moved(i)
    };
    let loss = evaluated(&k_space, imaging(exact()), &zero_filling, y.clone(), turned)?;
    assert!(loss > 1e-3, "{loss}");
    // Shifts commute with sampling in the Fourier domain: there they teach nothing.
    let shifted = |i| Moved {
        map: Affine::IDENTITY,
        ..exactly_moved(i)
    };
    let shifts = Transforms {
        shift: 0.5,
        ..Transforms::default()
    };
    let loss = evaluated(&k_space, imaging(shifts), &zero_filling, y, shifted)?;
    assert!(loss < 1e-25, "{loss}");
    Ok(())
}

#[test]
fn what_is_left_out_is_not_seen() -> Result<()> {
    let operator = Identity::new(Shape::new(1, 1, 40, 40));
    for unit in [Unit::Entries, Unit::Rows, Unit::Columns] {
        let splitting = Term::Splitting(Splitting {
            unit,
            kept: 0.7,
            ..Splitting::default()
        });
        let of = |gain: f32| {
            let network = quadratic(gain, 0.0);
            let ones = vec![1.0; 4 * operator.domain().elements()];
            evaluated(&operator, splitting, &network, ones, exactly_moved)
        };
        // Pixel by pixel a network knows nothing about what is left out, and misses all of it.
        let loss = of(1.0)?;
        assert_eq!(loss, of(100.0)?, "{unit:?}");
        // The share left out, relative to the expected one.
        let spread = if unit == Unit::Entries { 0.05 } else { 0.2 };
        assert!((loss - 1.0).abs() < spread, "{unit:?}: {loss}");
        assert_ne!(loss, 1.0);
    }
    Ok(())
}

#[test]
fn equivariant_splitting_by_permutations_is_splitting_for_a_linear_inverse() -> Result<()> {
    let measured: Vec<bool> = (0..64).map(|i| i % 8 < 3 || i < 8).collect();
    let operator = FourierSampling::new([8, 8], &measured)?;
    let y = images(2, operator.range(), 4);
    let of = |transforms| {
        let splitting = Term::Splitting(Splitting {
            transforms,
            ..Splitting::default()
        });
        evaluated(
            &operator,
            splitting,
            &quadratic(0.7, 0.0),
            y.clone(),
            exactly_moved,
        )
    };
    let (plain, moved) = (of(Transforms::default())?, of(exact())?);
    assert!((plain - moved).abs() < 1e-12 * plain, "{plain} {moved}");
    // Another network is moved along with the operator, and so the loss differs.
    let of = |transforms| {
        let splitting = Term::Splitting(Splitting {
            transforms,
            ..Splitting::default()
        });
        let network = |tape: &mut Tape, a: &dyn LinearOperator, y: Var| {
            let x = a.pseudo_inverse(tape, y)?;
            let weights = tape.constant(a.domain(), images(1, a.domain(), 9))?;
            tape.mul(x, weights)
        };
        evaluated(&operator, splitting, &network, y.clone(), exactly_moved)
    };
    let (plain, moved) = (of(Transforms::default())?, of(exact())?);
    assert!((plain - moved).abs() > 1e-4 * plain, "{plain} {moved}");
    Ok(())
}

/// The operator that a network gets from a split measurement has the adjoint of what it is.
#[test]
fn a_split_operator_is_linear_with_its_adjoint() -> Result<()> {
    let scan = scan();
    let transforms = Transforms {
        shift: 0.3,
        ..Transforms::rotations()
    };
    let splitting = Term::Splitting(Splitting {
        unit: Unit::Rows,
        transforms,
        ..Splitting::default()
    });
    let products = RefCell::new(Vec::new());
    let network = |tape: &mut Tape, a: &dyn LinearOperator, y: Var| {
        let n = y.shape().n();
        let u = tape.constant(a.domain().with(0, n), images(n, a.domain(), 5))?;
        let v = tape.constant(a.range().with(0, n), images(n, a.range(), 6))?;
        let (au, atv) = (a.forward(tape, u)?, a.adjoint(tape, v)?);
        let (left, right) = (tape.mul(au, v)?, tape.mul(u, atv)?);
        let masked = a.restrict(tape, au)?;
        let rest = tape.sub(masked, au)?;
        let rest = tape.mul(rest, rest)?;
        for product in [left, right, rest] {
            products.borrow_mut().push(tape.sum_all(product)?);
        }
        a.pseudo_inverse(tape, y)
    };
    let mut tape = Tape::new();
    let draw = tape.input("draw", Shape::SCALAR);
    let y = tape.constant(scan.range().with(0, 2), images(2, scan.range(), 7))?;
    let mut scene = Scene::new(
        &network,
        &scan,
        Noise::None {},
        y,
        Randomness { seed: 3, draw },
    );
    losses::record(&[splitting], &mut tape, &mut scene)?;
    let mut feeds = draw_feed(2);
    let ranges = AffineRanges::rotations();
    let mut stream = Stream::new(1, "maps");
    for motion in scene.motions() {
        let moved = |i: usize| Moved {
            map: ranges.draw(&mut stream),
            shift: [i, 3],
        };
        let moved: Vec<Moved> = (0..motion.images.n()).map(moved).collect();
        for (name, values) in motion.values(&moved)? {
            feeds.insert(name, values.into_iter().map(f64::from).collect());
        }
    }
    let outputs = products.borrow().clone();
    let found = evaluate(&tape, &mut feeds, &outputs)?;
    let [left, right, rest] = [0, 1, 2].map(|i| found[i][0]);
    assert!((left - right).abs() < 1e-9 * left.abs(), "{left} {right}");
    assert!(left.abs() > 0.1 && rest == 0.0, "{left} {rest}");
    Ok(())
}

/// Scans that take turns still do so when their measurements are split, and what a network starts
/// from is as bright as from a whole measurement.
#[test]
fn split_scans_take_turns_and_keep_the_brightness() -> Result<()> {
    let other = RayGeometry {
        angles: (0..6).map(|v| 0.2 + 0.4 * f64::from(v)).collect(),
        ..RayGeometry::parallel([8, 8], 4.0, 6, 12)
    };
    let scans = [scan(), RayTransform::new(other)];
    let operators = scans.each_ref().map(|s| Arc::new(s.clone()) as Arc<_>);
    let several = Several::new(operators.to_vec())?;
    let (n, kept) = (3, 0.25);
    let splitting = Term::Splitting(Splitting {
        kept,
        unit: Unit::Rows,
        ..Splitting::default()
    });
    let seen = RefCell::new(Vec::new());
    let network = |tape: &mut Tape, a: &dyn LinearOperator, y: Var| {
        assert_eq!(a.period(), scans.len());
        let x = a.pseudo_inverse(tape, y)?;
        for i in 0..n {
            let item = tape.slice(y, 0, i, 1)?;
            let alone = scans[i % scans.len()].pseudo_inverse(tape, item)?;
            let bright = tape.scale(alone, (1.0 / kept) as f32);
            let found = tape.slice(x, 0, i, 1)?;
            let difference = tape.sub(found, bright)?;
            let difference = tape.mul(difference, difference)?;
            let square = tape.mul(bright, bright)?;
            let sums = (tape.sum_all(difference)?, tape.sum_all(square)?);
            seen.borrow_mut().extend([sums.0, sums.1]);
        }
        Ok(x)
    };
    let mut tape = Tape::new();
    let draw = tape.input("draw", Shape::SCALAR);
    let y = tape.constant(several.range().with(0, n), images(n, several.range(), 7))?;
    let randomness = Randomness { seed: 3, draw };
    let mut scene = Scene::new(&network, &several, Noise::None {}, y, randomness);
    losses::record(&[splitting], &mut tape, &mut scene)?;
    let outputs = seen.borrow().clone();
    let found = evaluate(&tape, &mut draw_feed(2), &outputs)?;
    for item in found.chunks(2) {
        let (difference, square) = (item[0][0], item[1][0]);
        assert!(square > 0.0 && difference < 1e-10 * square, "{found:?}");
    }
    Ok(())
}

#[test]
fn transforms_have_their_exact_transpose_and_compose() -> Result<()> {
    let shape = Shape::new(2, 2, 6, 6);
    let everything = Transforms {
        rotation: Rotation::Named(Turns::Any),
        mirror: true,
        shift: 0.5,
        translation: 1.0,
        scaling: [0.7, 1.4],
        shear: 0.3,
    };
    for (transforms, orthogonal) in [(everything, false), (exact(), true)] {
        let input = MotionInput::new(0, &transforms, shape)?;
        let mut tape = Tape::new();
        let motion = input.record(&mut tape);
        let [u, v] = [1, 2].map(|seed| images(2, shape.with(0, 1), seed));
        let (x, y) = (tape.constant(shape, u.clone())?, tape.constant(shape, v)?);
        let (tx, ty) = (motion.apply(&mut tape, x)?, motion.transpose(&mut tape, y)?);
        let (left, right) = (tape.mul(tx, y)?, tape.mul(x, ty)?);
        let (left, right) = (tape.sum_all(left)?, tape.sum_all(right)?);
        let back = motion.transpose(&mut tape, tx)?;
        let map = Affine::rotation(0.7).compose(Affine::scaling(0.8, 1.2));
        let moved = match orthogonal {
            true => [exactly_moved(0), exactly_moved(1)],
            false => [exactly_moved(2), Moved { map, shift: [5, 1] }],
        };
        let mut feeds = Feeds::new();
        for (name, values) in input.values(&moved)? {
            feeds.insert(name, values.into_iter().map(f64::from).collect());
        }
        let found = evaluate(&tape, &mut feeds, &[left, right, back, tx])?;
        let (left, right) = (found[0][0], found[1][0]);
        assert!((left - right).abs() < 1e-12 * left.abs(), "{left} {right}");
        let wide: Vec<f64> = u.iter().map(|&v| f64::from(v)).collect();
        assert_eq!(found[2] == wide, orthogonal);
        if orthogonal {
            // A quarter turn counter-clockwise, then one row down and three columns to the right.
            let at = |r: usize, c: usize| wide[r * 6 + c];
            for (r, c) in (0..6).flat_map(|r| (0..6).map(move |c| (r, c))) {
                let (r0, c0) = ((r + 5) % 6, (c + 3) % 6);
                assert_eq!(found[3][r * 6 + c], at(c0, 5 - r0), "{r} {c}");
            }
        }
    }
    let error = MotionInput::new(0, &exact(), Shape::new(1, 1, 6, 7)).expect_err("not square");
    assert!(error.to_string().contains("6x7"), "{error}");
    Ok(())
}

#[test]
fn the_similarity_loss_is_one_minus_the_metric() -> Result<()> {
    let shape = Shape::new(1, 1, 13, 11);
    let (truth, estimate) = (images(1, shape, 1), images(1, shape, 2));
    let term = Term::Supervised(Supervised {
        distance: Distance::Ssim,
        ..Supervised::default()
    });
    let operator = Identity::new(shape);
    let mut tape = Tape::new();
    let draw = tape.input("draw", Shape::SCALAR);
    let y = tape.constant(shape, estimate.clone())?;
    let identity = |_: &mut Tape, _: &dyn LinearOperator, y: Var| Ok(y);
    let randomness = Randomness { seed: 0, draw };
    let mut scene = Scene::new(&identity, &operator, Noise::None {}, y, randomness);
    let loss = losses::record(&[term], &mut tape, &mut scene)?;
    let wide = truth.iter().map(|&v| f64::from(v)).collect();
    let mut feeds = Feeds::from([(Scene::TRUTH.to_string(), wide)]);
    let found = value(&tape, &mut feeds, loss)?;
    let metric = metrics::ssim(&truth, &estimate, [13, 11], 1.0)?;
    assert!((found - (1.0 - metric)).abs() < 1e-6, "{found} {metric}");
    assert!(metric < 0.9, "{metric}");
    Ok(())
}

#[test]
fn the_unknown_variance_climbs_along_the_divergence() -> Result<()> {
    let operator = Identity::new(Shape::new(1, 1, 6, 6));
    let unsure = Unsure {
        rate: 0.01,
        momentum: 0.5,
        initial: 0.2,
        ..Unsure::default()
    };
    let mut tape = Tape::new();
    let draw = tape.input("draw", Shape::SCALAR);
    let pixels = images(1, operator.domain(), 3);
    let y = tape.constant(operator.domain(), pixels.clone())?;
    let network = quadratic(0.6, 0.0);
    let noise = Noise::Gaussian { sigma: 0.1 };
    let mut scene = Scene::new(&network, &operator, noise, y, Randomness { seed: 1, draw });
    let loss = losses::record(&[Term::Unsure(unsure)], &mut tape, &mut scene)?;
    let mut feeds = draw_feed(1);
    for state in scene.states() {
        feeds.insert(state.name.to_string(), vec![f64::from(state.initial)]);
    }
    let square = pixels.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / 36.0;
    // h = 0.6 y: residual 0.4^2 of the square, divergence 0.6 of each value.
    let found = value(&tape, &mut feeds, loss)?;
    let expected = 0.16 * square + 0.2 * 2.0 * 0.6;
    assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
    let mut outputs = vec![loss];
    outputs.extend(tape.assigned());
    let climb = 0.01 * 2.0 * 0.6 * square;
    for (variance, step) in [(0.2 + climb, climb), (0.2 + 2.5 * climb, 1.5 * climb)] {
        evaluate(&tape, &mut feeds, &outputs)?;
        let [v, c] = [Unsure::VARIANCE, "loss.unsure.climb"].map(|name| feeds[name][0]);
        assert!((v / variance - 1.0).abs() < 1e-5, "{v} {variance}");
        assert!((c / step - 1.0).abs() < 1e-5, "{c} {step}");
    }
    Ok(())
}

#[test]
fn settings_out_of_range_are_typed_errors() -> Result<()> {
    #[derive(serde::Deserialize)]
    struct File {
        loss: Vec<Term>,
    }
    let gaussian = Noise::Gaussian { sigma: 0.1 };
    let refused = |text: &str, noise: Noise| -> String {
        let checked =
            parse_toml::<File>("loss.toml", text).and_then(|file| losses::check(&file.loss, noise));
        match checked {
            Err(Error::Config(message)) => message,
            other => panic!("{text}: {other:?}"),
        }
    };
    for (text, noise, words) in [
        ("loss = []", gaussian, ["no term", "supervised"]),
        (
            "[[loss]]\nkind = \"sure\"",
            Noise::None {},
            ["loss[0]", "none"],
        ),
        (
            "[[loss]]\nkind = \"sure\"\ndomain = \"pre_log\"",
            gaussian,
            ["loss[0].domain", "low_dose_ct"],
        ),
        (
            "[[loss]]\nkind = \"supervised\"\nweight = -1.0",
            gaussian,
            ["loss[0].weight", "-1"],
        ),
        (
            "[[loss]]\nkind = \"supervised\"\n[[loss]]\nkind = \"equivariant_imaging\"\ntransforms = {}",
            gaussian,
            ["loss[1].transforms", "rotation"],
        ),
        (
            "[[loss]]\nkind = \"equivariant_imaging\"\ntransforms = { shift = 0.7 }",
            gaussian,
            ["loss[0].transforms.shift", "0.7"],
        ),
        (
            "[[loss]]\nkind = \"splitting\"\nkept = 1.0",
            gaussian,
            ["loss[0].kept", "1"],
        ),
        (
            "[[loss]]\nkind = \"equivariant_imaging\"\nwieght = 2.0",
            gaussian,
            ["wieght", "weight"],
        ),
        (
            "[[loss]]\nkind = \"ei\"",
            gaussian,
            ["`ei`", "equivariant_imaging"],
        ),
        (
            "[[loss]]\nkind = \"augmentation\"\ntransforms = { rotation = \"half\" }",
            gaussian,
            ["line", "quarter"],
        ),
    ] {
        let message = refused(text, noise);
        for word in words {
            assert!(message.contains(word), "{text}: {message}");
        }
    }
    let text = "[[loss]]\nkind = \"equivariant_imaging\"\nweight = 100.0\ndraws = 2\ntransforms = { rotation = [-10.0, 10.0], shift = 0.5 }\n[[loss]]\nkind = \"measurement_consistency\"";
    let file: File = parse_toml("loss.toml", text)?;
    losses::check(&file.loss, gaussian)?;
    assert!(losses::calls_again(&file.loss) && !losses::calls_again(&file.loss[1..]));
    Ok(())
}

/// Recording needs no device: every loss with every kind of network on every kind of problem.
#[test]
fn every_loss_goes_with_every_network_and_problem() -> Result<()> {
    use equilens::models::ModelConfig;
    use equilens::problems::{Problem, ProblemConfig};
    use equilens::train::{Recipe, tapes};
    #[derive(serde::Deserialize)]
    struct Terms {
        loss: Vec<Term>,
    }
    let problems = [
        "[operator]\nkind = \"ray_transform\"\nimage_size = 8\nviews = 6\n[noise]\nkind = \"low_dose_ct\"",
        "[operator]\nkind = \"fourier\"\nimage_size = 8\nmask = { kind = \"cartesian\", lines = 4, centre = 2 }\n[noise]\nkind = \"gaussian\"\nsigma = 0.1",
        "[operator]\nkind = \"inpainting\"\nimage_size = [8, 12]\n[noise]\nkind = \"poisson\"",
        "[operator]\nkind = \"blur\"\nimage_size = 12\nboundary = \"valid\"\nkernel = { kind = \"box\", size = 3 }\n[noise]\nkind = \"poisson_gaussian\"\nsigma = 0.1",
        "[operator]\nkind = \"downsampling\"\nimage_size = 8\nfactor = 2\n[noise]\nkind = \"gaussian\"\nsigma = 0.1",
    ];
    let models = [
        "kind = \"learned_proximal_gradient\"\ngroup = \"C4\"\nwidth = 8\nblocks = 1",
        "kind = \"learned_primal_dual\"\ngroup = \"C4\"",
        "kind = \"unet\"\ngroup = \"D4\"\nwidth = 8\nlevels = 1",
        "kind = \"dncnn\"\ngroup = \"C1\"\nwidth = 4\ndepth = 3",
        "kind = \"unrolled_proximal_gradient\"\nblocks = 2\nproximal = { kind = \"dncnn\", width = 4, depth = 3 }",
        "kind = \"fully_connected\"\nwidth = 8",
    ];
    let losses = [
        "kind = \"supervised\"\ndistance = \"ssim\"",
        "kind = \"augmentation\"",
        "kind = \"measurement_consistency\"",
        "kind = \"equivariant_imaging\"\ndraws = 2\nnoise = true",
        "kind = \"sure\"",
        "kind = \"unsure\"",
        "kind = \"splitting\"\ntransforms = { shift = 0.5, mirror = true }",
    ];
    for problem in problems {
        let problem = Problem::new(&parse_toml::<ProblemConfig>("problem.toml", problem)?)?;
        for model in models {
            let model: ModelConfig = parse_toml("model.toml", model)?;
            for loss in losses {
                let text = format!("[[loss]]\n{loss}");
                let recipe = Recipe {
                    noise: problem.noise,
                    loss: parse_toml::<Terms>("loss.toml", &text)?.loss,
                    ..Recipe::default()
                };
                tapes(&model, &*problem.operator, &recipe)?;
            }
        }
    }
    Ok(())
}
