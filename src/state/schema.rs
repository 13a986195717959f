//! The `_dotfill_*` tables themselves: created, recognised, removed.

use rusqlite::Connection;

use crate::db::quote::ident;
use crate::db::{DbError, Doing};

/// The version of the tables that this build creates. It reads versions 1 and 2 as well: version 1
/// knows nothing of applied deltas, version 2 nothing of shipped ones, of runners, of indexes, of sets, their
/// modes, operations and quarantine. Whoever takes a lease brings a database to this version first.
pub const SCHEMA_VERSION: i64 = 3;

const META: &str = "
CREATE TABLE _dotfill_meta (key TEXT PRIMARY KEY, value);
INSERT INTO _dotfill_meta VALUES ('schema_version', 3), ('next_change', 1);
";

/// The tables whose CHECKs list the phases.
const PHASED: &str = "
CREATE TABLE _dotfill_migrations (
  id TEXT PRIMARY KEY NOT NULL,
  digest BLOB NOT NULL,
  text TEXT NOT NULL,
  phase TEXT NOT NULL CHECK (phase IN
    ('filling', 'open', 'closed', 'applying', 'applied', 'rolling-back', 'rolled-back', 'failed')),
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
    ('filling', 'open', 'closed', 'applying', 'applied', 'rolling-back', 'rolled-back', 'failed')),
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
";

const APPLIED: &str = "
CREATE TABLE _dotfill_applied (
  migration TEXT PRIMARY KEY NOT NULL,
  place TEXT NOT NULL,
  ordinal INTEGER NOT NULL,
  digest BLOB NOT NULL,
  rows_done INTEGER NOT NULL,
  whole INTEGER NOT NULL CHECK (whole IN (0, 1))
);
";

/// What version 3 added for modes: where each set migration stands.
const MODES: &str = "
CREATE TABLE _dotfill_modes (
  migration TEXT PRIMARY KEY NOT NULL,
  mode TEXT NOT NULL CHECK (mode IN ('read-old-write-old', 'read-new-write-old',
    'read-new-write-both', 'read-new-write-new', 'compact-old')),
  cohort_percent INTEGER NOT NULL DEFAULT 0 CHECK (cohort_percent BETWEEN 0 AND 100)
);
";

/// What version 3 added for what was refused.
const QUARANTINE: &str = "
CREATE TABLE _dotfill_quarantine (
  id INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  migration TEXT,
  change_n INTEGER,
  source TEXT NOT NULL CHECK (source IN ('operation', 'write')),
  identity TEXT NOT NULL,
  object TEXT NOT NULL,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('waiting', 'replayed', 'dropped'))
);
CREATE UNIQUE INDEX _dotfill_quarantine_identity ON _dotfill_quarantine (source, identity);
CREATE INDEX _dotfill_quarantine_status ON _dotfill_quarantine (status, migration, id);
";

/// What version 3 added for admission.
const OPERATIONS: &str = "
CREATE TABLE _dotfill_operations (
  seq INTEGER PRIMARY KEY,
  op_id TEXT UNIQUE NOT NULL,
  fingerprint BLOB NOT NULL,
  migration TEXT,
  state TEXT NOT NULL CHECK (state IN ('decided', 'buffered', 'held')),
  decision TEXT NOT NULL,
  operation TEXT,
  bytes INTEGER NOT NULL,
  announced INTEGER NOT NULL CHECK (announced IN (0, 1))
);
CREATE INDEX _dotfill_operations_buffered ON _dotfill_operations (bytes) WHERE state = 'buffered';
CREATE INDEX _dotfill_operations_unsaid ON _dotfill_operations (seq) WHERE announced = 0;
CREATE TABLE _dotfill_missing (
  seq INTEGER NOT NULL,
  what TEXT NOT NULL,
  PRIMARY KEY (seq, what)
) WITHOUT ROWID;
CREATE INDEX _dotfill_missing_what ON _dotfill_missing (what, seq);
";

/// What changes of kind `or_set` have made; new in version 3.
const SETS: &str = "
CREATE TABLE _dotfill_sets (
  n INTEGER PRIMARY KEY,
  adds TEXT NOT NULL,
  removes TEXT NOT NULL,
  view TEXT NOT NULL,
  adds_made INTEGER NOT NULL CHECK (adds_made IN (0, 1)),
  removes_made INTEGER NOT NULL CHECK (removes_made IN (0, 1))
);
";

/// What changes of kind `index` have built; new in version 3.
const INDEXES: &str = "
CREATE TABLE _dotfill_indexes (
  n INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  made INTEGER NOT NULL CHECK (made IN (0, 1))
);
";

