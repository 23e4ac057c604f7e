//! Standard output, standard error, progress bars and the last words of the program.

use crate::error::{Error, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::process::ExitCode;

/// Where a command's text goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Console {
    json: bool,
    quiet: bool,
}

impl Console {
    pub fn new(json: bool, quiet: bool) -> Self {
        Console { json, quiet }
    }

    /// Prints a result: `document` with `--json`, else `text` for people.
    ///
    /// # Errors
    /// [`Error::Io`] if standard output cannot be written; a reader that has gone (`| head`) is no
    /// error.
    pub fn result(self, document: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        let mut output = if self.json {
            serde_json::to_string_pretty(document)
                .map_err(|e| Error::data("result", e.to_string()))?
        } else {
            text()
        };
        if !output.is_empty() && !output.ends_with('\n') {
            output.push('\n');
        }
        self.raw(output.as_bytes())
    }

    /// Writes bytes to standard output as they are; errors as [`Console::result`].
    pub fn raw(self, bytes: &[u8]) -> Result<()> {
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                Err(Error::io("standard output", "write", e))
            }
            _ => Ok(()),
        }
    }

    /// A remark for people on standard error, which is lost if nobody listens.
    pub fn remark(self, text: &str) {
        if !self.quiet {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// A progress bar of `length` units with the unit's name and a message: on standard error,
    /// only if that is a terminal.
    pub fn bar(self, length: u64, unit: &str) -> ProgressBar {
        if self.quiet || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let template = format!("{{bar:24}} {{pos}}/{{len}} {unit}  {{msg}}");
        let style = ProgressStyle::with_template(&template);
        ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr())
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }
}

/// Reports an error and its causes on standard error, in one paragraph.
pub fn report(error: &Error) {
    let _ = writeln!(io::stderr(), "error: {}", paragraph(error));
}

/// The error and those causes that its message does not quote, on one line.
fn paragraph(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    one_line(&text)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reports a wrong command line in one paragraph and returns the exit code; prints help and version
/// where these were asked for.
pub(super) fn report_usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    let help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if help {
        // The reader may have gone (`| head`).
        let _ = error.print();
    } else {
        let _ = writeln!(io::stderr(), "{}", usage_paragraph(&error.to_string()));
    }
    ExitCode::from(error.exit_code().clamp(0, 255) as u8)
}

/// clap's report as one paragraph: its blocks are separated by blank lines.
fn usage_paragraph(report: &str) -> String {
    let blocks = report.split("\n\n").map(one_line);
    let blocks: Vec<String> = blocks
        .filter(|block| !block.is_empty() && !block.starts_with("For more information"))
        .collect();
    blocks.join("; ") + "; see `equilens --help`"
}

/// The panic hook: one paragraph that says where, and asks to report it.
pub fn report_panic(panic: &PanicHookInfo) {
    let payload = panic.payload();
    let message = (payload.downcast_ref::<&str>().copied())
        .or(payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let place = panic
        .location()
        .map_or_else(String::new, |l| format!(" at {}:{}", l.file(), l.line()));
    let version = env!("CARGO_PKG_VERSION");
    let text = format!(
        "bug: equilens {version} came upon a state that it does not expect{place}: {message}. \
         Please report this paragraph together with the command and its input files."
    );
    let _ = writeln!(io::stderr(), "{}", one_line(&text));
    let backtrace = std::backtrace::Backtrace::capture();
    if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
        let _ = writeln!(io::stderr(), "{backtrace}");
    }
}

/// Writes records to standard error: this crate's, warnings and errors unless `EQUILENS_LOG` asks for
/// more or less. What libraries and drivers say on the way to a good result is noise, thousands of lines
/// of it, and appears with `all:` before the level.
#[derive(PartialEq, Debug)]
struct Logger {
    ours: log::LevelFilter,
    others: log::LevelFilter,
}

impl Logger {
    /// What a value of `EQUILENS_LOG` asks for; `None` if that is no level.
    fn wanted(value: &str) -> Option<Self> {
        let (all, level) = match value.strip_prefix("all:") {
            Some(level) => (true, level),
            None => (false, value),
        };
        let ours = level.parse::<log::LevelFilter>().ok()?;
        let others = if all { ours } else { log::LevelFilter::Off };
        Some(Logger { ours, others })
    }
}

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        let ours = metadata.target().starts_with("equilens");
        metadata.level() <= if ours { self.ours } else { self.others }
    }

    fn log(&self, record: &log::Record) {
        if self.enabled(record.metadata()) {
            let level = record.level().as_str().to_lowercase();
            let _ = writeln!(
                io::stderr(),
                "{level}: {}: {}",
                record.target(),
                record.args()
            );
        }
    }

    fn flush(&self) {}
}

pub(super) fn start_logging() {
    let value = std::env::var("EQUILENS_LOG").ok().filter(|v| !v.is_empty());
    let wanted = value.as_deref().and_then(Logger::wanted);
    let ignored = value.filter(|_| wanted.is_none());
    let logger = wanted.unwrap_or(Logger {
        ours: log::LevelFilter::Warn,
        others: log::LevelFilter::Off,
    });
    log::set_max_level(logger.ours.max(logger.others));
    // A program that calls this as a library may have a logger already.
    let _ = log::set_logger(Box::leak(Box::new(logger)));
    if let Some(value) = ignored {
        log::warn!(
            "EQUILENS_LOG={value} is ignored: the levels are off, error, warn, info, debug and trace, for the libraries' records too with all: before them"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_one_line_and_quote_a_cause_once() {
        let error = Error::io("a\nb.npy", "read", io::Error::other("disk\non fire"));
        assert_eq!(paragraph(&error), "a b.npy: cannot read: disk on fire");
    }

    #[test]
    fn libraries_log_where_they_are_asked_to() {
        use log::{Level, LevelFilter, Log, Metadata};
        let enabled = |value: &str, target: &str| {
            let logger = Logger::wanted(value).expect("a level");
            let of = |level| Metadata::builder().level(level).target(target).build();
            [Level::Error, Level::Debug].map(|level| logger.enabled(&of(level)))
        };
        assert_eq!(enabled("debug", "equilens::gpu"), [true, true]);
        assert_eq!(enabled("debug", "naga::front"), [false, false]);
        assert_eq!(enabled("all:debug", "naga::front"), [true, true]);
        assert_eq!(enabled("all:warn", "wgpu_core"), [true, false]);
        assert_eq!(enabled("off", "equilens"), [false, false]);
        assert_eq!(
            Logger::wanted("INFO").map(|l| l.ours),
            Some(LevelFilter::Info)
        );
        for other in ["", "loud", "all:", "wgpu:debug"] {
            assert_eq!(Logger::wanted(other), None, "{other}");
        }
    }

    #[test]
    fn usage_errors_are_one_paragraph() {
        let report = "error: unexpected argument '--foo' found\n\n  tip: a similar argument exists: '--for'\n\nUsage: equilens\n\nFor more information, try '--help'.\n";
        assert_eq!(
            usage_paragraph(report),
            "error: unexpected argument '--foo' found; tip: a similar argument exists: '--for'; Usage: equilens; see `equilens --help`"
        );
    }
}
