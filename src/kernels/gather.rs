//! Single numbers from places of the threads' own: a ceiling that benchmarks are measured against.

use super::{Launch, Slot};
use crate::gpu::Trust;
use crate::shader::{Variant, params};

params! {
    /// Uniform of `bench/gather.wgsl`.
    pub struct GatherParams {
        pub rounds: u32,
        pub invocations: u32,
        pub _pad0: u32,
        pub _pad1: u32,
    }
}

/// Numbers that are read from, 16 KiB: they stay in the first cache, and a uniform binding holds them.
pub const ELEMENTS: usize = 4096;

/// Numbers that an invocation reads in one round.
const GATHERS_PER_ROUND: u64 = 16;

/// The sum, in each of `invocations`, of what it reads in `rounds` rounds from [`ELEMENTS`] numbers,
/// through a uniform binding if `uniform`, else from a storage buffer.
pub fn gather(rounds: u32, invocations: u32, uniform: bool) -> Launch {
    let params = GatherParams {
        rounds,
        invocations,
        _pad0: 0,
        _pad1: 0,
    };
    let variant = Variant::new()
        .constant("ELEMENTS", ELEMENTS as u32)
        .flag_if("UNIFORM", uniform);
    let bindings = vec![("source", Slot::Input(0)), ("result", Slot::Output)];
    let groups = u64::from(invocations.div_ceil(64));
    let gathers = GATHERS_PER_ROUND * u64::from(rounds) * u64::from(invocations);
    let mut launch = Launch::new("bench/gather.wgsl", &params, bindings, groups)
        .variant(variant)
        .work(gathers, 4 * (ELEMENTS as u64 + u64::from(invocations)))
        .gathers(gathers);
    // Places are taken modulo the length; threads beyond the last return.
    launch.trust = Trust::Unchecked;
    launch
}
