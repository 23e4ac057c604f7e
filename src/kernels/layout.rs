//! Moving elements: one strided copy serves slice, pad, transpose, broadcast, concatenation and
//! the symmetries of the grid.

use super::{Launch, Lowered, Slot, extents};
use crate::shader::params;
use crate::shape::{GridSymmetry, Shape};

params! {
    /// Uniform of `layout/copy.wgsl`.
    pub struct CopyParams {
        /// What is written: extents of the region.
        pub extents: [u32; 4],
        /// Element strides of the region in the output.
        pub output_strides: [u32; 4],
        /// Element strides of the region in the input; negative for mirrored axes.
        pub input_strides: [i32; 4],
        /// Zeros are written before this coordinate ...
        pub inside_from: [u32; 4],
        /// ... and from this one on.
        pub inside_to: [u32; 4],
        pub output_offset: u32,
        pub input_offset: i32,
        pub elements: u32,
        pub pad0: u32,
    }
}

fn signed(strides: [usize; 4]) -> [i32; 4] {
    strides.map(|s| s as i32)
}

/// Fills all of `shape` with input elements at `offset + strides . coordinates`.
fn gather(shape: Shape, offset: i32, strides: [i32; 4]) -> CopyParams {
    CopyParams {
        extents: extents(shape),
        output_strides: shape.strides().map(|s| s as u32),
        input_strides: strides,
        inside_from: [0; 4],
        inside_to: extents(shape),
        output_offset: 0,
        input_offset: offset,
        elements: shape.elements() as u32,
        pad0: 0,
    }
}

fn launch(params: &CopyParams, input: usize) -> Launch {
    let elements = u64::from(params.elements);
    Launch::new(
        "layout/copy.wgsl",
        params,
        vec![("source", Slot::Input(input)), ("result", Slot::Output)],
        elements.div_ceil(256),
    )
    .work(0, 8 * elements)
}

/// The same elements in the same order.
pub fn copy(shape: Shape) -> Lowered {
    launch(&gather(shape, 0, signed(shape.strides())), 0).into()
}

/// Input 1 copied to the output, which is the memory of input 0.
pub fn assign(shape: Shape) -> Lowered {
    launch(&gather(shape, 0, signed(shape.strides())), 1).into()
}

/// Axis `i` of the output is axis `axes[i]` of the input.
pub fn transpose(input: Shape, axes: [usize; 4]) -> Lowered {
    let shape = Shape(axes.map(|a| input.0[a]));
    let strides = axes.map(|a| input.strides()[a]);
    launch(&gather(shape, 0, signed(strides)), 0).into()
}

/// `output.0[axis]` elements from `start` along `axis`.
pub fn slice(input: Shape, output: Shape, axis: usize, start: usize) -> Lowered {
    let strides = input.strides();
    let offset = (start * strides[axis]) as i32;
    launch(&gather(output, offset, signed(strides)), 0).into()
}

/// The input in zeros, `before` of them in front along `axis`.
pub fn pad(input: Shape, output: Shape, axis: usize, before: usize) -> Lowered {
    let strides = input.strides();
    let offset = -((before * strides[axis]) as i32);
    let mut params = gather(output, offset, signed(strides));
    params.inside_from[axis] = before as u32;
    params.inside_to[axis] = (before + input.0[axis]) as u32;
    launch(&params, 0).into()
}

/// Repetition along the axes in which `input` has extent 1.
pub fn broadcast(input: Shape, output: Shape) -> Lowered {
    let mut strides = signed(input.strides());
    for (stride, extent) in strides.iter_mut().zip(input.0) {
        if extent == 1 {
            *stride = 0;
        }
    }
    launch(&gather(output, 0, strides), 0).into()
}

/// The parts one after another along `axis`, but for those that lie there already.
pub fn concat(parts: &[Shape], output: Shape, axis: usize, in_place: &[bool]) -> Lowered {
    let mut start = 0;
    let mut lowered = Lowered::default();
    for (k, part) in parts.iter().enumerate() {
        let mut params = gather(*part, 0, signed(part.strides()));
        params.output_strides = output.strides().map(|s| s as u32);
        params.output_offset = (start * output.strides()[axis]) as u32;
        if !in_place.get(k).copied().unwrap_or(false) {
            lowered.launches.push(launch(&params, k));
        }
        start += part.0[axis];
    }
    lowered
}

/// `(T_g f)(x) = f(R^-1 x)` on the image plane.
pub fn symmetry(input: Shape, output: Shape, g: GridSymmetry) -> Lowered {
    let [n, c, row, _] = input.strides();
    let (rows, columns) = (output.h(), output.w());
    // The source pixel is an affine function of the output pixel.
    let at = |y: usize, x: usize| {
        let (y, x) = g.source(y, x, rows, columns);
        (y * row + x) as i32
    };
    let origin = at(0, 0);
    let down = if rows > 1 { at(1, 0) - origin } else { 0 };
    let right = if columns > 1 { at(0, 1) - origin } else { 0 };
    launch(
        &gather(output, origin, [n as i32, c as i32, down, right]),
        0,
    )
    .into()
}
