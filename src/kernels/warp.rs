//! Images moved by affine maps, and the exact transpose: both as gathers, one thread for each pixel
//! of one or two channels, no atomics.

use super::{Launch, Lowered, Slot};
use crate::gpu::{Texture, Trust};
use crate::shader::{Variant, params};
use crate::shape::{Maps, Shape};

params! {
    /// Uniform of every kernel in `warp/`.
    pub struct WarpParams {
        pub images: u32,
        pub channels: u32,
        pub rows: u32,
        pub columns: u32,
        pub tiles_down: u32,
        pub tiles_across: u32,
        pub pad0: u32,
        pub pad1: u32,
    }
}

/// Maps that are read through a uniform binding: 16 KiB of them, which even adapters below WebGPU's
/// limits grant.
const UNIFORM_MAPS: usize = 204;
/// Rows and columns of a workgroup's tile.
const TILE: usize = 8;

/// Images of shape `x` (input 0) moved by the maps in input 1 ([`Maps`]). The images are read
/// through a texture if `texture` and they fit into one.
pub fn forward(x: Shape, texture: bool) -> Lowered {
    // The place: two affine maps of two numbers, and their parts; four weights and four terms.
    launch("warp/forward.wgsl", x, texture, [30, 8])
}

/// The transpose of [`forward`], for warped images of shape `y` in input 0.
pub fn adjoint(y: Shape, texture: bool) -> Lowered {
    // Four pixels, where areas stay what they are.
    launch("warp/adjoint.wgsl", y, texture, [4 * 30, 8])
}

/// `flops` for each pixel, and for each pixel and channel.
fn launch(path: &'static str, shape: Shape, texture: bool, flops: [usize; 2]) -> Lowered {
    let Shape([images, channels, rows, columns]) = shape;
    let (pairs, uniform) = (channels.is_multiple_of(2), images <= UNIFORM_MAPS);
    let texture = texture && Texture::holds(shape.bytes());
    let planes = images * channels / if pairs { 2 } else { 1 };
    let (tiles_down, tiles_across) = (rows.div_ceil(TILE), columns.div_ceil(TILE));
    let params = WarpParams {
        images: images as u32,
        channels: channels as u32,
        rows: rows as u32,
        columns: columns as u32,
        tiles_down: tiles_down as u32,
        tiles_across: tiles_across as u32,
        pad0: 0,
        pad1: 0,
    };
    let source = match texture {
        true => Slot::Input(0).through_texture(),
        false => Slot::Input(0),
    };
    let maps = match uniform {
        true => Slot::Part {
            of: Box::new(Slot::Input(1)),
            offset: 0,
            bytes: Maps::shape(images).bytes(),
        },
        false => Slot::Input(1),
    };
    let mut variant = Variant::new()
        .flag_if("TEXTURE", texture)
        .flag_if("PAIRS", pairs)
        .flag_if("UNIFORM_MAPS", uniform);
    if uniform {
        variant = variant.constant("MAPS", images as u32);
    }
    let bindings = vec![("source", source), ("maps", maps), ("result", Slot::Output)];
    let groups = planes * tiles_down * tiles_across;
    let work = rows * columns * (planes * flops[0] + images * channels * flops[1]);
    let mut launch = Launch::new(path, &params, bindings, groups as u64)
        .variant(variant)
        .work(work as u64, 2 * shape.bytes() + Maps::shape(images).bytes());
    // Threads outside the planes leave; the others read pixels that are clamped to their plane,
    // and write their own.
    launch.trust = Trust::Unchecked;
    launch.into()
}
