//! Sums and maxima over axes, as trees: never one long f32 sum.

use super::{Launch, Lowered, Slot};
use crate::gpu::Texture;
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
/// Terms that the 64 threads of a workgroup add so.
const CHUNK: usize = 64 * SERIAL;
/// Chunks that one workgroup reduces if it can then finish alone: a second dispatch to join a few
/// chunks costs more than they do.
const ALONE: usize = 8;

/// Reduces every axis in which `output` has extent 1. The input is read through a texture if
/// `texture` and it fits into one.
pub fn reduce(kind: Reduction, input: Shape, output: Shape, texture: bool) -> Lowered {
    let source = match texture && Texture::holds(input.bytes()) {
        true => Slot::Input(0).through_texture(),
        false => Slot::Input(0),
    };
    reduce_from(kind, input, output, source)
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

/// Neighbouring axes of the input that are all reduced or all kept, as one.
#[derive(Clone, Copy)]
struct Axis {
    extent: usize,
    stride: usize,
    reduced: bool,
}

/// An axis that is not there.
const EMPTY: Axis = Axis {
    extent: 1,
    stride: 0,
    reduced: false,
};

/// The axes of more than one element, neighbours of a kind merged.
fn axes(input: Shape, reduced: Shape) -> Vec<Axis> {
    let mut axes: Vec<Axis> = Vec::new();
    for (a, stride) in input.strides().into_iter().enumerate() {
        let axis = Axis {
            extent: input.0[a],
            stride,
            reduced: reduced.0[a] > 1,
        };
        match axes.last_mut() {
            _ if axis.extent == 1 => {}
            Some(outer) if outer.reduced == axis.reduced => {
                outer.extent *= axis.extent;
                outer.stride = axis.stride;
            }
            _ => axes.push(axis),
        }
    }
    axes
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
    let alone = few || terms <= ALONE * CHUNK;
    let chunks = if alone { 1 } else { terms.div_ceil(CHUNK) };
    let axes = axes(input, reduced);
    // A thread takes four outputs or four terms at a time, where they are neighbours.
    let quads =
        (axes.last()).is_some_and(|last| last.reduced != few && last.extent.is_multiple_of(4));
    let by = if quads { 4 } else { 1 };
    let (per_output, per_term) = if few { (by, 1) } else { (1, by) };
    let linear = axes.iter().filter(|a| a.reduced).count() <= 1;
    let mut params = ReduceParams {
        kept: [1; 4],
        reduced: [1; 4],
        strides: [0; 4],
        outputs: (outputs / per_output) as u32,
        terms: (terms / per_term) as u32,
        chunks: chunks as u32,
        chunk: (if alone { terms } else { CHUNK } / per_term) as u32,
    };
    // One reduced axis stands last, where the kernel looks for it.
    let (mut order, last): (Vec<&Axis>, Vec<&Axis>) =
        axes.iter().partition(|a| !(linear && a.reduced));
    order.resize(if last.is_empty() { 4 } else { 3 }, &EMPTY);
    let innermost = axes.last().map_or(1, |a| a.stride);
    for (i, axis) in order.into_iter().chain(last).enumerate() {
        let is_innermost = axis.stride == innermost;
        let (extent, stride) = match is_innermost {
            true => (axis.extent / by, axis.stride),
            false => (axis.extent, axis.stride / by),
        };
        let extents = if axis.reduced {
            &mut params.reduced
        } else {
            &mut params.kept
        };
        extents[i] = extent as u32;
        params.strides[i] = stride as u32;
    }
    let variant = Variant::new()
        .flag_if("MAXIMUM", kind == Reduction::Max)
        .flag_if("QUADS", quads)
        .flag_if("TEXTURE", matches!(source, Slot::Texture(_)))
        .flag_if("LINEAR", linear);
    let result = if chunks == 1 {
        Slot::Output
    } else {
        lowered.scratch.push(4 * (outputs * chunks) as u64);
        Slot::Scratch(lowered.scratch.len() - 1)
    };
    let bindings = vec![("source", source), ("result", result.clone())];
    let (path, groups) = if few {
        ("reduce/few.wgsl", (outputs / per_output).div_ceil(64))
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
