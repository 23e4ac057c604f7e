//! Images moved by affine maps on the device: against SciPy and PyTorch, against the formula in f64,
//! against the permutations of the grid, and inside a loss.

use equilens::data::{AffineRanges, Stream, npy};
use equilens::error::{Error, Result};
use equilens::experiments;
use equilens::gpu::{Gpu, Selection};
use equilens::shape::{Affine, GridSymmetry, Maps, Shape};
use equilens::tape::Tape;
use equilens::tape::plan::{Options, Plan, Store};
use serde_json::Value;
use std::f64::consts::{FRAC_PI_2, TAU};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| Gpu::open(&Selection::default()).expect("an adapter"))
}

fn golden(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/golden/warp").join(name)
}

/// Integers over 512, as `generate.py` has them.
fn pattern(count: u64) -> Vec<f32> {
    let value = |i: u64| ((i * i * 31 + i * 7919) % 1021) as f64 / 512.0 - 510.0 / 512.0;
    (0..count).map(|i| value(i) as f32).collect()
}

#[track_caller]
fn assert_near(found: &[f32], expected: &[f64], bound: f64) {
    assert_eq!(found.len(), expected.len());
    let mut worst = (0.0, 0);
    for (i, (&f, e)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(f) - e).abs();
        assert!(error.is_finite());
        if error > worst.0 {
            worst = (error, i);
        }
    }
    println!("error {:.1e} at {}, bound {bound:.0e}", worst.0, worst.1);
    assert!(worst.0 <= bound, "{:.1e} at element {}", worst.0, worst.1);
}

/// The images moved by the maps, and the transpose.
fn warped(values: &[f32], shape: Shape, maps: &[Affine]) -> Result<[Vec<f32>; 2]> {
    let mut tape = Tape::new();
    let x = tape.input("x", shape);
    let given = tape.input("maps", Maps::shape(shape.n()));
    let outputs = [tape.warp(x, given)?, tape.warp_adjoint(x, given)?];
    let plan = Plan::compile(&tape, &outputs, &Store::new(gpu()), Options::default())?;
    plan.run(&[("x", values), ("maps", &Maps::of(maps)?)])?;
    let [forward, adjoint] = outputs.map(|y| plan.read(y));
    Ok([forward?, adjoint?])
}

#[test]
fn scipy_and_pytorch_move_images_alike() -> Result<()> {
    let text = std::fs::read_to_string(golden("case.json")).expect("golden numbers");
    let case: Value = serde_json::from_str(&text).expect("JSON");
    let extent = |key: &str| case[key].as_u64().expect("a number") as usize;
    let (rows, columns) = (extent("rows"), extent("columns"));
    let maps = case["maps"].as_array().expect("maps").iter().map(|map| {
        let number = |v: &Value| v.as_f64().expect("a number");
        let pair = |v: &Value| [number(&v[0]), number(&v[1])];
        Affine {
            matrix: [pair(&map["matrix"][0]), pair(&map["matrix"][1])],
            offset: pair(&map["offset"]),
        }
    });
    let maps: Vec<Affine> = maps.collect();
    let shape = Shape::new(maps.len(), 1, rows, columns);
    let image = pattern((rows * columns) as u64);
    let [forward, adjoint] = warped(&image.repeat(maps.len()), shape, &maps)?;
    let read = |name: &str| -> Vec<f64> {
        let values = npy::read_real_npy(golden(name)).expect(name).data;
        values.into_iter().map(f64::from).collect()
    };
    assert_near(&forward, &read("forward.npy"), 5e-7);
    // Up to a dozen terms of size 1.
    assert_near(&adjoint, &read("adjoint.npy"), 2e-6);
    Ok(())
}

/// `(T f)(p) = f(R^-1 p)`, written out in f64.
fn rotated(plane: &[f32], [rows, columns]: [usize; 2], angle: f64) -> Vec<f64> {
    let (sin, cos) = angle.sin_cos();
    let centre = [(rows as f64 - 1.0) / 2.0, (columns as f64 - 1.0) / 2.0];
    let pixel = |r: f64, c: f64| {
        let inside = (0.0..rows as f64).contains(&r) && (0.0..columns as f64).contains(&c);
        let at = || f64::from(plane[r as usize * columns + c as usize]);
        if inside { at() } else { 0.0 }
    };
    let value = |i: usize| {
        let (x, y) = (
            (i % columns) as f64 - centre[1],
            centre[0] - (i / columns) as f64,
        );
        let (r, c) = (
            centre[0] - (cos * y - sin * x),
            centre[1] + cos * x + sin * y,
        );
        let (fr, fc) = (r - r.floor(), c - c.floor());
        let row = |r: f64| (1.0 - fc) * pixel(r, c.floor()) + fc * pixel(r, c.floor() + 1.0);
        (1.0 - fr) * row(r.floor()) + fr * row(r.floor() + 1.0)
    };
    (0..rows * columns).map(value).collect()
}

