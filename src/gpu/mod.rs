//! The device: adapters, buffers, pipelines and submission. wgpu only, no mathematics.
//!
//! [`Gpu`] is a cheap handle that is cloned freely. It is made from an adapter of this machine
//! ([`Gpu::open`]) or around a device that the caller owns ([`Gpu::from_device`]).

mod buffer;
mod kept;
mod pipeline;
mod select;
mod texture;

pub use buffer::{Buffer, Pending};
pub use pipeline::{Pipeline, Trust};
pub use select::{AdapterSummary, Selection, Tuning, adapters, no_adapter};
pub use texture::Texture;

use crate::error::{Error, Result};
use kept::Kept;
use pipeline::PipelineCache;
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A device, its queue, and the pipelines compiled for it.
#[derive(Clone)]
pub struct Gpu {
    inner: Arc<Inner>,
}

struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    pipelines: PipelineCache,
    /// Pipelines of earlier processes.
    kept: Option<Kept>,
    /// The first message that wgpu reported outside a call that could return it.
    fault: Arc<Mutex<Option<String>>>,
    memory_limit: Option<u64>,
    tuning: Tuning,
    cache: Option<PathBuf>,
    attached: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gpu({})", self.label())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Pipelines that were made one at a time, after the last plan.
        if let Some(kept) = &self.kept {
            kept.save();
        }
    }
}

/// Features that are used where the adapter has them; none is required.
const OPTIONAL_FEATURES: wgpu::Features = wgpu::Features::SUBGROUP
    .union(wgpu::Features::TIMESTAMP_QUERY)
    .union(wgpu::Features::PIPELINE_CACHE);

/// How long [`Gpu::warm_up`] takes.
const WARM_UP: std::time::Duration = std::time::Duration::from_millis(400);

