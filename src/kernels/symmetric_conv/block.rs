//! The symmetric convolution in blocks through workgroup memory, for hardware adapters: what a
//! thread of [`Block`] does with an input field, and one of [`WeightBlock`] with a pair of fields.

use super::tile::{nodes, synthesise};
use crate::group::SymmetricTable;
use crate::kernels::conv2d::{Block, BlockTurn, Pair, Pass, WeightBlock};
use crate::shape::{Shape, Window};
use std::fmt::Write;

/// Output channels of a thread.
pub(super) const CHANNELS: u32 = 8;

/// Output fields of `size` channels that a thread takes, if whole ones fill its channels.
fn fields(size: usize) -> Option<u32> {
    let size = size as u32;
    CHANNELS.is_multiple_of(size).then(|| CHANNELS / size)
}

/// Numbers that an output field of a thread takes in the packed weights of an input field: as many as
/// there are, or a few more, so that the thread's share begins at a `vec4`.
pub(super) fn stride(table: &SymmetricTable, fields: u32) -> u32 {
    let mut stride = table.weights as u32;
    while !(stride * fields).is_multiple_of(4) {
        stride += 1;
    }
    stride
}

/// Whether `block` has room for fields of `sizes` (output, input) channels.
pub(super) fn takes(
    block: Block,
    table: &SymmetricTable,
    window: Window,
    [output, input]: [usize; 2],
) -> bool {
    fields(output)
        .is_some_and(|fields| block.has_room(window, input as u32, stride(table, fields) * fields))
}

/// The turn of a block for fields of `sizes` (output, input) channels that it has room for.
pub(super) fn turn(block: Block, table: &SymmetricTable, [output, input]: [usize; 2]) -> BlockTurn {
    let fields = CHANNELS / output as u32;
    let stride = stride(table, fields);
    let quads = block.pixels / 4;
    let mut text = String::new();
    for v in 0..stride * fields / 4 {
        let _ = writeln!(text, "let v{v} = weights[weight + {v}u];");
    }
    for q in 0..quads {
        let pixels = |l: &crate::group::Load| format!("t{}_{}_{}_{q}", l.channel, l.row, l.column);
        nodes(table, q, pixels, &mut text);
        for f in 0..fields {
            for t in &table.terms {
                let a = f as usize * table.components + t.component;
                let k = f * stride + t.weight as u32;
                let sign = if t.minus { "-" } else { "" };
                let _ = writeln!(
                    text,
                    "a{a}_{q} = fma(vec4(v{}[{}]), {sign}u{q}_{}, a{a}_{q});",
                    k / 4,
                    k % 4,
                    t.node
                );
            }
        }
    }
    BlockTurn {
        size: input as u32,
        share: stride * fields,
        stride: stride * fields,
        accumulate: text,
        collect: synthesise(table, fields, quads),
    }
}

/// The first pass of the weight gradient for fields of `sizes` (output, input) channels.
pub(super) fn weight_pass(
    block: WeightBlock,
    table: &SymmetricTable,
    [x, dy]: [Shape; 2],
    window: Window,
    sizes: [usize; 2],
) -> Pass {
    let [output, input] = sizes.map(|s| s as u32);
    let pair = Pair {
        sizes: [output, input],
        weights: table.weights as u32,
        products: &|p, fields, text| products(table, output, p, fields, text),
    };
    block.pass(x, dy, window, &pair)
}

/// What pixel `p` adds to the gradients of `fields` output fields of `size` channels.
fn products(table: &SymmetricTable, size: u32, p: u32, fields: u32, text: &mut String) {
    let pixels =
        |l: &crate::group::Load| format!("x{}_{}_{}", l.channel, l.row, p as usize + l.column);
    nodes(table, p, pixels, text);
    for f in 0..fields {
        text.push_str("{\n");
        for c in 0..size {
            let channel = f * size + c;
            let _ = writeln!(text, "var d{c} = y{p}_{}[{}];", channel / 4, channel % 4);
        }
        // The transpose of the synthesis: its stages backwards.
        for &[a, b] in table.synthesis.iter().rev() {
            let _ = writeln!(
                text,
                "{{ let s = d{a} + d{b}; let d = d{a} - d{b}; d{a} = s; d{b} = d; }}"
            );
        }
        for t in &table.terms {
            let sign = if t.minus { "-" } else { "" };
            let _ = writeln!(
                text,
                "a{f}_{} = fma({sign}u{p}_{}, d{}, a{f}_{});",
                t.weight, t.node, t.component, t.weight
            );
        }
        text.push_str("}\n");
    }
}
