//! A network compiled for reconstruction alone, in batches.

use super::step::MEASUREMENTS;
use crate::error::{Error, Result};
use crate::gpu::Pending;
use crate::models::Network;
use crate::operators::LinearOperator;
use crate::shape::Shape;
use crate::tape::plan::{Options, Plan, Store};
use crate::tape::{Tape, Var};
use std::collections::VecDeque;

/// Pixels in a batch that keep a GPU busy; larger batches only take memory.
const PIXELS: usize = 1 << 16;
/// Batches in flight: the host prepares one while the device computes another.
const IN_FLIGHT: usize = 2;

/// The plan of `reconstruct` alone. Its parameters are the states of its store.
pub(super) struct Forward {
    store: Store,
    plan: Plan,
    output: Var,
    batch: usize,
    image: Shape,
    measurement: Shape,
}

impl Forward {
    /// Compiles for up to `count` images at a time: fewer if that keeps the device busy, or if more
    /// do not fit into memory.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if not even one image fits; those of recording and compiling.
    pub fn compile(
        store: &Store,
        operator: &dyn LinearOperator,
        model: &dyn Network,
        count: usize,
    ) -> Result<Self> {
        let (image, measurement) = (operator.domain(), operator.range());
        let pixels = (image.h() * image.w()).max(1);
        let period = operator.period();
        let whole = |batch: usize| batch.next_multiple_of(period);
        let mut batch = whole((PIXELS / pixels).clamp(1, count.max(1)));
        loop {
            let (tape, output) = record(model, operator, batch)?;
            match compile_within(&tape, output, store) {
                Err(Error::OutOfMemory { .. }) if batch > period => batch = whole(batch / 2),
                plan => {
                    return Ok(Forward {
                        store: store.clone(),
                        plan: plan?,
                        output,
                        batch,
                        image,
                        measurement,
                    });
                }
            }
        }
    }

    /// The largest number of images in one replay.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The reconstructions of `n` measurements, one after another.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not `n` measurements, [`Error::NotFinite`] if a measurement or
    /// a reconstruction is, [`Error::Device`].
    pub fn apply(&self, measurements: &[f32], n: usize) -> Result<Vec<f32>> {
        let (one, pixels) = (self.measurement.elements(), self.image.elements());
        if measurements.len() != n * one {
            return Err(Error::shape(
                "reconstruct",
                format!(
                    "{} values for {n} measurements {}",
                    measurements.len(),
                    self.measurement
                ),
            ));
        }
        if let Some(i) = measurements.iter().position(|v| !v.is_finite()) {
            return Err(Error::NotFinite(format!(
                "value {} of measurement {} is {}",
                i % one,
                i / one,
                measurements[i]
            )));
        }
        let mut images = Vec::with_capacity(n * pixels);
        let mut pending: VecDeque<Pending> = VecDeque::with_capacity(IN_FLIGHT);
        let mut collect = |pending: Pending| -> Result<()> {
            // The last batch may be filled up; what is beyond `n` is dropped.
            let values = pending.wait(self.store.gpu())?;
            let wanted = (n * pixels - images.len()).min(values.len());
            images.extend_from_slice(&values[..wanted]);
            Ok(())
        };
        for chunk in measurements.chunks(self.batch * one) {
            if pending.len() == IN_FLIGHT
                && let Some(oldest) = pending.pop_front()
            {
                collect(oldest)?;
            }
            let mut chunk = std::borrow::Cow::Borrowed(chunk);
            if chunk.len() < self.batch * one {
                chunk.to_mut().resize(self.batch * one, 0.0);
            }
            self.plan.run(&[(MEASUREMENTS, &chunk)])?;
            pending.push_back(self.plan.read_later(self.output)?);
        }
        pending.into_iter().try_for_each(&mut collect)?;
        match images.iter().position(|v| !v.is_finite()) {
            None => Ok(images),
            Some(i) => Err(Error::NotFinite(format!(
                "pixel {} of reconstruction {} is {}: the measurements may have another scale than the training data",
                i % pixels,
                i / pixels,
                images[i]
            ))),
        }
    }
}

/// Records the reconstruction of `batch` images.
pub(super) fn record(
    model: &dyn Network,
    operator: &dyn LinearOperator,
    batch: usize,
) -> Result<(Tape, Var)> {
    let mut tape = Tape::new();
    let y = tape.input(MEASUREMENTS, operator.range().with(0, batch));
    let (_, bound) = model.parameters().bind(&mut tape)?;
    let output = model.reconstruct(&mut tape, &bound, operator, y)?;
    Ok((tape, output))
}

fn compile_within(tape: &Tape, output: Var, store: &Store) -> Result<Plan> {
    let needed = Plan::memory_needed(tape, &[output], store, Options::tuned())?.total();
    if let Some(available) = store.gpu().memory_limit()
        && needed > available
    {
        return Err(Error::OutOfMemory {
            needed,
            available,
            advice: "use a smaller image or width, or raise --memory-limit".into(),
        });
    }
    Plan::compile(tape, &[output], store, Options::tuned())
}
