//! The keys whose rows a chain of deltas has to have again, because they were derived again since it
//! began: added by every drain, read by whoever ships, forgotten once a segment is durable.

use rusqlite::Connection;

use crate::db::{Datum, DbError, Doing, Table};
use crate::layout::ReshipSql;

/// The keys of one target.
#[derive(Debug)]
pub struct Reship {
    keys: usize,
    add: String,
    remove_older: String,
    select: String,
    remove: String,
}

impl Reship {
    /// The keys of change `n`, whose rows are told by the key of `table`.
    #[must_use]
    pub fn new(n: i64, table: &Table) -> Self {
        let sql = ReshipSql::new(n, table);
        Self {
            keys: table.key.len(),
            add: sql.add(),
            remove_older: sql.remove_older(),
            select: sql.select(),
            remove: sql.remove(),
        }
    }

    /// True where a chain is fed with change `n`.
    ///
    /// # Errors
    /// When the schema cannot be read.
    pub fn is_kept(conn: &Connection, n: i64) -> Result<bool, DbError> {
        conn.prepare_cached("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")
            .and_then(|mut s| s.exists([format!("_dotfill_reship_{n}")]))
            .doing("look for the keys to ship again")
    }

    /// Adds a key, inside the caller's transaction. One that is there already moves to the end.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&self, conn: &Connection, key: &[Datum]) -> Result<(), DbError> {
        let what = "remember a row to ship again";
        let id: i64 = conn
            .prepare_cached(&self.add)
            .and_then(|mut s| s.query_row(rusqlite::params_from_iter(key), |row| row.get(0)))
            .doing(what)?;
        let older = key.iter().cloned().chain([Datum::Integer(id)]);
        conn.prepare_cached(&self.remove_older)
            .and_then(|mut s| s.execute(rusqlite::params_from_iter(older)))
            .doing(what)?;
        Ok(())
    }

    /// At most `limit` keys after id `after`, in order, with their ids.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn after(
        &self,
        conn: &Connection,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Vec<Datum>)>, DbError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        conn.prepare_cached(&self.select)
            .and_then(|mut s| {
                s.query_map([after, limit], |row| {
                    let key = (1..=self.keys).map(|i| row.get(i)).collect::<Result<_, _>>()?;
                    Ok((row.get(0)?, key))
                })?
                .collect()
            })
            .doing("read the rows to ship again")
    }

    /// Forgets the keys up to id `last`, inside the caller's transaction.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub fn forget(&self, conn: &Connection, last: i64) -> Result<(), DbError> {
        conn.prepare_cached(&self.remove)
            .and_then(|mut s| s.execute([last]))
            .doing("forget rows that were shipped again")?;
        Ok(())
    }
}
