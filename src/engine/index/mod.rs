//! The data path of an index: rows looked at, built, proven, taken back. The SQL is elsewhere.
//!
//! `CREATE INDEX` is one statement and one transaction, so nothing of it can be resumed and no limit
//! can interrupt it: what can be found wrong is found before it, from reads that hold no lock, and
//! the signals that pause a job hold it before it begins. Its commit brings the index and the record
//! that we have built it, or neither.

mod build;
mod clear;
mod look;
mod proof;

pub(super) use build::fill;
pub(super) use clear::{revert, roll_back};
pub(super) use proof::{IndexProof, prove, prove_on};

use rusqlite::Connection;

use super::RunError;
use super::job::Job;
use crate::db::quote::ident;
use crate::migration::Migration;
use crate::plan::{ResolvedChange, ResolvedIndex};
use crate::state::{self, ChangeRow, IndexRow, MigrationRow, Phase};
use crate::write::{PreparedIndex, prepare_index};

/// Makes an index ready to be built.
pub(super) fn prepare(
    job: &mut Job<'_>,
    resolved: &ResolvedIndex,
    index: usize,
) -> Result<PreparedIndex, RunError> {
    let id = job.id().to_owned();
    Ok(prepare_index(&mut job.session, &resolved.target, &id, index)?)
}

/// Refuses indexes that cannot be built here, and names that another migration has taken, before
/// anything is written.
pub(super) fn check(
    conn: &Connection,
    migration: &Migration,
    resolved: &[ResolvedChange],
) -> Result<(), RunError> {
    for (index, change) in resolved.iter().enumerate() {
        let ResolvedChange::Index(change) = change else { continue };
        change.check(migration, index)?;
        check_is_free(conn, migration, &change.target.name)?;
    }
    Ok(())
}

/// Refuses an index that another migration has built here: its rollback would drop it.
fn check_is_free(conn: &Connection, migration: &Migration, name: &str) -> Result<(), RunError> {
    if !state::exists(conn)? {
        return Ok(());
    }
    let id = migration.id.as_str();
    for other in MigrationRow::all(conn)? {
        if other.id == id || other.phase == Phase::RolledBack {
            continue;
        }
        for change in ChangeRow::of(conn, &other.id)? {
            let row = IndexRow::read(conn, change.n)?;
            if row.is_some_and(|row| row.made && row.name.eq_ignore_ascii_case(name)) {
                let other_id = &other.id;
                return Err(RunError::refused(
                    id,
                    format!(
                        "index {} was built by migration {other_id} here, which is {}: its \
                         rollback would drop it",
                        ident(name),
                        other.phase
                    ),
                    format!(
                        "`dotfill close {other_id}` and `dotfill forget {other_id}` leave the index \
                         behind; then repeat the command"
                    ),
                ));
            }
        }
    }
    Ok(())
}
