//! How many writes of the old form were decided, and how: the rows of `_dotfill_outcomes`. What a
//! trigger refused is not among them: a refusal rolls its own trace back.

use rusqlite::Connection;
use serde::Serialize;

use crate::db::{DbError, Doing};
use crate::state;

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Refused; what it brought stays away for good.
    Rejected,
    /// Its elements became migrated adds.
    Translated,
    /// It waits, or nothing of it had to.
    Quarantined,
}

impl Outcome {
    /// Its name in the database and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Translated => "translated",
            Self::Quarantined => "quarantined",
        }
    }
}

/// One count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutcomeCount {
    /// `rejected`, `translated` or `quarantined`.
    pub outcome: String,
    /// What the write brought.
    pub reason: String,
    /// Writes, since the epoch was closed first.
    pub writes: u64,
}

/// Counts one write of change `n`. The caller holds a write transaction.
///
/// # Errors
/// When it cannot be written.
pub fn count(conn: &Connection, n: i64, outcome: Outcome, reason: &str) -> Result<(), DbError> {
    conn.prepare_cached(
        "INSERT INTO _dotfill_outcomes (change_n, outcome, reason, writes) VALUES (?1, ?2, ?3, 1) \
         ON CONFLICT (change_n, outcome, reason) DO UPDATE SET writes = writes + 1",
    )
    .and_then(|mut s| s.execute((n, outcome.as_str(), reason)))
    .map(drop)
    .doing("count an old write")
}

/// The counts of a migration.
///
/// # Errors
/// When they cannot be read.
pub fn counts(conn: &Connection, migration: &str) -> Result<Vec<OutcomeCount>, DbError> {
    if !state::knows_quarantine(conn)? {
        return Ok(Vec::new());
    }
    conn.prepare_cached(
        "SELECT o.outcome, o.reason, sum(o.writes) FROM _dotfill_outcomes AS o \
         JOIN _dotfill_changes AS c ON c.n = o.change_n WHERE c.migration = ?1 \
         GROUP BY o.outcome, o.reason ORDER BY o.outcome, o.reason",
    )
    .and_then(|mut s| {
        s.query_map([migration], |row| {
            Ok(OutcomeCount { outcome: row.get(0)?, reason: row.get(1)?, writes: row.get(2)? })
        })?
        .collect()
    })
    .doing("read what became of old writes")
}
