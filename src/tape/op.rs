//! The closed set of operations that a tape records.

use crate::group::SymmetricConv;
pub use crate::kernels::adam::AdamConstants;
pub use crate::kernels::random::Distribution;
pub use crate::reference::elementwise::{Binary, Unary};
use crate::shape::{Fourier, GridSymmetry, RayGeometry, Shape, Window};
use std::sync::Arc;

/// What a node computes. The inputs are in the node; shapes are those of [`crate::shape`].
#[derive(Clone, PartialEq, Debug)]
pub enum Op {
    /// A leaf that is written before each replay.
    Input(String),
    /// A leaf with fixed values.
    Constant(Arc<[f32]>),
    /// A leaf that persists between replays and between plans, known by its name: parameters,
    /// optimiser moments.
    State(String),
    /// An elementwise function of one input.
    Unary(Unary),
    /// An elementwise function of two inputs that broadcast.
    Binary(Binary),
    /// Sum over every axis in which the output has extent 1.
    Sum,
    /// Maximum over every axis in which the output has extent 1.
    Max,
    /// Repetition along every axis in which the input has extent 1.
    Broadcast,
    /// Cross-correlation: inputs `x` (N I H W) and `w` (O I k k).
    Conv2d(Window),
    /// Transpose of [`Op::Conv2d`] in `x`: inputs `dy` and `w`.
    Conv2dInputGradient(Window),
    /// Transpose of [`Op::Conv2d`] in `w`: inputs `x` and `dy`.
    Conv2dWeightGradient(Window),
    /// Convolution with kernels from a basis: inputs `x` (N C H W) and `w` (1 FO FI B).
    SymmetricConv(Arc<SymmetricConv>),
    /// Transpose of [`Op::SymmetricConv`] in `x`: inputs `dy` and `w`.
    SymmetricConvInputGradient(Arc<SymmetricConv>),
    /// Transpose of [`Op::SymmetricConv`] in `w`: inputs `x` and `dy`.
    SymmetricConvWeightGradient(Arc<SymmetricConv>),
    /// Matrix product over the last two axes; the first two broadcast.
    MatMul {
        /// The first factor enters transposed.
        transpose_a: bool,
        /// The second factor enters transposed.
        transpose_b: bool,
    },
    /// The same elements in row-major order with another shape.
    Reshape,
    /// The same elements, through which no gradient passes.
    Detach,
    /// Axis `i` of the output is axis `axes[i]` of the input.
    Transpose([usize; 4]),
    /// A range along one axis; its length is the output's extent.
    Slice {
        /// The axis.
        axis: usize,
        /// First index.
        start: usize,
    },
    /// Zeros around the input along one axis: the transpose of [`Op::Slice`].
    Pad {
        /// The axis.
        axis: usize,
        /// Zeros before the input.
        before: usize,
    },
    /// The inputs one after another along one axis.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// An exact symmetry of the pixel grid applied to the last two axes.
    Symmetry(GridSymmetry),
    /// Ray transform of images (N 1 H W) to sinograms (N 1 views bins).
    RayForward(Arc<RayGeometry>),
    /// Its exact transpose.
    RayAdjoint(Arc<RayGeometry>),
    /// Pixel-driven back-projection of sinograms (N 1 views bins) to images (N 1 H W): the sum over
    /// the views, interpolated linearly between bins. Not the transpose of the ray transform.
    RayBackproject(Arc<RayGeometry>),
    /// Its exact transpose.
    RayBackprojectTranspose(Arc<RayGeometry>),
    /// Images (N C H W) moved by affine maps: inputs `x` and the maps (N 1 5 4, see
    /// [`crate::shape::Maps`]).
    Warp,
    /// Its exact transpose in `x`: inputs `y` and the maps.
    WarpAdjoint,
    /// A discrete Fourier transform.
    Fourier(Fourier),
    /// The product of two complex values whose extents broadcast, channels as pairs: `a b`, or `a`
    /// times the conjugate of `b`.
    ComplexMul {
        /// The second factor enters conjugated.
        conjugate: bool,
    },
    /// Counter-based random numbers: input 0 is a scalar holding the draw's number (an integer
    /// below 2^24), input 1 the means for Poisson.
    Random {
        /// What is drawn.
        distribution: Distribution,
        /// Key of the generator.
        seed: u64,
        /// Separates the draws of one tape.
        stream: u32,
    },
    /// One step of Adam, in place: inputs are the states theta, m, v, then the gradient, then a
    /// vector of 2: `lr / (1 - beta1^t)` and `1 / sqrt(1 - beta2^t)`. The output is theta.
    Adam(AdamConstants),
    /// The state that is input 0 takes the value of input 1, in place. The output is the state's
    /// new value.
    Assign,
}

impl Op {
    /// The name for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input(_) => "input",
            Op::Constant(_) => "constant",
            Op::State(_) => "state",
            Op::Unary(u) => u.name(),
            Op::Binary(b) => b.name(),
            Op::Sum => "sum",
            Op::Max => "max",
            Op::Broadcast => "broadcast",
            Op::Conv2d(_) => "conv2d",
            Op::Conv2dInputGradient(_) => "conv2d_input_gradient",
            Op::Conv2dWeightGradient(_) => "conv2d_weight_gradient",
            Op::SymmetricConv(_) => "symmetric_conv",
            Op::SymmetricConvInputGradient(_) => "symmetric_conv_input_gradient",
            Op::SymmetricConvWeightGradient(_) => "symmetric_conv_weight_gradient",
            Op::MatMul { .. } => "matmul",
            Op::Reshape => "reshape",
            Op::Detach => "detach",
            Op::Transpose(_) => "transpose",
            Op::Slice { .. } => "slice",
            Op::Pad { .. } => "pad",
            Op::Concat { .. } => "concat",
            Op::Symmetry(_) => "symmetry",
            Op::RayForward(_) => "ray_forward",
            Op::RayAdjoint(_) => "ray_adjoint",
            Op::RayBackproject(_) => "ray_backproject",
            Op::RayBackprojectTranspose(_) => "ray_backproject_transpose",
            Op::Warp => "warp",
            Op::WarpAdjoint => "warp_adjoint",
            Op::Fourier(_) => "fourier",
            Op::ComplexMul { .. } => "complex_mul",
            Op::Random { .. } => "random",
            Op::Adam(_) => "adam",
            Op::Assign => "assign",
        }
    }

    /// Whether the op computes each output element from the elements at the same place.
    pub fn is_pointwise(&self) -> bool {
        matches!(self, Op::Unary(_) | Op::Binary(_))
    }

    /// Whether the output is the input's elements as they lie in memory.
    pub fn is_view(&self) -> bool {
        matches!(self, Op::Reshape | Op::Detach)
    }

    /// How many leading inputs are states that the op updates in place; its output is the first.
    pub fn updates(&self) -> usize {
        match self {
            Op::Adam(_) => 3,
            Op::Assign => 1,
            _ => 0,
        }
    }

    /// Whether the values come from outside.
    pub fn is_leaf(&self) -> bool {
        matches!(self, Op::Input(_) | Op::Constant(_) | Op::State(_))
    }
}

/// One entry of the tape.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// The inputs, by index; all earlier in the tape.
    pub inputs: Vec<usize>,
    /// The shape of the result.
    pub shape: Shape,
}
