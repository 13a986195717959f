//! `forget`: removes our traces.

use std::sync::Arc;

use serde_json::json;

use super::args::OneArgs;
use super::{Context, Failure, exit, output, which};
use crate::engine::{self, RunOptions};

/// Runs the command.
///
/// # Errors
/// [`Failure`]: 5 where another process is at work; nothing was changed then.
pub fn run(args: &OneArgs, context: &Context) -> Result<u8, Failure> {
    let id = which::id(&args.migration)?;
    let options = RunOptions { cancel: Arc::clone(&context.cancel), ..RunOptions::default() };
    engine::forget_with(&args.db.db, &id, &options)?;
    if context.voice.json {
        output::print_json(&json!({"migration": id, "outcome": "complete"}))?;
    } else {
        output::print(&format!("{id}: forgotten; its column and values stay\n"))?;
    }
    Ok(exit::DONE)
}
