//! Missing pixels, blur and low resolution: operators on the device against SciPy, their
//! measurements and their noise.

use equilens::config::parse_toml;
use equilens::data::npy;
use equilens::error::{Error, Result};
use equilens::gpu::{Gpu, Selection};
use equilens::problems::{Problem, ProblemConfig};
use equilens::shape::Shape;
use equilens::tape::plan::{Options, Plan, Store};
use equilens::tape::{Tape, Var};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

fn store() -> Store {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    Store::new(GPU.get_or_init(|| Gpu::open(&Selection::default()).expect("an adapter")))
}

fn golden(name: &str) -> Vec<f32> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/blur");
    let file: PathBuf = directory.join(format!("{name}.npy"));
    npy::read_real_npy(&file).expect(name).data
}

/// The numbers of `tests/golden/blur/generate.py`.
fn pattern(count: usize, seed: u64) -> Vec<f32> {
    let value =
        |i: u64| ((i * i * 31 + i * 7919 + seed * 104_729) % 1021) as f32 / 512.0 - 510.0 / 512.0;
    (0..count as u64).map(value).collect()
}

fn problem(operator: &str, noise: &str) -> Problem {
    let text = format!("[operator]\n{operator}\n[noise]\n{noise}\n");
    let config: ProblemConfig = parse_toml("p.toml", &text).expect("parses");
    Problem::new(&config).expect("valid")
}

/// What `record` makes of `x` on the device, where it is the same for both items of a batch.
fn apply(item: Shape, x: &[f32], record: impl FnOnce(&mut Tape, Var) -> Result<Var>) -> Vec<f32> {
    let mut tape = Tape::new();
    let input = tape.input("x", item.with(0, 2));
    let output = record(&mut tape, input).expect("records");
    let plan = Plan::compile(&tape, &[output], &store(), Options::default()).expect("compiles");
    plan.run(&[("x", &x.repeat(2))]).expect("runs");
    let values = plan.read(output).expect("reads");
    let (first, second) = values.split_at(values.len() / 2);
    assert!(near(first, second) < 1e-6);
    first.to_vec()
}

/// The largest difference, relative to the largest expected value.
fn near(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0f32, |m, e| m.max(e.abs()));
    let worst = found.iter().zip(expected).map(|(f, e)| (f - e).abs());
    worst.fold(0.0, f32::max) / largest
}

#[track_caller]
fn assert_near(what: &str, found: &[f32], expected: &[f32]) {
    let error = near(found, expected);
    println!("{what}: {error:.1e}");
    assert!(error < 3e-6, "{what}: {error:.1e}");
}

/// Kernels as the problem file has them.
fn kernels(directory: &Path) -> [(&'static str, String); 4] {
    let uneven: Vec<f32> = (1..=20).map(|i| (i * i % 11) as f32).collect();
    let file = directory.join("uneven.npy");
    npy::write_npy(&file, &[4, 5], &uneven).expect("written");
    [
        ("uneven", format!("'{}'", file.display())),
        ("gaussian", "{ kind = \"gaussian\", sigma = 1.3 }".into()),
        (
            "motion",
            "{ kind = \"motion\", length = 7.5, angle = 25 }".into(),
        ),
        ("box", "{ kind = \"box\", size = [3, 6] }".into()),
    ]
}

#[test]
fn blurred_images_are_those_of_scipy() {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, kernel) in kernels(directory.path()) {
        for boundary in ["circular", "valid"] {
            let operator = problem(
                &format!(
                    "kind = \"blur\"\nimage_size = [23, 30]\nkernel = {kernel}\nboundary = \"{boundary}\""
                ),
                "kind = \"none\"",
            )
            .operator;
            let x = pattern(23 * 30, 1);
            let blurred = apply(operator.domain(), &x, |t, x| operator.forward(t, x));
            let key = format!("{boundary}_{name}");
            assert_near(&key, &blurred, &golden(&key));
            if boundary == "valid" {
                let y = pattern(operator.range().elements(), 2);
                let back = apply(operator.range(), &y, |t, y| operator.adjoint(t, y));
                let key = format!("adjoint_{name}");
                assert_near(&key, &back, &golden(&key));
                let direct = apply(operator.range(), &y, |t, y| operator.pseudo_inverse(t, y));
                assert_eq!(direct, back);
                assert_eq!(operator.pseudo_inverse_name(), "adjoint");
            } else {
                let y = pattern(23 * 30, 2);
                let direct = apply(operator.range(), &y, |t, y| operator.pseudo_inverse(t, y));
                if name == "gaussian" {
                    assert_near("tikhonov", &direct, &golden("tikhonov"));
                }
                // (A^T A + 0.01 |A|^2) x = 1.01 A^T y, with the norm 1 of a kernel of sum 1.
                let normal = apply(operator.domain(), &direct, |t, x| {
                    let ax = operator.forward(t, x)?;
                    let normal = operator.adjoint(t, ax)?;
                    let small = t.scale(x, 0.01);
                    t.add(normal, small)
                });
                let back = apply(operator.range(), &y, |t, y| {
                    let back = operator.adjoint(t, y)?;
                    Ok(t.scale(back, 1.01))
                });
                // The inverse amplifies up to five times, rounding too.
                let error = near(&normal, &back);
                assert!(error < 1e-5, "tikhonov {name}: {error:.1e}");
                assert_eq!(operator.pseudo_inverse_name(), "tikhonov");
            }
            assert_eq!(operator.measured(), operator.range().elements());
        }
    }
}

