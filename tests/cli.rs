//! The built program, driven as a user drives it: everything that can be typed or fed wrongly, and
//! the way through.

use equilens::data::npy;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROBLEM: &str = r#"
[operator]
kind = "ray_transform"
image_size = 16
views = 8
[noise]
kind = "low_dose_ct"
"#;

const TRAINING: &str = r#"
[problem]
file = "problem.toml"
[data]
train = "images.npy"
validation = "images.npy"
[model]
kind = "learned_proximal_gradient"
group = "C4"
width = 8
blocks = 2
[training]
steps = 5
validate_every = 5
checkpoint_every = 5
log_every = 1
"#;

/// A directory with a problem, a training config, images and measurements.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        place.text("problem.toml", PROBLEM);
        place.text("train.toml", TRAINING);
        npy::write_npy(place.path("images.npy"), &[3, 16, 16], &discs(3, 16)).unwrap();
        npy::write_npy(place.path("y.npy"), &[2, 8, 23], &[0.01_f32; 368]).unwrap();
        npy::write_npy(place.path("flat.npy"), &[256], &[0.5_f32; 256]).unwrap();
        npy::write_npy(place.path("small.npy"), &[15, 16], &[0.5_f32; 240]).unwrap();
        place.text("file", "not a directory");
        place.damaged();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// `.npy` files that cannot be used.
    fn damaged(&self) {
        let whole = std::fs::read(self.path("images.npy")).unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(self.path(name), bytes).unwrap();
        write("truncated.npy", &whole[..whole.len() - 5]);
        write("header_only.npy", &whole[..50]);
        let mut huge = b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec();
        huge.extend(b"{'descr': '<f4'");
        write("huge_header.npy", &huge);
        let edited = |from: &str, to: &str| {
            let at = whole.windows(from.len()).position(|w| w == from.as_bytes());
            let mut bytes = whole.clone();
            bytes[at.unwrap()..][..to.len()].copy_from_slice(to.as_bytes());
            bytes
        };
        write(
            "huge_shape.npy",
            &edited("(3, 16, 16), }          ", "(99999999, 99999999), } "),
        );
        write("dtype.npy", &edited("<f4", "<U1"));
        write("fortran.npy", &edited("False", "True "));
        write("not.npy", b"PK\x03\x04 this is a zip file");
        let mut nan = discs(3, 16);
        nan[300] = f32::NAN;
        npy::write_npy(self.path("nan.npy"), &[3, 16, 16], &nan).unwrap();
        let complex = [num_complex::Complex32::new(0.0, 1.0); 256];
        npy::write_npy(self.path("complex.npy"), &[16, 16], &complex).unwrap();
    }

    /// Runs `equilens ARGUMENTS` here, split at spaces.
    fn run(&self, arguments: &str) -> Output {
        self.run_with(arguments, &[])
    }

    fn run_with(&self, arguments: &str, environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_equilens"));
        command
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .env_remove("EQUILENS_LOG")
            .env_remove("RUST_BACKTRACE")
            // Mesa's device selection layer complains on standard error without a desktop.
            .env("NODEVICE_SELECT", "1");
        for (name, value) in environment {
            command.env(name, value);
        }
        command.output().unwrap()
    }

    /// Runs a command that must succeed and returns its JSON.
    fn json(&self, arguments: &str) -> serde_json::Value {
        let output = self.run(&format!("--json {arguments}"));
        assert!(
            output.status.success(),
            "{arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Runs a command that must fail with `code`, in one paragraph that names each of `named`,
    /// leaving no file behind.
    #[track_caller]
    fn refused(&self, arguments: &str, code: i32, named: &[&str]) {
        self.refused_with(arguments, &[], code, named);
    }

    #[track_caller]
    fn refused_with(
        &self,
        arguments: &str,
        environment: &[(&str, &str)],
        code: i32,
        named: &[&str],
    ) {
        let before = self.names();
        let output = self.run_with(arguments, environment);
        let message = String::from_utf8_lossy(&output.stderr);
        let told = format!("equilens {arguments}\n{message}");
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(output.stdout.is_empty(), "standard output of {told}");
        assert!(message.starts_with("error: "), "{told}");
        assert_eq!(message.trim_end().lines().count(), 1, "{told}");
        assert!(!message.contains("panicked"), "{told}");
        for name in named {
            assert!(message.contains(name), "no '{name}' in {told}");
        }
        assert_eq!(self.names(), before, "files left behind by {told}");
    }
}

/// Discs at different places, values 0 and 0.2: thin enough that photons come through.
fn discs(count: usize, size: usize) -> Vec<f32> {
    let centre = (size as f32 - 1.0) / 2.0;
    let mut values = Vec::new();
    for k in 0..count {
        for i in 0..size * size {
            let (r, c) = ((i / size) as f32, (i % size) as f32);
            let (dy, dx) = (r - centre + k as f32, c - centre - k as f32);
            values.push(if dy * dy + dx * dx < 20.0 { 0.2 } else { 0.0 });
        }
    }
    values
}

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

#[test]
fn wrong_usage_is_one_paragraph_with_code_2() {
    let place = Place::new();
    for (arguments, named) in [
        ("trian", &["train"][..]),
        ("train", &["CONFIG.toml"]),
        ("train train.toml", &["--out"]),
        ("simulate --problem problem.toml", &["--images"]),
        ("devices --bakend gl", &["--backend"]),
        ("devices --backend opengl", &["opengl", "vulkan"]),
        ("devices --seed -1", &["-1"]),
        ("devices --seed 99999999999999999999", &["--seed"]),
        ("devices --memory-limit lots", &["--memory-limit", "2GiB"]),
        ("devices --memory-limit 0", &["--memory-limit"]),
        ("group basis --group Q8", &["Q8", "C4"]),
        ("group basis --output regulr", &["regulr", "regular"]),
        ("group basis --size 4", &["4"]),
        ("group basis --size 11", &["11"]),
        ("group basis --group C8", &["C8", "harmonic"]),
        (
            "group basis --group D360 --input regular --size 9 --basis harmonic",
            &["bytes"],
        ),
        ("bench ray/foward/128-50", &["ray/forward/128-50"]),
        ("bench conv3x3/forward/96-96/0", &["conv3x3"]),
        ("bench --filter nothing", &["nothing"]),
        ("bench --samples 0", &["--samples"]),
        (
            "classical tv --problem problem.toml --input y.npy --out u.npy --weight nan",
            &["weight"],
        ),
        (
            "classical tv --problem problem.toml --input y.npy --out u.npy --weight -1",
            &["weight"],
        ),
        (
            "classical tv --problem problem.toml --input y.npy --out u.npy --iterations 0",
            &["iterations"],
        ),
        (
            "classical fbp --problem problem.toml --input y.npy --out u.npy --filter ramp",
            &["ramp", "ram-lak"],
        ),
        ("completions tcsh", &["tcsh", "bash"]),
        ("operator norm --problem problem.toml --adapter 99", &["99"]),
    ] {
        let code = if arguments.contains("--adapter") {
            3
        } else {
            2
        };
        place.refused(arguments, code, named);
    }
}

#[test]
fn outputs_that_cannot_be_written_are_refused_before_the_work() {
    let place = Place::new();
    for out in ["file/out", "no/such/directory/out.npy", "."] {
        for command in [
            "simulate --problem problem.toml --images images.npy --out OUT",
            "operator forward --problem problem.toml --input images.npy --out OUT",
            "classical fbp --problem problem.toml --input y.npy --out OUT",
            "group basis --out OUT",
            "bench ray/forward/8-4 --samples 1 --record OUT",
        ] {
            place.refused(&command.replace("OUT", out), 4, &[out, "cannot write"]);
        }
    }
    for out in ["file", "file/run"] {
        place.refused(
            &format!("train train.toml --out {out}"),
            4,
            &[out, "cannot"],
        );
        let picture = "classical fbp --problem problem.toml --input y.npy --out u.npy --png";
        place.refused(&format!("{picture} {out}"), 4, &[out, "cannot"]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn without_an_adapter_the_message_says_what_to_install() {
    let place = Place::new();
    let environment = [
        ("VK_DRIVER_FILES", "/nonexistent"),
        ("VK_ICD_FILENAMES", "/nonexistent"),
        ("EQUILENS_BACKEND", "vulkan"),
    ];
    for command in [
        "devices",
        "operator norm --problem problem.toml",
        "train train.toml --out run",
        "simulate --problem problem.toml --images images.npy --out out.npy",
        "bench",
    ] {
        let install = "apt-get install mesa-vulkan-drivers";
        place.refused_with(command, &environment, 3, &["no usable adapter", install]);
    }
}

#[test]
fn too_little_memory_tells_both_numbers() {
    let place = Place::new();
    for command in [
        "operator norm --problem problem.toml",
        "simulate --problem problem.toml --images images.npy --out out.npy",
        "classical fbp --problem problem.toml --input y.npy --out out.npy",
        "classical tv --problem problem.toml --input y.npy --out out.npy",
        "train train.toml --out run",
    ] {
        let limited = format!("{command} --memory-limit 1000");
        place.refused(
            &limited,
            5,
            &["1000 bytes are available", "bytes are needed"],
        );
    }
    // One buffer beyond what the adapter binds, whatever the limit.
    let large = PROBLEM
        .replace(
            "image_size = 16",
            "image_size = 8192\ndetector_bins = 65536",
        )
        .replace("views = 8", "views = 100000");
    place.text("large.toml", &large);
    place.refused("operator norm --problem large.toml", 5, &["bytes"]);
}

#[test]
fn help_and_version_go_to_standard_output() {
    let place = Place::new();
    for (arguments, says) in [
        ("--help", "Exit codes"),
        ("--version", "equilens"),
        ("train --help", "Examples"),
        ("operator forward --help", "--problem"),
        ("completions bash", "equilens"),
    ] {
        let output = place.run(arguments);
        assert!(output.status.success(), "{arguments}");
        assert!(output.stderr.is_empty(), "{arguments}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(says), "{arguments}: {text}");
    }
}

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
fn npy_f64(path: &Path) -> Vec<f64> {
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

#[test]
fn a_small_benchmark_is_verified_timed_and_recorded() {
    let place = Place::new();
    let names = "conv3x3/forward/5-7/16 ray/adjoint/16-5 step/ct/C4/8/16 infer/ct/C1/8/16";
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
    assert!(results[2]["peak_bytes"].as_u64().unwrap() > 1000);
    assert!(results[2]["replay_overhead"].is_number());
    let record = std::fs::read(place.path("record.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record["results"], report["results"]);
    for key in ["date", "commit", "equilens", "host"] {
        assert!(record.get(key).is_some(), "{key}");
    }
}
