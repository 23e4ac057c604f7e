//! The table "where to stand": each row one piece of work, measured side by side with what it is
//! compared with, and whether the aim is reached.
//!
//! | file | holds |
//! | --- | --- |
//! | `rows` | the rows and their aims |
//! | `program` | rows that need a fresh process of this program |

mod program;
mod rows;

use super::entry::Entry;
use super::peers::{PeerCommand, PeerRecord, Serving};
use super::statistics::Spread;
use super::{ceiling, compare::pair_ratio};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::tape::plan::Options;
pub use program::Program;
use rows::{ROWS, Spec, Work};
use serde::Serialize;

/// What is to be reached.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// This much or more.
    AtLeast(f64),
    /// This much or less.
    AtMost(f64),
    /// Nothing: the row is for information.
    Told,
}

impl Aim {
    /// Whether `value` reaches it; `None` if there is nothing to reach.
    fn reached(self, value: f64) -> Option<bool> {
        match self {
            Aim::AtLeast(least) => Some(value >= least),
            Aim::AtMost(most) => Some(value <= most),
            Aim::Told => None,
        }
    }
}

/// One row.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// What `--filter` looks at.
    pub key: String,
    /// What was done.
    pub work: &'static str,
    /// Our number ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ours: Option<f64>,
    /// ... and its unit, and that of the other.
    pub unit: &'static str,
    /// What it is compared with.
    pub against: &'static str,
    /// Its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<f64>,
    /// What the ratio divides: `peer : ours` where more is better, `ours : peer` for memory, first
    /// side to second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio_of: Option<&'static str>,
    /// Pair by pair where both were measured in turns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Spread>,
    /// What the ratio, or where there is none our number, is to reach.
    pub aim: Aim,
    /// Whether it does; unknown without a number or an aim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reached: Option<bool>,
    /// What to know about the numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How the table is measured.
#[derive(Clone, Debug)]
pub struct TableOptions {
    /// Samples, or pairs, of each row.
    pub samples: usize,
    /// Rows whose key begins like this.
    pub filter: String,
    /// Records of peers that ran before, for peers without a command.
    pub records: Vec<PeerRecord>,
    /// Peers that are run now, in turns with ours.
    pub commands: Vec<PeerCommand>,
    /// This program, for rows that need a fresh process.
    pub program: Program,
}

/// Measures the rows, telling `progress` of each.
///
/// # Errors
/// [`Error::Config`] if no row's key begins with the filter; those of compiling and running. A row
/// whose result differs from its twin, and a peer that does not run, are no errors but notes.
pub fn table(
    gpu: &Gpu,
    options: &TableOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Row>> {
    let chosen: Vec<&Spec> = (ROWS.iter())
        .filter(|spec| spec.key.starts_with(&options.filter))
        .collect();
    if chosen.is_empty() {
        let keys: Vec<&str> = ROWS.iter().map(|spec| spec.key).collect();
        return Err(Error::Config(format!(
            "no row of the table begins with '{}'; the rows are {}",
            options.filter,
            keys.join(", ")
        )));
    }
    let mut run = Run {
        gpu,
        options,
        progress,
        records: options.records.clone(),
        first_steps: program::FirstSteps::default(),
    };
    let mut rows = Vec::new();
    for spec in chosen {
        (run.progress)(spec.key);
        rows.extend(run.rows(spec)?);
        gpu.check_fault()?;
    }
    Ok(rows)
}

struct Run<'a> {
    gpu: &'a Gpu,
    options: &'a TableOptions,
    progress: &'a mut dyn FnMut(&str),
    /// The given ones and those of peers that ran for an earlier row.
    records: Vec<PeerRecord>,
    first_steps: program::FirstSteps,
}