#[test]
fn downsampled_images_are_those_of_scipy() {
    let directory = tempfile::tempdir().expect("a directory");
    let [(_, uneven), ..] = kernels(directory.path());
    let x = pattern(24 * 30, 1);
    for (name, kernel) in [
        ("down_mean", String::new()),
        ("down_uneven", format!("kernel = {uneven}")),
    ] {
        let operator = problem(
            &format!("kind = \"downsampling\"\nimage_size = [24, 30]\nfactor = 3\n{kernel}"),
            "kind = \"none\"",
        )
        .operator;
        assert_eq!(operator.range(), Shape::new(1, 1, 8, 10));
        assert_eq!(operator.measured(), 80);
        let small = apply(operator.domain(), &x, |t, x| operator.forward(t, x));
        assert_near(name, &small, &golden(name));
        let again = apply(operator.range(), &small, |t, y| {
            let x = operator.pseudo_inverse(t, y)?;
            operator.forward(t, x)
        });
        if name == "down_mean" {
            assert_near("A A^+ y", &again, &small);
            let filled = apply(operator.range(), &small, |t, y| {
                operator.pseudo_inverse(t, y)
            });
            for (i, value) in filled.iter().enumerate() {
                assert_eq!(*value, small[i / 30 / 3 * 10 + i % 30 / 3], "replicated");
            }
        }
    }
    let operator = problem(
        "kind = \"downsampling\"\nimage_size = [10, 14]\nkernel = { kind = \"gaussian\", sigma = 1.0, size = 4 }",
        "kind = \"none\"",
    )
    .operator;
    let y = pattern(35, 2);
    let direct = apply(operator.range(), &y, |t, y| operator.pseudo_inverse(t, y));
    assert_near("down_tikhonov", &direct, &golden("down_tikhonov"));
}

#[test]
fn nothing_is_measured_where_pixels_are_missing() {
    for (mask, measured) in [
        ("{ kind = \"random\", share = 0.3, seed = 4 }", 120),
        ("{ kind = \"hole\", size = [7, 10], at = [0, 6] }", 330),
        ("{ kind = \"hole\", size = 5 }", 375),
    ] {
        let problem = problem(
            &format!("kind = \"inpainting\"\nimage_size = [20, 20]\nmask = {mask}"),
            "kind = \"gaussian\"\nsigma = 0.1",
        );
        assert_eq!(problem.operator.measured(), measured, "{mask}");
        let shape = Shape::new(3, 1, 20, 20);
        let images = vec![0.5; 1200];
        let y = (problem.simulate(&store(), &images, shape, 2)).expect("simulates");
        let zeros = y.iter().filter(|&&v| v == 0.0).count();
        assert_eq!(zeros, 3 * (400 - measured), "{mask}");
        // The same pixels of every image, with other noise.
        for pixel in 0..400 {
            let [a, b] = [y[pixel], y[400 + pixel]];
            assert_eq!(a == 0.0, b == 0.0);
            assert!(a == 0.0 || a != b);
        }
        let residuals = y.iter().filter(|&&v| v != 0.0).map(|v| f64::from(*v) - 0.5);
        let variance = residuals.map(|r| r * r).sum::<f64>() / (3 * measured) as f64;
        let error = 5.0 * (2.0 / (3 * measured) as f64).sqrt();
        assert!((variance / 0.01 - 1.0).abs() < error, "{variance}");
    }
    let hole = problem(
        "kind = \"inpainting\"\nimage_size = [4, 5]\nmask = { kind = \"hole\", size = [1, 2], at = [2, 3] }",
        "kind = \"none\"",
    );
    let x = pattern(20, 1);
    let y = apply(hole.operator.domain(), &x, |t, x| {
        hole.operator.forward(t, x)
    });
    for (i, (y, x)) in y.iter().zip(&x).enumerate() {
        let expected = if i == 13 || i == 14 { 0.0 } else { *x };
        assert_eq!(*y, expected);
    }
}

