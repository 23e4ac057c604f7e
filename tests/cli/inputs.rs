//! Arrays, problems and configurations that cannot be used.

use super::place::{PROBLEM, Place, TRAINING};

#[test]
fn unusable_arrays_are_named_and_refused() {
    let place = Place::new();
    for (file, says) in [
        ("truncated.npy", "truncated"),
        ("header_only.npy", "header"),
        ("huge_header.npy", "header"),
        ("huge_shape.npy", "shape"),
        ("dtype.npy", "dtype"),
        ("fortran.npy", "Fortran"),
        ("not.npy", "npy"),
        ("nan.npy", "NaN"),
        ("missing.npy", "cannot read"),
        (".", "not a file"),
        ("flat.npy", "[H, W]"),
        ("small.npy", "15"),
        ("complex.npy", "complex"),
    ] {
        let named: &[&str] = if file == "." { &[says] } else { &[file, says] };
        for command in [
            "simulate --problem problem.toml --images FILE --out out.npy",
            "operator forward --problem problem.toml --input FILE --out out.npy",
            "operator adjoint --problem problem.toml --input FILE --out out.npy",
            "operator gradient --problem problem.toml --input images.npy --data FILE --out out.npy",
            "classical fbp --problem problem.toml --input FILE --out out.npy",
            "classical tv --problem problem.toml --input FILE --out out.npy",
            "train train.toml --out run --set data.train=FILE",
        ] {
            // Training takes a vector for an image of one row and says which size it needs.
            let named = if command.starts_with("train") && file == "flat.npy" {
                &named[..1]
            } else {
                named
            };
            place.refused(&command.replace("FILE", file), 4, named);
        }
    }
    // As many measurements as images.
    place.refused(
        "operator gradient --problem problem.toml --input images.npy --data y.npy --out out.npy",
        4,
        &["y.npy", "images.npy", "2", "3"],
    );
}

#[test]
fn unusable_problems_name_file_and_key() {
    let place = Place::new();
    let commands = [
        "simulate --problem bad.toml --images images.npy --out out.npy",
        "operator norm --problem bad.toml",
        "classical tv --problem bad.toml --input y.npy --out out.npy",
        "train train.toml --out run --set problem.file=bad.toml",
    ];
    for (from, to, named) in [
        (
            "views = 8",
            "veiws = 8",
            &["bad.toml", "veiws", "views"][..],
        ),
        ("[noise]", "[noize]", &["bad.toml", "noize", "noise"]),
        (
            "\"ray_transform\"",
            "\"ray_transfrom\"",
            &["bad.toml", "ray_transfrom", "ray_transform"],
        ),
        ("low_dose_ct", "low_dose", &["bad.toml", "low_dose_ct"]),
        ("views = 8", "views = -8", &["bad.toml", "views"]),
        ("views = 8", "views = 0", &["bad.toml", "views"]),
        ("views = 8", "views = 1e300", &["bad.toml", "views"]),
        ("views = 8", "views = 99999999999999999999", &["bad.toml"]),
        ("views = 8", "views = nan", &["bad.toml", "views"]),
        ("views = 8", "views = \"8\"", &["bad.toml", "views"]),
        (
            "image_size = 16",
            "image_size = 0",
            &["bad.toml", "image_size"],
        ),
        (
            "image_size = 16",
            "image_size = 1000000000",
            &["bad.toml", "image_size"],
        ),
        (
            "views = 8",
            "field_of_view = nan",
            &["bad.toml", "field_of_view"],
        ),
        (
            "views = 8",
            "field_of_view = -0.36",
            &["bad.toml", "field_of_view"],
        ),
        (
            "views = 8",
            "detector_bins = 0",
            &["bad.toml", "detector_bins"],
        ),
        ("views = 8", "angles = []", &["bad.toml", "angles"]),
        ("views = 8", "angles = [inf]", &["bad.toml", "angles"]),
        (
            "views = 8",
            "views = 8\nangles = [0, 90]",
            &["bad.toml", "views", "angles"],
        ),
        (
            "\"low_dose_ct\"",
            "\"low_dose_ct\"\nphotons = 0",
            &["bad.toml", "photons"],
        ),
        (
            "\"low_dose_ct\"",
            "\"low_dose_ct\"\nphotons = 1e300",
            &["bad.toml", "photons"],
        ),
        (
            "\"low_dose_ct\"",
            "\"gaussian\"\nsigma = -1",
            &["bad.toml", "sigma"],
        ),
        ("\"low_dose_ct\"", "\"gaussian\"", &["bad.toml", "sigma"]),
        ("[noise]", "[noise", &["bad.toml", "line"]),
        (
            "views = 8",
            "views = 8\nviews = 9",
            &["bad.toml", "duplicate"],
        ),
    ] {
        let text = PROBLEM.replace(from, to);
        assert_ne!(text, PROBLEM, "{from}");
        place.text("bad.toml", &text);
        for command in commands {
            place.refused(command, 2, named);
        }
    }
    std::fs::write(place.path("bad.toml"), b"\xff\xfe binary").unwrap();
    for command in commands {
        place.refused(command, 4, &["bad.toml"]);
        place.refused(
            &command.replace("bad.toml", "absent.toml"),
            4,
            &["absent.toml"],
        );
    }
}

