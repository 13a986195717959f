//! `doctor`: a placeholder, replaced by the real one.

use std::path::Path;

use super::Failure;

/// Runs the command.
///
/// # Errors
/// Always, until it is replaced.
pub fn run(_db: &Path, _json: bool) -> Result<u8, Failure> {
    Err(Failure::refused("doctor is not in this build yet"))
}
