//! The directory of a training run.
//!
//! | name | holds |
//! | --- | --- |
//! | `config.toml` | the fully resolved config |
//! | `log.jsonl` | JSON lines: a [`Setup`] each time that training begins, then [`Record`]s |
//! | `checkpoint-last/` | where a resumed run goes on |
//! | `checkpoint-best/` | the best in validation so far |
//! | `.lock` | nothing; locked while a process trains here |

use super::checkpoint::{Checkpoint, TrainingState};
use super::config::{ModelSpec, TrainConfig};
use crate::error::{Error, Result};
use crate::files;
use crate::tape::plan::Chosen;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

const CONFIG: &str = "config.toml";
const LOG: &str = "log.jsonl";
const LOCK: &str = ".lock";

/// A run on disk.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    config: TrainConfig,
    /// Open while this process trains: the log, and the file whose lock keeps others out.
    writing: Option<(File, File)>,
}

/// Which checkpoint of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Which {
    /// The best in validation; the last one if the run has no validation images.
    #[default]
    Best,
    /// The last one.
    Last,
}

/// One line of the log: the training loss of a step, or the scores of a validation after it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// Steps done.
    pub step: u64,
    /// Seconds of training, over all resumptions.
    pub seconds: f64,
    /// The loss of this step's batch, before the step's update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// The step size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// The mean loss over the validation images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    /// Their mean PSNR in decibels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_psnr: Option<f64>,
}

/// The line of the log with which a training begins, or goes on after an interruption.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Setup {
    /// Steps done before.
    pub from_step: u64,
    /// The adapter and its backend.
    pub device: String,
    /// The kernel variants of the training step.
    pub variants: Vec<Chosen>,
}

/// A line of the log.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Record(Record),
    Setup(Setup),
}

impl Line {
    fn step(&self) -> u64 {
        match self {
            Line::Record(record) => record.step,
            Line::Setup(setup) => setup.from_step,
        }
    }

    /// A whole line in one write, so that a crash can cut off the last line alone.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

impl RunDir {
    /// Makes the directory of a new run and writes its config, resolved from the working directory.
    ///
    /// # Errors
    /// [`Error::Config`] if it exists and is not empty or the config is not valid, [`Error::Io`] if
    /// it cannot be made or written.
    pub fn create(path: impl AsRef<Path>, config: &TrainConfig) -> Result<Self> {
        let path = path.as_ref();
        let config = config.resolved(Path::new(""))?;
        files::create_directory(path)?;
        let entries = fs::read_dir(path).map_err(|e| Error::io(path, "read", e))?;
        for entry in entries {
            let name = entry.map_err(|e| Error::io(path, "read", e))?.file_name();
            // What an interrupted creation may have left is no run.
            let litter = name.to_string_lossy().starts_with(".writing-") || name == LOCK;
            if !litter {
                return Err(Error::Config(format!(
                    "{} is not empty (it has {}): give a new directory, or --resume to go on with the run in it",
                    path.display(),
                    name.to_string_lossy()
                )));
            }
        }
        files::write_bytes(path.join(CONFIG), config.to_toml()?.as_bytes())?;
        Ok(RunDir {
            path: path.into(),
            config,
            writing: None,
        })
    }

    /// Opens the directory of an existing run.
    ///
    /// # Errors
    /// [`Error::Data`] if it is no run directory, [`Error::Io`] if its config cannot be read,
    /// [`Error::Config`] if the config is not valid.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let config = path.join(CONFIG);
        if !config.is_file() {
            return Err(Error::data(
                path,
                format!(
                    "it has no {CONFIG}, so it is no run directory; give the --out of `equilens train`"
                ),
            ));
        }
        Ok(RunDir {
            path: path.into(),
            config: TrainConfig::load(&config, &[])?,
            writing: None,
        })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The resolved config.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    fn checkpoint_path(&self, which: Which) -> PathBuf {
        self.path.join(match which {
            Which::Best => "checkpoint-best",
            Which::Last => "checkpoint-last",
        })
    }

