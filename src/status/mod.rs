//! The state of the migrations of a database, as `status` and `wait` show it. Only reads, in one
//! snapshot, whatever else goes on; takes no lease.

#[cfg(test)]
mod tests;

use std::path::Path;

use rusqlite::Connection;
use serde::Serialize;
use serde_json::Value;

use crate::db::{self, Access, DbError, Doing};
use crate::engine;
use crate::lease::Holder;
use crate::migration::{Change, Migration};
use crate::phase::outcome::{self, OutcomeCount};
use crate::phase::pending::pending_count;
use crate::phase::validator;
use crate::state::{
    self, ChangeRow, IndexRow, MigrationRow, Mode, ModeRow, Phase, QuarantineFilter, QuarantineRow,
};
use crate::write::{dirty_rows, pending_rows};

/// The newest events that are shown.
const EVENTS: u32 = 10;

/// One migration, as in `status --json`.
#[derive(Clone, Debug, Serialize)]
pub struct MigrationStatus {
    /// Its id.
    pub id: String,
    /// The mode of a migration of sets; absent for columns.
    pub mode: Option<Mode>,
    /// The share of the objects whose epoch is closed before that of the others, in percent.
    pub cohort_percent: u8,
    /// Old-format writes that have arrived in a closed epoch and were not looked at.
    pub pending_writes: u64,
    /// What waits in quarantine for an operator.
    pub quarantined: u64,
    /// Old-format writes that were decided, by what became of them and why. What a trigger refused
    /// is not counted: a refusal rolls its own trace back.
    pub old_writes: Vec<OutcomeCount>,
    /// Objects whose forms differ, as the validator knows.
    pub disagreements: u64,
    /// Where it stands.
    pub phase: Phase,
    /// How far its rows are, from 0 to 100; 100 only when it is proven.
    pub percent: f64,
    /// Cells that were written, over all runs.
    pub rows_written: u64,
    /// Rows of the tables.
    pub rows_total: u64,
    /// Rows that the fill has passed.
    pub rows_passed: u64,
    /// Keys that others changed and that wait to be derived again.
    pub dirty_rows: u64,
    /// Values of deltas that wait for their row to arrive.
    pub pending_rows: u64,
    /// True while a process runs it.
    pub running: bool,
    /// `host:pid` of that process.
    pub owner: Option<String>,
    /// Its host.
    pub host: Option<String>,
    /// Its number there.
    pub pid: Option<i64>,
    /// The fencing token of the last runner, where there was one.
    pub token: Option<i64>,
    /// Why the migration has failed, and what was taken back, where it has.
    pub failure: Option<String>,
    /// Why that process pauses.
    pub throttle_reason: Option<String>,
    /// The newest events, oldest first.
    pub events: Vec<Event>,
    /// The last proof.
    pub proof: Option<Value>,
}

/// A transition.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// The wall clock's time, for people.
    pub at: String,
    /// What happened.
    pub kind: String,
    /// More about it.
    pub detail: String,
}

impl MigrationStatus {
    /// True where the rows were proven, and nothing is owed but `close`.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Closed | Phase::Applied)
    }

    /// True where work was begun, is not done, and nobody does it.
    #[must_use]
    pub fn is_resumable(&self) -> bool {
        let begun = match self.phase {
            Phase::Filling | Phase::RollingBack | Phase::Failed | Phase::Applying => true,
            Phase::Open | Phase::Closed | Phase::Applied | Phase::RolledBack => false,
        };
        begun && !self.running
    }
}

/// Reads the state of one database, as often as wanted.
#[derive(Debug)]
pub struct StatusReader {
    conn: Connection,
}

impl StatusReader {
    /// Opens the database for reading.
    ///
    /// # Errors
    /// When the file is no database or cannot be read.
    pub fn open(path: &Path) -> Result<Self, DbError> {
        Ok(Self { conn: db::open(path, Access::Read)? })
    }

