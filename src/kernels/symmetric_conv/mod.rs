//! Symmetric convolution: forward, input gradient and weight gradient in the Fourier domain of the
//! group ([`SymmetricTable`]), or by way of the expanded kernel.

mod algorithm;
mod change;
mod lanes;
mod tile;

use super::chain::Chain;
use super::conv2d::{self, CLAMPED, ConvParams, Dense, Origin};
use super::reduce::{Reduction, reduce_from};
use super::{Launch, Lowered, Slot};
use crate::gpu::Texture;
use crate::group::{SymmetricConv, SymmetricTable};
use crate::shape::Shape;
pub use algorithm::{
    SymmetricAlgorithm, SymmetricImageProblem, SymmetricProblem, SymmetricWeightAlgorithm,
};
use change::{Change, Layout, transpose};
pub use lanes::SymmetricLanes;
pub use tile::SymmetricTile;

/// Channels of an output and of an input field.
fn sizes(conv: &SymmetricConv) -> [usize; 2] {
    let group = conv.group();
    [conv.output().size(group), conv.input().size(group)]
}

/// The shape of the expanded kernel for the weight `w` (1 FO FI B).
pub fn expanded(conv: &SymmetricConv, w: Shape) -> Shape {
    let [outputs, inputs] = sizes(conv);
    let size = conv.window().size;
    Shape::new(w.c() * outputs, w.h() * inputs, size, size)
}

/// `chain(symmetric_conv(x, w))`: inputs are `x`, `w`, then the chain's operands.
pub fn forward(
    conv: &SymmetricConv,
    x: Shape,
    w: Shape,
    chain: &Chain,
    algorithm: SymmetricAlgorithm,
) -> Lowered {
    let tile = match algorithm {
        SymmetricAlgorithm::Fourier(tile) => tile,
        SymmetricAlgorithm::Expanded(dense) => {
            let kernel = expanded(conv, w);
            let lowered = conv2d::forward(x, kernel, conv.window(), chain, dense);
            return with_expanded_kernel(conv, w, lowered);
        }
    };
    let table = SymmetricTable::new(conv);
    let [size, channels] = sizes(conv);
    let (fields, tile) = tile.fitted(w.c(), size);
    let mut lowered = Lowered::default();
    let (packed, packed_bytes) = pack(&table, w, Layout::Pairs, fields, &mut lowered);
    let output = conv.window().output(x, w.c() * size);
    let origin = -(conv.window().radius() as i32);
    let origin = Origin {
        row: origin,
        column: origin,
    };
    let dense = Dense {
        x,
        output,
        origin,
        window: conv.window(),
        chain,
        source: Slot::Input(0),
        result: Slot::Output,
        kernels: false,
    };
    let body = |reader: &_| tile::body(&table, fields, tile, channels, reader);
    let work = (flops(&table, w, output), dense.bytes() + packed_bytes);
    tile.lower_body(&dense, (packed, packed_bytes), body, work, &mut lowered);
    lowered
}

/// `chain(symmetric_conv_input_gradient(dy, w))`, of shape `x`: inputs are `dy`, `w`, then the
/// chain's operands.
pub fn input_gradient(
    conv: &SymmetricConv,
    dy: Shape,
    w: Shape,
    x: Shape,
    chain: &Chain,
    algorithm: SymmetricAlgorithm,
) -> Lowered {
    let tile = match algorithm {
        SymmetricAlgorithm::Fourier(tile) => tile,
        SymmetricAlgorithm::Expanded(dense) => {
            let kernel = expanded(conv, w);
            let lowered = conv2d::input_gradient(dy, kernel, conv.window(), x, chain, dense);
            return with_expanded_kernel(conv, w, lowered);
        }
    };
    let turned = conv.transposed();
    let table = SymmetricTable::new(&turned);
    let [size, channels] = sizes(&turned);
    let exchanged = Shape::new(1, w.h(), w.c(), w.w());
    let (fields, tile) = tile.fitted(exchanged.c(), size);
    let mut lowered = Lowered::default();
    let (packed, packed_bytes) = pack(&table, exchanged, Layout::Exchanged, fields, &mut lowered);
    let flops = flops(&table, exchanged, dy);
    conv2d::transposed(
        dy,
        x,
        conv.window(),
        chain,
        &mut lowered,
        |dense, lowered| {
            let body = |reader: &_| tile::body(&table, fields, tile, channels, reader);
            let work = (flops, dense.bytes() + packed_bytes);
            tile.lower_body(dense, (packed.clone(), packed_bytes), body, work, lowered);
        },
    );
    lowered
}

