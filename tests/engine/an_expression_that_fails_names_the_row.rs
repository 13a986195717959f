//! `on_error`: a row whose expression fails stops the run with its key and the message of `SQLite`, or is
//! left NULL and counted; a value that the table refuses is such a row too.

use dotfill::engine::RunError;

use crate::common::{PlainDb, plain_db};
use crate::job::{Job, assert_none, assert_sound, one_column};

const VALUE: &str = "json_extract(src, '$.x')";
/// The same, too expensive for the writer.
const EXPENSIVE: &str = "json_extract(src, '$.x') || substr(hex(replace(hex(replace(hex(replace(\
    hex(zeroblob(40)), '0', id)), '3', id)), '1', id)), 1, 0)";

fn database(value: &str, rest: &str) -> (PlainDb, Job) {
    let db = plain_db(
        "CREATE TABLE t (id TEXT PRIMARY KEY, src TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
         INSERT INTO t SELECT 'k' || i, json_object('x', 'v' || i) FROM n;
         UPDATE t SET src = '{broken' WHERE id IN ('k7', 'k300', 'k599')",
    );
    let job = Job::new(db.db(), one_column("t", "target", "TEXT", value, rest));
    (db, job)
}

const WRONG: &str = "SELECT count(*) FROM t WHERE target IS NOT
    CASE WHEN json_valid(src) THEN json_extract(src, '$.x') END";

#[test]
fn it_stops_the_run_and_repairing_the_row_is_the_remedy() {
    for value in [VALUE, EXPENSIVE] {
        let (db, mut job) = database(value, "");
        for key in ["k7", "k300", "k599"] {
            let error = job.expect_error(&["malformed JSON", "on_error", "repeat the command"]);
            let RunError::Failed { migration, message } = error else { panic!("{error}") };
            assert_eq!(migration, "m");
            assert!(message.starts_with(&format!("table t, row ('{key}'): ")), "{message}");
            job.options.retry = true;
            let repair = "UPDATE t SET src = json_object('x', 'repaired') WHERE id = ?1";
            assert_eq!(db.execute(repair, [key]).unwrap(), 1);
        }
        job.run();
        assert_none(&db, WRONG);
        assert_sound(&db);
    }
}

#[test]
fn it_is_skipped_and_counted() {
    for value in [VALUE, EXPENSIVE] {
        let (db, job) = database(value, "on_error = 'skip'");
        let report = job.run();
        assert_eq!(report.rows_skipped, 3, "{value}");
        assert_eq!(report.rows_written, 597);
        assert_none(&db, WRONG);
        db.execute_batch(
            "UPDATE t SET src = json_object('x', 'again') WHERE id = 'k7';
             UPDATE t SET src = 'broken now' WHERE id = 'k8'",
        )
        .unwrap();
        job.run();
        assert_none(&db, WRONG);
        job.close();
        assert_none(&db, WRONG);
    }
}

#[test]
fn a_value_that_a_constraint_refuses_is_such_a_row() {
    let db = plain_db(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, src INT, target TEXT CHECK (target <> 'v-13'));
         CREATE UNIQUE INDEX u ON t (target);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
         INSERT INTO t (id, src) SELECT i, min(i, 30) FROM n;",
    );
    let job = Job::new(db.db(), one_column("t", "target", "TEXT", "'v-' || src", ""));
    job.expect_error(&["row (13)", "CHECK constraint failed"]);
    let mut job = job;
    job.migration = one_column("t", "target", "TEXT", "'v-' || src", "on_error = 'skip'");
    // Another file under that id is refused: the operator forgets the failed one first.
    job.expect_error(&["another file"]);
    job.migration = one_column("t", "target", "TEXT", "'v-' || src", "");
    dotfill::engine::forget(&job.db, "m").unwrap();
    job.migration = one_column("t", "target", "TEXT", "'v-' || src", "on_error = 'skip'");
    let report = job.run();
    assert_eq!(report.rows_skipped, 11, "the check, and ten that would be doubles");
    assert_none(&db, "SELECT count(*) FROM t WHERE (target IS NULL) IS NOT (id = 13 OR id > 30)");
    assert_sound(&db);
}

#[test]
fn a_drained_row_that_fails_names_itself_too() {
    let (db, job) = database(VALUE, "");
    db.execute_batch("UPDATE t SET src = '{}' WHERE NOT json_valid(src)").unwrap();
    job.run();
    db.execute_batch("UPDATE t SET src = '[' WHERE id = 'k42'").unwrap();
    job.expect_error(&["'k42'", "malformed JSON"]);
    db.execute_batch("UPDATE t SET src = '{}' WHERE id = 'k42'").unwrap();
    job.run();
    assert_none(&db, WRONG);
}
