//! `digest`: what the rows hold, small enough to be sent to another replica.

use std::sync::Arc;

use super::args::DigestArgs;
use super::progress::Show;
use super::{Context, Failure, exit, output, which};
use crate::engine::{self, LookOptions};

/// Runs the command. Its result is JSON for people and machines alike.
///
/// # Errors
/// [`Failure`]; nothing is written in any case.
pub fn run(args: &DigestArgs, context: &Context) -> Result<u8, Failure> {
    let migration = which::migration(&args.one)?;
    let options = LookOptions {
        threads: args.threads,
        cancel: Arc::clone(&context.cancel),
        ..LookOptions::default()
    };
    let show = Show::new(context.voice, &context.bars);
    if args.keys {
        let result = engine::key_digest(&args.one.db.db, &migration, &options, &show);
        show.finish();
        output::print(&format!("{}\n", result?.to_json()))?;
        return Ok(exit::DONE);
    }
    let result = engine::digest(&args.one.db.db, &migration, &options, &show);
    show.finish();
    let report = result?;
    let text = report
        .to_json()
        .map_err(|error| Failure::new(exit::FAILED, format!("cannot write JSON: {error}")))?;
    output::print(&format!("{text}\n"))?;
    Ok(exit::DONE)
}