    /// The directory of a checkpoint that exists, after [`Which::Best`] has stepped back to the
    /// last one if need be.
    fn existing(&self, which: Which) -> Result<Option<PathBuf>> {
        let candidates = match which {
            Which::Best => &[Which::Best, Which::Last][..],
            Which::Last => &[Which::Last],
        };
        for &which in candidates {
            let path = self.checkpoint_path(which);
            files::recover_directory(&path)?;
            if path.is_dir() {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    fn missing(&self) -> Error {
        Error::data(
            &self.path,
            "it has no checkpoint yet: train until the first one, or pass another run directory",
        )
    }

    /// Whether there is a checkpoint to load.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn has_checkpoint(&self) -> Result<bool> {
        Ok(self.existing(Which::Last)?.is_some())
    }

    /// A checkpoint of the network that the config describes.
    ///
    /// # Errors
    /// [`Error::Data`] if there is none; those of [`Checkpoint::load`].
    pub fn load(&self, which: Which) -> Result<Checkpoint> {
        let path = self.existing(which)?.ok_or_else(|| self.missing())?;
        let (found, _) = Checkpoint::describe(&path)?;
        let expected = ModelSpec {
            config: self.config.model.clone(),
            ..found
        };
        Checkpoint::load(&path, &expected)
    }

    /// The network and the state of a checkpoint, without its numbers.
    ///
    /// # Errors
    /// As [`RunDir::load`].
    pub fn describe(&self, which: Which) -> Result<(ModelSpec, TrainingState)> {
        Checkpoint::describe(&self.existing(which)?.ok_or_else(|| self.missing())?)
    }

    /// Replaces a checkpoint.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, which: Which, checkpoint: &Checkpoint) -> Result<()> {
        checkpoint.save(&self.checkpoint_path(which))
    }

    /// The records of the log. A last line that a crash cut off is left out.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] that names the line if another one is damaged.
    pub fn records(&self) -> Result<Vec<Record>> {
        let records = self.lines()?.into_iter().filter_map(|line| match line {
            Line::Record(record) => Some(record),
            Line::Setup(_) => None,
        });
        Ok(records.collect())
    }

    /// What the run was computed on, from its beginning and each resumption.
    ///
    /// # Errors
    /// As [`RunDir::records`].
    pub fn setups(&self) -> Result<Vec<Setup>> {
        let setups = self.lines()?.into_iter().filter_map(|line| match line {
            Line::Setup(setup) => Some(setup),
            Line::Record(_) => None,
        });
        Ok(setups.collect())
    }

    fn lines(&self) -> Result<Vec<Line>> {
        let path = self.path.join(LOG);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let bytes = files::read_bytes(&path)?;
        let lines: Vec<&[u8]> = bytes.split_inclusive(|&b| b == b'\n').collect();
        let mut read = Vec::with_capacity(lines.len());
        for (number, line) in lines.iter().enumerate() {
            match serde_json::from_slice(line) {
                Ok(line) => read.push(line),
                Err(_) if number + 1 == lines.len() => {}
                Err(e) => {
                    return Err(Error::data(
                        &path,
                        format!("line {} is no record of training: {e}", number + 1),
                    ));
                }
            }
        }
        Ok(read)
    }

    /// Starts writing the log with `setup`, behind what was done before: lines of later steps, which
    /// a resumed run does again, are removed.
    ///
    /// # Errors
    /// [`Error::Config`] if another process trains in this directory; [`Error::Io`]; as
    /// [`RunDir::records`].
    pub fn begin(&mut self, setup: &Setup) -> Result<()> {
        let (log, lock) = (self.path.join(LOG), self.path.join(LOCK));
        self.writing = None;
        let held = File::create(&lock).map_err(|e| Error::io(&lock, "write", e))?;
        // File systems without locks go without.
        if let Err(TryLockError::WouldBlock) = held.try_lock() {
            return Err(Error::Config(format!(
                "another process is training in {}: wait for it, or give another directory",
                self.path.display()
            )));
        }
        let mut kept = Vec::new();
        let before = |line: &&Line| line.step() <= setup.from_step;
        for line in self.lines()?.iter().filter(before) {
            kept.extend(line.bytes());
        }
        kept.extend(Line::Setup(setup.clone()).bytes());
        files::write_bytes(&log, &kept)?;
        let file = File::options().append(true).open(&log);
        self.writing = Some((file.map_err(|e| Error::io(&log, "write", e))?, held));
        Ok(())
    }

    /// Appends a line to the log; [`RunDir::begin`] comes first.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn log(&mut self, record: &Record) -> Result<()> {
        let refused = |e| Error::io(self.path.join(LOG), "write", e);
        let Some((file, _)) = &mut self.writing else {
            return Err(refused(std::io::Error::other("the log was not begun")));
        };
        let line = Line::Record(record.clone());
        file.write_all(&line.bytes()).map_err(refused)
    }
}
