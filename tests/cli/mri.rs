//! Magnetic resonance imaging: k-space against NumPy, the way from images to scores, and what is
//! refused.

use super::place::{Place, discs};
use equilens::data::npy;
use num_complex::Complex32;
use std::path::Path;

const PROBLEM: &str = r#"
[operator]
kind = "fourier"
image_size = 16
mask = { kind = "cartesian", lines = 8, centre = 4, seed = 1 }
[noise]
kind = "gaussian"
sigma = 0.005
"#;

const COILS: &str = r#"
[operator]
kind = "fourier"
image_size = 16
mask = { kind = "cartesian", lines = 8, centre = 4, density = "uniform" }
coils = { kind = "birdcage", count = 4 }
centred = true
[noise]
kind = "gaussian"
sigma = 5e-4
"#;

/// The numbers of `tests/golden/mri/generate.py`.
fn pattern(count: usize, seed: u64) -> Vec<Complex32> {
    let value =
        |i: u64| ((i * i * 31 + i * 7919 + seed * 104_729) % 1021) as f32 / 512.0 - 510.0 / 512.0;
    let pair = |i: u64| Complex32::new(value(2 * i), value(2 * i + 1));
    (0..count as u64).map(pair).collect()
}

#[test]
fn the_operator_agrees_with_numpy() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mri");
    let case: serde_json::Value =
        serde_json::from_slice(&std::fs::read(golden.join("case.json")).unwrap()).unwrap();
    let place = Place::new();
    for [rows, columns] in [[320, 320], [37, 64], [210, 96]] {
        for (name, coils) in [("one", 1), ("coils", 3)] {
            let plane = rows * columns;
            // The centred mask is the other one with its rows turned by half.
            let shift = if coils == 1 { 0 } else { rows - rows / 2 };
            let lines: Vec<f32> = (0..rows)
                .map(|r| (r + shift) % rows)
                .map(|r| f32::from(u8::from(r.min(rows - r) < 4 || 7 * r * r % 11 < 4)))
                .collect();
            npy::write_npy(place.path("mask.npy"), &[rows, 1], &lines).unwrap();
            let maps = pattern(coils * plane, 3);
            npy::write_npy(place.path("maps.npy"), &[coils, rows, columns], &maps).unwrap();
            let several = "coils = \"maps.npy\"\ncentred = true\n";
            place.text(
                "mri.toml",
                &format!(
                    "[operator]\nkind = \"fourier\"\nimage_size = [{rows}, {columns}]\nmask = \"mask.npy\"\n{}",
                    if coils == 1 { "" } else { several }
                ),
            );
            npy::write_npy(place.path("x.npy"), &[rows, columns], &pattern(plane, 1)).unwrap();
            let (shape, several) = ([rows, columns], [coils, rows, columns]);
            let shape = if coils == 1 { &shape[..] } else { &several };
            npy::write_npy(place.path("k.npy"), shape, &pattern(coils * plane, 2)).unwrap();
            for (which, input, expected_shape) in [
                ("forward", "x.npy", shape),
                ("adjoint", "k.npy", &[rows, columns][..]),
            ] {
                place.json(&format!(
                    "operator {which} --problem mri.toml --input {input} --out out.npy"
                ));
                let found = npy::read_complex_npy(place.path("out.npy")).unwrap();
                assert_eq!(found.shape, expected_shape);
                let key = format!("{rows}x{columns}_{name}_{which}");
                let expected = npy::read_real_npy(golden.join(format!("{key}.npy"))).unwrap();
                let stride = case[&key]["stride"].as_u64().unwrap() as usize;
                let kept = found.data.iter().step_by(stride);
                assert_eq!(kept.len(), expected.data.len() / 2);
                let (mut error, mut largest) = (0.0_f32, 0.0_f32);
                for (f, e) in kept.zip(expected.data.chunks(2)) {
                    let e = Complex32::new(e[0], e[1]);
                    error = error.max((f - e).norm());
                    largest = largest.max(e.norm());
                }
                println!("{key}: {:.1e}", error / largest);
                assert!(error <= 2e-6 * largest, "{key}: {error} of {largest}");
                let energy: f64 = (found.data.iter()).map(|z| f64::from(z.norm_sqr())).sum();
                let expected = case[&key]["energy"].as_f64().unwrap();
                assert!(
                    (energy / expected - 1.0).abs() < 2e-6,
                    "{key}: {energy} {expected}"
                );
            }
        }
    }
}

