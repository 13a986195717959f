//! What the state of a database looks like from outside.

use rusqlite::Connection;
use tempfile::TempDir;

use super::StatusReader;
use crate::engine::{self, RunOptions};
use crate::migration::Migration;
use crate::monitor::Quiet;
use crate::state::Phase;

const FILE: &str = "id = \"m\"\n[[change]]\nkind = \"column\"\ntable = \"t\"\n\
    column = \"c\"\ntype = \"TEXT\"\nvalue = \"'c-' || a\"\n";

fn database(folder: &TempDir) -> std::path::PathBuf {
    let path = folder.path().join("a b%.db");
    let conn = Connection::open(&path).expect("a database");
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, a);
         WITH r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 100)
         INSERT INTO t SELECT n, n FROM r;",
    )
    .expect("rows");
    path
}

#[test]
fn a_database_without_us_has_no_migrations() {
    let folder = TempDir::new().expect("a folder");
    let reader = StatusReader::open(&database(&folder)).expect("a reader");
    assert!(reader.all().expect("a state").is_empty());
    assert!(reader.one("m").expect("a state").is_none());
}

#[test]
fn a_proven_migration_is_at_a_hundred_with_its_proof() {
    let folder = TempDir::new().expect("a folder");
    let path = database(&folder);
    let migration = Migration::parse(FILE, "m.toml".as_ref()).expect("a migration");
    engine::run(&path, &migration, &RunOptions::default(), &Quiet).expect("a run");
    Connection::open(&path)
        .and_then(|c| c.execute("UPDATE t SET a = 7 WHERE id < 4", []))
        .expect("a user's write");
    let seen = StatusReader::open(&path).expect("a reader").one("m").expect("a state");
    let seen = seen.expect("the migration");
    assert_eq!(seen.phase, Phase::Open);
    assert!((seen.percent - 100.0).abs() < f64::EPSILON);
    assert_eq!((seen.rows_written, seen.rows_total, seen.dirty_rows), (100, 100, 3));
    assert!(seen.is_proven() && !seen.is_resumable() && !seen.running);
    assert_eq!(seen.proof.expect("a proof")["rows"], 100);
    let kinds: Vec<&str> = seen.events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["change-opened", "proven", "lease"]);
    assert!(seen.events[2].detail.contains("\"rows_written\":100"), "{:?}", seen.events[2]);
}