#[test]
fn unusable_training_configs_name_file_and_key() {
    let place = Place::new();
    for (from, to, named) in [
        ("width = 8", "widht = 8", &["widht", "width"][..]),
        ("width = 8", "width = 7", &["width", "multiple"]),
        ("width = 8", "width = 0", &["width"]),
        ("width = 8", "width = 4000000000", &["width"]),
        ("blocks = 2", "blocks = 0", &["blocks"]),
        ("blocks = 2", "blocks = -1", &["blocks"]),
        ("\"C4\"", "\"Q4\"", &["Q4"]),
        ("\"C4\"", "\"C5\"", &["C5"]),
        ("[training]", "[trianing]", &["trianing", "training"]),
        ("steps = 5", "steps = 0", &["steps"]),
        ("steps = 5", "steps = -5", &["steps"]),
        ("steps = 5", "steps = 1e3", &["steps"]),
        ("steps = 5", "batch = 0", &["batch"]),
        ("steps = 5", "batch = 100", &["batch"]),
        ("log_every = 1", "log_every = 0", &["log_every"]),
        (
            "[training]",
            "[optimiser]\nkind = \"adam\"\nlearning_rate = nan\n[training]",
            &["learning_rate"],
        ),
        (
            "[training]",
            "[optimiser]\nkind = \"adam\"\nlearning_rate = -1e-3\n[training]",
            &["learning_rate"],
        ),
        (
            "[training]",
            "[optimiser]\nkind = \"adam\"\nbeta2 = 1.0\n[training]",
            &["beta2"],
        ),
        (
            "[training]",
            "[optimiser]\nkind = \"sgd\"\n[training]",
            &["sgd", "adam"],
        ),
        ("[data]", "[data]\ntrain_images = 0", &["train_images"]),
    ] {
        let text = TRAINING.replace(from, to);
        assert_ne!(text, TRAINING, "{from}");
        place.text("bad.toml", &text);
        place.refused("train bad.toml --out run", 2, named);
    }
    place.text(
        "bad.toml",
        &TRAINING.replace("[data]", "[data]\ntrain_images = 9"),
    );
    place.refused("train bad.toml --out run", 4, &["images.npy", "9", "3"]);
    for (set, named) in [
        ("training.stpes=5", &["stpes", "steps"][..]),
        ("training.steps", &["training.steps", "="]),
        ("training.steps.x=5", &["steps"]),
        ("=5", &["unknown key"]),
    ] {
        place.refused(&format!("train train.toml --out run --set {set}"), 2, named);
    }
}
