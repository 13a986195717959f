//! `rollback`: our cells back to NULL.

use std::fmt::Write;

use super::advance::conditions;
use super::args::RollbackArgs;
use super::progress::Show;
use super::{Context, Failure, exit, next, output, units, which};
use crate::engine::{self, BackReport, Outcome, RunOptions};
use crate::migration::{Change, Migration};
use crate::state::Mode;

/// Runs the command.
///
/// # Errors
/// [`Failure`]; the same command continues.
pub fn run(args: &RollbackArgs, context: &Context) -> Result<u8, Failure> {
    let migration = which::migration(&args.one)?;
    let options = args.tuning.resolve(&context.cancel);
    if let Some(to) = args.to {
        return back(args, &migration, to.into(), &options, context);
    }
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
    let indexes_only = migration.changes.iter().all(|c| matches!(c, Change::Index(_)));
    let what = match (is_set, indexes_only) {
        (_, true) => String::new(),
        (true, false) => format!("; {cleared} cells set to NULL or adds deleted"),
        (false, false) => format!("; {cleared} cells set to NULL"),
    };
    let text = if report.outcome == Outcome::Complete {
        format!(
            "{}: rolled back{what} in {}\n{}  next  {} removes our tables\n",
            report.migration,
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

/// Goes back to a mode.
fn back(
    args: &RollbackArgs,
    migration: &Migration,
    to: Mode,
    options: &RunOptions,
    context: &Context,
) -> Result<u8, Failure> {
    let show = Show::new(context.voice, &context.bars);
    let result = engine::roll_back_to(&args.one.db.db, migration, to, options, &show);
    show.finish();
    let report = result?;
    if context.voice.json {
        output::print_json(&report)?;
    } else {
        output::print(&back_text(&report))?;
    }
    Ok(if report.safe { exit::of(report.outcome) } else { exit::GATE })
}

fn back_text(report: &BackReport) -> String {
    let id = &report.migration;
    let mut text = conditions(&report.conditions);
    let moved = match (report.safe, report.outcome) {
        (false, _) => format!("{id}: still in {}: going back is blocked\n", report.mode),
        (true, Outcome::Complete) => format!("{id}: {} -> {}\n", report.from, report.mode),
        (true, _) => format!(
            "{id}: still in {}: {}\n",
            report.mode,
            report.reason.as_deref().unwrap_or_default()
        ),
    };
    text.push_str(&moved);
    if !report.triggers_kept.is_empty() {
        let _ = writeln!(text, "  triggers that stay: {}", report.triggers_kept.join(", "));
    }
    text
}
