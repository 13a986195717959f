//! `run`: the backfill itself, and what it did.

use std::fmt::Write;

use serde_json::json;

use super::args::RunArgs;
use super::progress::Show;
use super::{Context, Failure, exit, export, next, output, ramp, units, which};
use crate::db::quote::ident;
use crate::engine::{self, ChangeReport, Outcome, RunReport};
use crate::migration::Migration;

/// Runs the command.
///
/// # Errors
/// [`Failure`]; what was committed stays, and the same command continues from there.
pub fn run(args: &RunArgs, context: &Context) -> Result<u8, Failure> {
    let migration = which::migration(&args.one)?;
    let mut options = args.tuning.resolve(&context.cancel);
    options.follow = args.follow;
    options.close = args.close;
    options.retry = args.retry;
    options.recheck = args.recheck;
    let streams = args.deltas.as_deref() == Some("-");
    if let Some(reason) = ramp::outside(args.tuning.nodes_percent, &args.one.db.db)? {
        return skip(&migration, &reason, streams, context);
    }
    let show = Show::new(context.voice, &context.bars);
    let db = &args.one.db.db;
    let result = match &args.deltas {
        None => engine::run(db, &migration, &options, &show),
        Some(deltas) => {
            let destination = export::destination(deltas);
            engine::run_with_deltas(db, &migration, destination, &options, &show)
        }
    };
    show.finish();
    let report = result?;
    export::tell(context.voice.json, streams, &report, || render(&report, args))?;
    Ok(exit::of(report.outcome))
}

/// Says that a replica is not in the ramp yet.
fn skip(
    migration: &Migration,
    reason: &str,
    streams: bool,
    context: &Context,
) -> Result<u8, Failure> {
    let id = migration.id.as_str();
    let report = json!({"migration": id, "outcome": "skipped", "reason": reason});
    let text = || format!("{id}: nothing done, {reason}\n");
    export::tell(context.voice.json, streams, &report, text)?;
    Ok(exit::DONE)
}

/// The report for people.
fn render(report: &RunReport, args: &RunArgs) -> String {
    if report.attached {
        return render_attached(report, args);
    }
    let count = units::count;
    let mut rows =
        format!("{} of {} written", count(report.rows_written), count(report.rows_total));
    for (n, what) in [
        (report.rows_unchanged, "right already"),
        (report.rows_user_written, "users', left alone"),
        (report.rows_skipped, "skipped: their expression fails, or they are malformed"),
        (report.dirty_rows, "noted, to be derived again"),
    ] {
        if n > 0 {
            let _ = write!(rows, "; {} {what}", count(n));
        }
    }
    let mut lines = Vec::new();
    if report.changes.is_empty() || report.changes.iter().any(|change| change.index.is_none()) {
        lines.push(("rows", rows));
        lines.push((
            "records",
            format!(
                "{} change records, {} of fields",
                count(report.change_records_written),
                units::bytes(report.wire_bytes)
            ),
        ));
    }
    lines.extend(report.changes.iter().filter_map(index));
    if args.deltas.is_some() {
        let whole = if report.delta_digest.is_some() { "a whole chain" } else { "not whole yet" };
        let (rows, bytes) = (report.delta_rows, report.delta_bytes);
        lines.push(("deltas", format!("{} rows, {}, {whole}", count(rows), units::bytes(bytes))));
    }
    lines.push(("WAL", format!("{} at most", units::bytes(report.wal_bytes_max))));
    let indexes_only = !lines.iter().any(|(what, _)| *what == "rows");
    lines.push((
        "time",
        if indexes_only {
            units::seconds(report.seconds)
        } else {
            units::work_time(report.seconds, report.rows_per_second, report.throttled_seconds)
        },
    ));
    if let Some(digest) = report.digest.as_ref().filter(|_| !indexes_only) {
        lines.push(("digest", digest.chars().take(16).collect()));
    }
    lines.push(("next", what_next(report, args)));
    let reason = report.reason.as_ref().map_or_else(String::new, |r| format!(": {r}"));
    format!(
        "{}: {}{reason}\n{}",
        report.migration,
        outcome(report.outcome, &report.phase),
        output::aligned(&lines)
    )
}

