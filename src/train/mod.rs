//! Training: data, settings, the training step, checkpoints, run directories, and the trained
//! model ready to reconstruct.
//!
//! | file | holds |
//! | --- | --- |
//! | [`config`] | a training config as TOML, every default and every check |
//! | [`dataset`] | images with their measurements, and the order they are trained in |
//! | `step` | recording a training step on a tape |
//! | [`trainer`] | it as a compiled plan that is replayed |
//! | `validation`, `draws` | scores on what is not trained on; a loss's random transforms |
//! | [`checkpoint`] | the state of a training run on disk |
//! | [`run_dir`] | the directory of a run: config, log, checkpoints |
//! | [`run`](mod@run) | the loop |
//! | [`prepare`](mod@prepare) | from a config to a trainer |
//! | [`reconstructor`] | a trained model ready to reconstruct |
//! | `denoiser` | one ready for plug-and-play |
//!
//! A run is a function of its config: the same config on the same adapter with the same kernel
//! variants gives the same bits, whether or not it was interrupted and resumed on the way. The
//! variants stand in the log; with [`Tuning::Off`](crate::gpu::Tuning) they depend on nothing but
//! the adapter. Nothing here prints.

pub mod checkpoint;
pub mod config;
pub mod dataset;
mod denoiser;
mod draws;
mod forward;
pub mod prepare;
pub mod reconstructor;
pub mod run;
pub mod run_dir;
mod step;
mod tensor_file;
pub mod trainer;
mod validation;

pub use checkpoint::{Checkpoint, TrainingState};
pub use config::{
    AdamConfig, DataConfig, ModelSpec, OptimiserConfig, Recipe, Schedule, TrainConfig,
    TrainingConfig,
};
pub use dataset::Dataset;
pub use denoiser::NetworkDenoiser;
pub use prepare::prepare;
pub use reconstructor::Reconstructor;
pub use run::{Observer, Progress, RunOptions, Summary, run};
pub use run_dir::{Record, RunDir, Setup, Which};
pub use step::tapes;
pub use trainer::{Scores, Trainer};
