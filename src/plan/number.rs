//! Single numbers out of `SQLite`.

use rusqlite::Connection;

use crate::db::{DbError, Doing};

/// The one count that a query returns.
pub(super) fn query(conn: &Connection, sql: &str, what: &str) -> Result<u64, DbError> {
    conn.query_row(sql, [], |row| row.get(0)).doing(what)
}

/// A count that a pragma returns.
pub(super) fn pragma(conn: &Connection, name: &str) -> Result<u64, DbError> {
    query(conn, &format!("PRAGMA {name}"), &format!("read {name}"))
}
