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
        _ => Err(wrong_kind(method, "\"ray_transform\"", problem)),
    }
}

/// The sampled Fourier transform of a problem, for `method`.
///
/// # Errors
/// [`Error::Config`] if the problem has another operator.
pub(super) fn fourier(problem: &Problem, method: &str) -> Result<FourierSampling> {
    match &problem.config.operator {
        OperatorConfig::Fourier(config) => config.operator(),
        _ => Err(wrong_kind(method, "\"fourier\"", problem)),
    }
}

/// Checks that `method`, an operator's cheap inverse, is that of the problem's operator; `needed`
/// tells which kinds have it.
///
/// # Errors
/// [`Error::Config`] if it is not.
pub(super) fn check_direct(problem: &Problem, method: &str, needed: &str) -> Result<()> {
    if problem.operator.pseudo_inverse_name() == method {
        return Ok(());
    }
    Err(wrong_kind(method, needed, problem))
}

fn wrong_kind(method: &str, needed: &str, problem: &Problem) -> Error {
    let mut methods = vec![problem.operator.pseudo_inverse_name()];
    // Those are no commands of their own.
    methods.retain(|direct| !["adjoint", "averaged", "composed"].contains(direct));
    if matches!(problem.config.operator, OperatorConfig::Fourier(_)) {
        methods.push("root-sum-of-squares");
    }
    methods.push("tv");
    Error::Config(format!(
        "{method} needs a problem with operator.kind = {needed}, and this one's is \"{}\": the methods for it are {}, cgls, landweber and the other iterative ones of `equilens classical --help`",
        problem.config.operator.kind(),
        methods.join(", ")
    ))
}
