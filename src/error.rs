//! One error type for the whole crate, divided by cause.
//!
//! Every message is one paragraph that says what went wrong, where, and what to do. The command
//! line maps each cause to a documented exit code with [`Error::exit_code`].

use std::path::{Path, PathBuf};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong, by cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two shapes do not fit, or an operation is used outside its domain. Found while recording.
    #[error("shape error in {op}: {message}")]
    Shape {
        /// The operation that was being recorded.
        op: &'static str,
        /// Both shapes and what was expected.
        message: String,
    },
    /// No gradient rule exists for an operation that stands between the loss and a parameter.
    #[error(
        "no gradient for {op}: it stands between the loss and a variable that a gradient was asked for"
    )]
    NoGradient {
        /// The operation without a rule.
        op: &'static str,
    },
    /// No adapter, a lost device, or a limit that the adapter does not reach.
    #[error("{0}")]
    Device(String),
    /// A WGSL source that does not compose, validate or reflect as the Rust side expects.
    #[error("shader error: {0}")]
    Shader(String),
    /// An input file or array that cannot be used.
    #[error("{}: {message}", .path.display())]
    Data {
        /// The file, or a name for an array that did not come from a file.
        path: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
    /// A configuration, flag or argument that cannot be used.
    #[error("{0}")]
    Config(String),
    /// The operating system refused a file operation.
    #[error("{}: cannot {action}: {source}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The verb, for "cannot VERB": `read`, `write`, `create`.
        action: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A computation produced a NaN or an infinity.
    #[error("not a finite number: {0}")]
    NotFinite(String),
    /// A plan needs more memory than the adapter offers.
    #[error(
        "not enough GPU memory: {needed} bytes are needed and {available} bytes are available; {advice}"
    )]
    OutOfMemory {
        /// Bytes that the plan or one of its buffers takes.
        needed: u64,
        /// Bytes that the adapter, or its largest binding, offers.
        available: u64,
        /// The way out.
        advice: String,
    },
    /// The run was interrupted by the user after its state had been saved.
    #[error("interrupted: {0}")]
    Interrupted(String),
}

impl Error {
    /// A [`Error::Shape`].
    pub fn shape(op: &'static str, message: impl Into<String>) -> Self {
        Error::Shape {
            op,
            message: message.into(),
        }
    }

    /// A [`Error::Data`] about `path`.
    pub fn data(path: impl AsRef<Path>, message: impl Into<String>) -> Self {
        Error::Data {
            path: path.as_ref().to_path_buf(),
            message: message.into(),
        }
    }

    /// A [`Error::Io`]: `action` is the verb in "cannot VERB".
    pub fn io(path: impl AsRef<Path>, action: &'static str, source: std::io::Error) -> Self {
        Error::Io {
            path: path.as_ref().to_path_buf(),
            action,
            source,
        }
    }

    /// The same error told of the file `path`, whose contents caused it.
    pub fn about(self, path: &Path) -> Self {
        match self {
            Error::Data { message, .. } => Error::data(path, message),
            Error::NotFinite(message) => Error::NotFinite(format!("{}: {message}", path.display())),
            other => other,
        }
    }

    /// The same error with the name of the configuration file in front of a message about one of
    /// its keys.
    pub fn in_config(self, path: &Path) -> Self {
        match self {
            Error::Config(message) => Error::Config(format!("{}: {message}", path.display())),
            other => other,
        }
    }

    /// The process exit code that the command line documents for this cause.
    ///
    /// 2 wrong usage or configuration, 3 no usable adapter, 4 bad input data, 5 out of memory,
    /// 130 interrupted, 70 a bug in equilens.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Config(_) => 2,
            Error::Device(_) => 3,
            Error::Data { .. } | Error::Io { .. } | Error::NotFinite(_) => 4,
            Error::OutOfMemory { .. } => 5,
            Error::Interrupted(_) => 130,
            Error::Shape { .. } | Error::NoGradient { .. } | Error::Shader(_) => 70,
        }
    }
}
