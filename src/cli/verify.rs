//! `verify`: the local proof, made again.

use std::fmt::Write;

use super::args::VerifyArgs;
use super::{Failure, exit, output, units, which};
use crate::engine::{self, Verdict, VerifyReport};

/// Runs the command.
///
/// # Errors
/// [`Failure`]; nothing is written in any case.
pub fn run(args: &VerifyArgs, json: bool) -> Result<u8, Failure> {
    if args.against.is_some() {
        return Err(Failure::refused(
            "--against is not in this version; compare what `dotfill digest` prints on each replica",
        ));
    }
    let migration = which::migration(&args.one)?;
    let report = engine::verify(&args.one.db.db, &migration, args.threads)?;
    if json {
        output::print_json(&report)?;
    } else {
        output::print(&render(&report))?;
    }
    Ok(match report.verdict {
        Verdict::Equal => exit::DONE,
        Verdict::Diverged => exit::DIVERGED,
        Verdict::Inconclusive => exit::FAILED,
    })
}

fn render(report: &VerifyReport) -> String {
    let mut text = format!(
        "{}: {}; {} rows compared in {}, {} differ\n",
        report.migration,
        report.verdict,
        units::count(report.rows_compared),
        units::seconds(report.seconds),
        units::count(report.rows_different)
    );
    if let Some(reason) = &report.reason {
        let _ = writeln!(text, "  {reason}");
    }
    for change in &report.changes {
        for example in &change.examples {
            let _ = writeln!(text, "  {}: row ({example})", change.table);
        }
    }
    if report.rows_pending > 0 {
        let pending = units::count(report.rows_pending);
        let _ = writeln!(text, "  {pending} rows are noted and will be derived again");
    }
    text
}
