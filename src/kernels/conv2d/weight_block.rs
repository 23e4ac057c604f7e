//! The weight gradient in blocks through workgroup memory, for hardware adapters: each thread holds
//! all taps of 8 (of 5x5 windows 4) output channels and one input channel, and a workgroup goes
//! through segments of image rows.

use super::patch::{MEMORY, Patch, Stage, guarded, items};
use super::row::COMPONENTS;
use super::weight_tile::{PARTS, Pass};
use super::window_variant;
use crate::shape::{Shape, Window};
use std::fmt::Write;

/// Columns of a segment.
const COLUMNS: u32 = 16;
/// Columns that are unrolled together.
const PIXELS: u32 = 4;

#[derive(Clone, Copy)]
pub(super) struct Blocks {
    /// Output channels of a workgroup at most, a multiple of 8.
    pub outputs: u32,
    /// Input channels of a workgroup at most.
    pub inputs: u32,
}

impl Blocks {
    /// As few channels beyond the last one as may be, in blocks that fit into workgroup memory.
    fn fitted(self, x: Shape, dy: Shape, window: Window) -> Self {
        let even = |channels: usize, most: u32| {
            let channels = channels as u32;
            channels.div_ceil(channels.div_ceil(most))
        };
        let mut blocks = Blocks {
            outputs: even(dy.c(), self.outputs).next_multiple_of(outputs_of(window)),
            inputs: even(x.c(), self.inputs),
        };
        while blocks.words(window) * 8 > MEMORY && blocks.inputs > 1 {
            blocks.inputs = blocks.inputs.div_ceil(2);
        }
        blocks
    }

    /// Words of a stage.
    fn words(self, window: Window) -> u32 {
        self.outputs * COLUMNS + self.inputs * patch(window, true).bound()
    }

    pub(super) fn pass(self, x: Shape, dy: Shape, window: Window) -> Pass {
        let blocks = self.fitted(x, dy, window);
        let quads = x.w().is_multiple_of(4);
        let patch = patch(window, quads);
        let tiles =
            dy.c().div_ceil(blocks.outputs as usize) * x.c().div_ceil(blocks.inputs as usize);
        let segments = dy.n() * dy.h() * dy.w().div_ceil(COLUMNS as usize);
        // Workgroups that share a tile: as many as the second pass may add. Each takes every
        // `splits`-th segment.
        let splits = segments.min(PARTS);
        let threads = (blocks.outputs / outputs_of(window) * blocks.inputs).max(FEWEST);
        let unrolled = Unrolled {
            blocks,
            outputs: outputs_of(window),
            quads,
            stage: Stage {
                patch,
                channels: blocks.inputs,
                threads,
            },
        };
        let variant = window_variant(window)
            .constant("OUTPUTS", blocks.outputs)
            .constant("INPUTS", blocks.inputs)
            .constant("OWN", outputs_of(window))
            .constant("THREADS", threads)
            .constant("COLUMNS", COLUMNS)
            .constant("PIXELS", PIXELS)
            .constant("SPLITS", splits as u32)
            .constant("PATCH", patch.size())
            .constant("PITCH", patch.pitch())
            .constant("SHIFT", patch.shift())
            .flag_if("QUAD_ROWS", quads)
            .snippet("declare", unrolled.declare())
            .snippet("fetch", unrolled.fetch())
            .snippet("store", unrolled.store())
            .snippet("accumulate", unrolled.accumulate())
            .snippet("collect", unrolled.collect());
        // Segments and channels beyond the last one are clamped for reading and contribute zero or
        // are not written; places in workgroup memory follow from the constants.
        Pass {
            path: "conv/weight_gradient_block.wgsl",
            variant,
            groups: tiles * splits,
            parts: splits,
            texture: false,
        }
    }
}

/// Threads of a workgroup at least, so that each has few loads, which are unrolled.
const FEWEST: u32 = 64;

/// Output channels of a thread: with all taps some 72 to 100 accumulators.
fn outputs_of(window: Window) -> u32 {
    if window.size <= 3 { 8 } else { 4 }
}

fn patch(window: Window, quads: bool) -> Patch {
    Patch {
        rows: 1,
        columns: COLUMNS,
        window,
        origin: -(window.radius() as i32),
        quads,
    }
}

/// Generates the unrolled lines of one variant.
struct Unrolled {
    blocks: Blocks,
    /// Output channels of a thread.
    outputs: u32,
    /// Rows are read by `vec4`.
    quads: bool,
    stage: Stage,
}

impl Unrolled {
    /// Groups of 4 output channels x 4 pixels, or one pixel, that the threads load together and lay
    /// down with the channels side by side.
    fn groups(&self) -> u32 {
        self.blocks.outputs / 4 * (COLUMNS / self.width())
    }

    fn width(&self) -> u32 {
        if self.quads { 4 } else { 1 }
    }

    fn taps(&self) -> u32 {
        self.stage.patch.taps()
    }

