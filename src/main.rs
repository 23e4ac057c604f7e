//! The `equilens` program: parses, runs, prints the error with its causes, exits with its code.

use equilens::cli::{self, Cli};
use std::process::ExitCode;

fn main() -> ExitCode {
    quiet_headless_drivers();
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

/// Mesa's device-selection layer asks the display server which GPU it uses, and complains on
/// standard error where there is none. We rank the adapters ourselves, so it may rest there.
fn quiet_headless_drivers() {
    let headless = [
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "XDG_RUNTIME_DIR",
        "NODEVICE_SELECT",
    ]
    .iter()
    .all(|name| std::env::var_os(name).is_none());
    if headless {
        // SAFETY: the first thing that the program does, so no other thread reads the environment.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
