//! Layers: what a network is made of, as descriptions that record onto a tape.
//!
//! A layer owns no numbers. It registers its parameters with [`Parameters`] and later takes their
//! values as [`Bound`]; so the same layer records for training, for reconstruction, or twice in
//! one loss.

mod bias;
mod convolution;
mod fields;
mod nonlinearity;
mod normalisation;
mod parameters;
mod pooling;
mod resampling;
mod reynolds;
mod twisted;

pub use bias::FieldBias;
pub use convolution::{
    BasisKind, ConvolutionConfig, GroupConvolution, TransposedConvolution, regular_fields,
};
pub use nonlinearity::{FieldDropout, Gated, NormNonlinearity, norms, pointwise};
pub use normalisation::{Normalisation, NormalisationKind};
pub use parameters::{Bound, Initial, ParameterId, Parameters, Part, StatisticId};
pub use pooling::GroupPooling;
pub use resampling::{Phases, doubled, halved, polyphase_down, polyphase_up};
pub use reynolds::{random_element, reynolds};
pub use twisted::TwistedConvolution;
