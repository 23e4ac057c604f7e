//! Plans: a tape compiled to dispatches with buffers and pipelines bound, replayed without
//! allocation.

mod fuse;
mod lower;
mod memory;
mod store;

use super::op::{Node, Op};
use super::record::{Tape, Var};
use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu, Pending, Pipeline};
use crate::kernels::conv2d::Algorithm;
use crate::kernels::ray_transform::Reading;
use crate::kernels::{Capabilities, Launch, Lowered, Slot};
use crate::shape::Shape;
use fuse::Task;
use memory::{Assignment, Need};
use std::collections::HashMap;
use std::sync::Arc;
pub use store::Store;

/// How a tape is compiled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// The convolution's algorithm; by default what suits the adapter.
    pub algorithm: Option<Algorithm>,
}

/// Bytes that a plan takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Memory {
    /// Inputs, constants and tables.
    pub fixed: u64,
    /// States that this plan adds to the store.
    pub states: u64,
    /// Intermediate results, after reuse.
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
    label: String,
    pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    groups: [u32; 3],
    flops: u64,
    bytes: u64,
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
}

/// The time of one dispatch.
#[derive(Clone, PartialEq, Debug)]
pub struct Timing {
    /// The kernel's file and the operation.
    pub label: String,
    /// Wall-clock milliseconds.
    pub milliseconds: f64,
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes that must move.
    pub bytes: u64,
}

/// Elements that a buffer offset must be a multiple of: WebGPU's 256 bytes.
const ALIGNMENT: usize = 64;

