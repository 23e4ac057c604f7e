//! From a config to a trainer.

use super::config::{ModelSpec, Source, TrainConfig};
use super::dataset::{Dataset, load_images};
use super::run_dir::{RunDir, Which};
use super::trainer::Trainer;
use crate::data::stack::Stack;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::problems::Problem;
use crate::tape::plan::Store;

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
    let dataset = |source: Source, count, seed| {
        let (domain, range) = (problem.operator.domain(), problem.operator.range());
        match source {
            Source::Images(path) => {
                let (images, shape) = load_images(path, domain.c(), count)?;
                Dataset::simulate(&problem, &store, &images, shape, seed).map_err(|e| e.about(path))
            }
            Source::Measurements(path) => {
                let stack = Stack::measurements(path, range)?.first(path, count)?;
                Dataset::measured(stack.values, domain, range).map_err(|e| e.about(path))
            }
        }
    };
    let (data, seed) = (&config.data, config.training.seed);
    let training = dataset(data.training()?, data.train_images, seed)?;
    let validation = (data.validation()?)
        .map(|source| dataset(source, data.validation_images, seed.wrapping_add(1)))
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
