//! Rows that need a fresh process of this program.

use super::rows::Spec;
use super::{Row, Run, how_to_get};
use crate::bench::FirstStep;
use crate::bench::statistics::Spread;
use crate::error::{Error, Result};
use crate::tune::median;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;

/// Processes with filled caches that are started; the median of their times counts.
const FILLED_RUNS: usize = 3;

/// This program and its options, as a command to start.
#[derive(Clone, PartialEq, Debug)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Options that choose the same adapter.
    pub arguments: Vec<OsString>,
}

impl Program {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments);
        command
    }

    fn failed(&self, what: impl Into<String>) -> Error {
        Error::data(&self.path, what)
    }

    /// Runs the first step in a fresh process whose caches, the driver's too, lie in `caches`:
    /// seconds from its start to its end, less those of its second step, and what it tells.
    fn first_step(&self, name: &str, caches: &Path) -> Result<(f64, FirstStep)> {
        let start = Instant::now();
        let output = self
            .command()
            .args(["--json", "bench", "--first-step", name])
            .env("EQUILENS_CACHE", caches.join("equilens"))
            .env("XDG_CACHE_HOME", caches)
            .env("MESA_SHADER_CACHE_DIR", caches.join("mesa"))
            .stderr(Stdio::inherit())
            .output()
            .map_err(|e| Error::io(&self.path, "start", e))?;
        let seconds = start.elapsed().as_secs_f64();
        if !output.status.success() {
            let what = format!(
                "the first step in a fresh process failed: {}",
                output.status
            );
            return Err(self.failed(what));
        }
        #[derive(serde::Deserialize)]
        struct Document {
            first_step: FirstStep,
        }
        let document: Document = serde_json::from_slice(&output.stdout)
            .map_err(|e| self.failed(format!("a fresh process told something else: {e}")))?;
        let told = document.first_step;
        Ok((seconds - told.next_seconds, told))
    }
}

/// What the rows on fresh processes share.
#[derive(Default)]
pub(super) struct FirstSteps {
    /// Filled by a run.
    caches: Option<TempDir>,
    told: Option<FirstStep>,
}

impl Run<'_> {
    /// With empty caches: one process. With filled ones: the median of several.
    pub(super) fn first_step(&mut self, spec: &Spec, name: &str, filled: bool) -> Result<Row> {
        let program = &self.options.program;
        let mut seconds = None;
        if !filled || self.first_steps.caches.is_none() {
            let caches = TempDir::new().map_err(|e| Error::io("caches", "create", e))?;
            let (empty, told) = program.first_step(name, caches.path())?;
            seconds = Some(empty);
            self.first_steps.caches = Some(caches);
            self.first_steps.told = Some(told);
        }
        if let (true, Some(caches)) = (filled, &self.first_steps.caches) {
            let mut times = Vec::new();
            for _ in 0..FILLED_RUNS {
                let (took, told) = program.first_step(name, caches.path())?;
                times.push(took);
                self.first_steps.told = Some(told);
            }
            seconds = median(&times);
        }
        let mut row = spec.row();
        row.ours = seconds;
        if let Some(told) = self.first_steps.told {
            row.note = Some(format!(
                "whole process, less a second step of {:.2} s",
                told.next_seconds
            ));
        }
        Ok(row.judged())
    }

    /// Resident memory beyond what the process had before its first buffer where the adapter runs
    /// on the processor, which is how the peer's is measured; else the plan's bytes.
    pub(super) fn memory(&mut self, spec: &Spec, name: &str, peer: &'static str) -> Result<Row> {
        let told = match self.first_steps.told {
            Some(told) => told,
            None => {
                let caches = TempDir::new().map_err(|e| Error::io("caches", "create", e))?;
                self.options.program.first_step(name, caches.path())?.1
            }
        };
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let resident = (told.peak_rss.zip(told.base_rss))
            .filter(|_| self.gpu.is_software())
            .map(|(peak, base)| mib(peak.saturating_sub(base)));
        let plan = mib(told.plan_bytes);
        let mut row = spec.row();
        row.ours = Some(resident.unwrap_or(plan));
        row.ratio_of = Some("ours : peer");
        row.note = Some(match resident {
            Some(_) => {
                format!("resident memory beyond the base process; the plan takes {plan:.0} MiB")
            }
            None => {
                "the plan's memory; the peer's is resident memory beyond the base process".into()
            }
        });
        match self.record(peer, name).and_then(|r| r.memory_mib()) {
            Some(theirs) => {
                row.peer = Some(theirs);
                row.ratio = row.ours.and_then(|ours| Spread::of(&[ours / theirs]));
            }
            None => row.note = Some(how_to_get(peer)),
        }
        Ok(row.judged())
    }

    /// From the start of the process to the first score on standard error; the rest of the demo is
    /// not waited for.
    pub(super) fn demo(&mut self, spec: &Spec) -> Result<Row> {
        let program = &self.options.program;
        let out = TempDir::new().map_err(|e| Error::io("demo", "create", e))?;
        let start = Instant::now();
        let mut child = program
            .command()
            .arg("demo")
            .arg("--out")
            .arg(out.path().join("demo"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| Error::io(&program.path, "start", e))?;
        let mut lines = child.stderr.take().map(|e| BufReader::new(e).lines());
        let first = lines.as_mut().and_then(|lines| {
            lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("PSNR")))
        });
        let seconds = start.elapsed().as_secs_f64();
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
        let mut row = spec.row();
        match first {
            Some(_) => row.ours = Some(seconds),
            None => row.note = Some("the demo ended without a result".into()),
        }
        Ok(row.judged())
    }
}
