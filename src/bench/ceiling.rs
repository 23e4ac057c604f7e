//! What the adapter could reach: multiply-adds in registers, single numbers gathered from a cache, and
//! copies between buffers.

use super::Ceiling;
use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu};
use crate::kernels::gather::{ELEMENTS, gather};
use crate::kernels::multiply_add::multiply_add;
use crate::kernels::{Dispatch, Launch, Range, Slot, Work, encode, layout};
use crate::reference;
use crate::shape::Shape;
use std::time::Instant;

const ROUNDS: u32 = 64;
/// Bytes of the copied buffer: larger than caches.
const COPIED: u64 = 64 << 20;
/// Milliseconds that one timing takes at least.
const LONG_ENOUGH: f64 = 30.0;

/// Measures the ceiling as the best of `samples`.
///
/// # Errors
/// [`Error::Device`] if the kernels give wrong numbers; those of compiling and running.
pub(super) fn measure(gpu: &Gpu, samples: usize) -> Result<Ceiling> {
    let [plain, fused] = [false, true].map(|fused| Kernel::chains(gpu, fused));
    let [stored, uniform] = [false, true].map(|uniform| Kernel::gathers(gpu, uniform));
    let chains = [plain?, fused?];
    let gathers = [stored?, uniform?];
    let copy = Copy::new(gpu)?;
    let mut ceiling = Ceiling::default();
    gpu.warm_up(|| chains[0].run(gpu))?;
    for _ in 0..samples.max(3) {
        for kernel in &chains {
            let gflops = kernel.rate(gpu, kernel.work.flops)?;
            ceiling.fma_gflops = ceiling.fma_gflops.max(gflops);
        }
        for kernel in &gathers {
            let gnumbers = kernel.rate(gpu, kernel.work.gathers)?;
            ceiling.gather_gnumbers = ceiling.gather_gnumbers.max(gnumbers);
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

/// A kernel of which only the speed counts, on buffers of its own.
struct Kernel {
    dispatch: Dispatch,
    work: Work,
    /// Dispatches in one timing.
    repetitions: usize,
}

impl Kernel {
    /// Whose one result of each invocation is `expected`, to the bit, from `source`.
    fn new(gpu: &Gpu, launch: &Launch, source: &[f32], expected: &[f64]) -> Result<Self> {
        let buffer = |name, elements: usize| gpu.buffer(name, 4 * elements as u64);
        // A binding is never empty.
        let input = buffer("ceiling source", source.len().max(1))?;
        let result = buffer("ceiling result", expected.len())?;
        gpu.queue()
            .write_buffer(input.raw(), 0, bytemuck::cast_slice(source));
        let dispatch = Dispatch::alone(gpu, launch, |slot| {
            let buffer = if *slot == Slot::Output {
                &result
            } else {
                &input
            };
            Ok(Range {
                buffer: buffer.raw().clone(),
                offset: 0,
                bytes: buffer.bytes(),
            })
        })?;
        let mut kernel = Kernel {
            dispatch,
            work: launch.work,
            repetitions: 1,
        };
        let once = kernel.run(gpu)?;
        let found = gpu.read(&result, 0, expected.len())?;
        let wrong = (found.iter().zip(expected)).find(|&(&f, &e)| f64::from(f) != e);
        if let Some((found, expected)) = wrong {
            return Err(Error::Device(format!(
                "{} computes wrongly: {found} instead of {expected} in {}; update its driver, or choose another adapter",
                gpu.label(),
                launch.path
            )));
        }
        kernel.repetitions = (LONG_ENOUGH / once).ceil().clamp(1.0, 1000.0) as usize;
        Ok(kernel)
    }

    /// Chains of multiply-adds.
    fn chains(gpu: &Gpu, fused: bool) -> Result<Self> {
        let invocations = invocations(gpu);
        let launch = multiply_add([1.0, 1.0], ROUNDS, invocations, fused);
        // Factor and summand are 1, so every number is a small integer and exact.
        let expected =
            reference::multiply_add::sums(1.0, 1.0, ROUNDS as usize, invocations as usize);
        Kernel::new(gpu, &launch, &[], &expected)
    }

    /// Gathered numbers.
    fn gathers(gpu: &Gpu, uniform: bool) -> Result<Self> {
        let invocations = invocations(gpu);
        let launch = gather(ROUNDS, invocations, uniform);
        // Small integers again.
        let source: Vec<f32> = (0..ELEMENTS).map(|i| (i % 61) as f32).collect();
        let wide: Vec<f64> = source.iter().map(|&x| x.into()).collect();
        let expected = reference::gather::sums(&wide, ROUNDS as usize, invocations as usize);
        Kernel::new(gpu, &launch, &source, &expected)
    }

    fn run(&self, gpu: &Gpu) -> Result<f64> {
        let dispatches = std::iter::repeat_n((&self.dispatch, false), self.repetitions);
        time(gpu, |encoder| encode(dispatches, encoder))
    }

    /// 1e9 of `amount` a second.
    fn rate(&self, gpu: &Gpu, amount: u64) -> Result<f64> {
        Ok(amount as f64 * self.repetitions as f64 / self.run(gpu)? / 1e6)
    }
}

/// Enough for the largest GPUs; a processor needs few.
fn invocations(gpu: &Gpu) -> u32 {
    if gpu.is_software() { 1 << 13 } else { 1 << 20 }
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
