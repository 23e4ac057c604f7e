//! Convolution: forward, input gradient and weight gradient, each readable and in several faster ways.
//!
//! The tiled variants pack the kernel once for each call so that the weights of a tile of output
//! channels lie next to each other. The input gradient is the same tiled convolution with the
//! kernel transposed and turned; where the padding repeats the border, what it reads there is added up
//! (`folding`), or, in Winograd's algorithm, it is computed on the padded domain and folded back.

mod algorithm;
mod block;
mod dense;
mod exchange;
mod folding;
mod patch;
mod reader;
mod row;
mod tile;
mod walk;
mod weight_block;
mod weight_columns;
mod weight_lanes;
mod weight_tile;
mod winograd;

use super::chain::Chain;
use super::{Launch, Lowered, Slot};
use crate::gpu::{Texture, Trust};
use crate::shader::{Variant, params};
use crate::shape::{Padding, Shape, Window};
pub use algorithm::{Convolution, ImageAlgorithm, ImageProblem, WeightAlgorithm};
pub(in crate::kernels) use algorithm::{FEW, MORE_MEMORY};
pub use block::Block;
pub(in crate::kernels) use block::BlockTurn;
use dense::Kernel;
pub(in crate::kernels) use dense::{Dense, Origin};
pub(in crate::kernels) use reader::{Reader, Weights};
pub(in crate::kernels) use tile::Body;
pub use tile::Tile;
pub(in crate::kernels) use walk::Walk;
pub(in crate::kernels) use weight_block::Pair;
pub use weight_block::WeightBlock;
pub use weight_tile::WeightTile;
pub(in crate::kernels) use weight_tile::{PARTS, Pass, THREADS};
pub use winograd::{Product, Winograd};

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
        /// The first block of output channels of the dispatch, where one does not do all.
        pub first: u32,
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
            first: 0,
        }
    }
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
    let Some(method) = algorithm.method(window) else {
        let bindings = vec![
            ("x", Slot::Input(0)),
            ("kernel", Slot::Input(1)),
            ("result", Slot::Output),
        ];
        return Launch::new(
            "conv/forward.wgsl",
            &ConvParams::new(x, output, origin),
            with_operands(bindings, chain),
            output.elements().div_ceil(64) as u64,
        )
        .variant(chain.into_variant(window_variant(window), output, false))
        .work(flops, bytes)
        .into();
    };
    let dense = Dense {
        x,
        output,
        origin: Origin {
            row: origin,
            column: origin,
        },
        window,
        chain,
        source: Slot::Input(0),
        result: Slot::Output,
        kernels: false,
        folded: false,
    };
    let mut lowered = Lowered::default();
    method.lower(&dense, &Kernel::new(w, false), &mut lowered);
    lowered
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
    let method = algorithm.method(window).filter(|_| window.stride == 1);
    let Some(method) = method else {
        let bindings = vec![
            ("dy", Slot::Input(0)),
            ("kernel", Slot::Input(1)),
            ("result", Slot::Output),
        ];
        return Launch::new(
            "conv/input_gradient.wgsl",
            &ConvParams::new(x, dy, -(window.radius() as i32)),
            with_operands(bindings, chain),
            x.elements().div_ceil(64) as u64,
        )
        .variant(chain.into_variant(window_variant(window), x, false))
        .work(
            flops(dy, w),
            x.bytes() + w.bytes() + dy.bytes() + chain.bytes(),
        )
        .into();
    };
    let kernel = Kernel::new(w, true);
    let mut lowered = Lowered::default();
    let folds = method.folds();
    transposed(
        dy,
        x,
        window,
        chain,
        folds,
        &mut lowered,
        |dense, lowered| {
            method.lower(dense, &kernel, lowered);
        },
    );
    lowered
}

/// The input gradient as a convolution of `dy` with weights that are turned already, which `lower`
/// appends: directly where the padding is its own transpose, or `lower` `folds` what it reads; else on
/// the padded domain, which is then folded back.
pub(in crate::kernels) fn transposed(
    dy: Shape,
    x: Shape,
    window: Window,
    chain: &Chain,
    folds: bool,
    lowered: &mut Lowered,
    lower: impl Fn(&Dense, &mut Lowered),
) {
    let r = window.radius() as i32;
    let repeats = window.padding == Padding::Replicate && r > 0;
    let padding = match window.padding {
        Padding::Circular => Padding::Circular,
        Padding::Zero | Padding::Replicate => Padding::Zero,
    };
    let direct = Dense {
        x: dy,
        output: x,
        origin: Origin {
            row: -r,
            column: -r,
        },
        window: Window::same(window.size, padding),
        chain,
        source: Slot::Input(0),
        result: Slot::Output,
        kernels: false,
        folded: repeats,
    };
    if !repeats || folds {
        lower(&direct, lowered);
        return;
    }
    // Where rows are read by fours, the border is widened so that they stay so.
    let quads = Chain::quads(x);
    let border = if quads { (r + 3) / 4 * 4 } else { r };
    let (rows, columns) = (x.h() + 2 * r as usize, x.w() + 2 * border as usize);
    let domain = Shape::new(x.n(), x.c(), rows, columns);
    lowered.scratch.push(domain.bytes());
    let unfolded = Slot::Scratch(lowered.scratch.len() - 1);
    let padded = Dense {
        output: domain,
        origin: Origin {
            row: -2 * r,
            column: -r - border,
        },
        chain: &Chain::none(),
        result: unfolded.clone(),
        folded: false,
        ..direct
    };
    lower(&padded, lowered);
    let texture = chain.textures && Texture::holds(domain.bytes());
    let unfolded = match texture {
        true => unfolded.through_texture(),
        false => unfolded,
    };
    let bindings = vec![("padded", unfolded), ("result", Slot::Output)];
    let outputs = x.elements() / if quads { 4 } else { 1 };
    let fold = Launch::new(
        "conv/fold.wgsl",
        &ConvParams::new(domain, x, r),
        with_operands(bindings, chain),
        outputs.div_ceil(64) as u64,
    )
    .variant(
        chain.into_variant(
            window_variant(window)
                .flag_if("QUADS", quads)
                .flag_if("TEXTURE", texture),
            x,
            quads,
        ),
    )
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

/// Trust for kernels whose lanes are clamped into range before they read and guarded before they
/// write.
pub(in crate::kernels) const CLAMPED: Trust = Trust::Unchecked;
