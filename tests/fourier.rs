//! Fourier transforms on the device: every kind of size against the twin, what must hold of any
//! Fourier transform, and NumPy's numbers.

use equilens::error::{Error, Result};
use equilens::gpu::{Gpu, Selection};
use equilens::reference::fourier::transform;
use equilens::reference::random::{Draw, normal, uniform};
use equilens::shape::{Fourier, FourierScale, FourierValues, Shape};
use equilens::tape::plan::{Options, Plan, Store};
use equilens::tape::{Tape, Var};
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// What the norm of an error may be of the result's.
const BOUND: f64 = 1e-6;

fn store() -> Store {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    Store::new(GPU.get_or_init(|| Gpu::open(&Selection::default()).expect("an adapter")))
}

fn noise(stream: u32, len: usize) -> Vec<f32> {
    let normal = normal(Draw::new(1, stream), len);
    normal.into_iter().map(|v| v as f32).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// What `record` makes of the inputs on the device.
fn run(
    inputs: &[(&[f32], Shape)],
    record: impl FnOnce(&mut Tape, &[Var]) -> Result<Var>,
) -> Vec<f32> {
    let mut tape = Tape::new();
    let names: Vec<String> = (0..inputs.len()).map(|k| format!("x{k}")).collect();
    let vars: Vec<Var> = (names.iter().zip(inputs))
        .map(|(name, (_, shape))| tape.input(name, *shape))
        .collect();
    let y = record(&mut tape, &vars).expect("records");
    let plan = Plan::compile(&tape, &[y], &store(), Options::default()).expect("compiles");
    for (name, (values, _)) in names.iter().zip(inputs) {
        plan.write(name, values).expect("fits");
    }
    plan.submit();
    plan.read(y).expect("reads")
}

fn transformed(x: &[f32], shape: Shape, fourier: Fourier) -> Vec<f32> {
    run(&[(x, shape)], |tape, x| tape.fourier(x[0], fourier))
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|v| v * v).sum::<f64>().sqrt()
}

#[track_caller]
fn assert_near(found: &[f32], expected: &[f64], bound: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let differences: Vec<f64> = (found.iter().zip(expected))
        .map(|(&f, e)| f64::from(f) - e)
        .collect();
    let (error, size) = (norm(&differences), norm(expected));
    assert!(error <= bound * size, "{what}: {:e}", error / size);
}

/// Sizes that stand for their kinds, and some at random: `EQUILENS_SEED` repeats them.
#[test]
fn sizes_up_to_2048_are_within_a_millionth() {
    let mut sizes = BTreeSet::from([
        1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 16, 17, 31, 49, 121, 169, 289, 361, 441, 640, 997, 1009,
        1331, 1369, 1849, 2039, 2047, 2048,
    ]);
    let seed = std::env::var("EQUILENS_SEED").ok();
    let seed = seed.and_then(|s| s.parse().ok());
    let seed = seed.unwrap_or_else(equilens::check::fresh_seed);
    let random = uniform(Draw::new(seed, 9), 16);
    sizes.extend(random.into_iter().map(|u| 1 + (2047.0 * u) as usize));
    let mut worst = (0.0, 0);
    for n in sizes {
        let shape = Shape::new(1, 2, 2, n);
        let x = noise(n as u32, shape.elements());
        let twin = transform(&wide(&x), shape, Fourier::lines()).value;
        let found = transformed(&x, shape, Fourier::lines());
        assert_near(&found, &twin, BOUND, &format!("{n} (seed {seed})"));
        let error: Vec<f64> = (found.iter().zip(&twin))
            .map(|(&f, t)| f64::from(f) - t)
            .collect();
        let relative = norm(&error) / norm(&twin);
        if relative > worst.0 {
            worst = (relative, n);
        }
    }
    println!("worst: {:e} at {}", worst.0, worst.1);
}

/// Every size: on request, because each compiles kernels of its own.
#[test]
#[ignore = "every size up to 2048 takes a quarter of an hour"]
fn every_size_up_to_2048_is_within_a_millionth() {
    for n in 1..=2048 {
        let shape = Shape::new(1, 2, 2, n);
        let x = noise(n as u32, shape.elements());
        let twin = transform(&wide(&x), shape, Fourier::lines()).value;
        let found = transformed(&x, shape, Fourier::lines());
        assert_near(&found, &twin, BOUND, &format!("{n}"));
    }
}

