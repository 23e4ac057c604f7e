//! From a draft to a plan: allocates, compiles and binds.

use super::draft::Draft;
use super::schedule::{self, Held};
use super::{Memory, Place, Plan, Step, Store};
use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu, Texture};
use crate::kernels::{Copy, Dispatch, Launch, Range, Resource, Slot};
use crate::tape::op::Op;
use std::collections::HashMap;
use std::sync::Arc;

/// Allocates and binds.
pub(super) struct Builder {
    gpu: Gpu,
    draft: Draft,
    pool: Vec<Buffer>,
    textures: Vec<Texture>,
    leaves: HashMap<usize, Buffer>,
    inputs: HashMap<String, Place>,
    tables: HashMap<Arc<[u32]>, Buffer>,
}

impl Builder {
    pub(super) fn new(gpu: Gpu, draft: Draft, store: &Store) -> Result<Self> {
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
        let textures = (draft.textures.sizes.iter())
            .map(|&bytes| gpu.texture(bytes))
            .collect::<Result<_>>()?;
        Ok(Builder {
            gpu,
            draft,
            pool,
            textures,
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
                let buffer = self.draft.buffer(Held::Node(owner)).ok_or_else(|| {
                    Error::shape("plan", format!("node {owner} is computed by no task"))
                })?;
                self.pool[buffer].clone()
            }
        };
        Ok(Place {
            buffer,
            offset,
            shape: self.draft.nodes[node].shape,
        })
    }

    pub(super) fn finish(mut self, memory: Memory) -> Result<Plan> {
        for inlay in &self.draft.joins.inlays {
            if let Op::Constant(values) = &self.draft.nodes[inlay.constant].op {
                let place = self.place(inlay.concat)?;
                (self.gpu).write(&place.buffer, place.offset + inlay.offset, values);
            }
        }
        // All parameters in one uniform buffer.
        let stride = 256usize.max(self.gpu.limits().min_uniform_buffer_offset_alignment as usize);
        let mut uniforms = Vec::new();
        let launches: Vec<(schedule::Place, bool, Launch)> = (self.draft.schedule.launches())
            .map(|([t, l], fresh)| ([t, l], fresh, self.draft.lowered[t].launches[l].clone()))
            .collect();
        for (_, _, launch) in &launches {
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
        for (at, fresh, launch) in &launches {
            steps.push(Step {
                fresh: *fresh,
                ..self.step(*at, launch, &uniform, offset)?
            });
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
            chosen: self.draft.chosen,
        })
    }

    fn step(
        &mut self,
        [task, number]: schedule::Place,
        launch: &Launch,
        uniform: &wgpu::Buffer,
        offset: u64,
    ) -> Result<Step> {
        let mut resources = Vec::with_capacity(launch.bindings.len());
        let mut copies = Vec::new();
        for (b, (_, slot)) in launch.bindings.iter().enumerate() {
            resources.push(match slot {
                Slot::Texture(source) => {
                    let used = self.draft.textures.uses[&(task, number, b)];
                    let texture = self.textures[used.texture].clone();
                    if used.copy {
                        copies.push(Copy {
                            texture: texture.clone(),
                            source: self.bind(task, source)?,
                        });
                    }
                    Resource::Texture(texture)
                }
                _ => Resource::Buffer(self.bind(task, slot)?),
            });
        }
        let params = Range {
            buffer: uniform.clone(),
            offset,
            bytes: launch.params.len() as u64,
        };
        let dispatch = Dispatch::new(&self.gpu, launch, params, &resources, copies)?;
        let node = &self.draft.nodes[self.draft.tasks[task].output];
        Ok(Step {
            kernel: launch.path,
            operation: node.op.name(),
            shape: node.shape,
            dispatch,
            fresh: false,
            work: launch.work,
        })
    }

    /// Where the value of a slot lies.
    fn bind(&mut self, task: usize, slot: &Slot) -> Result<Range> {
        let place = match slot {
            Slot::Input(k) => self.place(self.draft.tasks[task].inputs[*k])?,
            Slot::Part { of, offset, bytes } => {
                let whole = self.bind(task, of)?;
                return Ok(Range {
                    offset: whole.offset + offset,
                    bytes: *bytes,
                    ..whole
                });
            }
            Slot::Output => self.place(self.draft.tasks[task].output)?,
            Slot::Scratch(k) => {
                let buffer = (self.draft.buffer(Held::Scratch(task, *k)))
                    .expect("what a launch binds has a buffer");
                let buffer = &self.pool[buffer];
                return Ok(Range {
                    buffer: buffer.raw().clone(),
                    offset: 0,
                    bytes: self.draft.lowered[task].scratch[*k].next_multiple_of(4),
                });
            }
            Slot::Table(words) => {
                if !self.tables.contains_key(words) {
                    let buffer = self.gpu.buffer("table", 4 * words.len() as u64)?;
                    let bytes = bytemuck::cast_slice(words);
                    self.gpu.queue().write_buffer(buffer.raw(), 0, bytes);
                    self.tables.insert(words.clone(), buffer);
                }
                return Ok(Range {
                    buffer: self.tables[words].raw().clone(),
                    offset: 0,
                    bytes: 4 * words.len() as u64,
                });
            }
            Slot::Texture(source) => return self.bind(task, source),
        };
        Ok(Range {
            buffer: place.buffer.raw().clone(),
            offset: 4 * place.offset as u64,
            bytes: place.shape.bytes(),
        })
    }
}

/// Ranges of steps that take below about 100 ms each on a slow adapter of the kind.
fn split(steps: &[Step], software: bool) -> Vec<std::ops::Range<usize>> {
    let (flops_per_ms, bytes_per_ms) = if software { (1e7, 2e6) } else { (2e8, 2e7) };
    let mut ranges = Vec::new();
    let (mut start, mut elapsed) = (0, 0.0);
    for (i, step) in steps.iter().enumerate() {
        let cost = step.work.flops as f64 / flops_per_ms + step.work.bytes as f64 / bytes_per_ms;
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
