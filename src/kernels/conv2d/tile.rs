//! The register-tiled convolution: each thread computes a few rows of 4 pixels for a block of output
//! channels. The unrolled lines are generated here.

use super::exchange::Exchange;
use super::row::{COMPONENTS, Row};
use super::{CLAMPED, ConvParams, Origin, window_variant, with_operands};
use crate::gpu::Texture;
use crate::kernels::chain::Chain;
use crate::kernels::{Capabilities, Launch, Slot};
use crate::shape::{Shape, Window};
use std::fmt::Write;

/// The shape of a thread's work and the way its numbers reach it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tile {
    /// Output channels of a thread, a multiple of 4. Halved, with twice the rows up to 8, where the
    /// convolution has no more than half as many.
    pub channels: u32,
    /// Rows of 4 pixels of a thread.
    pub rows: u32,
    /// With `Some(lanes)`, the lanes of a subgroup load weights, and the pixels where their strips
    /// meet, for each other; without, every lane loads all it needs.
    pub subgroup: Option<u32>,
    /// Pixels and weights are read through textures, if they fit into one.
    pub texture: bool,
}

/// Pixels of a thread in each row.
const PIXELS: u32 = 4;
/// Threads of a workgroup: all of them work on the same block of output channels.
const LANES: u32 = 64;

impl Tile {
    /// A sensible start: on the processor as many accumulators as compile in a second, because
    /// loads are dear and spilled registers cheap; on hardware as many as fit into registers.
    pub fn default_for(capabilities: Capabilities) -> Self {
        let subgroup = capabilities.subgroup.filter(|s| (4..=LANES).contains(s));
        let (channels, rows) = match (capabilities.software, subgroup) {
            (true, Some(_)) => (16, 4),
            (true, None) => (8, 4),
            (false, _) => (8, 2),
        };
        Tile {
            channels,
            rows,
            subgroup,
            texture: capabilities.software,
        }
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

    /// Elements of the kernel as `conv/pack.wgsl` leaves it.
    pub(super) fn packed_elements(self, outputs: usize, inputs: usize, window: Window) -> usize {
        let channels = self.channels as usize;
        outputs.next_multiple_of(channels) * inputs * window.size * window.size
    }

    pub(super) fn launch(
        self,
        x: Shape,
        output: Shape,
        origin: Origin,
        window: Window,
        chain: &Chain,
        [source, packed, result]: [Slot; 3],
    ) -> Launch {
        let bands = output.h().div_ceil(self.rows as usize);
        let strips = output.n() * bands * output.w().div_ceil(PIXELS as usize);
        let blocks = output.c().div_ceil(self.channels as usize);
        let groups = strips.div_ceil(LANES as usize) * blocks;
        let packed_bytes = 4 * self.packed_elements(output.c(), x.c(), window) as u64;
        let texture = self.texture && Texture::holds(x.bytes()) && Texture::holds(packed_bytes);
        let [source, packed] = [source, packed].map(|slot| match texture {
            true => slot.through_texture(),
            false => slot,
        });
        let bindings = vec![("x", source), ("packed", packed), ("result", result)];
        let quads = Chain::quads(output);
        let unrolled = Unrolled::new(self, window, origin.column, x, output);
        let variant = window_variant(window)
            .constant("CHANNELS", self.channels)
            .constant("ROWS", self.rows)
            .constant("LANES", LANES)
            .constant("SUBGROUP_LANES", self.subgroup.unwrap_or(1))
            .flag_if("QUAD_ROWS", unrolled.row.quads)
            .flag_if("QUADS", quads)
            .flag_if("TEXTURE", texture)
            .flag_if("SUBGROUP", self.subgroup.is_some())
            .snippet("declare", unrolled.declare())
            .snippet("accumulate", unrolled.accumulate())
            .snippet("collect", unrolled.collect());
        let mut launch = Launch::new(
            "conv/tiled.wgsl",
            &ConvParams::new(x, output, origin.row),
            with_operands(bindings, chain),
            groups as u64,
        )
        .variant(chain.into_variant(variant, output, quads));
        // Strips and columns beyond the last are clamped to it for reading and skipped in
        // writing; blocks beyond the last channel read packed zeros.
        launch.trust = CLAMPED;
        launch
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
        f.write_str(if self.texture { " texture" } else { "" })
    }
}

/// Generates the unrolled lines of one variant.
///
/// On a software adapter one load, of a number or of a `vec4`, costs as much as a hundred
/// multiply-adds, and every accumulator is stored at the end of each turn of a loop. So a turn
/// takes one input channel whole: it loads all of its pixels and weights, then adds all taps to
/// one accumulator before it goes on to the next.
struct Unrolled {
    tile: Tile,
    window: Window,
    /// Rows of the image that a thread reads.
    rows: u32,
    row: Row,
    exchange: Option<Exchange>,
}

impl Unrolled {
    fn new(tile: Tile, window: Window, origin: i32, x: Shape, output: Shape) -> Self {
        let (size, stride) = (window.size as u32, window.stride as u32);
        let row = Row {
            columns: (PIXELS - 1) * stride + size,
            origin,
            quads: x.w().is_multiple_of(4),
            padding: window.padding,
        };
        let rows = (tile.rows - 1) * stride + size;
        let exchange = (tile.subgroup.filter(|_| stride == 1))
            .and_then(|lanes| Exchange::new(row, rows, lanes, x.w(), output.w()));
        Unrolled {
            tile,
            window,
            rows,
            row,
            exchange,
        }
    }

