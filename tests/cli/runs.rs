//! From images through training to scores, and checkpoints that are damaged.

use super::place::{Place, discs};
use equilens::data::npy;

#[test]
fn the_way_from_images_to_scores() {
    let place = Place::new();
    let simulate = "simulate --problem problem.toml --images images.npy";
    let simulated = place.json(&format!("{simulate} --out y.npy --seed 7"));
    assert_eq!(simulated["measurements"], 3);
    place.json(&format!("{simulate} --out again.npy --seed 7"));
    place.json(&format!("{simulate} --out other.npy --seed 8"));
    let bytes = |name: &str| std::fs::read(place.path(name)).unwrap();
    assert_eq!(bytes("y.npy"), bytes("again.npy"));
    assert_ne!(bytes("y.npy"), bytes("other.npy"));
    assert_eq!(
        npy::read_npy(place.path("y.npy")).unwrap().shape(),
        [3, 8, 23]
    );

    let truth = discs(3, 16);
    let error = |name: &str| {
        let images = npy::read_real_npy(place.path(name)).unwrap();
        assert_eq!(images.shape, [3, 16, 16]);
        let pairs = images.data.iter().zip(&truth);
        let squares: f64 = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum();
        (squares / truth.len() as f64).sqrt()
    };
    for (method, bound) in [("fbp", 0.04), ("tv", 0.015), ("cgls", 0.04)] {
        place.json(&format!(
            "classical {method} --problem problem.toml --input y.npy --out {method}.npy --png {method}"
        ));
        let error = error(&format!("{method}.npy"));
        assert!(error < bound, "{method}: {error}");
        assert!(place.path(method).join("002.png").is_file());
    }

    // Five steps, then three more in a second process, against eight in one.
    let parts = place.json("train train.toml --out parts");
    assert_eq!(parts["steps"], 5);
    let resumed = place.json("train --out parts --resume --set training.steps=8");
    assert_eq!(resumed["steps"], 8);
    let whole = place.json("train train.toml --out whole --set training.steps=8");
    assert_eq!(whole["loss"], resumed["loss"]);
    let parameters = |run: &str| bytes(&format!("{run}/checkpoint-last/model.safetensors"));
    let tensors = |bytes: &[u8]| {
        // The header also tells the seconds; the numbers follow it.
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        bytes[8 + header..].to_vec()
    };
    assert_eq!(tensors(&parameters("parts")), tensors(&parameters("whole")));
    let config = String::from_utf8(bytes("parts/config.toml")).unwrap();
    assert!(config.contains("steps = 8"), "{config}");

    // A run is not overwritten, and not resumed as another one.
    place.refused("train train.toml --out parts", 2, &["parts", "--resume"]);
    place.refused(
        "train train.toml --out parts --resume --set model.width=12",
        2,
        &["model.width"],
    );
    place.refused("train train.toml --out nothing --resume", 4, &["nothing"]);

    let reconstructed = place.json("reconstruct parts --input y.npy --out u.npy --png pictures");
    assert_eq!(reconstructed["images"], 3);
    assert_eq!(reconstructed["parameters"], parts["parameters"]);
    assert!(error("u.npy").is_finite());
    assert!(place.path("pictures/000.png").is_file());

    let scores = place.json("evaluate parts --images images.npy --rotate 3 --out scores --seed 7");
    let stored: serde_json::Value = serde_json::from_slice(&bytes("scores/metrics.json")).unwrap();
    assert_eq!(stored, scores);
    let methods = scores["methods"].as_array().unwrap();
    let names: Vec<_> = methods.iter().map(|m| m["name"].as_str()).collect();
    assert_eq!(names, ["fbp", "tv", "equivariant"].map(Some));
    assert_eq!(methods[2]["group"], "C4");
    assert!(methods[0].get("group").is_none());
    assert!(methods[2]["train_seconds"].as_f64().unwrap() > 0.0);
    for method in methods {
        for set in ["upright", "rotated"] {
            let psnr = method[set]["psnr"].as_f64().unwrap();
            assert!((0.0..60.0).contains(&psnr), "{method}");
            assert_eq!(method[set]["per_image"].as_array().unwrap().len(), 3);
        }
    }
    // The same seed simulates the same measurements, so FBP scores as its images above.
    let expected = 20.0 * (0.2 / error("fbp.npy")).log10();
    let per_image = methods[0]["upright"]["per_image"].as_array().unwrap();
    let mse: f64 = per_image
        .iter()
        .map(|s| 0.04 * 10f64.powf(-0.1 * s["psnr"].as_f64().unwrap()))
        .sum::<f64>()
        / 3.0;
    let found = 10.0 * (0.04 / mse).log10();
    assert!((found - expected).abs() < 0.01, "{found} {expected}");
    assert!(place.path("scores/rotated/002.png").is_file());

    // The table names the group; the ordinary network is named so; without --rotate, one set.
    let table = place.run("evaluate parts --images images.npy --tv-weight 2e-3");
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("equivariant (C4)"), "{table}");
    assert!(!table.contains("rotated"), "{table}");
    place.json("train train.toml --out plain --set model.group=C1 --set training.steps=1");
    let scores = place.json("evaluate plain --images images.npy --tv-weight 2e-3");
    assert_eq!(scores["tv_weight"], 2e-3);
    assert_eq!(scores["methods"][2]["name"], "ordinary");
    assert_eq!(scores["methods"][2]["group"], "C1");
    assert!(scores["methods"][2].get("rotated").is_none());
    place.refused(
        "evaluate parts --images images.npy --tv-weight -1 --out bad",
        2,
        &["tv.weight"],
    );

    damaged_checkpoints(&place);
}