#[test]
fn the_way_from_images_to_scores() {
    let place = Place::new();
    let truth = discs(3, 16);
    for (text, coils) in [(PROBLEM, 1), (COILS, 4)] {
        place.text("mri.toml", text);
        let simulate = "simulate --problem mri.toml --images images.npy";
        let simulated = place.json(&format!("{simulate} --out k.npy --seed 7"));
        let shape = if coils == 1 {
            vec![16, 16]
        } else {
            vec![4, 16, 16]
        };
        assert_eq!(simulated["shape"], serde_json::json!(shape));
        let k = npy::read_complex_npy(place.path("k.npy")).unwrap();
        assert_eq!(k.shape[0], 3);
        assert_eq!(k.shape[1..], shape);
        let zeros = k.data.iter().filter(|z| z.norm() == 0.0).count();
        assert_eq!(zeros, 3 * coils * 8 * 16);

        let error = |name: &str| {
            let images = npy::read_complex_npy(place.path(name)).unwrap();
            assert_eq!(images.shape, [3, 16, 16]);
            let pairs = images.data.iter().zip(&truth);
            let squares: f64 = pairs.map(|(a, b)| f64::from(a.norm() - b).powi(2)).sum();
            (squares / truth.len() as f64).sqrt()
        };
        let mut errors = Vec::new();
        for method in [
            "zero-filled",
            "root-sum-of-squares",
            "cg-sense",
            "tv",
            "landweber",
        ] {
            place.json(&format!(
                "classical {method} --problem mri.toml --input k.npy --out {method}.npy --png {method}"
            ));
            errors.push(error(&format!("{method}.npy")));
            assert!(place.path(method).join("002.png").is_file());
        }
        println!("{coils} coils: {errors:?}");
        let [zero, root, sense, tv, _] = errors[..] else {
            unreachable!()
        };
        if coils == 1 {
            assert!((zero - root).abs() < 1e-6, "one coil: the magnitude");
        } else {
            // Coils tell apart what aliasing folds together.
            assert!(sense < 0.25 * zero, "{sense} {zero}");
        }
        assert!(tv < 0.6 * zero, "{tv} {zero}");
        let real = npy::read_npy(place.path("root-sum-of-squares.npy")).unwrap();
        assert!(matches!(real, equilens::data::AnyArray::Real(_)));
        let norm = place.json("operator norm --problem mri.toml");
        let norm = norm["norm"].as_f64().unwrap();
        assert!(norm <= 1.0 + 1e-5 && norm > 0.9, "{norm}");
    }

    place.text("mri.toml", PROBLEM);
    place.json("simulate --problem mri.toml --images images.npy --out k.npy");
    let config = std::fs::read_to_string(place.path("train.toml")).unwrap();
    place.text(
        "mri-train.toml",
        &config.replace("problem.toml", "mri.toml"),
    );
    let trained = place.json("train mri-train.toml --out run");
    assert!(trained["validation_psnr"].as_f64().unwrap().is_finite());
    let told = place.json("reconstruct run --input k.npy --out u.npy --png pictures");
    assert_eq!(told["images"], 3);
    let images = npy::read_complex_npy(place.path("u.npy")).unwrap();
    assert_eq!(images.shape, [3, 16, 16]);
    assert!(place.path("pictures/000.png").is_file());
    let scores = place.json("evaluate run --images images.npy --rotate 3 --out scores");
    let methods = scores["methods"].as_array().unwrap();
    let names: Vec<_> = methods.iter().map(|m| m["name"].as_str()).collect();
    assert_eq!(names, ["zero-filled", "tv", "equivariant"].map(Some));
    for method in methods {
        for set in ["upright", "rotated"] {
            assert!(
                method[set]["psnr"].as_f64().unwrap().is_finite(),
                "{method}"
            );
        }
    }
    assert!(place.path("scores/rotated/zero-filled.npy").is_file());
    assert!(place.path("scores/upright/002.png").is_file());
    refused(&place);
}