    /// Accumulators, and the places that the strip reads.
    fn declare(&self) -> String {
        let mut text = String::new();
        for c in 0..self.tile.channels {
            for r in 0..self.tile.rows {
                let _ = write!(text, "var a{c}_{r} = vec4<f32>(); ");
            }
            text.push('\n');
        }
        match &self.exchange {
            Some(exchange) => exchange.declare(&mut text),
            None => {
                self.row.declare("i32(column * STRIDE)", &mut text);
                for k in 0..self.rows {
                    self.row.declare_line(k, &format!("top + {k}"), &mut text);
                }
            }
        }
        text
    }

    /// One input channel: `plane` is its offset in an image, `weights` that of its packed weights.
    fn accumulate(&self) -> String {
        let (size, stride) = (self.window.size as u32, self.window.stride as u32);
        let mut text = String::new();
        self.load_weights(&mut text);
        if let Some(exchange) = &self.exchange {
            exchange.load_halo(&mut text);
        }
        for k in 0..self.rows {
            match &self.exchange {
                Some(exchange) => exchange.load(k, &mut text),
                None => {
                    let start = format!("plane + item + line{k}");
                    (self.row).load(k, &start, "let ", &format!("x{k}_"), &mut text);
                }
            }
            for dx in 0..size {
                let columns = (0..PIXELS).map(|p| format!("x{k}_{}", p * stride + dx));
                let columns: Vec<String> = columns.collect();
                let _ = writeln!(text, "let t{k}_{dx} = vec4({});", columns.join(", "));
            }
        }
        for c in 0..self.tile.channels {
            for tap in 0..size * size {
                let weight = self.weight(tap * self.tile.channels + c);
                let _ = writeln!(text, "let w{c}_{tap} = vec4({weight});");
            }
            for r in 0..self.tile.rows {
                for tap in 0..size * size {
                    let (k, dx) = (r * stride + tap / size, tap % size);
                    let _ = writeln!(text, "a{c}_{r} = fma(w{c}_{tap}, t{k}_{dx}, a{c}_{r});");
                }
            }
        }
        text
    }

    /// The input channel's weights, four to a load: a whole subgroup of loads each time, if there
    /// is one.
    fn load_weights(&self, text: &mut String) {
        let size = self.window.size as u32;
        let quads = size * size * self.tile.channels / 4;
        let Some(lanes) = self.tile.subgroup else {
            for quad in 0..quads {
                let _ = writeln!(text, "let v{quad} = packed_quad(weights + {quad}u);");
            }
            return;
        };
        for group in 0..quads.div_ceil(lanes) {
            let first = group * lanes;
            // The last group may reach beyond the channel's weights.
            let index = if first + lanes > quads {
                format!("min({first}u + sublane, {}u)", quads - 1)
            } else {
                format!("{first}u + sublane")
            };
            let _ = writeln!(text, "let v{group} = packed_quad(weights + {index});");
        }
    }

    /// Packed weight `k` of the input channel.
    fn weight(&self, k: u32) -> String {
        let (quad, component) = (k / 4, COMPONENTS[(k % 4) as usize]);
        match self.tile.subgroup {
            Some(lanes) => format!(
                "subgroupBroadcast(v{}.{component}, {}u)",
                quad / lanes,
                quad % lanes
            ),
            None => format!("v{quad}.{component}"),
        }
    }

    /// The accumulators as one array, channels first.
    fn collect(&self) -> String {
        let names: Vec<String> = (0..self.tile.channels)
            .flat_map(|c| (0..self.tile.rows).map(move |r| format!("a{c}_{r}")))
            .collect();
        let count = names.len();
        format!(
            "var values = array<vec4<f32>, {count}>({});\n",
            names.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Padding;

    #[test]
    fn every_accumulator_gets_every_tap_once() {
        let tile = Tile {
            channels: 4,
            rows: 2,
            subgroup: Some(4),
            texture: false,
        };
        for (size, stride) in [(3, 1), (5, 2), (1, 1)] {
            let window = Window {
                size,
                stride,
                padding: Padding::Replicate,
            };
            let shape = Shape::new(1, 1, 16, 16);
            let origin = -(window.radius() as i32);
            let text = Unrolled::new(tile, window, origin, shape, shape).accumulate();
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
        };
        for (outputs, channels, rows) in [(17, 16, 2), (9, 16, 2), (6, 8, 4), (1, 4, 8)] {
            let fitted = tile.fitted(outputs);
            assert_eq!((fitted.channels, fitted.rows), (channels, rows));
        }
    }
}
