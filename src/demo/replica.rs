//! One replica of the demo, as an application opens it, and merging between two of them.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::DemoError;
use crate::db::{DbError, Doing, beside};
use crate::layout::crsqlite;

/// A database file, and the extension where it is one of cr-sqlite.
#[derive(Clone, Debug)]
pub(super) struct Replica {
    pub path: PathBuf,
    pub extension: Option<PathBuf>,
}

/// The fields of a row of `crsql_changes`, in the order of [`FIELDS`].
pub(super) type Change = Vec<Value>;

const FIELDS: &str = "\"table\", pk, cid, val, col_version, db_version, site_id, cl, seq, ts";

impl Replica {
    /// Runs `body` on an application's connection: with the extension, recording.
    pub(super) fn with<T>(
        &self,
        body: impl FnOnce(&Connection) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        let what = "open a replica of the demo";
        let conn = Connection::open(&self.path).doing(what)?;
        conn.busy_timeout(Duration::from_secs(5)).doing(what)?;
        conn.execute_batch("PRAGMA synchronous = NORMAL").doing(what)?;
        if let Some(library) = &self.extension {
            crsqlite::load_extension(&conn, library)?;
            call(&conn, "crsql_internal_sync_bit(0)")?;
        }
        let result = body(&conn);
        if self.extension.is_some() {
            // cr-sqlite asks for it: statements of its own are open.
            call(&conn, "crsql_finalize()")?;
        }
        conn.close().map_err(|(_, error)| error).doing("close a replica of the demo")?;
        result
    }

    /// Writes as a user, and returns the change records of it.
    pub(super) fn write(&self, sql: &str) -> Result<Vec<Change>, DbError> {
        self.with(|conn| {
            let since = version(conn, self.extension.is_some())?;
            conn.execute_batch(sql).doing("write as a user of the demo")?;
            match since {
                Some(since) => changes(conn, since),
                None => Ok(Vec::new()),
            }
        })
    }

    /// Merges change records, as replication does.
    pub(super) fn merge(&self, changes: &[Change]) -> Result<(), DbError> {
        self.with(|conn| {
            let what = "merge change records";
            conn.execute_batch("BEGIN IMMEDIATE").doing(what)?;
            let sql = format!(
                "INSERT INTO crsql_changes ({FIELDS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            );
            let mut insert = conn.prepare(&sql).doing(what)?;
            for change in changes {
                insert.execute(rusqlite::params_from_iter(change)).doing(what)?;
            }
            drop(insert);
            conn.execute_batch("COMMIT").doing(what)
        })
    }

    /// Clock rows of the table: one for each cell that has change records.
    pub(super) fn clock_rows(&self) -> Result<u64, DbError> {
        if self.extension.is_none() {
            return Ok(0);
        }
        self.number("SELECT count(*) FROM machines__crsql_clock")
    }

    /// The number that a query of one row and one column answers.
    pub(super) fn number(&self, sql: &str) -> Result<u64, DbError> {
        self.with(|conn| conn.query_row(sql, [], |row| row.get(0)).doing("read a number"))
    }

    /// The cell `owner` of a row.
    pub(super) fn owner(&self, id: u64) -> Result<Option<String>, DbError> {
        self.with(|conn| {
            conn.query_row("SELECT owner FROM machines WHERE id = ?1", [id], |row| row.get(0))
                .doing("read a row of the demo")
        })
    }

    /// The size of the file, its WAL being copied into it first.
    pub(super) fn file_bytes(&self) -> Result<u64, DemoError> {
        self.with(|conn| {
            conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
                .doing("checkpoint the WAL")
        })?;
        file_bytes(&self.path)
    }

    /// The size of the WAL.
    pub(super) fn wal_bytes(&self) -> Result<u64, DemoError> {
        file_bytes(&beside(&self.path, "-wal"))
    }
}

fn file_bytes(path: &std::path::Path) -> Result<u64, DemoError> {
    std::fs::metadata(path).map(|meta| meta.len()).map_err(|source| DemoError::Io {
        path: path.to_owned(),
        doing: "measure",
        source,
    })
}

/// Calls a function of the extension for its effect.
pub(super) fn call(conn: &Connection, function: &str) -> Result<(), DbError> {
    conn.query_row(&format!("SELECT {function}"), [], |_| Ok(())).doing(format!("call {function}"))
}

/// The replica's own version, where it has one.
fn version(conn: &Connection, replicated: bool) -> Result<Option<i64>, DbError> {
    if !replicated {
        return Ok(None);
    }
    conn.query_row("SELECT crsql_db_version()", [], |row| row.get(0))
        .map(Some)
        .doing("read the replica's version")
}

/// What this replica itself has written after version `since`.
pub(super) fn changes(conn: &Connection, since: i64) -> Result<Vec<Change>, DbError> {
    let sql = format!(
        "SELECT {FIELDS} FROM crsql_changes WHERE site_id = crsql_site_id() AND db_version > ?1"
    );
    conn.prepare(&sql)
        .and_then(|mut s| {
            let fields = s.column_count();
            s.query_map([since], |row| (0..fields).map(|i| row.get(i)).collect())?.collect()
        })
        .doing("read change records")
}
