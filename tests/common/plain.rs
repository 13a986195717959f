//! A database that no CRDT layer knows.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

/// A plain `SQLite` database in a folder of its own, with one application connection.
pub struct PlainDb {
    connection: Connection,
    path: PathBuf,
    _folder: TempDir,
}

/// A plain database made by `schema`.
pub fn plain_db(schema: &str) -> PlainDb {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("plain.db");
    let connection = Connection::open(&path).unwrap();
    connection.busy_timeout(Duration::from_secs(30)).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.execute_batch(schema).unwrap();
    PlainDb { connection, path, _folder: folder }
}

impl PlainDb {
    /// The path as an argument of a command line.
    pub fn db(&self) -> &str {
        self.path.to_str().expect("temporary folders have UTF-8 names")
    }

    /// The folder of the database, which goes with it.
    pub fn folder(&self) -> &Path {
        self.path.parent().expect("a file has a folder")
    }

    /// The first column of every row, as text or NULL.
    pub fn texts(&self, sql: &str) -> Vec<Option<String>> {
        let mut statement = self.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}

impl Deref for PlainDb {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}
