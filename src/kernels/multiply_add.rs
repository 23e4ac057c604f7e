//! Multiply-adds in registers alone: the ceiling that benchmarks are measured against.

use super::{Launch, Slot};
use crate::shader::{Variant, params};

params! {
    /// Uniform of `bench/multiply_add.wgsl`.
    pub struct MultiplyAddParams {
        pub factor: f32,
        pub summand: f32,
        pub rounds: u32,
        pub invocations: u32,
    }
}

/// Floating-point operations of an invocation in one round: 12 chains, 16 multiply-adds each.
const FLOPS_PER_ROUND: u64 = 12 * 16 * 2;

/// `rounds` rounds of chains in each of `invocations`; `fused` asks for WGSL's `fma`, which is not
/// the faster way everywhere.
pub fn multiply_add(
    [factor, summand]: [f32; 2],
    rounds: u32,
    invocations: u32,
    fused: bool,
) -> Launch {
    let params = MultiplyAddParams {
        factor,
        summand,
        rounds,
        invocations,
    };
    let groups = u64::from(invocations.div_ceil(64));
    let flops = FLOPS_PER_ROUND * u64::from(rounds) * u64::from(invocations);
    let bindings = vec![("result", Slot::Output)];
    Launch::new("bench/multiply_add.wgsl", &params, bindings, groups)
        .variant(Variant::new().flag_if("FUSED", fused))
        .work(flops, 4 * u64::from(invocations))
}
