//! `forget`: removes our traces.

use serde_json::json;

use super::args::OneArgs;
use super::{Failure, exit, output, which};
use crate::engine;

/// Runs the command.
///
/// # Errors
/// [`Failure`]; nothing was changed then.
pub fn run(args: &OneArgs, json: bool) -> Result<u8, Failure> {
    let id = which::id(&args.migration)?;
    engine::forget(&args.db.db, &id)?;
    if json {
        output::print_json(&json!({"migration": id, "outcome": "complete"}))?;
    } else {
        output::print(&format!("{id}: forgotten; its column and values stay\n"))?;
    }
    Ok(exit::DONE)
}
