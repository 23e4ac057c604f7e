//! Changes of basis for every pair of fields: packing, expanding, and the transposes.

use crate::kernels::{Launch, Slot};
use crate::shader::{Variant, params};
use std::fmt::Write;

params! {
    /// Uniform of `conv/change.wgsl`.
    pub struct ChangeParams {
        /// Output fields that are written.
        pub outputs: u32,
        /// Output fields that there are.
        pub valid: u32,
        pub inputs: u32,
        pub pad0: u32,
    }
}

/// Where the numbers of a pair of fields stand.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Layout {
    /// One pair after another: output field, input field, number.
    Pairs,
    /// The same with the fields exchanged.
    Exchanged,
    /// Blocks of `fields` output fields: block, input field, field of the block, number; each block
    /// and input field takes `turn` numbers, and a field of it `stride`.
    Packed {
        /// Fields of a block.
        fields: u32,
        /// Numbers that a block takes for an input field.
        turn: u32,
        /// Numbers that a field of the block takes of them.
        stride: u32,
    },
    /// An ordinary kernel `O I k k` with these channels of a field: the number is output channel,
    /// input channel, tap.
    Kernel {
        /// Channels of an output field.
        outputs: u32,
        /// Channels of an input field.
        inputs: u32,
        /// Taps of the kernel.
        taps: u32,
    },
}

impl Layout {
    /// The place of number `k` of the `count` numbers of a pair, as WGSL with the fields' numbers `o`
    /// and `i` in scope.
    fn wgsl(self, k: u32, count: u32) -> String {
        match self {
            Layout::Pairs => format!("(o * params.inputs + i) * {count}u + {k}u"),
            Layout::Exchanged => format!("(i * params.valid + o) * {count}u + {k}u"),
            Layout::Packed {
                fields,
                turn,
                stride,
            } => format!(
                "(o / {fields}u * params.inputs + i) * {turn}u + o % {fields}u * {stride}u + {k}u"
            ),
            Layout::Kernel {
                outputs,
                inputs,
                taps,
            } => {
                let (row, column, tap) = (k / (inputs * taps), k / taps % inputs, k % taps);
                format!(
                    "((o * {outputs}u + {row}u) * params.inputs * {inputs}u + i * {inputs}u + {column}u) * {taps}u + {tap}u"
                )
            }
        }
    }
}

/// A change of basis: `matrix` has a row for each result of a pair and a column for each source.
pub(super) struct Change<'a> {
    pub matrix: &'a [f64],
    pub sources: usize,
    pub from: Layout,
    pub to: Layout,
    /// Output fields that are written, that there are, and input fields.
    pub fields: [usize; 3],
}

impl Change<'_> {
    pub(super) fn launch(&self, source: Slot, result: Slot) -> Launch {
        let results = self.matrix.len() / self.sources;
        let [outputs, valid, inputs] = self.fields;
        let params = ChangeParams {
            outputs: outputs as u32,
            valid: valid as u32,
            inputs: inputs as u32,
            pad0: 0,
        };
        let pairs = outputs * inputs;
        let nonzero = self.matrix.iter().filter(|&&m| m != 0.0).count();
        Launch::new(
            "conv/change.wgsl",
            &params,
            vec![("source", source), ("result", result)],
            pairs.div_ceil(64) as u64,
        )
        .variant(
            Variant::new()
                .snippet("places", self.places(results))
                .snippet("combine", self.combine()),
        )
        .work(
            (2 * nonzero * pairs) as u64,
            (4 * (self.sources + results) * pairs) as u64,
        )
    }

    /// The functions that find a pair's first numbers; the further ones follow at fixed steps only
    /// in some layouts, so each number has its own expression.
    fn places(&self, results: usize) -> String {
        let mut text = String::new();
        for (name, layout, count) in [
            ("source", self.from, self.sources),
            ("result", self.to, results),
        ] {
            for k in 0..count {
                let place = layout.wgsl(k as u32, count as u32);
                let _ = writeln!(
                    text,
                    "fn {name}_at{k}(o: u32, i: u32) -> u32 {{ return {place}; }}"
                );
            }
        }
        text
    }

    /// Loads, combinations and stores.
    fn combine(&self) -> String {
        let mut text = String::new();
        for k in 0..self.sources {
            let _ = writeln!(text, "let s{k} = source[source_at{k}(known, i)];");
        }
        for (k, row) in self.matrix.chunks(self.sources).enumerate() {
            let _ = writeln!(text, "var r{k} = 0.0;");
            for (j, &m) in row.iter().enumerate().filter(|(_, m)| **m != 0.0) {
                let _ = writeln!(text, "r{k} = fma({:?}f, s{j}, r{k});", m as f32);
            }
            let _ = writeln!(
                text,
                "result[result_at{k}(o, i)] = select(0.0, r{k}, valid);"
            );
        }
        text
    }
}

/// The transpose of a matrix with `columns` columns.
pub(super) fn transpose(matrix: &[f64], columns: usize) -> Vec<f64> {
    (0..columns)
        .flat_map(|c| matrix.iter().skip(c).step_by(columns).copied())
        .collect()
}