/// What version 3 added for closed epochs: how many old writes were decided, and how.
const OUTCOMES: &str = "
CREATE TABLE _dotfill_outcomes (
  change_n INTEGER NOT NULL,
  outcome TEXT NOT NULL,
  reason TEXT NOT NULL,
  writes INTEGER NOT NULL,
  PRIMARY KEY (change_n, outcome, reason)
) WITHOUT ROWID;
";

const SHIPPED: &str = "
CREATE TABLE _dotfill_shipped (
  migration TEXT PRIMARY KEY NOT NULL,
  place TEXT NOT NULL,
  ordinal INTEGER NOT NULL,
  digest BLOB NOT NULL,
  last_id INTEGER NOT NULL,
  walked INTEGER NOT NULL
);
";

/// What version 3 adds: who a runner is beyond its host and number, and what it began with.
const RUNNER: &str = "
CREATE TABLE _dotfill_runner (
  migration TEXT PRIMARY KEY NOT NULL,
  token INTEGER NOT NULL,
  place TEXT,
  started INTEGER,
  lease_ms INTEGER NOT NULL,
  rows_before INTEGER NOT NULL
);
";

/// Brings the tables from version 2 to 3; a new database gets them from here too.
const VERSION_3: [&str; 8] =
    [SHIPPED, RUNNER, MODES, QUARANTINE, OPERATIONS, SETS, OUTCOMES, INDEXES];

const OTHERS: &str = "
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
";

/// The version of this database's tables; `None` where there are none.
///
/// # Errors
/// When the schema cannot be read, or was written by a newer dotfill.
fn version(conn: &Connection) -> Result<Option<i64>, DbError> {
    let found: i64 = conn
        .query_row(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_dotfill_meta'",
            [],
            |row| row.get(0),
        )
        .doing("look for dotfill's tables")?;
    if found == 0 {
        return Ok(None);
    }
    let version: i64 = conn
        .query_row("SELECT value FROM _dotfill_meta WHERE key = 'schema_version'", [], |row| {
            row.get(0)
        })
        .doing("read the version of dotfill's tables")?;
    if (1..=SCHEMA_VERSION).contains(&version) {
        return Ok(Some(version));
    }
    Err(DbError::Unusable {
        path: conn.path().unwrap_or_default().into(),
        problem: format!("its _dotfill_* tables have version {version}, this is {SCHEMA_VERSION}"),
        remedy: "use the dotfill release that wrote them".to_owned(),
    })
}

/// True where this database has tables of ours.
///
/// # Errors
/// When the schema cannot be read, or was written by a newer dotfill.
pub fn exists(conn: &Connection) -> Result<bool, DbError> {
    Ok(version(conn)?.is_some())
}

/// True where the tables know of applied deltas.
///
/// # Errors
/// As [`exists`].
pub fn knows_applied(conn: &Connection) -> Result<bool, DbError> {
    Ok(version(conn)?.is_some_and(|version| version >= 2))
}

/// True where the tables know of modes, admitted operations and quarantine.
///
/// # Errors
/// As [`exists`].
pub fn knows_quarantine(conn: &Connection) -> Result<bool, DbError> {
    Ok(version(conn)?.is_some_and(|version| version >= 3))
}

/// True where the tables know of sets.
///
/// # Errors
/// As [`exists`].
pub fn knows_sets(conn: &Connection) -> Result<bool, DbError> {
    knows_shipped(conn)
}

/// True where the tables know of indexes.
///
/// # Errors
/// As [`exists`].
pub fn knows_indexes(conn: &Connection) -> Result<bool, DbError> {
    knows_shipped(conn)
}

/// True where the tables know of shipped deltas.
///
/// # Errors
/// As [`exists`].
pub fn knows_shipped(conn: &Connection) -> Result<bool, DbError> {
    Ok(version(conn)?.is_some_and(|version| version >= 3))
}

/// True where the tables know more of a runner than its host and number.
///
/// # Errors
/// As [`exists`].
pub fn knows_runner(conn: &Connection) -> Result<bool, DbError> {
    Ok(version(conn)?.is_some_and(|version| version >= 3))
}

/// Creates the tables where they are absent, and brings older ones to this version. The caller
/// holds a write transaction.
///
/// # Errors
/// When they cannot be created, or are of a newer version.
pub fn create(conn: &Connection) -> Result<(), DbError> {
    match version(conn)? {
        None => {
            for part in [META, PHASED, APPLIED, OTHERS].into_iter().chain(VERSION_3) {
                conn.execute_batch(part).doing("create dotfill's tables")?;
            }
            return Ok(());
        }
        Some(1) => {
            to_version_2(conn)?;
            to_version_3(conn)?;
        }
        Some(2) => to_version_3(conn)?,
        Some(_) => return Ok(()),
    }
    conn.execute(
        "UPDATE _dotfill_meta SET value = ?1 WHERE key = 'schema_version'",
        [SCHEMA_VERSION],
    )
    .doing("bring dotfill's tables to the present version")?;
    Ok(())
}

