//! What the adapter could reach: multiply-adds in registers, and copies between buffers.

use super::Ceiling;
use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu, Pipeline};
use crate::kernels::multiply_add::multiply_add;
use crate::kernels::{Dispatch, Launch, Range, Slot, encode, layout};
use crate::reference::multiply_add as twin;
use crate::shape::Shape;
use std::sync::Arc;
use std::time::Instant;

const ROUNDS: u32 = 64;
/// Bytes of the copied buffer: larger than caches.
const COPIED: u64 = 64 << 20;
/// Milliseconds that one timing takes at least.
const LONG_ENOUGH: f64 = 30.0;

/// Measures the ceiling as the best of `samples`.
///
/// # Errors
/// [`Error::Device`] if the multiply-adds give wrong numbers; those of compiling and running.
pub(super) fn measure(gpu: &Gpu, samples: usize) -> Result<Ceiling> {
    let chains = [false, true].map(|fused| Chains::new(gpu, fused));
    let [plain, fused] = chains;
    let (plain, fused) = (plain?, fused?);
    let copy = Copy::new(gpu)?;
    let mut ceiling = Ceiling::default();
    gpu.warm_up(|| fused.run(gpu))?;
    for _ in 0..samples.max(3) {
        for chains in [&plain, &fused] {
            ceiling.fma_gflops = ceiling.fma_gflops.max(chains.gflops(gpu)?);
        }
        ceiling.copy_gbytes = ceiling.copy_gbytes.max(copy.gbytes(gpu)?);
    }
    Ok(ceiling)
}

/// Milliseconds until everything in the encoder has run.
pub(super) fn time(gpu: &Gpu, encode: impl FnOnce(&mut wgpu::CommandEncoder)) -> Result<f64> {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    encode(&mut encoder);
    let commands = encoder.finish();
    gpu.wait()?;
    let start = Instant::now();
    gpu.queue().submit([commands]);
    gpu.wait()?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

struct Chains {
    pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    launch: Launch,
    /// Dispatches in one timing.
    repetitions: u32,
}

impl Chains {
    fn new(gpu: &Gpu, fused: bool) -> Result<Self> {
        // Enough invocations for the largest GPUs; a processor needs few.
        let invocations: u32 = if gpu.is_software() { 1 << 13 } else { 1 << 20 };
        let launch = multiply_add([1.0, 1.0], ROUNDS, invocations, fused);
        let pipeline = gpu.pipeline(launch.path, &launch.variant, launch.trust)?;
        let result = gpu.buffer("multiply-add", 4 * u64::from(invocations))?;
        let uniform = gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("multiply-add parameters"),
            size: launch.params.len() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        (gpu.queue()).write_buffer(&uniform, 0, &launch.params);
        let entries: Vec<_> = (0..)
            .zip([&uniform, result.raw()])
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let bind_group = gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(launch.path),
            layout: &pipeline.layout,
            entries: &entries,
        });
        let mut chains = Chains {
            pipeline,
            bind_group,
            launch,
            repetitions: 1,
        };
        let once = chains.run(gpu)?;
        chains.verify(gpu, &result, invocations as usize)?;
        chains.repetitions = (LONG_ENOUGH / once).ceil().clamp(1.0, 1000.0) as u32;
        Ok(chains)
    }

    fn run(&self, gpu: &Gpu) -> Result<f64> {
        time(gpu, |encoder| {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&self.pipeline.raw);
            pass.set_bind_group(0, &self.bind_group, &[]);
            let [x, y, z] = self.launch.groups;
            for _ in 0..self.repetitions {
                pass.dispatch_workgroups(x, y, z);
            }
        })
    }

    /// Factor and summand are 1, so every number is a small integer and exact.
    fn verify(&self, gpu: &Gpu, result: &Buffer, invocations: usize) -> Result<()> {
        let found = gpu.read(result, 0, invocations)?;
        let expected = twin::sums(1.0, 1.0, ROUNDS as usize, found.len());
        let wrong = (found.iter().zip(&expected)).position(|(&f, &e)| f64::from(f) != e);
        match wrong {
            None => Ok(()),
            Some(i) => Err(Error::Device(format!(
                "{} adds and multiplies wrongly: {} instead of {} in {}; update its driver, or choose another adapter",
                gpu.label(),
                found[i],
                expected[i],
                self.launch.path
            ))),
        }
    }

    fn gflops(&self, gpu: &Gpu) -> Result<f64> {
        let operations = self.launch.flops as f64 * f64::from(self.repetitions);
        Ok(operations / self.run(gpu)? / 1e6)
    }
}

/// A copy between buffers: by the driver, or by a kernel, which is not the slower way everywhere.
struct Copy {
    from: Buffer,
    to: Buffer,
    kernel: Dispatch,
    /// Copies in one timing: by the driver, by the kernel.
    repetitions: [u32; 2],
}

impl Copy {
    fn new(gpu: &Gpu) -> Result<Self> {
        let bytes = COPIED.min(gpu.memory_limit().map_or(COPIED, |limit| limit / 4));
        let (from, to) = (
            gpu.buffer("copy source", bytes)?,
            gpu.buffer("copy target", bytes)?,
        );
        let lowered = layout::copy(Shape::vector((bytes / 4) as usize));
        let kernel = Dispatch::alone(gpu, &lowered.launches[0], |slot| {
            let buffer = if *slot == Slot::Output { &to } else { &from };
            Ok(Range {
                buffer: buffer.raw().clone(),
                offset: 0,
                bytes,
            })
        })?;
        let mut copy = Copy {
            from,
            to,
            kernel,
            repetitions: [1; 2],
        };
        for way in 0..2 {
            copy.run(gpu, way)?;
            let once = copy.run(gpu, way)?;
            copy.repetitions[way] = (LONG_ENOUGH / once).ceil().clamp(1.0, 1000.0) as u32;
        }
        Ok(copy)
    }

    fn run(&self, gpu: &Gpu, way: usize) -> Result<f64> {
        let (from, to) = (self.from.raw(), self.to.raw());
        let count = self.repetitions[way] as usize;
        time(gpu, |encoder| match way {
            0 => {
                for _ in 0..count {
                    encoder.copy_buffer_to_buffer(from, 0, to, 0, self.from.bytes());
                }
            }
            _ => encode(std::iter::repeat_n((&self.kernel, false), count), encoder),
        })
    }

    /// Bytes read and bytes written, by the faster way.
    fn gbytes(&self, gpu: &Gpu) -> Result<f64> {
        let mut best = 0.0f64;
        for way in 0..2 {
            let bytes = 2.0 * self.from.bytes() as f64 * f64::from(self.repetitions[way]);
            best = best.max(bytes / self.run(gpu, way)? / 1e6);
        }
        Ok(best)
    }
}
