//! The register-tiled convolution: each thread computes a few rows of 4 pixels for a block of output
//! channels. The unrolled lines are generated here.

use super::dense::{Dense, Kernel, Method};
use super::reader::{Reader, Weights};
use super::{CLAMPED, ConvParams, window_variant, with_operands};
use crate::gpu::Texture;
use crate::kernels::chain::Chain;
use crate::kernels::{Capabilities, Launch, Lowered, Slot};
use crate::shape::Window;
use std::fmt::Write;

/// The shape of a thread's work and the way its numbers reach it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tile {
    /// Output channels of a thread; for a dense convolution a multiple of 4, halved, with twice the rows up to 8, where the
    /// convolution has no more than half as many.
    pub channels: u32,
    /// Rows of 4 pixels of a thread.
    pub rows: u32,
    /// With `Some(lanes)`, the lanes of a subgroup load weights, and the pixels where their strips
    /// meet, for each other; without, every lane loads all it needs.
    pub subgroup: Option<u32>,
    /// Pixels and weights are read through textures, if they fit into one.
    pub texture: bool,
    /// Weights are bound as uniform instead, as many blocks of output channels to a dispatch as fit
    /// into a binding; every lane reads all of them. Where a block does not fit, as without.
    pub uniform: bool,
}

/// Bytes that WebGPU grants a uniform binding.
const UNIFORM: u64 = 64 << 10;

/// Multiples of bytes at which WebGPU lets uniform bindings begin.
const ALIGNMENT: u64 = 256;

/// Pixels of a thread in each row.
pub(super) const PIXELS: u32 = 4;
/// Threads of a workgroup: all of them work on the same block of output channels.
const LANES: u32 = 64;

impl Tile {
    /// A sensible start: on the processor more accumulators than it has registers, because loads are
    /// dear and spilled registers cheap as long as they stay in its first cache; on hardware as many
    /// as fit into registers.
    pub fn default_for(capabilities: Capabilities) -> Self {
        let subgroup = capabilities.subgroup.filter(|s| (4..=LANES).contains(s));
        let (channels, rows) = match (capabilities.software, subgroup) {
            (true, Some(_)) => (16, 2),
            (true, None) => (8, 4),
            (false, _) => (8, 2),
        };
        Tile {
            channels,
            rows,
            subgroup,
            texture: capabilities.software,
            uniform: capabilities.software && subgroup.is_none(),
        }
    }

    /// Lanes that load weights for each other.
    pub(in crate::kernels) fn weight_lanes(self) -> Option<u32> {
        self.subgroup.filter(|_| !self.uniform)
    }

    /// The same number of accumulators for a convolution with `outputs` channels.
    pub(super) fn fitted(self, outputs: usize) -> Self {
        let mut tile = self;
        while tile.channels.is_multiple_of(8)
            && tile.rows < 8
            && outputs <= tile.channels as usize / 2
        {
            tile.channels /= 2;
            tile.rows *= 2;
        }
        tile
    }

    /// Appends the dense convolution with the kernels that [`Kernel::pack`] made for `channels` of
    /// this tile.
    pub(super) fn lower_packed(self, dense: &Dense, packed: Slot, lowered: &mut Lowered) {
        let (window, outputs) = (dense.window, dense.output.c());
        let entries = if dense.kernels { dense.x.n() } else { 1 };
        let weights = outputs.next_multiple_of(self.channels as usize) * dense.x.c();
        let packed_bytes = 4 * (entries * weights * window.size * window.size) as u64;
        let work = (dense.flops(), dense.bytes() + packed_bytes);
        let turn = Turn {
            tile: self,
            channels: self.channels.min(outputs as u32),
            window,
        };
        let body = |reader: &_| turn.body(reader);
        self.lower_body(dense, (packed, packed_bytes), body, work, lowered);
    }