    /// All migrations, by id; none where dotfill was never here.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn all(&self) -> Result<Vec<MigrationStatus>, DbError> {
        self.in_snapshot(|conn| {
            let rows = if state::exists(conn)? { MigrationRow::all(conn)? } else { Vec::new() };
            rows.into_iter().map(|row| status(conn, row)).collect()
        })
    }

    /// One migration; `None` where the database does not know it.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn one(&self, id: &str) -> Result<Option<MigrationStatus>, DbError> {
        self.in_snapshot(|conn| {
            let row = if state::exists(conn)? { MigrationRow::read(conn, id)? } else { None };
            row.map(|row| status(conn, row)).transpose()
        })
    }

    fn in_snapshot<T>(
        &self,
        body: impl FnOnce(&Connection) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        let snapshot = self.conn.unchecked_transaction().doing("begin a snapshot")?;
        let result = body(&snapshot);
        snapshot.commit().doing("end a snapshot")?;
        result
    }
}

fn status(conn: &Connection, row: MigrationRow) -> Result<MigrationStatus, DbError> {
    let changes = ChangeRow::of(conn, &row.id)?;
    let (mut dirty, mut pending) = (0, 0);
    let (mut pending_writes, mut disagreements) = (0, 0);
    for change in &changes {
        pending += pending_rows(conn, change.n)?;
        pending_writes += pending_count(conn, change.n)?;
        disagreements += validator::found(conn, change.n)?.open;
        dirty += if has_notes(conn, change.n)? { dirty_rows(conn, change.n)? } else { 0 };
    }
    let mode = ModeRow::read(conn, &row.id)?;
    let waiting = QuarantineFilter { migration: Some(row.id.clone()), waiting_only: true };
    let last = Holder::read(conn, &row.id)?;
    let token = last.as_ref().map(|holder| holder.token);
    let holder = last.filter(|holder| !holder.is_free());
    let failure = match row.phase {
        Phase::Failed => engine::failure(conn, &row.id)?,
        _ => None,
    };
    let owner = holder.as_ref().and_then(Holder::owner);
    let events = state::events(conn, &row.id, EVENTS)?;
    let mut filled = Vec::new();
    for change in &changes {
        // An index has no rows of its own to fill.
        if IndexRow::read(conn, change.n)?.is_none() {
            filled.push(change);
        }
    }
    let sum = |count: fn(&ChangeRow) -> u64| filled.iter().map(|change| count(change)).sum();
    Ok(MigrationStatus {
        mode: has_sets(&row).then_some(mode.mode),
        cohort_percent: mode.cohort_percent,
        pending_writes,
        quarantined: QuarantineRow::count(conn, &waiting)?,
        old_writes: outcome::counts(conn, &row.id)?,
        disagreements,
        phase: row.phase,
        percent: percent(row.phase, &changes),
        rows_written: sum(|change| change.counters.rows_written),
        rows_total: sum(|change| change.rows_total),
        rows_passed: sum(|change| change.counters.rows_passed),
        dirty_rows: dirty,
        pending_rows: pending,
        running: owner.is_some(),
        host: holder.as_ref().and_then(|holder| holder.host.clone()),
        pid: holder.as_ref().and_then(|holder| holder.pid),
        token,
        failure,
        throttle_reason: owner.as_ref().and(holder.and_then(|holder| holder.throttle)),
        owner,
        events: events.into_iter().map(|(at, kind, detail)| Event { at, kind, detail }).collect(),
        proof: row.proof.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        id: row.id,
    })
}

/// True where the migration's file has a change of a set.
fn has_sets(row: &MigrationRow) -> bool {
    Migration::parse(&row.text, Path::new(&row.id))
        .is_ok_and(|m| m.changes.iter().any(|change| matches!(change, Change::OrSet(_))))
}

/// A hundred only where the rows are proven.
fn percent(phase: Phase, changes: &[ChangeRow]) -> f64 {
    match phase {
        Phase::Open | Phase::Closed | Phase::Applied => 100.0,
        Phase::RolledBack => 0.0,
        Phase::Applying | Phase::Filling | Phase::Failed | Phase::RollingBack => {
            engine::percent(changes).min(99.9)
        }
    }
}

/// True while writes by others are noted for change `n`.
fn has_notes(conn: &Connection, n: i64) -> Result<bool, DbError> {
    conn.prepare_cached("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")
        .and_then(|mut s| s.exists([format!("_dotfill_dirty_{n}")]))
        .doing("look for the noted keys")
}
