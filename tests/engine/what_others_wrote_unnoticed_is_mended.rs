//! Writes by a program that runs no triggers are noted by nobody: the proof finds them, and the run
//! derives those rows again before it says that it is done. Cancelled on the way, it says so.

use std::sync::Arc;

use dotfill::engine::Outcome;
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::common::{PlainDb, plain_db};
use crate::job::{Job, assert_none, assert_sound, one_column};
use crate::watch::cancel_after;

const WRONG: &str = "SELECT count(*) FROM t WHERE target IS NOT
    CASE WHEN json_valid(src) THEN json_extract(src, '$.x') END";

/// A filled table, then changed without triggers; one row's expression fails.
fn database() -> (PlainDb, Job) {
    let db = plain_db(
        "CREATE TABLE t (id TEXT PRIMARY KEY, src TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
         INSERT INTO t SELECT 'k' || i, json_object('x', 'v' || i) FROM n;
         UPDATE t SET src = 'broken' WHERE id = 'k99'",
    );
    let value = "json_extract(src, '$.x')";
    let job = Job::new(db.db(), one_column("t", "target", "TEXT", value, "on_error = 'skip'"));
    job.run();
    let silent = Connection::open(db.db()).unwrap();
    silent.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    silent
        .execute_batch(
            "UPDATE t SET src = json_object('x', 'silent') WHERE id IN ('k5', 'k98', 'k100');
             INSERT INTO t (id, src) VALUES ('silent', json_object('x', 'new'))",
        )
        .unwrap();
    (db, job)
}

#[test]
fn by_the_next_run() {
    let (db, job) = database();
    let report = job.run();
    assert_none(&db, WRONG);
    assert_eq!(report.rows_written, 4);
    assert_sound(&db);
}

#[test]
fn by_close() {
    let (db, job) = database();
    job.close();
    assert_none(&db, WRONG);
}

#[test]
fn and_no_success_is_said_before() {
    for commits in 1..12 {
        let (db, mut job) = database();
        let monitor = cancel_after(commits, &job.options.cancel);
        let report = job.try_run(&monitor).unwrap();
        let wrong: i64 = db.query_row(WRONG, [], |row| row.get(0)).unwrap();
        assert!(
            wrong == 0 || report.outcome == Outcome::Interrupted,
            "{commits} commits: {wrong} rows are wrong, and the run says {:?}",
            report.outcome
        );
        job.options.cancel = Arc::default();
        job.run();
        assert_none(&db, WRONG);
    }
}
