//! The problem file that several commands take.

use crate::error::{Error, Result};
use crate::operators::{FourierSampling, RayTransform};
use crate::problems::{OperatorConfig, Problem};
use std::path::PathBuf;

/// The problem file of a command.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ProblemFile {
    /// Problem file: its [operator] and its [noise]
    #[arg(long = "problem", value_name = "P.toml")]
    path: PathBuf,
}

impl ProblemFile {
    /// Reads the problem.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read, [`Error::Config`] that names the file and the key,
    /// [`Error::Data`] about a file that the problem names.
    pub fn read(&self) -> Result<Problem> {
        Problem::load(&self.path)
    }
}

/// The ray transform of a problem, for `method`.
///
/// # Errors
/// [`Error::Config`] if the problem has another operator.
pub(super) fn ray_transform(problem: &Problem, method: &str) -> Result<RayTransform> {
    match &problem.config.operator {
        OperatorConfig::RayTransform(config) => Ok(RayTransform::new(config.geometry(1)?)),
        other => Err(wrong_kind(method, "ray_transform", other)),
    }
}

/// The sampled Fourier transform of a problem, for `method`.
///
/// # Errors
/// [`Error::Config`] if the problem has another operator.
pub(super) fn fourier(problem: &Problem, method: &str) -> Result<FourierSampling> {
    match &problem.config.operator {
        OperatorConfig::Fourier(config) => config.operator(),
        other => Err(wrong_kind(method, "fourier", other)),
    }
}

fn wrong_kind(method: &str, needed: &str, found: &OperatorConfig) -> Error {
    let (found, instead) = match found {
        OperatorConfig::RayTransform(_) => ("ray_transform", "fbp, tv, cgls and landweber"),
        OperatorConfig::Fourier(_) => (
            "fourier",
            "zero-filled, root-sum-of-squares, tv, cgls and landweber",
        ),
    };
    Error::Config(format!(
        "{method} needs a problem with operator.kind = \"{needed}\", and this one's is \"{found}\": the methods for it are {instead}"
    ))
}
