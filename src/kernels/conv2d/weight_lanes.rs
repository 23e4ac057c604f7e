//! The weight gradient by lanes: each lane of a subgroup holds one output channel and a few input
//! channels, and the subgroup walks along a band of image rows. A load then fetches four pixels of as
//! many channels as there are lanes, and every pixel serves all lanes by `subgroupBroadcast`, which
//! costs software adapters little more than a multiply-add, where a load costs a hundred.

use super::row::COMPONENTS;
use super::walk::Walk;
use super::weight_tile::{PARTS, Pass, THREADS};
use super::window_variant;
use crate::kernels::reduce::Loads;
use crate::shape::{Shape, Window};
use std::fmt::Write;

#[derive(Clone, Copy)]
pub(super) struct Lanes {
    /// Lanes of a subgroup: output channels.
    pub lanes: u32,
    /// Input channels of a lane.
    pub inputs: u32,
    /// Output rows of a band.
    pub rows: u32,
    /// Image and gradient are read through textures.
    pub texture: bool,
}

impl Lanes {
    pub(super) fn pass(self, x: Shape, dy: Shape, window: Window) -> Pass {
        let (lanes, inputs, rows) = (
            self.lanes as usize,
            self.inputs as usize,
            self.rows as usize,
        );
        let tiles = dy.c().div_ceil(lanes) * x.c().div_ceil(inputs);
        let bands = dy.n() * dy.h().div_ceil(rows);
        // Subgroups that share a tile: as many as the second pass may add. Each takes every
        // `splits`-th band.
        let splits = bands.min(PARTS);
        let unrolled = Unrolled { tile: self, window };
        let variant = window_variant(window)
            .constant("OUTPUTS", self.lanes)
            .constant("INPUTS", self.inputs)
            .constant("ROWS", self.rows)
            .constant("SPLITS", splits as u32)
            .flag("QUAD_ROWS")
            .flag_if("TEXTURE", self.texture)
            .snippet("declare", unrolled.declare())
            .snippet("start", unrolled.start())
            .snippet("slide", unrolled.slide())
            .snippet("add", unrolled.add())
            .snippet("collect", unrolled.collect());
        // Tasks and channels beyond the last one are clamped for reading and not written; rows
        // beyond the last one are clamped and contribute zero.
        Pass {
            path: "conv/weight_gradient_lanes.wgsl",
            variant,
            groups: (tiles * splits).div_ceil(THREADS / lanes),
            parts: splits,
            texture: self.texture,
            sum: Loads::Serial,
        }
    }
}

/// Generates the unrolled lines of one variant. Lane `l` walks along input channels `l`,
/// `lanes + l`, ... of the tile, and holds in `dR` the current quad of output row `R` of its own
/// output channel.
struct Unrolled {
    tile: Lanes,
    window: Window,
}

impl Unrolled {
    fn size(&self) -> u32 {
        self.window.size as u32
    }

    fn walk(&self) -> Walk {
        Walk {
            window: self.window,
            channels: self.tile.inputs.div_ceil(self.tile.lanes),
            rows: self.tile.rows + self.size() - 1,
        }
    }

    /// Accumulators of a band and of all bands, and the window.
    fn declare(&self) -> String {
        let mut text = String::new();
        for i in 0..self.tile.inputs {
            for t in 0..self.size() * self.size() {
                let _ = write!(text, "var a{i}_{t} = 0.0; var s{i}_{t} = 0.0; ");
            }
            text.push('\n');
        }
        let lanes = self.tile.lanes;
        let channel = |g| format!("min(c + {}u + sublane, params.c - 1u)", g * lanes);
        self.walk().declare(channel, &mut text);
        text
    }

    /// The first quads of a band; `top` is its first output row, `item` the image.
    fn start(&self) -> String {
        let mut text = String::new();
        self.walk().start(&mut text);
        for r in 0..self.tile.rows {
            let _ = writeln!(
                text,
                "let output{r} = (output + min(top + {r}u, params.oh - 1u) * params.ow) / 4u;"
            );
            let _ = writeln!(text, "let counts{r} = visited && top + {r}u < params.oh;");
        }
        for i in 0..self.tile.inputs {
            for t in 0..self.size() * self.size() {
                let _ = write!(text, "a{i}_{t} = 0.0; ");
            }
            text.push('\n');
        }
        text
    }

    /// One quad column, `quad`: load the next one of the image, accumulate, shift.
    fn slide(&self) -> String {
        let mut text = String::new();
        self.walk().look_ahead(&mut text);
        for r in 0..self.tile.rows {
            let _ = writeln!(
                text,
                "let d{r} = select(vec4<f32>(), dy_quad(output{r} + u32(quad)), counts{r});"
            );
        }
        for i in 0..self.tile.inputs {
            self.accumulate(i, &mut text);
        }
        self.walk().advance(&mut text);
        text
    }

    /// Adds the current column's products for input channel `i` of the tile.
    fn accumulate(&self, i: u32, text: &mut String) {
        let (size, walk) = (self.size(), self.walk());
        let (g, lane) = (i / self.tile.lanes, i % self.tile.lanes);
        let _ = writeln!(text, "{{");
        for k in 0..walk.rows {
            for j in 0..size + 3 {
                let pixel = walk.column(g, k, j);
                let _ = writeln!(text, "let b{k}_{j} = subgroupBroadcast({pixel}, {lane}u);");
            }
        }
        // Taps last: as many sums as there are taps stay in registers and wait for none of the others,
        // and share a number of the gradient.
        for r in 0..self.tile.rows {
            for p in 0..4u32 {
                for t in 0..size * size {
                    let (k, j) = (r + t / size, p + t % size);
                    let component = COMPONENTS[p as usize];
                    let _ = writeln!(
                        text,
                        "a{i}_{t} = fma(d{r}.{component}, b{k}_{j}, a{i}_{t});"
                    );
                }
            }
        }
        let _ = writeln!(text, "}}");
    }

    /// A band's sums are added to those before it: no sum of products is longer than a band.
    fn add(&self) -> String {
        let mut text = String::new();
        for i in 0..self.tile.inputs {
            for t in 0..self.size() * self.size() {
                let _ = write!(text, "s{i}_{t} += a{i}_{t}; ");
            }
            text.push('\n');
        }
        text
    }

    /// The sums as one array.
    fn collect(&self) -> String {
        let taps = self.size() * self.size();
        let names: Vec<String> = (0..self.tile.inputs)
            .flat_map(|i| (0..taps).map(move |t| format!("s{i}_{t}")))
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
    fn every_tap_gets_every_pixel_of_a_column_once() {
        for (size, padding) in [
            (1, Padding::Zero),
            (3, Padding::Replicate),
            (5, Padding::Circular),
        ] {
            let tile = Lanes {
                lanes: 4,
                inputs: 5,
                rows: 2,
                texture: false,
            };
            let window = Window::same(size, padding);
            let text = Unrolled { tile, window }.slide();
            for i in 0..5 {
                for t in 0..size * size {
                    let start = format!("a{i}_{t} ");
                    let lines: Vec<&str> = text.lines().filter(|l| l.starts_with(&start)).collect();
                    assert_eq!(lines.len(), 8);
                    for (r, p) in (0..2).flat_map(|r| (0..4).map(move |p| (r, p))) {
                        let component = COMPONENTS[p];
                        let (k, j) = (r + t / size, p + t % size);
                        let product = format!("fma(d{r}.{component}, b{k}_{j},");
                        assert_eq!(lines.iter().filter(|l| l.contains(&product)).count(), 1);
                    }
                }
            }
        }
    }
}
