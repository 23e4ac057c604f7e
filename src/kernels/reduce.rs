//! Sums and maxima over axes, as trees: never one long f32 sum.

use super::{Launch, Lowered, Slot};
use crate::shader::{Variant, params};
use crate::shape::Shape;

params! {
    /// Uniform of `reduce/tree.wgsl` and `reduce/few.wgsl`.
    pub struct ReduceParams {
        /// Extents of the kept axes (1 where reduced).
        pub kept: [u32; 4],
        /// Extents of the reduced axes (1 where kept).
        pub reduced: [u32; 4],
        /// Element strides of the input.
        pub strides: [u32; 4],
        pub outputs: u32,
        pub terms: u32,
        pub chunks: u32,
        pub chunk: u32,
    }
}

/// Which reduction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reduction {
    /// The sum.
    Sum,
    /// The maximum.
    Max,
}

/// Terms that one thread adds one after another.
const SERIAL: usize = 32;
/// Terms that one workgroup of 64 threads reduces.
const CHUNK: usize = 64 * SERIAL;

/// Reduces every axis in which `output` has extent 1.
pub fn reduce(kind: Reduction, input: Shape, output: Shape) -> Lowered {
    reduce_from(kind, input, output, Slot::Input(0))
}

/// [`reduce`] of what stands in `source`.
pub(super) fn reduce_from(kind: Reduction, input: Shape, output: Shape, source: Slot) -> Lowered {
    let reduced = Shape(std::array::from_fn(|a| {
        if output.0[a] == 1 { input.0[a] } else { 1 }
    }));
    let mut lowered = Lowered::default();
    stage(kind, input, output, reduced, source, &mut lowered);
    lowered
}

fn stage(
    kind: Reduction,
    input: Shape,
    kept: Shape,
    reduced: Shape,
    source: Slot,
    lowered: &mut Lowered,
) {
    let (outputs, terms) = (kept.elements(), reduced.elements());
    let few = terms <= 2 * SERIAL;
    let chunks = if few { 1 } else { terms.div_ceil(CHUNK) };
    let params = ReduceParams {
        kept: super::extents(kept),
        reduced: super::extents(reduced),
        strides: input.strides().map(|s| s as u32),
        outputs: outputs as u32,
        terms: terms as u32,
        chunks: chunks as u32,
        chunk: CHUNK as u32,
    };
    let variant = Variant::new().flag_if("MAXIMUM", kind == Reduction::Max);
    let result = if chunks == 1 {
        Slot::Output
    } else {
        lowered.scratch.push(4 * (outputs * chunks) as u64);
        Slot::Scratch(lowered.scratch.len() - 1)
    };
    let bindings = vec![("source", source), ("result", result.clone())];
    let (path, groups) = if few {
        ("reduce/few.wgsl", outputs.div_ceil(64))
    } else {
        ("reduce/tree.wgsl", outputs * chunks)
    };
    let launch = Launch::new(path, &params, bindings, groups as u64)
        .variant(variant)
        .work((outputs * terms) as u64, 4 * (outputs * (terms + 1)) as u64);
    lowered.launches.push(launch);
    if chunks > 1 {
        // The partial results stand as `outputs chunks`.
        let partial = Shape::new(1, 1, outputs, chunks);
        let kept = Shape::new(1, 1, outputs, 1);
        stage(kind, partial, kept, Shape::vector(chunks), result, lowered);
    }
}
