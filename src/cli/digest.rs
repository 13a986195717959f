//! `digest`: what the rows hold, as numbers that replicas can compare.

use serde_json::json;

use super::args::DigestArgs;
use super::{Failure, exit, output, which};
use crate::engine;

/// Runs the command. Its result is JSON for people and machines alike.
///
/// # Errors
/// [`Failure`]; nothing is written in any case.
pub fn run(args: &DigestArgs) -> Result<u8, Failure> {
    let migration = which::migration(&args.one)?;
    let report = engine::verify(&args.one.db.db, &migration, args.threads)?;
    let changes: Vec<_> = report
        .changes
        .iter()
        .map(|change| {
            json!({
                "table": change.table,
                "column": change.column,
                "rows": change.rows_compared,
                "digest": change.digest,
            })
        })
        .collect();
    output::print_json(&json!({
        "migration": report.migration,
        "rows": report.rows_compared,
        "rows_pending": report.rows_pending,
        "digest": report.digest,
        "sqlite_version": report.sqlite_version,
        "changes": changes,
    }))?;
    Ok(exit::DONE)
}
