//! `export --snapshot`: the new form of sets, for clients that begin from it.

use std::path::PathBuf;

use super::args::ExportArgs;
use super::export::tell;
use super::progress::Show;
use super::{Context, Failure, exit, output, units, which};
use crate::engine::{self, SnapshotReport, SnapshotTo};

/// Runs the command. Where the lines go to standard output, the report goes to standard error.
///
/// # Errors
/// [`Failure`]; no file is made or changed then.
pub fn run(args: &ExportArgs, to: &str, context: &Context) -> Result<u8, Failure> {
    let migration = which::migration(&args.one)?;
    let streams = to == "-";
    let place = if streams {
        SnapshotTo::Stream(Box::new(std::io::stdout()))
    } else {
        SnapshotTo::File(PathBuf::from(to))
    };
    let show = Show::new(context.voice, &context.bars);
    let result = engine::snapshot(&args.one.db.db, &migration, place, &context.cancel, &show);
    show.finish();
    let report = result?;
    tell(context.voice.json, streams, &report, || render(&report))?;
    Ok(exit::DONE)
}

fn render(report: &SnapshotReport) -> String {
    let count = units::count;
    let held = &report.counts;
    let lines = [
        ("objects", format!("{}, in {}", count(held.objects), report.mode)),
        ("elements", format!("{} visible, by {} dots", count(held.elements), count(held.dots))),
        ("removes", count(held.removes)),
        ("digest", report.digest.clone()),
        ("time", format!("{}, {}", units::seconds(report.seconds), units::bytes(report.bytes))),
    ];
    format!("{}: the new form is written\n{}", report.migration, output::aligned(&lines))
}
