//! The end of a migration of sets: in which modes it may end, what has to be done first, and what stays
//! of a closed epoch.
//!
//! # Where it may end
//! - Up to `read-new-write-old` like a column: drained, proven, no longer followed.
//! - In `compact-old`, once nothing is left of the old form and nothing is undecided. The triggers that
//!   refuse a local write of the old form stay, in a form that needs nothing of ours
//!   ([`crate::phase::triggers::kept_schema`]).
//! - In between it may not: in `read-new-write-both` nobody would compare the two forms any more that
//!   applications write, in `read-new-write-new` nobody would decide old writes that arrive.

use rusqlite::Connection;

use super::compact::is_left;
use super::settle::settle_all;
use super::{facts, sets_of};
use crate::db::Doing;
use crate::engine::job::Job;
use crate::engine::{RunError, Stop};
use crate::layout::or_set::set_note_schema_drop;
use crate::phase::pending::pending_count;
use crate::phase::set::EpochSet;
use crate::phase::triggers::{drop_kept, kept_schema, side_tables_drop, standing, triggers_drop};
use crate::phase::validator::validator_drop;
use crate::state::{ChangeRow, MigrationRow, Mode, ModeRow, Phase};
use crate::write::WriteError;

/// How a migration is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Ending {
    /// What was derived stays.
    Close,
    /// What was derived goes.
    RollBack,
}

/// Refuses to end a migration in a mode in which it may not.
pub(in crate::engine) fn check_may_end(job: &Job<'_>, ending: Ending) -> Result<(), RunError> {
    let id = job.id();
    let row = ModeRow::read(job.session.conn(), id)?;
    let back = format!("`dotfill rollback {id} --to read-new-write-old` goes back first");
    let (why, remedy) = match (row.mode, ending) {
        (Mode::ReadOldWriteOld | Mode::ReadNewWriteOld, _) | (Mode::CompactOld, Ending::Close) => {
            return Ok(());
        }
        (Mode::CompactOld, Ending::RollBack) => (
            "the old form is being removed, or was",
            format!(
                "`dotfill close {id}` ends it; what old clients need is written again as a user"
            ),
        ),
        (Mode::ReadNewWriteBoth | Mode::ReadNewWriteNew, Ending::RollBack) => {
            ("its triggers stay with the migration", back)
        }
        (Mode::ReadNewWriteBoth, Ending::Close) => (
            "applications may write both forms, and nobody else compares them",
            format!("`dotfill advance {id} --to read-new-write-new` goes on, {back}"),
        ),
        (Mode::ReadNewWriteNew, Ending::Close) => (
            "old writes that arrive are decided by dotfill alone",
            format!("`dotfill advance {id} --to compact-old` goes on, {back}"),
        ),
    };
    Err(RunError::refused(id, format!("it is in {}: {why}", row.mode), remedy))
}

/// True where a migration was closed here: its old form is followed no more.
pub(super) fn is_over(job: &Job<'_>) -> Result<bool, RunError> {
    let row = MigrationRow::read(job.session.conn(), job.id())?;
    Ok(row.is_some_and(|row| row.phase == Phase::Closed))
}

/// The refusal of a step of a migration that was closed.
pub(super) fn over(id: &str) -> RunError {
    RunError::refused(
        id,
        "it is closed here: its old form is followed no more",
        format!("`dotfill forget {id}`, then `dotfill run` it again without --close"),
    )
}

/// Does what has to be done before closed epochs end, and refuses what nobody could do afterwards.
/// Nothing where none is closed.
pub(in crate::engine) fn end_epochs(job: &mut Job<'_>) -> Result<Result<(), Stop>, RunError> {
    let id = job.id().to_owned();
    if ModeRow::read(job.session.conn(), &id)?.mode != Mode::CompactOld {
        return Ok(Ok(()));
    }
    let sets = sets_of(job)?;
    if let Err(stop) = settle_all(job, &sets)? {
        return Ok(Err(stop));
    }
    let conn = job.session.conn();
    let (mut pending, db) = (0, job.db.display());
    for set in &sets {
        pending += pending_count(conn, set.target.n)?;
    }
    let quarantined = facts::quarantined(conn, &id)?;
    if pending + quarantined > 0 {
        return Err(RunError::refused(
            &id,
            format!("{pending} old writes are pending, {quarantined} in quarantine"),
            format!("`dotfill quarantine list {id} --db {db}` shows them; replay or drop each"),
        ));
    }
    for set in &sets {
        if is_left(conn, set)? {
            return Err(RunError::refused(
                &id,
                format!("table {} still has something of the old form", set.target.table.sql()),
                format!(
                    "`dotfill advance {id} --to compact-old --export FILE --db {db}` removes it"
                ),
            ));
        }
    }
    Ok(Ok(()))
}

/// Ends the closed epoch of a set, inside the closing transaction. False where a write arrived since
/// [`end_epochs`].
pub(in crate::engine) fn end_epoch(conn: &Connection, set: &EpochSet) -> Result<bool, WriteError> {
    let n = set.target.n;
    if pending_count(conn, n)? > 0 {
        return Ok(false);
    }
    let sql = triggers_drop(n)
        + &validator_drop(n)
        + &set_note_schema_drop(n)
        + &side_tables_drop(n)
        + &drop_kept(&set.migration, set.position)
        + &kept_schema(set);
    conn.execute_batch(&sql).doing("leave the triggers that refuse old writes")?;
    Ok(true)
}

/// Refuses to forget a migration while old writes wait that nobody has looked at.
pub(in crate::engine) fn refuse_pending(conn: &Connection, id: &str) -> Result<(), RunError> {
    let mut pending = 0;
    for change in ChangeRow::of(conn, id)? {
        pending += pending_count(conn, change.n)?;
    }
    if pending == 0 {
        return Ok(());
    }
    Err(RunError::refused(
        id,
        format!("{pending} old writes have arrived and wait to be decided"),
        format!("`dotfill run {id}` decides them"),
    ))
}

/// The triggers that stay here, of every set of a migration with `changes` changes.
pub(in crate::engine) fn stay(
    conn: &Connection,
    migration: &str,
    changes: usize,
) -> Result<Vec<String>, RunError> {
    let mut all = Vec::new();
    for position in 0..changes {
        all.extend(standing(conn, migration, position)?);
    }
    Ok(all)
}
