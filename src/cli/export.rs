//! `export`: our cells as delta segments, in a folder or on standard output.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::args::ExportArgs;
use super::progress::Show;
use super::{Context, Failure, exit, keys_of, next, output, snapshot, units, which};
use crate::engine::{self, Destination, ExportOptions, ExportReport, Outcome};

/// Runs the command. Where the segments go to standard output, the report goes to standard error.
///
/// # Errors
/// [`Failure`]; what was written to a folder stays, and the same command continues it.
pub fn run(args: &ExportArgs, context: &Context) -> Result<u8, Failure> {
    if let Some(to) = &args.snapshot {
        return snapshot::run(args, to, context);
    }
    let migration = which::migration(&args.one)?;
    let keys_of = args.keys_of.as_deref().map(keys_of::read).transpose()?;
    let options = ExportOptions {
        threads: args.threads,
        only: args.only.clone(),
        keys_of,
        cancel: Arc::clone(&context.cancel),
    };
    let destination = destination(deltas(args));
    let show = Show::new(context.voice, &context.bars);
    let result = engine::export(&args.one.db.db, &migration, destination, &options, &show);
    show.finish();
    let report = result?;
    tell(context.voice.json, deltas(args) == "-", &report, || render(&report, args))?;
    Ok(exit::of(report.outcome))
}

/// Where deltas go, which is said wherever no snapshot is asked for.
fn deltas(args: &ExportArgs) -> &str {
    args.deltas.as_deref().unwrap_or_default()
}

/// Where deltas go: a folder, or standard output for `-`.
pub(super) fn destination(deltas: &str) -> Destination {
    match deltas {
        "-" => Destination::Stream(Box::new(std::io::stdout())),
        folder => Destination::Folder(PathBuf::from(folder)),
    }
}

/// Writes a report to standard output, or to standard error where deltas stream to the former.
pub(super) fn tell(
    json: bool,
    streams: bool,
    report: &impl Serialize,
    render: impl FnOnce() -> String,
) -> Result<(), Failure> {
    match (json, streams) {
        (true, false) => output::print_json(report),
        (true, true) => output::explain_json(report),
        (false, false) => output::print(&render()),
        (false, true) => output::explain(&render()),
    }
}

/// The report for people.
fn render(report: &ExportReport, args: &ExportArgs) -> String {
    let count = units::count;
    let mut rows = format!("{} exported", count(report.rows));
    for (n, what) in [
        (report.rows_implied, "without their keys, which the other replica has"),
        (report.rows_user, "users', which travel by themselves"),
        (report.rows_missing, "not here"),
        (report.rows_pending, "noted, to be derived again first: left out"),
    ] {
        if n > 0 {
            let _ = write!(rows, "; {} {what}", count(n));
        }
    }
    let mut lines = vec![("rows", rows)];
    if report.outcome == Outcome::Complete {
        lines.push((
            "deltas",
            format!(
                "{} in {} segments, {:.2} B a row",
                units::bytes(report.delta_bytes),
                count(report.segments),
                report.bytes_per_row
            ),
        ));
    }
    lines.push(("time", units::seconds(report.seconds)));
    lines.push(("next", what_next(report, args)));
    let state = match report.outcome {
        Outcome::Complete => "exported".to_owned(),
        _ => format!("stopped early, resumable: {}", report.reason.clone().unwrap_or_default()),
    };
    format!("{}: {state}\n{}", report.migration, output::aligned(&lines))
}

fn what_next(report: &ExportReport, args: &ExportArgs) -> String {
    let (migration, db) = (&args.one.migration, &args.one.db.db);
    let deltas = deltas(args);
    if report.outcome != Outcome::Complete {
        return match deltas {
            "-" => "a stream cannot be continued: repeat the command".to_owned(),
            _ => "the same command continues it".to_owned(),
        };
    }
    if report.rows_pending > 0 {
        return format!(
            "{} derives the noted rows; then export again, into another folder",
            next("run", migration, db)
        );
    }
    format!("`dotfill apply {deltas} --db FILE` on the replica that lacks the values")
}
