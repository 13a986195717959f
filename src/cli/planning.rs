//! `plan`: what a migration will cost. The renderer is in `plan.rs`.

use super::args::PlanArgs;
use super::{Failure, which};

/// Runs the command.
///
/// # Errors
/// [`Failure`]; nothing is written in any case.
pub fn run(args: &PlanArgs, _json: bool) -> Result<u8, Failure> {
    which::migration(&args.one)?;
    Err(Failure::refused("plan is not in this build yet"))
}
