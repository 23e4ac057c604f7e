//! Devices, bases, operators and benchmarks: what they tell is right.

use super::place::Place;
use equilens::data::npy;
use std::path::Path;

#[test]
fn devices_and_bases_are_listed() {
    let place = Place::new();
    let devices = place.json("devices");
    let first = &devices["adapters"][0];
    assert!(first["name"].is_string() && first["backend"].is_string());
    let limit = &first["limits"]["max_storage_buffer_binding_size"];
    assert!(limit.as_u64().is_some_and(|bytes| bytes >= 1 << 20));

    let golden = |name: &str| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        npy_f64(&root.join("tests/golden/basis").join(name))
    };
    for (input, output, file) in [
        ("trivial", "regular", "c4_lift.npy"),
        ("regular", "regular", "c4_intermediate.npy"),
        ("regular", "trivial", "c4_projection.npy"),
    ] {
        let basis = place.json(&format!(
            "group basis --group C4 --input {input} --output {output} --out basis.npy"
        ));
        let expected = golden(file);
        let found = npy_f64(&place.path("basis.npy"));
        let elements = basis["dimension"].as_u64().unwrap();
        let shape: Vec<u64> = (basis["shape"].as_array().unwrap().iter())
            .map(|e| e.as_u64().unwrap())
            .collect();
        assert_eq!(shape[0], elements);
        assert_eq!(shape.iter().product::<u64>() as usize, found.len());
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(&expected) {
            assert!((f - e).abs() < 1e-12, "{file}: {f} instead of {e}");
        }
    }
}

