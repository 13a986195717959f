//! Rows that a unique index does not allow and rows for which an expression fails are named before the
//! build; the failure is everybody's, and `--retry` goes on.

use dotfill::engine::{self, Outcome, RunError};
use dotfill::monitor::{Monitor, Progress, Quiet};
use dotfill::state::Phase;
use dotfill::status::StatusReader;
use rusqlite::Connection;

use crate::common::plain_db;
use crate::scene::{assert_proven, job, sql};

const ROWS: &str = "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a TEXT COLLATE NOCASE, n INT);
    WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 25000)
    INSERT INTO t SELECT 'k' || i, 'a' || i, i FROM i;
    INSERT INTO t VALUES ('null', NULL, 1), ('null2', NULL, 1);";

#[test]
fn equal_rows_are_named_by_their_keys() {
    let db = plain_db(ROWS);
    db.execute_batch("UPDATE t SET a = 'A7' WHERE n IN (8, 9); UPDATE t SET n = 4 WHERE n = 5")
        .unwrap();
    let mut job = job(db.db(), "columns = ['a']\nunique = true");
    let words =
        ["unique", "the same (a)", "in rows ('k", "and ('k", "nothing was built", "--retry"];
    let error = job.expect_error(&words);
    assert!(matches!(error, RunError::Failed { .. }), "{error:?}");
    assert_eq!(sql(&db), None);
    // Whoever comes later gets the same failure, without another look.
    assert_eq!(job.expect_error(&[]).to_string(), error.to_string());
    let waited = engine::attest(&job.db, &job.migration, false, &Default::default(), &Quiet);
    assert_eq!(waited.unwrap_err().to_string(), error.to_string());
    let status = StatusReader::open(&job.db).unwrap().one("m").unwrap().unwrap();
    assert_eq!(status.phase, Phase::Failed);

    db.execute_batch("UPDATE t SET a = id WHERE n IN (8, 9)").unwrap();
    job.expect_error(&["has failed"]);
    job.options.retry = true;
    assert_eq!(job.run().changes[0].index.as_ref().unwrap().entries, 25_002);
    assert_proven(&job);
}

#[test]
fn rows_outside_of_the_condition_do_not_count() {
    let db = plain_db(ROWS);
    db.execute_batch("UPDATE t SET a = 'A7' WHERE n IN (8, 9)").unwrap();
    let job = job(db.db(), "columns = ['a']\nunique = true\nwhere = 'n NOT IN (7, 8)'");
    job.run();
    assert_proven(&job);
}

#[test]
fn the_row_for_which_an_expression_fails_is_named() {
    let db = plain_db(ROWS);
    db.execute_batch("UPDATE t SET a = '{\"x\": 1}'; UPDATE t SET a = 'no json' WHERE n = 23456")
        .unwrap();
    let mut job =
        job(db.db(), "expressions = [\"json_extract(a, '$.x')\"]\nwhere = 'a IS NOT NULL'");
    let error = job.expect_error(&["row ('k23456'): malformed JSON", "--retry"]);
    assert!(matches!(error, RunError::Failed { .. }), "{error:?}");
    assert_eq!(sql(&db), None);
    db.execute_batch("DELETE FROM t WHERE n = 23456").unwrap();
    job.options.retry = true;
    job.run();
    assert_proven(&job);
}

/// Writes a row that stands in the way once the rows were looked at, as often as it is told to.
struct InTheWay<'a> {
    db: &'a str,
    sql: &'a str,
}

impl Monitor for InTheWay<'_> {
    fn progress(&self, _: &Progress) {}

    fn note(&self, note: &str) {
        if note.contains("is one transaction") {
            Connection::open(self.db).unwrap().execute_batch(self.sql).unwrap();
        }
    }
}

#[test]
fn rows_that_are_written_between_look_and_build_are_named_too() {
    let db = plain_db(ROWS);
    let job = job(db.db(), "columns = ['a']\nunique = true");
    let monitor = InTheWay { db: db.db(), sql: "INSERT INTO t VALUES ('late', 'a77', 0)" };
    let error = job.try_run(&monitor).unwrap_err().to_string();
    assert!(error.contains("('a77') in rows (") && error.contains("('late')"), "{error}");
    assert_eq!(sql(&db), None);
}

#[test]
fn a_schema_change_between_look_and_build_is_met() {
    let db = plain_db(ROWS);
    let job = job(db.db(), "columns = ['a']");
    let monitor = InTheWay { db: db.db(), sql: "CREATE INDEX IF NOT EXISTS i ON t(a)" };
    let report = job.run_to(Outcome::Complete, &monitor);
    // Somebody else was faster: it is not ours.
    assert_eq!(report.changes[0].index.as_ref().unwrap().build_seconds, None);
    assert_eq!(job.rollback().kept, ["index \"i\" stays: it was there before"]);
    let db = plain_db(ROWS);
    let job = crate::scene::job(db.db(), "columns = ['a']");
    let monitor = InTheWay { db: db.db(), sql: "CREATE INDEX IF NOT EXISTS i ON t(n)" };
    let error = job.try_run(&monitor).unwrap_err().to_string();
    assert!(error.contains("terms: (n) instead of (a collate NOCASE)"), "{error}");
}
