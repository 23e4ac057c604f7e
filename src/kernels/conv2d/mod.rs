//! Convolution: forward, input gradient and weight gradient, each readable and register-tiled.
//!
//! The tiled variants pack the kernel once for each call so that the weights of a tile of output
//! channels lie next to each other. The input gradient is the same tiled convolution with the
//! kernel transposed and turned; for paddings that read the image more than once at its border it
//! is computed on the padded domain and folded back.

mod algorithm;
mod exchange;
mod reader;
mod row;
mod tile;
mod walk;
mod weight_columns;
mod weight_lanes;
mod weight_tile;

use super::chain::Chain;
use super::{Launch, Lowered, Slot};
use crate::gpu::Trust;
use crate::shader::{Variant, params};
use crate::shape::{Padding, Shape, Window};
pub use algorithm::{Convolution, ImageAlgorithm, ImageProblem, WeightAlgorithm};
pub(in crate::kernels) use reader::{Reader, Weights};
pub(in crate::kernels) use tile::Body;
pub use tile::Tile;
pub(in crate::kernels) use walk::Walk;
pub use weight_tile::WeightTile;
pub(in crate::kernels) use weight_tile::{PARTS, THREADS};

params! {
    /// Uniform of the convolution kernels: letters of [`crate::shape`], `o` for outputs.
    pub struct ConvParams {
        pub n: u32,
        pub c: u32,
        pub h: u32,
        pub w: u32,
        pub oc: u32,
        pub oh: u32,
        pub ow: u32,
        /// Input row of the first tap of output 0; its column too, where a kernel does not say.
        pub origin: i32,
    }
}

params! {
    /// Uniform of `conv/pack.wgsl`.
    pub struct PackParams {
        /// Outputs of the convolution that will read the packed kernel.
        pub oc: u32,
        /// Its inputs.
        pub c: u32,
        /// Kernel taps, size squared.
        pub taps: u32,
        /// Elements of the packed kernel.
        pub elements: u32,
    }
}

impl ConvParams {
    pub(in crate::kernels) fn new(input: Shape, output: Shape, origin: i32) -> Self {
        ConvParams {
            n: input.n() as u32,
            c: input.c() as u32,
            h: input.h() as u32,
            w: input.w() as u32,
            oc: output.c() as u32,
            oh: output.h() as u32,
            ow: output.w() as u32,
            origin,
        }
    }
}

/// Input row and column of the first tap of output 0.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Origin {
    pub row: i32,
    pub column: i32,
}

pub(in crate::kernels) fn window_variant(window: Window) -> Variant {
    Variant::new()
        .constant("SIZE", window.size as u32)
        .constant("STRIDE", window.stride as u32)
        .flag(match window.padding {
            Padding::Zero => "ZERO",
            Padding::Replicate => "REPLICATE",
            Padding::Circular => "CIRCULAR",
        })
}

