//! One set of a migration, as modes and epochs see it.

use rusqlite::Connection;

use super::PhaseError;
use super::reason::rejection;
use super::triggers::{Closed, EpochTriggers};
use crate::db::{DbError, Table};
use crate::layout::crsqlite::CrTable;
use crate::layout::or_set::{OldForm, SetTarget};
use crate::migration::{Change, Migration, OldWrites};
use crate::state::ChangeRow;

/// A set whose tables are there.
#[derive(Clone, Debug)]
pub struct EpochSet {
    /// What is translated, with its number.
    pub target: SetTarget,
    /// What becomes of writes of the old form in a closed epoch.
    pub old_writes: OldWrites,
    /// What a refused write is told.
    pub reason: String,
    /// True where the child table is one of cr-sqlite.
    pub rows_replicated: bool,
    /// The migration.
    pub migration: String,
    /// Where it stands in the file.
    pub position: usize,
}

impl EpochSet {
    /// The set with the number `position` of a migration, whose `target` has its number.
    ///
    /// # Errors
    /// When the schema cannot be read.
    pub fn new(
        conn: &Connection,
        migration: &Migration,
        position: usize,
        target: SetTarget,
    ) -> Result<Option<Self>, DbError> {
        let Some(Change::OrSet(change)) = migration.changes.get(position) else {
            return Ok(None);
        };
        let rows_replicated = match &target.old {
            OldForm::Column { .. } => false,
            OldForm::Rows { table, .. } => {
                CrTable::find(conn, &Table::read(conn, table)?)?.is_some()
            }
        };
        Ok(Some(Self {
            target,
            old_writes: change.old_writes,
            reason: rejection(migration, change),
            rows_replicated,
            migration: migration.id.to_string(),
            position,
        }))
    }

    /// The triggers of its closed epoch.
    #[must_use]
    pub fn triggers(&self, closed: Closed) -> EpochTriggers<'_> {
        EpochTriggers {
            target: &self.target,
            rows_replicated: self.rows_replicated,
            reason: &self.reason,
            closed,
        }
    }
}

/// Refuses a migration without sets: modes are about them.
///
/// # Errors
/// [`PhaseError::Refused`].
pub fn check_has_sets(migration: &Migration) -> Result<(), PhaseError> {
    let sets = migration.changes.iter().any(|change| matches!(change, Change::OrSet(_)));
    if sets {
        return Ok(());
    }
    Err(PhaseError::refused(
        migration.id.as_str(),
        "it has no modes: they are about changes of kind \"or_set\"",
        "`dotfill run` and `dotfill close` are all that columns need",
    ))
}

/// The number that each change of a migration has in this database, by position.
///
/// # Errors
/// When they cannot be read.
pub fn numbers(conn: &Connection, migration: &str) -> Result<Vec<(usize, i64)>, DbError> {
    let rows = ChangeRow::of(conn, migration)?;
    Ok(rows.iter().map(|row| (usize::try_from(row.position).unwrap_or(0), row.n)).collect())
}
