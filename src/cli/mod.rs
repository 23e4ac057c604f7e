//! The command line: one file for each subcommand.
//!
//! | file | holds |
//! | --- | --- |
//! | `global` | the options that every command has, and what they resolve to |
//! | `console` | standard output and standard error, progress bars, the last words |
//! | `outputs` | output paths, tried before long work |
//! | `interrupt` | Ctrl-C |
//! | `problem` | the problem file that several commands take |
//! | `pictures` | reconstructions as PNG |
//! | `watch` | what the demo and the experiments tell while they run |
//!
//! With `--json` standard output is one JSON document and nothing else. Exit codes are those of
//! [`Error::exit_code`](crate::error::Error::exit_code), 1 for a failed check and [`BUG`].

mod bench;
mod check;
mod classical;
mod completions;
mod console;
mod demo;
mod devices;
mod evaluate;
mod experiment;
mod global;
mod group;
mod identifiability;
mod interrupt;
mod operator;
mod outputs;
mod pictures;
mod problem;
mod reconstruct;
mod simulate;
mod train;
mod tune;
mod watch;

pub use console::{report, report_panic};

use crate::error::Result;
use clap::Parser;
use std::ffi::OsString;
use std::process::ExitCode;

/// The exit code of a panic.
pub const BUG: u8 = 70;
/// The exit code of a check or comparison that failed.
const FAILED: u8 = 1;

/// The parsed command line.
#[derive(Debug, Parser)]
#[command(
    name = "equilens",
    version,
    about = "Learned image reconstruction with equivariant networks, on any GPU",
    max_term_width = 100,
    after_help = "\
Exit codes: 0 done; 1 a check failed; 2 wrong usage or configuration; 3 no usable adapter;
4 bad input data; 5 out of memory; 70 a bug; 130 interrupted.

Environment: EQUILENS_ADAPTER, EQUILENS_BACKEND and EQUILENS_TUNE stand in for the options of these
names; EQUILENS_CACHE is the directory for compiled shaders and for what `tune` measures (empty: none
are kept); EQUILENS_LOG (off, error, warn, info, debug, trace) sets what is logged to standard error,
with all: before the level the records of libraries too."
)]
pub struct Cli {
    #[command(flatten)]
    global: global::Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Demo(demo::Arguments),
    Devices(devices::Arguments),
    Simulate(simulate::Arguments),
    Operator(operator::Arguments),
    Classical(classical::Arguments),
    Train(train::Arguments),
    Reconstruct(reconstruct::Arguments),
    Evaluate(evaluate::Arguments),
    Experiment(experiment::Arguments),
    Group(group::Arguments),
    Check(check::Arguments),
    Bench(bench::Arguments),
    Tune(tune::Arguments),
    Completions(completions::Arguments),
}

impl Cli {
    /// Parses a command line. Help and version are printed; a wrong command line is reported in one
    /// paragraph.
    ///
    /// # Errors
    /// The exit code, if there is nothing to run.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, ExitCode> {
        Cli::try_parse_from(arguments).map_err(|error| console::report_usage(&error))
    }

    /// Runs the command.
    ///
    /// # Errors
    /// What the command's work returns.
    pub fn run(self) -> Result<ExitCode> {
        console::start_logging();
        let session = global::Session::new(self.global)?;
        match &self.command {
            Command::Demo(arguments) => demo::run(&session, arguments),
            Command::Devices(arguments) => devices::run(&session, arguments),
            Command::Simulate(arguments) => simulate::run(&session, arguments),
            Command::Operator(arguments) => operator::run(&session, arguments),
            Command::Classical(arguments) => classical::run(&session, arguments),
            Command::Train(arguments) => train::run(&session, arguments),
            Command::Reconstruct(arguments) => reconstruct::run(&session, arguments),
            Command::Evaluate(arguments) => evaluate::run(&session, arguments),
            Command::Experiment(arguments) => experiment::run(&session, arguments),
            Command::Group(arguments) => group::run(&session, arguments),
            Command::Check(arguments) => check::run(&session, arguments),
            Command::Bench(arguments) => bench::run(&session, arguments),
            Command::Tune(arguments) => tune::run(&session, arguments),
            Command::Completions(arguments) => completions::run(&session, arguments),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_argument_has_a_help_line() {
        fn visit(command: &clap::Command, path: &str) {
            assert!(command.get_about().is_some(), "{path} has no description");
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{path} {} has no help",
                    argument.get_id()
                );
            }
            for inner in command.get_subcommands() {
                visit(inner, &format!("{path} {}", inner.get_name()));
            }
        }
        let mut command = Cli::command();
        command.build();
        visit(&command, "equilens");
    }
}
