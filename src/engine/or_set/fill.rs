//! Filling one set from its checkpoint to its end, beginning again where the schema changed or where
//! so much was noted meanwhile that it is better drained first.

use super::pipeline::{Filled, Pipeline};
use super::{drain_all, look_again};
use crate::engine::job::Job;
use crate::engine::{RunError, Stop};
use crate::layout::or_set::ViewStage;
use crate::monitor::Stage;
use crate::split::Position;
use crate::state::ChangeRow;
use crate::write::{PreparedSet, WriteError, replace_view};

/// How often the fill begins again because the schema changed under it.
const RESTARTS: u32 = 100;

/// Fills the adds, unless that has been done; then has the view look for noted objects only.
pub(in crate::engine) fn fill(
    job: &mut Job<'_>,
    ready: &mut PreparedSet,
) -> Result<Option<Stop>, RunError> {
    if ready.change.filled {
        return Ok(None);
    }
    let mut restarts = 0;
    loop {
        let PreparedSet { target, change, .. } = &mut *ready;
        let start = change.checkpoint.as_deref().and_then(Position::from_text);
        let start = start.filter(|position| position.0.len() == target.table.key.len());
        if start.is_none() {
            change.counters.rows_passed = 0;
        }
        job.pace.stage(Stage::Filling, change.counters.rows_passed, change.rows_total);
        match (Pipeline { target, start }).run(job, change) {
            Ok(Filled::Done) => break,
            Ok(Filled::Stopped(stop)) => {
                save(job, change)?;
                return Ok(Some(stop));
            }
            Ok(Filled::Noted) => {
                if let Err(stop) = drain_all(job, ready)? {
                    return Ok(Some(stop));
                }
            }
            Err(RunError::Write(WriteError::SchemaChanged)) if restarts < RESTARTS => {
                restarts += 1;
                job.monitor.note("the schema changed: looking again");
                look_again(job, target)?;
            }
            Err(error) => return Err(error),
        }
    }
    end(job, ready)?;
    Ok(None)
}

fn save(job: &mut Job<'_>, change: &ChangeRow) -> Result<(), RunError> {
    job.session.transact_again(|conn| Ok(change.save(conn)?))?;
    Ok(())
}

/// Every object was passed.
fn end(job: &mut Job<'_>, ready: &mut PreparedSet) -> Result<(), RunError> {
    let mut change = ready.change.clone();
    change.filled = true;
    job.session.transact_again(|conn| {
        replace_view(conn, &ready.target, ViewStage::Following)?;
        Ok(change.save(conn)?)
    })?;
    job.session.accept_schema()?;
    ready.change = change;
    Ok(())
}
