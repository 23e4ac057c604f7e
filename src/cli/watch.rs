//! What the demo and the experiments tell while they run.

use super::console::Console;
use crate::experiments::Event;
use indicatif::ProgressBar;

/// Lines on standard error, and a bar for the training under way.
pub(super) struct Watch {
    console: Console,
    bar: ProgressBar,
    training: String,
}

impl Watch {
    pub fn new(console: Console) -> Self {
        Watch {
            console,
            bar: ProgressBar::hidden(),
            training: String::new(),
        }
    }

    pub fn show(&mut self, event: Event) {
        match event {
            Event::Line(text) => {
                self.bar.finish_and_clear();
                self.console.remark(&text);
            }
            Event::Training {
                name,
                step,
                steps,
                loss,
                seconds_left,
            } => {
                if self.training != name {
                    self.bar = self.console.bar(steps, "steps");
                    self.training.clone_from(&name);
                }
                self.bar.set_position(step);
                let message = format!("{name}: loss {loss:.2e}, {seconds_left:.0} s left");
                self.bar.set_message(message);
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