/// What became of an index, where the change is one and it came to that.
fn index(change: &ChangeReport) -> Option<(&'static str, String)> {
    let index = change.index.as_ref()?;
    let built = match index.build_seconds {
        Some(seconds) => format!("built, the write lock held for {}", units::seconds(seconds)),
        None => "was there with this definition".to_owned(),
    };
    let (name, table) = (ident(&change.column), ident(&change.table));
    let proof = format!("{} entries for as many rows of {table}", units::count(index.entries));
    Some(("index", format!("{name} {built}; {proof}")))
}

/// What somebody else has done.
fn render_attached(report: &RunReport, args: &RunArgs) -> String {
    let count = units::count;
    let mut rows = match report.outcome {
        Outcome::Complete => format!("{} proven by another process", count(report.rows_total)),
        _ => "another process worked on them".to_owned(),
    };
    if report.dirty_rows > 0 {
        let _ = write!(rows, "; {} noted, to be derived again", count(report.dirty_rows));
    }
    let mut lines = vec![("rows", rows)];
    if let Some(digest) = &report.digest {
        lines.push(("digest", digest.chars().take(16).collect()));
    }
    lines.push(("next", what_next(report, args)));
    let reason = report.reason.as_ref().map_or_else(String::new, |r| format!(": {r}"));
    let state = match report.outcome {
        Outcome::Complete => outcome(report.outcome, &report.phase),
        _ => "no longer waiting".to_owned(),
    };
    format!("{}: {state}{reason}\n{}", report.migration, output::aligned(&lines))
}

fn outcome(outcome: Outcome, phase: &str) -> String {
    match outcome {
        Outcome::Complete => format!("done and proven, {phase}"),
        Outcome::Interrupted => "stopped early, resumable".to_owned(),
        Outcome::Budget => "budget passed, resumable".to_owned(),
        Outcome::Failed => "failed".to_owned(),
    }
}

fn is_index_only(report: &RunReport) -> bool {
    !report.changes.is_empty() && report.changes.iter().all(|change| change.index.is_some())
}

fn what_next(report: &RunReport, args: &RunArgs) -> String {
    let (migration, db) = (&args.one.migration, &args.one.db.db);
    let unfinished = args.deltas.as_ref().filter(|_| report.delta_digest.is_none());
    match unfinished.map(String::as_str) {
        None => {}
        Some("-") => {
            return format!(
                "{} --deltas - continues the fill, with a new stream of all rows",
                next("run", migration, db)
            );
        }
        Some(dir) => {
            return format!("{} --deltas {dir} continues both", next("run", migration, db));
        }
    }
    match (report.outcome, report.phase.as_str()) {
        (Outcome::Complete, "closed") => {
            format!("closed: {} removes our tables", next("forget", migration, db))
        }
        (Outcome::Complete, _) if report.changes.iter().any(|change| change.set.is_some()) => {
            format!(
                "open, and others' writes are noted: `dotfill advance {migration} --db {} --to MODE` \
                 leads on, mode by mode",
                db.display()
            )
        }
        (Outcome::Complete, _) if is_index_only(report) => {
            format!("SQLite follows an index itself: {}", next("close", migration, db))
        }
        (Outcome::Complete, _) => format!(
            "open, changed rows are noted: {} when no old client writes any more",
            next("close", migration, db)
        ),
        (Outcome::Budget, _) => format!(
            "raise the budget in the migration file, then {} continues",
            next("run", migration, db)
        ),
        (_, "open") => format!("open, changed rows are noted: {}", next("close", migration, db)),
        (_, _) => format!("{} continues", next("run", migration, db)),
    }
}
