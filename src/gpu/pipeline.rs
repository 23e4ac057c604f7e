//! Compute pipelines, one for each composed shader, compiled on several threads.

use super::Gpu;
use super::kept::Kept;
use crate::error::{Error, Result};
use crate::shader::{self, Binding, BindingClass, Interface, Variant};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Whether a shader keeps its bounds checks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Trust {
    /// Bounds checks and bounded loops, as WebGPU demands.
    #[default]
    Checked,
    /// None: only for variants whose dispatch geometry proves every index in range.
    Unchecked,
}

/// A compiled compute shader.
#[derive(Debug)]
pub struct Pipeline {
    /// The wgpu pipeline.
    pub raw: wgpu::ComputePipeline,
    /// The layout of its one bind group.
    pub layout: wgpu::BindGroupLayout,
    /// Bindings, workgroup size, parameter layout.
    pub interface: Interface,
    /// Hash of the composed source.
    pub hash: u64,
}

#[derive(Default)]
pub(super) struct PipelineCache(Mutex<Pipelines>);

/// By the hash of the composed source.
type Pipelines = HashMap<(u64, Trust), Arc<Pipeline>>;

impl Gpu {
    /// The pipeline of `shaders/PATH` for `variant`, compiled at its first use.
    ///
    /// # Errors
    /// [`Error::Shader`] if the source does not compose or validate or the device refuses it.
    pub fn pipeline(&self, path: &str, variant: &Variant, trust: Trust) -> Result<Arc<Pipeline>> {
        let composed = shader::compose(path, variant)?;
        let key = (composed.hash, trust);
        if let Some(found) = self.cached(key)? {
            return Ok(found);
        }
        let start = Instant::now();
        let module = shader::check(composed)?;
        let checked = start.elapsed();
        let pipeline = Arc::new(self.build(module, trust)?);
        log::debug!(
            "{path}: checked in {:.0} ms, compiled in {:.0} ms",
            1e3 * checked.as_secs_f64(),
            1e3 * (start.elapsed() - checked).as_secs_f64()
        );
        if let Some(kept) = &self.inner.kept {
            kept.note();
        }
        self.lock_pipelines()?.insert(key, pipeline.clone());
        Ok(pipeline)
    }

    fn cached(&self, key: (u64, Trust)) -> Result<Option<Arc<Pipeline>>> {
        Ok(self.lock_pipelines()?.get(&key).cloned())
    }

    fn lock_pipelines(&self) -> Result<std::sync::MutexGuard<'_, Pipelines>> {
        (self.inner.pipelines.0.lock())
            .map_err(|_| Error::Device("a thread that compiled shaders panicked".into()))
    }

    /// Compiles many pipelines on all cores; later [`Gpu::pipeline`] calls find them.
    ///
    /// # Errors
    /// The first error of [`Gpu::pipeline`].
    pub fn compile_all(&self, wanted: &[(&'static str, Variant, Trust)]) -> Result<()> {
        let mut distinct: Vec<&(&'static str, Variant, Trust)> = Vec::new();
        for request in wanted {
            if !distinct.contains(&request) {
                distinct.push(request);
            }
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let next = std::sync::atomic::AtomicUsize::new(0);
        let compile = || -> Result<()> {
            loop {
                let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some((path, variant, trust)) = distinct.get(i) else {
                    return Ok(());
                };
                self.pipeline(path, variant, *trust)?;
            }
        };
        let done = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads.min(distinct.len()))
                .map(|_| scope.spawn(compile))
                .collect();
            workers.into_iter().try_for_each(|w| {
                w.join().unwrap_or_else(|_| {
                    Err(Error::Device(
                        "a thread that compiled shaders panicked".into(),
                    ))
                })
            })
        });
        if let Some(kept) = &self.inner.kept {
            kept.save();
        }
        done
    }

    fn build(&self, module: shader::Module, trust: Trust) -> Result<Pipeline> {
        let shader::Module {
            composed,
            module,
            interface,
            ..
        } = module;
        let path = composed.path.as_str();
        let entries: Vec<wgpu::BindGroupLayoutEntry> = interface
            .bindings
            .iter()
            .map(|b| wgpu::BindGroupLayoutEntry {
                binding: b.binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: binding_type(b),
                count: None,
            })
            .collect();
        let device = self.device();
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(path),
            entries: &entries,
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(path),
            bind_group_layouts: &[Some(&layout)],
            ..Default::default()
        });
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(path),
            // Not the text: to parse it once more takes as long as everything else but the driver.
            source: wgpu::ShaderSource::Naga(Cow::Owned(module)),
        };
        let shader = match trust {
            Trust::Checked => device.create_shader_module(descriptor),
            // SAFETY: kernels ask for this only where their dispatch geometry proves every index
            // in range; they say so next to the request, and the guard words of the kernel tests
            // cover it.
            Trust::Unchecked => unsafe {
                device.create_shader_module_trusted(
                    descriptor,
                    wgpu::ShaderRuntimeChecks::unchecked(),
                )
            },
        };
        let raw = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(path),
            layout: Some(&pipeline_layout),
            module: &shader,
            entry_point: Some(&interface.entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: self.inner.kept.as_ref().map(Kept::raw),
        });
        match pollster::block_on(scope.pop()) {
            None => Ok(Pipeline {
                raw,
                layout,
                interface,
                hash: composed.hash,
            }),
            Some(e) => Err(Error::Shader(format!("{path} on {}: {e}", self.label()))),
        }
    }
}

fn binding_type(binding: &Binding) -> wgpu::BindingType {
    let ty = match binding.class {
        BindingClass::Uniform => wgpu::BufferBindingType::Uniform,
        BindingClass::Storage { read_only } => wgpu::BufferBindingType::Storage { read_only },
        BindingClass::Texture => {
            return wgpu::BindingType::Texture {
                sample_type: wgpu::TextureSampleType::Float { filterable: false },
                view_dimension: wgpu::TextureViewDimension::D2,
                multisampled: false,
            };
        }
    };
    wgpu::BindingType::Buffer {
        ty,
        has_dynamic_offset: false,
        min_binding_size: std::num::NonZeroU64::new(binding.min_size),
    }
}
