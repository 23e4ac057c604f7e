//! The problem file that several commands take.

use crate::config::parse_toml;
use crate::error::{Error, Result};
use crate::files;
use crate::operators::RayTransform;
use crate::problems::{OperatorConfig, Problem, ProblemConfig};
use std::path::{Path, PathBuf};

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
    /// [`Error::Io`] if the file cannot be read, [`Error::Config`] that names the file and the key.
    pub fn read(&self) -> Result<Problem> {
        let text = files::read_text(&self.path)?;
        let config: ProblemConfig = parse_toml(&self.path, &text)?;
        Problem::new(&config).map_err(|e| in_file(&self.path, e))
    }
}

/// Puts the file's name in front of a message about one of its keys.
pub(super) fn in_file(path: &Path, error: Error) -> Error {
    match error {
        Error::Config(message) => Error::Config(format!("{}: {message}", path.display())),
        other => other,
    }
}

/// The ray transform of a problem.
///
/// # Errors
/// [`Error::Config`] if the problem has another operator.
pub(super) fn ray_transform(problem: &Problem) -> Result<RayTransform> {
    match &problem.config.operator {
        OperatorConfig::RayTransform(config) => Ok(RayTransform::new(config.geometry(1)?)),
    }
}
