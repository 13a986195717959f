//! The rows of `_dotfill_indexes`, typed: what a change of kind `index` has built here.

use rusqlite::{Connection, OptionalExtension};

use crate::db::{DbError, Doing};

/// What a change of an index has built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRow {
    /// The number of the change.
    pub n: i64,
    /// The index.
    pub name: String,
    /// True where we built it; false while it is not built, and where it was there before.
    pub made: bool,
}

impl IndexRow {
    /// The row of change `n`; `None` where it is no index.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(conn: &Connection, n: i64) -> Result<Option<Self>, DbError> {
        if !super::knows_indexes(conn)? {
            return Ok(None);
        }
        conn.prepare_cached("SELECT name, made FROM _dotfill_indexes WHERE n = ?1")
            .and_then(|mut s| {
                s.query_row([n], |row| Ok(Self { n, name: row.get(0)?, made: row.get(1)? }))
                    .optional()
            })
            .doing("read what an index's migration has built")
    }

    /// Adds the row, or replaces it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, conn: &Connection) -> Result<(), DbError> {
        conn.execute(
            "INSERT OR REPLACE INTO _dotfill_indexes (n, name, made) VALUES (?1, ?2, ?3)",
            rusqlite::params![self.n, self.name, self.made],
        )
        .doing("record what an index's migration has built")?;
        Ok(())
    }

    /// Removes the row of change `n`, where there is one.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(conn: &Connection, n: i64) -> Result<(), DbError> {
        if super::knows_indexes(conn)? {
            conn.execute("DELETE FROM _dotfill_indexes WHERE n = ?1", [n])
                .doing("forget what an index's migration has built")?;
        }
        Ok(())
    }
}
