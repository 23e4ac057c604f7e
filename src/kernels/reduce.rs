//! Sums and maxima over axes, as trees: never one long f32 sum.

use super::{Launch, Lowered, Slot};
use crate::gpu::Texture;
use crate::shader::{Variant, params};
use crate::shape::Shape;
use std::fmt::Write;

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

/// How a reduction reads its input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loads {
    /// One term after another, from a storage buffer.
    Serial,
    /// The same through a texture, if the input fits into one.
    Texture,
    /// From a storage buffer, by more threads and with several terms on their way at once: for
    /// hardware adapters, where a load takes long and others can pass the time.
    Ahead,
}

impl Loads {
    /// Threads of a workgroup.
    fn threads(self) -> usize {
        if self == Loads::Ahead { 256 } else { 64 }
    }

    /// Threads that share an output of few terms.
    fn shares(self) -> usize {
        if self == Loads::Ahead { 4 } else { 1 }
    }

    /// Terms on their way at once: of the up to 8 or 32 that a thread adds in a row.
    fn ahead(self) -> u32 {
        if self == Loads::Ahead { 8 } else { 1 }
    }
}

/// Terms that one thread adds one after another.
const SERIAL: usize = 32;
/// Terms that each thread of a workgroup adds, in rows of [`SERIAL`], if the workgroup can then
/// finish alone: a second dispatch to join a few chunks costs more than they do.
const ALONE: usize = 8 * SERIAL;

/// Reduces every axis in which `output` has extent 1.
pub fn reduce(kind: Reduction, input: Shape, output: Shape, loads: Loads) -> Lowered {
    let source = match loads == Loads::Texture && Texture::holds(input.bytes()) {
        true => Slot::Input(0).through_texture(),
        false => Slot::Input(0),
    };
    reduce_from(kind, input, output, source, loads)
}

/// [`reduce`] of what stands in `source`.
pub(super) fn reduce_from(
    kind: Reduction,
    input: Shape,
    output: Shape,
    source: Slot,
    loads: Loads,
) -> Lowered {
    let reduced = Shape(std::array::from_fn(|a| {
        if output.0[a] == 1 { input.0[a] } else { 1 }
    }));
    let mut lowered = Lowered::default();
    stage((kind, loads), input, output, reduced, source, &mut lowered);
    lowered
}

/// The unrolled lines that combine terms `t`, `t + apart` and so on below `stop`.
fn row_lines(loads: Loads, apart: usize) -> String {
    let ahead = loads.ahead();
    if ahead == 1 {
        return "row = combine(row, term(first, t));\n".into();
    }
    let mut text = String::new();
    for k in 0..ahead {
        let place = format!("t + {}u", k as usize * apart);
        let _ = writeln!(text, "let v{k} = term(first, min({place}, stop - 1u));");
    }
    for k in 0..ahead {
        let place = format!("t + {}u", k as usize * apart);
        let _ = writeln!(
            text,
            "row = combine(row, select(Element(NEUTRAL), v{k}, {place} < stop));"
        );
    }
    text
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
    (kind, loads): (Reduction, Loads),
    input: Shape,
    kept: Shape,
    reduced: Shape,
    source: Slot,
    lowered: &mut Lowered,
) {
    let (outputs, terms) = (kept.elements(), reduced.elements());
    let axes = axes(input, reduced);
    let outputs_last = axes.last().is_none_or(|last| !last.reduced);
    // Where neighbouring threads read neighbouring outputs' terms, more of them may share these.
    let shares = if outputs_last { loads.shares() } else { 1 };
    let few = terms <= 2 * SERIAL * shares;
    let threads = loads.threads();
    let longest = threads * SERIAL;
    let alone = few || terms <= threads * ALONE;
    let chunks = if alone { 1 } else { terms.div_ceil(longest) };
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
        chunk: (if alone { terms } else { longest } / per_term) as u32,
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
    let apart = if few { 1 } else { threads };
    let mut variant = Variant::new()
        .constant("AHEAD", loads.ahead())
        .snippet("terms", row_lines(loads, apart))
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
        variant = variant
            .constant("SHARES", shares as u32)
            .flag_if("SHARED", shares > 1);
        ("reduce/few.wgsl", (outputs / per_output).div_ceil(64))
    } else {
        variant = variant.constant("THREADS", threads as u32);
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
        stage(
            (kind, loads),
            partial,
            kept,
            Shape::vector(chunks),
            result,
            lowered,
        );
    }
}