/// What does not fit MRI, or not this problem.
fn refused(place: &Place) {
    place.text("coils.toml", COILS);
    npy::write_npy(place.path("real.npy"), &[3, 16, 16], &[0.5_f32; 768]).unwrap();
    let eight = vec![Complex32::new(1.0, 0.0); 8 * 256];
    npy::write_npy(place.path("eight.npy"), &[8, 16, 16], &eight).unwrap();
    for (arguments, code, named) in [
        (
            "classical fbp --problem mri.toml --input k.npy --out out.npy",
            2,
            &["fbp", "ray_transform", "fourier", "zero-filled"][..],
        ),
        (
            "classical zero-filled --problem problem.toml --input y.npy --out out.npy",
            2,
            &["zero-filled", "fourier", "ray_transform", "fbp"],
        ),
        (
            "classical zero-filled --problem mri.toml --input real.npy --out out.npy",
            4,
            &["real.npy", "complex64"],
        ),
        (
            "operator adjoint --problem mri.toml --input real.npy --out out.npy",
            4,
            &["real.npy", "complex"],
        ),
        (
            "reconstruct run --input real.npy --out out.npy",
            4,
            &["real.npy", "complex"],
        ),
        (
            "classical cgls --problem coils.toml --input k.npy --out out.npy",
            4,
            &["k.npy", "4 coils"],
        ),
        (
            "classical tv --problem coils.toml --input eight.npy --out out.npy",
            4,
            &["eight.npy", "4 coils", "[8, 16, 16]"],
        ),
        (
            "simulate --problem mri.toml --images small.npy --out out.npy",
            4,
            &["small.npy", "15 rows", "16"],
        ),
        (
            "evaluate run --images small.npy",
            4,
            &["small.npy", "15 rows"],
        ),
    ] {
        place.refused(arguments, code, named);
    }
    let mask = |shape: &[usize], value: f32| {
        let count = shape.iter().product();
        npy::write_npy(place.path("mask.npy"), shape, &vec![value; count]).unwrap();
    };
    place.text(
        "masked.toml",
        "[operator]\nkind = \"fourier\"\nimage_size = 16\nmask = \"mask.npy\"\n",
    );
    let simulate = "simulate --problem masked.toml --images images.npy --out out.npy";
    place.refused(simulate, 4, &["mask.npy", "cannot read"]);
    mask(&[16, 15], 1.0);
    place.refused(simulate, 4, &["mask.npy", "16x15", "16x16"]);
    mask(&[16, 16], 0.0);
    place.refused(simulate, 4, &["mask.npy", "zero everywhere"]);
    mask(&[16, 16], 2.0);
    place.refused(simulate, 4, &["mask.npy", "2"]);
    for (from, to, named) in [
        (
            "lines = 8",
            "lines = 17",
            &["mask.lines = 17", "16 lines"][..],
        ),
        ("centre = 4", "centre = 9", &["mask.centre"]),
        ("\"cartesian\"", "\"radial\"", &["radial", "cartesian"]),
        (
            "\"gaussian\"\nsigma = 0.005",
            "\"poisson\"",
            &["noise.kind"],
        ),
        ("image_size = 16", "views = 50", &["views"]),
        (
            "image_size = 16",
            "coils = { kind = \"birdcage\", count = 0 }",
            &["coils.count"],
        ),
    ] {
        let text = PROBLEM.replace(from, to);
        assert_ne!(text, PROBLEM, "{from}");
        place.text("bad.toml", &text);
        let named: Vec<&str> = named.iter().copied().chain(["bad.toml"]).collect();
        place.refused(
            "simulate --problem bad.toml --images images.npy --out out.npy",
            2,
            &named,
        );
        place.refused(
            "train mri-train.toml --out new --set problem.file=bad.toml",
            2,
            &named,
        );
    }
}
