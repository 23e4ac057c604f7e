//! What was measured, in one JSON file for each device.

use super::measure::Trial;
use super::subject::Subject;
use crate::error::Result;
use crate::files;
use crate::gpu::Gpu;
use crate::shader::fnv1a;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Raised when the meaning of a record changes.
const SCHEMA: u32 = 1;
/// The version that the kernels go through; a test compares it with `Cargo.lock`.
const WGPU: &str = "30.0.1";

/// The measurements of one operation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Family, structure and rounded extents.
    pub operation: String,
    /// Hash of the candidates' sources, in hexadecimal digits.
    pub sources: String,
    /// The name of the fastest one.
    pub winner: String,
    /// Whether every candidate was tried; else the budget ended before.
    pub complete: bool,
    /// The candidates in order, the default first.
    pub trials: Vec<Trial>,
}

impl Record {
    /// The default's median time over the winner's.
    pub fn speedup(&self) -> Option<f64> {
        let winner = self.trials.iter().find(|t| t.name == self.winner)?;
        Some(self.trials.first()?.median()? / winner.median()?)
    }
}

/// What measurements depend on besides the operation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Device {
    vendor: u32,
    name: String,
    backend: String,
    driver: String,
    wgpu: String,
}

impl Device {
    fn of(gpu: &Gpu) -> Self {
        let info = gpu.info();
        Device {
            vendor: info.vendor,
            name: info.name.clone(),
            backend: format!("{:?}", info.backend).to_lowercase(),
            driver: format!("{} {}", info.driver, info.driver_info),
            wgpu: WGPU.into(),
        }
    }

    /// A readable part, and a hash that tells devices apart that look alike.
    fn file_name(&self) -> String {
        let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = self
            .name
            .to_lowercase()
            .chars()
            .map(word)
            .take(40)
            .collect();
        let all = serde_json::to_string(self).unwrap_or_default();
        let hash = fnv1a(all.as_bytes()) as u32;
        format!("tuning-{name}-{}-{hash:08x}.json", self.backend)
    }
}

#[derive(Serialize, Deserialize)]
struct File {
    schema: u32,
    device: Device,
    records: Vec<Record>,
}

/// The records of one device.
pub(super) struct Records {
    path: Option<PathBuf>,
    device: Device,
    records: Vec<Record>,
}

impl Records {
    /// Those kept for the device.
    pub fn of(gpu: &Gpu) -> Self {
        let device = Device::of(gpu);
        let path = gpu.cache().map(|cache| cache.join(device.file_name()));
        Self::load(path, device)
    }

    fn load(path: Option<PathBuf>, device: Device) -> Self {
        let mut records = Records {
            path,
            device,
            records: Vec::new(),
        };
        records.refresh();
        records
    }

    /// What the file holds now, if it can be used.
    fn refresh(&mut self) {
        let Some(path) = self.path.as_deref().filter(|path| path.exists()) else {
            return;
        };
        match read(path, &self.device) {
            Ok(records) => self.records = records,
            Err(why) => log::warn!(
                "{}: the measurements in it cannot be used ({why}) and will be made again",
                path.display()
            ),
        }
    }

    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Whether there is a record of the operation, be it of other sources.
    pub fn has(&self, operation: &str) -> bool {
        self.records.iter().any(|r| r.operation == operation)
    }

    /// The record of the subject as it is.
    ///
    /// # Errors
    /// [`Error::Shader`](crate::error::Error::Shader) if a source does not compose.
    pub fn find(&self, subject: &Subject) -> Result<Option<&Record>> {
        let sources = key(subject)?;
        let mut records = self.records.iter();
        Ok(records.find(|r| r.operation == subject.operation() && r.sources == sources))
    }

    /// Keeps a record in place of older ones of the operation, here and in the file, where other
    /// processes may have added theirs.
    ///
    /// # Errors
    /// [`Error::Io`](crate::error::Error::Io).
    pub fn insert(&mut self, record: Record) -> Result<()> {
        self.refresh();
        self.records.retain(|r| r.operation != record.operation);
        self.records.push(record);
        let Some(path) = &self.path else {
            return Ok(());
        };
        if let Some(directory) = path.parent() {
            files::create_directory(directory)?;
        }
        let file = File {
            schema: SCHEMA,
            device: self.device.clone(),
            records: self.records.clone(),
        };
        let text = serde_json::to_string_pretty(&file).unwrap_or_default();
        files::write_bytes(path, text.as_bytes())
    }
}

/// The hash of the subject's sources as records hold it.
pub(super) fn key(subject: &Subject) -> Result<String> {
    Ok(format!("{:016x}", subject.sources()?))
}

