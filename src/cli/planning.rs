//! `plan`: what a migration will cost. The table for people is in `plan.rs`.

use super::args::PlanArgs;
use super::{Failure, exit, output, plan, which};
use crate::plan::PlanOptions;

/// Runs the command.
///
/// # Errors
/// [`Failure`]; nothing is written in any case.
pub fn run(args: &PlanArgs, json: bool) -> Result<u8, Failure> {
    let migration = which::migration(&args.one)?;
    let options =
        PlanOptions { replicas: args.replicas, exact: args.exact, ..PlanOptions::default() };
    let plan = crate::plan::plan(&args.one.db.db, &migration, &options)?;
    if json {
        output::print_json(&plan)?;
    } else {
        output::print(&plan::render(&plan))?;
    }
    Ok(exit::DONE)
}