fn with_operands(
    mut bindings: Vec<(&'static str, Slot)>,
    chain: &Chain,
) -> Vec<(&'static str, Slot)> {
    chain.bind(2, &mut bindings);
    bindings
}

/// Multiply-adds count two.
fn flops(output: Shape, kernel: Shape) -> u64 {
    (2 * output.elements() * kernel.elements() / kernel.n().max(1)) as u64
}

/// `chain(conv2d(x, w))`: inputs are `x`, `w`, then the chain's operands.
pub fn forward(
    x: Shape,
    w: Shape,
    window: Window,
    chain: &Chain,
    algorithm: ImageAlgorithm,
) -> Lowered {
    let output = window.output(x, w.n());
    let flops = flops(output, w);
    let bytes = x.bytes() + w.bytes() + output.bytes() + chain.bytes();
    let origin = -(window.radius() as i32);
    match algorithm {
        ImageAlgorithm::Tiled(tile) => {
            let tile = tile.fitted(w.n());
            let mut lowered = Lowered::default();
            let packed = pack(w, w.n(), w.c(), false, tile, &mut lowered);
            let launch = tile.launch(
                x,
                output,
                Origin {
                    row: origin,
                    column: origin,
                },
                window,
                chain,
                [Slot::Input(0), packed, Slot::Output],
            );
            lowered.launches.push(launch.work(flops, bytes));
            lowered
        }
        ImageAlgorithm::Readable => {
            let bindings = vec![
                ("x", Slot::Input(0)),
                ("kernel", Slot::Input(1)),
                ("result", Slot::Output),
            ];
            Launch::new(
                "conv/forward.wgsl",
                &ConvParams::new(x, output, origin),
                with_operands(bindings, chain),
                output.elements().div_ceil(64) as u64,
            )
            .variant(chain.into_variant(window_variant(window), output, false))
            .work(flops, bytes)
            .into()
        }
    }
}

/// `chain(conv2d_input_gradient(dy, w))`: inputs are `dy`, `w`, then the chain's operands.
pub fn input_gradient(
    dy: Shape,
    w: Shape,
    window: Window,
    x: Shape,
    chain: &Chain,
    algorithm: ImageAlgorithm,
) -> Lowered {
    let flops = flops(dy, w);
    let bytes = x.bytes() + w.bytes() + dy.bytes() + chain.bytes();
    match algorithm {
        ImageAlgorithm::Tiled(tile) if window.stride == 1 => {
            let tile = tile.fitted(w.c());
            let mut lowered = Lowered::default();
            let packed = pack(w, w.c(), w.n(), true, tile, &mut lowered);
            transposed(
                dy,
                x,
                window,
                chain,
                (packed, flops, w.bytes()),
                &mut lowered,
                |output, origin, window, chain, slots| {
                    tile.launch(dy, output, origin, window, chain, slots)
                },
            );
            lowered
        }
        _ => {
            let bindings = vec![
                ("dy", Slot::Input(0)),
                ("kernel", Slot::Input(1)),
                ("result", Slot::Output),
            ];
            Launch::new(
                "conv/input_gradient.wgsl",
                &ConvParams::new(x, dy, -(window.radius() as i32)),
                with_operands(bindings, chain),
                x.elements().div_ceil(64) as u64,
            )
            .variant(chain.into_variant(window_variant(window), x, false))
            .work(flops, bytes)
            .into()
        }
    }
}

/// The input gradient as a convolution of `dy` with packed weights that are turned already:
/// directly where the padding is zeros, else on the padded domain, which is then folded back.
/// `launch` makes the convolution of `dy` to an output shape.
pub(in crate::kernels) fn transposed(
    dy: Shape,
    x: Shape,
    window: Window,
    chain: &Chain,
    (packed, flops, weight_bytes): (Slot, u64, u64),
    lowered: &mut Lowered,
    launch: impl Fn(Shape, Origin, Window, &Chain, [Slot; 3]) -> Launch,
) {
    let r = window.radius() as i32;
    let zero = Window::same(window.size, Padding::Zero);
    if window.padding == Padding::Zero || r == 0 {
        let slots = [Slot::Input(0), packed, Slot::Output];
        let origin = Origin {
            row: -r,
            column: -r,
        };
        let bytes = x.bytes() + weight_bytes + dy.bytes() + chain.bytes();
        let launch = launch(x, origin, zero, chain, slots);
        lowered.launches.push(launch.work(flops, bytes));
        return;
    }
    // Where rows are read by fours, the border is widened so that they stay so.
    let quads = Chain::quads(x);
    let border = if quads { (r + 3) / 4 * 4 } else { r };
    let (rows, columns) = (x.h() + 2 * r as usize, x.w() + 2 * border as usize);
    let domain = Shape::new(x.n(), x.c(), rows, columns);
    lowered.scratch.push(domain.bytes());
    let unfolded = Slot::Scratch(lowered.scratch.len() - 1);
    let slots = [Slot::Input(0), packed, unfolded.clone()];
    let origin = Origin {
        row: -2 * r,
        column: -r - border,
    };
    let launch = launch(domain, origin, zero, &Chain::none(), slots);
    let bytes = dy.bytes() + weight_bytes + domain.bytes();
    lowered.launches.push(launch.work(flops, bytes));
    let bindings = vec![("padded", unfolded), ("result", Slot::Output)];
    let outputs = x.elements() / if quads { 4 } else { 1 };
    let fold = Launch::new(
        "conv/fold.wgsl",
        &ConvParams::new(domain, x, r),
        with_operands(bindings, chain),
        outputs.div_ceil(64) as u64,
    )
    .variant(chain.into_variant(window_variant(window).flag_if("QUADS", quads), x, quads))
    .work(0, domain.bytes() + x.bytes() + chain.bytes());
    lowered.launches.push(fold);
}

/// `conv2d_weight_gradient(x, dy)`.
pub fn weight_gradient(x: Shape, dy: Shape, window: Window, algorithm: WeightAlgorithm) -> Lowered {
    let kernel = Shape::new(dy.c(), x.c(), window.size, window.size);
    let flops = flops(dy, kernel);
    let bytes = x.bytes() + dy.bytes() + kernel.bytes();
    match algorithm {
        WeightAlgorithm::Tiled(tile) if window.stride == 1 && window.size <= 5 => {
            tile.lower(x, dy, window, flops, bytes)
        }
        _ => {
            let bindings = vec![
                ("x", Slot::Input(0)),
                ("dy", Slot::Input(1)),
                ("result", Slot::Output),
            ];
            Launch::new(
                "conv/weight_gradient.wgsl",
                &ConvParams::new(x, dy, -(window.radius() as i32)),
                bindings,
                kernel.elements() as u64,
            )
            .variant(window_variant(window))
            .work(flops, bytes)
            .into()
        }
    }
}

/// Packs the kernel for a tiled convolution with `oc` outputs and `c` inputs as
/// `block, input, tap, output in block`, zeros beyond the last output. `transposed` exchanges
/// inputs and outputs and turns the kernel by half a turn.
fn pack(
    w: Shape,
    oc: usize,
    c: usize,
    transposed: bool,
    tile: Tile,
    lowered: &mut Lowered,
) -> Slot {
    let taps = w.h() * w.w();
    let elements = tile.packed_elements(oc, c, Window::same(w.h(), Padding::Zero));
    let params = PackParams {
        oc: oc as u32,
        c: c as u32,
        taps: taps as u32,
        elements: elements as u32,
    };
    lowered.scratch.push(4 * elements as u64);
    let packed = Slot::Scratch(lowered.scratch.len() - 1);
    let bindings = vec![("kernel", Slot::Input(1)), ("packed", packed.clone())];
    let variant = Variant::new()
        .constant("CHANNELS", tile.channels)
        .flag_if("TRANSPOSED", transposed);
    let launch = Launch::new(
        "conv/pack.wgsl",
        &params,
        bindings,
        elements.div_ceil(64) as u64,
    )
    .variant(variant)
    .work(0, w.bytes() + 4 * elements as u64);
    lowered.launches.push(launch);
    packed
}

/// Trust for kernels whose lanes are clamped into range before they read and guarded before they
/// write.
pub(in crate::kernels) const CLAMPED: Trust = Trust::Unchecked;
