//! Taking the lease away from a command after each of its commits in turn. Owns no command.

use std::path::Path;
use std::sync::Mutex;

use dotfill::engine::RunError;
use dotfill::monitor::Monitor;
use dotfill::write::WriteError;
use rusqlite::Connection;
use rusqlite::types::Value;
use tempfile::TempDir;

use crate::watch::AfterCommit;

/// Every row of every table, and the schema.
fn dump(db: &Path) -> Vec<Vec<Value>> {
    let conn = Connection::open(db).unwrap();
    let rows = |sql: &str| -> Vec<Vec<Value>> {
        let mut statement = conn.prepare(sql).unwrap();
        let width = statement.column_count();
        statement
            .query_map([], |row| (0..width).map(|i| row.get(i)).collect())
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table'
        AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name";
    let mut dump = rows("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2");
    for name in rows(tables) {
        let Value::Text(name) = &name[0] else { panic!("a name") };
        dump.extend(rows(&format!("SELECT '{name}', * FROM \"{name}\"")));
    }
    dump
}

/// Another process takes the lease.
fn steal(db: &Path) {
    let conn = Connection::open(db).unwrap();
    let sql = "UPDATE _dotfill_lease SET token = token + 1, heartbeat = heartbeat + 1,
        host = 'elsewhere', pid = 7";
    assert_eq!(conn.execute(sql, []).unwrap(), 1);
}

/// A command over a database.
pub type Command<'c> = &'c dyn Fn(&Path, &dyn Monitor) -> Result<(), RunError>;

/// Steals the lease after each commit in turn; `least` is the premise on how many there are.
#[track_caller]
pub fn steal_everywhere(least: u64, prepare: &dyn Fn(&Path), command: Command<'_>) {
    for k in 1.. {
        let folder = TempDir::new().unwrap();
        let db = folder.path().join("t.db");
        prepare(&db);
        let stolen: Mutex<Option<Vec<Vec<Value>>>> = Mutex::new(None);
        let monitor = AfterCommit::new(|commits| {
            if commits == k {
                steal(&db);
                *stolen.lock().unwrap() = Some(dump(&db));
            }
        });
        let result = command(&db, &monitor);
        let commits = monitor.commits();
        drop(monitor);
        let Some(stolen) = stolen.into_inner().unwrap() else {
            result.unwrap_or_else(|error| panic!("undisturbed: {error}"));
            assert!(k > least, "premise: only {k} commits");
            return;
        };
        assert_eq!(commits, k, "a commit after the lease was lost");
        assert!(stolen == dump(&db), "something was written after commit {k}");
        match result {
            // Or it had nothing more to write.
            Err(RunError::Write(WriteError::Replaced)) | Ok(()) => {}
            Err(error) => panic!("after commit {k}: {error}"),
        }
    }
}