impl Plan {
    /// Compiles what `outputs` need. The states live in `store`.
    ///
    /// # Errors
    /// [`Error::Shape`] if a state is read after it was updated in place;
    /// [`Error::OutOfMemory`] before anything is allocated if the plan does not fit;
    /// [`Error::Shader`] or [`Error::Device`] if a kernel cannot be built.
    pub fn compile(tape: &Tape, outputs: &[Var], store: &Store, options: Options) -> Result<Self> {
        check_updates(tape.nodes(), outputs)?;
        let gpu = store.gpu().clone();
        let draft = Draft::new(tape, outputs, Capabilities::of(&gpu), options);
        let memory = draft.memory(store)?;
        if let Some(available) = gpu.memory_limit()
            && memory.total() > available
        {
            return Err(Error::OutOfMemory {
                needed: memory.total(),
                available,
                advice: "use a smaller batch, image or width, turn recomputation on, or raise --memory-limit".into(),
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
        let capabilities = Capabilities::of(store.gpu());
        Draft::new(tape, outputs, capabilities, options).memory(store)
    }

    /// The bytes that the plan takes.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// Dispatches in one replay.
    pub fn dispatches(&self) -> usize {
        self.steps.len()
    }

    /// Floating-point operations and bytes of one replay.
    pub fn work(&self) -> (u64, u64) {
        let sum = |f: fn(&Step) -> u64| self.steps.iter().map(f).sum();
        (sum(|s| s.flops), sum(|s| s.bytes))
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

    /// Replays one dispatch at a time, waiting for each: where the time goes. Wall clock, so the
    /// cost of submission is included.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn profile(&self) -> Result<Vec<Timing>> {
        self.gpu.wait()?;
        let mut timings = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let start = std::time::Instant::now();
            let mut encoder = self
                .gpu
                .device()
                .create_command_encoder(&Default::default());
            encode(std::slice::from_ref(step), &mut encoder);
            self.gpu.queue().submit([encoder.finish()]);
            self.gpu.wait()?;
            timings.push(Timing {
                label: step.label.clone(),
                milliseconds: start.elapsed().as_secs_f64() * 1e3,
                flops: step.flops,
                bytes: step.bytes,
            });
        }
        Ok(timings)
    }
}

fn encode(steps: &[Step], encoder: &mut wgpu::CommandEncoder) {
    let mut pass = encoder.begin_compute_pass(&Default::default());
    for step in steps {
        pass.set_pipeline(&step.pipeline.raw);
        pass.set_bind_group(0, &step.bind_group, &[]);
        let [x, y, z] = step.groups;
        pass.dispatch_workgroups(x, y, z);
    }
}

/// Everything about a plan that needs no device.
struct Draft {
    nodes: Vec<Node>,
    outputs: Vec<usize>,
    /// For each node, the node that owns its memory and the offset there, in elements.
    owner: Vec<(usize, usize)>,
    tasks: Vec<Task>,
    /// The task that computes each node.
    task_of: HashMap<usize, usize>,
    lowered: Vec<Lowered>,
    /// Buffers of the tasks' outputs, then of their scratch.
    assignment: Assignment,
    /// Place of each task's output among the needs; `None` for updates in place.
    output_need: Vec<Option<usize>>,
    /// Places of each task's scratch among the needs.
    scratch_needs: Vec<Vec<usize>>,
}

impl Draft {
    fn new(tape: &Tape, outputs: &[Var], capabilities: Capabilities, options: Options) -> Self {
        let mut nodes = tape.nodes().to_vec();
        let outputs: Vec<usize> = outputs.iter().map(|v| v.index()).collect();
        fuse::drop_broadcasts(&mut nodes);
        let owner = owners(&nodes);
        let is_view: Vec<bool> = (nodes.iter().zip(&owner).enumerate())
            .map(|(i, (node, owner))| owner.0 != i && node.op.updates() == 0)
            .collect();
        let tasks = fuse::tasks(&nodes, &outputs, &is_view);
        let algorithm = options
            .algorithm
            .unwrap_or_else(|| Algorithm::default_for(capabilities));
        let lowered: Vec<Lowered> = (tasks.iter())
            .map(|t| lower::lower(t, &nodes, algorithm, Reading::default_for(capabilities)))
            .collect();
        let task_of = tasks.iter().enumerate().map(|(t, task)| (task.output, t));
        let mut draft = Draft {
            task_of: task_of.collect(),
            nodes,
            outputs,
            owner,
            tasks,
            lowered,
            assignment: Assignment::default(),
            output_need: Vec::new(),
            scratch_needs: Vec::new(),
        };
        draft.assign();
        draft
    }

    fn assign(&mut self) {
        let mut dies: Vec<usize> = vec![0; self.nodes.len()];
        for (t, task) in self.tasks.iter().enumerate() {
            for &input in &task.inputs {
                dies[self.owner[input].0] = t;
            }
        }
        for &output in &self.outputs {
            dies[self.owner[output].0] = usize::MAX;
        }
        let mut needs = Vec::new();
        for (t, task) in self.tasks.iter().enumerate() {
            let owned = self.owner[task.output].0 == task.output;
            self.output_need.push(owned.then(|| {
                needs.push(Need {
                    bytes: self.nodes[task.output].shape.bytes(),
                    born: t,
                    dies: dies[task.output].max(t),
                });
                needs.len() - 1
            }));
            let scratch = self.lowered[t].scratch.iter().map(|&bytes| {
                needs.push(Need {
                    bytes,
                    born: t,
                    dies: t,
                });
                needs.len() - 1
            });
            self.scratch_needs.push(scratch.collect());
        }
        self.assignment = memory::assign(&needs);
    }

    fn live_leaves(&self) -> impl Iterator<Item = (usize, &Node)> {
        let live = fuse::live(&self.nodes, &self.outputs);
        (self.nodes.iter().enumerate()).filter(move |(i, n)| live[*i] && n.op.is_leaf())
    }

    fn memory(&self, store: &Store) -> Result<Memory> {
        let fixed = self
            .live_leaves()
            .filter(|(_, n)| !matches!(n.op, Op::State(_)));
        let states = self.live_leaves().filter_map(|(_, n)| match &n.op {
            Op::State(name) => Some((name.as_str(), n.shape)),
            _ => None,
        });
        Ok(Memory {
            fixed: fixed.map(|(_, n)| n.shape.bytes()).sum(),
            states: store.missing_bytes(states)?,
            intermediate: self.assignment.buffers.iter().sum(),
        })
    }
}

/// Refuses to read the old value of a state (its node, or a view of it) where an update in place
/// stands in between: its buffer holds the new value by then.
fn check_updates(nodes: &[Node], outputs: &[Var]) -> Result<()> {
    let outputs: Vec<usize> = outputs.iter().map(|v| v.index()).collect();
    let live = fuse::live(nodes, &outputs);
    let owner = owners(nodes);
    let name = |index: usize| match &nodes[index].op {
        Op::State(name) => Some(name.as_str()),
        _ => None,
    };
    // Where each state was last updated so far.
    let mut updated: HashMap<&str, usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate().filter(|(i, _)| live[*i]) {
        let reads = node
            .inputs
            .iter()
            .filter_map(|&i| Some((i, name(owner[i].0)?)));
        for (input, state) in reads {
            // A view of an update's result is newer than the update.
            let mut source = input;
            while owner[source].0 != source && nodes[source].op.updates() == 0 {
                source = nodes[source].inputs[0];
            }
            if updated.get(state).is_some_and(|&at| source < at) {
                return Err(Error::shape(
                    node.op.name(),
                    format!(
                        "reads the state '{state}' after it was updated: use the update's result"
                    ),
                ));
            }
        }
        for &input in &node.inputs[..node.op.updates()] {
            if let Some(state) = name(input) {
                updated.insert(state, index);
            }
        }
    }
    Ok(())
}

/// Views: a reshape, and a slice of consecutive elements at an aligned offset, take no memory of
/// their own; an update in place is its state.
fn owners(nodes: &[Node]) -> Vec<(usize, usize)> {
    let mut owner: Vec<(usize, usize)> = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        let own = match &node.op {
            Op::Reshape => owner[node.inputs[0]],
            op if op.updates() > 0 => owner[node.inputs[0]],
            Op::Slice { axis, start } => {
                let input = nodes[node.inputs[0]].shape;
                let (base, offset) = owner[node.inputs[0]];
                let offset = offset + start * input.strides()[*axis];
                let consecutive = input.0[..*axis].iter().all(|&e| e == 1);
                if consecutive && offset.is_multiple_of(ALIGNMENT) {
                    (base, offset)
                } else {
                    (index, 0)
                }
            }
            _ => (index, 0),
        };
        owner.push(own);
    }
    owner
}

/// Allocates and binds.
struct Builder {
    gpu: Gpu,
    draft: Draft,
    pool: Vec<Buffer>,
    leaves: HashMap<usize, Buffer>,
    inputs: HashMap<String, Place>,
    tables: HashMap<Arc<[u32]>, Buffer>,
}

impl Builder {
    fn new(gpu: Gpu, draft: Draft, store: &Store) -> Result<Self> {
        let mut leaves = HashMap::new();
        let mut inputs = HashMap::new();
        for (index, node) in draft.live_leaves() {
            let buffer = match &node.op {
                Op::State(name) => store.buffer(name, node.shape)?,
                Op::Input(name) => {
                    let buffer = gpu.buffer(name, node.shape.bytes())?;
                    let place = Place {
                        buffer: buffer.clone(),
                        offset: 0,
                        shape: node.shape,
                    };
                    if inputs.insert(name.clone(), place).is_some() {
                        return Err(Error::shape(
                            "input",
                            format!("two inputs are named '{name}'"),
                        ));
                    }
                    buffer
                }
                Op::Constant(values) => {
                    let buffer = gpu.buffer("constant", node.shape.bytes())?;
                    gpu.write(&buffer, 0, values);
                    buffer
                }
                other => unreachable!("{} is no leaf", other.name()),
            };
            leaves.insert(index, buffer);
        }
        let pool = draft
            .assignment
            .buffers
            .iter()
            .map(|&bytes| gpu.buffer("intermediate", bytes))
            .collect::<Result<_>>()?;
        Ok(Builder {
            gpu,
            draft,
            pool,
            leaves,
            inputs,
            tables: HashMap::new(),
        })
    }

