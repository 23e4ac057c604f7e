//! Which adapter: discrete before integrated before software; Vulkan, Metal and DX12 before GL.

use crate::error::{Error, Result};
use std::path::PathBuf;

/// What the user asked for. The default takes the best adapter there is.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// An index into [`adapters`], or a part of the adapter's name in any case.
    pub adapter: Option<String>,
    /// Only this backend.
    pub backend: Option<wgpu::Backend>,
    /// Bytes that plans may take together; a plan that needs more is refused before it allocates.
    pub memory_limit: Option<u64>,
    /// What measurements of kernel variants are good for.
    pub tuning: Tuning,
    /// The directory where such measurements are kept, and compiled pipelines where the backend can
    /// hand them out; see [`crate::files::cache_directory`]. Without one they last as long as the
    /// device.
    pub cache: Option<PathBuf>,
}

/// Which kernel variants plans use that ask for the fastest ones. Results differ between variants
/// by rounding alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tuning {
    /// The defaults for the kind of adapter: results do not depend on what was measured before.
    #[default]
    Off,
    /// The fastest ones where measurements are kept, else the defaults.
    Read,
    /// The fastest ones; what was never measured is measured first.
    On,
    /// The fastest ones, measured anew, once for each device that is opened.
    Force,
}

/// One adapter as the `devices` command lists it.
#[derive(Clone, Debug)]
pub struct AdapterSummary {
    /// What the adapter says of itself.
    pub info: wgpu::AdapterInfo,
    /// Its limits.
    pub limits: wgpu::Limits,
    /// Its features.
    pub features: wgpu::Features,
}

/// The adapters of this machine, best first. GL is asked only if nothing else was found or it is
/// the requested backend: on a headless machine its start-up writes warnings to standard error.
pub fn adapters(backend: Option<wgpu::Backend>) -> Vec<AdapterSummary> {
    enumerate(backend)
        .into_iter()
        .map(|a| AdapterSummary {
            info: a.get_info(),
            limits: a.limits(),
            features: a.features(),
        })
        .collect()
}

fn enumerate(backend: Option<wgpu::Backend>) -> Vec<wgpu::Adapter> {
    let first = match backend {
        Some(backend) => wgpu::Backends::from(backend),
        None => wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12,
    };
    let mut found = enumerate_backends(first);
    if found.is_empty() && backend.is_none() {
        found = enumerate_backends(wgpu::Backends::GL);
    }
    found.sort_by_key(|a| rank(a.get_info().device_type));
    found
}

fn enumerate_backends(backends: wgpu::Backends) -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters = pollster::block_on(instance.enumerate_adapters(backends));
    adapters.retain(|a| {
        a.get_downlevel_capabilities()
            .flags
            .contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
    });
    adapters
}

fn rank(kind: wgpu::DeviceType) -> u8 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

/// The [`Error::Device`] of a machine without an adapter (for `backend`): it says what to install.
pub fn no_adapter(backend: Option<wgpu::Backend>) -> Error {
    let backend = backend.map_or_else(String::new, |b| format!(" for {b:?}"));
    Error::Device(format!(
        "no usable adapter was found{backend}; install the GPU's Vulkan driver, or a software one: on Debian and Ubuntu `sudo apt-get install mesa-vulkan-drivers`, on Fedora `sudo dnf install mesa-vulkan-drivers`, on Arch `sudo pacman -S vulkan-swrast`"
    ))
}

/// The adapter that `selection` names.
pub(super) fn choose(selection: &Selection) -> Result<wgpu::Adapter> {
    let mut found = enumerate(selection.backend);
    let names: Vec<String> = found
        .iter()
        .enumerate()
        .map(|(i, a)| format!("{i}: {} ({:?})", a.get_info().name, a.get_info().backend))
        .collect();
    if found.is_empty() {
        return Err(no_adapter(selection.backend));
    }
    let index = match &selection.adapter {
        None => Some(0),
        Some(wanted) => match wanted.parse::<usize>() {
            Ok(index) => (index < found.len()).then_some(index),
            Err(_) => found.iter().position(|a| {
                a.get_info()
                    .name
                    .to_lowercase()
                    .contains(&wanted.to_lowercase())
            }),
        },
    };
    match index {
        Some(index) => Ok(found.swap_remove(index)),
        None => Err(Error::Device(format!(
            "no adapter matches '{}'; this machine has {}",
            selection.adapter.as_deref().unwrap_or_default(),
            names.join(", ")
        ))),
    }
}
