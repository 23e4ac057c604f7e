//! From a config to a trainer.

use super::config::{ModelSpec, TrainConfig};
use super::dataset::{Dataset, load_images};
use super::run_dir::{RunDir, Which};
use super::trainer::Trainer;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::problems::Problem;
use crate::tape::plan::Store;
use std::path::Path;

/// Reads the images, simulates their measurements, and compiles the trainer that `config`
/// describes. With a run directory that has a checkpoint, training goes on from there.
///
/// Training and validation measurements have different noise: their seeds are the config's seed
/// and the next one.
///
/// # Errors
/// Those of reading the data, of the problem, of [`Trainer::new`] and of [`Trainer::restore`].
pub fn prepare(gpu: &Gpu, config: &TrainConfig, run: Option<&RunDir>) -> Result<Trainer> {
    config.validate()?;
    // Its plans are dropped before training begins.
    let store = Store::new(gpu);
    let problem = Problem::new(&config.problem)?;
    let dataset = |path: &Path, count, seed| {
        let (images, shape) = load_images(path, problem.operator.domain().c(), count)?;
        Dataset::simulate(&problem, &store, &images, shape, seed).map_err(|e| e.about(path))
    };
    let (data, seed) = (&config.data, config.training.seed);
    let training = dataset(&data.train, data.train_images, seed)?;
    let validation = (data.validation.as_ref())
        .map(|path| dataset(path, data.validation_images, seed.wrapping_add(1)))
        .transpose()?;
    let checkpoint = match run {
        Some(run) if run.has_checkpoint()? => Some(run.load(Which::Last)?),
        _ => None,
    };
    let operator = problem.operator.as_ref();
    let mut spec = ModelSpec::measure(&config.model, operator, &store)?;
    if let Some(checkpoint) = &checkpoint {
        spec.adopt_norm(&checkpoint.model)?;
    }
    let recipe = config.recipe();
    let mut trainer = Trainer::new(gpu, &spec, operator, &recipe, training, validation)?;
    if let Some(checkpoint) = &checkpoint {
        trainer.restore(checkpoint)?;
    }
    Ok(trainer)
}
