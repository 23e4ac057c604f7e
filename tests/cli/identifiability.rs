//! `check identifiability`: the answers, the files, and that no adapter is needed.

use super::place::Place;
use serde_json::Value;

const SCAN: &str = r#"
[operator]
kind = "ray_transform"
image_size = 64
views = 12
[noise]
kind = "low_dose_ct"
"#;

const LINES: &str = r#"
[operator]
kind = "fourier"
image_size = [12, 8]
mask = { kind = "cartesian", lines = 5, centre = 2 }
"#;

/// Runs the check on a machine without adapters: the document, and the exit code.
fn check(place: &Place, arguments: &str) -> (Value, i32) {
    let environment = [
        ("VK_DRIVER_FILES", "/nonexistent"),
        ("VK_ICD_FILENAMES", "/nonexistent"),
        ("EQUILENS_BACKEND", "vulkan"),
    ];
    let arguments = format!("--json check identifiability {arguments}");
    let output = place.run_with(&arguments, &environment);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.is_empty(), "{arguments}: {message}");
    let document = serde_json::from_slice(&output.stdout).unwrap();
    (document, output.status.code().unwrap())
}

#[test]
fn rotations_of_a_scan_say_yes_and_shifts_of_k_space_no() {
    let place = Place::new();
    place.text("scan.toml", SCAN);
    place.text("lines.toml", LINES);
    let (scan, code) = check(
        &place,
        "--problem scan.toml --group C36 --size 16 --out spectrum",
    );
    assert_eq!(code, 0, "{scan}");
    // A quarter of the image, of the views and of the bins, 91 of which make ceil(64 sqrt 2).
    let keys = ["image_size", "views", "detector_bins"];
    assert_eq!(
        keys.map(|key| scan["operator"][key].as_u64().unwrap()),
        [16, 3, 23]
    );
    assert_eq!(scan["problem_operator"]["views"], 12);
    let counts = ["unknowns", "measured", "order"];
    assert_eq!(counts.map(|key| scan[key].as_u64().unwrap()), [256, 69, 36]);
    assert_eq!(scan["identifiable"], true);
    assert_eq!(scan["stacked"]["rank"], 256);
    assert!(scan["alone"]["rank"].as_u64().unwrap() <= 69);
    let values = scan["stacked"]["singular_values"].as_array().unwrap();
    assert_eq!(values.len(), 256);
    let smallest = values[255].as_f64().unwrap() / values[0].as_f64().unwrap();
    let told = scan["stacked"]["smallest"].as_f64().unwrap();
    assert!((told - smallest).abs() < 1e-12, "{told} {smallest}");
    assert!(
        scan["verdict"]
            .as_str()
            .unwrap()
            .starts_with("yes: with C36")
    );
    // The files say the same.
    let read = |name: &str| std::fs::read_to_string(place.path("spectrum").join(name)).unwrap();
    let file: Value = serde_json::from_str(&read("identifiability.json")).unwrap();
    assert_eq!(file, scan);
    let plot = read("spectrum.svg");
    assert!(
        plot.starts_with("<svg") && plot.contains("A alone"),
        "{plot}"
    );

    // At its own size, which is small; twice the 5 x 8 entries are numbers.
    let (lines, code) = check(&place, "--problem lines.toml --group shifts");
    assert_eq!(code, 1, "{lines}");
    assert_eq!(lines["operator"], lines["problem_operator"]);
    assert_eq!(lines["identifiable"], false);
    assert_eq!(lines["enough_measurements"], true);
    for matrix in ["alone", "stacked"] {
        assert_eq!(lines[matrix]["rank"], 80, "{matrix}");
    }
    assert_eq!(lines["transforms"], serde_json::json!(["shifts"]));
}

#[test]
fn people_read_the_answer_in_the_last_line() {
    let place = Place::new();
    place.text("lines.toml", LINES);
    let output = place.run("check identifiability --problem lines.toml --group D2 --group shifts");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.starts_with("kind = \"fourier\", image_size = [12, 8]"),
        "{text}"
    );
    assert!(text.contains("|G| = 384 transforms"), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("no: with D2 after shifts "), "{text}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let place = Place::new();
    place.text("lines.toml", LINES);
    let turns = "check identifiability --problem lines.toml --group C4";
    place.refused(turns, 2, &["C4", "12x8", "square"]);
    place.refused(
        &format!("{turns} --out file/spectrum"),
        4,
        &["file/spectrum"],
    );
    place.text("large.toml", SCAN);
    let large = "check identifiability --problem large.toml --group C4 --size 64";
    place.refused(large, 2, &["4096", "--size"]);
    place.text(
        "mask.toml",
        "[operator]\nkind = \"fourier\"\nimage_size = 64\nmask = \"mask.npy\"\n",
    );
    let missing = "check identifiability --problem mask.toml --group C4";
    place.refused(missing, 4, &["mask.npy"]);
}

#[test]
fn quarter_turns_of_a_fan_reveal_more_than_one_view() {
    let place = Place::new();
    let fan = "beam = { kind = \"fan\", source_to_centre = 0.6, centre_to_detector = 0.4 }";
    let scan = "[operator]\nkind = \"ray_transform\"\nimage_size = 8\nviews = 1\n";
    place.text("fan.toml", &format!("{scan}{fan}\n"));
    let (found, _) = check(&place, "--problem fan.toml --group C4");
    let rank = |part: &str| found[part]["rank"].as_u64().unwrap();
    assert!((1..=12).contains(&rank("alone")), "{found}");
    assert!(rank("stacked") > 2 * rank("alone"), "{found}");
}
