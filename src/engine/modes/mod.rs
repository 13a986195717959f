//! `advance`, `ack` and the way back: the modes of a migration of sets. Evaluates gates, takes steps
//! in one transaction each, and settles what a closed epoch has noted. The SQL is elsewhere.

mod acknowledge;
mod advance;
mod back;
mod compact;
mod facts;
mod held;
mod settle;
mod steps;

pub use acknowledge::{AckOptions, AckReport, acknowledge};
pub use advance::{AdvanceOptions, AdvanceReport, advance};
pub use back::{BackReport, roll_back_to};
pub use compact::Compaction;
pub(super) use facts::undecided;
pub use held::{HeldSettled, HeldVerdict, settle_held};
pub(super) use settle::{Follower, check_may_end};

use rusqlite::Connection;

use super::RunError;
use super::job::Job;
use crate::migration::Migration;
use crate::phase::set::{EpochSet, numbers};
use crate::plan::ResolvedChange;

/// The sets of a migration that this database has begun.
pub(super) fn sets_of(job: &Job<'_>) -> Result<Vec<EpochSet>, RunError> {
    let conn = job.session.conn();
    let targets = job.resolved.iter().enumerate().filter_map(|(position, change)| match change {
        ResolvedChange::OrSet(set) => Some((position, set.target.clone())),
        ResolvedChange::Column(_) | ResolvedChange::Index(_) => None,
    });
    begun(conn, job.migration, targets.collect())
}

/// Gives every set the number that it has here.
fn begun(
    conn: &Connection,
    migration: &Migration,
    targets: Vec<(usize, crate::layout::or_set::SetTarget)>,
) -> Result<Vec<EpochSet>, RunError> {
    let id = migration.id.as_str();
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
        sets.extend(EpochSet::new(conn, migration, position, target)?);
    }
    Ok(sets)
}
