//! From a draft to a plan: allocates, compiles and binds.

use super::draft::Draft;
use super::{Copy, Memory, Place, Plan, Step, Store};
use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu, Texture};
use crate::kernels::{Launch, Slot};
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
        let launches: Vec<([usize; 2], Launch)> = (self.draft.lowered.iter().enumerate())
            .flat_map(|(t, lowered)| {
                let launches = lowered.launches.iter().enumerate();
                launches.map(move |(l, launch)| ([t, l], launch.clone()))
            })
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
        for (at, launch) in &launches {
            steps.push(self.step(*at, launch, &uniform, offset)?);
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
        [task, number]: [usize; 2],
        launch: &Launch,
        uniform: &wgpu::Buffer,
        offset: u64,
    ) -> Result<Step> {
        let pipeline = (self.gpu).pipeline(launch.path, &launch.variant, launch.trust)?;
        let mut places: HashMap<&str, Bound> = HashMap::new();
        let mut copies = Vec::new();
        for (b, (name, slot)) in launch.bindings.iter().enumerate() {
            let bound = match slot {
                Slot::Texture(source) => {
                    let used = self.draft.textures.uses[&(task, number, b)];
                    let texture = self.textures[used.texture].clone();
                    if used.copy {
                        let (buffer, offset, bytes) = self.bind(task, source)?;
                        copies.push(Copy {
                            texture: texture.clone(),
                            buffer,
                            offset,
                            bytes,
                        });
                    }
                    Bound::Texture(texture)
                }
                _ => Bound::Buffer(self.bind(task, slot)?),
            };
            places.insert(name, bound);
        }
        let params = (uniform.clone(), offset, launch.params.len() as u64);
        places.insert("params", Bound::Buffer(params));
        let entries = (pipeline.interface.bindings.iter())
            .map(|b| {
                let bound = places.get(b.name.as_str()).ok_or_else(|| {
                    Error::Shader(format!(
                        "{} binds '{}', which its kernel does not supply",
                        launch.path, b.name
                    ))
                })?;
                Ok(wgpu::BindGroupEntry {
                    binding: b.binding,
                    resource: bound.resource(),
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
            kernel: launch.path,
            operation: node.op.name(),
            shape: node.shape,
            copies,
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
            Slot::Texture(source) => return self.bind(task, source),
        };
        Ok((
            place.buffer.raw().clone(),
            4 * place.offset as u64,
            place.shape.bytes(),
        ))
    }
}

/// What a name of a shader is bound to.
enum Bound {
    /// Buffer, byte offset and byte size.
    Buffer((wgpu::Buffer, u64, u64)),
    Texture(Texture),
}

impl Bound {
    fn resource(&self) -> wgpu::BindingResource<'_> {
        match self {
            Bound::Buffer((buffer, offset, size)) => {
                wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset: *offset,
                    size: std::num::NonZeroU64::new(*size),
                })
            }
            Bound::Texture(texture) => wgpu::BindingResource::TextureView(texture.view()),
        }
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
