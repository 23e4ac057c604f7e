//! Denoisers in place of proximal maps.

use super::support::{largest, noise, scan, solved, store, wide};
use equilens::error::Result;
use equilens::operators::Inpainting;
use equilens::shape::Shape;
use equilens::solvers::{Denoiser, Iterative, PlugAndPlay, Quadratic, Run, Scheme, Tikhonov};
use equilens::tape::{Tape, Unary, Var};
use std::sync::Arc;

/// `D(x) = x / (1 + a)`, the proximal map of `a |x|^2 / 2`, with `a` in a state.
struct Shrink(f32);

impl Denoiser for Shrink {
    fn states(&self) -> Vec<(String, Shape, Vec<f32>)> {
        vec![("a".into(), Shape::SCALAR, vec![self.0])]
    }

    fn denoise(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        let a = tape.state("a", Shape::SCALAR);
        let divisor = tape.unary(Unary::Offset(1.0), a);
        tape.div(x, divisor)
    }
}

/// With a proximal map for a denoiser, plug-and-play methods find the minimiser that it belongs to:
/// that of Tikhonov, by half-quadratic splitting that of the penalty's envelope, shrunk.
#[test]
fn plug_and_play_with_a_proximal_map_finds_its_minimiser() {
    let (operator, y) = scan();
    let (weight, rho, step) = (0.02, 0.05, 1.5);
    let tikhonov = |weight| Tikhonov {
        weight,
        penalty: Quadratic::Identity,
        nonnegative: false,
        iterations: 400,
        tolerance: 0.0,
    };
    let run = Run::new(&operator, &store(), &y, 1).expect("fits");
    let solved = |method: &dyn Iterative| solved(method, &run);
    for (scheme, shrink, of_tikhonov) in [
        (Scheme::Gradient, step * weight, [weight, 1.0]),
        (Scheme::Multipliers, weight / rho, [weight, 1.0]),
        (
            Scheme::HalfQuadratic,
            weight / rho,
            [weight * rho / (weight + rho), rho / (rho + weight)],
        ),
    ] {
        let method = PlugAndPlay {
            scheme,
            step,
            rho,
            iterations: 600,
            tolerance: 1e-7,
            ..PlugAndPlay::new(Arc::new(Shrink(shrink as f32)))
        };
        let found = solved(&method);
        let [weight, factor] = of_tikhonov;
        let expected = wide(&solved(&tikhonov(weight)).images);
        let expected: Vec<f64> = expected.iter().map(|v| v * factor).collect();
        let scale = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let error = largest(&found.images, &expected) / scale;
        assert!(error < 1e-4, "{scheme:?}: {error}");
        assert!(scale > 0.1);
    }
}

/// `D(x) = x - clamp(x, -t, t)`, the proximal map of `t |x|_1`.
struct SoftThreshold(f32);

impl Denoiser for SoftThreshold {
    fn states(&self) -> Vec<(String, Shape, Vec<f32>)> {
        Vec::new()
    }

    fn denoise(&self, tape: &mut Tape, x: Var) -> Result<Var> {
        let side = |tape: &mut Tape, sign: f32| {
            let x = tape.scale(x, sign);
            let beyond = tape.unary(Unary::Offset(-self.0), x);
            let beyond = tape.unary(Unary::AtLeast(0.0), beyond);
            tape.scale(beyond, sign)
        };
        let (above, below) = (side(tape, 1.0), side(tape, -1.0));
        tape.add(above, below)
    }
}

/// Seen `scale` times as bright, the proximal map of a penalty of degree one has its weight divided by
/// `scale`; a linear denoiser stays as it is.
#[test]
fn a_scaled_denoiser_is_that_of_another_level_of_noise() {
    let mask: Vec<bool> = (0..30).map(|i| i % 4 != 2).collect();
    let holes = Inpainting::new([5, 6], &mask).expect("fits");
    let y: Vec<f32> = (noise(4, 30).iter().zip(&mask))
        .map(|(v, measured)| if *measured { *v } else { 0.0 })
        .collect();
    let run = Run::new(&holes, &store(), &y, 1).expect("fits");
    let (threshold, step, rho) = (0.2, 0.8, 0.5);
    for scale in [0.5, 1.0, 3.0] {
        for (scheme, weight) in [
            (Scheme::Gradient, threshold / scale / step),
            (Scheme::Multipliers, rho * threshold / scale),
        ] {
            let method = PlugAndPlay {
                scheme,
                step,
                rho,
                scale,
                iterations: 300,
                tolerance: 0.0,
                ..PlugAndPlay::new(Arc::new(SoftThreshold(threshold as f32)))
            };
            // What makes |u - y|^2 / 2 + weight |u|_1 small.
            let expected: Vec<f64> = (wide(&y).iter())
                .map(|v| v.signum() * (v.abs() - weight).max(0.0))
                .collect();
            let error = largest(&solved(&method, &run).images, &expected);
            assert!(error < 1e-5, "{scheme:?} {scale}: {error}");
        }
    }
    let linear = |scale| PlugAndPlay {
        scale,
        iterations: 20,
        tolerance: 0.0,
        ..PlugAndPlay::new(Arc::new(Shrink(0.3)))
    };
    let [plain, scaled] = [1.0, 7.0].map(|scale| solved(&linear(scale), &run).images);
    assert!(largest(&scaled, &wide(&plain)) < 1e-6 && largest(&plain, &[0.0; 30]) > 0.1);
}

/// Half a denoiser is one with half of its effect.
#[test]
fn plug_and_play_relaxes_its_denoiser_and_refuses_bad_settings() {
    let (operator, y) = scan();
    let method = PlugAndPlay {
        iterations: 5,
        tolerance: 0.0,
        ..PlugAndPlay::new(Arc::new(Shrink(1.0)))
    };
    let solved = |method: &PlugAndPlay| {
        let solution = method.solve(&operator, &store(), &y, 1, &mut |_| {});
        solution.map(|s| s.images)
    };
    // (1 - 1/2) x + 1/2 x / (1 + 1) = x / (1 + 1/3).
    let relaxed = PlugAndPlay {
        relaxation: 0.5,
        ..method.clone()
    };
    let same = PlugAndPlay {
        denoiser: Arc::new(Shrink(1.0 / 3.0)),
        ..method.clone()
    };
    let [a, b] = [relaxed, same].map(|m| solved(&m).expect("solves"));
    assert!(largest(&a, &wide(&b)) < 1e-6 && largest(&a, &[0.0; 192]) > 0.1);
    for (key, bad) in [
        (
            "pnp.step",
            PlugAndPlay {
                step: 2.0,
                ..method.clone()
            },
        ),
        (
            "pnp.rho",
            PlugAndPlay {
                rho: -1.0,
                ..method.clone()
            },
        ),
        (
            "pnp.scale",
            PlugAndPlay {
                scale: 0.0,
                ..method.clone()
            },
        ),
        (
            "pnp.relaxation",
            PlugAndPlay {
                relaxation: 1.5,
                ..method.clone()
            },
        ),
        (
            "pnp.iterations",
            PlugAndPlay {
                iterations: 0,
                ..method.clone()
            },
        ),
    ] {
        let error = solved(&bad).expect_err(key).to_string();
        assert!(error.contains(key), "{error}");
    }
}