/// From version 2 to 3.
fn to_version_3(conn: &Connection) -> Result<(), DbError> {
    VERSION_3
        .iter()
        .try_for_each(|part| conn.execute_batch(part).doing("bring dotfill's tables to version 3"))
}

/// From version 1 to 2: a CHECK cannot be altered, so the tables that have one are made again.
fn to_version_2(conn: &Connection) -> Result<(), DbError> {
    let what = "bring dotfill's tables to version 2";
    // Not renamed: that would have SQLite look at every view and trigger of the application.
    let tables = ["_dotfill_migrations", "_dotfill_changes"];
    for table in tables {
        let keep = format!("CREATE TABLE {table}_1 AS SELECT * FROM {table}; DROP TABLE {table};");
        conn.execute_batch(&keep).doing(what)?;
    }
    conn.execute_batch(PHASED).doing(what)?;
    for table in tables {
        let copy = format!("INSERT INTO {table} SELECT * FROM {table}_1; DROP TABLE {table}_1;");
        conn.execute_batch(&copy).doing(what)?;
    }
    conn.execute_batch(APPLIED).doing(what)?;
    conn.execute_batch("UPDATE _dotfill_meta SET value = 2 WHERE key = 'schema_version'")
        .doing(what)
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

/// Drops all tables of ours, but for those that a trigger looks at which has stayed. The caller holds
/// a write transaction and knows that no migration is left.
///
/// # Errors
/// When a table cannot be dropped.
pub fn drop_all(conn: &Connection) -> Result<(), DbError> {
    let stay = tables_in_use(conn)?;
    let names: Vec<String> = conn
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' \
             AND name LIKE '\\_dotfill\\_%' ESCAPE '\\'",
        )
        .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
        .doing("list dotfill's tables")?;
    for name in names.iter().filter(|name| !stay.contains(name)) {
        conn.execute_batch(&format!("DROP TABLE {}", ident(name))).doing("drop our tables")?;
    }
    Ok(())
}