/// Checkpoints that are not this run's.
fn damaged_checkpoints(place: &Place) {
    let reconstruct = "reconstruct parts --input y.npy --out new.npy";
    let evaluate = "evaluate parts --images images.npy";
    let model = place.path("parts/checkpoint-last/model.safetensors");
    let best = place.path("parts/checkpoint-best");
    std::fs::remove_dir_all(best).unwrap();
    let sound = std::fs::read(&model).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(&model, bytes).unwrap();
        place.refused(reconstruct, 4, &["model.safetensors"]);
        place.refused(evaluate, 4, &["model.safetensors"]);
    };
    refused(&sound[..sound.len() / 2]);
    refused(b"no tensors");
    refused(&[&u64::MAX.to_le_bytes()[..], b"{}"].concat());
    let mut nan = sound.clone();
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    refused(&nan);
    // Of another model.
    place.json("train train.toml --out wider --set model.width=12 --set training.steps=1");
    let other = std::fs::read(place.path("wider/checkpoint-last/model.safetensors")).unwrap();
    std::fs::write(&model, other).unwrap();
    for command in [
        reconstruct,
        evaluate,
        "train --out parts --resume --set training.steps=9",
    ] {
        place.refused(command, 4, &["model.safetensors", "width", "8", "12"]);
    }
    std::fs::write(&model, &sound).unwrap();
    place.json(reconstruct);
    // Measurements of another problem, and too little memory.
    place.refused(
        "reconstruct parts --input images.npy --out other.npy",
        4,
        &["images.npy", "16x16", "8x23"],
    );
    place.refused(
        "reconstruct parts --input y.npy --out other.npy --memory-limit 1000",
        5,
        &["1000 bytes are available"],
    );
    place.refused(
        "reconstruct images.npy --input y.npy --out other.npy",
        4,
        &["images.npy"],
    );
}

/// A laboratory without ground truth: nothing but measurements, from training to pictures.
#[test]
fn measurements_alone_are_enough_to_train() {
    let place = Place::new();
    let several = "\
[problem.operator]
kind = \"several\"
[[problem.operator.operators]]
kind = \"inpainting\"
image_size = 16
mask = { kind = \"random\", share = 0.5, seed = 1 }
[[problem.operator.operators]]
kind = \"inpainting\"
image_size = 16
mask = { kind = \"random\", share = 0.5, seed = 2 }
";
    let scan = "\
[problem.operator]
kind = \"ray_transform\"
image_size = 16
views = 8
[problem.noise]
kind = \"gaussian\"
sigma = 1e-3
";
    let imaging = "\
[[loss]]
kind = \"unsure\"
[[loss]]
kind = \"equivariant_imaging\"
noise = true
transforms = { rotation = \"any\" }
";
    let multi = "\
[[loss]]
kind = \"measurement_consistency\"
[[loss]]
kind = \"multi_operator\"
";
    for (name, problem, loss, batch) in [("scan", scan, imaging, 1), ("several", several, multi, 2)]
    {
        // The problem alone, for the other commands.
        let problem_file = format!("{name}.toml");
        place.text(&problem_file, &problem.replace("problem.", ""));
        let y = format!("{name}.npy");
        place.json(&format!(
            "simulate --problem {problem_file} --images images.npy --out {y}"
        ));
        let config = format!(
            "{problem}[data]\ntrain_measurements = \"{y}\"\nvalidation_measurements = \"{y}\"\nvalidation_images = 2\n[model]\nkind = \"unet\"\ngroup = \"C4\"\nwidth = 4\nlevels = 1\n{loss}[training]\nsteps = 4\nbatch = {batch}\nvalidate_every = 2\n"
        );
        place.text(&format!("train-{name}.toml"), &config);
        let trained = place.json(&format!("train train-{name}.toml --out run-{name}"));
        assert!(trained["best_psnr"].is_null(), "{trained}");
        assert!(
            trained["best_validation_loss"]
                .as_f64()
                .unwrap()
                .is_finite()
        );
        let reconstructed = place.json(&format!(
            "reconstruct run-{name} --input {y} --out u-{name}.npy"
        ));
        assert_eq!(reconstructed["images"], 3);
        if name == "several" {
            // Without noise a measurement is the operator's, each image by the one whose turn it is.
            place.json(&format!(
                "operator forward --problem {problem_file} --input images.npy --out again.npy"
            ));
            let bytes = |name: &str| std::fs::read(place.path(name)).unwrap();
            assert_eq!(bytes("again.npy"), bytes(&y));
            npy::write_npy(place.path("ones.npy"), &[3, 16, 16], &[1.0_f32; 768]).unwrap();
            place.json(&format!(
                "operator forward --problem {problem_file} --input ones.npy --out masks.npy"
            ));
            let masks = npy::read_real_npy(place.path("masks.npy")).unwrap().data;
            let mask = |i: usize| &masks[i * 256..(i + 1) * 256];
            assert!(mask(0) != mask(1) && mask(0) == mask(2));
        }
        // Afterwards, on phantoms whose truth is known.
        place.json(&format!("evaluate run-{name} --images images.npy"));
        // What compares with the truth is refused before anything is written.
        place.text(
            "supervised.toml",
            &config.replace(loss, "[[loss]]\nkind = \"supervised\"\n"),
        );
        place.refused(
            "train supervised.toml --out supervised",
            2,
            &["supervised.toml", "ground truth"],
        );
    }
    place.refused(
        "train train-several.toml --out odd --set training.batch=3",
        2,
        &["batch = 3", "multiple of 2"],
    );
}
