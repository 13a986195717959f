//! `digest`: what the rows hold, small enough to be sent to another replica.

use super::args::DigestArgs;
use super::{Failure, exit, output, which};
use crate::engine;

/// Runs the command. Its result is JSON for people and machines alike.
///
/// # Errors
/// [`Failure`]; nothing is written in any case.
pub fn run(args: &DigestArgs) -> Result<u8, Failure> {
    let migration = which::migration(&args.one)?;
    let report = engine::digest(&args.one.db.db, &migration, args.threads)?;
    let text = report
        .to_json()
        .map_err(|error| Failure::new(exit::FAILED, format!("cannot write JSON: {error}")))?;
    output::print(&format!("{text}\n"))?;
    Ok(exit::DONE)
}
