//! The rows of `_dotfill_sets`, typed: what a change of kind `or_set` has made here.

use rusqlite::{Connection, OptionalExtension};

use crate::db::{DbError, Doing};

/// What a change of a set has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetRow {
    /// The number of the change.
    pub n: i64,
    /// The table of adds.
    pub adds: String,
    /// The table of removes.
    pub removes: String,
    /// The view.
    pub view: String,
    /// True where we made the table of adds.
    pub adds_made: bool,
    /// True where we made the table of removes.
    pub removes_made: bool,
}

impl SetRow {
    /// The row of change `n`; `None` where it is no set.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(conn: &Connection, n: i64) -> Result<Option<Self>, DbError> {
        if !super::knows_sets(conn)? {
            return Ok(None);
        }
        conn.prepare_cached(
            "SELECT adds, removes, view, adds_made, removes_made FROM _dotfill_sets WHERE n = ?1",
        )
        .and_then(|mut s| {
            s.query_row([n], |row| {
                Ok(Self {
                    n,
                    adds: row.get(0)?,
                    removes: row.get(1)?,
                    view: row.get(2)?,
                    adds_made: row.get(3)?,
                    removes_made: row.get(4)?,
                })
            })
            .optional()
        })
        .doing("read what a set's migration has made")
    }

    /// Adds the row.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn insert(&self, conn: &Connection) -> Result<(), DbError> {
        conn.execute(
            "INSERT INTO _dotfill_sets (n, adds, removes, view, adds_made, removes_made) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            rusqlite::params![
                self.n,
                self.adds,
                self.removes,
                self.view,
                self.adds_made,
                self.removes_made
            ],
        )
        .doing("record what a set's migration has made")?;
        Ok(())
    }

    /// Removes the row of change `n`, where there is one.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(conn: &Connection, n: i64) -> Result<(), DbError> {
        if super::knows_sets(conn)? {
            conn.execute("DELETE FROM _dotfill_sets WHERE n = ?1", [n])
                .doing("forget what a set's migration has made")?;
        }
        Ok(())
    }
}
