//! Where the time of a replay goes.

use super::{Plan, Step};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::kernels::Work;
use crate::shape::Shape;
use serde::Serialize;
use std::time::Instant;

/// How dispatches were timed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// By the device, at the ends of a pass around each dispatch.
    Timestamps,
    /// By the host, around the submission of each dispatch alone: that cost is in it.
    WallClock,
}

/// The time of one dispatch, or of the copies into textures before it.
#[derive(Clone, PartialEq, Debug)]
pub struct Timing {
    /// The kernel's file, or [`COPIES`].
    pub kernel: &'static str,
    /// The operation that it computes, or helps to compute.
    pub operation: &'static str,
    /// The shape of the operation's result.
    pub shape: Shape,
    /// Milliseconds.
    pub milliseconds: f64,
    /// What there was to do.
    pub work: Work,
}

/// The times of a replay's dispatches.
#[derive(Clone, PartialEq, Debug)]
pub struct Profile {
    /// How they were taken.
    pub clock: Clock,
    /// In the order of the replay.
    pub timings: Vec<Timing>,
}

/// What stands for a kernel's file where buffers are copied into the textures that it reads.
pub const COPIES: &str = "copies to textures";

/// Dispatches that are timed together: two timestamps each, and WebGPU guarantees 4096 in a set.
const TOGETHER: usize = 1024;

impl Plan {
    /// Replays with each dispatch by itself and times it: by timestamps where the device has them,
    /// else by the host's clock. Replay once or more before, so that no kernel is still compiled.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn profile(&self) -> Result<Profile> {
        self.gpu.wait()?;
        let features = self.gpu.device().features();
        let (clock, times) = if features.contains(wgpu::Features::TIMESTAMP_QUERY) {
            let mut times = Vec::with_capacity(self.steps.len());
            for range in &self.submissions {
                for steps in self.steps[range.clone()].chunks(TOGETHER) {
                    times.extend(by_timestamps(&self.gpu, steps)?);
                }
            }
            (Clock::Timestamps, times)
        } else {
            let times = self.steps.iter().map(|s| by_wall_clock(&self.gpu, s));
            (Clock::WallClock, times.collect::<Result<_>>()?)
        };
        let mut timings = Vec::with_capacity(self.steps.len());
        for (step, [copies, dispatch]) in self.steps.iter().zip(times) {
            let timing = |kernel, milliseconds, work| Timing {
                kernel,
                operation: step.operation,
                shape: step.shape,
                milliseconds,
                work,
            };
            if step.dispatch.copied() > 0 {
                let work = Work {
                    bytes: 2 * step.dispatch.copied(),
                    ..Work::default()
                };
                timings.push(timing(COPIES, copies, work));
            }
            timings.push(timing(step.kernel, dispatch, step.work));
        }
        Ok(Profile { clock, timings })
    }
}

/// Milliseconds of each step's copies and of its dispatch in a pass of its own. Copies last from the
/// end of the pass before; those before the first pass of all are not seen.
fn by_timestamps(gpu: &Gpu, steps: &[Step]) -> Result<Vec<[f64; 2]>> {
    let count = 2 * steps.len() as u32;
    let device = gpu.device();
    let set = device.create_query_set(&wgpu::QuerySetDescriptor {
        label: Some("profile"),
        ty: wgpu::QueryType::Timestamp,
        count,
    });
    let buffer = |usage| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timestamps"),
            size: 8 * u64::from(count),
            usage,
            mapped_at_creation: false,
        })
    };
    let resolved = buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC);
    let staging = buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
    let mut encoder = device.create_command_encoder(&Default::default());
    for (step, first) in steps.iter().zip((0..).step_by(2)) {
        step.dispatch.copy(&mut encoder);
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some(step.kernel),
            timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                query_set: &set,
                beginning_of_pass_write_index: Some(first),
                end_of_pass_write_index: Some(first + 1),
            }),
        });
        step.dispatch.dispatch(&mut pass);
    }
    encoder.resolve_query_set(&set, 0..count, &resolved, 0);
    encoder.copy_buffer_to_buffer(&resolved, 0, &staging, 0, staging.size());
    gpu.queue().submit([encoder.finish()]);
    staging.map_async(wgpu::MapMode::Read, .., |_| ());
    gpu.wait()?;
    let view = (staging.slice(..).get_mapped_range())
        .map_err(|e| Error::Device(format!("reading timestamps from {}: {e}", gpu.label())))?;
    let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&view);
    // Nanoseconds in a tick.
    let period = f64::from(gpu.queue().get_timestamp_period());
    // A clock that was reset between the two would give a difference below zero.
    let between = |from: u64, to: u64| to.saturating_sub(from) as f64 * period * 1e-6;
    let mut before = ticks.first().copied().unwrap_or_default();
    let times = ticks.chunks_exact(2).map(|pass| {
        let copies = between(before, pass[0]);
        before = pass[1];
        [copies, between(pass[0], pass[1])]
    });
    Ok(times.collect())
}

/// Milliseconds from the submission of one step's copies to their end, and of its dispatch.
fn by_wall_clock(gpu: &Gpu, step: &Step) -> Result<[f64; 2]> {
    let time = |encode: &dyn Fn(&mut wgpu::CommandEncoder)| -> Result<f64> {
        let start = Instant::now();
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        encode(&mut encoder);
        gpu.queue().submit([encoder.finish()]);
        gpu.wait()?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    let copies = match step.dispatch.copied() == 0 {
        true => 0.0,
        false => time(&|encoder| step.dispatch.copy(encoder))?,
    };
    let dispatch = time(&|encoder| {
        step.dispatch
            .dispatch(&mut encoder.begin_compute_pass(&Default::default()))
    })?;
    Ok([copies, dispatch])
}
