//! Layers: what a network is made of, as descriptions that record onto a tape.
//!
//! A layer owns no numbers. It registers its parameters with [`Parameters`] and later takes their
//! values as [`Bound`]; so the same layer records for training, for reconstruction, or twice in
//! one loss.

mod convolution;
mod parameters;

pub use convolution::{BasisKind, ConvolutionConfig, Fields, GroupConvolution};
pub use parameters::{Bound, Initial, ParameterId, Parameters};
