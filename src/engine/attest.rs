//! Whether a recorded proof still holds: told cheaply where that is honest, else counted again from
//! the data. Writes nothing and needs no lease.
//!
//! # What is cheap
//! A runner records what it has counted, and the definitions of the tables with their triggers. While
//! the migration is open, our triggers note every row that others write; so where the definitions are
//! still the same, nothing has been written since the proof that is not either derived again or noted
//! and waiting (`rows_pending`). Where they are not the same, or another release of dotfill or `SQLite`
//! made the proof, the rows are counted again. Who switches triggers off on its connection is not
//! seen: `recheck` counts in any case. A migration that is closed is not followed any more: its proof
//! is that of the moment in which it was closed.

use std::path::Path;

use rusqlite::Connection;
use serde::Serialize;

use super::job::check_same;
use super::proof::reader;
use super::{LookOptions, RunError, Verdict, VerifyReport};
use crate::db::{DbError, Doing};
use crate::migration::Migration;
use crate::monitor::Monitor;
use crate::state::{self, ChangeRow, MigrationRow, Phase, SetRow};
use crate::verify::Proof;

/// A proof that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attested {
    /// The migration.
    pub migration: String,
    /// Where it stands: open, closed or applied.
    pub phase: Phase,
    /// Rows that were counted.
    pub rows: u64,
    /// Keys that others have changed since and that wait to be derived again, and writes of the old form
    /// that arrived in a closed epoch and wait to be settled.
    pub rows_pending: u64,
    /// Old writes that are pending, or wait in quarantine for an operator: the rows are proven
    /// whatever becomes of them.
    pub undecided: u64,
    /// The digest of the rows; `None` where they were fed by deltas and not counted again.
    pub digest: Option<String>,
    /// The `SQLite` that evaluated the expressions, where that is known.
    pub sqlite_version: Option<String>,
    /// The dotfill that counted, where that is known.
    pub dotfill_version: Option<String>,
    /// True where the rows were counted by this call.
    pub counted: bool,
}

/// Says that a migration is proven, as cheaply as is honest; `recheck` counts the rows again in any
/// case, as `options` say.
///
/// # Errors
/// [`RunError::Refused`] where it is not proven, or was another file; [`RunError::Failed`] where it
/// has failed; [`RunError::Interrupted`]; [`RunError::Unproven`] where rows were counted and do not hold what they must.
pub fn attest(
    db: &Path,
    migration: &Migration,
    recheck: bool,
    options: &LookOptions,
    monitor: &dyn Monitor,
) -> Result<Attested, RunError> {
    let conn = reader(db)?;
    let id = migration.id.as_str();
    let row = if state::exists(&conn)? { MigrationRow::read(&conn, id)? } else { None };
    let Some(row) = row else {
        return Err(RunError::refused(id, "it is not known here", "`dotfill run` it first"));
    };
    check_same(&row, migration)?;
    let (proof, phase) = match (recorded(&row), row.phase) {
        (Some(proof), phase @ (Phase::Open | Phase::Closed | Phase::Applied)) => (proof, phase),
        (_, Phase::Failed) => return Err(super::revert::failed(&conn, id)?),
        (_, phase) => {
            let problem = format!("it is {phase}, and nothing is proven");
            return Err(RunError::refused(id, problem, format!("`dotfill run {id}` proves it")));
        }
    };
    let pending = (super::run::pending(&conn, id)?, super::modes::undecided(&conn, id)?);
    let stands = match phase {
        // Nobody promised that rows stay as they were when it was closed.
        Phase::Applied | Phase::Closed => true,
        _ => is_unchanged(&conn, id, &proof)?,
    };
    if stands && !recheck {
        return Ok(Attested::recorded(id, phase, proof, pending));
    }
    drop(conn);
    match super::verify(db, migration, options, monitor) {
        Ok(report) if is_proven(&report, pending.1) => {
            Ok(Attested::counted(id, phase, report, pending.1))
        }
        Ok(report) => Err(unproven(id, &report)),
        Err(error) => Err(error),
    }
}

