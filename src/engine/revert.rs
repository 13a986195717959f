//! A change that fails for good: recorded, taken back, and told to everybody alike.
//!
//! # Definitions
//! A change has failed *for good* when a row's expression fails, the table refuses its value or the old
//! form of a set holds something malformed, and repeating the work would end the same way. The migration is `failed` from the transaction that
//! records the row and the reason; what was done of the change is taken back after that, in batches.
//!
//! # Invariants
//! Whether something is still to be taken back is told by the rows of the changes alone, so a kill
//! at any point is resumed: in a migration that is `failed` and was never proven, a change that is
//! `filling` has to be cleared, and one that is `rolled-back` has to be forgotten.
//!
//! What stays: everything, with `on_failure = "keep"`; a migration that was proven once, because
//! applications may rely on it; published records, which cannot be called back; earlier changes of
//! the same file, which were proven; the column, where others have written it, where it is one of a
//! cr-sqlite table (a connection of the application may still have the old list of columns), and where
//! dropping it would hold the write lock for long beside others; the tables of a set that were there
//! before or hold something of a user's, and those of cr-sqlite where its extension is not loaded.

use rusqlite::Connection;

use super::clear::{clear, drop_change};
use super::job::Job;
use super::or_set::{self, Cleared};
use super::{RunError, Stop};
use crate::db::quote::ident;
use crate::db::{DbError, Doing, Table};
use crate::layout::{Layout, Target};
use crate::migration::{Migration, OnFailure};
use crate::plan::{Resolved, ResolvedChange, ResolvedSet};
use crate::state::{self, ChangeRow, MigrationRow, Phase, ShippedRow};
use crate::write::{WriteError, prepare};

/// Rows of a table whose column is dropped while others have the database open: about a tenth of a
/// second of the write lock.
const DROP_ROWS_MAX: u64 = 50_000;

/// The kinds of the events.
const FAILED: &str = "failed";
const REVERTED: &str = "reverted";

/// The failure of a migration, the same for everybody: what failed, and what became of the change.
pub(super) fn failed(conn: &Connection, id: &str) -> Result<RunError, DbError> {
    Ok(RunError::Failed {
        migration: id.to_owned(),
        message: failure(conn, id)?
            .unwrap_or_else(|| "the reason is no longer recorded".to_owned()),
    })
}

/// What the last failure of a migration said, and what was taken back since.
///
/// # Errors
/// When the events cannot be read.
pub fn failure(conn: &Connection, id: &str) -> Result<Option<String>, DbError> {
    let Some((at, message)) = state::last_event(conn, id, FAILED)? else { return Ok(None) };
    let reverted = state::last_event(conn, id, REVERTED)?.filter(|(later, _)| *later > at);
    Ok(Some(match reverted {
        Some((_, what)) => format!("{message}; {what}"),
        None => message,
    }))
}

/// Records the failure, takes back what it leaves behind, and returns what everybody is told.
pub(super) fn fail(job: &mut Job<'_>, error: &WriteError) -> Result<RunError, RunError> {
    let (id, message) = (job.id().to_owned(), error.to_string());
    job.session.transact_again(|conn| {
        state::event(conn, &id, FAILED, &message)?;
        Ok(MigrationRow::set_phase(conn, &id, Phase::Failed, None)?)
    })?;
    // A stop leaves the rest to the next runner; the failure stands.
    let _stopped: Option<Stop> = revert(job)?;
    Ok(failed(job.session.conn(), &id)?)
}

/// The changes that a failed migration still has to take back.
pub(super) fn outstanding(
    conn: &Connection,
    migration: &Migration,
) -> Result<Vec<ChangeRow>, DbError> {
    let id = migration.id.as_str();
    let failed = MigrationRow::read(conn, id)?
        .is_some_and(|row| row.phase == Phase::Failed && row.proof.is_none());
    if !failed {
        return Ok(Vec::new());
    }
    let mut changes = ChangeRow::of(conn, id)?;
    changes.retain(|change| is_to_be_reverted(migration, change));
    Ok(changes)
}

fn is_to_be_reverted(migration: &Migration, change: &ChangeRow) -> bool {
    let position = usize::try_from(change.position).unwrap_or(usize::MAX);
    let reverts = migration
        .changes
        .get(position)
        .is_some_and(|change| change.on_failure() == OnFailure::Revert);
    let begun = matches!(change.phase, Phase::Filling | Phase::RolledBack);
    reverts && begun && change.counters.change_records_written == 0
}

/// Takes back what a failed migration leaves behind, as far as it may; again after a stop.
pub(super) fn revert(job: &mut Job<'_>) -> Result<Option<Stop>, RunError> {
    for change in outstanding(job.session.conn(), job.migration)?.into_iter().rev() {
        let index = usize::try_from(change.position).unwrap_or(usize::MAX);
        let stop = match job.resolved.get(index).cloned() {
            Some(ResolvedChange::Column(resolved)) => revert_column(job, *resolved, index)?,
            Some(ResolvedChange::OrSet(resolved)) => revert_set(job, &resolved, index, &change)?,
            Some(ResolvedChange::Index(resolved)) => super::index::revert(job, &resolved, index)?,
            None => None,
        };
        if stop.is_some() {
            return Ok(stop);
        }
    }
    Ok(None)
}