/// `symmetric_conv_weight_gradient(x, dy)`, of the shape of `w`.
pub fn weight_gradient(
    conv: &SymmetricConv,
    x: Shape,
    dy: Shape,
    w: Shape,
    algorithm: SymmetricWeightAlgorithm,
) -> Lowered {
    let [output_size, input_size] = sizes(conv);
    let fields = [w.c(), w.c(), w.h()];
    let lanes = match algorithm {
        SymmetricWeightAlgorithm::Fourier(lanes) if x.w().is_multiple_of(4) => lanes,
        other => {
            let kernel = expanded(conv, w);
            let dense = conv2d::weight_gradient(x, dy, conv.window(), other.dense());
            let (mut lowered, dense) = dense.into_scratch(kernel.bytes());
            let elements = expansion(conv);
            let change = Change {
                matrix: &transpose(&elements, conv.basis().len()),
                sources: elements.len() / conv.basis().len(),
                from: kernel_layout(conv),
                to: Layout::Pairs,
                fields,
            };
            lowered.launches.push(change.launch(dense, Slot::Output));
            return lowered;
        }
    };
    let table = SymmetricTable::new(conv);
    let fits = Texture::holds(x.bytes()) && Texture::holds(dy.bytes());
    let lanes = SymmetricLanes {
        texture: lanes.texture && fits,
        ..lanes
    };
    let pass = lanes.pass(&table, x, dy, conv.window(), [output_size, input_size]);
    let [image, gradient] = [0, 1].map(|k| match lanes.texture {
        true => Slot::Input(k).through_texture(),
        false => Slot::Input(k),
    });
    let count = w.c() * w.h() * table.weights;
    let parts = Shape::new(1, 1, pass.parts, count);
    let partial = Slot::Scratch(0);
    let bindings = vec![("x", image), ("dy", gradient), ("partial", partial.clone())];
    let mut first = Launch::new(
        "conv/symmetric_weight_gradient.wgsl",
        &ConvParams::new(x, dy, -(conv.window().radius() as i32)),
        bindings,
        pass.groups as u64,
    )
    .variant(pass.variant)
    .work(flops(&table, w, dy), x.bytes() + dy.bytes() + parts.bytes());
    // Tasks and fields beyond the last one are clamped for reading and not written; rows beyond
    // the last one are clamped and contribute zero.
    first.trust = CLAMPED;
    let sum = reduce_from(Reduction::Sum, parts, Shape::vector(count), partial);
    let mut lowered = Lowered {
        launches: vec![first],
        scratch: vec![parts.bytes()],
    };
    lowered.launches.extend(sum.launches);
    let (mut lowered, packed) = lowered.into_scratch(4 * count as u64);
    let change = Change {
        matrix: &transpose(&table.change, conv.basis().len()),
        sources: table.weights,
        from: Layout::Pairs,
        to: Layout::Pairs,
        fields,
    };
    lowered.launches.push(change.launch(packed, Slot::Output));
    lowered
}

/// Multiply-adds of the products in the Fourier domain count two; additions of the transforms do
/// not count.
fn flops(table: &SymmetricTable, w: Shape, output: Shape) -> u64 {
    let pixels = output.n() * output.h() * output.w();
    (2 * table.products() * w.c() * w.h() * pixels) as u64
}

/// Packs the weight `w` (of the convolution that will read it) for threads of `fields` output
/// fields; returns where, and the bytes.
fn pack(
    table: &SymmetricTable,
    w: Shape,
    from: Layout,
    fields: u32,
    lowered: &mut Lowered,
) -> (Slot, u64) {
    let turn = tile::turn(table, fields);
    let blocks = w.c().div_ceil(fields as usize);
    let bytes = 4 * (blocks * w.h()) as u64 * u64::from(turn);
    lowered.scratch.push(bytes);
    let packed = Slot::Scratch(lowered.scratch.len() - 1);
    let change = Change {
        matrix: &table.change,
        sources: w.w(),
        from,
        to: Layout::Packed { fields, turn },
        fields: [blocks * fields as usize, w.c(), w.h()],
    };
    (lowered.launches).push(change.launch(Slot::Input(1), packed.clone()));
    (packed, bytes)
}

/// The expansion of the coefficients: a row for each entry of a pair's kernel, `out in k k`.
fn expansion(conv: &SymmetricConv) -> Vec<f64> {
    let elements = conv.basis().elements();
    transpose(elements, elements.len() / conv.basis().len())
}

fn kernel_layout(conv: &SymmetricConv) -> Layout {
    let [outputs, inputs] = sizes(conv).map(|s| s as u32);
    let taps = (conv.window().size * conv.window().size) as u32;
    Layout::Kernel {
        outputs,
        inputs,
        taps,
    }
}

/// `lowered`, a dense convolution, with the expanded kernel of the weight in place of its own.
fn with_expanded_kernel(conv: &SymmetricConv, w: Shape, lowered: Lowered) -> Lowered {
    let kernel = Slot::Scratch(lowered.scratch.len());
    let mut lowered = lowered.map_slots(|slot| match slot {
        Slot::Input(1) => kernel.clone(),
        other => other,
    });
    lowered.scratch.push(expanded(conv, w).bytes());
    let matrix = expansion(conv);
    let change = Change {
        matrix: &matrix,
        sources: conv.basis().len(),
        from: Layout::Pairs,
        to: kernel_layout(conv),
        fields: [w.c(), w.c(), w.h()],
    };
    lowered
        .launches
        .insert(0, change.launch(Slot::Input(1), kernel));
    lowered
}