#[test]
#[ignore = "a plane of 128 MiB needs two gigabytes and a minute"]
fn a_plane_of_4096_by_4096_is_within_a_millionth() {
    let shape = Shape::new(1, 2, 4096, 4096);
    let x = noise(1, shape.elements());
    let found = transformed(&x, shape, Fourier::planes());
    let twin = transform(&wide(&x), shape, Fourier::planes()).value;
    assert_near(&found, &twin, BOUND, "4096 x 4096");
    let differences: Vec<f64> = (found.iter().zip(&twin))
        .map(|(&f, t)| f64::from(f) - t)
        .collect();
    println!("error: {:e}", norm(&differences) / norm(&twin));
}

/// Non-square, odd and prime extents, several pairs.
fn planes() -> [Shape; 4] {
    [
        Shape::new(1, 2, 37, 64),
        Shape::new(2, 2, 21, 10),
        Shape::new(1, 6, 48, 17),
        Shape::new(1, 2, 210, 96),
    ]
}

#[test]
fn round_trips_return_and_unitary_ones_keep_the_norm() {
    for shape in planes() {
        let x = noise(1, shape.elements());
        for base in [Fourier::lines(), Fourier::planes()] {
            for scale in [FourierScale::Unitary, FourierScale::Sum, FourierScale::Mean] {
                let map = base.scaled(scale);
                let back = run(&[(&x, shape)], |tape, x| {
                    let y = tape.fourier(x[0], map)?;
                    tape.fourier(y, map.inverse())
                });
                assert_near(&back, &wide(&x), BOUND, &format!("{map:?} {shape}"));
            }
            let y = transformed(&x, shape, base);
            let ratio = norm(&wide(&y)) / norm(&wide(&x));
            assert!((ratio - 1.0).abs() < 3e-7, "{base:?} {shape}: {ratio}");
        }
    }
}

#[test]
fn a_shift_multiplies_the_spectrum_by_a_wave() {
    for shape in planes() {
        let (h, w) = (shape.h(), shape.w());
        let x = noise(1, shape.elements());
        let (down, right) = (h / 3 + 1, w / 2);
        let mut shifted = x.clone();
        for (i, value) in shifted.iter_mut().enumerate() {
            let (plane, row, column) = (i / (h * w), i / w % h, i % w);
            let source = (row + h - down) % h * w + (column + w - right) % w;
            *value = x[plane * h * w + source];
        }
        let y = wide(&transformed(&x, shape, Fourier::planes()));
        let found = transformed(&shifted, shape, Fourier::planes());
        let mut expected = y.clone();
        for pair in 0..shape.n() * shape.c() / 2 {
            for k in 0..h * w {
                let turns = (k / w * down) as f64 / h as f64 + (k % w * right) as f64 / w as f64;
                let (sin, cos) = (-std::f64::consts::TAU * turns.fract()).sin_cos();
                let re = 2 * pair * h * w + k;
                let im = re + h * w;
                expected[re] = cos * y[re] - sin * y[im];
                expected[im] = sin * y[re] + cos * y[im];
            }
        }
        assert_near(&found, &expected, BOUND, &format!("{shape}"));
    }
}

#[test]
fn transforms_are_linear_and_adjoints_exact() {
    for shape in planes() {
        let (a, b) = (noise(1, shape.elements()), noise(2, shape.elements()));
        let map = Fourier::planes();
        let both: Vec<f32> = a.iter().zip(&b).map(|(a, b)| 0.5 * a - 2.0 * b).collect();
        let [ya, yb] = [&a, &b].map(|x| wide(&transformed(x, shape, map)));
        let expected: Vec<f64> = ya.iter().zip(&yb).map(|(a, b)| 0.5 * a - 2.0 * b).collect();
        let found = transformed(&both, shape, map);
        assert_near(&found, &expected, BOUND, &format!("{shape}"));
        let back = wide(&transformed(&b, shape, map.adjoint()));
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let (left, right) = (dot(&ya, &wide(&b)), dot(&wide(&a), &back));
        let scale = norm(&ya) * norm(&wide(&b));
        assert!((left - right).abs() <= BOUND * scale, "{shape}");
    }
}

#[test]
fn real_sides_are_parts_of_the_complex_transform() {
    let complex = Shape::new(2, 4, 12, 17);
    let real = complex.with(1, 2);
    let x = noise(1, real.elements());
    let from_real = Fourier::planes().with_values(FourierValues::FromReal);
    let twin = transform(&wide(&x), real, from_real).value;
    assert_near(&transformed(&x, real, from_real), &twin, BOUND, "from real");
    let back = run(&[(&x, real)], |tape, x| {
        let y = tape.fourier(x[0], from_real)?;
        tape.fourier(y, from_real.inverse())
    });
    assert_near(&back, &wide(&x), BOUND, "and back");
    let y = noise(2, complex.elements());
    let to_real = from_real.adjoint();
    let twin = transform(&wide(&y), complex, to_real).value;
    assert_near(&transformed(&y, complex, to_real), &twin, BOUND, "to real");
}

