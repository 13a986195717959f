//! The row of `_dotfill_applied`: how far a chain of delta segments has been applied.

use rusqlite::{Connection, OptionalExtension, Row};

use super::knows_applied;
use crate::db::{DbError, Doing};

/// How far a chain has been applied here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedRow {
    /// The migration.
    pub migration: String,
    /// Where the chain came from, for people.
    pub place: String,
    /// The last file of the chain that rows were taken from; 0 (the header) before the first.
    pub ordinal: u32,
    /// That file's digest: it also names the whole chain up to there.
    pub digest: Vec<u8>,
    /// Rows of that file that are done.
    pub rows_done: u64,
    /// True once everything up to a manifest was applied and found in the data.
    pub whole: bool,
}

impl AppliedRow {
    /// The row of a migration; `None` where no delta was ever applied.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(conn: &Connection, migration: &str) -> Result<Option<Self>, DbError> {
        if !knows_applied(conn)? {
            return Ok(None);
        }
        conn.prepare_cached(
            "SELECT migration, place, ordinal, digest, rows_done, whole FROM _dotfill_applied \
             WHERE migration = ?1",
        )
        .and_then(|mut s| s.query_row([migration], Self::from_row).optional())
        .doing("read how far deltas were applied")
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            migration: row.get(0)?,
            place: row.get(1)?,
            ordinal: row.get(2)?,
            digest: row.get(3)?,
            rows_done: row.get::<_, i64>(4)?.unsigned_abs(),
            whole: row.get(5)?,
        })
    }

    /// Writes the row.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, conn: &Connection) -> Result<(), DbError> {
        conn.prepare_cached(
            "INSERT INTO _dotfill_applied (migration, place, ordinal, digest, rows_done, whole) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (migration) DO UPDATE SET \
             place = excluded.place, ordinal = excluded.ordinal, digest = excluded.digest, \
             rows_done = excluded.rows_done, whole = excluded.whole",
        )
        .and_then(|mut s| {
            s.execute(rusqlite::params![
                self.migration,
                self.place,
                self.ordinal,
                self.digest,
                self.rows_done.cast_signed(),
                self.whole
            ])
        })
        .doing("write how far deltas were applied")?;
        Ok(())
    }

    /// Removes the row of a migration, where there is one.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(conn: &Connection, migration: &str) -> Result<(), DbError> {
        if knows_applied(conn)? {
            conn.execute("DELETE FROM _dotfill_applied WHERE migration = ?1", [migration])
                .doing("forget how far deltas were applied")?;
        }
        Ok(())
    }
}
