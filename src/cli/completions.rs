//! `equilens completions`.

use super::Cli;
use super::global::Session;
use crate::error::Result;
use clap::{Args, CommandFactory};
use std::process::ExitCode;

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  equilens completions bash > ~/.local/share/bash-completion/completions/equilens
  equilens completions zsh > ~/.zfunc/_equilens")]
pub(super) struct Arguments {
    /// The shell
    shell: clap_complete::Shell,
}

pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Cli::command(),
        "equilens",
        &mut script,
    );
    session.console.raw(&script)?;
    Ok(ExitCode::SUCCESS)
}
