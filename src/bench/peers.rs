//! Other programs that do the same work: their records, and processes that are timed in turns with
//! ours.
//!
//! A peer is any program that is called as `COMMAND NAME --serve` with the name of a benchmark. It
//! prepares, warms up, and prints one line `{"ready": true}`; then it answers every line on its
//! standard input with one line `{"ms": 12.3}` after doing the work once; when its standard input
//! ends, it prints its record and exits. Lines of output that are no JSON objects are ignored. The
//! programs in `benches/peers/` are such peers.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::str::FromStr;

/// What a peer printed: one line of JSON. Fields beyond these are ignored.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PeerRecord {
    /// The benchmark.
    pub name: String,
    /// Which peer: `burn`, `pytorch`, `scipy`, `astra`.
    pub peer: String,
    /// Milliseconds.
    pub median_ms: f64,
    /// Milliseconds of the first call, compiling and tuning included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_ms: Option<f64>,
    /// Threads that it used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Its libraries' versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Highest resident memory of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_rss_mib: Option<f64>,
    /// The same before its first array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_rss_mib: Option<f64>,
}

impl PeerRecord {
    /// Memory of the problem, in MiB: what the process took beyond its libraries.
    pub fn memory_mib(&self) -> Option<f64> {
        Some(self.peak_rss_mib? - self.base_rss_mib?)
    }

    /// The records in a file of JSON lines.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Data`] with the line that is no record.
    pub fn read(path: &Path) -> Result<Vec<PeerRecord>> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, "read", e))?;
        let lines = text.lines().enumerate();
        lines
            .filter(|(_, line)| !line.trim().is_empty())
            .map(|(i, line)| {
                serde_json::from_str(line).map_err(|e| {
                    let line = i + 1;
                    let what = format!(
                        "line {line} is no peer's record ({e}); expected is one JSON object a line with at least name, peer and median_ms, as the programs in benches/peers print them"
                    );
                    Error::data(path, what)
                })
            })
            .collect()
    }
}

/// How a peer is called: `PEER=COMMAND`, the command split at spaces.
#[derive(Clone, PartialEq, Debug)]
pub struct PeerCommand {
    /// Which peer.
    pub peer: String,
    /// The program and its first arguments.
    command: Vec<String>,
}

/// The peers that rows of the table are compared with.
pub const PEERS: [&str; 4] = ["burn", "pytorch", "scipy", "astra"];

impl FromStr for PeerCommand {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || {
            format!(
                "'{text}' is not PEER=COMMAND with one of the peers {}: for example pytorch=\"python3 benches/peers/python/torch_peer.py\"",
                PEERS.join(", ")
            )
        };
        let (peer, command) = text.split_once('=').ok_or_else(usage)?;
        let command: Vec<String> = command.split_whitespace().map(Into::into).collect();
        if !PEERS.contains(&peer) || command.is_empty() {
            return Err(usage());
        }
        Ok(PeerCommand {
            peer: peer.into(),
            command,
        })
    }
}

/// A peer that is ready for one benchmark. It is stopped when it is dropped.
pub(super) struct Serving {
    peer: String,
    name: String,
    child: Child,
    /// `None` once the end was told.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// What a peer says while it serves.
#[derive(Deserialize)]
struct Line {
    ready: Option<bool>,
    ms: Option<f64>,
}

impl Serving {
    /// Starts `command` for the benchmark `name` and waits until it is ready, however long that
    /// takes: peers compile and tune.
    ///
    /// # Errors
    /// [`Error::Io`] if it does not start; [`Error::Data`] if it ends before it is ready.
    pub fn start(command: &PeerCommand, name: &str) -> Result<Self> {
        let [program, arguments @ ..] = command.command.as_slice() else {
            return Err(Error::Config(format!(
                "the peer {} has no command",
                command.peer
            )));
        };
        let mut child = Command::new(program)
            .args(arguments)
            .args([name, "--serve"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| Error::io(program, "start", e))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(output)) = (input, output) else {
            unreachable!("both are piped");
        };
        let mut serving = Serving {
            peer: command.peer.clone(),
            name: name.into(),
            child,
            input: Some(input),
            output: BufReader::new(output),
        };
        while serving.line::<Line>()?.ready != Some(true) {}
        Ok(serving)
    }

