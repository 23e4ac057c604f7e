//! The loop: steps, log, validation, checkpoints, interruption.

use super::run_dir::{Record, RunDir, Setup, Which};
use super::trainer::{ADVICE, Scores, Trainer};
use crate::error::{Error, Result};
use crate::gpu::Pending;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Steps that the host may be ahead of the device: enough to keep it busy, few enough to stop soon.
const IN_FLIGHT: usize = 3;

/// What is told about a running training.
#[derive(Clone, PartialEq, Debug)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// The last loss that was read.
    pub loss: f64,
    /// The last validation's scores.
    pub validation: Option<Scores>,
    /// Seconds of training, over all resumptions.
    pub seconds: f64,
    /// Seconds that remain at this pace.
    pub seconds_left: f64,
}

/// Whoever watches: a progress bar, a test. Every closure over a [`Progress`] is one.
pub trait Observer {
    /// Called after each line of the log.
    fn progress(&mut self, progress: &Progress);
}

impl<F: FnMut(&Progress)> Observer for F {
    fn progress(&mut self, progress: &Progress) {
        self(progress);
    }
}

/// Where a run is kept and what can stop it.
#[derive(Default)]
pub struct RunOptions<'a> {
    /// Gets the log and the checkpoints.
    pub directory: Option<&'a mut RunDir>,
    /// Once true, the run saves a checkpoint and ends with [`Error::Interrupted`].
    pub interrupt: Option<&'a AtomicBool>,
}

/// How a run ended.
#[derive(Clone, PartialEq, Debug)]
pub struct Summary {
    /// Steps done.
    pub steps: u64,
    /// The last loss; `None` if nothing was left to do.
    pub loss: Option<f64>,
    /// The last validation's scores.
    pub validation: Option<Scores>,
    /// The best validation: the greatest mean PSNR, or the least loss where training knows no
    /// ground truth.
    pub best: Option<f64>,
    /// Seconds of training, over all resumptions.
    pub seconds: f64,
}

/// Trains up to the recipe's last step.
///
/// # Errors
/// [`Error::NotFinite`] that names the step if the loss or a parameter is no longer finite (the
/// last checkpoint stays); [`Error::Interrupted`] after saving; [`Error::Io`] if the directory
/// cannot be written; [`Error::Device`].
pub fn run(
    trainer: &mut Trainer,
    options: RunOptions,
    observer: &mut dyn Observer,
) -> Result<Summary> {
    let RunOptions {
        mut directory,
        interrupt,
    } = options;
    if let Some(directory) = &mut directory {
        directory.begin(&Setup {
            from_step: trainer.completed(),
            device: trainer.gpu().label(),
            variants: trainer.variants().to_vec(),
        })?;
    }
    let mut run = Run {
        started: Instant::now(),
        seconds_before: trainer.state().seconds,
        first: trainer.completed(),
        losses: VecDeque::new(),
        loss: None,
        validation: None,
        trainer,
        directory,
        observer,
    };
    let training = run.trainer.recipe().training.clone();
    let mut marks = VecDeque::with_capacity(IN_FLIGHT);
    let patience = training.patience.unwrap_or(u64::MAX);
    while run.trainer.completed() < training.steps && run.trainer.state().stale < patience {
        run.trainer.step()?;
        let gpu = run.trainer.gpu();
        marks.push_back(gpu.mark());
        if marks.len() > IN_FLIGHT
            && let Some(mark) = marks.pop_front()
        {
            gpu.wait_for(mark)?;
        }
        let step = run.trainer.completed();
        let last = step == training.steps;
        let due = |every: u64| last || step.is_multiple_of(every);
        if due(training.log_every) {
            let pending = run.trainer.loss_later()?;
            let rate = run.trainer.learning_rate();
            run.losses.push_back((step, rate, pending));
            run.collect(1)?;
        }
        if due(training.validate_every) {
            run.validate()?;
        }
        let ended = last || run.trainer.state().stale >= patience;
        if ended || due(training.checkpoint_every) {
            run.save(Which::Last)?;
        }
        if !ended && interrupt.is_some_and(|flag| flag.load(Ordering::Relaxed)) {
            return Err(run.interrupted()?);
        }
    }
    run.trainer.gpu().check_fault()?;
    Ok(Summary {
        steps: run.trainer.completed(),
        loss: run.loss,
        validation: run.validation,
        best: run.trainer.state().best,
        seconds: run.trainer.state().seconds,
    })
}

