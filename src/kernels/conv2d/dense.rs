//! What every fast algorithm for images computes: one cross-correlation with a prepared kernel, the
//! image and the result placed anywhere against each other. A forward convolution is one; an input
//! gradient is one with the kernel transposed and turned.

use super::PackParams;
use crate::kernels::chain::Chain;
use crate::kernels::{Launch, Lowered, Slot};
use crate::shader::Variant;
use crate::shape::{Padding, Shape, Window};

/// Input row and column of the first tap of output 0.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Origin {
    pub row: i32,
    pub column: i32,
}

/// `result = chain(cross-correlation of source)`.
pub(in crate::kernels) struct Dense<'a> {
    pub x: Shape,
    pub output: Shape,
    pub origin: Origin,
    pub window: Window,
    pub chain: &'a Chain,
    pub source: Slot,
    pub result: Slot,
    /// Each entry of the batch has its own kernel.
    pub kernels: bool,
    /// The image is read as the transpose of replicate padding does (`folding`); the window's padding
    /// is zeros.
    pub folded: bool,
}

/// A way to compute it.
pub(super) trait Method {
    /// Appends the dispatches.
    fn lower(&self, dense: &Dense, kernel: &Kernel, lowered: &mut Lowered);

    /// Whether it reads images that are [`Dense::folded`].
    fn folds(&self) -> bool {
        true
    }
}

impl Dense<'_> {
    /// Multiply-adds count two.
    pub fn flops(&self) -> u64 {
        let taps = self.window.size * self.window.size;
        (2 * self.output.elements() * self.x.c() * taps) as u64
    }

    /// What must move at least, but for the kernel.
    pub fn bytes(&self) -> u64 {
        self.x.bytes() + self.output.bytes() + self.chain.bytes()
    }

    /// The flag that chooses the padding.
    pub fn padding_flag(&self, variant: Variant) -> Variant {
        variant.flag(match self.window.padding {
            Padding::Zero => "ZERO",
            Padding::Replicate => "REPLICATE",
            Padding::Circular => "CIRCULAR",
        })
    }
}

/// The kernel of a convolution, input 1 of its operation, and how it is used.
#[derive(Clone, Copy)]
pub(super) struct Kernel {
    /// O I k k.
    pub shape: Shape,
    /// With inputs and outputs exchanged and turned by half a turn.
    pub transposed: bool,
}

impl Kernel {
    pub fn new(shape: Shape, transposed: bool) -> Self {
        Kernel { shape, transposed }
    }

    pub fn outputs(self) -> usize {
        self.shape.0[usize::from(self.transposed)]
    }

    pub fn inputs(self) -> usize {
        self.shape.0[usize::from(!self.transposed)]
    }

    /// Packs it for a tiled convolution as `block of channels outputs, input, tap, output in block`,
    /// zeros beyond the last output.
    pub fn pack(self, channels: u32, lowered: &mut Lowered) -> Slot {
        let taps = self.shape.h() * self.shape.w();
        let elements = self.outputs().next_multiple_of(channels as usize) * self.inputs() * taps;
        let params = PackParams {
            oc: self.outputs() as u32,
            c: self.inputs() as u32,
            taps: taps as u32,
            elements: elements as u32,
        };
        lowered.scratch.push(4 * elements as u64);
        let packed = Slot::Scratch(lowered.scratch.len() - 1);
        let bindings = vec![("kernel", Slot::Input(1)), ("packed", packed.clone())];
        let variant = Variant::new()
            .constant("CHANNELS", channels)
            .flag_if("TRANSPOSED", self.transposed);
        let launch = Launch::new(
            "conv/pack.wgsl",
            &params,
            bindings,
            elements.div_ceil(64) as u64,
        )
        .variant(variant)
        .work(0, self.shape.bytes() + 4 * elements as u64);
        lowered.launches.push(launch);
        packed
    }
}
