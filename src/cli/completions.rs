//! `completions`: what a shell needs to complete our arguments.

use clap::CommandFactory;

use super::args::{Cli, CompletionsArgs};
use super::{Failure, exit, output};

/// Runs the command.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(args: &CompletionsArgs) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "dotfill", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(exit::DONE)
}
