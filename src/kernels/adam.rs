//! Adam over one flat vector of all parameters.

use super::{Launch, Lowered, Slot};
use crate::shader::params;

/// Adam's constants (Kingma and Ba, 2015). The step size and the bias corrections change with the
/// step and come from an input.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AdamConstants {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the square root.
    pub epsilon: f32,
}

impl Default for AdamConstants {
    /// The paper's: 0.9, 0.999, 1e-8.
    fn default() -> Self {
        AdamConstants {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
        }
    }
}

params! {
    /// Uniform of `optim/adam.wgsl`.
    pub struct AdamParams {
        pub beta1: f32,
        pub beta2: f32,
        /// `1 - beta`, taken in f64.
        pub one_minus_beta1: f32,
        pub one_minus_beta2: f32,
        pub epsilon: f32,
        pub elements: u32,
        pub pad0: u32,
        pub pad1: u32,
    }
}

/// One step in place: inputs are theta, m, v, the gradient and the rates.
pub fn step(constants: AdamConstants, elements: usize) -> Lowered {
    let complement = |beta: f32| (1.0 - f64::from(beta)) as f32;
    let params = AdamParams {
        beta1: constants.beta1,
        beta2: constants.beta2,
        one_minus_beta1: complement(constants.beta1),
        one_minus_beta2: complement(constants.beta2),
        epsilon: constants.epsilon,
        elements: elements as u32,
        pad0: 0,
        pad1: 0,
    };
    let bindings = vec![
        ("theta", Slot::Input(0)),
        ("m", Slot::Input(1)),
        ("v", Slot::Input(2)),
        ("gradient", Slot::Input(3)),
        ("rates", Slot::Input(4)),
    ];
    Launch::new(
        "optim/adam.wgsl",
        &params,
        bindings,
        elements.div_ceil(64) as u64,
    )
    .work(12 * elements as u64, 28 * elements as u64)
    .into()
}
