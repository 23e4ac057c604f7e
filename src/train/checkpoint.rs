//! The state of a training run on disk: a directory that appears whole or not at all.

use super::config::ModelSpec;
use super::tensor_file::{self, TensorFile};
use crate::error::{Error, Result};
use crate::files;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The network: one tensor for each named parameter.
const MODEL: &str = "model.safetensors";
/// Adam's moments, `m.` and `v.` before each parameter's name.
const OPTIMISER: &str = "optimiser.safetensors";
const PREFIXES: [&str; 2] = ["m.", "v."];
/// Raised when older programs cannot read what this one writes.
const FORMAT: u32 = 3;

/// Parameters, and everything else that training from there on depends on.
#[derive(Clone, PartialEq, Debug)]
pub struct Checkpoint {
    /// The network.
    pub model: ModelSpec,
    /// How far training has come.
    pub state: TrainingState,
    /// The flat parameters.
    pub parameters: Vec<f32>,
    /// Adam's moments `m` and `v`, flat like the parameters; only needed to go on training.
    pub moments: Option<[Vec<f32>; 2]>,
}

/// How far training has come.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TrainingState {
    /// Steps done.
    pub step: u64,
    /// The seed of the run.
    pub seed: u64,
    /// Seconds of training, over all resumptions.
    pub seconds: f64,
    /// The best validation so far: the greatest mean PSNR, or the least loss where training knows no
    /// ground truth.
    pub best: Option<f64>,
    /// Validations since then.
    pub stale: u64,
    /// The numbers that the loss carries from step to step.
    pub loss: Vec<f32>,
}

/// What stands in the metadata of both files.
#[derive(Serialize, Deserialize)]
struct Description {
    format: u32,
    model: ModelSpec,
    state: TrainingState,
}

impl Checkpoint {
    /// Creates or replaces the directory `path`, atomically: see [`files::write_directory`].
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Shape`] if the vectors are not those of the network.
    pub fn save(&self, path: &Path) -> Result<()> {
        let model = self.model.build()?;
        let len = model.parameters().values();
        let moments = self.moments.iter().flatten();
        if let Some(wrong) =
            (std::iter::once(&self.parameters).chain(moments)).find(|values| values.len() != len)
        {
            return Err(Error::shape(
                "checkpoint",
                format!("{} values for {len} parameters", wrong.len()),
            ));
        }
        let description = Description {
            format: FORMAT,
            model: self.model.clone(),
            state: self.state.clone(),
        };
        let write = |path: &Path, parts: &[tensor_file::Part]| {
            tensor_file::write(path, model.parameters(), parts, &description)
        };
        files::write_directory(path, |directory| {
            write(&directory.join(MODEL), &[("", &self.parameters)])?;
            match &self.moments {
                None => Ok(()),
                Some([m, v]) => {
                    let parts = [(PREFIXES[0], &m[..]), (PREFIXES[1], v)];
                    write(&directory.join(OPTIMISER), &parts)
                }
            }
        })
    }

    /// Reads the directory `path`, or the previous one if a crash interrupted its replacement.
    /// `expected` gives the network's settings and the images' channels (its norm is not compared):
    /// only a checkpoint of that network is read.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read; [`Error::Data`] that names the file, what is expected
    /// and what was found if it is damaged, truncated, of another network, holds a number that is
    /// not finite, or the two files belong to different steps.
    pub fn load(path: &Path, expected: &ModelSpec) -> Result<Self> {
        files::recover_directory(path)?;
        let file = path.join(MODEL);
        let (tensors, description) = open(&file)?;
        let Description { model, state, .. } = description;
        if let Some((key, found, wanted)) = model.difference(expected) {
            return Err(Error::data(
                &file,
                format!(
                    "it is a checkpoint of another model: {key} is {found} in the file, expected {wanted}"
                ),
            ));
        }
        if !(model.operator_norm.is_finite() && model.operator_norm > 0.0) {
            return Err(Error::data(
                &file,
                format!(
                    "operator_norm is {}, expected a positive number",
                    model.operator_norm
                ),
            ));
        }
        if !(1..=64).contains(&model.channels) {
            return Err(Error::data(
                &file,
                format!("channels is {}, expected 1 to 64", model.channels),
            ));
        }
        let network = model.build()?;
        let [parameters] = tensors.read(network.parameters(), [""])?;
        let file = path.join(OPTIMISER);
        let moments = if file.try_exists().map_err(|e| Error::io(&file, "read", e))? {
            let (tensors, other) = open(&file)?;
            if other.state.step != state.step {
                return Err(Error::data(
                    &file,
                    format!(
                        "it is of step {}, expected {} as in {MODEL}",
                        other.state.step, state.step
                    ),
                ));
            }
            let moments = tensors.read(network.parameters(), PREFIXES)?;
            if let Some(negative) = moments[1].iter().find(|v| **v < 0.0) {
                return Err(Error::data(
                    &file,
                    format!("a second moment is {negative}, expected none below 0"),
                ));
            }
            Some(moments)
        } else {
            None
        };
        Ok(Checkpoint {
            model,
            state,
            parameters,
            moments,
        })
    }

    /// The network and the state of a checkpoint, without its numbers.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn describe(path: &Path) -> Result<(ModelSpec, TrainingState)> {
        files::recover_directory(path)?;
        let (_, description) = open(&path.join(MODEL))?;
        Ok((description.model, description.state))
    }
}

fn open(file: &Path) -> Result<(TensorFile, Description)> {
    let tensors = TensorFile::open(file)?;
    /// Readable whatever the rest looks like.
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let Version { format } = tensors.description()?;
    if format != FORMAT {
        return Err(Error::data(
            file,
            format!(
                "it has checkpoint format {format}, expected {FORMAT}: use the version of equilens that wrote it"
            ),
        ));
    }
    let description = tensors.description()?;
    Ok((tensors, description))
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
