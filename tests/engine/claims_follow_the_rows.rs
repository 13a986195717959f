//! Whose a cell of a plain table is, in the orders of notes that once went wrong: histories that
//! the random ones found, made small.

use std::sync::Arc;

use crate::common::{PlainDb, plain_db};
use crate::job::{Job, assert_none, one_column};
use crate::watch::cancel_after;

const ROWS: &str = "INSERT INTO t (id, src) VALUES (1, 'a'), (2, 'b'), (3, 'c')";

/// Notes are drained one at a time.
fn database(target: &str, rest: &str) -> (PlainDb, Job) {
    let db =
        plain_db(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, src TEXT{target}); {ROWS}"));
    let rest = format!("delivery = 'derive'\n{rest}");
    let mut job = Job::new(db.db(), one_column("t", "target", "TEXT", "'v-' || src", &rest));
    job.options.tuning.batch_rows_max = 1;
    (db, job)
}

#[track_caller]
fn assert_row(db: &PlainDb, id: i64, want: Option<&str>) {
    let found = db.texts(&format!("SELECT target FROM t WHERE id = {id}"));
    assert_eq!(found, [want.map(str::to_owned)]);
}

/// Fills, lets users write, drains; row `id` holds `want`, all others what was derived.
#[track_caller]
fn after(writes: &str, id: i64, want: Option<&str>) {
    let (db, job) = database("", "");
    job.run();
    db.execute_batch(writes).unwrap();
    job.run();
    assert_row(&db, id, want);
    assert_none(
        &db,
        &format!("SELECT count(*) FROM t WHERE id <> {id} AND target IS NOT 'v-' || src"),
    );
    job.close();
    assert_row(&db, id, want);
}

#[test]
fn source_and_target_in_one_update_drained_apart() {
    after("UPDATE t SET src = 'x', target = 'user' WHERE id = 1", 1, Some("user"));
}

#[test]
fn a_user_writes_a_row_and_moves_it() {
    after(
        "UPDATE t SET target = 'user' WHERE id = 1; UPDATE t SET id = 9 WHERE id = 1",
        9,
        Some("user"),
    );
    after(
        "INSERT INTO t (id, src, target) VALUES (8, 'x', 'user'); UPDATE t SET id = 9 WHERE id = 8",
        9,
        Some("user"),
    );
}

#[test]
fn a_users_row_moves_twice() {
    after(
        "UPDATE t SET target = 'user' WHERE id = 1;
         UPDATE t SET id = 8 WHERE id = 1; UPDATE t SET id = 9 WHERE id = 8",
        9,
        Some("user"),
    );
}

#[test]
fn two_rows_swap_their_keys() {
    after(
        "UPDATE t SET target = 'user' WHERE id = 1;
         UPDATE t SET id = 9 WHERE id = 1; UPDATE t SET id = 1 WHERE id = 2;
         UPDATE t SET id = 2 WHERE id = 9; UPDATE t SET src = 'new' WHERE id IN (1, 2)",
        2,
        Some("user"),
    );
}

#[test]
fn a_row_of_ours_takes_the_key_of_a_users_deleted_one() {
    after(
        "UPDATE t SET target = 'user' WHERE id = 1; DELETE FROM t WHERE id = 1;
         UPDATE t SET id = 1 WHERE id = 2; UPDATE t SET src = 'new' WHERE id = 1",
        1,
        Some("v-new"),
    );
}

#[test]
fn a_value_is_set_to_null_by_its_user() {
    after(
        "UPDATE t SET target = 'user' WHERE id = 1; UPDATE t SET target = NULL WHERE id = 1",
        1,
        None,
    );
}

#[test]
fn a_row_moves_while_older_values_are_read() {
    for (rest, value, want) in [
        ("", "'user'", Some("user")),
        ("fill_null = false", "NULL", None),
        ("", "NULL", Some("v-a")),
    ] {
        for stop in 1..8 {
            let (db, mut job) = database(", target TEXT", rest);
            db.execute_batch(&format!("UPDATE t SET target = {value} WHERE id = 1")).unwrap();
            job.try_run(&cancel_after(stop, &job.options.cancel)).unwrap();
            job.options.cancel = Arc::default();
            db.execute_batch("UPDATE t SET id = -1 WHERE id = 1").unwrap();
            job.run();
            assert_row(&db, -1, want);
        }
    }
}
