//! The options that every command has.

use super::console::Console;
use crate::error::{Error, Result};
use crate::files;
use crate::gpu::{Gpu, Selection, Tuning};
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::str::FromStr;

/// Options of every command, as typed.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// Adapter: its number in `equilens devices`, or a part of its name
    #[arg(long, global = true, value_name = "N|NAME")]
    adapter: Option<String>,
    /// Graphics interface to use
    #[arg(long, global = true, value_enum)]
    backend: Option<Backend>,
    /// Print one JSON document on standard output, and nothing else
    #[arg(long, global = true)]
    json: bool,
    /// No progress bars or remarks on standard error
    #[arg(long, global = true)]
    quiet: bool,
    /// Seed of everything random
    #[arg(long, global = true, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(..1 << 63))]
    seed: Option<u64>,
    /// GPU memory to stay within, e.g. 2GiB
    #[arg(long, global = true, value_name = "BYTES")]
    memory_limit: Option<Bytes>,
    /// Neither read nor write what is kept between runs: compiled shaders, measured kernel variants
    #[arg(long, global = true)]
    no_cache: bool,
    /// Kernel variants: the defaults, the fastest on record, or measured where missing, or anew
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "off|read|on|force",
        hide_possible_values = true
    )]
    tune: Option<Mode>,
    /// Results that do not depend on what was measured before: as --tune off, whatever --tune says
    #[arg(long, global = true)]
    deterministic: bool,
}

/// What measurements of kernel variants are good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Mode {
    /// The defaults for the kind of adapter
    Off,
    /// The fastest ones where there is a record
    Read,
    /// What has no record is measured first
    On,
    /// Everything is measured anew
    Force,
}

impl From<Mode> for Tuning {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Off => Tuning::Off,
            Mode::Read => Tuning::Read,
            Mode::On => Tuning::On,
            Mode::Force => Tuning::Force,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Backend {
    Vulkan,
    Metal,
    Dx12,
    Gl,
}

impl From<Backend> for wgpu::Backend {
    fn from(backend: Backend) -> Self {
        match backend {
            Backend::Vulkan => wgpu::Backend::Vulkan,
            Backend::Metal => wgpu::Backend::Metal,
            Backend::Dx12 => wgpu::Backend::Dx12,
            Backend::Gl => wgpu::Backend::Gl,
        }
    }
}

/// A number of bytes: `2GiB`, `500 MB`, `1073741824`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Bytes(u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unit_at = text
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let factor = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1.0,
            "kb" => 1e3,
            "mb" => 1e6,
            "gb" => 1e9,
            "tb" => 1e12,
            "kib" | "k" => 1024.0,
            "mib" | "m" => 1024f64.powi(2),
            "gib" | "g" => 1024f64.powi(3),
            "tib" | "t" => 1024f64.powi(4),
            _ => f64::NAN,
        };
        let bytes = number.parse::<f64>().unwrap_or(f64::NAN) * factor;
        // The largest size that f64 holds exactly is far beyond any memory.
        if (1.0..=9e15).contains(&bytes) {
            Ok(Bytes(bytes as u64))
        } else {
            Err("write a positive number of bytes with or without a unit, such as 512MiB, 2GiB or 4GB".into())
        }
    }
}

/// An environment variable; one that is set and empty counts as unset.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What the environment variable `name` chooses, if it is set and not empty; `values` says what there
/// is to choose from.
fn choice<T: ValueEnum>(name: &str, values: &str) -> Result<Option<T>> {
    let Some(value) = variable(name) else {
        return Ok(None);
    };
    match T::from_str(&value, true) {
        Ok(chosen) => Ok(Some(chosen)),
        Err(_) => Err(Error::Config(format!("{name}={value}: {values}"))),
    }
}

/// The global options resolved: what a command works with.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Which adapter, and how much of its memory.
    pub selection: Selection,
    /// Where text goes.
    pub console: Console,
    /// The seed as given.
    pub seed: Option<u64>,
}

impl Session {
    /// Options win over environment variables.
    ///
    /// # Errors
    /// [`Error::Config`] that names a variable with an unknown value.
    pub fn new(global: Global) -> Result<Self> {
        let backend = match global.backend {
            None => choice(
                "EQUILENS_BACKEND",
                "the backends are vulkan, metal, dx12 and gl",
            )?,
            given => given,
        };
        let tune = match global.tune {
            None => choice("EQUILENS_TUNE", "the modes are off, read, on and force")?,
            given => given,
        };
        Ok(Session {
            selection: Selection {
                adapter: global.adapter.or_else(|| variable("EQUILENS_ADAPTER")),
                backend: backend.map(wgpu::Backend::from),
                memory_limit: global.memory_limit.map(|Bytes(bytes)| bytes),
                tuning: match global.deterministic {
                    true => Tuning::Off,
                    false => tune.unwrap_or(Mode::Read).into(),
                },
                cache: files::cache_directory().filter(|_| !global.no_cache),
            },
            console: Console::new(global.json, global.quiet),
            seed: global.seed,
        })
    }

    /// The options with which another process of this program works in the same way.
    pub fn arguments(&self) -> Vec<OsString> {
        let tune = match self.selection.tuning {
            Tuning::Off => "off",
            Tuning::Read => "read",
            Tuning::On => "on",
            Tuning::Force => "force",
        };
        let options = [
            ("--tune", Some(tune.to_string())),
            ("--adapter", self.selection.adapter.clone()),
            (
                "--backend",
                self.selection.backend.map(|b| b.to_str().to_string()),
            ),
            (
                "--memory-limit",
                self.selection.memory_limit.map(|bytes| bytes.to_string()),
            ),
        ];
        let given = (options.into_iter()).filter_map(|(name, value)| Some([name.into(), value?]));
        given.flatten().map(OsString::from).collect()
    }

    /// Opens the adapter.
    ///
    /// # Errors
    /// [`Error::Device`](crate::error::Error::Device) if there is none.
    pub fn gpu(&self) -> Result<Gpu> {
        Gpu::open(&self.selection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_in_bytes() {
        for (text, bytes) in [
            ("1", 1),
            ("2GiB", 2 << 30),
            ("1.5 GiB", 3 << 29),
            ("500mb", 500_000_000),
            ("7k", 7168),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for text in [
            "",
            "0",
            "-1",
            "GiB",
            "1.2.3",
            "2 parsecs",
            "1e99",
            "nan",
            "0.5",
        ] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }
}
