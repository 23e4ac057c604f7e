//! Counter-based random numbers: every element is a function of seed, stream, draw and its index,
//! so the numbers do not depend on the dispatch.

use super::{Launch, Lowered, Slot};
pub use crate::reference::random::Distribution;
use crate::shader::{Variant, params};
use crate::shape::Shape;

params! {
    /// Uniform of `random/random.wgsl`.
    pub struct RandomParams {
        pub elements: u32,
        pub seed_low: u32,
        pub seed_high: u32,
        pub stream: u32,
    }
}

/// Random numbers of shape `output`; input 0 is the draw's number, input 1 the means for Poisson.
pub fn draw(distribution: Distribution, seed: u64, stream: u32, output: Shape) -> Lowered {
    let params = RandomParams {
        elements: output.elements() as u32,
        seed_low: seed as u32,
        seed_high: (seed >> 32) as u32,
        stream,
    };
    let mut bindings = vec![("draw", Slot::Input(0)), ("result", Slot::Output)];
    if distribution == Distribution::Poisson {
        bindings.push(("means", Slot::Input(1)));
    }
    let flag = match distribution {
        Distribution::Uniform => "UNIFORM",
        Distribution::Normal => "NORMAL",
        Distribution::Poisson => "POISSON",
    };
    let variant = Variant::new()
        .constant("KIND", distribution.kind())
        .flag(flag);
    let groups = output.elements().div_ceil(64) as u64;
    Launch::new("random/random.wgsl", &params, bindings, groups)
        .variant(variant)
        .work(40 * output.elements() as u64, 2 * output.bytes())
        .into()
}
