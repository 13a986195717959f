//! Draining noted objects until none are left, or until it is clear that others note them faster.

use super::look_again;
use crate::db::Doing;
use crate::engine::drain::ENOUGH;
use crate::engine::job::Job;
use crate::engine::{RunError, Stop};
use crate::layout::or_set::{ViewStage, set_note_schema_drop};
use crate::monitor::Stage;
use crate::write::or_set::{SetCount, SetWriter};
use crate::write::{PreparedSet, WriteError, any_dirty, dirty_rows, replace_view};

/// Rounds of draining what was noted meanwhile.
const ROUNDS: u32 = 10;

/// Objects that one transaction reconciles at most: each costs several look-ups.
const OBJECTS_MAX: u64 = 2000;

/// Drains at most what is noted now, and again while that leaves fewer. Returns what is left.
pub(in crate::engine) fn drain_all(
    job: &mut Job<'_>,
    ready: &mut PreparedSet,
) -> Result<Result<u64, Stop>, RunError> {
    let mut left = dirty_rows(job.session.conn(), ready.target.n)?;
    if left == 0 {
        return Ok(Ok(0));
    }
    job.pace.stage(Stage::Draining, 0, left);
    for _ in 0..ROUNDS {
        let began = left;
        let mut round = left;
        while round > 0 {
            match drain_batch(job, ready)? {
                Err(stop) => return Ok(Err(stop)),
                Ok(drained) if drained.notes == 0 => break,
                Ok(drained) => round = round.saturating_sub(drained.notes),
            }
        }
        left = dirty_rows(job.session.conn(), ready.target.n)?;
        if left == 0 || (left >= began && left > ENOUGH) {
            break;
        }
    }
    Ok(Ok(left))
}

/// Drains one batch, at the job's pace, looking again where the schema was changed.
pub(in crate::engine) fn drain_batch(
    job: &mut Job<'_>,
    ready: &mut PreparedSet,
) -> Result<Result<SetCount, Stop>, RunError> {
    let PreparedSet { target, change, .. } = ready;
    loop {
        let rows = match job.pace.before_batch(&mut job.session)? {
            Ok(rows) => rows,
            Err(stop) => return Ok(Err(stop)),
        };
        // Whoever follows comes by five times a second: no write transaction for nothing.
        if !any_dirty(job.session.conn(), target.n)? {
            return Ok(Ok(SetCount::default()));
        }
        let limit = (rows / 8).clamp(1, OBJECTS_MAX);
        match SetWriter::new(target).drain(&mut job.session, change, limit) {
            Err(WriteError::SchemaChanged) => look_again(job, target)?,
            other => {
                let done = other?;
                let notes = done.value.notes;
                let count = job.pace.after_batch(done, notes.saturating_mul(8), 0);
                job.pace.passed(notes);
                return Ok(Ok(count));
            }
        }
    }
}

/// Ends the following of a set, inside the closing transaction: drains what is noted, drops triggers
/// and side tables, and leaves a view that needs none of them. False where more than `limit` objects
/// are noted.
pub(in crate::engine) fn finish_in(
    conn: &rusqlite::Connection,
    ready: &PreparedSet,
    limit: u64,
) -> Result<bool, WriteError> {
    let target = &ready.target;
    if dirty_rows(conn, target.n)? > limit {
        return Ok(false);
    }
    SetWriter::new(target).drain_in(conn, limit)?;
    replace_view(conn, target, ViewStage::Alone)?;
    conn.execute_batch(&set_note_schema_drop(target.n)).doing("drop our triggers")?;
    Ok(true)
}