    /// Appends a convolution whose turns are `body`, with the packed weights, which lie in scratch
    /// memory, and their bytes; `work` is its operations and bytes.
    pub(in crate::kernels) fn lower_body(
        self,
        dense: &Dense,
        (packed, packed_bytes): (Slot, u64),
        body: impl FnOnce(&Reader) -> Body,
        work: (u64, u64),
        lowered: &mut Lowered,
    ) {
        let (x, output, window) = (dense.x, dense.output, dense.window);
        let bands = output.h().div_ceil(self.rows as usize);
        let strips = bands * output.w().div_ceil(PIXELS as usize);
        let lanes = LANES as usize;
        let sets = match dense.kernels {
            true => output.n() * strips.div_ceil(lanes),
            false => (output.n() * strips).div_ceil(lanes),
        };
        let blocks = output.c().div_ceil(self.channels as usize);
        let share = Share::new(blocks, packed_bytes)
            .filter(|_| self.uniform && !dense.kernels && matches!(packed, Slot::Scratch(_)));
        let texture = self.texture && Texture::holds(x.bytes()) && Texture::holds(packed_bytes);
        let through = |slot: Slot, texture| match texture {
            true => slot.through_texture(),
            false => slot,
        };
        let quads = Chain::quads(output);
        let reader = Reader::new(self, dense);
        let body = body(&reader);
        let variant = window_variant(window)
            .constant("CHANNELS", self.channels)
            .constant("ROWS", self.rows)
            .constant("TURN", body.channels)
            .constant("WEIGHTS", body.weights)
            .constant("LANES", LANES)
            .constant("SUBGROUP_LANES", self.subgroup.unwrap_or(1))
            .flag_if("QUAD_ROWS", reader.quads())
            .flag_if("QUADS", quads)
            .flag_if("TEXTURE", texture)
            .flag_if("KERNELS", dense.kernels)
            .flag_if("SUBGROUP", self.subgroup.is_some())
            .flag_if("UNIFORM", share.is_some())
            .snippet("declare", self.declare(&reader))
            .snippet("accumulate", body.accumulate)
            .snippet("collect", body.collect + &self.collect());
        let variant = match share {
            Some(share) => (variant.constant("BLOCKS", share.blocks as u32))
                .constant("PACKED", (share.bytes / 16) as u32),
            None => variant,
        };
        let variant = dense.chain.into_variant(variant, output, quads);
        let most = share.map_or(blocks, |share| share.blocks);
        if let (Some(share), Slot::Scratch(k)) = (share, &packed) {
            // The last dispatch binds as much as the others.
            lowered.scratch[*k] = blocks.div_ceil(most) as u64 * share.bytes;
        }
        for first in (0..blocks).step_by(most) {
            let count = most.min(blocks - first);
            let weights = match share {
                Some(Share { bytes, .. }) => Slot::Part {
                    of: Box::new(packed.clone()),
                    offset: (first / most) as u64 * bytes,
                    bytes,
                },
                None => through(packed.clone(), texture),
            };
            let bindings = vec![
                ("x", through(dense.source.clone(), texture)),
                ("packed", weights),
                ("result", dense.result.clone()),
            ];
            let params = ConvParams {
                first: first as u32,
                ..ConvParams::new(x, output, dense.origin.row)
            };
            let part = |whole: u64| whole / blocks as u64 * count as u64;
            let mut launch = Launch::new(
                "conv/tiled.wgsl",
                &params,
                with_operands(bindings, dense.chain),
                (sets * count) as u64,
            )
            .variant(variant.clone())
            .work(part(work.0), part(work.1));
            // Strips and columns beyond the last are clamped to it for reading and skipped in
            // writing; blocks beyond the last channel read packed zeros.
            launch.trust = CLAMPED;
            lowered.launches.push(launch);
        }
    }

    /// Accumulators, and the places that the strip reads.
    fn declare(self, reader: &Reader) -> String {
        let mut text = String::new();
        for c in 0..self.channels {
            for r in 0..self.rows {
                let _ = write!(text, "var a{c}_{r} = vec4<f32>(); ");
            }
            text.push('\n');
        }
        reader.declare(&mut text);
        text
    }

    /// The accumulators as one array, channels first.
    fn collect(self) -> String {
        let names: Vec<String> = (0..self.channels)
            .flat_map(|c| (0..self.rows).map(move |r| format!("a{c}_{r}")))
            .collect();
        let count = names.len();
        format!(
            "var values = array<vec4<f32>, {count}>({});\n",
            names.join(", ")
        )
    }
}

/// What a tile does in a turn of its loop over the input channels: generated lines that know the
/// accumulators `aC_R` of channel `C` and row `R`, the element `plane` at which the turn's first
/// channel begins in an image, and the quad `weights` at which the turn's packed weights begin.
pub(in crate::kernels) struct Body {
    /// Input channels of a turn.
    pub channels: u32,
    /// Packed weights of a turn, a multiple of 4.
    pub weights: u32,
    /// The turn.
    pub accumulate: String,
    /// What turns the accumulators into the output channels, after the last turn.
    pub collect: String,
}

impl Method for Tile {
    fn lower(&self, dense: &Dense, kernel: &Kernel, lowered: &mut Lowered) {
        let tile = self.fitted(dense.output.c());
        let packed = kernel.pack(tile.channels, lowered);
        tile.lower_packed(dense, packed, lowered);
    }
}

impl std::fmt::Display for Tile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tiled {}x{}x{PIXELS}", self.channels, self.rows)?;
        f.write_str(if self.subgroup.is_some() {
            " subgroup"
        } else {
            ""
        })?;
        f.write_str(if self.texture { " texture" } else { "" })?;
        f.write_str(if self.uniform { " uniform" } else { "" })
    }
}

/// What each dispatch takes of weights that are bound as uniform.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Share {
    /// Blocks of output channels.
    blocks: usize,
    /// Their bytes.
    bytes: u64,
}

