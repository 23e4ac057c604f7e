//! Reconstruction networks.

mod learned_proximal_gradient;

pub use learned_proximal_gradient::{
    GradientScale, LearnedProximalGradient, LearnedProximalGradientConfig, Start,
};
