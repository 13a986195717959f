//! The row of `_dotfill_shipped`: the chain of delta segments that is written while a migration runs.

use rusqlite::{Connection, OptionalExtension, Row};

use super::knows_shipped;
use crate::db::{DbError, Doing};

/// A chain that this database feeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShippedRow {
    /// The migration.
    pub migration: String,
    /// The folder of the chain, or `-` for a stream.
    pub place: String,
    /// A file of the chain: what was derived again and shipped up to there is not remembered here.
    pub ordinal: u32,
    /// That file's digest: it also names the whole chain up to there.
    pub digest: Vec<u8>,
    /// The largest id of a key that was shipped again and is not remembered any longer.
    pub last_id: i64,
    /// Changes from the first one on of which every row was looked at.
    pub walked: u32,
}

impl ShippedRow {
    /// The row of a migration; `None` where no chain of it is being written.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(conn: &Connection, migration: &str) -> Result<Option<Self>, DbError> {
        if !knows_shipped(conn)? {
            return Ok(None);
        }
        conn.prepare_cached(
            "SELECT migration, place, ordinal, digest, last_id, walked FROM _dotfill_shipped \
             WHERE migration = ?1",
        )
        .and_then(|mut s| s.query_row([migration], Self::from_row).optional())
        .doing("read how far deltas were shipped")
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            migration: row.get(0)?,
            place: row.get(1)?,
            ordinal: row.get(2)?,
            digest: row.get(3)?,
            last_id: row.get(4)?,
            walked: row.get(5)?,
        })
    }

    /// Writes the row.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, conn: &Connection) -> Result<(), DbError> {
        conn.prepare_cached(
            "INSERT INTO _dotfill_shipped (migration, place, ordinal, digest, last_id, walked) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (migration) DO UPDATE SET \
             place = excluded.place, ordinal = excluded.ordinal, digest = excluded.digest, \
             last_id = excluded.last_id, walked = excluded.walked",
        )
        .and_then(|mut s| {
            s.execute(rusqlite::params![
                self.migration,
                self.place,
                self.ordinal,
                self.digest,
                self.last_id,
                self.walked
            ])
        })
        .doing("write how far deltas were shipped")?;
        Ok(())
    }

    /// Removes the row of a migration, where there is one.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(conn: &Connection, migration: &str) -> Result<(), DbError> {
        if knows_shipped(conn)? {
            conn.execute("DELETE FROM _dotfill_shipped WHERE migration = ?1", [migration])
                .doing("forget how far deltas were shipped")?;
        }
        Ok(())
    }
}
