//! An index that was cut off from its table while rows were written: counted where the counts tell,
//! looked up row by row on request, found before success is said.

use dotfill::engine::{RunError, Verdict};
use rusqlite::Connection;

use crate::common::{PlainDb, plain_db};
use crate::scene::{job, verify};

const TABLES: [&str; 3] = [
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)",
    "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a TEXT)",
    "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a TEXT) WITHOUT ROWID",
];
const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 500)
    INSERT INTO t SELECT i, 'a' || i FROM i;";

/// Writes rows that the index does not hear of: it is out of the schema meanwhile.
fn behind_its_back(db: &PlainDb, sql: &str) {
    let conn = Connection::open(db.db()).unwrap();
    let changed = |sql: &str| {
        let version: i64 = conn.query_row("PRAGMA schema_version", [], |row| row.get(0)).unwrap();
        conn.execute_batch(&format!(
            "PRAGMA writable_schema = ON; {sql}; PRAGMA schema_version = {}; PRAGMA writable_schema = RESET",
            version + 1
        ))
        .unwrap();
    };
    changed("CREATE TABLE kept AS SELECT * FROM sqlite_schema WHERE name = 'i'");
    changed("DELETE FROM sqlite_schema WHERE name = 'i'");
    conn.execute_batch(sql).unwrap();
    changed("INSERT INTO sqlite_schema SELECT * FROM kept");
    conn.execute_batch("DROP TABLE kept").unwrap();
}

#[test]
fn rows_without_an_entry_are_counted_and_named() {
    for table in TABLES {
        let db = plain_db(&format!("{table}; {ROWS}"));
        let job = job(db.db(), "expressions = ['lower(a)']\nwhere = \"a > 'a'\"");
        job.run();
        behind_its_back(&db, "INSERT INTO t VALUES (1001, 'b'), (1002, 'b'), (1003, '')");
        let counted = verify(&job, false);
        assert_eq!((counted.verdict, counted.rows_different), (Verdict::Diverged, 2), "{table}");
        let reason = counted.reason.unwrap();
        assert!(reason.contains("has 500 entries for 502 rows"), "{reason}");
        let looked = verify(&job, true);
        assert_eq!((looked.verdict, looked.rows_different), (Verdict::Diverged, 2));
        assert_eq!(looked.examples.len(), 2);
        assert!(looked.examples[0].contains("1001"), "{:?}", looked.examples);
    }
}

#[test]
fn counts_that_agree_by_accident_are_told_apart_by_integrity() {
    for table in TABLES {
        let db = plain_db(&format!("{table}; {ROWS}"));
        let job = job(db.db(), "columns = ['a']");
        job.run();
        behind_its_back(&db, "DELETE FROM t WHERE id = 7; INSERT INTO t VALUES (1001, 'b')");
        assert_eq!(verify(&job, false).verdict, Verdict::Equal, "{table}: counting cannot tell");
        let looked = verify(&job, true);
        assert_eq!((looked.verdict, looked.rows_different), (Verdict::Diverged, 1), "{table}");
        assert!(looked.reason.unwrap().contains("REINDEX \"i\""));
    }
}

#[test]
fn one_that_was_there_before_is_no_success_while_it_is_damaged() {
    let db = plain_db(&format!("{}; {ROWS} CREATE INDEX i ON t(a)", TABLES[1]));
    behind_its_back(&db, "INSERT INTO t VALUES (1001, 'b')");
    let mut job = job(db.db(), "columns = ['a']");
    let error =
        job.expect_error(&["has 500 entries for 501 rows", "REINDEX", "it was there before"]);
    assert!(matches!(error, RunError::Failed { .. }), "{error:?}");
    db.execute_batch("REINDEX i").unwrap();
    job.options.retry = true;
    job.run();
}
