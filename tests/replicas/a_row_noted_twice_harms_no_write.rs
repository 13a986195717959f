//! Rows that change again and again before a drain, by every kind of statement.
//!
//! The conflict clause of the statement that fires a trigger overrides the clauses inside it: an
//! `INSERT OR IGNORE` in a trigger aborts under an UPSERT, which is how cr-sqlite merges.

use rusqlite::Connection;

use crate::common::merge;
use crate::scenario::{DERIVE, Pair};

const WRITES: [&str; 7] = [
    "UPDATE machines SET app = 'w0' WHERE id = 1",
    "UPDATE OR ROLLBACK machines SET app = 'w1' WHERE id = 1",
    "UPDATE OR FAIL machines SET app = 'w2' WHERE id = 1",
    "INSERT OR REPLACE INTO machines(id, app) VALUES (1, 'w3')",
    "INSERT INTO machines(id, app) VALUES (1, 'w4') ON CONFLICT DO UPDATE SET app = 'w4'",
    "UPDATE OR ABORT machines SET owner = 'mine' WHERE id = 1",
    "INSERT INTO machines(id, app) VALUES (1, 'w5') ON CONFLICT DO UPDATE SET owner = 'mine'",
];

#[test]
fn local_or_merged() {
    let pair = Pair::filled(DERIVE);
    for _ in 0..2 {
        for write in WRITES {
            pair.a.run(write, []);
            merge(&pair.a, &pair.b);
        }
    }
    pair.assert_settles(&[(1, Some("mine"))]);
}

/// The rows that an application's UPSERTs note through a trigger with this body.
fn noted_by(body: &str) -> rusqlite::Result<i64> {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch(&format!(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, app TEXT);
         CREATE TABLE noted(id PRIMARY KEY);
         INSERT INTO t VALUES (1, 'a');
         CREATE TRIGGER note AFTER UPDATE ON t BEGIN {body}; END;"
    ))
    .unwrap();
    for _ in 0..2 {
        db.execute("INSERT INTO t VALUES (1, 'b') ON CONFLICT DO UPDATE SET app = 'b'", [])?;
    }
    db.query_row("SELECT count(*) FROM noted", [], |row| row.get(0))
}

#[test]
fn premise_an_upsert_overrides_or_ignore_in_a_trigger() {
    let error = noted_by("INSERT OR IGNORE INTO noted VALUES (NEW.id)").unwrap_err();
    assert!(error.to_string().contains("UNIQUE"), "{error}");
    let noted = noted_by("INSERT INTO noted VALUES (NEW.id) ON CONFLICT DO NOTHING").unwrap();
    assert_eq!(noted, 1);
}
