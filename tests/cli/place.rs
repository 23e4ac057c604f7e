//! A directory to run the program in, with files to feed it.

use equilens::data::npy;
use std::path::PathBuf;
use std::process::{Command, Output};

pub const PROBLEM: &str = r#"
[operator]
kind = "ray_transform"
image_size = 16
views = 8
[noise]
kind = "low_dose_ct"
"#;

pub const TRAINING: &str = r#"
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
pub struct Place(tempfile::TempDir);

impl Place {
    /// Root mean square error of reconstructions of the directory's images in the file `name`.
    pub fn error(&self, name: &str) -> f64 {
        let truth = discs(3, 16);
        let images = npy::read_real_npy(self.path(name)).unwrap();
        assert_eq!(images.shape, [3, 16, 16]);
        let pairs = images.data.iter().zip(&truth);
        let squares: f64 = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum();
        (squares / truth.len() as f64).sqrt()
    }

    pub fn new() -> Self {
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

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn text(&self, name: &str, text: &str) {
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
    pub fn run(&self, arguments: &str) -> Output {
        self.run_with(arguments, &[])
    }

    pub fn run_with(&self, arguments: &str, environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_equilens"));
        command
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .env_remove("EQUILENS_LOG")
            .env_remove("EQUILENS_TUNE")
            // Tests leave nothing in the cache of whoever runs them, and see nothing of it.
            .env("EQUILENS_CACHE", self.path("cache"))
            .env_remove("RUST_BACKTRACE")
            // Mesa's device selection layer complains on standard error without a desktop.
            .env("NODEVICE_SELECT", "1");
        for (name, value) in environment {
            command.env(name, value);
        }
        command.output().unwrap()
    }

    /// Runs a command that must succeed and returns its JSON.
    pub fn json(&self, arguments: &str) -> serde_json::Value {
        let output = self.run(&format!("--json {arguments}"));
        assert!(
            output.status.success(),
            "{arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The files, without the cache, in which compiled shaders may appear at any time.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "cache")
            .collect();
        names.sort();
        names
    }

    /// Runs a command that must fail with `code`, in one paragraph that names each of `named`,
    /// leaving no file behind.
    #[track_caller]
    pub fn refused(&self, arguments: &str, code: i32, named: &[&str]) {
        self.refused_with(arguments, &[], code, named);
    }

    #[track_caller]
    pub fn refused_with(
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
pub fn discs(count: usize, size: usize) -> Vec<f32> {
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
