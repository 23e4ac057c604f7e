//! The weight gradient of a symmetric convolution by lanes: each lane of a subgroup holds one input
//! field and a few output fields.

use super::tile::nodes;
use crate::group::SymmetricTable;
use crate::kernels::Capabilities;
use crate::kernels::conv2d::{PARTS, Pass, THREADS, Walk, window_variant};
use crate::kernels::reduce::Loads;
use crate::shape::{Shape, Window};
use std::fmt::Write;

/// The shape of a subgroup's work.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SymmetricLanes {
    /// Lanes of a subgroup: input fields.
    pub lanes: u32,
    /// Gradients that a lane holds, which decide how many output fields it takes.
    pub accumulators: u32,
    /// Image rows of a walk.
    pub rows: u32,
    /// Image and gradient are read through textures, if they fit into one.
    pub texture: bool,
}

impl std::fmt::Display for SymmetricLanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let SymmetricLanes {
            lanes,
            accumulators,
            rows,
            ..
        } = self;
        write!(f, "fourier lanes {lanes}x{accumulators}x{rows}")?;
        f.write_str(if self.texture { " texture" } else { "" })
    }
}

impl SymmetricLanes {
    /// A sensible start, where the adapter has subgroups.
    pub fn default_for(capabilities: Capabilities) -> Option<Self> {
        let lanes = (capabilities.subgroup).filter(|s| (4..=THREADS as u32).contains(s))?;
        Some(SymmetricLanes {
            lanes,
            accumulators: 144,
            rows: 4,
            texture: capabilities.software,
        })
    }

    /// The first pass for fields of `sizes` (output, input) channels.
    pub(super) fn pass(
        self,
        table: &SymmetricTable,
        x: Shape,
        dy: Shape,
        window: Window,
        sizes: [usize; 2],
    ) -> Pass {
        let [outputs, inputs] = [dy.c() / sizes[0], x.c() / sizes[1]];
        let most = (self.accumulators as usize / table.weights).clamp(1, outputs);
        let fields = outputs.div_ceil(outputs.div_ceil(most));
        let tiles = outputs.div_ceil(fields) * inputs.div_ceil(self.lanes as usize);
        let bands = dy.n() * dy.h().div_ceil(self.rows as usize);
        // Subgroups that share a tile: as many as the second pass may add. Each takes every
        // `splits`-th band.
        let splits = bands.min(PARTS);
        let unrolled = Unrolled {
            table,
            lanes: self.lanes,
            rows: self.rows,
            fields: fields as u32,
            output_size: sizes[0] as u32,
            walk: Walk {
                window,
                channels: sizes[1] as u32,
                rows: self.rows + window.size as u32 - 1,
            },
        };
        let variant = window_variant(window)
            .constant("SUBGROUP_LANES", self.lanes)
            .constant("FIELDS", fields as u32)
            .constant("ROWS", self.rows)
            .constant("SPLITS", splits as u32)
            .constant("WEIGHTS", table.weights as u32)
            .constant("OUTPUT_SIZE", sizes[0] as u32)
            .constant("INPUT_SIZE", sizes[1] as u32)
            .flag("QUAD_ROWS")
            .flag_if("TEXTURE", self.texture)
            .snippet("declare", unrolled.declare())
            .snippet("start", unrolled.start())
            .snippet("slide", unrolled.slide())
            .snippet("add", unrolled.add())
            .snippet("collect", unrolled.collect());
        // Tasks and fields beyond the last one are clamped for reading and not written; rows beyond
        // the last one are clamped and contribute zero.
        Pass {
            path: "conv/symmetric_weight_gradient.wgsl",
            variant,
            groups: (tiles * splits).div_ceil(THREADS / self.lanes as usize),
            parts: splits,
            texture: self.texture,
            sum: Loads::Serial,
        }
    }
}

/// Generates the unrolled lines of one variant. A lane loads and transforms the gradients of some
/// of the tile's output fields and rows, which are then broadcast: item `L G + l` is the `l`-th
/// lane's in group `G`, and `yG_C` its component `C`.
struct Unrolled<'a> {
    table: &'a SymmetricTable,
    lanes: u32,
    rows: u32,
    fields: u32,
    output_size: u32,
    walk: Walk,
}

