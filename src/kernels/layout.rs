//! Moving elements: one strided copy serves slice, pad, transpose, broadcast, concatenation and
//! the symmetries of the grid.

use super::{Launch, Lowered, Slot, extents};
use crate::shader::{Variant, params};
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

/// One axis of a region.
#[derive(Clone, Copy)]
struct Axis {
    extent: u32,
    output: u32,
    input: i32,
    inside: [u32; 2],
}

impl Axis {
    /// Nothing along it is zero.
    fn is_full(&self) -> bool {
        self.inside == [0, self.extent]
    }

    /// This axis and `inner` as one, if both arrays go on from one end of `inner` to its start.
    fn merge(&self, inner: &Axis) -> Option<Axis> {
        let goes_on = inner.is_full()
            && self.output == inner.output * inner.extent
            && self.input == inner.input * inner.extent as i32;
        goes_on.then(|| Axis {
            extent: self.extent * inner.extent,
            inside: self.inside.map(|i| i * inner.extent),
            ..*inner
        })
    }
}

impl CopyParams {
    /// The axes, without those of extent 1 and with as many as possible merged.
    fn axes(&self) -> Vec<Axis> {
        let mut axes: Vec<Axis> = Vec::new();
        for a in (0..4).rev() {
            let axis = Axis {
                extent: self.extents[a],
                output: self.output_strides[a],
                input: self.input_strides[a],
                inside: [self.inside_from[a], self.inside_to[a]],
            };
            if axis.extent == 1 && axis.is_full() {
                continue;
            }
            match axes.last_mut() {
                Some(inner) if let Some(both) = axis.merge(inner) => *inner = both,
                _ => axes.push(axis),
            }
        }
        axes.reverse();
        axes
    }

    /// The same copy of `axes`.
    fn with_axes(&self, axes: &[Axis]) -> Self {
        let mut params = CopyParams {
            extents: [1; 4],
            output_strides: [0; 4],
            input_strides: [0; 4],
            inside_from: [0; 4],
            inside_to: [1; 4],
            elements: axes.iter().map(|a| a.extent).product(),
            ..*self
        };
        for (axis, a) in axes.iter().zip(4 - axes.len()..) {
            params.extents[a] = axis.extent;
            params.output_strides[a] = axis.output;
            params.input_strides[a] = axis.input;
            [params.inside_from[a], params.inside_to[a]] = axis.inside;
        }
        params
    }

    /// The same copy counted in fours, where both arrays hold the last axis in whole fours.
    fn quads(&self, axes: &[Axis]) -> Option<Self> {
        let (last, outer) = axes.split_last()?;
        let fours = |x: u32| x.is_multiple_of(4);
        let whole = (last.output, last.input) == (1, 1)
            && fours(last.extent)
            && last.inside.into_iter().all(fours)
            && fours(self.output_offset)
            && self.input_offset % 4 == 0
            && outer.iter().all(|a| fours(a.output) && a.input % 4 == 0);
        whole.then(|| {
            let mut axes: Vec<Axis> = outer.to_vec();
            for axis in &mut axes {
                (axis.output, axis.input) = (axis.output / 4, axis.input / 4);
            }
            axes.push(Axis {
                extent: last.extent / 4,
                inside: last.inside.map(|i| i / 4),
                ..*last
            });
            CopyParams {
                output_offset: self.output_offset / 4,
                input_offset: self.input_offset / 4,
                ..self.with_axes(&axes)
            }
        })
    }
}

fn launch(params: &CopyParams, input: usize) -> Launch {
    let axes = params.axes();
    let quads = params.quads(&axes);
    let variant = Variant::new()
        .flag_if("QUADS", quads.is_some())
        .flag_if("FLAT", axes.len() <= 1);
    let merged = quads.unwrap_or_else(|| params.with_axes(&axes));
    Launch::new(
        "layout/copy.wgsl",
        &merged,
        vec![("source", Slot::Input(input)), ("result", Slot::Output)],
        u64::from(merged.elements).div_ceil(256),
    )
    .variant(variant)
    .work(0, 8 * u64::from(params.elements))
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