    /// Where the value of `node` lies.
    fn place(&self, node: usize) -> Result<Place> {
        let (owner, offset) = self.draft.owner[node];
        let buffer = match self.leaves.get(&owner) {
            Some(buffer) => buffer.clone(),
            None => {
                let task = self.draft.task_of.get(&owner);
                let need = task.and_then(|&t| self.draft.output_need[t]);
                let need = need.ok_or_else(|| {
                    Error::shape("plan", format!("node {owner} is computed by no task"))
                })?;
                self.pool[self.draft.assignment.of[need]].clone()
            }
        };
        Ok(Place {
            buffer,
            offset,
            shape: self.draft.nodes[node].shape,
        })
    }

    fn finish(mut self, memory: Memory) -> Result<Plan> {
        // All parameters in one uniform buffer.
        let stride = 256usize.max(self.gpu.limits().min_uniform_buffer_offset_alignment as usize);
        let mut uniforms = Vec::new();
        let launches: Vec<(usize, Launch)> = (self.draft.lowered.iter().enumerate())
            .flat_map(|(t, l)| l.launches.iter().map(move |launch| (t, launch.clone())))
            .collect();
        for (_, launch) in &launches {
            uniforms.extend_from_slice(&launch.params);
            uniforms.resize(uniforms.len().next_multiple_of(stride), 0);
        }
        let uniform = self.gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("parameters"),
            size: (uniforms.len().max(stride)) as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.gpu.queue().write_buffer(&uniform, 0, &uniforms);
        let mut steps = Vec::with_capacity(launches.len());
        let mut offset = 0;
        for (task, launch) in &launches {
            steps.push(self.step(*task, launch, &uniform, offset)?);
            offset += launch.params.len().next_multiple_of(stride) as u64;
        }
        let outputs = (self.draft.outputs.iter())
            .map(|&node| Ok((node, self.place(node)?)))
            .collect::<Result<_>>()?;
        let submissions = split(&steps, self.gpu.is_software());
        Ok(Plan {
            gpu: self.gpu,
            steps,
            submissions,
            inputs: self.inputs,
            outputs,
            memory,
        })
    }

