//! Plans: a tape compiled to dispatches with buffers and pipelines bound, replayed without
//! allocation.

mod builder;
mod choices;
mod draft;
mod fuse;
mod join;
mod lower;
mod memory;
mod profile;
mod schedule;
mod store;
mod textures;

use super::record::{Tape, Var};
use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu, Pending};
use crate::kernels::{self, Capabilities, Dispatch, Forced, Work};
use crate::shape::Shape;
use crate::tune::Subject;
use builder::Builder;
use choices::Choices;
pub use choices::Chosen;
use draft::{Draft, check_updates};
pub use profile::{COPIES, Clock, Profile, Timing};
use std::collections::HashMap;
pub use store::Store;

/// How a tape is compiled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Algorithms to use whatever suits the adapter.
    pub forced: Forced,
    /// The fastest variants for the others, as far as the device's mode allows
    /// ([`Gpu::tuning`]); else the defaults for the kind of adapter.
    pub tuned: bool,
    /// Whether launches that do not wait for one another may overlap; else as suits the adapter: on
    /// hardware they do, unless the plan then takes more memory than there may be. The results are the
    /// same to the bit.
    pub overlap: Option<bool>,
}

impl Options {
    /// The fastest variants that are known.
    pub fn tuned() -> Self {
        Options {
            tuned: true,
            ..Options::default()
        }
    }
}

/// Bytes that a plan takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Memory {
    /// Inputs, constants and tables.
    pub fixed: u64,
    /// States that this plan adds to the store.
    pub states: u64,
    /// Intermediate results, after reuse, and the textures that they are read through.
    pub intermediate: u64,
}

impl Memory {
    /// The sum.
    pub fn total(self) -> u64 {
        self.fixed + self.states + self.intermediate
    }
}

/// A range of a buffer.
#[derive(Clone, Debug)]
struct Place {
    buffer: Buffer,
    /// In elements.
    offset: usize,
    shape: Shape,
}

struct Step {
    /// The kernel's file.
    kernel: &'static str,
    /// The operation that it computes, and the operation's shape.
    operation: &'static str,
    shape: Shape,
    dispatch: Dispatch,
    /// Begins a pass, so that the device waits for what came before once and not again before each
    /// of the next, which do not depend on one another: wgpu puts all barriers that the first uses
    /// of buffers in a pass need in front of it.
    fresh: bool,
    work: Work,
}

/// A compiled tape. Replays take new inputs and leave results in place.
pub struct Plan {
    gpu: Gpu,
    steps: Vec<Step>,
    /// Ranges of `steps` that are submitted together.
    submissions: Vec<std::ops::Range<usize>>,
    inputs: HashMap<String, Place>,
    outputs: HashMap<usize, Place>,
    memory: Memory,
    chosen: Vec<Chosen>,
}

impl Plan {
    /// Compiles what `outputs` need. The states live in `store`.
    ///
    /// # Errors
    /// [`Error::Shape`] if a state is read after it was updated in place;
    /// [`Error::OutOfMemory`] before anything is allocated if the plan does not fit;
    /// [`Error::Shader`] or [`Error::Device`] if a kernel cannot be built; those of
    /// [`Tuner::choose`](crate::tune::Tuner::choose).
    pub fn compile(tape: &Tape, outputs: &[Var], store: &Store, options: Options) -> Result<Self> {
        Self::chosen_by(
            tape,
            outputs,
            store,
            Choices::new(store.gpu(), options, true)?,
        )
    }

    fn chosen_by(tape: &Tape, outputs: &[Var], store: &Store, choices: Choices) -> Result<Self> {
        check_updates(tape.nodes(), outputs)?;
        let gpu = store.gpu().clone();
        let draft = Draft::fitting(tape, outputs, choices, store)?;
        let memory = draft.memory(Some(store))?;
        if let Some(available) = gpu.memory_limit()
            && memory.total() > available
        {
            return Err(Error::OutOfMemory {
                needed: memory.total(),
                available,
                advice: "use a smaller batch, image or width, turn recomputation on ([model] recompute = true), or raise --memory-limit".into(),
            });
        }
        let requests: Vec<_> = (draft.lowered.iter().flat_map(|l| &l.launches))
            .map(|l| (l.path, l.variant.clone(), l.trust))
            .collect();
        gpu.compile_all(&requests)?;
        Builder::new(gpu, draft, store)?.finish(memory)
    }

    /// The bytes that compiling would take, without a device for anything but its properties.
    ///
    /// # Errors
    /// [`Error::Device`] if the store was poisoned by a panic.
    pub fn memory_needed(
        tape: &Tape,
        outputs: &[Var],
        store: &Store,
        options: Options,
    ) -> Result<Memory> {
        let choices = Choices::new(store.gpu(), options, false)?;
        Draft::fitting(tape, outputs, choices, store)?.memory(Some(store))
    }

    /// The operations of a tape that several kernels compute, with their candidates: what
    /// [`Tuner::tune`](crate::tune::Tuner::tune) takes.
    ///
    /// # Errors
    /// None in practice: nothing is measured.
    pub fn subjects(
        tape: &Tape,
        outputs: &[Var],
        capabilities: Capabilities,
    ) -> Result<Vec<Subject>> {
        let choices = Choices::collecting(capabilities, Forced::default());
        Ok(Draft::new(tape, outputs, choices)?.collection.subjects)
    }