impl Gpu {
    /// Opens the adapter that `selection` asks for: by default the best one, discrete before
    /// integrated before software, and GL only if nothing else is there.
    ///
    /// # Errors
    /// [`Error::Device`] if there is no such adapter or it refuses a device.
    pub fn open(selection: &Selection) -> Result<Self> {
        let adapter = select::choose(selection)?;
        let info = adapter.get_info();
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("equilens"),
            required_features: adapter.features() & OPTIONAL_FEATURES,
            required_limits: adapter.limits(),
            memory_hints: wgpu::MemoryHints::Performance,
            ..Default::default()
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|e| {
                Error::Device(format!(
                    "the adapter {} ({:?}) refused a device: {e}; choose another one with --adapter, see `equilens devices`",
                    info.name, info.backend
                ))
            })?;
        let fault = Arc::new(Mutex::new(None));
        let sink = fault.clone();
        device.on_uncaptured_error(Arc::new(move |error| {
            log::error!("{error}");
            if let Ok(mut first) = sink.lock() {
                first.get_or_insert_with(|| error.to_string());
            }
        }));
        let kept = (selection.cache.as_deref()).and_then(|cache| Kept::open(&device, cache));
        Ok(Self::assemble(device, queue, fault, selection, kept))
    }

    /// A handle around a device that the caller made and keeps. Its error handler is left alone.
    pub fn from_device(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let selection = Selection::default();
        Self::assemble(device, queue, Arc::default(), &selection, None)
    }

    fn assemble(
        device: wgpu::Device,
        queue: wgpu::Queue,
        fault: Arc<Mutex<Option<String>>>,
        selection: &Selection,
        kept: Option<Kept>,
    ) -> Self {
        let info = device.adapter_info();
        Gpu {
            inner: Arc::new(Inner {
                device,
                queue,
                info,
                pipelines: PipelineCache::default(),
                kept,
                fault,
                memory_limit: selection.memory_limit,
                tuning: selection.tuning,
                cache: selection.cache.clone(),
                attached: Mutex::default(),
            }),
        }
    }

    /// The wgpu device.
    pub fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    /// The wgpu queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// What the adapter says of itself.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.inner.info
    }

    /// The limits of the device.
    pub fn limits(&self) -> wgpu::Limits {
        self.inner.device.limits()
    }

    /// The adapter's name and backend, for tables and test names.
    pub fn label(&self) -> String {
        format!("{} ({:?})", self.inner.info.name, self.inner.info.backend)
    }

    /// Whether the adapter runs on the processor.
    pub fn is_software(&self) -> bool {
        self.inner.info.device_type == wgpu::DeviceType::Cpu
    }

    /// Keeps a hardware adapter busy with `work` for a while, so that what is timed next runs at full
    /// speed: clocks rise only under load, fourfold on some adapters, and fall while shaders compile.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn warm_up<T>(&self, mut work: impl FnMut() -> Result<T>) -> Result<()> {
        let start = std::time::Instant::now();
        while !self.is_software() && start.elapsed() < WARM_UP {
            work()?;
        }
        Ok(())
    }

    /// The number of lanes of a subgroup, if the device has subgroup operations and only one size.
    pub fn subgroup_size(&self) -> Option<u32> {
        let info = &self.inner.info;
        let usable = self.device().features().contains(wgpu::Features::SUBGROUP)
            && info.subgroup_min_size == info.subgroup_max_size
            && info.subgroup_min_size.is_power_of_two();
        usable.then_some(info.subgroup_min_size)
    }

    /// Bytes that plans may take together: the limit given at opening, if any.
    pub fn memory_limit(&self) -> Option<u64> {
        self.inner.memory_limit
    }

    /// What measurements of kernel variants are good for: the mode given at opening.
    pub fn tuning(&self) -> Tuning {
        self.inner.tuning
    }

    /// The directory for what can be made again, given at opening.
    pub fn cache(&self) -> Option<&Path> {
        self.inner.cache.as_deref()
    }

    /// The `T` of this device, made at its first use: what another room keeps for all plans of a
    /// device together.
    ///
    /// # Errors
    /// [`Error::Device`] if a thread panicked in here.
    pub fn attached<T: Default + Send + Sync + 'static>(&self) -> Result<Arc<T>> {
        let mut attached = (self.inner.attached.lock())
            .map_err(|_| Error::Device("a thread that used the device panicked".into()))?;
        let entry = attached.entry(TypeId::of::<T>());
        let any = entry.or_insert_with(|| Arc::<T>::default()).clone();
        (any.downcast()).map_err(|_| Error::Device("another type is attached".into()))
    }

    /// The first error that the device reported asynchronously, if any: every test and every
    /// command asks for it before it calls a result good.
    ///
    /// # Errors
    /// [`Error::Device`] with the device's message.
    pub fn check_fault(&self) -> Result<()> {
        match self.inner.fault.lock() {
            Ok(mut fault) => match fault.take() {
                Some(message) => Err(Error::Device(format!(
                    "the device {} reported: {message}",
                    self.label()
                ))),
                None => Ok(()),
            },
            Err(_) => Err(Error::Device("the device's error handler panicked".into())),
        }
    }

    /// Blocks until everything submitted so far has run.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost or had reported an error.
    pub fn wait(&self) -> Result<()> {
        self.poll(None)
    }

    /// A mark behind everything submitted so far, for [`Gpu::wait_for`].
    pub fn mark(&self) -> wgpu::SubmissionIndex {
        self.queue().submit([])
    }

    /// Blocks until `submission` has run, and not for what was submitted later: the host stays
    /// ahead of the device by as much as the caller wants.
    ///
    /// # Errors
    /// As [`Gpu::wait`].
    pub fn wait_for(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        self.poll(Some(submission))
    }

    fn poll(&self, submission_index: Option<wgpu::SubmissionIndex>) -> Result<()> {
        self.device()
            .poll(wgpu::PollType::Wait {
                submission_index,
                timeout: None,
            })
            .map_err(|e| Error::Device(format!("waiting for {}: {e}", self.label())))?;
        self.check_fault()
    }
}
