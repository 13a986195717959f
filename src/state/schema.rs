//! The `_dotfill_*` tables themselves: created, recognised, removed.

use rusqlite::Connection;

use crate::db::quote::ident;
use crate::db::{DbError, Doing};

/// The version of the tables that this build reads and writes.
pub const SCHEMA_VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE _dotfill_meta (key TEXT PRIMARY KEY, value);
CREATE TABLE _dotfill_migrations (
  id TEXT PRIMARY KEY NOT NULL,
  digest BLOB NOT NULL,
  text TEXT NOT NULL,
  phase TEXT NOT NULL CHECK (phase IN
    ('filling', 'open', 'closed', 'rolling-back', 'rolled-back', 'failed')),
  sqlite_version TEXT NOT NULL,
  dotfill_version TEXT NOT NULL,
  proof TEXT
);
CREATE TABLE _dotfill_changes (
  n INTEGER PRIMARY KEY,
  migration TEXT NOT NULL,
  position INTEGER NOT NULL,
  table_name TEXT NOT NULL,
  column_name TEXT NOT NULL,
  delivery TEXT NOT NULL CHECK (delivery IN ('virtual', 'elide', 'derive', 'native')),
  phase TEXT NOT NULL CHECK (phase IN
    ('filling', 'open', 'closed', 'rolling-back', 'rolled-back', 'failed')),
  column_added INTEGER NOT NULL CHECK (column_added IN (0, 1)),
  seeded INTEGER NOT NULL CHECK (seeded IN (0, 1)),
  filled INTEGER NOT NULL CHECK (filled IN (0, 1)),
  null_clocks INTEGER NOT NULL DEFAULT 0,
  checkpoint TEXT,
  checkpoint_schema INTEGER,
  rows_total INTEGER NOT NULL DEFAULT 0,
  rows_passed INTEGER NOT NULL DEFAULT 0,
  rows_written INTEGER NOT NULL DEFAULT 0,
  rows_skipped INTEGER NOT NULL DEFAULT 0,
  change_records_written INTEGER NOT NULL DEFAULT 0,
  UNIQUE (migration, position)
);
CREATE TABLE _dotfill_lease (
  migration TEXT PRIMARY KEY NOT NULL,
  host TEXT,
  pid INTEGER,
  token INTEGER NOT NULL,
  heartbeat INTEGER NOT NULL DEFAULT 0,
  stop INTEGER NOT NULL DEFAULT 0,
  throttle TEXT
);
CREATE TABLE _dotfill_self (token INTEGER);
CREATE TABLE _dotfill_events (
  id INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  migration TEXT NOT NULL,
  kind TEXT NOT NULL,
  detail TEXT NOT NULL
);
CREATE INDEX _dotfill_events_migration ON _dotfill_events (migration, id);
INSERT INTO _dotfill_meta VALUES ('schema_version', 1), ('next_change', 1);
";

/// True where this database has tables of ours.
///
/// # Errors
/// When the schema cannot be read, or was written by a newer dotfill.
pub fn exists(conn: &Connection) -> Result<bool, DbError> {
    let found: i64 = conn
        .query_row(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_dotfill_meta'",
            [],
            |row| row.get(0),
        )
        .doing("look for dotfill's tables")?;
    if found == 0 {
        return Ok(false);
    }
    let version: i64 = conn
        .query_row("SELECT value FROM _dotfill_meta WHERE key = 'schema_version'", [], |row| {
            row.get(0)
        })
        .doing("read the version of dotfill's tables")?;
    if version == SCHEMA_VERSION {
        return Ok(true);
    }
    Err(DbError::Unusable {
        path: conn.path().unwrap_or_default().into(),
        problem: format!("its _dotfill_* tables have version {version}, this is {SCHEMA_VERSION}"),
        remedy: "use the dotfill release that wrote them".to_owned(),
    })
}

/// Creates the tables where they are absent. The caller holds a write transaction.
///
/// # Errors
/// When they cannot be created, or are of a newer version.
pub fn create(conn: &Connection) -> Result<(), DbError> {
    if exists(conn)? { Ok(()) } else { conn.execute_batch(TABLES).doing("create dotfill's tables") }
}

/// A number for a new change, never given before in this database.
///
/// # Errors
/// When it cannot be read or written.
pub fn next_change_number(conn: &Connection) -> Result<i64, DbError> {
    conn.query_row(
        "UPDATE _dotfill_meta SET value = value + 1 WHERE key = 'next_change' \
         RETURNING value - 1",
        [],
        |row| row.get(0),
    )
    .doing("number a change")
}

/// Drops all tables of ours. The caller holds a write transaction and knows that no migration is
/// left.
///
/// # Errors
/// When a table cannot be dropped.
pub fn drop_all(conn: &Connection) -> Result<(), DbError> {
    let names: Vec<String> = conn
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' \
             AND name LIKE '\\_dotfill\\_%' ESCAPE '\\'",
        )
        .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
        .doing("list dotfill's tables")?;
    for name in names {
        conn.execute_batch(&format!("DROP TABLE {}", ident(&name))).doing("drop our tables")?;
    }
    Ok(())
}
