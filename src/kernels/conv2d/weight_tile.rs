//! The register-tiled weight gradient: each thread holds the gradients of a few output and input
//! channels and walks down an image column with a sliding window; the threads' partial sums are
//! added in a second pass, so no atomics are needed.

use super::{CLAMPED, conv_params, window_variant};
use crate::kernels::reduce;
use crate::kernels::{Capabilities, Launch, Lowered, Slot};
use crate::shape::{Padding, Shape, Window};
use std::fmt::Write;

/// The shape of a thread's work.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WeightTile {
    /// Output channels of a thread.
    pub outputs: u32,
    /// Input channels of a thread.
    pub inputs: u32,
    /// With `Some(lanes)`, subgroups add their partial sums before they are written.
    pub subgroup: Option<u32>,
}

/// Threads of a workgroup: neighbouring image columns.
const LANES: usize = 64;
/// Partial sums that the second pass adds: bounds its rounding and the scratch memory.
const PARTS: usize = 64;

impl WeightTile {
    /// A sensible start.
    pub fn default_for(capabilities: Capabilities) -> Self {
        WeightTile {
            outputs: 8,
            inputs: 2,
            subgroup: capabilities
                .subgroup
                .filter(|&s| s >= 4 && s as usize <= LANES),
        }
    }

    pub(super) fn lower(
        self,
        x: Shape,
        dy: Shape,
        window: Window,
        flops: u64,
        bytes: u64,
    ) -> Lowered {
        let tiles = dy.c().div_ceil(self.outputs as usize) * x.c().div_ceil(self.inputs as usize);
        let per_group = LANES / self.subgroup.map_or(1, |s| s as usize);
        // Workgroups that share a tile: as many as the second pass may add.
        let splits = (dy.n() * dy.w().div_ceil(LANES)).min((PARTS / per_group).max(1));
        let parts = splits * per_group;
        let kernel = Shape::new(dy.c(), x.c(), window.size, window.size);
        let variant = window_variant(window)
            .constant("OUTPUTS", self.outputs)
            .constant("INPUTS", self.inputs)
            .constant("SPLITS", splits as u32)
            .constant("PARTS_PER_GROUP", per_group as u32)
            .flag_if("SUBGROUP", self.subgroup.is_some())
            .snippet("declare", self.declare(window))
            .snippet("offsets", self.offsets())
            .snippet("warm", self.warm(window))
            .snippet("slide", self.slide(window))
            .snippet("collect", self.collect(window));
        let partial = Slot::Scratch(0);
        let mut lowered = Lowered {
            launches: Vec::new(),
            scratch: vec![parts as u64 * kernel.bytes()],
        };
        let bindings = vec![
            ("x", Slot::Input(0)),
            ("dy", Slot::Input(1)),
            ("partial", partial.clone()),
        ];
        let mut launch = Launch::new(
            "conv/weight_gradient_tiled.wgsl",
            &conv_params(x, dy, -(window.radius() as i32)),
            bindings,
            (tiles * splits) as u64,
        )
        .variant(variant)
        .work(flops, bytes);
        // Lanes beyond the last column and channels beyond the last one are clamped for reading
        // and contribute zero or are not written.
        launch.trust = CLAMPED;
        lowered.launches.push(launch);
        let count = kernel.elements();
        let sum = reduce::reduce_from(
            reduce::Reduction::Sum,
            Shape::new(1, 1, parts, count),
            Shape::vector(count),
            partial,
        );
        lowered.launches.extend(sum.launches);
        lowered
    }

    fn declare(self, window: Window) -> String {
        let mut text = String::new();
        for o in 0..self.outputs {
            for i in 0..self.inputs {
                for t in 0..window.size * window.size {
                    let _ = write!(text, "var a{o}_{i}_{t} = 0.0; ");
                }
            }
            text.push('\n');
        }
        for i in 0..self.inputs {
            for t in 0..window.size * window.size {
                let _ = write!(text, "var x{i}_{t} = 0.0; ");
            }
            text.push('\n');
        }
        text
    }

