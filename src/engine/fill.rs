//! Filling one change from its checkpoint to its end, beginning again where the schema changed.

use super::job::Job;
use super::pipeline::{Mode, Pipeline};
use super::proof::Findings;
use super::{ChangeReport, RunError, Stop};
use crate::db::DbError;
use crate::layout::{Delivery, Target};
use crate::monitor::Stage;
use crate::plan::expression_cost;
use crate::split::Position;
use crate::state::ChangeRow;
use crate::write::WriteError;

/// From about this cost of the expression per row on, parallel readers pay off (measured, see
/// DESIGN): the writer's own UPDATE evaluates anything cheaper.
const READERS_FROM_NS: u64 = 700;
/// How often the fill begins again because the schema changed under it.
const RESTARTS: u32 = 100;

/// How a fill ended.
pub(super) enum Filled {
    /// Every row was passed. Where the whole table was proven on the way, what was found.
    Done(Option<Findings>),
    /// It stopped early.
    Stopped(Stop),
}

/// Fills `target` from the checkpoint of `change`.
pub(super) fn fill(
    job: &mut Job<'_>,
    target: &Target,
    change: &mut ChangeRow,
    report: &mut ChangeReport,
) -> Result<Filled, RunError> {
    let mode = choose(job, target, report)?;
    for _ in 0..RESTARTS {
        let start = start(job, target, change);
        let from_start = start.is_none();
        if from_start {
            change.counters.rows_passed = 0;
        }
        if let Some(ship) = &job.ship {
            let rows = change.counters.rows_passed;
            ship.filled(change, start.as_ref(), job.session.schema_version(), rows);
        }
        let (done, total) = (change.counters.rows_passed, change.rows_total);
        job.pace.stage(Stage::Filling, done, total);
        let pipeline = Pipeline { target, mode, start, prove: from_start };
        match pipeline.run(job, change) {
            Ok(Filled::Done(findings)) => {
                // Rows that were renumbered meanwhile may have slipped past the provers.
                let sound = target.table.scan.stable || !job.session.schema_changed()?;
                return Ok(Filled::Done(findings.filter(|_| from_start && sound)));
            }
            Ok(stopped) => return Ok(stopped),
            Err(RunError::Write(WriteError::SchemaChanged)) => {
                job.monitor.note("the schema changed: looking again");
                if job.look_again(target)? {
                    change.checkpoint = None;
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(WriteError::SchemaChanged.into())
}

/// Where to begin: the checkpoint, unless rows may have been renumbered since it was written.
fn start(job: &Job<'_>, target: &Target, change: &ChangeRow) -> Option<Position> {
    let same = change.checkpoint_schema == Some(job.session.schema_version());
    let position = change.checkpoint.as_deref().and_then(Position::from_text)?;
    (position.0.len() == target.table.scan.terms.len() && (target.table.scan.stable || same))
        .then_some(position)
}

/// Measures the expression and decides who evaluates it.
fn choose(job: &Job<'_>, target: &Target, report: &mut ChangeReport) -> Result<Mode, DbError> {
    let cost = expression_cost(job.session.conn(), target, None)?;
    let ns = u64::try_from(cost.as_nanos()).unwrap_or(u64::MAX);
    report.expression_ns_per_row = Some(ns);
    let ranged = target.delivery == Delivery::Native || job.threads() < 2;
    let mode = if ns >= READERS_FROM_NS && !ranged { Mode::Readers } else { Mode::Writer };
    let who = match mode {
        Mode::Writer => "writer",
        Mode::Readers => "readers",
    };
    who.clone_into(&mut report.evaluated_by);
    Ok(mode)
}
