//! The window of a subgroup that walks along image rows, four columns at a time: what the weight
//! gradients by lanes share.
//!
//! A lane holds in `pG_K`, `xG_K` and `nG_K` the quads before, at and after the current column in row
//! `K` of the band, of its channel number `G`.

use super::row::COMPONENTS;
use crate::shape::{Padding, Window};
use std::fmt::Write;

/// Generates the lines that keep the window.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Walk {
    pub window: Window,
    /// Channels of a lane.
    pub channels: u32,
    /// Image rows of a band.
    pub rows: u32,
}

impl Walk {
    /// The window, and where in an image each channel of the lane begins: `channel(g)` is its
    /// number, in range.
    pub(in crate::kernels) fn declare(&self, channel: impl Fn(u32) -> String, text: &mut String) {
        for g in 0..self.channels {
            let number = channel(g);
            let _ = writeln!(text, "let channel{g} = ({number}) * params.h * params.w;");
            for k in 0..self.rows {
                let _ = write!(
                    text,
                    "var p{g}_{k} = vec4<f32>(); var x{g}_{k} = vec4<f32>(); "
                );
            }
            text.push('\n');
        }
    }

    /// The quad at quad column `column` (an `i32`) of row `k`, padding included.
    fn quad(&self, g: u32, k: u32, column: &str) -> String {
        let quads = "i32(params.w / 4u)";
        let place = format!("(channel{g} + line{k}) / 4u + u32(resolve({column}, {quads}))");
        match self.window.padding {
            Padding::Zero => {
                format!(
                    "select(vec4<f32>(), x_quad({place}), visible{k} && inside({column}, {quads}))"
                )
            }
            _ => format!("x_quad({place})"),
        }
    }

    /// The first quads of a band; `top` is its first output row, `item` the image.
    pub(in crate::kernels) fn start(&self, text: &mut String) {
        for k in 0..self.rows {
            let row = format!("i32(top) + params.origin + {k}");
            let _ = writeln!(
                text,
                "let line{k} = item + u32(resolve({row}, i32(params.h))) * params.w;"
            );
            if self.window.padding == Padding::Zero {
                let _ = writeln!(text, "let visible{k} = inside({row}, i32(params.h));");
            }
            for g in 0..self.channels {
                let _ = writeln!(text, "x{g}_{k} = {};", self.quad(g, k, "0"));
                let before = match self.window.padding {
                    Padding::Replicate => format!("vec4(x{g}_{k}.x)"),
                    _ => self.quad(g, k, "-1"),
                };
                let _ = writeln!(text, "p{g}_{k} = {before};");
            }
        }
    }

    /// Loads the quads after the current quad column, `quad`; `last` tells whether it is the last.
    pub(in crate::kernels) fn look_ahead(&self, text: &mut String) {
        debug_assert!(
            self.window.size <= 9,
            "a window reaches one quad beyond its own"
        );
        for g in 0..self.channels {
            for k in 0..self.rows {
                let _ = writeln!(text, "let after{g}_{k} = {};", self.quad(g, k, "quad + 1"));
                let next = match self.window.padding {
                    Padding::Replicate => {
                        format!("select(after{g}_{k}, vec4(x{g}_{k}.w), last)")
                    }
                    _ => format!("after{g}_{k}"),
                };
                let _ = writeln!(text, "let n{g}_{k} = {next};");
            }
        }
    }

    /// Column `j` of row `k`, counted from the first column of the window of the current quad's
    /// first pixel.
    pub(in crate::kernels) fn column(&self, g: u32, k: u32, j: u32) -> String {
        let column = j as i32 - self.window.radius() as i32;
        let quad = ["p", "x", "n"][(column.div_euclid(4) + 1) as usize];
        let component = COMPONENTS[column.rem_euclid(4) as usize];
        format!("{quad}{g}_{k}.{component}")
    }

    /// On to the next quad column.
    pub(in crate::kernels) fn advance(&self, text: &mut String) {
        for g in 0..self.channels {
            for k in 0..self.rows {
                let _ = writeln!(text, "p{g}_{k} = x{g}_{k}; x{g}_{k} = n{g}_{k};");
            }
        }
    }
}