/// Tables of ours that triggers look at which stay when a migration is forgotten: without them every
/// write that fires such a trigger would fail.
///
/// # Errors
/// When the schema cannot be read.
pub fn tables_in_use(conn: &Connection) -> Result<Vec<String>, DbError> {
    conn.prepare(
        "SELECT t.name FROM sqlite_schema AS t WHERE t.type = 'table' \
         AND t.name LIKE '\\_dotfill\\_%' ESCAPE '\\' AND EXISTS (SELECT 1 FROM sqlite_schema AS k \
         WHERE k.type = 'trigger' AND k.name LIKE '\\_dotfill\\_kept\\_%' ESCAPE '\\' \
         AND instr(k.sql, t.name) > 0) ORDER BY t.name",
    )
    .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
    .doing("look for tables that triggers look at")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables of version 1, as the releases before deltas made them.
    const VERSION_1: &str = "
CREATE TABLE _dotfill_meta (key TEXT PRIMARY KEY, value);
CREATE TABLE _dotfill_migrations (
  id TEXT PRIMARY KEY NOT NULL, digest BLOB NOT NULL, text TEXT NOT NULL,
  phase TEXT NOT NULL CHECK (phase IN
    ('filling', 'open', 'closed', 'rolling-back', 'rolled-back', 'failed')),
  sqlite_version TEXT NOT NULL, dotfill_version TEXT NOT NULL, proof TEXT);
CREATE TABLE _dotfill_changes (
  n INTEGER PRIMARY KEY, migration TEXT NOT NULL, position INTEGER NOT NULL,
  table_name TEXT NOT NULL, column_name TEXT NOT NULL,
  delivery TEXT NOT NULL CHECK (delivery IN ('virtual', 'elide', 'derive', 'native')),
  phase TEXT NOT NULL CHECK (phase IN
    ('filling', 'open', 'closed', 'rolling-back', 'rolled-back', 'failed')),
  column_added INTEGER NOT NULL CHECK (column_added IN (0, 1)),
  seeded INTEGER NOT NULL CHECK (seeded IN (0, 1)),
  filled INTEGER NOT NULL CHECK (filled IN (0, 1)),
  null_clocks INTEGER NOT NULL DEFAULT 0, checkpoint TEXT, checkpoint_schema INTEGER,
  rows_total INTEGER NOT NULL DEFAULT 0, rows_passed INTEGER NOT NULL DEFAULT 0,
  rows_written INTEGER NOT NULL DEFAULT 0, rows_skipped INTEGER NOT NULL DEFAULT 0,
  change_records_written INTEGER NOT NULL DEFAULT 0, UNIQUE (migration, position));
CREATE TABLE _dotfill_lease (migration TEXT PRIMARY KEY NOT NULL, host TEXT, pid INTEGER,
  token INTEGER NOT NULL, heartbeat INTEGER NOT NULL DEFAULT 0, stop INTEGER NOT NULL DEFAULT 0,
  throttle TEXT);
CREATE TABLE _dotfill_self (token INTEGER);
CREATE TABLE _dotfill_events (id INTEGER PRIMARY KEY, at TEXT NOT NULL, migration TEXT NOT NULL,
  kind TEXT NOT NULL, detail TEXT NOT NULL);
CREATE INDEX _dotfill_events_migration ON _dotfill_events (migration, id);
INSERT INTO _dotfill_meta VALUES ('schema_version', 1), ('next_change', 8);
INSERT INTO _dotfill_migrations VALUES ('m', x'01', 'text', 'open', '3', '0', '{}');
INSERT INTO _dotfill_changes VALUES
  (7, 'm', 0, 't', 'c', 'derive', 'open', 1, 1, 1, 0, '01', 4, 9, 9, 8, 1, 0);
";

    fn dump(conn: &Connection, table: &str) -> Vec<String> {
        let sql = format!("SELECT * FROM {table}");
        let mut statement = conn.prepare(&sql).expect("a table");
        let width = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            (0..width).map(|i| row.get_ref(i).map(|v| format!("{v:?} "))).collect()
        };
        statement.query_map([], row).and_then(Iterator::collect).expect("rows")
    }

    #[test]
    fn older_versions_are_read_and_brought_to_this_one() {
        let conn = Connection::open_in_memory().expect("a database");
        conn.execute_batch(VERSION_1).expect("version 1");
        assert!(exists(&conn).expect("a version"));
        assert!(!knows_applied(&conn).expect("a version"));
        let before: Vec<_> =
            ["_dotfill_migrations", "_dotfill_changes"].map(|t| dump(&conn, t)).to_vec();
        create(&conn).expect("version 3");
        assert!(knows_applied(&conn).expect("a version"));
        assert!(knows_quarantine(&conn).expect("a version"));
        assert!(knows_shipped(&conn).expect("a version"));
        assert!(knows_sets(&conn).expect("a version"));
        assert!(knows_runner(&conn).expect("a version"));
        let after: Vec<_> =
            ["_dotfill_migrations", "_dotfill_changes"].map(|t| dump(&conn, t)).to_vec();
        assert_eq!(after, before);
        conn.execute("UPDATE _dotfill_changes SET phase = 'applied'", []).expect("a new phase");
        assert_eq!(next_change_number(&conn).expect("a number"), 8);

        // The same tables as a database gets that never had version 1.
        let fresh = Connection::open_in_memory().expect("a database");
        create(&fresh).expect("version 3");
        let names = "(SELECT type, name FROM sqlite_schema ORDER BY 1, 2)";
        assert_eq!(dump(&conn, names), dump(&fresh, names));

        // Version 2 had none of those that version 3 adds.
        let second = "DROP TABLE _dotfill_shipped; DROP TABLE _dotfill_runner;
            DROP TABLE _dotfill_modes; DROP TABLE _dotfill_quarantine;
            DROP TABLE _dotfill_missing; DROP TABLE _dotfill_operations;
            DROP TABLE _dotfill_sets; DROP TABLE _dotfill_outcomes;
            DROP TABLE _dotfill_indexes;
            UPDATE _dotfill_meta SET value = 2 WHERE key = 'schema_version'";
        conn.execute_batch(second).expect("version 2");
        assert!(knows_applied(&conn).expect("a version"));
        assert!(!knows_shipped(&conn).expect("a version"));
        assert!(!knows_runner(&conn).expect("a version"));
        assert!(!knows_quarantine(&conn).expect("a version"));
        assert!(!knows_sets(&conn).expect("a version"));
        create(&conn).expect("version 3");
        assert_eq!(dump(&conn, names), dump(&fresh, names));
    }

    #[test]
    fn a_newer_version_is_refused() {
        let conn = Connection::open_in_memory().expect("a database");
        create(&conn).expect("tables");
        conn.execute("UPDATE _dotfill_meta SET value = 99 WHERE key = 'schema_version'", [])
            .expect("another version");
        let error = exists(&conn).expect_err("a refusal").to_string();
        assert!(error.contains("version 99"), "{error}");
    }
}
