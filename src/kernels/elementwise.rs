//! Elementwise kernels: one fused chain in one pass over memory.

use super::chain::Chain;
use super::{Launch, Lowered, Slot, extents};
use crate::shader::{Variant, params};
use crate::shape::Shape;

params! {
    /// Uniform of `elementwise/elementwise.wgsl`.
    pub struct ElementwiseParams {
        pub extents: [u32; 4],
        pub elements: u32,
        pub pad0: u32,
        pub pad1: u32,
        pub pad2: u32,
    }
}

const WORKGROUP: u64 = 64;
const PER_THREAD: u64 = 4;

/// The output of shape `shape` of a chain whose operands are the inputs in order.
pub fn evaluate(chain: &Chain, shape: Shape) -> Lowered {
    let params = ElementwiseParams {
        extents: extents(shape),
        elements: shape.elements() as u32,
        pad0: 0,
        pad1: 0,
        pad2: 0,
    };
    let mut bindings = vec![("result", Slot::Output)];
    chain.bind(0, &mut bindings);
    let quads = Chain::quads(shape);
    let per_thread = if quads { 4 * PER_THREAD } else { PER_THREAD };
    let groups = (shape.elements() as u64).div_ceil(WORKGROUP * per_thread);
    Launch::new("elementwise/elementwise.wgsl", &params, bindings, groups)
        .variant(chain.into_variant(Variant::new(), shape, quads))
        .work(
            (chain.stages.len() * shape.elements()) as u64,
            shape.bytes() + chain.bytes(),
        )
        .into()
}
