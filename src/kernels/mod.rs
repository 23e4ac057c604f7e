//! Kernels: one file for each family, with its parameters, variants and dispatch geometry.
//!
//! A kernel function takes shapes and settings and returns a [`Lowered`]: the list of dispatches
//! that compute the operation, naming their buffers by role. Nothing here but [`Dispatch`] touches a
//! device.

pub mod adam;
pub mod chain;
pub mod complex;
pub mod conv2d;
mod dispatch;
pub mod elementwise;
mod family;
pub mod fourier;
pub mod gather;
pub mod layout;
pub mod matmul;
pub mod multiply_add;
pub mod random;
pub mod ray_transform;
pub mod reduce;
pub mod symmetric_conv;
pub mod warp;

pub use dispatch::{Copy, Dispatch, Range, Resource, encode};
pub use family::{Family, Forced};

use crate::gpu::Trust;
use crate::shader::{Params, Variant};
use serde::Serialize;
use std::iter::Sum;
use std::ops::Add;
use std::sync::Arc;

/// Who is bound to a name of the shader.
#[derive(Clone, PartialEq, Debug)]
pub enum Slot {
    /// Input `i` of the operation.
    Input(usize),
    /// A range of bytes of what lies in another slot, an input or scratch, for a uniform binding:
    /// it begins at a multiple of 256, and its length is a multiple of 16.
    Part {
        /// Of which slot.
        of: Box<Slot>,
        /// Where it begins.
        offset: u64,
        /// Its length, which may leave an input by less than 16.
        bytes: u64,
    },
    /// Its output.
    Output,
    /// Temporary memory `i` of [`Lowered::scratch`].
    Scratch(usize),
    /// Fixed data, uploaded once.
    Table(Arc<[u32]>),
    /// What lies in another slot, an input or scratch, read through a texture: see
    /// [`crate::gpu::Texture`].
    Texture(Box<Slot>),
}

impl Slot {
    /// This slot through a texture.
    pub fn through_texture(self) -> Self {
        Slot::Texture(Box::new(self))
    }
}

/// What there is to do, for time estimates and rooflines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Work {
    /// Floating-point operations; a multiply-add is two.
    pub flops: u64,
    /// Bytes that must move between memory and the processor at least once.
    pub bytes: u64,
    /// Single numbers that are read from places which depend on what was computed, one by one: counted
    /// where they are most of the work.
    pub gathers: u64,
}

impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Work {
            flops: self.flops + other.flops,
            bytes: self.bytes + other.bytes,
            gathers: self.gathers + other.gathers,
        }
    }
}

impl Sum for Work {
    fn sum<I: Iterator<Item = Self>>(works: I) -> Self {
        works.fold(Work::default(), Add::add)
    }
}

/// One dispatch.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The WGSL file under `shaders/`.
    pub path: &'static str,
    /// Its structural choices.
    pub variant: Variant,
    /// Whether it keeps its bounds checks.
    pub trust: Trust,
    /// The bytes of its `params` uniform.
    pub params: Vec<u8>,
    /// Their fields, as [`Params::FIELDS`], for comparison with the WGSL struct.
    pub fields: &'static [(&'static str, usize, usize)],
    /// Bindings by name, without `params`.
    pub bindings: Vec<(&'static str, Slot)>,
    /// Workgroups.
    pub groups: [u32; 3],
    /// What it has to do.
    pub work: Work,
}

impl Launch {
    /// A checked launch of `groups` workgroups in one dimension, folded into three.
    pub fn new<P: Params>(
        path: &'static str,
        params: &P,
        bindings: Vec<(&'static str, Slot)>,
        groups: u64,
    ) -> Self {
        Launch {
            path,
            variant: Variant::new(),
            trust: Trust::Checked,
            params: bytemuck::bytes_of(params).to_vec(),
            fields: P::FIELDS,
            bindings,
            groups: fold(groups),
            work: Work::default(),
        }
    }

    /// With these structural choices.
    pub fn variant(mut self, variant: Variant) -> Self {
        self.variant = variant;
        self
    }

    /// With so many operations and bytes.
    pub fn work(mut self, flops: u64, bytes: u64) -> Self {
        (self.work.flops, self.work.bytes) = (flops, bytes);
        self
    }

    /// With so many gathered numbers.
    pub fn gathers(mut self, gathers: u64) -> Self {
        self.work.gathers = gathers;
        self
    }
}

/// An operation as dispatches.
#[derive(Clone, Debug, Default)]
pub struct Lowered {
    /// In order.
    pub launches: Vec<Launch>,
    /// Bytes of each temporary buffer.
    pub scratch: Vec<u64>,
}

impl Lowered {
    /// With another slot in the place of each.
    pub(crate) fn map_slots(mut self, map: impl Fn(Slot) -> Slot) -> Self {
        fn mapped(slot: Slot, map: &impl Fn(Slot) -> Slot) -> Slot {
            match slot {
                Slot::Texture(source) => Slot::Texture(Box::new(mapped(*source, map))),
                Slot::Part { of, offset, bytes } => Slot::Part {
                    of: Box::new(mapped(*of, map)),
                    offset,
                    bytes,
                },
                other => map(other),
            }
        }
        let bindings = self.launches.iter_mut().flat_map(|l| &mut l.bindings);
        for (_, slot) in bindings {
            *slot = mapped(slot.clone(), &map);
        }
        self
    }

