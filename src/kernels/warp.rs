//! Images moved by affine maps, and the exact transpose: both as gathers, one thread for each pixel
//! of one or two channels, no atomics.

use super::{Launch, Lowered, Slot};
use crate::gpu::{Texture, Trust};
use crate::shader::{Variant, params};
use crate::shape::{Maps, Shape};

params! {
    /// Uniform of every kernel in `warp/`.
    pub struct WarpParams {
        pub rows: u32,
        pub columns: u32,
        /// Planes of an image.
        pub planes: u32,
        /// The first plane of the dispatch.
        pub plane: u32,
    }
}

/// Maps that are read through a uniform binding: 16 KiB of them, which even adapters below WebGPU's
/// limits grant.
const UNIFORM_MAPS: usize = 204;
/// Rows and columns of a workgroup's tile.
const TILE: usize = 8;
/// Planes of one dispatch, whose number of workgroups WebGPU limits.
const PLANES: usize = 65_535;

/// Images of shape `x` (input 0) moved by the maps in input 1 ([`Maps`]). The images are read
/// through a texture if `texture` and they fit into one.
pub fn forward(x: Shape, texture: bool) -> Lowered {
    // The place: two affine maps of two numbers, and their parts; four weights and four terms.
    lower("warp/forward.wgsl", x, texture, [30, 8])
}

/// The transpose of [`forward`], for warped images of shape `y` in input 0.
pub fn adjoint(y: Shape, texture: bool) -> Lowered {
    // Four pixels, where areas stay what they are.
    lower("warp/adjoint.wgsl", y, texture, [4 * 30, 8])
}

/// `flops` for each pixel, and for each pixel and channel.
fn lower(path: &'static str, shape: Shape, texture: bool, flops: [usize; 2]) -> Lowered {
    let Shape([images, channels, rows, columns]) = shape;
    let (pairs, uniform) = (channels.is_multiple_of(2), images <= UNIFORM_MAPS);
    let texture = texture && Texture::holds(shape.bytes());
    let together = if pairs { 2 } else { 1 };
    let planes = channels / together;
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
        .flag_if("MANY_PLANES", planes > 1)
        .flag_if("UNIFORM_MAPS", uniform);
    if uniform {
        variant = variant.constant("MAPS", images as u32);
    }
    let bindings = vec![("source", source), ("maps", maps), ("result", Slot::Output)];
    let tiles = |extent: usize| extent.div_ceil(TILE) as u32;
    let launch = |first: usize| {
        let params = WarpParams {
            rows: rows as u32,
            columns: columns as u32,
            planes: planes as u32,
            plane: first as u32,
        };
        let count = (images * planes - first).min(PLANES);
        let pixels = count * rows * columns;
        let flops = pixels * (flops[0] + together * flops[1]);
        let bytes = 4 * (2 * together * pixels + Maps::LEN * images);
        let mut launch = Launch::new(path, &params, bindings.clone(), 1)
            .variant(variant.clone())
            .work(flops as u64, bytes as u64);
        // No division of a number of tiles.
        launch.groups = [tiles(columns), tiles(rows), count as u32];
        // Threads outside the planes leave; the others read pixels that are clamped to their plane,
        // and write their own.
        launch.trust = Trust::Unchecked;
        launch
    };
    Lowered {
        launches: (0..images * planes).step_by(PLANES).map(launch).collect(),
        scratch: Vec::new(),
    }
}
