//! Buffers of f32 and their way to and from the host.

use super::Gpu;
use crate::error::{Error, Result};
use std::sync::mpsc;

/// A storage buffer on the device.
#[derive(Clone, Debug)]
pub struct Buffer {
    pub(super) raw: wgpu::Buffer,
}

impl Buffer {
    /// The wgpu buffer.
    pub fn raw(&self) -> &wgpu::Buffer {
        &self.raw
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.raw.size()
    }
}

/// A read-back that has been submitted and not yet collected.
#[derive(Debug)]
pub struct Pending {
    staging: wgpu::Buffer,
    submission: wgpu::SubmissionIndex,
    ready: mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>,
}

impl Pending {
    /// The values, once everything submitted before them has run; blocks until then, but not for
    /// what was submitted later.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub fn wait(self, gpu: &Gpu) -> Result<Vec<f32>> {
        gpu.wait_for(self.submission)?;
        let lost = |what: &dyn std::fmt::Display| {
            Error::Device(format!("reading back from {}: {what}", gpu.label()))
        };
        self.ready
            .recv()
            .map_err(|e| lost(&e))?
            .map_err(|e| lost(&e))?;
        let view = self
            .staging
            .slice(..)
            .get_mapped_range()
            .map_err(|e| lost(&e))?;
        Ok(bytemuck::pod_collect_to_vec(&view))
    }
}

impl Gpu {
    /// A zeroed storage buffer of at least `bytes` bytes (never empty, a multiple of 4).
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if it exceeds the device's limits or the device refuses it.
    pub fn buffer(&self, label: &str, bytes: u64) -> Result<Buffer> {
        let bytes = bytes.max(16).next_multiple_of(16);
        let limits = self.limits();
        let available = limits
            .max_buffer_size
            .min(limits.max_storage_buffer_binding_size);
        if bytes > available {
            return Err(Error::OutOfMemory {
                needed: bytes,
                available,
                advice: format!(
                    "one buffer ({label}) is larger than {} can bind: use a smaller batch or image, or another adapter",
                    self.label()
                ),
            });
        }
        let scope = self
            .device()
            .push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let raw = self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes,
            // Also uniform: some kernels read small arrays that way.
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::UNIFORM
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        match pollster::block_on(scope.pop()) {
            None => Ok(Buffer { raw }),
            Some(e) => Err(Error::OutOfMemory {
                needed: bytes,
                available: 0,
                advice: format!(
                    "{} refused a buffer ({e}): use a smaller batch or recomputation, or close other programs that use the GPU",
                    self.label()
                ),
            }),
        }
    }

    /// Writes `values` at the element `offset`; it happens before the next submission.
    pub fn write(&self, buffer: &Buffer, offset: usize, values: &[f32]) {
        self.queue()
            .write_buffer(&buffer.raw, 4 * offset as u64, bytemuck::cast_slice(values));
    }

    /// Starts reading `len` elements from element `offset`, after everything submitted so far.
    pub fn read_later(&self, buffer: &Buffer, offset: usize, len: usize) -> Pending {
        let bytes = 4 * len as u64;
        let staging = self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("read-back"),
            size: bytes,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device().create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&buffer.raw, 4 * offset as u64, &staging, 0, bytes);
        let submission = self.queue().submit([encoder.finish()]);
        let (sender, ready) = mpsc::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver may be gone: then nobody wants the values.
            let _ = sender.send(result);
        });
        Pending {
            staging,
            submission,
            ready,
        }
    }

    /// Reads `len` elements from element `offset`.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub fn read(&self, buffer: &Buffer, offset: usize, len: usize) -> Result<Vec<f32>> {
        self.read_later(buffer, offset, len).wait(self)
    }
}