    /// With the output of `bytes` bytes in scratch memory, for another kernel to read; and where.
    pub(crate) fn into_scratch(self, bytes: u64) -> (Self, Slot) {
        let result = Slot::Scratch(self.scratch.len());
        let mut lowered = self.map_slots(|slot| match slot {
            Slot::Output => result.clone(),
            other => other,
        });
        lowered.scratch.push(bytes);
        (lowered, result)
    }
}

impl From<Launch> for Lowered {
    fn from(launch: Launch) -> Self {
        Lowered {
            launches: vec![launch],
            scratch: Vec::new(),
        }
    }
}

/// What a kernel may use of the device when it chooses its variant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Capabilities {
    /// Lanes of a subgroup, where the device has subgroup operations and one size.
    pub subgroup: Option<u32>,
    /// The adapter runs on the processor, where registers are cheap and workgroup memory is slow.
    pub software: bool,
    /// Bytes of workgroup memory that a kernel may hold.
    pub memory: u32,
    /// Threads that fill a hardware adapter: about as many as it keeps under way at once.
    pub filling: usize,
}

/// Bytes of workgroup memory that WebGPU grants on every adapter.
pub const WEBGPU_MEMORY: u32 = 16 << 10;

impl Capabilities {
    /// What `gpu` can do.
    pub fn of(gpu: &crate::gpu::Gpu) -> Self {
        Capabilities {
            subgroup: gpu.subgroup_size(),
            software: gpu.is_software(),
            memory: gpu.limits().max_compute_workgroup_storage_size,
            filling: filling(gpu.info().device_type),
        }
    }

    /// Whether kernels that hold `memory` bytes of workgroup memory are worth trying: hardware is
    /// made for them, software has no such memory.
    pub(in crate::kernels) fn has_memory(self, memory: u32) -> bool {
        !self.software && memory <= self.memory
    }
}

impl Default for Capabilities {
    /// Hardware of which no more is known than that it runs WebGPU.
    fn default() -> Self {
        Capabilities {
            subgroup: None,
            software: false,
            memory: WEBGPU_MEMORY,
            filling: filling(wgpu::DeviceType::DiscreteGpu),
        }
    }
}

/// Threads that fill an adapter of this kind. Processors' own graphics have some ten units of one to two
/// thousand threads; cards, and shares of them in data centres, 30 to 130. Kernels of software adapters
/// do not ask; `check`, which runs there what hardware would choose, does.
fn filling(kind: wgpu::DeviceType) -> usize {
    use wgpu::DeviceType::{Cpu, DiscreteGpu, IntegratedGpu, Other, VirtualGpu};
    match kind {
        DiscreteGpu | VirtualGpu | Cpu => 1 << 17,
        IntegratedGpu | Other => 1 << 14,
    }
}

/// Folds a count of workgroups into three dimensions of at most 65,535; the shader undoes it with
/// `linear_workgroup` and must ignore the surplus.
pub fn fold(groups: u64) -> [u32; 3] {
    const MAX: u64 = 65_535;
    let groups = groups.max(1);
    let x = groups.min(MAX);
    let y = groups.div_ceil(x).min(MAX);
    let z = groups.div_ceil(x * y);
    [x as u32, y as u32, z as u32]
}

fn extents(shape: crate::shape::Shape) -> [u32; 4] {
    shape.0.map(|e| e as u32)
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn folding_covers_every_group_within_the_limit() {
        for groups in [0u64, 1, 65_535, 65_536, 200_000, 65_535 * 65_535 + 1] {
            let [x, y, z] = fold(groups);
            assert!(u64::from(x) * u64::from(y) * u64::from(z) >= groups);
            assert!(x <= 65_535 && y <= 65_535 && z <= 65_535);
        }
    }
}
