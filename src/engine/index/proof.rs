//! The proof of an index: it is there with its definition, and has as many entries as the table has
//! rows for it, counted in one snapshot; on request every row is looked up in it.
//!
//! # Why that proves it
//! An entry belongs to one row. Where every row has an entry, and there are as many entries as rows,
//! every entry belongs to a row. The counts alone do not tell which row has an entry; `SQLite` keeps
//! an index true from the moment in which it was built, so they find an index that somebody has cut
//! off from its table, and `verify --integrity` finds the rest.

use std::path::Path;

use rusqlite::Connection;

use super::look::{is_interrupted, problem};
use crate::db::quote::ident;
use crate::db::{DbError, Doing};
use crate::engine::job::Job;
use crate::engine::proof::reader;
use crate::engine::watch::Watch;
use crate::engine::{RunError, Stop};
use crate::layout::IndexTarget;
use crate::monitor::Stage;
use crate::plan::Found;
use crate::split::Position;
use crate::write::PreparedIndex;

/// Rows without an entry that are named.
const EXAMPLES: usize = 5;

/// What a proof found.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct IndexProof {
    /// Rows that are to have an entry.
    pub rows: u64,
    /// Entries.
    pub entries: u64,
    /// Rows without an entry, where they were looked for.
    pub missing: u64,
    /// The keys of some of them.
    pub examples: Vec<Position>,
    /// Why there is no such index, where there is none.
    pub lost: Option<String>,
}

impl IndexProof {
    /// Rows for which the index is not what it must be.
    pub(in crate::engine) fn unproven(&self) -> u64 {
        match self.lost {
            Some(_) => self.rows.max(1),
            None => self.missing.max(self.rows.abs_diff(self.entries)),
        }
    }

    /// What is wrong, in words; `None` where nothing is.
    pub(in crate::engine) fn problem(&self, target: &IndexTarget) -> Option<String> {
        let name = ident(&target.name);
        if let Some(lost) = &self.lost {
            return Some(format!("index {name} is not there as the migration defines it: {lost}"));
        }
        if self.unproven() == 0 {
            return None;
        }
        let missing = match (self.missing, self.examples.first()) {
            (missing, Some(example)) => {
                format!("; {missing} rows have no entry, for example ({example})")
            }
            _ => String::new(),
        };
        Some(format!(
            "index {name} has {} entries for {} rows of table {}{missing}; `REINDEX {name}` builds \
             it anew",
            self.entries,
            self.rows,
            target.table.sql()
        ))
    }
}

/// Proves an index that a run has built or found.
pub(in crate::engine) fn prove(
    job: &mut Job<'_>,
    ready: &PreparedIndex,
) -> Result<Result<IndexProof, Stop>, RunError> {
    job.pace.stage(Stage::Proving, 0, ready.change.rows_total);
    if let Err(stop) = job.pace.before_batch(&mut job.session)? {
        return Ok(Err(stop));
    }
    let watch = Watch::new(Stage::Proving, "counting entries", &job.options.cancel, job.monitor);
    match prove_on(&job.db, &ready.target, false, &watch) {
        Err(RunError::Interrupted { .. }) => Ok(Err(Stop::Interrupted)),
        Err(error) => Err(error),
        Ok(proof) => {
            job.pace.passed(proof.rows);
            match proof.problem(&ready.target) {
                Some(says) => {
                    let says = format!("{says}; then repeat the command (`run` with --retry)");
                    Err(problem(&ready.target, &says).into())
                }
                None => Ok(Ok(proof)),
            }
        }
    }
}

/// Proves an index, in one snapshot; `integrity` looks every row up in it.
pub(in crate::engine) fn prove_on(
    db: &Path,
    target: &IndexTarget,
    integrity: bool,
    watch: &Watch<'_>,
) -> Result<IndexProof, RunError> {
    let mut conn = reader(db)?;
    watch.guard(&mut conn)?;
    let snapshot = conn.unchecked_transaction().doing("begin a snapshot")?;
    let found = look(&snapshot, target, integrity, watch);
    match found {
        Err(error) if is_interrupted(&error) => watch.unless_cancelled(Err(error.into())),
        other => Ok(other?),
    }
}

fn look(
    conn: &Connection,
    target: &IndexTarget,
    integrity: bool,
    watch: &Watch<'_>,
) -> Result<IndexProof, DbError> {
    let what = "count the entries of an index";
    let count = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, u64>(0)).doing(what);
    let mut proof = IndexProof { rows: count(&target.count_rows())?, ..IndexProof::default() };
    watch.passed(proof.rows);
    proof.lost = match Found::look(conn, target)? {
        Found::Same => None,
        Found::Absent => Some("it is gone".to_owned()),
        Found::Other(differences) => Some(differences),
    };
    if proof.lost.is_some() {
        return Ok(proof);
    }
    proof.entries = count(&target.count_entries())?;
    if integrity {
        let mut statement = conn.prepare(&target.missing()).doing(what)?;
        let mut rows = statement.query([]).doing(what)?;
        while let Some(row) = rows.next().doing(what)? {
            if proof.examples.len() < EXAMPLES {
                proof.examples.push(Position::from_row(row, target.table.key.len()).doing(what)?);
            }
            proof.missing += 1;
        }
    }
    Ok(proof)
}
