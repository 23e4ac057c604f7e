//! The classical methods from files to files.

use super::place::{Place, discs};
use equilens::data::npy;

const NOISY: &str = r#"
[operator]
kind = "ray_transform"
image_size = 16
views = 12
field_of_view = 16
[noise]
kind = "gaussian"
sigma = 0.05
"#;

const COMPRESSED: &str = r#"
[operator]
kind = "matrix"
image_size = 16
matrix = { kind = "gaussian", rows = 180, seed = 3 }
"#;

/// Two scans of one object; and a blurred image of which pixels are missing.
const STACKED: &str = r#"
[operator]
kind = "stacked"
operators = [
    { kind = "ray_transform", image_size = 16, angles = [0, 40, 80, 120, 160] },
    { kind = "ray_transform", image_size = 16, angles = [20, 60, 100, 140] },
]
"#;

const COMPOSED: &str = r#"
[operator]
kind = "composed"
operators = [
    { kind = "blur", image_size = 16, kernel = { kind = "gaussian", sigma = 0.6 } },
    { kind = "inpainting", image_size = 16, mask = { kind = "random", share = 0.8, seed = 1 } },
]
"#;

fn measured(text: &str) -> Place {
    let place = Place::new();
    place.text("p.toml", text);
    place.json("simulate --problem p.toml --images images.npy --out y.npy --seed 7");
    place
}

#[test]
fn every_method_reconstructs_a_scan() {
    let place = measured(NOISY);
    let mut errors = Vec::new();
    for method in [
        "fbp --nonnegative",
        "landweber --iterations 100",
        "sirt --iterations 100 --nonnegative=false",
        "cgls --discrepancy",
        "landweber --discrepancy 0.05",
        "tikhonov --weight 1e-2",
        "tikhonov --l-curve --penalty differences --nonnegative --iterations 100",
        "tikhonov --discrepancy",
        "tv --discrepancy",
        "tv --l-curve",
        "tgv --l-curve --iterations 200",
        "fista --l-curve --iterations 100",
        "admm --l-curve",
        "tgv --weight 5e-4 --ratio 1.5 --iterations 400",
        "fista --weight 1e-3 --iterations 100",
        "fista --penalty haar --levels 2 --iterations 100",
        "admm --penalty daubechies4 --iterations 40",
    ] {
        let told = place.json(&format!(
            "classical {method} --problem p.toml --input y.npy --out u.npy --truth images.npy"
        ));
        let error = place.error("u.npy");
        println!("{method}: {error} {told}");
        assert_eq!(told["psnr"].as_array().unwrap().len(), 3);
        assert_eq!(told["ssim"].as_array().unwrap().len(), 3);
        for psnr in told["psnr"].as_array().unwrap() {
            assert!(psnr.as_f64().unwrap() > 10.0, "{method}: {told}");
        }
        let chosen = told["weights"].as_array().map_or(0, Vec::len);
        let chooses = (method.contains("discrepancy") || method.contains("l-curve"))
            && !method.starts_with("cgls")
            && !method.starts_with("landweber");
        assert_eq!(chosen, if chooses { 3 } else { 0 }, "{method}: {told}");
        if method.contains("discrepancy") && !chooses {
            assert_eq!(told["stop"], "discrepancy", "{method}");
        }
        errors.push((method, error));
    }
    let of = |name: &str| errors.iter().find(|(m, _)| m.starts_with(name)).unwrap().1;
    // The same corner of the same curve, by whichever method.
    for method in ["tgv --l-curve", "fista --l-curve", "admm --l-curve"] {
        let ratio = of(method) / of("tv --l-curve");
        assert!((ratio - 1.0).abs() < 0.02, "{method}: {errors:?}");
    }
    // Discs suit total variation.
    assert!(of("tv") < of("cgls") && of("tv") < of("fbp"), "{errors:?}");
}