    /// Accumulators, and what is on its way to workgroup memory.
    fn declare(&self) -> String {
        let mut text = String::new();
        for v in 0..self.outputs / 4 {
            for t in 0..self.taps() {
                let _ = write!(text, "var a{v}_{t} = vec4<f32>(); ");
            }
            text.push('\n');
        }
        self.stage.declare(&mut text);
        let number = if self.quads { "vec4<f32>" } else { "f32" };
        let last = self.groups() - 1;
        let across = COLUMNS / self.width();
        items(self.groups(), self.stage.threads, |g, item, _| {
            let _ = writeln!(text, "let group{g} = min({item}, {last}u);");
            let _ = writeln!(
                text,
                "let along{g} = group{g} % {across}u * {}u;",
                self.width()
            );
            let _ = writeln!(text, "let four{g} = group{g} / {across}u;");
            for k in 0..4 {
                let _ = writeln!(text, "var d{g}_{k} = {number}();");
                let _ = writeln!(
                    text,
                    "let channel{g}_{k} = min(o + 4u * four{g} + {k}u, params.oc - 1u);"
                );
            }
        });
        text
    }

    /// Loads the segment of output row `top` from column `left` on of image `n`.
    fn fetch(&self) -> String {
        let mut text = String::new();
        self.stage.places(&mut text);
        self.stage.fetch(&mut text);
        let zero = if self.quads { "vec4<f32>()" } else { "0.0" };
        items(self.groups(), self.stage.threads, |g, _, _| {
            let _ = writeln!(
                text,
                "let counts{g} = visited && left + along{g} < params.ow;"
            );
            let _ = writeln!(
                text,
                "let start{g} = top * params.ow + min(left + along{g}, params.ow - {}u);",
                self.width()
            );
            for k in 0..4 {
                let _ = writeln!(
                    text,
                    "d{g}_{k} = select({zero}, dy[((n * params.oc + channel{g}_{k}) * params.oh * params.ow + start{g}) / {}u], counts{g});",
                    self.width()
                );
            }
        });
        text
    }

    /// Puts it into half `part / INPUTS` of workgroup memory.
    fn store(&self) -> String {
        let mut text = String::new();
        self.stage.store(&mut text);
        let (count, fours) = (self.groups(), self.blocks.outputs / 4);
        items(count, self.stage.threads, |g, item, partial| {
            let lines = (0..self.width()).map(|p| {
                let component = |k: u32| match self.quads {
                    true => format!("d{g}_{k}.{}", COMPONENTS[p as usize]),
                    false => format!("d{g}_{k}"),
                };
                let channels: Vec<String> = (0..4).map(component).collect();
                format!(
                    "gradient[(part / INPUTS * COLUMNS + along{g} + {p}u) * {fours}u + four{g}] = vec4({});\n",
                    channels.join(", ")
                )
            });
            text.push_str(&guarded(&item, count, partial, lines.collect()));
        });
        text
    }

    /// A few columns, from the thread's own `pixel` and `output` on.
    fn accumulate(&self) -> String {
        let size = self.stage.patch.window.size as u32;
        let fours = self.blocks.outputs / 4;
        let mut text = String::new();
        for k in 0..size {
            for j in 0..PIXELS + size - 1 {
                let _ = writeln!(text, "let x{k}_{j} = pixels[pixel + {k}u * PITCH + {j}u];");
            }
        }
        for p in 0..PIXELS {
            for v in 0..self.outputs / 4 {
                let place = p * fours + v;
                let _ = writeln!(text, "let y{p}_{v} = gradient[output + {place}u];");
                for t in 0..self.taps() {
                    let (k, j) = (t / size, p + t % size);
                    let _ = writeln!(text, "a{v}_{t} = fma(y{p}_{v}, vec4(x{k}_{j}), a{v}_{t});");
                }
            }
        }
        text
    }

    /// The sums as one array.
    fn collect(&self) -> String {
        let names: Vec<String> = (0..self.outputs / 4)
            .flat_map(|v| (0..self.taps()).map(move |t| format!("a{v}_{t}")))
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
    fn blocks_waste_few_channels_and_fit_into_workgroup_memory() {
        let blocks = Blocks {
            outputs: 64,
            inputs: 16,
        };
        for (outputs, inputs, size, expected) in [
            (96, 96, 3, (48, 16)),
            (96, 7, 3, (48, 7)),
            (6, 96, 3, (8, 16)),
            (64, 64, 1, (64, 16)),
            // Larger windows need more pixels: fewer channels fit.
            (96, 96, 5, (48, 8)),
        ] {
            let (x, dy) = (Shape::new(1, inputs, 8, 8), Shape::new(1, outputs, 8, 8));
            let window = Window::same(size, Padding::Zero);
            let fitted = blocks.fitted(x, dy, window);
            assert!(fitted.words(window) * 8 <= MEMORY);
            assert_eq!((fitted.outputs, fitted.inputs), expected, "{size}");
        }
    }
}
