//! Equivariant learned image reconstruction on any Vulkan, Metal or DX12 GPU.
//!
//! equilens learns to reconstruct images from CT and other measurements with networks that respect
//! symmetry (Celledoni et al., *Equivariant neural networks for inverse problems*, 2021; Chen et
//! al., *Imaging with equivariant deep learning*, 2023). Underneath is a compute engine written by
//! hand on wgpu: WGSL kernels, a reverse-mode tape, compiled plans. There is no machine-learning
//! framework, and nothing needs CUDA.
//!
//! # The rooms
//!
//! A room imports only rooms above it.
//!
//! | room | what it holds |
//! | --- | --- |
//! | [`error`], [`shape`], [`config`], [`files`] | the one error type, shapes and geometries, TOML with good messages, files that appear whole |
//! | [`shader`], [`group`], [`reference`](mod@reference) | WGSL text to checked modules; groups and kernel bases; f64 twins of the kernels |
//! | [`gpu`] | adapters, buffers, pipelines |
//! | [`kernels`] | dispatches of every kernel family |
//! | [`tune`] | which of a family's kernels is fastest on this device |
//! | [`tape`] | recording, gradients, plans |
//! | [`operators`], [`nn`] | forward operators with exact adjoints; layers |
//! | [`losses`], [`solvers`], [`models`], [`metrics`] | what is minimised, classical methods, networks, scores |
//! | [`data`] | files, pictures, phantoms, masks and coils |
//! | [`problems`] | operator + noise |
//! | [`train`] | training, checkpoints, run directories |
//! | [`report`], [`check`], [`bench`](mod@bench) | pages and plots; verification; measurement |
//! | [`experiments`] | the demo, the figures of the papers |
//! | [`cli`] | the command line |
//!
//! # From a problem to a reconstruction
//!
//! ```
//! use equilens::data::phantom;
//! use equilens::gpu::{Gpu, Selection};
//! use equilens::models::{LearnedProximalGradientConfig, ModelConfig};
//! use equilens::problems::{Problem, ProblemConfig};
//! use equilens::shape::Shape;
//! use equilens::tape::plan::Store;
//! use equilens::train::{Dataset, ModelSpec, Recipe, Reconstructor, Trainer};
//!
//! let gpu = Gpu::open(&Selection::default())?;
//! let store = Store::new(&gpu);
//!
//! // 24 views of 32 x 32 images, with the noise of a low dose.
//! let config: ProblemConfig = equilens::config::parse_toml("problem.toml", r#"
//!     [operator]
//!     kind = "ray_transform"
//!     image_size = 32
//!     views = 24
//!     [noise]
//!     kind = "low_dose_ct"
//! "#)?;
//! let problem = Problem::new(&config)?;
//!
//! // A phantom on a finer grid: simulated there, compared at 32 x 32.
//! let phantom = phantom::rasterise(&phantom::shepp_logan(0.36), [64, 64], 0.36 / 64.0, 2);
//! let data = Dataset::simulate(&problem, &store, &phantom.pixels, Shape::new(1, 1, 64, 64), 1)?;
//!
//! // A small C4-equivariant network, ten steps of Adam.
//! let model = ModelConfig::LearnedProximalGradient(LearnedProximalGradientConfig {
//!     width: 8,
//!     blocks: 2,
//!     ..Default::default()
//! });
//! let operator = problem.operator.as_ref();
//! let spec = ModelSpec::measure(&model, operator, &store)?;
//! let mut trainer =
//!     Trainer::new(&gpu, &spec, operator, &Recipe::default(), data.clone(), None)?;
//! let before = { trainer.step()?; trainer.loss()? };
//! for _ in 1..10 {
//!     trainer.step()?;
//! }
//! assert!(trainer.loss()? < before);
//!
//! // The trained network as an ordinary one, applied.
//! let network = Reconstructor::new(&gpu, operator, &spec, &trainer.parameters()?, 1)?;
//! let image = network.reconstruct(data.measurements(), 1)?;
//! assert_eq!(image.len(), 32 * 32);
//! # Ok::<(), equilens::error::Error>(())
//! ```

#![warn(missing_docs)]

pub mod bench;
pub mod check;
pub mod cli;
pub mod config;
pub mod data;
pub mod error;
pub mod experiments;
pub mod files;
pub mod gpu;
pub mod group;
pub mod kernels;
pub mod losses;
pub mod metrics;
pub mod models;
pub mod nn;
pub mod operators;
pub mod problems;
pub mod reference;
pub mod report;
pub mod shader;
pub mod shape;
pub mod solvers;
pub mod tape;
pub mod train;
pub mod tune;