impl Run<'_> {
    fn rows(&mut self, spec: &Spec) -> Result<Vec<Row>> {
        let row = match spec.work {
            Work::Against { name, peers } => return self.against(spec, name, peers),
            Work::Sides { first, second } => self.sides(spec, [first, second])?,
            Work::Ceiling { name } => self.ceiling(spec, name)?,
            Work::Overhead { name } => self.overhead(spec, name)?,
            Work::FirstStep { name, filled } => self.first_step(spec, name, filled)?,
            Work::Memory { name, peer } => self.memory(spec, name, peer)?,
            Work::Demo => self.demo(spec)?,
        };
        Ok(vec![row])
    }

    /// Ours and each peer in turns.
    fn against(
        &mut self,
        spec: &Spec,
        name: &str,
        peers: &[(&'static str, Aim)],
    ) -> Result<Vec<Row>> {
        let mut entry = Entry::new(self.gpu, name.parse()?, Options::tuned())?;
        if let Some(row) = differs(spec, &entry) {
            return Ok(vec![row]);
        }
        let mut contestants = Vec::new();
        for &(peer, aim) in peers {
            let command = self.options.commands.iter().find(|c| c.peer == peer);
            let serving = command.map(|command| {
                (self.progress)(&format!("{}: waiting for {peer}", spec.key));
                Serving::start(command, name)
            });
            let (serving, note) = match serving {
                Some(Ok(serving)) => (Some(serving), None),
                Some(Err(error)) => (None, Some(error.to_string())),
                None => (None, None),
            };
            contestants.push(Contestant {
                peer,
                aim,
                serving,
                note,
                ratios: Vec::new(),
            });
        }
        for round in 0..self.options.samples.max(1) {
            let ours_first = round % 2 == 0;
            let before = match ours_first {
                true => Some(warm_sample(self.gpu, &mut entry)?),
                false => None,
            };
            let theirs: Vec<Option<f64>> = contestants.iter_mut().map(|c| c.sample()).collect();
            let ours = match before {
                Some(ours) => ours,
                None => warm_sample(self.gpu, &mut entry)?,
            };
            for (contestant, ms) in contestants.iter_mut().zip(theirs) {
                contestant.ratios.extend(ms.map(|ms| ms / ours));
            }
        }
        let Some(ours) = Spread::of(&entry.samples) else {
            return Ok(Vec::new());
        };
        let mut rows = Vec::new();
        for mut contestant in contestants {
            let mut row = spec.row();
            row.key = format!("{} : {}", spec.key, contestant.peer);
            row.ours = Some(ours.median);
            row.against = contestant.peer;
            row.aim = contestant.aim;
            row.ratio_of = Some("peer : ours");
            row.ratio = Spread::of(&contestant.ratios);
            row.note = contestant.note.take();
            if let Some(serving) = contestant.serving.take() {
                match serving.finish() {
                    Ok(record) => {
                        row.peer = Some(record.median_ms);
                        self.records.insert(0, record);
                    }
                    Err(error) => row.note = Some(error.to_string()),
                }
            } else if let Some(record) = self.record(contestant.peer, name) {
                row.peer = Some(record.median_ms);
                let over = |ms: &f64| record.median_ms / ms;
                row.ratio = Spread::of(&entry.samples.iter().map(over).collect::<Vec<_>>());
                row.note = Some("the peer's time is from another run".into());
            } else if row.note.is_none() {
                row.note = Some(how_to_get(contestant.peer));
            }
            rows.push(row.judged());
        }
        Ok(rows)
    }

    /// Two of our benchmarks in turns.
    fn sides(&mut self, spec: &Spec, names: [&str; 2]) -> Result<Row> {
        let mut first = Entry::new(self.gpu, names[0].parse()?, Options::tuned())?;
        let mut second = Entry::new(self.gpu, names[1].parse()?, Options::tuned())?;
        for entry in [&first, &second] {
            if let Some(row) = differs(spec, entry) {
                return Ok(row);
            }
        }
        let ratios = (0..self.options.samples.max(1))
            .map(|pair| pair_ratio(self.gpu, &mut first, &mut second, pair))
            .collect::<Result<Vec<f64>>>()?;
        let mut row = spec.row();
        row.ours = Spread::of(&first.samples).map(|s| s.median);
        row.peer = Spread::of(&second.samples).map(|s| s.median);
        row.ratio_of = Some("ours : other");
        row.ratio = Spread::of(&ratios);
        Ok(row.judged())
    }

    /// Dense-equivalent speed over the multiply-add ceiling.
    fn ceiling(&mut self, spec: &Spec, name: &str) -> Result<Row> {
        let mut entry = Entry::new(self.gpu, name.parse()?, Options::tuned())?;
        if let Some(row) = differs(spec, &entry) {
            return Ok(row);
        }
        let ceiling = ceiling::measure(self.gpu, self.options.samples)?;
        entry.warm_up(self.gpu)?;
        for _ in 0..self.options.samples.max(1) {
            entry.sample(self.gpu)?;
        }
        let flops = entry.case.dense_flops as f64;
        let speeds: Vec<f64> = (entry.samples.iter()).map(|ms| flops / ms / 1e6).collect();
        let fractions: Vec<f64> = speeds.iter().map(|s| s / ceiling.fma_gflops).collect();
        let mut row = spec.row();
        row.ours = Spread::of(&speeds).map(|s| s.median);
        row.peer = Some(ceiling.fma_gflops);
        row.ratio_of = Some("ours : ceiling");
        row.ratio = Spread::of(&fractions);
        Ok(row.judged())
    }

    /// Replays as in real use against their dispatches already encoded.
    fn overhead(&mut self, spec: &Spec, name: &str) -> Result<Row> {
        let entry = Entry::new(self.gpu, name.parse()?, Options::tuned())?;
        if let Some(row) = differs(spec, &entry) {
            return Ok(row);
        }
        let overheads = entry.overheads(self.gpu, 2 * self.options.samples)?;
        let percent: Vec<f64> = overheads.iter().map(|o| 100.0 * o).collect();
        let mut row = spec.row();
        row.ratio = Spread::of(&percent);
        row.ours = row.ratio.map(|s| s.median);
        row.ratio_of = Some("overhead : kernels, in %");
        Ok(row.judged())
    }

    fn record(&self, peer: &str, name: &str) -> Option<&PeerRecord> {
        let fits = |r: &&PeerRecord| r.peer == peer && r.name == name;
        self.records.iter().find(fits)
    }
}

/// A peer in one row.
struct Contestant {
    peer: &'static str,
    aim: Aim,
    serving: Option<Serving>,
    note: Option<String>,
    /// Its time over ours.
    ratios: Vec<f64>,
}

impl Contestant {
    /// Its next time; a peer that fails drops out with a note.
    fn sample(&mut self) -> Option<f64> {
        match self.serving.as_mut()?.sample() {
            Ok(ms) => Some(ms),
            Err(error) => {
                self.note = Some(error.to_string());
                self.serving = None;
                self.ratios.clear();
                None
            }
        }
    }
}

fn how_to_get(peer: &str) -> String {
    format!("no peer: give --peer-command {peer}=... or --peers FILE, see benches/peers/README.md")
}

/// The row of an entry that must not be timed.
fn differs(spec: &Spec, entry: &Entry) -> Option<Row> {
    let why = entry.case.mismatch.as_ref()?;
    let mut row = spec.row();
    row.reached = Some(false);
    Some(row.noted(format!(
        "{} differs from its twin and was not timed: {why}",
        entry.benchmark
    )))
}

impl Row {
    fn noted(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// With the verdict on the ratio, or without one on our number.
    fn judged(mut self) -> Self {
        let judged = match self.ratio_of {
            Some(_) => self.ratio.map(|s| s.median),
            None => self.ours,
        };
        self.reached = judged.and_then(|value| self.aim.reached(value));
        self
    }
}
/// A sample of a device that idled while another program worked.
fn warm_sample(gpu: &Gpu, entry: &mut Entry) -> Result<f64> {
    entry.warm_up(gpu)?;
    entry.sample(gpu)
}
