//! Symmetric convolution: forward, input gradient and weight gradient in the Fourier domain of the
//! group ([`SymmetricTable`]), or by way of the expanded kernel.

mod algorithm;
mod block;
mod change;
mod lanes;
mod tile;

use super::chain::Chain;
use super::conv2d::{self, Block, Dense, Origin, Tile};
use super::{Lowered, Slot};
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
    if let SymmetricAlgorithm::Expanded(dense) = algorithm {
        let kernel = expanded(conv, w);
        let lowered = conv2d::forward(x, kernel, conv.window(), chain, dense);
        return with_expanded_kernel(conv, w, lowered);
    }
    let table = SymmetricTable::new(conv);
    let mut lowered = Lowered::default();
    let method = Method::new(algorithm, &table, conv, w.c());
    let packed = pack(
        &table,
        w,
        Layout::Pairs,
        method.layout(&table),
        &mut lowered,
    );
    let output = conv.window().output(x, w.c() * sizes(conv)[0]);
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
        folded: false,
    };
    method.lower(
        &dense,
        &table,
        packed,
        flops(&table, w, output),
        &mut lowered,
    );
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
    if let SymmetricAlgorithm::Expanded(dense) = algorithm {
        let kernel = expanded(conv, w);
        let lowered = conv2d::input_gradient(dy, kernel, conv.window(), x, chain, dense);
        return with_expanded_kernel(conv, w, lowered);
    }
    let turned = conv.transposed();
    let table = SymmetricTable::new(&turned);
    let exchanged = Shape::new(1, w.h(), w.c(), w.w());
    let mut lowered = Lowered::default();
    let method = Method::new(algorithm, &table, &turned, exchanged.c());
    let layout = method.layout(&table);
    let packed = pack(&table, exchanged, Layout::Exchanged, layout, &mut lowered);
    let flops = flops(&table, exchanged, dy);
    conv2d::transposed(
        dy,
        x,
        conv.window(),
        chain,
        true,
        &mut lowered,
        |dense, lowered| method.lower(dense, &table, packed.clone(), flops, lowered),
    );
    lowered
}

/// A way through the Fourier domain, for the fields of one layer.
enum Method {
    /// Register tiles of so many output fields to a thread.
    Tile(u32, Tile, [usize; 2]),
    /// Blocks, for fields of so many (output, input) channels.
    Block(Block, [usize; 2]),
}

impl Method {
    /// For `outputs` output fields.
    fn new(
        algorithm: SymmetricAlgorithm,
        table: &SymmetricTable,
        conv: &SymmetricConv,
        outputs: usize,
    ) -> Self {
        let sizes = sizes(conv);
        let tile = match algorithm {
            SymmetricAlgorithm::Block(block) => {
                let block = block.fitted(outputs * sizes[0]);
                if block::takes(block, table, conv.window(), sizes) {
                    return Method::Block(block, sizes);
                }
                SymmetricTile::PLAIN
            }
            SymmetricAlgorithm::Fourier(tile) => tile,
            SymmetricAlgorithm::Expanded(_) => unreachable!("it has no Fourier domain"),
        };
        let (fields, tile) = tile.fitted(outputs, sizes[0]);
        Method::Tile(fields, tile, sizes)
    }

    /// How it reads the packed weights.
    fn layout(&self, table: &SymmetricTable) -> Layout {
        match *self {
            Method::Tile(fields, ..) => Layout::Packed {
                fields,
                turn: tile::turn(table, fields),
                stride: table.weights as u32,
            },
            Method::Block(block, [size, _]) => {
                let fields = block.channels / size as u32;
                let stride = block::stride(table, block::CHANNELS / size as u32);
                Layout::Packed {
                    fields,
                    turn: fields * stride,
                    stride,
                }
            }
        }
    }

    /// Appends the convolution with weights packed so, and their bytes.
    fn lower(
        &self,
        dense: &Dense,
        table: &SymmetricTable,
        (packed, packed_bytes): (Slot, u64),
        flops: u64,
        lowered: &mut Lowered,
    ) {
        let work = (flops, dense.bytes() + packed_bytes);
        match *self {
            Method::Tile(fields, tile, [_, channels]) => {
                let body = |reader: &_| tile::body(table, fields, tile, channels, reader);
                tile.lower_body(dense, (packed, packed_bytes), body, work, lowered);
            }
            Method::Block(block, sizes) => {
                let turn = block::turn(block, table, sizes);
                let launch = block.launch_turns(dense, packed, turn);
                lowered.launches.push(launch.work(work.0, work.1));
            }
        }
    }
}

/// `symmetric_conv_weight_gradient(x, dy)`, of the shape of `w`.
pub fn weight_gradient(
    conv: &SymmetricConv,
    x: Shape,
    dy: Shape,
    w: Shape,
    algorithm: SymmetricWeightAlgorithm,
) -> Lowered {
    let fields = [w.c(), w.c(), w.h()];
    let table = SymmetricTable::new(conv);
    let pass = match algorithm {
        SymmetricWeightAlgorithm::Fourier(lanes) if x.w().is_multiple_of(4) => {
            let fits = Texture::holds(x.bytes()) && Texture::holds(dy.bytes());
            let lanes = SymmetricLanes {
                texture: lanes.texture && fits,
                ..lanes
            };
            Some(lanes.pass(&table, x, dy, conv.window(), sizes(conv)))
        }
        SymmetricWeightAlgorithm::Block(block) if algorithm.takes(conv) => {
            let images = [x, dy];
            Some(block::weight_pass(
                block,
                &table,
                images,
                conv.window(),
                sizes(conv),
            ))
        }
        _ => None,
    };
    let Some(pass) = pass else {
        let kernel = expanded(conv, w);
        let dense = conv2d::weight_gradient(x, dy, conv.window(), algorithm.dense());
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
    };
    let count = w.c() * w.h() * table.weights;
    let bytes = x.bytes() + dy.bytes() + 4 * (pass.parts * count) as u64;
    let lowered = pass.lower(x, dy, conv.window(), count, (flops(&table, w, dy), bytes));
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

/// Packs the weight `w` (of the convolution that will read it) as `to`, a [`Layout::Packed`]; returns
/// where, and the bytes.
fn pack(
    table: &SymmetricTable,
    w: Shape,
    from: Layout,
    to: Layout,
    lowered: &mut Lowered,
) -> (Slot, u64) {
    let Layout::Packed {
        fields,
        turn,
        stride,
    } = to
    else {
        unreachable!("kernels read packed weights");
    };
    // What fills up a stride is zero, because kernels that read beyond the last field read it.
    let mut matrix = table.change.clone();
    matrix.resize(stride as usize * w.w(), 0.0);
    let blocks = w.c().div_ceil(fields as usize);
    let bytes = 4 * (blocks * w.h()) as u64 * u64::from(turn);
    lowered.scratch.push(bytes);
    let packed = Slot::Scratch(lowered.scratch.len() - 1);
    let change = Change {
        matrix: &matrix,
        sources: w.w(),
        from,
        to,
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
