//! The application's triggers on the target fire; one that writes a replicated table is refused
//! until the operator allows it. Ours never note what dotfill writes.

use crate::common::{Records, Replica, plain_db};
use crate::job::{Job, assert_none, one_column};

const ROWS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
    INSERT INTO t (id, src) SELECT i, 's' || i FROM n";

#[test]
fn they_fire_once_per_cell() {
    let db = plain_db(&format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, src TEXT, target TEXT);
         CREATE TABLE log (id INT, old TEXT, new TEXT);
         CREATE TRIGGER fires AFTER UPDATE OF target ON t BEGIN
           INSERT INTO log VALUES (NEW.id, OLD.target, NEW.target);
         END;
         CREATE TRIGGER never AFTER UPDATE OF src ON t BEGIN
           SELECT RAISE(ABORT, 'not of this column');
         END;
         {ROWS}"
    ));
    let job = Job::new(db.db(), one_column("t", "target", "TEXT", "'v-' || src", ""));
    job.run();
    assert_none(&db, "SELECT count(*) FROM t WHERE target IS NOT 'v-' || src");
    assert_none(
        &db,
        "SELECT count(*) FROM t LEFT JOIN log USING (id) WHERE new IS NOT target OR old IS NOT NULL",
    );
    assert_none(&db, "SELECT count(*) - 50 FROM log");
    assert_eq!(job.run().rows_written, 0);
    assert_none(&db, "SELECT count(*) - 50 FROM log");
}

#[test]
fn one_that_writes_the_target_of_other_rows_is_no_user() {
    let db = plain_db(&format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, src TEXT, target TEXT, touched INT DEFAULT 0);
         CREATE TRIGGER counts AFTER UPDATE OF target ON t BEGIN
           UPDATE t SET touched = touched + 1 WHERE id = NEW.id;
         END;
         {ROWS}"
    ));
    let job = Job::new(db.db(), one_column("t", "target", "TEXT", "'v-' || src", ""));
    job.run();
    assert_none(&db, "SELECT count(*) FROM t WHERE target IS NOT 'v-' || src OR touched <> 1");
}

fn replicated() -> (Replica, Job) {
    let replica = Replica::with_tables(
        "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, src TEXT, target TEXT);
         CREATE TABLE log (id INTEGER NOT NULL PRIMARY KEY, new TEXT);",
        &["t", "log"],
    );
    replica.execute_batch(ROWS).unwrap();
    replica
        .execute_batch(
            "CREATE TRIGGER fires AFTER UPDATE OF target ON t BEGIN
               REPLACE INTO log VALUES (NEW.id, NEW.target);
             END",
        )
        .unwrap();
    let rest = "delivery = 'derive'";
    let job = Job::new(replica.path(), one_column("t", "target", "TEXT", "'v-' || src", rest));
    (replica, job)
}

#[test]
fn one_that_writes_a_replicated_table_is_refused_by_name() {
    let (replica, job) = replicated();
    let (before, schema) = (Records::of(&replica), replica.schema());
    job.expect_error(&["\"fires\"", "log", "replicated", "--user-triggers allow"]);
    assert_eq!(Records::of(&replica), before);
    assert_eq!(replica.schema(), schema);
}

#[test]
fn and_fires_where_that_is_allowed() {
    let (replica, mut job) = replicated();
    job.options.user_triggers_allowed = true;
    job.run();
    assert_eq!(replica.count("SELECT count(*) FROM t WHERE target IS NOT 'v-' || src"), 0);
    assert_eq!(replica.count("SELECT count(*) FROM log JOIN t USING (id) WHERE new = target"), 50);
    replica.assert_sound();
}
