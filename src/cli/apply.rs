//! `apply`: delta segments into a replica, and what that did.

use std::fmt::Write;
use std::path::PathBuf;

use serde_json::json;

use super::args::ApplyArgs;
use super::progress::Show;
use super::{Context, Failure, exit, next, output, ramp, units};
use crate::doctor::shell::word;
use crate::engine::{self, ApplyReport, Deltas, Outcome};

/// Runs the command.
///
/// # Errors
/// [`Failure`]; what was committed stays, and the same command continues from there.
pub fn run(args: &ApplyArgs, context: &Context) -> Result<u8, Failure> {
    let mut options = args.tuning.resolve(&context.cancel);
    options.follow = args.follow;
    if let Some(reason) = ramp::outside(args.tuning.nodes_percent, &args.db.db)? {
        if context.voice.json {
            output::print_json(&json!({"outcome": "skipped", "reason": reason}))?;
        } else {
            output::print(&format!("nothing done, {reason}\n"))?;
        }
        return Ok(exit::DONE);
    }
    let deltas = match args.deltas.as_str() {
        "-" => Deltas::Stream(Box::new(std::io::stdin())),
        folder => Deltas::Folder(PathBuf::from(folder)),
    };
    let show = Show::new(context.voice, &context.bars);
    let result = engine::apply(&args.db.db, deltas, &options, &show);
    show.finish();
    let report = result?;
    if context.voice.json {
        let mut value = json!(report);
        if report.ranges_unlike > 0 {
            value["remedy"] = json!(remedy(&report, args));
        }
        output::print_json(&value)?;
    } else {
        output::print(&render(&report, args))?;
    }
    Ok(exit::of(report.outcome))
}

/// The report for people.
fn render(report: &ApplyReport, args: &ApplyArgs) -> String {
    let count = units::count;
    let mut rows = format!("{} of {} written", count(report.rows_written), count(report.rows));
    for (n, what) in [
        (report.rows_unchanged, "right already"),
        (report.rows_user_written, "users', left alone"),
        (report.rows_noted, "other than here, where values are derived: noted"),
        (report.rows_derived, "derived again"),
        (report.rows_deleted, "deleted here"),
        (report.rows_arrived, "that waited have arrived"),
        (report.rows_pending, "not here yet, remembered"),
        (report.rows_changed, "in ranges that have changed since they were applied"),
        (report.rows_unlike, "NOT written, in ranges that have other keys here"),
    ] {
        if n > 0 {
            let _ = write!(rows, "; {} {what}", count(n));
        }
    }
    let mut lines = vec![
        ("rows", rows),
        (
            "deltas",
            format!("{} in {} segments", units::bytes(report.delta_bytes), count(report.segments)),
        ),
        ("WAL", format!("{} at most", units::bytes(report.wal_bytes_max))),
    ];
    lines.push((
        "time",
        units::work_time(report.seconds, report.rows_per_second, report.throttled_seconds),
    ));
    if report.ranges_unlike > 0 {
        let [keys, export, apply] = remedy(report, args);
        lines.push((
            "next",
            "bring what is missing, with a new digest of the keys here:".to_owned(),
        ));
        lines.extend([("here", keys), ("there", export), ("here", apply)]);
    } else {
        lines.push(("next", what_next(report, args)));
    }
    let state = match (&report.outcome, &report.reason) {
        (Outcome::Complete, _) => format!("applied and found in the data, {}", report.phase),
        (Outcome::Failed, Some(reason)) => format!("NOT complete: {reason}"),
        (_, Some(reason)) => format!("stopped early, resumable: {reason}"),
        (_, None) => "stopped early, resumable".to_owned(),
    };
    format!("{}: {state}\n{}", report.migration, output::aligned(&lines))
}

/// The commands that bring what is missing; SENDER is the file of the replica that exported.
fn remedy(report: &ApplyReport, args: &ApplyArgs) -> [String; 3] {
    let id = &report.migration;
    let db = word(&args.db.db.display().to_string());
    let keys = format!("{id}-keys.json");
    let deltas = match args.deltas.as_str() {
        "-" => format!("{id}-deltas"),
        folder => word(&format!("{}-more", folder.trim_end_matches('/'))),
    };
    [
        format!("dotfill digest {id} --db {db} --keys > {keys}"),
        format!("dotfill export {id} --db SENDER --keys-of {keys} --deltas {deltas}"),
        format!("dotfill apply {deltas} --db {db}"),
    ]
}

fn what_next(report: &ApplyReport, args: &ApplyArgs) -> String {
    let (id, db) = (&report.migration, &args.db.db);
    let again = format!("`dotfill apply {} --db {}`", args.deltas, db.display());
    if report.outcome != Outcome::Complete {
        return format!("{again} continues");
    }
    if report.rows_pending > 0 {
        return format!("{again} again, when the rows that are missing have arrived");
    }
    match report.phase.as_str() {
        "applied" => format!(
            "{} compares with the other replicas, {} ends it",
            next("digest", id, db),
            next("close", id, db)
        ),
        "open" if report.rows_noted > 0 => format!(
            "{} --against OTHER tells whether the replicas hold the same now",
            next("verify", id, db)
        ),
        "open" => format!("{} goes on deriving", next("run", id, db)),
        _ => format!("{} --against OTHER compares", next("verify", id, db)),
    }
}