    /// Milliseconds of the work done once.
    ///
    /// # Errors
    /// [`Error::Data`] if it has ended or answers something else.
    pub fn sample(&mut self) -> Result<f64> {
        let told = self.input.as_mut().map(|input| {
            input.write_all(b"\n")?;
            input.flush()
        });
        match told {
            Some(Ok(())) => {}
            Some(Err(e)) => return Err(self.broken(&e.to_string())),
            None => return Err(self.broken("it was told to end")),
        }
        match self.line::<Line>()?.ms {
            Some(ms) if ms.is_finite() && ms > 0.0 => Ok(ms),
            other => Err(self.broken(&format!("it answered {other:?} for a time"))),
        }
    }

    /// Ends it and takes its record.
    ///
    /// # Errors
    /// [`Error::Data`] if it prints none.
    pub fn finish(mut self) -> Result<PeerRecord> {
        self.input = None;
        self.line()
    }

    /// The next line that is a JSON object of this kind.
    fn line<T: for<'a> Deserialize<'a>>(&mut self) -> Result<T> {
        loop {
            let mut line = String::new();
            match self.output.read_line(&mut line) {
                Ok(0) => return Err(self.broken("it ended; see what it said on standard error")),
                Err(e) => return Err(self.broken(&e.to_string())),
                Ok(_) => {}
            }
            if let Ok(found) = serde_json::from_str(&line) {
                return Ok(found);
            }
        }
    }

    fn broken(&self, what: &str) -> Error {
        let what = format!("the peer does not serve {}: {what}", self.name);
        Error::data(&self.peer, what)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.input = None;
        // After its record it has ended by itself; there is nobody to tell if it cannot be stopped.
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_named_after_known_peers() {
        let command: PeerCommand = "scipy=python3 a.py --threads 2".parse().unwrap();
        assert_eq!(command.peer, "scipy");
        assert_eq!(command.command, ["python3", "a.py", "--threads", "2"]);
        for text in ["scipy", "scipy=", "scipy= ", "jax=python3 a.py", "=a"] {
            let error = text.parse::<PeerCommand>().unwrap_err();
            assert!(error.contains("PEER=COMMAND"), "{error}");
        }
    }

    #[test]
    fn records_are_read_line_by_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("peers.jsonl");
        let record = r#"{"name": "step/ct/C4/96/128", "peer": "pytorch", "median_ms": 700.0, "peak_rss_mib": 900.0, "base_rss_mib": 250.0, "blocks": 8}"#;
        std::fs::write(&path, format!("{record}\n\n{record}\n")).unwrap();
        let records = PeerRecord::read(&path).unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(records[1].memory_mib(), Some(650.0));
        std::fs::write(&path, format!("{record}\n{{\"name\": 1}}\n")).unwrap();
        let error = PeerRecord::read(&path).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_peer_is_served_line_by_line_and_one_that_ends_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("peer.sh");
        let text = r#"echo banner
echo '{"ready": true}'
while read line; do echo '{"ms": 2.5}'; done
echo "{\"name\": \"$1\", \"peer\": \"scipy\", \"median_ms\": 2.5}"
"#;
        std::fs::write(&script, text).unwrap();
        let command = format!("scipy=sh {}", script.display());
        let command: PeerCommand = command.parse().unwrap();
        let mut serving = Serving::start(&command, "ray/forward/8-4").unwrap();
        assert_eq!(serving.sample().unwrap(), 2.5);
        let record = serving.finish().unwrap();
        assert_eq!(record.name, "ray/forward/8-4");
        std::fs::write(&script, "exit 1\n").unwrap();
        let error = Serving::start(&command, "ray/forward/8-4").err().unwrap();
        assert!(error.to_string().contains("scipy"), "{error}");
    }
}