#[test]
fn curves_and_warm_starts() {
    let place = measured(NOISY);
    let tv = "classical tv --problem p.toml --input y.npy --weight 2e-3";
    let cold = place.json(&format!(
        "{tv} --out u.npy --iterations 300 --tolerance 0 --curves curves.json"
    ));
    let curves: serde_json::Value =
        serde_json::from_slice(&std::fs::read(place.path("curves.json")).unwrap()).unwrap();
    let column = |name: &str| -> Vec<f64> {
        let values = curves[name].as_array().unwrap().iter();
        values.map(|v| v.as_f64().unwrap()).collect()
    };
    let iterations = column("iteration");
    assert_eq!((iterations[0], iterations[1]), (0.0, 3.0));
    assert_eq!(iterations.len(), 101);
    let objective = column("objective");
    assert_eq!(objective.len(), 101);
    assert!(objective[100] < 0.5 * objective[0]);
    assert_eq!(objective[100], cold["objective"].as_f64().unwrap());
    assert!((column("residual")[0] - 1.0).abs() < 1e-6);
    assert!(column("criterion")[100] < 1e-2 && column("seconds")[100] > 0.0);
    assert_eq!(curves["stop"], "iterations");
    let svg = "--out v.npy --curves curves.svg --iterations 20 --tolerance 0 --start u.npy";
    let warm = place.json(&format!("{tv} {svg}"));
    let text = std::fs::read_to_string(place.path("curves.svg")).unwrap();
    assert!(text.starts_with("<svg") && text.contains("criterion"));
    let [cold, warm] = [cold, warm].map(|told| told["objective"].as_f64().unwrap());
    assert!((warm / cold - 1.0).abs() < 0.02, "{cold} {warm}");
    let chosen =
        "classical tikhonov --l-curve --problem p.toml --input y.npy --out v.npy --curves c.json";
    place.json(chosen);
    let curves = std::fs::read_to_string(place.path("c.json")).unwrap();
    assert!(curves.contains("curvature"), "{curves}");
}

#[test]
fn methods_are_compared_in_a_table() {
    let place = measured(NOISY);
    let compare = "classical compare --problem p.toml --input y.npy --truth images.npy";
    let told = place.json(&format!("{compare} --out results"));
    let methods = told["methods"].as_array().unwrap();
    let names: Vec<&str> = methods
        .iter()
        .map(|m| m["name"].as_str().unwrap())
        .collect();
    let all = [
        "fbp",
        "landweber",
        "sirt",
        "cgls",
        "tikhonov",
        "tv",
        "tgv",
        "fista",
        "fista-haar",
        "fista-daubechies4",
        "admm",
    ];
    assert_eq!(names, all);
    for method in methods {
        let name = method["name"].as_str().unwrap();
        assert!(method["psnr"].as_f64().unwrap() > 10.0, "{method}");
        assert!(method["seconds"].as_f64().unwrap() > 0.0);
        assert_eq!(method["iterations"].is_null(), name == "fbp", "{method}");
        assert!(place.path("results").join(name).join("002.png").is_file());
        assert!(
            place
                .path("results")
                .join(name)
                .join("images.npy")
                .is_file()
        );
    }
    let scores = std::fs::read(place.path("results/scores.json")).unwrap();
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&scores).unwrap(),
        told
    );
    let told = place.json(&format!("{compare} --l-curve --methods tikhonov,cgls,tv"));
    let chosen = |i: usize| told["methods"][i]["weights"].as_array().map(Vec::len);
    assert_eq!([0, 1, 2].map(chosen), [Some(3), None, Some(3)], "{told}");
    let output = place.run(&format!("{compare} --discrepancy --methods direct,cgls"));
    let text = String::from_utf8(output.stdout).unwrap();
    for word in ["method", "PSNR", "iterations", "seconds", "fbp", "cgls"] {
        assert!(text.contains(word), "{text}");
    }
    assert_eq!(text.lines().count(), 4, "{text}");
}

#[test]
fn matrices_stacks_and_compositions_are_problems() {
    for (text, shape, method, bound) in [
        (
            COMPRESSED,
            [1, 180],
            "fista --penalty haar --weight 1e-4 --iterations 400",
            0.03,
        ),
        (STACKED, [9, 23], "tv --weight 1e-4", 0.03),
        (COMPOSED, [16, 16], "tv --weight 1e-4", 0.03),
    ] {
        let place = measured(text);
        let y = npy::read_real_npy(place.path("y.npy")).unwrap();
        assert_eq!(y.shape, [3, shape[0], shape[1]]);
        place.json(&format!(
            "classical {method} --problem p.toml --input y.npy --out u.npy"
        ));
        let error = place.error("u.npy");
        println!("{method}: {error}");
        assert!(error < bound, "{text}: {error}");
        let norm = place.json("operator norm --problem p.toml");
        assert!(norm["norm"].as_f64().unwrap() > 0.0);
        let direct = place.json(
            "classical compare --methods direct --problem p.toml --input y.npy --truth images.npy",
        );
        assert!(
            direct["methods"][0]["psnr"].as_f64().unwrap() > 5.0,
            "{direct}"
        );
    }
    // A stack of scans is the scan of all views.
    let place = measured(STACKED);
    let apart = npy::read_real_npy(place.path("y.npy")).unwrap().data;
    place.text(
        "whole.toml",
        "[operator]\nkind = 'ray_transform'\nimage_size = 16\nangles = [0, 40, 80, 120, 160, 20, 60, 100, 140]\n",
    );
    place.json("simulate --problem whole.toml --images images.npy --out whole.npy");
    let whole = npy::read_real_npy(place.path("whole.npy")).unwrap().data;
    assert_eq!(apart, whole);
    // A matrix from a file.
    let rows: Vec<f32> = (0..20 * 256).map(|i| (i * i % 13) as f32).collect();
    npy::write_npy(place.path("a.npy"), &[20, 256], &rows).unwrap();
    place.text(
        "file.toml",
        "[operator]\nkind = 'matrix'\nimage_size = 16\nmatrix = 'a.npy'\n",
    );
    place.json("simulate --problem file.toml --images images.npy --out z.npy");
    let z = npy::read_real_npy(place.path("z.npy")).unwrap();
    let image = &discs(3, 16)[..256];
    let first: f64 = (rows.iter().zip(image))
        .map(|(a, b)| f64::from(a * b))
        .sum();
    assert!((f64::from(z.data[0]) / first - 1.0).abs() < 1e-5);
    place.json("classical tikhonov --problem file.toml --input z.npy --out u.npy");
}

