//! Which network, as a config file says it.

use super::{
    DenoisingCnn, DenoisingCnnConfig, FullyConnected, FullyConnectedConfig, LearnedPrimalDual,
    LearnedPrimalDualConfig, LearnedProximalGradient, LearnedProximalGradientConfig, Network,
    OperatorFacts, UNet, UNetConfig, UnrolledProximalGradient, UnrolledProximalGradientConfig,
};
use crate::error::Result;
use crate::group::Group;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The network.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ModelConfig {
    /// Learned proximal gradient descent.
    LearnedProximalGradient(LearnedProximalGradientConfig),
    /// Unrolled proximal gradient descent with a denoising network in place of the proximal operator.
    UnrolledProximalGradient(UnrolledProximalGradientConfig),
    /// Learned primal-dual.
    LearnedPrimalDual(LearnedPrimalDualConfig),
    /// A U-Net that improves the pseudo-inverse.
    #[serde(rename = "unet")]
    UNet(UNetConfig),
    /// A DnCNN that improves the pseudo-inverse.
    #[serde(rename = "dncnn")]
    DenoisingCnn(DenoisingCnnConfig),
    /// A fully connected network that improves the pseudo-inverse.
    FullyConnected(FullyConnectedConfig),
}

impl Default for ModelConfig {
    fn default() -> Self {
        ModelConfig::LearnedProximalGradient(LearnedProximalGradientConfig::default())
    }
}

impl ModelConfig {
    /// A network for operators like `operator`.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) if a setting is out of range or the group
    /// has no such layers.
    pub fn build(&self, operator: &OperatorFacts) -> Result<Arc<dyn Network>> {
        let channels = operator.channels;
        Ok(match self {
            ModelConfig::LearnedProximalGradient(config) => Arc::new(LearnedProximalGradient::new(
                config,
                channels,
                operator.norm,
            )?),
            ModelConfig::UnrolledProximalGradient(config) => {
                Arc::new(UnrolledProximalGradient::new(config, operator)?)
            }
            ModelConfig::LearnedPrimalDual(config) => {
                Arc::new(LearnedPrimalDual::new(config, operator)?)
            }
            ModelConfig::UNet(config) => Arc::new(UNet::new(config, channels)?),
            ModelConfig::DenoisingCnn(config) => Arc::new(DenoisingCnn::new(config, channels)?),
            ModelConfig::FullyConnected(config) => Arc::new(FullyConnected::new(config, operator)?),
        })
    }

    /// The symmetry group of its layers.
    pub fn group(&self) -> Group {
        match self {
            ModelConfig::LearnedProximalGradient(config) => config.group,
            ModelConfig::UnrolledProximalGradient(config) => config.proximal.group(),
            ModelConfig::LearnedPrimalDual(config) => config.group,
            ModelConfig::UNet(config) => config.group,
            ModelConfig::DenoisingCnn(config) => config.group,
            ModelConfig::FullyConnected(_) => Group::TRIVIAL,
        }
    }

    /// Whether its parameters depend on the size of the images, so that it fits one size only.
    pub fn fits_one_size(&self) -> bool {
        match self {
            ModelConfig::FullyConnected(_) => true,
            ModelConfig::UnrolledProximalGradient(config) => config.proximal.fits_one_size(),
            _ => false,
        }
    }

    /// The same network with recomputation on or off, which costs time and saves memory and
    /// changes no result.
    pub fn with_recompute(mut self, on: bool) -> Self {
        match &mut self {
            ModelConfig::LearnedProximalGradient(config) => config.recompute = on,
            ModelConfig::UnrolledProximalGradient(config) => {
                *config.proximal = config.proximal.clone().with_recompute(on);
            }
            ModelConfig::LearnedPrimalDual(config) => config.recompute = on,
            ModelConfig::UNet(config) => config.recompute = on,
            ModelConfig::DenoisingCnn(config) => config.recompute = on,
            // Products of matrices keep next to nothing.
            ModelConfig::FullyConnected(_) => {}
        }
        self
    }
}
