//! Ctrl-C.

use std::sync::atomic::{AtomicBool, Ordering};

/// Watches for Ctrl-C and termination signals from now on. The first one sets the flag, so that
/// long work can save its state; the second one ends the program.
pub(super) fn watch() -> &'static AtomicBool {
    static INTERRUPTED: AtomicBool = AtomicBool::new(false);
    let handler = || {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    };
    if let Err(e) = ctrlc::set_handler(handler) {
        log::warn!("Ctrl-C will end the program without saving: {e}");
    }
    &INTERRUPTED
}
