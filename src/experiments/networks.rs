//! What the experiments train: learned proximal gradient networks and how they are trained.

use crate::group::Group;
use crate::losses::Term;
use crate::models::{LearnedProximalGradientConfig, ModelConfig, Start};
use crate::nn::BasisKind;
use crate::problems::ProblemConfig;
use crate::train::{
    AdamConfig, DataConfig, OptimiserConfig, Schedule, TrainConfig, TrainingConfig,
};
use std::path::Path;

/// One of the networks that are compared.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Network {
    /// As in [`Method::name`](super::Method::name).
    pub name: &'static str,
    pub group: Group,
    /// Channels inside a block.
    pub width: usize,
    pub basis: BasisKind,
}

impl Network {
    /// The ordinary network, an equivariant one with about as many parameters, and one of the same
    /// width.
    pub fn compared(width: usize) -> Vec<Self> {
        let network = |name, group, width| Network {
            name,
            group,
            width,
            basis: BasisKind::Complete,
        };
        let (c1, c4) = (Group::cyclic(1), Group::cyclic(4));
        vec![
            network("ordinary", c1, width),
            network("equivariant", c4, 2 * width),
            network("equivariant-wide", c4, width),
        ]
    }

    /// The published comparison: one width, and the harmonic kernels for the equivariant network.
    pub fn published() -> Vec<Self> {
        let [ordinary, _, wide] = Network::compared(96)[..] else {
            return Vec::new();
        };
        let basis = BasisKind::Harmonic;
        vec![ordinary, Network { basis, ..wide }]
    }
}

/// How every network of an experiment is built and trained.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Training {
    /// But for the group, the width and the basis.
    pub model: LearnedProximalGradientConfig,
    pub steps: u64,
    pub adam: AdamConfig,
}

impl Training {
    /// A short training. It starts at the pseudo-inverse and adds to it block by block, which gets
    /// farther in few steps.
    pub fn short(blocks: usize, steps: u64) -> Self {
        Training {
            model: LearnedProximalGradientConfig {
                blocks,
                start: Start::PseudoInverse,
                residual: true,
                ..LearnedProximalGradientConfig::default()
            },
            steps,
            adam: AdamConfig {
                learning_rate: 5e-3,
                schedule: Schedule::Cosine,
                ..AdamConfig::default()
            },
        }
    }

    /// The published settings: eight blocks, 10^5 steps of size 10^-4.
    pub fn published() -> Self {
        Training {
            model: LearnedProximalGradientConfig::default(),
            steps: 100_000,
            adam: AdamConfig::default(),
        }
    }

    /// The run of one network on the first `images` images of the file `train`.
    pub fn config(
        &self,
        network: Network,
        problem: ProblemConfig,
        train: &Path,
        images: usize,
        seed: u64,
    ) -> TrainConfig {
        TrainConfig {
            problem,
            data: DataConfig {
                train: Some(train.to_path_buf()),
                train_images: Some(images),
                ..DataConfig::default()
            },
            model: ModelConfig::LearnedProximalGradient(LearnedProximalGradientConfig {
                group: network.group,
                width: network.width,
                basis: network.basis,
                ..self.model.clone()
            }),
            loss: vec![Term::default()],
            optimiser: OptimiserConfig::Adam(self.adam.clone()),
            training: TrainingConfig {
                steps: self.steps,
                seed,
                checkpoint_every: (self.steps / 10).max(1),
                ..TrainingConfig::default()
            },
        }
    }
}

/// A training by Adam whose step falls along a cosine, saved four times.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Annealed {
    pub steps: u64,
    pub batch: usize,
    pub learning_rate: f64,
}

impl Annealed {
    /// The run of one network on all images of the file `train`.
    pub fn config(
        self,
        problem: ProblemConfig,
        train: &Path,
        model: ModelConfig,
        loss: Vec<Term>,
        seed: u64,
    ) -> TrainConfig {
        TrainConfig {
            problem,
            data: DataConfig {
                train: Some(train.to_path_buf()),
                ..DataConfig::default()
            },
            model,
            loss,
            optimiser: OptimiserConfig::Adam(AdamConfig {
                learning_rate: self.learning_rate,
                schedule: Schedule::Cosine,
                ..AdamConfig::default()
            }),
            training: TrainingConfig {
                steps: self.steps,
                batch: self.batch,
                seed,
                checkpoint_every: (self.steps / 4).max(1),
                ..TrainingConfig::default()
            },
        }
    }
}

/// Trained numbers of each network, for images of `channels` channels.
#[cfg(test)]
pub(super) fn parameters(training: &Training, networks: &[Network], channels: usize) -> Vec<usize> {
    let count = |&network: &Network| {
        let config = training.config(network, ProblemConfig::default(), Path::new("x"), 1, 0);
        assert_eq!(config.training.batch, 1);
        let spec = crate::train::ModelSpec {
            config: config.model,
            channels,
            size: None,
            measurement_channels: channels,
            closed_views: false,
            operator_norm: 1.0,
        };
        spec.build().expect("valid").parameters().count()
    };
    networks.iter().map(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_comparison_is_the_papers() {
        let published = Training::published();
        assert_eq!(
            parameters(&published, &Network::published(), 2),
            [775_736, 129_464]
        );
        assert_eq!(
            parameters(&published, &Network::published(), 1),
            [754_992, 126_000]
        );
        assert_eq!(published.steps, 100_000);
        assert_eq!(published.adam, AdamConfig::default());
        let model = &published.model;
        assert_eq!((model.blocks, model.start), (8, Start::Zero));
        assert!(!model.residual);
    }

    #[test]
    fn networks_are_of_one_size_or_of_one_width() {
        let networks = Network::compared(16);
        for channels in [1, 2] {
            let [ordinary, equivariant, wide] =
                parameters(&Training::short(4, 500), &networks, channels)[..]
            else {
                panic!("three networks");
            };
            let ratio = equivariant as f64 / ordinary as f64;
            assert!((0.7..1.0).contains(&ratio), "{ratio}");
            assert!(3 * wide < ordinary);
        }
        assert_eq!(networks[0].width, networks[2].width);
    }
}