#[test]
fn convolutions_wrap_around() {
    let shape = Shape::new(2, 2, 9, 14);
    let (h, w) = (shape.h(), shape.w());
    let (x, kernel) = (noise(1, shape.elements()), noise(2, h * w));
    let one = Shape::new(1, 1, h, w);
    let found = run(&[(&x, shape), (&kernel, one)], |tape, inputs| {
        let to_spectrum = Fourier::planes()
            .scaled(FourierScale::Sum)
            .with_values(FourierValues::FromReal);
        let spectrum = tape.fourier(inputs[1], to_spectrum)?;
        tape.convolve_periodic(inputs[0], spectrum)
    });
    // The kernel is real: planes are convolved apart from each other.
    let expected: Vec<f64> = (0..shape.elements())
        .map(|i| {
            let (plane, row, column) = (i / (h * w), i / w % h, i % w);
            let term = |k: usize| {
                let source = (row + h - k / w) % h * w + (column + w - k % w) % w;
                f64::from(kernel[k]) * f64::from(x[plane * h * w + source])
            };
            (0..h * w).map(term).sum()
        })
        .collect();
    assert_near(&found, &expected, 2.0 * BOUND, "convolution");
}

#[test]
fn numpy_says_the_same() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/fourier/fourier.json"
    );
    let text = std::fs::read_to_string(path).expect("the golden file");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let cases = json["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 14);
    for case in cases {
        let whole = |key: &str| case[key].as_u64().expect("a size") as usize;
        let list = |key: &str| case[key].as_array().expect("a list");
        let number = |value: &serde_json::Value| value.as_f64().expect("a number");
        let shape = Shape::new(1, 2, whole("rows"), whole("columns"));
        let x: Vec<f32> = (0..shape.elements() as u64)
            .map(|j| ((7919 * j * j + 104_729 * j + 12_345) % 1021) as f32 / 512.0 - 1.0)
            .collect();
        let inverse = case["inverse"].as_bool().expect("a direction");
        let map = match inverse {
            false => Fourier::planes(),
            true => Fourier::planes().inverse(),
        };
        let y = transformed(&x, shape, map);
        let (w, plane) = (shape.w(), shape.h() * shape.w());
        let size = number(&case["norm"]);
        assert!((norm(&wide(&y)) / size - 1.0).abs() < 1e-6);
        let rows = list("crop_rows").iter();
        let places: Vec<usize> = rows
            .flat_map(|r| {
                let columns = list("crop_columns").iter();
                columns.map(move |c| number(r) as usize * w + number(c) as usize)
            })
            .collect();
        for (parts, offset) in [("real", 0), ("imaginary", plane)] {
            for (expected, place) in list(parts).iter().zip(&places) {
                let error = f64::from(y[place + offset]) - number(expected);
                // One number beside the norm of all.
                let share = size / (shape.elements() as f64 / 2.0).sqrt();
                assert!(
                    error.abs() <= 2e-6 * share,
                    "{shape} {inverse} {place}: {error:e}"
                );
            }
        }
    }
}

#[test]
fn what_is_no_pair_or_empty_is_refused() {
    let mut tape = Tape::new();
    let one = tape.input("one", Shape::new(1, 3, 4, 4));
    let two = tape.input("two", Shape::new(1, 2, 4, 4));
    let other = tape.input("other", Shape::new(1, 4, 4, 5));
    let errors = [
        tape.fourier(one, Fourier::planes()),
        tape.fourier(one, Fourier::lines().with_values(FourierValues::ToReal)),
        tape.complex_mul(one, two, false),
        tape.complex_mul(two, other, true),
        tape.complex_sum(other, Shape::new(1, 3, 4, 5)),
        tape.complex_sum(other, Shape::new(1, 2, 2, 5)),
    ];
    for error in errors {
        assert!(matches!(error, Err(Error::Shape { .. })), "{error:?}");
    }
    let sum = tape
        .complex_sum(other, Shape::new(1, 2, 1, 5))
        .expect("fits");
    assert_eq!(sum.shape(), Shape::new(1, 2, 1, 5));
}
