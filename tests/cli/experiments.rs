//! The papers' figures as commands.

use super::place::{Place, discs};
use equilens::data::npy;
use serde_json::Value;

/// The `metrics.json` of an experiment.
fn stored(place: &Place, out: &str) -> Value {
    let bytes = std::fs::read(place.path(out).join("metrics.json")).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn exist(place: &Place, out: &str, files: &[&str]) {
    for file in files {
        assert!(place.path(out).join(file).is_file(), "{file}");
    }
}

#[test]
fn steps_are_timed_and_training_sets_of_several_sizes_compared() {
    let place = Place::new();
    let timed = place.json("experiment timing --scale smoke --out timing");
    let comparisons = timed["comparisons"].as_array().unwrap();
    assert_eq!(comparisons.len(), 2);
    for comparison in comparisons {
        assert!(comparison["ratio"].as_f64().unwrap() > 0.0, "{comparison}");
        for network in comparison["networks"].as_array().unwrap() {
            assert_eq!(network["rounds_ms"].as_array().unwrap().len(), 3);
        }
    }
    assert!(place.path("timing/metrics.json").is_file());
    let bench = place.json("bench step/mri/C4/8/16 infer/mri/C1/8/16 --samples 2");
    for result in bench["results"].as_array().unwrap() {
        assert_eq!(result["verified"], true, "{result}");
    }
    // Images of one's own must be of the scale's size.
    place.refused(
        "experiment mri-training-size --scale smoke --train images.npy --test images.npy --out mri",
        4,
        &["images.npy", "16x16", "32x32"],
    );
    npy::write_npy(place.path("own.npy"), &[4, 32, 32], &discs(4, 32)).unwrap();
    let result = place.json(
        "experiment mri-training-size --scale smoke --train own.npy --test own.npy --out mri",
    );
    let methods = result["methods"].as_array().unwrap();
    assert_eq!(methods.len(), 8);
    assert_eq!(methods[2]["images"], 1);
    assert_eq!(methods[2]["name"], "ordinary");
    assert_eq!(stored(&place, "mri"), result);
    // Each network is a run like any other.
    let scores = place.json("evaluate mri/runs/equivariant-4-1 --images own.npy");
    assert_eq!(scores["methods"][2]["group"], "C4");
}

#[test]
fn orders_are_compared_at_one_width() {
    let place = Place::new();
    // The built-in slices are too small for the paper's scale, and own ones must fit.
    let paper = "experiment orders --scale paper --out orders";
    place.refused(paper, 2, &["512x512", "256x256", "--train", "--test"]);
    place.refused(
        "experiment orders --scale smoke --train images.npy --test images.npy --out orders",
        4,
        &["images.npy", "16x16", "32x32", "multiple"],
    );
    let command = "experiment orders --scale smoke --out orders";
    let result = place.json(command);
    assert_eq!(stored(&place, "orders"), result);
    let methods = result["methods"].as_array().unwrap();
    let groups: Vec<&str> = methods.iter().filter_map(|m| m["group"].as_str()).collect();
    assert_eq!(groups, ["C1", "C2", "C3", "C4", "C6", "C8", "C12"]);
    assert_eq!(methods.len(), 2 + groups.len());
    for method in methods {
        for set in ["upright", "rotated"] {
            let scores = method[set]["per_image"].as_array().unwrap();
            assert_eq!(scores.len(), 12, "{method}");
        }
    }
    // The more symmetry, the fewer parameters at one width.
    let parameters = methods[2..]
        .iter()
        .map(|m| m["parameters"].as_u64().unwrap());
    assert!(parameters.is_sorted_by(|a, b| a > b));
    exist(
        &place,
        "orders",
        &[
            "report.html",
            "psnr.svg",
            "ssim.svg",
            "gain.svg",
            "sample-upright-6.png",
            "sample-rotated-6.png",
            "runs/C12-1/config.toml",
        ],
    );
    // Nothing is trained again: the trainings' seconds are those of the first time.
    let again = place.json(command);
    assert_eq!(again["methods"].as_array().unwrap()[2..], methods[2..]);
}

#[test]
fn one_image_is_trained_on_and_tested_turned() {
    let place = Place::new();
    // Twice the scale's size: measured there, reconstructed at 32 x 32.
    npy::write_npy(place.path("own.npy"), &[4, 64, 64], &discs(4, 64)).unwrap();
    let result =
        place.json("experiment one-image --scale smoke --train own.npy --test own.npy --out one");
    assert_eq!(stored(&place, "one"), result);
    assert_eq!(result["tests"], 4);
    for (key, tests) in [("methods", 4), ("training_image", 1)] {
        let methods = result[key].as_array().unwrap();
        let names: Vec<&str> = methods
            .iter()
            .map(|m| m["name"].as_str().unwrap())
            .collect();
        let expected = ["fbp", "tv", "ordinary", "equivariant", "equivariant-wide"];
        assert_eq!(names, expected);
        for method in methods {
            for set in ["upright", "rotated"] {
                let scores = method[set]["per_image"].as_array().unwrap();
                assert_eq!(scores.len(), tests, "{method}");
            }
        }
    }
    exist(
        &place,
        "one",
        &[
            "report.html",
            "sample-upright-0.png",
            "sample-rotated-0.png",
            "sample-rotated-3.png",
        ],
    );
    let text =
        place.run("experiment one-image --scale smoke --train own.npy --test own.npy --out one");
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for word in [
        "quarter",
        "4 slices",
        "equivariant-wide (C4)",
        "report.html",
    ] {
        assert!(text.contains(word), "no '{word}' in {text}");
    }
}

#[test]
fn losses_without_ground_truth_are_compared() {
    let place = Place::new();
    let command = "experiment rei-ct --scale smoke --out rei";
    let result = place.json(command);
    assert_eq!(stored(&place, "rei"), result);
    let methods = result["methods"].as_array().unwrap();
    let names: Vec<&str> = methods
        .iter()
        .map(|m| m["name"].as_str().unwrap())
        .collect();
    let lessons = ["mc", "ei", "rei", "supervised"];
    assert_eq!(names, [&["fbp", "least-squares"][..], &lessons].concat());
    let recovered = result["recovered"].as_array().unwrap();
    assert_eq!(recovered.len(), 2);
    for entry in recovered {
        for set in ["upright", "rotated"] {
            assert_eq!(entry[set].as_array().unwrap().len(), 1, "{entry}");
        }
    }
    exist(
        &place,
        "rei",
        &[
            "report.html",
            "psnr.svg",
            "sample-rotated-6.png",
            "runs/rei-C1-1/config.toml",
        ],
    );
    let again = place.json(command);
    assert_eq!(again["methods"].as_array().unwrap()[2..], methods[2..]);
}

#[test]
fn augmentation_is_compared_with_equivariance() {
    let place = Place::new();
    npy::write_npy(place.path("own.npy"), &[4, 32, 32], &discs(4, 32)).unwrap();
    let result = place
        .json("experiment augmentation --scale smoke --train own.npy --test own.npy --out more");
    assert_eq!(stored(&place, "more"), result);
    assert_eq!(result["methods"].as_array().unwrap().len(), 2 + 2 * 2 * 2);
    exist(
        &place,
        "more",
        &[
            "report.html",
            "psnr-upright.svg",
            "ssim-rotated.svg",
            "sample-upright-2.png",
        ],
    );
}

#[test]
fn denoisers_meet_noise_that_they_do_not_know() {
    let place = Place::new();
    npy::write_npy(place.path("own.npy"), &[4, 32, 32], &discs(4, 32)).unwrap();
    let command =
        "experiment denoising --scale smoke --steps 3 --train own.npy --test own.npy --out noise";
    let result = place.json(command);
    assert_eq!(stored(&place, "noise"), result);
    // The noisy images, and three networks.
    assert_eq!(result["methods"].as_array().unwrap().len(), 4);
    let levels = result["levels"].as_array().unwrap();
    assert_eq!(levels.len(), 7);
    let psnr = |level: &serde_json::Value| {
        assert_eq!(level["methods"].as_array().unwrap().len(), 4);
        assert_eq!(level["methods"][0]["name"], "noisy");
        level["methods"][0]["upright"]["psnr"].as_f64().unwrap()
    };
    // The noise of 0.01 and 0.1: 20 decibels, whatever the images.
    let change = psnr(&levels[1]) - psnr(&levels[4]);
    assert!((change - 20.0).abs() < 0.3, "{change}");
    let steps = std::fs::read_to_string(place.path("noise/runs/dncnn-C1-1/config.toml")).unwrap();
    assert!(steps.contains("steps = 3\n"), "{steps}");
    exist(&place, "noise", &["report.html", "psnr.svg"]);
}

#[test]
fn total_variation_is_not_equivariant_where_pixels_are_missing() {
    let place = Place::new();
    let result = place.json("experiment tv-inpainting --scale smoke --out tv");
    assert_eq!(stored(&place, "tv"), result);
    let cases = result["cases"].as_array().unwrap();
    let difference = |missing: &str, degrees: f64| {
        let same = |case: &&serde_json::Value| {
            case["missing"] == missing && case["degrees"].as_f64() == Some(degrees)
        };
        let case = cases.iter().find(same).unwrap();
        case["difference"].as_f64().unwrap()
    };
    // A quarter turn interpolates nothing: what remains without a hole are the differences of the
    // penalty, which look to the right and down.
    let (hole, nothing) = (difference("a square", 90.0), difference("nothing", 90.0));
    assert!(nothing < 0.02 && hole > 5.0 * nothing, "{hole} {nothing}");
    assert!(difference("a square in the middle", 90.0) < 0.5 * hole);
    exist(&place, "tv", &["report.html", "turned.png"]);
}

#[test]
fn every_problem_is_learned_from_measurements_alone() {
    let place = Place::new();
    for (name, first, networks) in [
        ("ei-ct", "fbp", 6),
        ("ei-mri", "zero-filled", 3),
        ("ei-inpainting", "zero-filled", 3),
    ] {
        let command = format!("experiment {name} --scale smoke --steps 2 --out {name}");
        let result = place.json(&command);
        assert_eq!(stored(&place, name), result);
        assert_eq!(result["experiment"], name);
        let methods = result["methods"].as_array().unwrap();
        assert_eq!(methods.len(), 2 + networks);
        assert_eq!(methods[0]["name"], first);
        // Networks of two steps are hardly different from what they start from.
        let psnr = |i: usize| methods[i]["upright"]["psnr"].as_f64().unwrap();
        assert!((psnr(2) - psnr(0)).abs() < 3.0, "{} {}", psnr(2), psnr(0));
        exist(&place, name, &["report.html", "psnr.svg"]);
    }
}

#[test]
fn networks_are_shifted_from_their_place() {
    let place = Place::new();
    npy::write_npy(place.path("own.npy"), &[4, 32, 32], &discs(4, 32)).unwrap();
    let command =
        "experiment shifts --scale smoke --steps 3 --train own.npy --test own.npy --out shifts";
    let result = place.json(command);
    assert_eq!(stored(&place, "shifts"), result);
    for (problem, first) in [(0, "tikhonov"), (1, "zero-filled")] {
        let problem = &result["problems"][problem];
        let methods = problem["methods"].as_array().unwrap();
        let names = methods.iter().map(|m| m["name"].as_str().unwrap());
        let networks = [
            "cnn",
            "fully-connected",
            "cnn-shifts",
            "fully-connected-shifts",
        ];
        let expected: Vec<&str> = std::iter::once(first).chain(networks).collect();
        assert_eq!(names.collect::<Vec<_>>(), expected);
        for method in methods {
            for (images, set) in [
                ("training", "in_place"),
                ("training", "shifted"),
                ("other", "in_place"),
                ("other", "shifted"),
            ] {
                let scores = method[images][set]["per_image"].as_array().unwrap();
                assert_eq!(scores.len(), 4, "{method}");
            }
        }
    }
    // The same images: what commutes with shifts does as well on both, but for the noise.
    let blurred = &result["problems"][0]["methods"][0]["other"];
    let [a, b] = ["in_place", "shifted"].map(|set| blurred[set]["psnr"].as_f64().unwrap());
    assert!((a - b).abs() < 0.2, "{a} {b}");
    exist(
        &place,
        "shifts",
        &[
            "report.html",
            "images/test-in-place.npy",
            "deblurring/psnr.svg",
            "inpainting/sample-shifted-2.png",
            "inpainting/runs/cnn-1/config.toml",
        ],
    );
    let run = "shifts/deblurring/runs/fully-connected-1";
    let scores = place.json(&format!("evaluate {run} --images own.npy"));
    assert_eq!(scores["methods"][2]["group"], "C1");
}

#[test]
fn unrolled_networks_are_compared_with_and_without_rotations() {
    let place = Place::new();
    npy::write_npy(place.path("own.npy"), &[4, 32, 32], &discs(4, 32)).unwrap();
    let command =
        "experiment unrolled --scale smoke --steps 2 --train own.npy --test own.npy --out unrolled";
    let result = place.json(command);
    assert_eq!(stored(&place, "unrolled"), result);
    let methods = result["methods"].as_array().unwrap();
    let found = methods.iter().map(|m| {
        let name = m["name"].as_str().unwrap();
        format!("{name} {}", m["group"].as_str().unwrap_or_default())
    });
    let schemes = [
        "proximal-gradient",
        "unrolled",
        "unrolled-tied",
        "primal-dual",
    ];
    let networks = schemes
        .iter()
        .flat_map(|s| ["C1", "C4"].map(|g| format!("{s} {g}")));
    let classical = ["fbp ".to_string(), "tv ".to_string()];
    let expected: Vec<String> = classical.into_iter().chain(networks).collect();
    assert_eq!(found.collect::<Vec<_>>(), expected);
    exist(
        &place,
        "unrolled",
        &["report.html", "psnr-rotated.svg", "sample-upright-2.png"],
    );
    // Each network is a run like any other.
    let scores = place.json("evaluate unrolled/runs/unrolled-C4-1 --images own.npy");
    assert_eq!(scores["methods"][2]["group"], "C4");
}
