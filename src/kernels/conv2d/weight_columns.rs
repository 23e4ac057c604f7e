//! The weight gradient by columns: each thread holds the gradients of a few output and input channels
//! and walks down neighbouring image columns with a sliding window.

use super::row::{COMPONENTS, Row};
use super::weight_tile::{PARTS, Pass, THREADS};
use super::window_variant;
use crate::kernels::reduce::Loads;
use crate::shape::{Shape, Window};
use std::fmt::Write;

/// Channels that a thread holds.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    pub outputs: u32,
    pub inputs: u32,
    /// Image and gradient are read through textures.
    pub texture: bool,
}

impl Columns {
    pub(super) fn pass(self, x: Shape, dy: Shape, window: Window) -> Pass {
        let tiles = dy.c().div_ceil(self.outputs as usize) * x.c().div_ceil(self.inputs as usize);
        let unrolled = Unrolled::new(self, window, x.w().is_multiple_of(4));
        // A walker goes down a few neighbouring columns in one stretch of rows; stretches are as
        // long as leave work for every lane.
        let columns = dy.w() / unrolled.pixels as usize;
        let stretches = THREADS.div_ceil(dy.n() * columns).min(dy.h());
        let rows = dy.h().div_ceil(stretches);
        let walkers = dy.n() * columns * stretches;
        // Workgroups that share a tile: as many as the second pass may add.
        let splits = walkers.div_ceil(THREADS).min(PARTS / THREADS);
        let variant = window_variant(window)
            .constant("OUTPUTS", self.outputs)
            .constant("INPUTS", self.inputs)
            .constant("PIXELS", unrolled.pixels)
            .constant("SPLITS", splits as u32)
            .constant("STRETCHES", stretches as u32)
            .constant("ROWS", rows as u32)
            .flag_if("QUAD_ROWS", unrolled.row.quads)
            .flag_if("TEXTURE", self.texture)
            .snippet("declare", unrolled.declare())
            .snippet("offsets", unrolled.offsets())
            .snippet("warm", unrolled.warm())
            .snippet("slide", unrolled.slide())
            .snippet("collect", unrolled.collect());
        // Walkers beyond the last one and channels beyond the last one are clamped for reading
        // and contribute zero or are not written.
        Pass {
            path: "conv/weight_gradient_columns.wgsl",
            variant,
            groups: tiles * splits,
            parts: splits * THREADS,
            texture: self.texture,
            sum: Loads::Serial,
        }
    }
}

/// Generates the unrolled lines of one variant. `x{i}_{k}_{j}` holds column `j` of row `k` of the
/// window for input channel `i` of the tile.
struct Unrolled {
    tile: Columns,
    size: u32,
    /// Neighbouring pixels of a walker: 4 where rows are read by `vec4`, else 1.
    pixels: u32,
    row: Row,
}

impl Unrolled {
    fn new(tile: Columns, window: Window, quads: bool) -> Self {
        let size = window.size as u32;
        let pixels = if quads { 4 } else { 1 };
        Unrolled {
            tile,
            size,
            pixels,
            row: Row {
                columns: pixels + size - 1,
                origin: -(window.radius() as i32),
                quads,
                padding: window.padding,
            },
        }
    }

    /// Accumulators and the window.
    fn declare(&self) -> String {
        let mut text = String::new();
        for o in 0..self.tile.outputs {
            for i in 0..self.tile.inputs {
                for t in 0..self.size * self.size {
                    let _ = write!(text, "var a{o}_{i}_{t} = 0.0; ");
                }
            }
            text.push('\n');
        }
        for i in 0..self.tile.inputs {
            for k in 0..self.size {
                for j in 0..self.row.columns {
                    let _ = write!(text, "var x{i}_{k}_{j} = 0.0; ");
                }
            }
            text.push('\n');
        }
        text
    }

    /// Where each channel of the tile begins, clamped to the last one.
    fn offsets(&self) -> String {
        let mut text = String::new();
        for i in 0..self.tile.inputs {
            let _ = writeln!(
                text,
                "let input{i} = (n * params.c + min(c + {i}u, params.c - 1u)) * params.h * params.w;"
            );
        }
        for o in 0..self.tile.outputs {
            let _ = writeln!(
                text,
                "let output{o} = (n * params.oc + min(o + {o}u, params.oc - 1u)) * params.oh * params.ow;"
            );
        }
        self.row.declare("i32(column)", &mut text);
        text
    }

    /// The rows above the first output row: row k of its window lies one row lower than in the
    /// loop, which shifts before it loads.
    fn warm(&self) -> String {
        let mut text = String::new();
        for k in 0..self.size - 1 {
            text.push_str("{\n");
            self.load(k + 1, &format!("i32(top) + params.origin + {k}"), &mut text);
            text.push_str("}\n");
        }
        text
    }

    /// Loads row `k` of the window from image row `row`.
    fn load(&self, k: u32, row: &str, text: &mut String) {
        self.row.declare_line(k, row, text);
        for i in 0..self.tile.inputs {
            let start = format!("input{i} + line{k}");
            (self.row).load(k, &start, "", &format!("x{i}_{k}_"), text);
        }
    }

    /// One output row: shift the window, load its last row, accumulate.
    fn slide(&self) -> String {
        let (size, last) = (self.size, self.size - 1);
        let mut text = String::new();
        for i in 0..self.tile.inputs {
            for k in 0..last {
                for j in 0..self.row.columns {
                    let _ = writeln!(text, "x{i}_{k}_{j} = x{i}_{}_{j};", k + 1);
                }
            }
        }
        self.load(last, &format!("i32(y) + params.origin + {last}"), &mut text);
        for o in 0..self.tile.outputs {
            let place = format!("output{o} + y * params.ow + column");
            let _ = if self.row.quads {
                writeln!(
                    text,
                    "let d{o} = select(vec4<f32>(), dy_quad(({place}) / 4u), visited);"
                )
            } else {
                writeln!(text, "let d{o} = select(0.0, dy_number({place}), visited);")
            };
            for p in 0..self.pixels {
                let d = if self.row.quads {
                    format!("d{o}.{}", COMPONENTS[p as usize])
                } else {
                    format!("d{o}")
                };
                for i in 0..self.tile.inputs {
                    for t in 0..size * size {
                        let (k, j) = (t / size, t % size + p);
                        let _ =
                            writeln!(text, "a{o}_{i}_{t} = fma({d}, x{i}_{k}_{j}, a{o}_{i}_{t});");
                    }
                }
            }
        }
        text
    }

    /// The accumulators as one array.
    fn collect(&self) -> String {
        let (outputs, inputs, taps) = (self.tile.outputs, self.tile.inputs, self.size * self.size);
        let names: Vec<String> = (0..outputs)
            .flat_map(|o| {
                (0..inputs).flat_map(move |i| (0..taps).map(move |t| format!("a{o}_{i}_{t}")))
            })
            .collect();
        let count = names.len();
        format!("var values = array<f32, {count}>({});\n", names.join(", "))
    }
}