#[test]
fn what_cannot_be_done_is_refused_in_a_paragraph() {
    let place = measured(NOISY);
    place.text("low.toml", super::place::PROBLEM);
    place.text("matrix.toml", COMPRESSED);
    let mri = "[operator]\nkind = 'fourier'\nimage_size = 16\n";
    place.text("mri.toml", mri);
    let complex = vec![num_complex::Complex32::new(0.5, 0.0); 256];
    npy::write_npy(place.path("k.npy"), &[16, 16], &complex).unwrap();
    let mixed = "[operator]\nkind = 'stacked'\noperators = [{ kind = 'fourier', image_size = 16 }, { kind = 'inpainting', image_size = 16 }]\n";
    place.text("mixed.toml", mixed);
    let order = "[operator]\nkind = 'composed'\noperators = [{ kind = 'downsampling', image_size = 16 }, { kind = 'inpainting', image_size = 16 }]\n";
    place.text("order.toml", order);
    place.text(
        "none.toml",
        "[operator]\nkind = 'stacked'\noperators = []\n",
    );
    place.text("rows.toml", &COMPRESSED.replace("180", "0"));
    place.text(
        "absent.toml",
        "[operator]\nkind = 'matrix'\nimage_size = 16\nmatrix = 'no.npy'\n",
    );
    place.text(
        "flat.toml",
        "[operator]\nkind = 'matrix'\nimage_size = 16\nmatrix = 'images.npy'\n",
    );
    let solve = |method: &str, problem: &str, input: &str| {
        format!("classical {method} --problem {problem}.toml --input {input}.npy --out out.npy")
    };
    for (arguments, code, named) in [
        (
            solve("tv --weight -1", "p", "y"),
            2,
            &["tv.weight", "-1"][..],
        ),
        (solve("tgv --ratio 0", "p", "y"), 2, &["tgv.ratio"]),
        (
            solve("fista --penalty haar --levels 0", "p", "y"),
            2,
            &["wavelet.levels"],
        ),
        (
            solve("fista --penalty coiflet", "p", "y"),
            2,
            &["coiflet", "daubechies4"],
        ),
        (
            solve("landweber --relaxation 2.5", "p", "y"),
            2,
            &["landweber.relaxation"],
        ),
        (
            solve("tv --weight 1 --discrepancy 1", "p", "y"),
            2,
            &["--weight", "--discrepancy"],
        ),
        (
            solve("tv --weight 1 --l-curve", "p", "y"),
            2,
            &["--weight", "--l-curve"],
        ),
        (
            solve("admm --discrepancy 1 --l-curve", "p", "y"),
            2,
            &["--discrepancy", "--l-curve"],
        ),
        (solve("cgls --l-curve", "p", "y"), 2, &["--l-curve"]),
        (
            "classical compare --problem p.toml --input y.npy --discrepancy 1 --l-curve".into(),
            2,
            &["--discrepancy", "--l-curve"],
        ),
        (
            solve("tv --discrepancy little", "p", "y"),
            2,
            &["little", "--discrepancy"],
        ),
        (
            solve("tv --discrepancy -1", "p", "y"),
            2,
            &["--discrepancy", "-1"],
        ),
        (
            solve("tv --discrepancy 1e3", "p", "y"),
            2,
            &["zero image explains it"],
        ),
        (
            solve("tv --discrepancy", "low", "y"),
            2,
            &["[noise]", "not gaussian"],
        ),
        (
            solve("tv --curves curves.png", "p", "y"),
            2,
            &["curves.png", ".svg"],
        ),
        (
            solve("tv --curves no/curves.svg", "p", "y"),
            4,
            &["no/curves.svg"],
        ),
        (
            solve("tv --start small.npy", "p", "y"),
            4,
            &["small.npy", "16x16"],
        ),
        (
            solve("tv --start images.npy --iterations 5", "mri", "k"),
            4,
            &["images.npy"],
        ),
        (solve("tv --truth small.npy", "p", "y"), 4, &["small.npy"]),
        (
            solve("sirt", "mri", "k"),
            2,
            &["sirt", "fourier", "complex"],
        ),
        (
            solve("tv --nonnegative", "mri", "k"),
            2,
            &["nonnegative", "complex"],
        ),
        (solve("sirt", "matrix", "y"), 4, &["y.npy", "1x180"]),
        (
            solve("cgls", "mixed", "y"),
            2,
            &["operators[1]", "1x1x16x16"],
        ),
        (solve("cgls", "order", "y"), 2, &["operators[1]", "order"]),
        (
            solve("cgls", "none", "y"),
            2,
            &["operator.operators", "stack"],
        ),
        (solve("cgls", "rows", "y"), 2, &["operator.matrix.rows"]),
        (solve("cgls", "absent", "y"), 4, &["no.npy"]),
        (solve("cgls", "flat", "y"), 4, &["images.npy", "256"]),
        (
            "classical compare --problem p.toml --input y.npy --methods cgls,magic".into(),
            2,
            &["magic", "cgls"],
        ),
    ] {
        place.refused(&arguments, code, named);
    }
}

