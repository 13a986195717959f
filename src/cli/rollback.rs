//! `rollback`: our cells back to NULL.

use super::args::JobArgs;
use super::progress::Show;
use super::{Context, Failure, exit, next, output, units, which};
use crate::engine::{self, Outcome};
use crate::migration::Change;

/// Runs the command.
///
/// # Errors
/// [`Failure`]; the same command continues.
pub fn run(args: &JobArgs, context: &Context) -> Result<u8, Failure> {
    let migration = which::migration(&args.one)?;
    let options = args.tuning.resolve(&context.cancel);
    let show = Show::new(context.voice, &context.bars);
    let result = engine::rollback(&args.one.db.db, &migration, &options, &show);
    show.finish();
    let report = result?;
    if context.voice.json {
        output::print_json(&report)?;
        return Ok(exit::of(report.outcome));
    }
    let (name, db) = (&args.one.migration, &args.one.db.db);
    let cleared = units::count(report.rows_cleared);
    let is_set = migration.changes.iter().any(|change| matches!(change, Change::OrSet(_)));
    let text = if report.outcome == Outcome::Complete {
        format!(
            "{}: rolled back; {cleared} {} in {}\n{}  next  {} removes our tables\n",
            report.migration,
            if is_set { "cells set to NULL or adds deleted" } else { "cells set to NULL" },
            units::seconds(report.seconds),
            report.kept.iter().map(|kept| format!("  {kept}\n")).collect::<String>(),
            next("forget", name, db)
        )
    } else {
        format!(
            "{}: rolled back in part ({cleared} cells): {}\n  next  {} continues\n",
            report.migration,
            report.reason.unwrap_or_default(),
            next("rollback", name, db)
        )
    };
    output::print(&text)?;
    Ok(exit::of(report.outcome))
}