#[test]
fn black_images_have_no_negative_counts_and_negative_ones_are_refused() {
    // The Fourier domain leaves numbers such as -1e-9 where a blurred image is black.
    let mut images = vec![0.0; 3 * 24 * 24];
    for (i, image) in images.chunks_mut(576).enumerate() {
        image[100 * (i + 1)] = [1.0, 40.0, 3e-3][i];
    }
    let shape = Shape::new(3, 1, 24, 24);
    for operator in [
        "kind = \"blur\"\nimage_size = 24\nkernel = { kind = \"gaussian\", sigma = 1.0 }",
        "kind = \"blur\"\nimage_size = 24\nkernel = { kind = \"box\", size = 3 }\nboundary = \"valid\"",
        "kind = \"downsampling\"\nimage_size = 24\nkernel = { kind = \"gaussian\", sigma = 1.0 }",
    ] {
        let clean = problem(operator, "kind = \"none\"");
        let rounded = clean
            .simulate(&store(), &images, shape, 1)
            .expect("simulates");
        assert!(
            rounded.iter().any(|&v| v < 0.0),
            "the case does not occur: {operator}"
        );
        let counted = problem(operator, "kind = \"poisson\"\ngain = 1e-4");
        let y = counted
            .simulate(&store(), &images, shape, 1)
            .expect("simulates");
        assert!(y.iter().all(|&v| v >= 0.0));
        let [sum, expected] = [&y, &rounded].map(|y| y.iter().map(|&v| f64::from(v)).sum::<f64>());
        assert!(
            (sum - expected).abs() < 5.0 * (1e-4 * expected).sqrt(),
            "{sum} {expected}"
        );
        let mut negative = images.clone();
        negative[400] = -1e-2;
        let error = (counted.simulate(&store(), &negative, shape, 1)).expect_err("refused");
        assert!(matches!(error, Error::NotFinite(_)), "{error:?}");
        assert!(error.to_string().contains("image 0"), "{error}");
    }
}

#[test]
fn images_of_another_size_are_refused_with_both() {
    for operator in [
        "kind = \"inpainting\"\nimage_size = [8, 12]",
        "kind = \"blur\"\nimage_size = [8, 12]",
        "kind = \"downsampling\"\nimage_size = [8, 12]",
    ] {
        let problem = problem(operator, "kind = \"none\"");
        // There are no finer grids.
        let shape = Shape::new(1, 1, 16, 24);
        let error = problem
            .simulate(&store(), &[0.5; 384], shape, 1)
            .expect_err("refused");
        let message = error.to_string();
        assert!(message.contains("16 rows and 24 columns"), "{message}");
        assert!(!message.contains("multiple"), "{message}");
        let error = problem.config.operator.build(2).err().expect("refused");
        assert!(matches!(error, Error::Config(_)), "{error:?}");
        let mut tape = Tape::new();
        let x = tape.input("x", Shape::new(1, 1, 12, 8));
        for result in [
            problem.operator.forward(&mut tape, x),
            problem.operator.adjoint(&mut tape, x),
            problem.operator.pseudo_inverse(&mut tape, x),
        ] {
            assert!(matches!(result, Err(Error::Shape { .. })), "{operator}");
        }
    }
}

