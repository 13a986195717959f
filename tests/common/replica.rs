//! One replica: a database file of its own, and connections to it as an application opens them.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Params, Row};
use tempfile::TempDir;

use super::extension;

/// The table of most scenarios, before the migration.
pub const MACHINES: &str =
    "CREATE TABLE machines(id INTEGER NOT NULL PRIMARY KEY, app TEXT, note TEXT)";

/// An application's connection with the extension loaded. Finalizes the extension when dropped, as
/// cr-sqlite asks of every connection.
pub struct Client {
    connection: Connection,
}

impl Client {
    /// Opens `path` as an application would: extension, WAL, a busy timeout.
    pub fn open(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        connection.busy_timeout(Duration::from_secs(30)).unwrap();
        load_extension(&connection);
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.pragma_update(None, "synchronous", "NORMAL").unwrap();
        Self { connection }
    }

    /// Runs one statement to its end, whether it returns rows (as every `crsql_..` function does)
    /// or not; the count of rows it changed.
    pub fn run(&self, sql: &str, params: impl Params) -> u64 {
        self.try_run(sql, params).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// As `run`, for statements that are expected to fail.
    pub fn try_run(&self, sql: &str, params: impl Params) -> rusqlite::Result<u64> {
        let before = self.connection.total_changes();
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query(params)?;
        while rows.next()?.is_some() {}
        Ok(self.connection.total_changes() - before)
    }

    /// All rows of a query, as values.
    pub fn rows(&self, sql: &str, params: impl Params) -> Vec<Vec<Value>> {
        let mut statement = self.connection.prepare(sql).unwrap();
        let width = statement.column_count();
        let values = |row: &Row<'_>| (0..width).map(|column| row.get(column)).collect();
        statement.query_map(params, values).unwrap().map(Result::unwrap).collect()
    }

    /// The single value of a query.
    pub fn value<T: rusqlite::types::FromSql>(&self, sql: &str, params: impl Params) -> T {
        self.connection
            .query_row(sql, params, |row| row.get(0))
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

impl Deref for Client {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let finalized = self.connection.query_row("SELECT crsql_finalize()", [], |_| Ok(()));
        if let Err(error) = finalized {
            eprintln!("crsql_finalize: {error}");
        }
    }
}

#[expect(unsafe_code, reason = "loading a C extension; its digest was checked by tools/crsqlite")]
fn load_extension(connection: &Connection) {
    // SAFETY: the file is the pinned cr-sqlite build, whose entry point has SQLite's signature;
    // loading is disabled again at once, so that SQL cannot load anything else.
    let loaded = unsafe {
        connection.load_extension_enable().unwrap();
        connection.load_extension(extension(), Some("sqlite3_crsqlite_init"))
    };
    connection.load_extension_disable().unwrap();
    loaded.unwrap_or_else(|error| panic!("cannot load {}: {error}", extension().display()));
}

/// A clock row of one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    pub col_version: i64,
    pub db_version: i64,
    /// 0 is the local site; others are ordinals of `crsql_site_id`.
    pub site: i64,
}

/// A database file in a folder of its own, with one application connection (which it derefs to).
pub struct Replica {
    client: Client,
    path: PathBuf,
    _folder: Option<TempDir>,
}

impl Replica {
    /// A replica whose tables are made by `schema` and replicated by `crsql_as_crr`.
    pub fn with_tables(schema: &str, tables: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("replica.db");
        let client = Client::open(&path);
        client.execute_batch(schema).unwrap();
        for table in tables {
            client.run("SELECT crsql_as_crr(?1)", [table]);
        }
        Self { client, path, _folder: Some(folder) }
    }

    /// The replica of a file that is there already, and stays.
    pub fn at(path: &Path) -> Self {
        Self { client: Client::open(path), path: path.to_owned(), _folder: None }
    }

    /// A replica with the table `machines` and no target column.
    pub fn machines() -> Self {
        Self::with_tables(MACHINES, &["machines"])
    }

    /// A replica with the table `machines` that has the target column already.
    pub fn machines_with_owner() -> Self {
        let replica = Self::machines();
        replica.alter("machines", "ALTER TABLE machines ADD COLUMN owner TEXT");
        replica
    }

    /// Inserts the machines `1..=count`, with `app-<id>` and a note, in one transaction.
    pub fn insert_machines(&self, count: u32) {
        self.run(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
             INSERT INTO machines(id, app, note) SELECT i, 'app-' || i, 'note ' || i FROM n",
            [count],
        );
    }

    /// Lets the extension alter a table: its full begin, the statement, its full commit.
    pub fn alter(&self, table: &str, statement: &str) {
        self.run("SELECT crsql_begin_alter(?1)", [table]);
        self.execute_batch(statement).unwrap();
        self.run("SELECT crsql_commit_alter(?1)", [table]);
    }

    /// Another application connection to the same file.
    pub fn connect(&self) -> Client {
        Client::open(&self.path)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path as an argument of a command line.
    pub fn db(&self) -> &str {
        self.path.to_str().expect("temporary folders have UTF-8 names")
    }

    /// The folder of the database, which goes with the replica.
    pub fn folder(&self) -> &Path {
        self.path.parent().expect("a file has a folder")
    }

    pub fn site_id(&self) -> Vec<u8> {
        self.value("SELECT crsql_site_id()", [])
    }

    /// `owner` of one machine.
    pub fn owner(&self, id: i64) -> Option<String> {
        self.value("SELECT owner FROM machines WHERE id = ?1", [id])
    }

    /// The clock row of `machines.owner` of one machine, if the cell has one.
    pub fn owner_clock(&self, id: i64) -> Option<Clock> {
        self.clock("machines", id, "owner")
    }

    /// The clock row of a cell of a table whose key is the integer column `id`.
    pub fn clock(&self, table: &str, id: i64, column: &str) -> Option<Clock> {
        let sql = format!(
            "SELECT col_version, db_version, site_id FROM {table}__crsql_clock
             WHERE key = (SELECT __crsql_key FROM {table}__crsql_pks WHERE id = ?1)
               AND col_name = ?2"
        );
        let clock = |row: &Row<'_>| {
            Ok(Clock { col_version: row.get(0)?, db_version: row.get(1)?, site: row.get(2)? })
        };
        self.query_row(&sql, rusqlite::params![id, column], clock).optional().unwrap()
    }

    /// The clock's version of `machines.owner`, if the cell has a clock row.
    pub fn owner_version(&self, id: i64) -> Option<i64> {
        self.owner_clock(id).map(|clock| clock.col_version)
    }

    /// Every machine: id, app, note, owner; in the order of keys.
    pub fn machines_rows(&self) -> Vec<Vec<Value>> {
        self.rows("SELECT id, app, note, owner FROM machines ORDER BY id", [])
    }

    /// How many rows a query counts.
    pub fn count(&self, sql: &str) -> i64 {
        self.value(sql, [])
    }

    /// The schema: type, name, table, SQL of every object, in the order of names.
    pub fn schema(&self) -> Vec<Vec<Value>> {
        self.rows("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name", [])
    }

    /// Panics unless `SQLite` finds the file sound.
    pub fn assert_sound(&self) {
        let verdict: String = self.value("PRAGMA integrity_check", []);
        assert_eq!(verdict, "ok");
    }
}

impl Deref for Replica {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}
