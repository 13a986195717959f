//! A PRIMARY KEY of a rowid table may hold NULL, in any number of rows: each keeps its own value.

use crate::common::plain_db;
use crate::job::{Job, assert_none, assert_sound, one_column};

const WRONG: &str = "SELECT count(*) FROM t WHERE target IS NOT
    CASE WHEN mark THEN 'user' ELSE 'v-' || src END";

fn check(schema: &str, insert: &str) {
    let db = plain_db(&format!(
        "CREATE TABLE t ({schema});
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
         {insert}"
    ));
    let job = Job::new(db.db(), one_column("t", "target", "TEXT", "'v-' || src", ""));
    let report = job.run();
    assert_eq!(report.rows_written, 60);
    assert_none(&db, WRONG);

    db.execute_batch("UPDATE t SET src = 'new' || src WHERE src IN ('s3', 's6', 's7')").unwrap();
    job.run();
    assert_none(&db, WRONG);

    db.execute_batch(&format!(
        "{}; UPDATE t SET src = 'newer' WHERE src IN ('s9', 's10');",
        insert.replace("FROM n", "FROM (SELECT 100 AS i UNION ALL SELECT 101)"),
    ))
    .unwrap();
    job.run();
    assert_none(&db, WRONG);
    assert_sound(&db);
    assert_eq!(job.run().rows_written, 0);
}

#[test]
fn in_a_key_of_one_column() {
    check(
        "id TEXT PRIMARY KEY, src TEXT, mark INT",
        "INSERT INTO t (id, src) SELECT iif(i % 3, 'k' || i, NULL), 's' || i FROM n",
    );
}

#[test]
fn in_a_composite_key() {
    check(
        "a INT, b TEXT, src TEXT, mark INT, PRIMARY KEY (a, b)",
        "INSERT INTO t (a, b, src) SELECT iif(i % 2, 1, NULL), iif(i % 3, i, NULL), 's' || i FROM n",
    );
}

#[test]
fn a_user_who_writes_one_of_them_keeps_it_and_the_others_are_filled() {
    let db = plain_db(
        "CREATE TABLE t (id TEXT PRIMARY KEY, src TEXT, mark INT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
         INSERT INTO t (src) SELECT 's' || i FROM n",
    );
    let mut job = Job::new(db.db(), one_column("t", "target", "TEXT", "'v-' || src", ""));
    job.options.tuning.stage_percent = Some(10.0);
    job.run_to(dotfill::engine::Outcome::Interrupted, &dotfill::monitor::Quiet);
    db.execute_batch("UPDATE t SET target = 'user', mark = 1 WHERE src IN ('s1', 's59')").unwrap();
    job.options.tuning.stage_percent = None;
    job.run();
    assert_none(&db, WRONG);
}