const DENOISER: &str = r#"
[problem.operator]
kind = "identity"
image_size = 16
[problem.noise]
kind = "gaussian_range"
least = 0.02
greatest = 0.1
[data]
train = "images.npy"
[model]
kind = "dncnn"
group = "C4"
width = 8
depth = 3
bias = false
[training]
steps = 200
batch = 3
[optimiser]
kind = "adam"
learning_rate = 1e-2
"#;

/// A network begins as the identity, with which plug-and-play gradients are Landweber's; trained, it
/// lowers the error, whichever way it takes turns with the data.
#[test]
fn a_trained_denoiser_takes_the_place_of_a_penalty() {
    let place = measured(&NOISY.replace("0.05", "0.6"));
    place.text("d.toml", DENOISER);
    place.json(
        "train d.toml --out untrained --set training.steps=1 --set optimiser.learning_rate=1e-9",
    );
    place.json("train d.toml --out denoiser");
    let files = "--problem p.toml --input y.npy --iterations 30 --tolerance 0";
    place.json(&format!(
        "classical pnp {files} --out a.npy --denoiser untrained"
    ));
    place.json(&format!(
        "classical landweber {files} --out b.npy --nonnegative=false"
    ));
    let [a, b] = ["a.npy", "b.npy"].map(|f| npy::read_real_npy(place.path(f)).unwrap());
    let pairs = a.data.iter().zip(&b.data);
    let gap = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(gap < 1e-4, "{gap}");
    let plain = place.error("b.npy");
    let mut errors = Vec::new();
    for ways in [
        "--scheme pgd",
        // Without biases the scale is nothing to the network.
        "--scheme pgd --scale 8",
        "--scheme pgd --relaxation 0.5",
        "--scheme pgd --relaxation 0.25",
        "--scheme pgd --relaxation 0.1",
        "--scheme pgd --average C4 --relaxation 0.8",
        "--scheme hqs --rho 0.2",
        "--scheme admm --rho 0.2",
    ] {
        place.json(&format!(
            "classical pnp {files} --out u.npy --denoiser denoiser {ways}"
        ));
        let denoised = place.error("u.npy");
        println!("{ways}: {denoised}, {plain} by Landweber");
        assert!(denoised < 0.9 * plain, "{ways}: {denoised} {plain}");
        errors.push(denoised);
    }
    assert!((errors[1] / errors[0] - 1.0).abs() < 1e-3, "{errors:?}");
    let command = format!("classical pnp {files} --out u.npy --denoiser");
    place.refused(
        &format!("{command} denoiser --average C6"),
        2,
        &["C6", "grid"],
    );
    place.refused(
        &format!("{command} denoiser --scale 0"),
        2,
        &["pnp.scale", "0"],
    );
    place.refused(&format!("{command} nothing"), 4, &["nothing"]);
    place.text(
        "s.toml",
        &DENOISER.replace("kind = \"identity\"", "kind = \"inpainting\""),
    );
    place.json("train s.toml --out other --set training.steps=1");
    place.refused(&format!("{command} other"), 2, &["inpainting", "identity"]);
}