#[test]
fn test_images_turn_by_the_angles_of_their_seed() -> Result<()> {
    // The larger one is read through a texture on software adapters.
    for shape in [Shape::new(2, 2, 41, 30), Shape::new(2, 1, 512, 500)] {
        let values = pattern(shape.elements() as u64);
        let stream = || Stream::new(3, "test");
        let found = experiments::turned(gpu(), &values, shape, &mut stream())?;
        let mut angles = stream();
        let plane = shape.h() * shape.w();
        let mut expected = Vec::new();
        for image in values.chunks(shape.c() * plane) {
            let angle = angles.between(0.0, TAU);
            for plane in image.chunks(plane) {
                expected.extend(rotated(plane, [shape.h(), shape.w()], angle));
            }
        }
        // A few roundings at the size of the pixels, whatever the extent.
        assert_near(&found, &expected, 1e-6);
    }
    let none = experiments::turned(
        gpu(),
        &[0.0; 7],
        Shape::new(1, 1, 2, 4),
        &mut Stream::new(3, "t"),
    );
    assert!(matches!(none, Err(Error::Shape { .. })), "{none:?}");
    Ok(())
}

#[test]
fn quarter_turns_and_mirrors_are_permutations() -> Result<()> {
    let mut tape = Tape::new();
    let x = tape.input("x", Shape::new(1, 3, 32, 32));
    let mut outputs = Vec::new();
    for g in GridSymmetry::ALL {
        let turn = Affine::rotation(f64::from(g.quarter_turns) * FRAC_PI_2);
        let map = if g.flip {
            turn.compose(Affine::mirror())
        } else {
            turn
        };
        let maps = tape.constant(Maps::shape(1), Maps::of(&[map])?)?;
        let back = tape.symmetry(x, g.inverse());
        let pair = [tape.symmetry(x, g), tape.warp(x, maps)?];
        outputs.extend(pair);
        outputs.extend([back, tape.warp_adjoint(x, maps)?]);
    }
    let plan = Plan::compile(&tape, &outputs, &Store::new(gpu()), Options::default())?;
    plan.run(&[("x", &pattern(3 * 1024))])?;
    for pair in outputs.chunks(2) {
        assert_eq!(plan.read(pair[0])?, plan.read(pair[1])?);
    }
    Ok(())
}

/// `|f(T x) - T x|^2` as equivariant imaging has it, with a linear `f`: the gradient by the tape and by
/// central differences on the device.
#[test]
fn a_loss_differentiates_through_a_warp() -> Result<()> {
    let shape = Shape::new(2, 1, 12, 15);
    let ranges = AffineRanges {
        shift: [-2.0, 2.0],
        scaling: [0.7, 1.4],
        shear: [-0.2, 0.2],
        mirror: true,
        ..AffineRanges::rotations()
    };
    let maps = ranges.draw_many(2, &mut Stream::new(5, "test"));
    let mut tape = Tape::new();
    let x = tape.input("x", shape);
    let given = tape.input("maps", Maps::shape(2));
    let moved = tape.warp(x, given)?;
    let twice = tape.warp(moved, given)?;
    let difference = tape.sub(twice, moved)?;
    let square = tape.mul(difference, difference)?;
    let loss = tape.sum_all(square)?;
    let gradient = tape.gradients(loss, &[x])?[0];
    let plan = Plan::compile(
        &tape,
        &[loss, gradient],
        &Store::new(gpu()),
        Options::default(),
    )?;
    plan.write("maps", &Maps::of(&maps)?)?;
    let values = pattern(shape.elements() as u64);
    plan.run(&[("x", &values)])?;
    let gradient = plan.read(gradient)?;
    let scale = gradient.iter().fold(0.0f32, |m, g| m.max(g.abs()));
    for at in [0, 77, 180, 231, 359] {
        // The loss is a quadratic, so that any step is exact but for rounding.
        let side = |step: f32| {
            let mut moved = values.clone();
            moved[at] += step;
            plan.run(&[("x", &moved)])?;
            plan.read(loss).map(|v| f64::from(v[0]))
        };
        let slope = (side(1.0)? - side(-1.0)?) / 2.0;
        let error = (slope - f64::from(gradient[at])).abs();
        assert!(error <= 1e-4 * f64::from(scale), "{slope} {}", gradient[at]);
    }
    Ok(())
}

/// The matrix of the warp from unit images, and of the adjoint from unit images: the same numbers, bit
/// for bit.
#[test]
fn the_adjoint_is_the_transpose_bit_for_bit() -> Result<()> {
    let (rows, columns) = (9, 11);
    let plane = rows * columns;
    let shape = Shape::new(plane, 1, rows, columns);
    let mut units = vec![0.0; plane * plane];
    for i in 0..plane {
        units[i * plane + i] = 1.0;
    }
    let turn = Affine::rotation(0.3);
    for map in [
        turn,
        Affine::shift(-0.6, 1.0 / 3.0).compose(Affine::shear(0.9)),
        turn.compose(Affine::scaling(0.3, 0.45)),
        turn.compose(Affine::scaling(-3.1, 2.6)),
        turn.compose(Affine::scaling(1e3, 1e-3)),
        turn.compose(Affine::scaling(1e6, 1e6)),
        Affine::scaling(1e-4, 1.0),
    ] {
        let [forward, adjoint] = warped(&units, shape, &vec![map; plane])?;
        for input in 0..plane {
            for output in 0..plane {
                let pair = [
                    forward[input * plane + output],
                    adjoint[output * plane + input],
                ];
                assert_eq!(pair[0], pair[1], "{map:?}: from {input} to {output}");
            }
        }
    }
    Ok(())
}
