//! The `equilens` program: parses, runs, prints the error with its causes, exits with its code.

use equilens::cli::{self, Cli};
use std::process::ExitCode;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(cli::report_panic));
    // Unwinding, and not exiting in the hook, lets half-written temporary files be removed.
    let finished = std::panic::catch_unwind(|| match Cli::read(std::env::args_os()) {
        Ok(cli) => cli.run().unwrap_or_else(|error| {
            cli::report(&error);
            ExitCode::from(error.exit_code())
        }),
        Err(code) => code,
    });
    finished.unwrap_or(ExitCode::from(cli::BUG))
}
