//! Standard output: the result, for people or as JSON.

use std::io::{ErrorKind, Write};

use serde::Serialize;

use super::Failure;
use super::exit;

/// Writes a result. A reader that has gone away is no failure of ours.
///
/// # Errors
/// When standard output cannot be written.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(exit::FAILED, format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a part of a result that is only done with once somebody has it: a reader that has gone
/// away is a failure.
///
/// # Errors
/// When standard output cannot be written.
pub fn print_through(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| {
        Failure::new(
            exit::FAILED,
            format!("cannot write to standard output: {error}; the same command prints it again"),
        )
    })
}

/// Writes one JSON value and a line break.
///
/// # Errors
/// When standard output cannot be written.
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(exit::FAILED, format!("cannot write JSON: {error}")))?;
    print(&format!("{text}\n"))
}

/// Writes a result to standard error, where standard output carries something else.
///
/// # Errors
/// When standard error cannot be written.
pub fn explain(text: &str) -> Result<(), Failure> {
    std::io::stderr().lock().write_all(text.as_bytes()).map_err(|error| {
        Failure::new(exit::FAILED, format!("cannot write to standard error: {error}"))
    })
}

/// As [`print_json`], to standard error.
///
/// # Errors
/// When standard error cannot be written.
pub fn explain_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(exit::FAILED, format!("cannot write JSON: {error}")))?;
    explain(&format!("{text}\n"))
}

/// Aligned lines of a name and what is to be said of it.
#[must_use]
pub fn aligned(lines: &[(&str, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    lines.iter().map(|(name, text)| format!("  {name:width$}  {text}\n")).collect()
}
