//! Deliveries that write nothing: no cell, no change record, no trigger of ours; and the value is
//! right in old and new rows.

use crate::common::{Records, Replica, plain_db};
use crate::job::{Job, assert_none, assert_sound, objects, one_column};

const TABLE: &str = "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, src TEXT)";
const ROWS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
    INSERT INTO t (id, src) SELECT i, 's' || i FROM n";
const VIRTUAL: &str = "delivery = 'virtual'\nwritable = false";

/// Runs, writes new rows, runs again; nothing is ever written. `wrong` counts wrong rows.
fn check(conn: &rusqlite::Connection, job: &Job, wrong: &str) {
    let report = job.run();
    assert_eq!((report.rows_written, report.change_records_written), (0, 0));
    assert_eq!(report.rows_total, 300);
    assert_none(conn, wrong);
    assert!(objects(conn, "\\_dotfill\\__\\_%").is_empty(), "a trigger was left");
    assert!(objects(conn, "\\_dotfill\\_dirty%").is_empty());
    conn.execute_batch(
        "INSERT INTO t (id, src) VALUES (1001, 'new'), (1002, NULL);
         UPDATE t SET src = 'changed' WHERE id < 10;
         DELETE FROM t WHERE id = 20;",
    )
    .unwrap();
    assert_none(conn, wrong);
    assert_eq!(job.run().rows_written, 0);
    job.close();
    assert_none(conn, wrong);
    assert_sound(conn);
}

fn plain(value: &str, rest: &str, wrong: &str) {
    let db = plain_db(&format!("{TABLE}; {ROWS}"));
    check(&db, &Job::new(db.db(), one_column("t", "target", "TEXT", value, rest)), wrong);
}

fn replicated(value: &str, rest: &str, wrong: &str) {
    let replica = Replica::with_tables(TABLE, &["t"]);
    replica.execute_batch(ROWS).unwrap();
    let before = Records::of(&replica);
    let job = Job::new(replica.path(), one_column("t", "target", "TEXT", value, rest));
    job.run();
    before.assert_none_created(&replica);
    check(&replica.connect(), &job, wrong);
    let named = Records::of(&replica);
    let of_users: Vec<_> = named.of_column("target").filter(|r| r.col_version != 1).collect();
    assert!(of_users.is_empty(), "{of_users:?}");
}

#[test]
fn a_generated_column() {
    let wrong = "SELECT count(*) FROM t WHERE target IS NOT 'v-' || src";
    plain("'v-' || src", VIRTUAL, wrong);
    replicated("'v-' || src", VIRTUAL, wrong);
}

#[test]
fn a_generated_column_whose_expression_ends_in_a_comment() {
    let wrong = "SELECT count(*) FROM t WHERE target IS NOT src || 'x'";
    plain("src || 'x' -- the end", VIRTUAL, wrong);
}

#[test]
fn a_generated_column_with_a_condition() {
    let wrong = "SELECT count(*) FROM t
                 WHERE target IS NOT CASE WHEN src <> 's3' THEN 'v-' || src END";
    let rest = format!("{VIRTUAL}\nwhere = \"src <> 's3'\"");
    plain("'v-' || src", &rest, wrong);
    replicated("'v-' || src", &rest, wrong);
}

#[test]
fn a_constant_that_is_the_default() {
    let wrong = "SELECT count(*) FROM t WHERE target IS NOT 'it''s -- so'";
    for rest in ["", "delivery = 'elide'"] {
        plain("'it''s -- so'", rest, wrong);
        replicated("'it''s -- so'", rest, wrong);
    }
}

#[test]
fn null_is_the_default_too() {
    let wrong = "SELECT count(*) FROM t WHERE target IS NOT NULL";
    plain("NULL", "", wrong);
    replicated("NULL", "", wrong);
}

#[test]
fn constants_of_every_storage_class() {
    for (type_name, value) in
        [("INTEGER", "-7"), ("REAL", "1.5"), ("BLOB", "x'00ff'"), ("TEXT", "'7'"), ("TEXT", "7")]
    {
        let db = plain_db(&format!("{TABLE}; {ROWS}"));
        let job = Job::new(db.db(), one_column("t", "target", type_name, value, ""));
        let report = job.run();
        assert_none(&db, &format!("SELECT count(*) FROM t WHERE target IS NOT {value}"));
        assert_eq!(report.changes[0].delivery, "elide", "{type_name} {value}");
    }
}

#[test]
fn an_elided_column_is_rolled_back_as_nothing() {
    let db = plain_db(&format!("{TABLE}; {ROWS}"));
    let job = Job::new(db.db(), one_column("t", "target", "TEXT", "'d'", ""));
    job.run();
    assert_eq!(job.rollback().rows_cleared, 0);
    dotfill::engine::forget(&job.db, "m").unwrap();
    assert!(objects(&db, "\\_dotfill%").is_empty());
}

#[test]
fn a_generated_column_of_ours_goes_with_a_rollback() {
    let db = plain_db(&format!("{TABLE}; {ROWS}"));
    let job = Job::new(db.db(), one_column("t", "target", "TEXT", "'v-' || src", VIRTUAL));
    job.run();
    job.rollback();
    assert_none(&db, "SELECT count(*) FROM pragma_table_xinfo('t') WHERE name = 'target'");
    assert_sound(&db);
}