impl Unrolled<'_> {
    fn items(&self) -> u32 {
        self.fields * self.rows
    }

    fn groups(&self) -> u32 {
        self.items().div_ceil(self.lanes)
    }

    fn weights(&self) -> usize {
        self.table.weights
    }

    /// Accumulators of a band and of all bands, and the window.
    fn declare(&self) -> String {
        let mut text = String::new();
        for f in 0..self.fields {
            for k in 0..self.weights() {
                let _ = write!(text, "var a{f}_{k} = 0.0; var s{f}_{k} = 0.0; ");
            }
            text.push('\n');
        }
        (self.walk).declare(|g| format!("field + {g}u"), &mut text);
        for g in 0..self.groups() {
            let _ = writeln!(
                text,
                "let item{g} = min({}u + sublane, {}u);",
                g * self.lanes,
                self.items() - 1
            );
            let _ = writeln!(text, "let own{g} = o + item{g} / ROWS;");
        }
        text
    }

    /// The first quads of a band.
    fn start(&self) -> String {
        let mut text = String::new();
        self.walk.start(&mut text);
        for g in 0..self.groups() {
            let _ = writeln!(text, "let row{g} = top + item{g} % ROWS;");
            let _ = writeln!(
                text,
                "let counts{g} = visited && own{g} < outputs && row{g} < params.oh;"
            );
            let _ = writeln!(
                text,
                "let output{g} = ((n * outputs + min(own{g}, outputs - 1u)) * OUTPUT_SIZE * params.oh + min(row{g}, params.oh - 1u)) * params.ow / 4u;"
            );
        }
        for f in 0..self.fields {
            for k in 0..self.weights() {
                let _ = write!(text, "a{f}_{k} = 0.0; ");
            }
            text.push('\n');
        }
        text
    }

    /// One quad column: load the next one, transform, accumulate, shift.
    fn slide(&self) -> String {
        let mut text = String::new();
        self.walk.look_ahead(&mut text);
        for g in 0..self.groups() {
            for c in 0..self.output_size {
                let _ = writeln!(
                    text,
                    "var y{g}_{c} = select(vec4<f32>(), dy_quad(output{g} + {c}u * params.oh * params.ow / 4u + u32(quad)), counts{g});"
                );
            }
            // The transpose of the synthesis: its stages backwards.
            for &[a, b] in self.table.synthesis.iter().rev() {
                let _ = writeln!(
                    text,
                    "{{ let s = y{g}_{a} + y{g}_{b}; let d = y{g}_{a} - y{g}_{b}; y{g}_{a} = s; y{g}_{b} = d; }}"
                );
            }
        }
        for r in 0..self.rows {
            let pixels = |l: &crate::group::Load| {
                let k = r + l.row as u32;
                let columns: Vec<String> = (0..4)
                    .map(|p| self.walk.column(l.channel as u32, k, l.column as u32 + p))
                    .collect();
                format!("vec4({})", columns.join(", "))
            };
            nodes(self.table, r, pixels, &mut text);
        }
        for f in 0..self.fields {
            for r in 0..self.rows {
                self.accumulate(f, r, &mut text);
            }
        }
        self.walk.advance(&mut text);
        text
    }

    /// Adds the current column's products for output field `f` of the tile and row `r`.
    fn accumulate(&self, f: u32, r: u32, text: &mut String) {
        let item = f * self.rows + r;
        let (g, lane) = (item / self.lanes, item % self.lanes);
        text.push_str("{\n");
        for c in 0..self.table.components {
            let _ = writeln!(text, "let d{c} = subgroupBroadcast(y{g}_{c}, {lane}u);");
        }
        for t in &self.table.terms {
            let sign = if t.minus { "-" } else { "" };
            for p in ['x', 'y', 'z', 'w'] {
                let _ = writeln!(
                    text,
                    "a{f}_{} = fma({sign}u{r}_{}.{p}, d{}.{p}, a{f}_{});",
                    t.weight, t.node, t.component, t.weight
                );
            }
        }
        text.push_str("}\n");
    }

    /// A band's sums are added to those before it: no sum of products is longer than a band.
    fn add(&self) -> String {
        let mut text = String::new();
        for f in 0..self.fields {
            for k in 0..self.weights() {
                let _ = write!(text, "s{f}_{k} += a{f}_{k}; ");
            }
            text.push('\n');
        }
        text
    }

    /// The sums as one array.
    fn collect(&self) -> String {
        let names: Vec<String> = (0..self.fields)
            .flat_map(|f| (0..self.weights()).map(move |k| format!("s{f}_{k}")))
            .collect();
        let count = names.len();
        format!("var values = array<f32, {count}>({});\n", names.join(", "))
    }
}
