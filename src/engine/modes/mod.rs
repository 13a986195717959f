//! `advance`, `ack` and the way back: the modes of a migration of sets. Evaluates gates, takes steps
//! in one transaction each, and settles what a closed epoch has noted. The SQL is elsewhere.

mod acknowledge;
mod advance;
mod back;
mod compact;
mod end;
mod facts;
mod held;
mod settle;
mod steps;

pub use acknowledge::{AckOptions, AckReport, acknowledge};
pub use advance::{AdvanceOptions, AdvanceReport, advance};
pub use back::{BackReport, roll_back_to};
pub use compact::{Compaction, is_left};
pub(super) use end::{Ending, check_may_end, end_epoch, end_epochs, refuse_pending, stay};
pub(super) use facts::{hex, site, undecided, waiting};
pub use held::{HeldSettled, HeldVerdict, settle_held};
pub(super) use settle::Follower;

use rusqlite::Connection;

use super::RunError;
use super::job::Job;
use crate::migration::Migration;
pub(super) use crate::phase::set::EpochSet;
use crate::phase::set::numbers;
use crate::plan::{ResolvedChange, closed_objects};
use crate::state::{MigrationRow, Phase};

/// The sets of a migration that this database has begun.
pub(in crate::engine) fn sets_of(job: &Job<'_>) -> Result<Vec<EpochSet>, RunError> {
    let conn = job.session.conn();
    let targets = job.resolved.iter().enumerate().filter_map(|(position, change)| match change {
        ResolvedChange::OrSet(set) => Some((position, set.target.clone())),
        ResolvedChange::Column(_) | ResolvedChange::Index(_) => None,
    });
    begun(conn, job.migration, targets.collect())
}

/// Refuses a replica that was fed by deltas: it follows no old form, so it has no mode of its own.
fn refuse_fed(conn: &Connection, id: &str) -> Result<(), RunError> {
    let phase = MigrationRow::read(conn, id)?.map(|row| row.phase);
    if !matches!(phase, Some(Phase::Applying | Phase::Applied)) {
        return Ok(());
    }
    Err(RunError::refused(
        id,
        "it was fed by deltas here and follows no old form, so it has no mode of its own",
        "`dotfill run` has this replica derive for itself from now on; then it takes the modes too",
    ))
}

/// Gives every set the number that it has here.
pub(super) fn begun(
    conn: &Connection,
    migration: &Migration,
    targets: Vec<(usize, crate::layout::or_set::SetTarget)>,
) -> Result<Vec<EpochSet>, RunError> {
    let id = migration.id.as_str();
    refuse_fed(conn, id)?;
    let numbers = numbers(conn, id)?;
    let mut sets = Vec::new();
    for (position, mut target) in targets {
        let Some((_, n)) = numbers.iter().find(|(at, _)| *at == position) else {
            return Err(RunError::refused(
                id,
                format!("the set of table {} is not begun here", target.table.sql()),
                "`dotfill run` fills and proves it first",
            ));
        };
        target.n = *n;
        // Another process may have taken a step since the target was resolved.
        target.closed = closed_objects(conn, id)?;
        sets.extend(EpochSet::new(conn, migration, position, target)?);
    }
    Ok(sets)
}
