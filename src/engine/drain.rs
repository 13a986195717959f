//! Draining noted keys until none are left, or until it is clear that others note them faster.

use super::job::Job;
use super::proof::drainer;
use super::{RunError, Stop};
use crate::layout::Target;
use crate::monitor::Stage;
use crate::state::ChangeRow;
use crate::write::{Drained, WriteError, any_dirty, dirty_rows};

/// Notes from which on a round that leaves as many as it began with is the last one: others note them
/// faster than they are drained, and each further round would take longer than the one before.
pub(super) const ENOUGH: u64 = 500;

/// Drains at most what is noted now, in batches, and again while that leaves fewer; ends after ten
/// rounds, because others may note for ever. Returns what is left.
pub(super) fn drain_all(
    job: &mut Job<'_>,
    target: &Target,
    change: &mut ChangeRow,
) -> Result<Result<u64, Stop>, RunError> {
    const ROUNDS: u32 = 10;
    let mut left = dirty_rows(job.session.conn(), target.n)?;
    if left == 0 {
        return Ok(Ok(0));
    }
    job.pace.stage(Stage::Draining, 0, left);
    for _ in 0..ROUNDS {
        let began = left;
        let mut round = left;
        while round > 0 {
            match drain_batch(job, target, change)? {
                Err(stop) => return Ok(Err(stop)),
                Ok(drained) if drained.notes == 0 => break,
                Ok(drained) => round = round.saturating_sub(drained.notes),
            }
        }
        left = dirty_rows(job.session.conn(), target.n)?;
        if left == 0 || (left >= began && left > ENOUGH) {
            break;
        }
    }
    Ok(Ok(left))
}

/// Drains one batch, at the job's pace, looking again where the schema was changed.
pub(super) fn drain_batch(
    job: &mut Job<'_>,
    target: &Target,
    change: &mut ChangeRow,
) -> Result<Result<Drained, Stop>, RunError> {
    loop {
        match drain_known(job, target, change) {
            Err(RunError::Write(WriteError::SchemaChanged)) => job.look_again(target)?,
            other => return other,
        };
    }
}

/// Drains one batch, at the job's pace. A change of the schema is left to the caller, who may hold
/// positions that it makes void.
pub(super) fn drain_known(
    job: &mut Job<'_>,
    target: &Target,
    change: &mut ChangeRow,
) -> Result<Result<Drained, Stop>, RunError> {
    let rows = match job.pace.before_batch(&mut job.session)? {
        Ok(rows) => rows,
        Err(stop) => return Ok(Err(stop)),
    };
    // Whoever follows comes by five times a second: no write transaction for nothing.
    if !any_dirty(job.session.conn(), target.n)? {
        return Ok(Ok(Drained::default()));
    }
    // A drained key costs several look-ups, and may cost a change record.
    let limit = (rows / 4).clamp(1, job.pace.tuning().records_per_transaction.max(1));
    let done = drainer(job.migration.id.as_str(), target).drain(&mut job.session, change, limit)?;
    let notes = done.value.notes;
    let drained = job.pace.after_batch(done, notes.saturating_mul(4), 0);
    job.pace.passed(notes);
    Ok(Ok(drained))
}
