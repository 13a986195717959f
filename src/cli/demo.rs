//! `demo`: a placeholder, replaced by the real one.

use std::path::PathBuf;

use super::Failure;

/// What the demo makes.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Rows of the table.
    pub rows: u64,
    /// Where to keep the databases; a temporary folder where absent.
    pub folder: Option<PathBuf>,
    /// Print JSON.
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// Always, until it is replaced.
pub fn run(_options: &DemoOptions) -> Result<u8, Failure> {
    Err(Failure::refused("demo is not in this build yet"))
}
