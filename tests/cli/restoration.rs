//! Missing pixels, blur and low resolution, from images to scores.

use super::place::Place;
use equilens::data::npy;

const INPAINTING: &str = r#"
[operator]
kind = "inpainting"
image_size = 16
mask = { kind = "random", share = 0.6, seed = 1 }
[noise]
kind = "gaussian"
sigma = 0.002
"#;

const BLUR: &str = r#"
[operator]
kind = "blur"
image_size = 16
kernel = { kind = "gaussian", sigma = 1.0 }
"#;

const VALID: &str = r#"
[operator]
kind = "blur"
image_size = 16
kernel = { kind = "motion", length = 3, angle = 90 }
boundary = "valid"
"#;

const DOWNSAMPLING: &str = r#"
[operator]
kind = "downsampling"
image_size = 16
[noise]
kind = "poisson"
gain = 1e-4
"#;

#[test]
fn every_problem_is_simulated_and_solved() {
    let place = Place::new();
    for (name, text, shape, direct) in [
        ("inpainting", INPAINTING, [16, 16], Some("zero-filled")),
        ("blur", BLUR, [16, 16], Some("tikhonov")),
        ("valid", VALID, [14, 16], None),
        ("downsampling", DOWNSAMPLING, [8, 8], Some("replicated")),
    ] {
        place.text("p.toml", text);
        let simulate = "simulate --problem p.toml --images images.npy --out y.npy --seed 7";
        assert_eq!(place.json(simulate)["shape"], serde_json::json!(shape));
        let y = npy::read_real_npy(place.path("y.npy")).unwrap();
        assert_eq!(y.shape, [3, shape[0], shape[1]]);
        let solve = |method: &str| {
            place.json(&format!(
                "classical {method} --problem p.toml --input y.npy --out u.npy --png {name}"
            ));
            place.error("u.npy")
        };
        let tv = solve("tv --weight 5e-4");
        let least_squares = solve("cgls --iterations 20");
        solve("landweber --iterations 20");
        let direct = direct.map(solve);
        println!("{name}: direct {direct:?}, least squares {least_squares}, tv {tv}");
        // Of discs total variation knows more than any linear method.
        let linear = direct.unwrap_or(least_squares).min(least_squares);
        assert!(tv < 0.7 * linear, "{name}: {tv} {linear}");
        assert!(place.path(name).join("002.png").is_file());

        let apply = |which: &str, input: &str| {
            place.json(&format!(
                "operator {which} --problem p.toml --input {input} --out out.npy"
            ))["shape"]
                .clone()
        };
        assert_eq!(apply("forward", "images.npy"), serde_json::json!(shape));
        assert_eq!(apply("adjoint", "y.npy"), serde_json::json!([16, 16]));
        let gradient = apply("gradient --data y.npy", "images.npy");
        assert_eq!(gradient, serde_json::json!([16, 16]));
        let norm = place.json("operator norm --problem p.toml");
        let norm = norm["norm"].as_f64().unwrap();
        let expected = if name == "downsampling" { 0.5 } else { 1.0 };
        // The valid part of a blur passes no image entirely.
        let below = if name == "valid" { 0.05 } else { 1e-5 };
        assert!(
            norm <= expected + 1e-5 && norm > expected - below,
            "{name}: {norm}"
        );
    }
}

#[test]
fn networks_are_trained_on_missing_pixels_and_low_resolution() {
    let place = Place::new();
    let config = std::fs::read_to_string(place.path("train.toml")).unwrap();
    for (text, direct) in [(INPAINTING, "zero-filled"), (DOWNSAMPLING, "replicated")] {
        place.text("p.toml", text);
        place.json("simulate --problem p.toml --images images.npy --out y.npy");
        place.text("own.toml", &config.replace("problem.toml", "p.toml"));
        let run = format!("run-{direct}");
        let trained = place.json(&format!("train own.toml --out {run}"));
        assert!(trained["validation_psnr"].as_f64().unwrap().is_finite());
        place.json(&format!(
            "reconstruct {run} --input y.npy --out u.npy --png pictures"
        ));
        assert!(place.error("u.npy").is_finite());
        let scores = place.json(&format!(
            "evaluate {run} --images images.npy --rotate 3 --out scores-{direct}"
        ));
        let methods = scores["methods"].as_array().unwrap();
        let names: Vec<_> = methods.iter().map(|m| m["name"].as_str()).collect();
        assert_eq!(names, [direct, "tv", "equivariant"].map(Some));
        for method in methods {
            for set in ["upright", "rotated"] {
                assert!(
                    method[set]["psnr"].as_f64().unwrap().is_finite(),
                    "{method}"
                );
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let place = Place::new();
    place.text("inpainting.toml", INPAINTING);
    place.text("blur.toml", BLUR);
    place.text("valid.toml", VALID);
    place.text("down.toml", DOWNSAMPLING);
    npy::write_npy(place.path("half.npy"), &[8, 8], &[0.5_f32; 64]).unwrap();
    npy::write_npy(place.path("valid.npy"), &[14, 16], &[0.5_f32; 224]).unwrap();
    npy::write_npy(place.path("full.npy"), &[16, 16], &[0.5_f32; 256]).unwrap();
    let solve = |method: &str, problem: &str, input: &str| {
        format!("classical {method} --problem {problem}.toml --input {input}.npy --out out.npy")
    };
    for (arguments, code, named) in [
        (
            solve("fbp", "inpainting", "full"),
            2,
            &["fbp", "ray_transform", "inpainting", "zero-filled, tv"][..],
        ),
        (
            solve("root-sum-of-squares", "blur", "full"),
            2,
            &["fourier", "blur", "tikhonov, tv"],
        ),
        (
            solve("zero-filled", "down", "half"),
            2,
            &["fourier", "inpainting", "downsampling", "replicated, tv"],
        ),
        (
            solve("tikhonov", "valid", "valid"),
            2,
            &["circular", "\"blur\"", "are tv, cgls"],
        ),
        (
            solve("replicated", "blur", "full"),
            2,
            &["downsampling", "blur"],
        ),
        (
            solve("tv", "down", "full"),
            4,
            &["full.npy", "16x16", "8x8"],
        ),
        (solve("cgls", "valid", "full"), 4, &["full.npy", "14x16"]),
        (
            "simulate --problem blur.toml --images complex.npy --out out.npy".into(),
            4,
            &["complex.npy", "complex"],
        ),
        (
            "simulate --problem down.toml --images small.npy --out out.npy".into(),
            4,
            &["small.npy", "15 rows", "16"],
        ),
    ] {
        place.refused(&arguments, code, named);
    }
}