    /// Where each channel of the tile begins, clamped to the last one.
    fn offsets(self) -> String {
        let mut text = String::new();
        for i in 0..self.inputs {
            let _ = writeln!(
                text,
                "let input{i} = (n * params.c + min(c + {i}u, params.c - 1u)) * params.h * params.w;"
            );
        }
        for o in 0..self.outputs {
            let _ = writeln!(
                text,
                "let output{o} = (n * params.oc + min(o + {o}u, params.oc - 1u)) * params.oh * params.ow;"
            );
        }
        text
    }

    /// The offsets of a column's neighbours, and the rows above the first output row.
    fn warm(self, window: Window) -> String {
        let mut text = String::new();
        for j in 0..window.size {
            let _ = writeln!(
                text,
                "let column{j} = u32(resolve(i32(column) + params.origin + {j}, i32(params.w)));"
            );
            if window.padding == Padding::Zero {
                let _ = writeln!(
                    text,
                    "let inside{j} = inside(i32(column) + params.origin + {j}, i32(params.w));"
                );
            }
        }
        for k in 0..window.size - 1 {
            let _ = writeln!(text, "{{");
            let _ = writeln!(text, "let row = params.origin + {k};");
            text.push_str(&self.load(window, k));
            text.push_str("}\n");
        }
        text
    }

    /// Loads row `k` of the window from image row `row`.
    fn load(self, window: Window, k: usize) -> String {
        let size = window.size;
        let mut text = String::from("let line = u32(resolve(row, i32(params.h))) * params.w;\n");
        if window.padding == Padding::Zero {
            text.push_str("let visible = inside(row, i32(params.h));\n");
        }
        for i in 0..self.inputs {
            for j in 0..size {
                let load = format!("x[input{i} + line + column{j}]");
                let load = match window.padding {
                    Padding::Zero => format!("select(0.0, {load}, visible && inside{j})"),
                    _ => load,
                };
                let _ = writeln!(text, "x{i}_{} = {load};", k * size + j);
            }
        }
        text
    }

    /// `size` output rows from `y`: the window's rows take turns, so nothing is shifted, and a
    /// turn of the loop does enough work to pay for storing every accumulator at its end (software
    /// adapters do that).
    fn slide(self, window: Window) -> String {
        let size = window.size;
        let mut text = String::new();
        for turn in 0..size {
            let _ = writeln!(text, "{{");
            let _ = writeln!(
                text,
                "let row = i32(y) + params.origin + {};",
                turn + size - 1
            );
            text.push_str(&self.load(window, (turn + size - 1) % size));
            let _ = writeln!(text, "let used = visited && y + {turn}u < params.oh;");
            let _ = writeln!(
                text,
                "let place = min(y + {turn}u, params.oh - 1u) * params.ow + column;"
            );
            for o in 0..self.outputs {
                let _ = writeln!(text, "let d{o} = select(0.0, dy[output{o} + place], used);");
                for i in 0..self.inputs {
                    for t in 0..size * size {
                        // Row t / size of the window lies in the registers that were loaded for it.
                        let held = (turn + t / size) % size * size + t % size;
                        let _ =
                            writeln!(text, "a{o}_{i}_{t} = fma(d{o}, x{i}_{held}, a{o}_{i}_{t});");
                    }
                }
            }
            text.push_str("}\n");
        }
        text
    }

    fn collect(self, window: Window) -> String {
        let taps = window.size * window.size;
        let mut names = Vec::new();
        for o in 0..self.outputs {
            for i in 0..self.inputs {
                for t in 0..taps {
                    names.push(match self.subgroup {
                        Some(_) => format!("subgroupAdd(a{o}_{i}_{t})"),
                        None => format!("a{o}_{i}_{t}"),
                    });
                }
            }
        }
        format!(
            "var values = array<f32, {}>({});\n",
            names.len(),
            names.join(", ")
        )
    }
}