/// A directory with files that problems name.
fn place() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, shape: &[usize], values: &[f32]| {
        npy::write_npy(directory.path().join(name), shape, values).expect("written");
    };
    write("mask.npy", &[3, 4], &[1.0, 0.0, 1.0].repeat(4));
    write("kernel.npy", &[2, 3], &[1.0, 2.0, 1.0, 0.0, -1.0, 1.0]);
    write("cube.npy", &[1, 2, 3], &[1.0; 6]);
    write("odd.npy", &[1, 2], &[1.0, -1.0]);
    write("nan.npy", &[1, 2], &[1.0, f32::NAN]);
    directory
}

fn load(directory: &Path, text: &str) -> Result<Problem> {
    std::fs::write(directory.join("p.toml"), text).expect("written");
    Problem::load(&directory.join("p.toml"))
}

#[test]
fn problems_are_written_out_with_every_default() {
    let directory = place();
    for (operator, written) in [
        (
            "kind = \"inpainting\"",
            &["image_size = 256", "share = 0.5", "seed = 0"][..],
        ),
        (
            "kind = \"inpainting\"\nimage_size = [9, 12]\nmask = { kind = \"hole\", size = [4, 3] }",
            &["at = [\n    2,\n    4,\n]"],
        ),
        (
            "kind = \"inpainting\"\nimage_size = [3, 4]\nmask = \"mask.npy\"",
            &["/mask.npy"],
        ),
        (
            "kind = \"blur\"",
            &["sigma = 2.0", "size = 17", "boundary = \"circular\""],
        ),
        (
            "kind = \"blur\"\nimage_size = [2, 3]\nkernel = \"kernel.npy\"\nboundary = \"valid\"",
            &["/kernel.npy", "boundary = \"valid\""],
        ),
        (
            "kind = \"blur\"\nkernel = { kind = \"motion\", length = 9 }",
            &["angle = 0.0"],
        ),
        (
            "kind = \"downsampling\"",
            &["factor = 2", "kind = \"box\"", "size = 2"],
        ),
        (
            "kind = \"downsampling\"\nimage_size = 9\nfactor = 3\nkernel = { kind = \"gaussian\", sigma = 1.5 }",
            &["size = 13"],
        ),
        (
            "kind = \"downsampling\"\nkernel = { kind = \"gaussian\", sigma = 1 }",
            &["size = 10"],
        ),
        (
            "kind = \"downsampling\"\nkernel = \"kernel.npy\"",
            &["/kernel.npy"],
        ),
    ] {
        let problem = load(directory.path(), &format!("[operator]\n{operator}")).expect(operator);
        let text = toml::to_string_pretty(&problem.config).expect("TOML");
        for part in written {
            assert!(text.contains(part), "no {part} in {text}");
        }
        let again: ProblemConfig = parse_toml("again.toml", &text).expect("parses");
        assert_eq!(again, problem.config, "{text}");
        assert_eq!(again.resolved().expect("valid"), again);
    }
}