    fn step(
        &mut self,
        task: usize,
        launch: &Launch,
        uniform: &wgpu::Buffer,
        offset: u64,
    ) -> Result<Step> {
        let pipeline = (self.gpu).pipeline(launch.path, &launch.variant, launch.trust)?;
        let mut places: HashMap<&str, (wgpu::Buffer, u64, u64)> = HashMap::new();
        for (name, slot) in &launch.bindings {
            places.insert(name, self.bind(task, slot)?);
        }
        places.insert(
            "params",
            (uniform.clone(), offset, launch.params.len() as u64),
        );
        let entries = (pipeline.interface.bindings.iter())
            .map(|b| {
                let (buffer, offset, size) = places.get(b.name.as_str()).ok_or_else(|| {
                    Error::Shader(format!(
                        "{} binds '{}', which its kernel does not supply",
                        launch.path, b.name
                    ))
                })?;
                Ok(wgpu::BindGroupEntry {
                    binding: b.binding,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer,
                        offset: *offset,
                        size: std::num::NonZeroU64::new(*size),
                    }),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let bind_group = (self.gpu.device()).create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(launch.path),
            layout: &pipeline.layout,
            entries: &entries,
        });
        let node = &self.draft.nodes[self.draft.tasks[task].output];
        Ok(Step {
            label: format!("{} ({} {})", launch.path, node.op.name(), node.shape),
            pipeline,
            bind_group,
            groups: launch.groups,
            flops: launch.flops,
            bytes: launch.bytes,
        })
    }

    /// Buffer, byte offset and byte size of a slot.
    fn bind(&mut self, task: usize, slot: &Slot) -> Result<(wgpu::Buffer, u64, u64)> {
        let place = match slot {
            Slot::Input(k) => self.place(self.draft.tasks[task].inputs[*k])?,
            Slot::Part {
                input,
                offset,
                bytes,
            } => {
                let whole = self.place(self.draft.tasks[task].inputs[*input])?;
                let offset = 4 * whole.offset as u64 + offset;
                return Ok((whole.buffer.raw().clone(), offset, *bytes));
            }
            Slot::Output => self.place(self.draft.tasks[task].output)?,
            Slot::Scratch(k) => {
                let need = self.draft.scratch_needs[task][*k];
                let buffer = &self.pool[self.draft.assignment.of[need]];
                let size = self.draft.lowered[task].scratch[*k].next_multiple_of(4);
                return Ok((buffer.raw().clone(), 0, size));
            }
            Slot::Table(words) => {
                if !self.tables.contains_key(words) {
                    let buffer = self.gpu.buffer("table", 4 * words.len() as u64)?;
                    let bytes = bytemuck::cast_slice(words);
                    self.gpu.queue().write_buffer(buffer.raw(), 0, bytes);
                    self.tables.insert(words.clone(), buffer);
                }
                let buffer = &self.tables[words];
                return Ok((buffer.raw().clone(), 0, 4 * words.len() as u64));
            }
        };
        Ok((
            place.buffer.raw().clone(),
            4 * place.offset as u64,
            place.shape.bytes(),
        ))
    }
}

/// Ranges of steps that take below about 100 ms each on a slow adapter of the kind.
fn split(steps: &[Step], software: bool) -> Vec<std::ops::Range<usize>> {
    let (flops_per_ms, bytes_per_ms) = if software { (1e7, 2e6) } else { (2e8, 2e7) };
    let mut ranges = Vec::new();
    let (mut start, mut elapsed) = (0, 0.0);
    for (i, step) in steps.iter().enumerate() {
        let cost = step.flops as f64 / flops_per_ms + step.bytes as f64 / bytes_per_ms;
        if elapsed + cost > 80.0 && i > start {
            ranges.push(start..i);
            (start, elapsed) = (i, 0.0);
        }
        elapsed += cost;
    }
    if start < steps.len() {
        ranges.push(start..steps.len());
    }
    ranges
}
