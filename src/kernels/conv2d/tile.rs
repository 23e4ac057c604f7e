//! The register-tiled convolution: each thread computes a strip of pixels for a block of output
//! channels. The unrolled lines are generated here.

use super::row::{COMPONENTS, Row};
use super::{CLAMPED, conv_params, window_variant, with_operands};
use crate::kernels::chain::Chain;
use crate::kernels::{Capabilities, Launch, Slot};
use crate::shape::{Shape, Window};
use std::fmt::Write;

/// The shape of a thread's work and the way the weights reach it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tile {
    /// Output channels of a thread, a multiple of 4.
    pub channels: u32,
    /// Neighbouring pixels of a thread, a multiple of 4.
    pub pixels: u32,
    /// With `Some(lanes)`, each lane of a subgroup loads four weights and `subgroupBroadcast`
    /// spreads them; without, every lane loads every weight.
    pub broadcast: Option<u32>,
}

/// Threads of a workgroup: all of them work on the same block of output channels.
const LANES: u32 = 64;

impl Tile {
    /// A sensible start.
    pub fn default_for(capabilities: Capabilities) -> Self {
        match capabilities.subgroup.filter(|s| (4..=LANES).contains(s)) {
            Some(lanes) => Tile {
                channels: 16,
                pixels: 8,
                broadcast: Some(lanes),
            },
            None => Tile {
                channels: 8,
                pixels: 8,
                broadcast: None,
            },
        }
    }

    pub(super) fn launch(
        self,
        x: Shape,
        output: Shape,
        origin: i32,
        window: Window,
        chain: &Chain,
        [source, packed, result]: [Slot; 3],
    ) -> Launch {
        let strips = output.n() * output.h() * output.w().div_ceil(self.pixels as usize);
        let blocks = output.c().div_ceil(self.channels as usize);
        let groups = strips.div_ceil(LANES as usize) * blocks;
        let bindings = vec![("x", source), ("packed", packed), ("result", result)];
        let unrolled = Unrolled::new(self, window, origin, x.w().is_multiple_of(4));
        let variant = window_variant(window)
            .constant("CHANNELS", self.channels)
            .constant("PIXELS", self.pixels)
            .constant("LANES", LANES)
            .flag_if("QUADS", unrolled.row.quads)
            .flag_if("SUBGROUP", self.broadcast.is_some())
            .snippet("declare", unrolled.declare())
            .snippet("accumulate", unrolled.accumulate())
            .snippet("collect", unrolled.collect());
        let mut launch = Launch::new(
            "conv/tiled.wgsl",
            &conv_params(x, output, origin),
            with_operands(bindings, chain),
            groups as u64,
        )
        .variant(chain.into_variant(variant, output));
        // Strips and columns beyond the last are clamped to it for reading and skipped in
        // writing; blocks beyond the last channel read packed zeros.
        launch.trust = CLAMPED;
        launch
    }
}

/// Generates the unrolled lines of one variant.
struct Unrolled {
    tile: Tile,
    window: Window,
    row: Row,
}

impl Unrolled {
    fn new(tile: Tile, window: Window, origin: i32, quads: bool) -> Self {
        let row = Row {
            columns: (tile.pixels - 1) * window.stride as u32 + window.size as u32,
            origin,
            quads,
            padding: window.padding,
        };
        Unrolled { tile, window, row }
    }

    /// Accumulators, and the places that the strip reads.
    fn declare(&self) -> String {
        let mut text = String::new();
        for c in 0..self.tile.channels {
            for p in 0..self.tile.pixels {
                let _ = write!(text, "var a{c}_{p} = 0.0; ");
            }
            text.push('\n');
        }
        self.row.declare("i32(column * STRIDE)", &mut text);
        text
    }

    /// One input channel: `plane` is its offset in the image, `weights` that of its packed weights.
    ///
    /// All kernel rows are unrolled: a software adapter stores every accumulator at the end of
    /// each turn of a loop, so a turn must do more than one row's work.
    fn accumulate(&self) -> String {
        let size = self.window.size as u32;
        let mut text = String::new();
        if let Some(lanes) = self.tile.broadcast {
            let quads = size * size * self.tile.channels / 4;
            for group in 0..quads.div_ceil(lanes) {
                let first = group * lanes;
                // The last group may reach beyond the channel's weights.
                let index = if first + lanes > quads {
                    format!("min({first}u + sublane, {}u)", quads - 1)
                } else {
                    format!("{first}u + sublane")
                };
                let _ = writeln!(text, "let v{group} = packed[weights + {index}];");
            }
        }
        for dy in 0..size {
            let _ = writeln!(text, "{{");
            let _ = writeln!(text, "let row = top + {dy};");
            self.row.declare_line(&mut text);
            self.row.load("plane + line", "let ", "x", &mut text);
            self.accumulate_row(dy, &mut text);
            text.push_str("}\n");
        }
        text
    }

    fn accumulate_row(&self, dy: u32, text: &mut String) {
        let (size, channels) = (self.window.size as u32, self.tile.channels);
        for dx in 0..size {
            for c in 0..channels {
                let k = (dy * size + dx) * channels + c;
                let component = COMPONENTS[(k % 4) as usize];
                let quad = k / 4;
                let weight = match self.tile.broadcast {
                    Some(lanes) => format!(
                        "subgroupBroadcast(v{}.{component}, {}u)",
                        quad / lanes,
                        quad % lanes
                    ),
                    None => {
                        if k.is_multiple_of(4) {
                            let _ = writeln!(text, "let v{quad} = packed[weights + {quad}u];");
                        }
                        format!("v{quad}.{component}")
                    }
                };
                let _ = writeln!(text, "let w{k} = {weight};");
                for p in 0..self.tile.pixels {
                    let j = p * self.window.stride as u32 + dx;
                    let _ = writeln!(text, "a{c}_{p} = fma(w{k}, x{j}, a{c}_{p});");
                }
            }
        }
    }

    /// The accumulators as one array, channels first.
    fn collect(&self) -> String {
        let names: Vec<String> = (0..self.tile.channels)
            .flat_map(|c| (0..self.tile.pixels).map(move |p| format!("a{c}_{p}")))
            .collect();
        let count = names.len();
        format!("var values = array<f32, {count}>({});\n", names.join(", "))
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
            pixels: 4,
            broadcast: Some(4),
        };
        for (size, stride) in [(3, 1), (5, 2), (1, 1)] {
            let window = Window {
                size,
                stride,
                padding: Padding::Replicate,
            };
            let unrolled = Unrolled::new(tile, window, -(window.radius() as i32), true);
            let text = unrolled.accumulate();
            for c in 0..4 {
                for p in 0..4 {
                    let start = format!("a{c}_{p} ");
                    let lines: Vec<&str> = text.lines().filter(|l| l.starts_with(&start)).collect();
                    assert_eq!(lines.len(), size * size);
                    for tap in 0..size * size {
                        let (k, j) = (tap * 4 + c, p * stride + tap % size);
                        let product = format!("fma(w{k}, x{j},");
                        assert_eq!(lines.iter().filter(|l| l.contains(&product)).count(), 1);
                    }
                }
            }
        }
    }
}
