//! Matrix products of moderate size: kernel bases, filters, small dense operators.

use super::{Launch, Lowered, Slot};
use crate::shader::params;
use crate::shape::Shape;

params! {
    /// Uniform of `linalg/matmul.wgsl`.
    pub struct MatmulParams {
        pub rows: u32,
        pub columns: u32,
        pub inner: u32,
        pub channels: u32,
        /// Element strides: batch, channel, row, inner index.
        pub a_strides: [u32; 4],
        /// Element strides: batch, channel, inner index, column.
        pub b_strides: [u32; 4],
        pub batches: u32,
        pub pad0: u32,
        pub pad1: u32,
        pub pad2: u32,
    }
}

/// `op(a) op(b)` over the last two axes; the first two broadcast.
pub fn matmul(a: Shape, b: Shape, transpose_a: bool, transpose_b: bool, output: Shape) -> Lowered {
    let strides = |s: Shape, transposed: bool| {
        let [n, c, h, w] = s.strides().map(|s| s as u32);
        let n = if s.n() == 1 { 0 } else { n };
        let c = if s.c() == 1 { 0 } else { c };
        if transposed {
            [n, c, w, h]
        } else {
            [n, c, h, w]
        }
    };
    let inner = if transpose_a { a.h() } else { a.w() };
    let params = MatmulParams {
        rows: output.h() as u32,
        columns: output.w() as u32,
        inner: inner as u32,
        channels: output.c() as u32,
        a_strides: strides(a, transpose_a),
        b_strides: strides(b, transpose_b),
        batches: (output.n() * output.c()) as u32,
        pad0: 0,
        pad1: 0,
        pad2: 0,
    };
    let tiles = output.h().div_ceil(4) * output.w().div_ceil(4) * output.n() * output.c();
    Launch::new(
        "linalg/matmul.wgsl",
        &params,
        vec![
            ("a", Slot::Input(0)),
            ("b", Slot::Input(1)),
            ("result", Slot::Output),
        ],
        (tiles as u64).div_ceil(64),
    )
    .work(
        (2 * output.elements() * inner) as u64,
        a.bytes() + b.bytes() + output.bytes(),
    )
    .into()
}