struct Run<'a> {
    trainer: &'a mut Trainer,
    directory: Option<&'a mut RunDir>,
    observer: &'a mut dyn Observer,
    started: Instant,
    seconds_before: f64,
    /// The step that this process began with.
    first: u64,
    /// Losses on their way: step, step size, value.
    losses: VecDeque<(u64, f64, Pending)>,
    loss: Option<f64>,
    validation: Option<Scores>,
}

impl Run<'_> {
    fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    /// Waits for the losses on their way, but for the newest `keep`.
    fn collect(&mut self, keep: usize) -> Result<()> {
        while self.losses.len() > keep
            && let Some((step, learning_rate, pending)) = self.losses.pop_front()
        {
            let loss = f64::from(pending.wait(self.trainer.gpu())?[0]);
            if !loss.is_finite() {
                return Err(Error::NotFinite(format!(
                    "the loss of step {step} is {loss} (losses are read every {} steps); {ADVICE}; the last checkpoint is kept",
                    self.trainer.recipe().training.log_every
                )));
            }
            self.loss = Some(loss);
            self.tell(Record {
                step,
                loss: Some(loss),
                learning_rate: Some(learning_rate),
                ..Record::default()
            })?;
        }
        Ok(())
    }

    /// Logs a record and tells the observer.
    fn tell(&mut self, record: Record) -> Result<()> {
        let seconds = self.seconds();
        let (step, steps) = (record.step, self.trainer.recipe().training.steps);
        if let Some(directory) = &mut self.directory {
            directory.log(&Record { seconds, ..record })?;
        }
        let pace = (seconds - self.seconds_before) / step.saturating_sub(self.first).max(1) as f64;
        self.observer.progress(&Progress {
            step,
            steps,
            loss: self.loss.unwrap_or(f64::NAN),
            validation: self.validation,
            seconds,
            seconds_left: pace * (steps - step.min(steps)) as f64,
        });
        Ok(())
    }

    fn validate(&mut self) -> Result<()> {
        self.collect(0)?;
        let Some(scores) = self.trainer.validate()? else {
            return Ok(());
        };
        self.validation = Some(scores);
        self.tell(Record {
            step: self.trainer.completed(),
            validation_loss: Some(scores.loss),
            validation_psnr: scores.psnr,
            ..Record::default()
        })?;
        // What training must not know does not select either.
        let (score, sign) = match scores.psnr {
            Some(psnr) if !self.trainer.selects_by_loss() => (psnr, 1.0),
            _ => (scores.loss, -1.0),
        };
        let state = self.trainer.state_mut();
        if state.best.is_none_or(|best| sign * (score - best) > 0.0) {
            (state.best, state.stale) = (Some(score), 0);
            self.save(Which::Best)?;
        } else {
            state.stale += 1;
        }
        Ok(())
    }

    fn save(&mut self, which: Which) -> Result<()> {
        self.collect(0)?;
        self.trainer.state_mut().seconds = self.seconds();
        match &self.directory {
            Some(directory) => directory.save(which, &self.trainer.checkpoint()?),
            None => Ok(()),
        }
    }

    /// Saves, and makes the error that says so.
    fn interrupted(&mut self) -> Result<Error> {
        self.save(Which::Last)?;
        let (step, steps) = (
            self.trainer.completed(),
            self.trainer.recipe().training.steps,
        );
        Ok(Error::Interrupted(match &self.directory {
            Some(directory) => format!(
                "training stopped after step {step} of {steps}; its state is saved in {}: go on with --resume",
                directory.path().display()
            ),
            None => format!("training stopped after step {step} of {steps}"),
        }))
    }
}
