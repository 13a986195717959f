//! The backfill of both replicas, and what it must have left.

use std::sync::Arc;

use serde::Serialize;

use super::replica::Replica;
use super::{DemoError, Stage, Step};
use crate::engine::{self, Outcome, RunOptions, RunReport};

/// The backfill of one replica.
#[derive(Clone, Debug, Serialize)]
pub struct ReplicaRun {
    /// The name of its file.
    pub replica: String,
    /// What the run says.
    pub report: RunReport,
    /// The size of the file before, in bytes.
    pub file_bytes_before: u64,
    /// The size of the file after, in bytes.
    pub file_bytes_after: u64,
    /// Change records that appeared in the database meanwhile, counted there.
    pub change_records_found: u64,
}

/// Something that was promised.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What.
    pub what: String,
    /// Whether it held.
    pub held: bool,
}

/// Fills both replicas.
pub(super) fn backfill(stage: &mut Stage<'_>) -> Result<Vec<ReplicaRun>, DemoError> {
    let mut runs = Vec::new();
    for replica in stage.replicas() {
        let run = one(stage, &replica)?;
        (stage.say)(Step::Filled(&run));
        runs.push(run);
    }
    let rows = stage.made.rows;
    stage.check(
        "every row of both replicas was filled and proven from the data",
        runs.iter().all(|run| run.report.rows_written == rows && proven(&run.report) == rows),
    );
    let (a, b) = (&runs[0].report.digest, &runs[1].report.digest);
    stage.check("both replicas have the same digest", a.is_some() && a == b);
    let records: u64 =
        runs.iter().map(|run| run.change_records_found + run.report.change_records_written).sum();
    stage.check("no change record was written", records == 0);
    Ok(runs)
}

fn proven(report: &RunReport) -> u64 {
    report.changes.iter().map(|change| change.rows_proven).sum()
}

fn one(stage: &Stage<'_>, replica: &Replica) -> Result<ReplicaRun, DemoError> {
    let (before, records) = (replica.file_bytes()?, replica.clock_rows()?);
    let report = run(stage, replica)?;
    let name = replica.path.file_name().unwrap_or_default();
    Ok(ReplicaRun {
        replica: name.to_string_lossy().into_owned(),
        report,
        file_bytes_before: before,
        file_bytes_after: replica.file_bytes()?,
        change_records_found: replica.clock_rows()?.abs_diff(records),
    })
}

/// `dotfill run` on one replica.
pub(super) fn run(stage: &Stage<'_>, replica: &Replica) -> Result<RunReport, DemoError> {
    let options = RunOptions { cancel: Arc::clone(&stage.options.cancel), ..RunOptions::default() };
    let report = engine::run(&replica.path, &stage.migration, &options, stage.monitor)?;
    match report.outcome {
        Outcome::Complete => Ok(report),
        _ => Err(DemoError::Interrupted),
    }
}