impl Share {
    /// An even share of `blocks` blocks of together `bytes` bytes; `None` if no block fits, or if the
    /// second share would begin where no binding may.
    fn new(blocks: usize, bytes: u64) -> Option<Self> {
        let block = bytes / blocks.max(1) as u64;
        let fitting = (UNIFORM / block.max(1)) as usize;
        if fitting == 0 {
            return None;
        }
        // From as few dispatches as may be to one for each block.
        (blocks.div_ceil(fitting)..=blocks)
            .map(|dispatches| blocks.div_ceil(dispatches))
            .map(|blocks| Share {
                blocks,
                bytes: blocks as u64 * block,
            })
            .find(|share| share.blocks >= blocks || share.bytes.is_multiple_of(ALIGNMENT))
    }
}

/// The turn of a dense convolution.
///
/// On a software adapter one load, of a number or of a `vec4`, costs as much as a hundred
/// multiply-adds, and every accumulator is stored at the end of each turn of a loop. So a turn
/// takes one input channel whole: it loads all of its pixels and weights, then adds all taps to
/// one accumulator before it goes on to the next.
struct Turn {
    tile: Tile,
    /// Output channels of the tile that the convolution has: the others of a convolution with fewer
    /// than one tile's are not computed.
    channels: u32,
    window: Window,
}

impl Turn {
    fn body(&self, reader: &Reader) -> Body {
        let size = self.window.size as u32;
        let count = size * size * self.tile.channels;
        let weights = Weights::new(count, self.tile.weight_lanes());
        let mut text = String::new();
        weights.load(&mut text);
        reader.load("plane", "", &mut text);
        for c in 0..self.channels {
            for tap in 0..size * size {
                let weight = weights.get(tap * self.tile.channels + c);
                let _ = writeln!(text, "let w{c}_{tap} = vec4({weight});");
            }
            for r in 0..self.tile.rows {
                for tap in 0..size * size {
                    let pixels = reader.pixels("", r, tap / size, tap % size);
                    let _ = writeln!(text, "a{c}_{r} = fma(w{c}_{tap}, {pixels}, a{c}_{r});");
                }
            }
        }
        Body {
            channels: 1,
            weights: count,
            accumulate: text,
            collect: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::dense::Origin;
    use super::*;
    use crate::shape::{Padding, Shape};

    #[test]
    fn every_accumulator_gets_every_tap_once() {
        let tile = Tile {
            channels: 4,
            rows: 2,
            subgroup: Some(4),
            texture: false,
            uniform: false,
        };
        for (size, stride) in [(3, 1), (5, 2), (1, 1)] {
            let window = Window {
                size,
                stride,
                padding: Padding::Replicate,
            };
            let shape = Shape::new(1, 1, 16, 16);
            let origin = -(window.radius() as i32);
            let dense = Dense {
                x: shape,
                output: shape,
                origin: Origin {
                    row: origin,
                    column: origin,
                },
                window,
                chain: &Chain::none(),
                source: Slot::Input(0),
                result: Slot::Output,
                kernels: false,
                folded: false,
            };
            let reader = Reader::new(tile, &dense);
            let turn = Turn {
                tile,
                channels: 4,
                window,
            };
            let text = turn.body(&reader).accumulate;
            for c in 0..4 {
                for r in 0..2 {
                    let start = format!("a{c}_{r} ");
                    let lines: Vec<&str> = text.lines().filter(|l| l.starts_with(&start)).collect();
                    assert_eq!(lines.len(), size * size);
                    for tap in 0..size * size {
                        let (k, dx) = (r * stride + tap / size, tap % size);
                        let product = format!("fma(w{c}_{tap}, t{k}_{dx},");
                        assert_eq!(lines.iter().filter(|l| l.contains(&product)).count(), 1);
                    }
                }
            }
        }
    }

    #[test]
    fn few_channels_get_more_rows_and_as_many_accumulators() {
        let tile = Tile {
            channels: 16,
            rows: 2,
            subgroup: None,
            texture: true,
            uniform: false,
        };
        for (outputs, channels, rows) in [(17, 16, 2), (9, 16, 2), (6, 8, 4), (1, 4, 8)] {
            let fitted = tile.fitted(outputs);
            assert_eq!((fitted.channels, fitted.rows), (channels, rows));
        }
    }

    #[test]
    fn shares_fit_into_a_binding_and_begin_where_one_may() {
        // 96 to 96 channels by 16, 3x3: one block of 55,296 bytes to a dispatch.
        let share = Share::new(6, 6 * 55_296).expect("a block fits");
        assert_eq!(
            share,
            Share {
                blocks: 1,
                bytes: 55_296
            }
        );
        // A field of C4, 24 inputs, by 6: three blocks of 20,736 bytes would fit.
        let share = Share::new(4, 4 * 20_736).expect("a block fits");
        assert_eq!((share.blocks, share.bytes), (2, 41_472));
        // All of them, whatever their length.
        assert_eq!(Share::new(3, 3 * 80).map(|s| s.blocks), Some(3));
        // Two shares that begin nowhere; no block that fits.
        assert_eq!(Share::new(5, 5 * 30_000), None);
        assert_eq!(Share::new(1, UNIFORM + 16), None);
    }
}
