//! The networks whose operations are tuned for unasked.

use crate::group::Group;
use crate::models::{
    DenoisingCnnConfig, LearnedPrimalDualConfig, LearnedProximalGradientConfig, ModelConfig, Start,
    UNetConfig,
};
use crate::nn::BasisKind;
use crate::problems::{
    BirdcageConfig, BlurConfig, CoilsConfig, FileOr, FourierConfig, IdentityConfig, ImageSize,
    OperatorConfig, RayTransformConfig,
};

/// What is reconstructed from, and the network that does it. Layers that repeat are there once.
///
/// No kernel depends on the mask or the noise, so denoising stands for inpainting too; and unrolled
/// proximal gradient descent has the operations of the network that it unrolls.
pub(super) fn networks() -> Vec<(OperatorConfig, ModelConfig)> {
    let complete = |order, width| proximal_gradient(order, width, BasisKind::Complete);
    let harmonic = |order, width| proximal_gradient(order, width, BasisKind::Harmonic);
    vec![
        // The demo.
        (ct(64), complete(1, 16)),
        (ct(64), complete(4, 32)),
        (ct(64), complete(4, 16)),
        (mri(64), complete(1, 16)),
        (mri(64), complete(4, 32)),
        (mri(64), complete(4, 16)),
        // The benchmarks.
        (ct(128), complete(1, 96)),
        (ct(128), complete(4, 96)),
        // Celledoni et al. 2021, section 5.1.2. A convolution at 320x320 is measured at 512x512,
        // and so are those of the paper's CT networks.
        (mri(320), complete(1, 96)),
        (mri(320), harmonic(4, 96)),
        (coils(320, 8), harmonic(4, 96)),
        // The other networks with their default settings, on the problems' default sizes or 128x128.
        (
            OperatorConfig::Identity(IdentityConfig::default()),
            denoiser(),
        ),
        (OperatorConfig::Blur(BlurConfig::default()), denoiser()),
        (ct(128), ModelConfig::UNet(UNetConfig::default())),
        (ct(128), primal_dual()),
    ]
}

fn ct(size: usize) -> OperatorConfig {
    OperatorConfig::RayTransform(RayTransformConfig {
        image_size: ImageSize::Square(size),
        ..RayTransformConfig::default()
    })
}

fn mri(size: usize) -> OperatorConfig {
    OperatorConfig::Fourier(FourierConfig {
        image_size: ImageSize::Square(size),
        ..FourierConfig::default()
    })
}

fn coils(size: usize, count: usize) -> OperatorConfig {
    let birdcage = BirdcageConfig {
        count,
        ..BirdcageConfig::default()
    };
    OperatorConfig::Fourier(FourierConfig {
        image_size: ImageSize::Square(size),
        coils: Some(FileOr::Made(CoilsConfig::Birdcage(birdcage))),
        ..FourierConfig::default()
    })
}

fn proximal_gradient(order: usize, width: usize, basis: BasisKind) -> ModelConfig {
    ModelConfig::LearnedProximalGradient(LearnedProximalGradientConfig {
        group: Group::cyclic(order),
        width,
        basis,
        // A second one has all that further ones have.
        blocks: 2,
        // The filtered back-projection is measured with it.
        start: Start::PseudoInverse,
        ..LearnedProximalGradientConfig::default()
    })
}

fn denoiser() -> ModelConfig {
    ModelConfig::DenoisingCnn(DenoisingCnnConfig {
        // The layers between the first and the last are alike.
        depth: 3,
        ..DenoisingCnnConfig::default()
    })
}

fn primal_dual() -> ModelConfig {
    ModelConfig::LearnedPrimalDual(LearnedPrimalDualConfig {
        iterations: 2,
        start: Start::PseudoInverse,
        ..LearnedPrimalDualConfig::default()
    })
}