    /// Every kernel variant that some operation of a tape may have, as `family/name` with the
    /// option that forces it, and `others` for the other families.
    ///
    /// # Errors
    /// None in practice: nothing is measured.
    pub fn variants(
        tape: &Tape,
        outputs: &[Var],
        capabilities: Capabilities,
        others: Forced,
    ) -> Result<Vec<(String, Forced)>> {
        let choices = Choices::collecting(capabilities, others);
        Ok(Draft::new(tape, outputs, choices)?.collection.variants)
    }

    /// The bytes that compiling for a device with `capabilities` would take, all states included:
    /// for a device that is not there.
    ///
    /// # Errors
    /// None in practice.
    pub fn memory_on(
        tape: &Tape,
        outputs: &[Var],
        capabilities: Capabilities,
        options: Options,
    ) -> Result<Memory> {
        let choices =
            Choices::collecting(capabilities, options.forced).overlapping(options.overlap);
        Draft::new(tape, outputs, choices)?.memory(None)
    }

    /// The variant of each kind of operation that has several, in the order of their first use.
    pub fn chosen(&self) -> &[Chosen] {
        &self.chosen
    }

    /// The work of one replay that compiling would give, as [`Plan::work`].
    ///
    /// # Errors
    /// Those of [`Plan::memory_needed`].
    pub fn work_needed(
        tape: &Tape,
        outputs: &[Var],
        store: &Store,
        options: Options,
    ) -> Result<Work> {
        let draft = Draft::new(tape, outputs, Choices::new(store.gpu(), options, false)?)?;
        let launches = draft.lowered.iter().flat_map(|l| &l.launches);
        Ok(launches.map(|l| l.work).sum())
    }

    /// The bytes that the plan takes.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// Dispatches in one replay.
    pub fn dispatches(&self) -> usize {
        self.steps.len()
    }

    /// What one replay has to do.
    pub fn work(&self) -> Work {
        self.steps.iter().map(|s| s.work).sum()
    }

    /// Whether an output depends on an input of this name.
    pub fn has_input(&self, name: &str) -> bool {
        self.inputs.contains_key(name)
    }

    /// Sets the input `name` for the next replay.
    ///
    /// # Errors
    /// [`Error::Shape`] if the plan has no such input or the values do not fill it.
    pub fn write(&self, name: &str, values: &[f32]) -> Result<()> {
        let place = (self.inputs.get(name))
            .ok_or_else(|| Error::shape("input", format!("the plan has no input '{name}'")))?;
        if values.len() != place.shape.elements() {
            return Err(Error::shape(
                "input",
                format!(
                    "{} values for '{name}' of shape {}",
                    values.len(),
                    place.shape
                ),
            ));
        }
        self.gpu.write(&place.buffer, place.offset, values);
        Ok(())
    }

    /// Encodes one replay into the caller's encoder: no submission, no waiting. Inputs written
    /// with [`Plan::write`] take effect at the caller's submission.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        encode(&self.steps, encoder);
    }

    /// Replays the plan. Long plans are split so that no submission blocks the GPU for long
    /// (Windows resets one that does not answer within 2 s).
    pub fn submit(&self) {
        for range in &self.submissions {
            let mut encoder = self
                .gpu
                .device()
                .create_command_encoder(&Default::default());
            encode(&self.steps[range.clone()], &mut encoder);
            self.gpu.queue().submit([encoder.finish()]);
        }
    }

    /// Writes the inputs and replays.
    ///
    /// # Errors
    /// Those of [`Plan::write`].
    pub fn run(&self, inputs: &[(&str, &[f32])]) -> Result<()> {
        for (name, values) in inputs {
            self.write(name, values)?;
        }
        self.submit();
        Ok(())
    }

    fn output(&self, output: Var) -> Result<&Place> {
        self.outputs.get(&output.index()).ok_or_else(|| {
            Error::shape(
                "output",
                format!("node {} was not compiled as an output", output.index()),
            )
        })
    }

    /// The values of an output after the last replay; blocks.
    ///
    /// # Errors
    /// [`Error::Shape`] if it was not compiled as an output; [`Error::Device`].
    pub fn read(&self, output: Var) -> Result<Vec<f32>> {
        self.read_later(output)?.wait(&self.gpu)
    }

    /// Starts reading an output of the last replay without waiting for it.
    ///
    /// # Errors
    /// [`Error::Shape`] if it was not compiled as an output.
    pub fn read_later(&self, output: Var) -> Result<Pending> {
        let place = self.output(output)?;
        Ok(self
            .gpu
            .read_later(&place.buffer, place.offset, place.shape.elements()))
    }

    /// The buffer that holds an output, and the offset in it in elements: for callers that own
    /// the device and go on computing with it.
    ///
    /// # Errors
    /// [`Error::Shape`] if it was not compiled as an output.
    pub fn output_buffer(&self, output: Var) -> Result<(&wgpu::Buffer, usize)> {
        let place = self.output(output)?;
        Ok((place.buffer.raw(), place.offset))
    }
}

fn encode(steps: &[Step], encoder: &mut wgpu::CommandEncoder) {
    let dispatches = steps.iter().map(|step| (&step.dispatch, step.fresh));
    kernels::encode(dispatches, encoder);
}
