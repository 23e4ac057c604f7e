//! Launches bound to buffers.

use super::{Launch, Slot};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Pipeline, Texture};
use crate::shader::BindingClass;
use std::sync::Arc;

/// A range of a buffer.
#[derive(Clone, Debug)]
pub struct Range {
    /// The buffer.
    pub buffer: wgpu::Buffer,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

/// What a name of a shader is bound to.
#[derive(Clone, Debug)]
pub enum Resource {
    /// A range of a buffer.
    Buffer(Range),
    /// A texture that holds a copy of one.
    Texture(Texture),
}

/// A value on its way into the texture that a kernel reads it through.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Where to; large enough.
    pub texture: Texture,
    /// Where from.
    pub source: Range,
}

/// A launch with its pipeline and its buffers.
pub struct Dispatch {
    /// What must be copied before it.
    copies: Vec<Copy>,
    pipeline: Arc<Pipeline>,
    group: wgpu::BindGroup,
    workgroups: [u32; 3],
}

impl Resource {
    fn binding(&self) -> wgpu::BindingResource<'_> {
        match self {
            Resource::Buffer(range) => wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &range.buffer,
                offset: range.offset,
                size: std::num::NonZeroU64::new(range.bytes),
            }),
            Resource::Texture(texture) => wgpu::BindingResource::TextureView(texture.view()),
        }
    }
}

impl Dispatch {
    /// Binds `params` and, for each of [`Launch::bindings`], the resource of the same place in
    /// `resources`, some of them textures that `copies` fill. Compiles the pipeline if that was not
    /// done yet.
    ///
    /// # Errors
    /// [`Error::Shader`] if the shader binds what the launch does not supply or does not compile.
    pub fn new(
        gpu: &Gpu,
        launch: &Launch,
        params: Range,
        resources: &[Resource],
        copies: Vec<Copy>,
    ) -> Result<Self> {
        let pipeline = gpu.pipeline(launch.path, &launch.variant, launch.trust)?;
        let params = Resource::Buffer(params);
        let entries = (pipeline.interface.bindings.iter())
            .map(|binding| {
                let resource = match binding.name.as_str() {
                    "params" => Some(&params),
                    name => (launch.bindings.iter().zip(resources))
                        .find(|((known, _), _)| *known == name)
                        .map(|(_, resource)| resource),
                };
                let resource = resource.ok_or_else(|| {
                    Error::Shader(format!(
                        "{} binds '{}', which its kernel does not supply",
                        launch.path, binding.name
                    ))
                })?;
                Ok(wgpu::BindGroupEntry {
                    binding: binding.binding,
                    resource: resource.binding(),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let group = (gpu.device()).create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(launch.path),
            layout: &pipeline.layout,
            entries: &entries,
        });
        Ok(Dispatch {
            copies,
            pipeline,
            group,
            workgroups: launch.groups,
        })
    }

    /// Binds the launch to the places of its slots, with parameters and textures of its own: for
    /// kernels that run outside of a plan.
    ///
    /// # Errors
    /// As [`Dispatch::new`]; those of `place`; [`Error::OutOfMemory`].
    pub fn alone(
        gpu: &Gpu,
        launch: &Launch,
        mut place: impl FnMut(&Slot) -> Result<Range>,
    ) -> Result<Self> {
        let bytes = launch.params.len() as u64;
        let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("parameters"),
            size: bytes,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        gpu.queue().write_buffer(&buffer, 0, &launch.params);
        let params = Range {
            buffer,
            offset: 0,
            bytes,
        };
        let mut copies = Vec::new();
        let resources = (launch.bindings.iter())
            .map(|(_, slot)| {
                let Slot::Texture(source) = slot else {
                    return Ok(Resource::Buffer(place(slot)?));
                };
                let source = place(source)?;
                let texture = gpu.texture(source.bytes)?;
                copies.push(Copy {
                    texture: texture.clone(),
                    source,
                });
                Ok(Resource::Texture(texture))
            })
            .collect::<Result<Vec<_>>>()?;
        Self::new(gpu, launch, params, &resources, copies)
    }

    /// Bytes that the copies before it read.
    pub fn copied(&self) -> u64 {
        self.copies.iter().map(|c| c.source.bytes).sum()
    }

    /// Encodes the copies that must be done before it.
    pub fn copy(&self, encoder: &mut wgpu::CommandEncoder) {
        for Copy { texture, source } in &self.copies {
            texture.copy_from(encoder, &source.buffer, source.offset, source.bytes);
        }
    }

    /// Encodes the dispatch alone.
    pub fn dispatch(&self, pass: &mut wgpu::ComputePass) {
        pass.set_pipeline(&self.pipeline.raw);
        pass.set_bind_group(0, &self.group, &[]);
        let [x, y, z] = self.workgroups;
        pass.dispatch_workgroups(x, y, z);
    }

    /// The slots of `launch`, from which this was bound, that its shader may write.
    pub fn writable<'a>(&self, launch: &'a Launch) -> Vec<&'a Slot> {
        let writable = BindingClass::Storage { read_only: false };
        let bindings = &self.pipeline.interface.bindings;
        (launch.bindings.iter())
            .filter(|(name, _)| (bindings.iter()).any(|b| b.name == *name && b.class == writable))
            .map(|(_, slot)| slot)
            .collect()
    }
}

/// Encodes dispatches in order; those that come with `true` begin a new pass.
pub fn encode<'a>(
    dispatches: impl IntoIterator<Item = (&'a Dispatch, bool)>,
    encoder: &mut wgpu::CommandEncoder,
) {
    let mut pass = None;
    for (dispatch, fresh) in dispatches {
        // Copies stand between passes.
        if fresh || !dispatch.copies.is_empty() {
            pass = None;
            dispatch.copy(encoder);
        }
        let pass = pass.get_or_insert_with(|| {
            encoder
                .begin_compute_pass(&Default::default())
                .forget_lifetime()
        });
        dispatch.dispatch(pass);
    }
}
