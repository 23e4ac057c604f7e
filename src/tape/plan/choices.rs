//! Which kernel variant each operation of a plan gets.

use super::Options;
use crate::kernels::{Capabilities, Family};

/// Chooses, one operation after another.
pub(super) struct Choices {
    capabilities: Capabilities,
    options: Options,
}

impl Choices {
    pub(super) fn new(capabilities: Capabilities, options: Options) -> Self {
        Choices {
            capabilities,
            options,
        }
    }

    /// The algorithm for `problem`.
    pub(super) fn choose<F: Family>(&mut self, problem: &F::Problem) -> F {
        F::forced(&self.options.forced)
            .unwrap_or_else(|| F::default_for(self.capabilities, problem))
    }
}