/// The values of a float64 `.npy` file of any rank.
pub fn npy_f64(path: &Path) -> Vec<f64> {
    let bytes = std::fs::read(path).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert!(String::from_utf8_lossy(&bytes[10..header]).contains("<f8"));
    (bytes[header..].chunks_exact(8))
        .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

#[test]
fn the_operator_agrees_with_the_independent_ray_transform() {
    let place = Place::new();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ray");
    let geometry: serde_json::Value =
        serde_json::from_slice(&std::fs::read(golden.join("ray.json")).unwrap()).unwrap();
    place.text(
        "golden.toml",
        &format!(
            "[operator]\nkind = \"ray_transform\"\nimage_size = 37\nviews = 23\ndetector_bins = 59\nfield_of_view = 0.36\ndetector_width = {}\n",
            geometry["bin_width"]
        ),
    );
    let close = |found: &Path, expected: &Path| {
        let found = npy::read_real_npy(found).unwrap();
        let expected = npy::read_real_npy(expected).unwrap();
        assert_eq!(found.shape, expected.shape);
        let largest = expected.data.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        for (f, e) in found.data.iter().zip(&expected.data) {
            assert!((f - e).abs() <= 1e-5 * largest, "{f} instead of {e}");
        }
    };
    let image = golden.join("image.npy");
    let (sinogram, adjoint) = (
        golden.join("sinogram.npy"),
        golden.join("backprojection.npy"),
    );
    place.json(&format!(
        "operator forward --problem golden.toml --input {} --out forward.npy",
        image.display()
    ));
    close(&place.path("forward.npy"), &sinogram);
    place.json("operator adjoint --problem golden.toml --input forward.npy --out adjoint.npy");
    close(&place.path("adjoint.npy"), &adjoint);
    // A^T (A 0 - (-y)) = A^T y, so the gradient at zero with negated data is the adjoint.
    let negated: Vec<f32> = (npy::read_real_npy(&sinogram).unwrap().data.iter())
        .map(|v| -v)
        .collect();
    npy::write_npy(place.path("data.npy"), &[23, 59], &negated).unwrap();
    npy::write_npy(place.path("zero.npy"), &[37, 37], &[0.0_f32; 37 * 37]).unwrap();
    place.json("operator gradient --problem golden.toml --input zero.npy --data data.npy --out gradient.npy");
    close(&place.path("gradient.npy"), &adjoint);
    let norm = place.json("operator norm --problem golden.toml");
    let (found, expected) = (norm["norm"].as_f64(), geometry["norm"].as_f64());
    let (found, expected) = (found.unwrap(), expected.unwrap());
    assert!((found / expected - 1.0).abs() < 1e-4, "{found} {expected}");
}

#[test]
fn a_small_benchmark_is_verified_timed_and_recorded() {
    let place = Place::new();
    let names = "conv3x3/forward/5-7/16 ray/adjoint/16-5-30 step/ct/C4/8/16 infer/ct/C1/8/16 \
        symmetric_conv/C2/forward/1-2/16 symmetric_conv/C4/weight_gradient/2-3/16 \
        symmetric_conv/D4/input_gradient/2-1/16";
    let report = place.json(&format!("bench {names} --samples 2 --record record.json"));
    assert!(report["ceiling"]["fma_gflops"].as_f64().unwrap() > 0.1);
    assert!(report["ceiling"]["copy_gbytes"].as_f64().unwrap() > 0.1);
    let results = report["results"].as_array().unwrap();
    let found: Vec<&str> = results
        .iter()
        .map(|r| r["name"].as_str().unwrap())
        .collect();
    assert_eq!(found.join(" "), names);
    for result in results {
        assert_eq!(result["verified"], true, "{result}");
        let [min, median, max] =
            ["min_ms", "median_ms", "max_ms"].map(|key| result[key].as_f64().unwrap());
        assert!(0.0 < min && min <= median && median <= max, "{result}");
        assert!(result["fraction"].as_f64().unwrap() > 0.0);
    }
    for result in &results[4..] {
        let [dense, executed] =
            ["dense_equivalent_gflops", "gflops"].map(|key| result[key].as_f64().unwrap());
        assert!(dense > 0.0 && executed > 0.0, "{result}");
    }
    assert!(results[2]["peak_bytes"].as_u64().unwrap() > 1000);
    assert!(results[2]["replay_overhead"].is_number());
    let record = std::fs::read(place.path("record.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record["results"], report["results"]);
    for key in ["date", "commit", "equilens", "host"] {
        assert!(record.get(key).is_some(), "{key}");
    }
}

#[test]
fn tuning_is_kept_used_and_passed_over() {
    let place = Place::new();
    // An ordinary network: all of its layers have a readable variant.
    let config = std::fs::read_to_string(place.path("train.toml")).unwrap();
    place.text("ordinary.toml", &config.replace("\"C4\"", "\"C1\""));
    let tune = "tune --config ordinary.toml 8-8 --budget 20";
    let first = place.json(tune);
    let results = first["results"].as_array().unwrap();
    assert!(!results.is_empty());
    for result in results {
        let name = result["operation"].as_str().unwrap();
        assert!(name.contains("conv2d") && name.contains("8-8"), "{name}");
        assert_eq!(result["measured_now"], true, "{name}");
        let trials = result["trials"].as_array().unwrap();
        assert_eq!(result["tried"].as_u64(), Some(trials.len() as u64));
        assert!(trials.iter().any(|t| t["name"] == result["winner"]));
        assert!(result["speedup"].as_f64().unwrap() > 0.0);
    }
    let file = Path::new(first["file"].as_str().unwrap()).to_path_buf();
    assert!(file.starts_with(place.path("cache")), "{}", file.display());
    // What is complete is not measured again; and an unlikely winner, so that it shows.
    let text = std::fs::read_to_string(&file).unwrap();
    let mut records: serde_json::Value = serde_json::from_str(&text).unwrap();
    for record in records["records"].as_array_mut().unwrap() {
        record["complete"] = true.into();
        record["winner"] = "readable".into();
    }
    std::fs::write(&file, records.to_string()).unwrap();
    let again = place.json(tune);
    for result in results {
        let mut again = again["results"].as_array().unwrap().iter();
        let again = again
            .find(|r| r["operation"] == result["operation"])
            .unwrap();
        assert_eq!(again["measured_now"], false);
        assert_eq!(again["trials"], result["trials"]);
    }
    let readable = |run: &str, options: &str| {
        place.json(&format!(
            "train ordinary.toml --out {run} --set training.steps=1 {options}"
        ));
        let log = std::fs::read_to_string(place.path(run).join("log.jsonl")).unwrap();
        let setup: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
        assert_eq!(setup["from_step"], 0);
        let variants = setup["variants"].as_array().unwrap();
        assert!(variants.len() > 5, "{log}");
        variants
            .iter()
            .filter(|v| v["variant"] == "readable")
            .count()
    };
    assert!(readable("tuned", "") >= results.len());
    assert_eq!(readable("off", "--tune off"), 0);
    assert_eq!(readable("deterministic", "--deterministic --tune on"), 0);

    // A damaged file is a warning, and measured again.
    std::fs::write(&file, "{").unwrap();
    let output = place.run("--json tune --config train.toml 8-8 --budget 1");
    assert!(output.status.success());
    let warning = String::from_utf8_lossy(&output.stderr);
    assert!(warning.contains("cannot be used"), "{warning}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["results"][0]["measured_now"], true);
}

#[test]
fn tuning_without_a_config_knows_the_networks_of_ct_and_mri() {
    let place = Place::new();
    let listed = |arguments: &str| -> Vec<String> {
        let told = place.json(&format!("tune --list {arguments}"));
        let operations = told["operations"].as_array().unwrap().iter();
        let name = |o: &serde_json::Value| {
            assert!(o["candidates"].as_u64().unwrap() > 1, "{o}");
            o["operation"].as_str().unwrap().to_string()
        };
        operations.map(name).collect()
    };
    let all = listed("");
    for (i, operation) in all.iter().enumerate() {
        assert!(!all[..i].contains(operation), "{operation} twice");
    }
    for part in [
        // The papers' MRI: complex images and gradients, and what is carried from block to block.
        "conv2d forward 9-96 3x3 replicate on 1x512x512",
        "conv2d weight gradient 96-96 3x3 replicate on 1x512x512",
        "symmetric conv input gradient C4 24 24-24 96-96 3x3 replicate on 1x512x512",
        "fourier planes complex 1x320x320",
        "fourier planes complex 8x320x320",
        // The demo's MRI and CT.
        "fourier planes complex 1x64x64",
        "conv2d forward 9-16 3x3 replicate on 1x64x64",
        "conv2d forward 7-16 3x3 replicate on 1x64x64",
        "ray transform adjoint 50 views of 91 bins",
        // DnCNN, deblurring, U-Net, primal-dual.
        "symmetric conv forward C4 36 16-16 64-64 3x3 replicate on 1x256x256",
        "fourier planes from real 1x256x256",
        "symmetric conv forward C4 36 16-16 64-64 3x3 replicate on 1x64x64",
        "symmetric conv forward D1",
    ] {
        assert!(all.iter().any(|o| o.contains(part)), "no {part} in {all:?}");
    }
    // The longest first.
    assert!(
        all[0].ends_with("96-96 3x3 replicate on 1x512x512"),
        "{all:?}"
    );
    let fourier = listed("fourier 64x64");
    let wanted = |o: &&String| o.contains("fourier") || o.contains("64x64");
    assert_eq!(
        fourier,
        all.iter().filter(wanted).cloned().collect::<Vec<_>>()
    );
    let own = listed("--config train.toml");
    assert!(own.iter().all(|o| !o.contains("fourier planes")), "{own:?}");
}

#[test]
fn comparisons_are_pair_by_pair() {
    let place = Place::new();
    for (sides, variants) in [
        ("ray/forward/16-5 ray/adjoint/16-5", None),
        (
            "readable readable --name conv3x3/forward/5-7/16",
            Some("readable"),
        ),
    ] {
        let told = place.json(&format!("bench --compare {sides} --samples 3"));
        let comparison = &told["comparison"];
        for side in ["a", "b"] {
            assert_eq!(comparison[side]["verified"], true, "{comparison}");
            if let Some(variant) = variants {
                assert_eq!(comparison[side]["variant"], variant);
            }
        }
        assert_eq!(comparison["pairs"].as_array().unwrap().len(), 3);
        let [low, median, high] =
            ["low", "median", "high"].map(|key| comparison["ratio"][key].as_f64().unwrap());
        assert!(0.0 < low && low <= median && median <= high, "{comparison}");
    }
}

#[test]
fn the_table_says_where_a_peer_is_missing() {
    let place = Place::new();
    place.text("peers.jsonl", "");
    let told = place.json("bench --table --filter fft2/320 --samples 3 --peers peers.jsonl");
    let rows = told["table"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0]["ours"].as_f64().unwrap() > 0.0, "{}", rows[0]);
    assert!(rows[0]["note"].as_str().unwrap().contains("no peer"));
    assert!(rows[0].get("reached").is_none(), "{}", rows[0]);
    place.text("peers.jsonl", "{}");
    place.refused("bench --table --peers peers.jsonl", 4, &["line 1", "name"]);
}

#[test]
fn a_first_step_tells_time_and_memory() {
    let place = Place::new();
    let told = place.json("bench --first-step step/ct/C4/8/16");
    let step = &told["first_step"];
    assert!(step["seconds"].as_f64().unwrap() > 0.0, "{step}");
    assert!(step["plan_bytes"].as_u64().unwrap() > 1000, "{step}");
}