/// The records of a file, or why they cannot be used.
fn read(path: &Path, device: &Device) -> Result<Vec<Record>, String> {
    let bytes = files::read_bytes(path).map_err(|e| e.to_string())?;
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
    match value.get("schema").and_then(serde_json::Value::as_u64) {
        Some(schema) if schema == u64::from(SCHEMA) => {}
        other => return Err(format!("its schema is {other:?} instead of {SCHEMA}")),
    }
    let file: File = serde_json::from_value(value).map_err(|e| e.to_string())?;
    if file.device != *device {
        return Err("it is of another device".into());
    }
    Ok(file.records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Capabilities;
    use crate::kernels::conv2d::{Convolution, WeightAlgorithm};
    use crate::shape::{Padding, Shape, Window};

    fn device() -> Device {
        Device {
            vendor: 1,
            name: "A card / 2".into(),
            backend: "vulkan".into(),
            driver: "d 1".into(),
            wgpu: WGPU.into(),
        }
    }

    fn subject(channels: usize) -> Subject {
        let convolution = Convolution {
            x: Shape::new(1, channels, 8, 8),
            outputs: 2,
            window: Window::same(3, Padding::Zero),
        };
        Subject::of::<WeightAlgorithm>(Capabilities::default(), &convolution)
    }

    fn record(subject: &Subject, winner: &str) -> Record {
        Record {
            operation: subject.operation().into(),
            sources: key(subject).unwrap(),
            winner: winner.into(),
            complete: true,
            trials: vec![Trial {
                name: winner.into(),
                compile_ms: 1.0,
                samples_ms: vec![2.0, 3.0],
            }],
        }
    }

    #[test]
    fn what_was_kept_is_found_again_by_everyone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new").join(device().file_name());
        let mut records = Records::load(Some(path.clone()), device());
        let mut other = Records::load(Some(path.clone()), device());
        let (a, b) = (subject(1), subject(2));
        records.insert(record(&a, "x")).unwrap();
        // Another process, which read the file before.
        other.insert(record(&b, "y")).unwrap();
        other.insert(record(&b, "z")).unwrap();
        let read = Records::load(Some(path), device());
        assert_eq!(read.records.len(), 2);
        assert_eq!(read.find(&a).unwrap(), Some(&record(&a, "x")));
        assert_eq!(read.find(&b).unwrap().unwrap().winner, "z");
        // The same operation with other sources has no record that counts.
        let mut edited = b.clone();
        edited.candidates.pop();
        assert!(read.has(edited.operation()));
        assert_eq!(read.find(&edited).unwrap(), None);
    }

    #[test]
    fn damaged_and_foreign_files_are_passed_over_and_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file.json");
        let a = subject(1);
        let mut records = Records::load(Some(path.clone()), device());
        records.insert(record(&a, "x")).unwrap();
        let whole = files::read_text(&path).unwrap();
        let unreadable = [
            String::new(),
            whole[..whole.len() / 2].to_string(),
            "[1, 2]".into(),
            "\u{0}\u{1}".into(),
            whole.replace("\"schema\": 1", "\"schema\": 2"),
            whole.replace("d 1", "d 2"),
            whole.replace(WGPU, "29.0.0"),
            whole.replace("\"winner\"", "\"loser\""),
        ];
        for text in unreadable {
            assert_ne!(text, whole);
            files::write_bytes(&path, text.as_bytes()).unwrap();
            let mut records = Records::load(Some(path.clone()), device());
            assert!(!records.has(a.operation()), "{text}");
            records.insert(record(&a, "y")).unwrap();
            let records = Records::load(Some(path.clone()), device());
            assert_eq!(records.find(&a).unwrap().unwrap().winner, "y");
        }
    }

    #[test]
    fn each_device_has_its_file() {
        assert!(
            device()
                .file_name()
                .starts_with("tuning-a-card---2-vulkan-")
        );
        for other in [
            Device {
                driver: "d 2".into(),
                ..device()
            },
            Device {
                vendor: 2,
                ..device()
            },
            Device {
                wgpu: "31.0.0".into(),
                ..device()
            },
        ] {
            assert_ne!(other.file_name(), device().file_name());
        }
    }

    #[test]
    fn the_version_of_wgpu_is_the_locked_one() {
        let lock = include_str!("../../Cargo.lock");
        assert!(
            lock.contains(&format!("name = \"wgpu\"\nversion = \"{WGPU}\"")),
            "set WGPU in src/tune/records.rs to the version in Cargo.lock"
        );
    }
}