fn revert_column(
    job: &mut Job<'_>,
    resolved: Resolved,
    index: usize,
) -> Result<Option<Stop>, RunError> {
    let id = job.id().to_owned();
    let mut ready = prepare(&mut job.session, resolved, &id, index)?;
    if ready.change.phase != Phase::RolledBack {
        let mut cleared = 0;
        if ready.target.delivery.writes_cells()
            && let Some(stop) = clear(job, &mut ready, &mut cleared)?
        {
            return Ok(Some(stop));
        }
        if let Some(stop) = drop_change(job, &mut ready)? {
            return Ok(Some(stop));
        }
    }
    finish(job, &ready.target, &ready.change)?;
    Ok(None)
}

fn revert_set(
    job: &mut Job<'_>,
    resolved: &ResolvedSet,
    index: usize,
    change: &ChangeRow,
) -> Result<Option<Stop>, RunError> {
    let mut cleared = Cleared::default();
    // One that is rolled back has nothing left to be made ready.
    if change.phase != Phase::RolledBack {
        let mut ready = or_set::prepare(job, resolved, index)?;
        if let Some(stop) = or_set::roll_back(job, &mut ready, &mut cleared)? {
            return Ok(Some(stop));
        }
    }
    let target = &resolved.target;
    let what = format!("our adds, triggers and view {} were taken back", ident(&target.view));
    let id = job.id().to_owned();
    job.session.transact_again(|conn| {
        let mut parts = vec![what.clone()];
        parts.extend(cleared.kept.iter().cloned());
        if cleared.kept.is_empty() {
            for name in [&target.adds, &target.removes] {
                if exists(conn, name)? {
                    parts.push(format!("table {} stays", ident(name)));
                }
            }
        }
        change.remove(conn)?;
        Ok(state::event(conn, &id, REVERTED, &parts.join("; "))?)
    })?;
    job.session.accept_schema()?;
    Ok(None)
}

fn exists(conn: &Connection, table: &str) -> Result<bool, DbError> {
    conn.prepare_cached("SELECT 1 FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE")
        .and_then(|mut s| s.exists([table]))
        .doing("look for the tables of a set")
}

/// Drops the column where that is right, and forgets the change.
fn finish(job: &mut Job<'_>, target: &Target, change: &ChangeRow) -> Result<(), RunError> {
    let id = job.id().to_owned();
    let alone = !job.pace.has_neighbour();
    job.session.transact_again(|conn| {
        let column = format!("column {} of table {}", target.column, target.table.name);
        let what = match column_stays(conn, target, change, alone)? {
            Some(why) => format!("our values and triggers were taken back; {column} stays: {why}"),
            None => format!("{column} was taken back"),
        };
        change.remove(conn)?;
        ShippedRow::remove(conn, &id)?;
        Ok(state::event(conn, &id, REVERTED, &what)?)
    })?;
    Ok(job.session.accept_schema()?)
}

/// Drops the column; or says why it stays.
fn column_stays(
    conn: &Connection,
    target: &Target,
    change: &ChangeRow,
    alone: bool,
) -> Result<Option<String>, DbError> {
    let now = Table::read(conn, &target.table.name)?;
    if now.column(&target.column).is_none() {
        return Ok(None);
    }
    if !change.column_added {
        return Ok(Some("it was there before".to_owned()));
    }
    let (table, column) = (target.table.sql(), target.column_sql());
    let drop = format!("ALTER TABLE {table} DROP COLUMN {column}");
    if matches!(target.layout, Layout::CrSqlite(_)) {
        return Ok(Some(
            "connections of applications may have the list of columns of a replicated table in \
             mind; it is empty where nobody else has written it"
                .to_owned(),
        ));
    }
    let exists = |sql: String| {
        conn.query_row(&sql, [], |row| row.get::<_, bool>(0)).doing("look at the column")
    };
    let default = match &target.constant {
        Some(value) => format!("{column} IS NOT {value}"),
        None => format!("{column} IS NOT NULL"),
    };
    if exists(format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE {default})"))? {
        return Ok(Some("others have written it".to_owned()));
    }
    let large = format!("SELECT EXISTS (SELECT 1 FROM {table} LIMIT 1 OFFSET {DROP_ROWS_MAX})");
    if !alone && exists(large)? {
        return Ok(Some(format!(
            "it is empty, and dropping it writes every row at once while others use the database; \
             `{drop}` at a quiet time"
        )));
    }
    conn.execute_batch("SAVEPOINT dropping").doing("drop the column")?;
    let dropped = conn.execute_batch(&drop);
    let end = match &dropped {
        Ok(()) => "RELEASE dropping",
        Err(_) => "ROLLBACK TO dropping; RELEASE dropping",
    };
    conn.execute_batch(end).doing("drop the column")?;
    // An index, a view or a trigger of the application uses it.
    Ok(dropped.err().map(|error| format!("{} ({drop})", crate::db::expr::plain(&error))))
}