#[test]
fn unusable_settings_name_their_key() {
    let directory = place();
    let inpainting = "kind = \"inpainting\"\nimage_size = [3, 5]\n";
    let blur = "kind = \"blur\"\nimage_size = [8, 9]\n";
    let downsampling = "kind = \"downsampling\"\nimage_size = [8, 9]\n";
    for (operator, settings, words) in [
        (
            inpainting,
            "mask = { kind = \"random\", share = 0.0 }",
            &["operator.mask.share"][..],
        ),
        (
            inpainting,
            "mask = { kind = \"random\", share = nan }",
            &["operator.mask.share", "NaN"],
        ),
        (
            inpainting,
            "mask = { kind = \"random\", shared = 0.5 }",
            &["shared", "`share`"],
        ),
        (
            inpainting,
            "mask = { kind = \"radnom\" }",
            &["radnom", "`random`"],
        ),
        (
            inpainting,
            "mask = { kind = \"hole\" }",
            &["`size`", "missing"],
        ),
        (
            inpainting,
            "mask = { kind = \"hole\", size = 4 }",
            &["operator.mask.size = 4"],
        ),
        (
            inpainting,
            "mask = { kind = \"hole\", size = [3, 5] }",
            &["operator.mask.size", "3x5"],
        ),
        (
            inpainting,
            "mask = { kind = \"hole\", size = 0 }",
            &["operator.mask.size = 0"],
        ),
        (
            inpainting,
            "mask = { kind = \"hole\", size = 2, at = [1, 4] }",
            &["operator.mask.at = 4"],
        ),
        (
            inpainting,
            "mask = \"mask.npy\"",
            &["mask.npy", "3x4", "3x5"],
        ),
        (inpainting, "mask = \"absent.npy\"", &["absent.npy"]),
        (
            inpainting,
            "kernel = \"kernel.npy\"",
            &["operator.kernel", "`mask`"],
        ),
        (
            "kind = \"inpainting\"\nimage_size = 0\n",
            "",
            &["operator.image_size"],
        ),
        (blur, "image_sise = 3", &["image_sise", "`image_size`"]),
        (
            blur,
            "kernel = { kind = \"gaussian\" }",
            &["`sigma`", "missing"],
        ),
        (
            blur,
            "kernel = { kind = \"gaussian\", sigma = 0 }",
            &["operator.kernel.sigma = 0"],
        ),
        (
            blur,
            "kernel = { kind = \"gaussian\", sigma = inf }",
            &["operator.kernel.sigma"],
        ),
        (
            blur,
            "kernel = { kind = \"gaussian\", sigma = 1, size = 0 }",
            &["operator.kernel.size"],
        ),
        (
            blur,
            "kernel = { kind = \"gaussian\", sigma = 0.01, size = 2 }",
            &["operator.kernel"],
        ),
        (
            blur,
            "kernel = { kind = \"motion\", length = 0.5 }",
            &["operator.kernel.length = 0.5"],
        ),
        (
            blur,
            "kernel = { kind = \"motion\", length = 5, angle = 400 }",
            &["operator.kernel.angle = 400"],
        ),
        (
            blur,
            "kernel = { kind = \"motoin\", length = 5 }",
            &["motoin", "`motion`"],
        ),
        (
            blur,
            "kernel = { kind = \"box\", size = 0 }",
            &["operator.kernel.size = 0"],
        ),
        (
            blur,
            "boundary = \"reflect\"",
            &["operator.boundary", "reflect", "circular"],
        ),
        (
            blur,
            "boundary = \"valid\"\nkernel = { kind = \"box\", size = [9, 2] }",
            &["operator.kernel", "9x2", "8x9", "circular"],
        ),
        (blur, "kernel = \"cube.npy\"", &["cube.npy", "[1, 2, 3]"]),
        (blur, "kernel = \"odd.npy\"", &["odd.npy", "sum is 0"]),
        (blur, "kernel = \"nan.npy\"", &["nan.npy"]),
        (blur, "kernel = \"absent.npy\"", &["absent.npy"]),
        (blur, "kernel = 3", &["operator.kernel", ".npy"]),
        (
            downsampling,
            "factor = 2",
            &["operator.factor = 2", "8 rows and 9 columns"],
        ),
        (downsampling, "factor = 0", &["operator.factor = 0"]),
        (downsampling, "factr = 2", &["factr", "`factor`"]),
        (
            "kind = \"downsampling\"\n",
            "kernel = { kind = \"gaussian\", sigma = -1 }",
            &["operator.kernel.sigma = -1"],
        ),
        (
            inpainting,
            "[noise]\nkind = \"low_dose_ct\"",
            &["noise.kind", "inpainting", "poisson"],
        ),
        (
            blur,
            "[noise]\nkind = \"low_dose_ct\"",
            &["noise.kind", "blur"],
        ),
        (
            blur,
            "[noise]\nkind = \"gaussian\"\nsigma = -1.0",
            &["noise.sigma"],
        ),
        (
            "kind = \"downsampling\"\n",
            "[phase]\nradians = 1.0",
            &["[phase]", "downsampling"],
        ),
    ] {
        let text = format!("[operator]\n{operator}{settings}\n");
        let error = load(directory.path(), &text).expect_err(&text);
        let typed = matches!(
            error,
            Error::Config(_) | Error::Data { .. } | Error::Io { .. } | Error::NotFinite(_)
        );
        assert!(typed, "{error:?}");
        let message = error.to_string();
        assert!(!message.contains('\n'), "{message}");
        for word in words {
            assert!(message.contains(word), "no {word} in {message}");
        }
    }
}