/// True where every row is as it must be. That writes wait for a decision makes replicas hard to
/// compare, and no row of this one wrong.
fn is_proven(report: &VerifyReport, undecided: u64) -> bool {
    match report.verdict {
        Verdict::Equal => true,
        Verdict::Inconclusive => undecided > 0 && report.rows_different == 0,
        Verdict::Diverged => false,
    }
}

impl Attested {
    fn recorded(
        id: &str,
        phase: Phase,
        proof: Proof,
        (rows_pending, undecided): (u64, u64),
    ) -> Self {
        Self {
            migration: id.to_owned(),
            phase,
            rows: proof.rows,
            rows_pending,
            undecided,
            digest: known(proof.digest),
            sqlite_version: known(proof.sqlite_version),
            dotfill_version: known(proof.dotfill_version),
            counted: false,
        }
    }

    fn counted(id: &str, phase: Phase, report: VerifyReport, undecided: u64) -> Self {
        Self {
            migration: id.to_owned(),
            phase,
            rows: report.rows_compared,
            rows_pending: report.rows_pending,
            undecided,
            digest: Some(report.digest),
            sqlite_version: Some(report.sqlite_version),
            dotfill_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            counted: true,
        }
    }
}

/// What a proof says, where it says it.
fn known(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// The proof of a migration, where it has one that this release can read.
pub(super) fn recorded(row: &MigrationRow) -> Option<Proof> {
    // One of another form was written by another release: it says nothing here.
    row.proof.as_deref().and_then(|text| serde_json::from_str(text).ok())
}

/// What was counted, with who counted it: inside the transaction that records it.
pub(super) fn signed(
    found: Proof,
    conn: &Connection,
    id: &str,
    token: i64,
) -> Result<Proof, DbError> {
    Ok(Proof {
        sqlite_version: rusqlite::version().to_owned(),
        dotfill_version: env!("CARGO_PKG_VERSION").to_owned(),
        token,
        schema: schema(conn, id)?,
        ..found
    })
}

/// True where the tables are defined as when the proof was made, by the same programs.
fn is_unchanged(conn: &Connection, id: &str, proof: &Proof) -> Result<bool, DbError> {
    Ok(proof.sqlite_version == rusqlite::version()
        && proof.dotfill_version == env!("CARGO_PKG_VERSION")
        && proof.schema == schema(conn, id)?)
}

/// A digest of the definitions of the tables of a migration, with their indexes and triggers. Of a set
/// these are also its adds, its removes, its view and the table of the old form.
pub(super) fn schema(conn: &Connection, id: &str) -> Result<String, DbError> {
    let mut hasher = blake3::Hasher::new();
    let what = "read the definitions of the tables";
    let mut statement = conn
        .prepare_cached(
            "SELECT type, name, coalesce(sql, '') FROM sqlite_schema \
             WHERE tbl_name = ?1 COLLATE NOCASE ORDER BY type, name",
        )
        .doing(what)?;
    for change in ChangeRow::of(conn, id)? {
        for name in names(conn, change)? {
            let mut rows = statement.query([&name]).doing(what)?;
            while let Some(row) = rows.next().doing(what)? {
                for column in 0..3 {
                    let text: String = row.get(column).doing(what)?;
                    hasher.update(&(text.len() as u64).to_le_bytes());
                    hasher.update(text.as_bytes());
                }
            }
        }
    }
    Ok(hasher.finalize().to_hex()[..16].to_owned())
}

/// The tables and views that the proof of a change is about.
fn names(conn: &Connection, change: ChangeRow) -> Result<Vec<String>, DbError> {
    let mut names = vec![change.table];
    if let Some(set) = SetRow::read(conn, change.n)? {
        // The old form is a column of the table, or a table of its own: one that only has the
        // column's name is looked at in vain.
        names.extend([change.column, set.adds, set.removes, set.view]);
    }
    Ok(names)
}

fn unproven(id: &str, report: &VerifyReport) -> RunError {
    let diverged = report.verdict == Verdict::Diverged;
    RunError::Unproven {
        migration: id.to_owned(),
        rows: report.rows_different,
        example: report.examples.first().cloned(),
        diverged,
        remedy: match &report.reason {
            Some(reason) => reason.clone(),
            None => format!("`dotfill run {id}` derives and proves them again"),
        },
    }
}
