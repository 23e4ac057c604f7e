//! Reading a stretch of an image row, padding included: lines that both tiled kernels share.

use crate::shape::Padding;
use std::fmt::Write;

/// The components of a `vec4`, by number.
pub(super) const COMPONENTS: [char; 4] = ['x', 'y', 'z', 'w'];

/// A stretch of a row that begins `origin` columns from a column that is a multiple of 4.
///
/// On software adapters a load costs more than ten multiply-adds, nearly the same for a number as
/// for four: so rows are read by `vec4` where their length allows.
#[derive(Clone, Copy)]
pub(super) struct Row {
    /// Columns that are read.
    pub columns: u32,
    /// The first one.
    pub origin: i32,
    /// The row's length is a multiple of 4 and it is read by `vec4`.
    pub quads: bool,
    pub padding: Padding,
}

impl Row {
    /// The quad that column `j` lies in, and its place there.
    pub(super) fn quad(self, j: u32) -> (i32, usize) {
        let column = self.origin + j as i32;
        (column.div_euclid(4), column.rem_euclid(4) as usize)
    }

    /// The first and the number of the quads that are read.
    fn quad_range(self) -> (i32, i32) {
        let first = self.quad(0).0;
        (first, self.quad(self.columns - 1).0 - first + 1)
    }

    /// The places of the columns, for the image column `base` (an `i32`).
    pub(super) fn declare(self, base: &str, text: &mut String) {
        if self.quads {
            let (first, count) = self.quad_range();
            for k in 0..count {
                let quad = first + k;
                let _ = writeln!(
                    text,
                    "let place{k} = u32(resolve({base} / 4 + {quad}, i32(params.w) / 4));"
                );
            }
        }
        for j in 0..self.columns {
            let _ = writeln!(text, "let column{j} = {base} + {};", self.origin + j as i32);
            if !self.quads {
                let _ = writeln!(
                    text,
                    "let place{j} = u32(resolve(column{j}, i32(params.w)));"
                );
            }
            match self.padding {
                Padding::Zero => {
                    let _ = writeln!(text, "let inside{j} = inside(column{j}, i32(params.w));");
                }
                Padding::Replicate if self.quads => {
                    let _ = writeln!(text, "let before{j} = column{j} < 0;");
                    let _ = writeln!(text, "let behind{j} = column{j} >= i32(params.w);");
                }
                _ => {}
            }
        }
    }

    /// The offset `lineK` of image row `row` (an `i32`), and `visibleK`, whether it lies in the
    /// image, which zero padding asks.
    pub(super) fn declare_line(self, k: u32, row: &str, text: &mut String) {
        let _ = writeln!(
            text,
            "let line{k} = u32(resolve({row}, i32(params.h))) * params.w;"
        );
        if self.padding == Padding::Zero {
            let _ = writeln!(text, "let visible{k} = inside({row}, i32(params.h));");
        }
    }

    /// Sets `PREFIX0`, `PREFIX1`, ... to the columns of the row of `declare_line`'s number `k` that
    /// begins at element `start` of the image (`lib/image.wgsl`), a multiple of 4 for quads. `keyword` is `let ` to declare
    /// them.
    pub(super) fn load(self, k: u32, start: &str, keyword: &str, prefix: &str, text: &mut String) {
        let (first, count) = self.quad_range();
        if self.quads {
            for i in 0..count {
                let _ = writeln!(
                    text,
                    "let {prefix}q{i} = x_quad(({start}) / 4u + place{i});"
                );
            }
        }
        for j in 0..self.columns {
            let value = if self.quads {
                let (quad, component) = self.quad(j);
                let q = format!("{prefix}q{}", quad - first);
                let value = format!("{q}.{}", COMPONENTS[component]);
                match self.padding {
                    // A quad outside was clamped to the first or last one, which ends in the
                    // pixel that is repeated.
                    Padding::Replicate => {
                        format!("select(select({value}, {q}.w, behind{j}), {q}.x, before{j})")
                    }
                    _ => value,
                }
            } else {
                format!("x_number({start} + place{j})")
            };
            let value = match self.padding {
                Padding::Zero => format!("select(0.0, {value}, visible{k} && inside{j})"),
                _ => value,
            };
            let _ = writeln!(text, "{keyword}{prefix}{j} = {value};");
        }
    }
}
