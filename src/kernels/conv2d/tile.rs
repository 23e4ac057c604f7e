//! The register-tiled convolution: each thread computes a strip of pixels for a block of output
//! channels. The unrolled lines are generated here.

use super::{CLAMPED, conv_params, window_variant, with_operands};
use crate::kernels::chain::Chain;
use crate::kernels::{Capabilities, Launch, Slot};
use crate::shape::{Shape, Window};
use std::fmt::Write;

/// The shape of a thread's work and the way the weights reach it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tile {
    /// Output channels of a thread.
    pub channels: u32,
    /// Neighbouring pixels of a thread.
    pub pixels: u32,
    /// With `Some(lanes)`, each lane of a subgroup loads one weight and `subgroupBroadcast`
    /// spreads it; without, every lane loads every weight.
    pub broadcast: Option<u32>,
}

/// Threads of a workgroup: all of them work on the same block of output channels.
const LANES: u32 = 64;

impl Tile {
    /// A sensible start.
    pub fn default_for(capabilities: Capabilities) -> Self {
        match capabilities.subgroup.filter(|&s| s >= 4 && s <= LANES) {
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
        let variant = window_variant(window)
            .constant("CHANNELS", self.channels)
            .constant("PIXELS", self.pixels)
            .constant("LANES", LANES)
            .flag_if("SUBGROUP", self.broadcast.is_some())
            .snippet("declare", self.declare(window))
            .snippet("accumulate", self.accumulate(window))
            .snippet("collect", self.collect());
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

    /// Columns that a strip reads.
    fn columns(self, window: Window) -> u32 {
        (self.pixels - 1) * window.stride as u32 + window.size as u32
    }

    /// Accumulators, and the columns that the strip reads.
    fn declare(self, window: Window) -> String {
        let mut text = String::new();
        for c in 0..self.channels {
            for p in 0..self.pixels {
                let _ = write!(text, "var a{c}_{p} = 0.0; ");
            }
            text.push('\n');
        }
        for j in 0..self.columns(window) {
            let _ = writeln!(text, "let column{j} = resolve(first + {j}, i32(params.w));");
            if window.padding == crate::shape::Padding::Zero {
                let _ = writeln!(text, "let inside{j} = inside(first + {j}, i32(params.w));");
            }
        }
        text
    }

    /// One input channel: `plane` is its offset in the image, `weights` that of its packed weights.
    ///
    /// All kernel rows are unrolled: a software adapter stores every accumulator at the end of
    /// each turn of a loop, so a turn must do more than one row's work.
    fn accumulate(self, window: Window) -> String {
        let size = window.size as u32;
        let mut text = String::new();
        for dy in 0..size {
            let _ = writeln!(text, "{{");
            let _ = writeln!(text, "let row = top + {dy};");
            let _ = writeln!(
                text,
                "let line = plane + u32(resolve(row, i32(params.h))) * params.w;"
            );
            if window.padding == crate::shape::Padding::Zero {
                let _ = writeln!(text, "let visible = inside(row, i32(params.h));");
            }
            let first = dy * size * self.channels;
            text.push_str(&self.accumulate_row(window, first));
            text.push_str("}\n");
        }
        text
    }

    /// One kernel row, whose weights begin at `weights + offset`.
    fn accumulate_row(self, window: Window, offset: u32) -> String {
        let size = window.size as u32;
        let mut text = String::new();
        for j in 0..self.columns(window) {
            let load = format!("x[line + u32(column{j})]");
            let _ = match window.padding {
                crate::shape::Padding::Zero => {
                    writeln!(
                        text,
                        "let x{j} = select(0.0, {load}, visible && inside{j});"
                    )
                }
                _ => writeln!(text, "let x{j} = {load};"),
            };
        }
        let count = size * self.channels;
        if let Some(lanes) = self.broadcast {
            for group in 0..count.div_ceil(lanes) {
                let first = group * lanes;
                // The last group may reach beyond the row's weights.
                let index = if first + lanes > count {
                    format!(
                        "min({}u + sublane, {}u)",
                        offset + first,
                        offset + count - 1
                    )
                } else {
                    format!("{}u + sublane", offset + first)
                };
                let _ = writeln!(text, "let v{group} = packed[weights + {index}];");
            }
        }
        for dx in 0..size {
            for c in 0..self.channels {
                let k = dx * self.channels + c;
                let weight = match self.broadcast {
                    Some(lanes) => format!("subgroupBroadcast(v{}, {}u)", k / lanes, k % lanes),
                    None => format!("packed[weights + {}u]", offset + k),
                };
                let _ = writeln!(text, "let w{k} = {weight};");
                for p in 0..self.pixels {
                    let j = p * window.stride as u32 + dx;
                    let _ = writeln!(text, "a{c}_{p} = fma(w{k}, x{j}, a{c}_{p});");
                }
            }
        }
        text
    }

    /// The accumulators as one array, channels first.
    fn collect(self) -> String {
        let names: Vec<String> = (0..self.channels)
            .flat_map(|c| (0..self.pixels).map(move |p| format!("a{c}_{p}")))
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
            channels: 2,
            pixels: 3,
            broadcast: Some(4),
        };
        for (size, stride) in [(3, 1), (5, 2), (1, 1)] {
            let window = Window {
                size,
                stride,
                padding: Padding::Replicate,
            };
            let text = tile.accumulate(window);
            for c in 0..2 {
                for p in 0..3 {
                    let lines: Vec<&str> = text
                        .lines()
                        .filter(|l| l.starts_with(&format!("a{c}_{p} ")))
                        .collect();
                    assert_eq!(lines.len(), size);
                    for dx in 0..size {
                        let line = format!("w{}, x{},", dx * 2 + c, p * stride + dx);
                        assert_eq!(lines.iter().filter(|l| l.contains(&line)).count(), 1);
                    }
                }
            }
        }
    }
}
