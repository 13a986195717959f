//! Others alter the schema after any commit of a job: ADD COLUMN, CREATE INDEX, and VACUUM, which
//! renumbers the rows of a table without an INTEGER PRIMARY KEY. Each row still ends right.

use dotfill::engine::{self, Outcome};
use rusqlite::Connection;

use crate::common::{PlainDb, plain_db};
use crate::job::{Job, assert_none, assert_sound, one_column};
use crate::watch::{AfterCommit, cancel_after};

const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 120)
    INSERT INTO t (id, src) SELECT 'k' || i, 'src' || i FROM i;
    DELETE FROM t WHERE substr(id, -1) IN ('2', '5');";
const WRONG: &str = "SELECT count(*) FROM t WHERE target IS NOT 'v-' || src";

fn database(column: &str) -> (PlainDb, Job) {
    let db = plain_db(&format!("CREATE TABLE t (id TEXT PRIMARY KEY, src TEXT{column}); {ROWS}"));
    let job = Job::new(db.db(), one_column("t", "target", "TEXT", "'v-' || src", ""));
    (db, job)
}

/// Does `sql` once, after commit `at`.
fn once(db: &PlainDb, at: u64, sql: String) -> AfterCommit<'static> {
    let app = Connection::open(db.db()).unwrap();
    app.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    AfterCommit::new(move |commits| {
        if commits == at {
            app.execute_batch(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    })
}

/// A job that was interrupted at every commit once; ends when there are no more commits.
fn at_every_commit(column: &str, sql: &str, work: impl Fn(&PlainDb, &Job, &AfterCommit<'_>)) {
    for at in 1.. {
        let (db, job) = database(column);
        let monitor = once(&db, at, sql.replace("{at}", &at.to_string()));
        work(&db, &job, &monitor);
        assert_sound(&db);
        if monitor.commits() < at {
            assert!(at > 10, "premise: only {at} commits");
            return;
        }
    }
}

fn run(db: &PlainDb, job: &Job, monitor: &AfterCommit<'_>) {
    job.run_to(Outcome::Complete, monitor);
    assert_none(db, WRONG);
    assert_eq!(job.run().rows_written, 0);
}

#[test]
fn a_column_is_added() {
    at_every_commit("", "ALTER TABLE t ADD COLUMN more{at} INT", run);
}

#[test]
fn an_index_is_created() {
    at_every_commit("", "CREATE INDEX more ON t (src)", run);
}

#[test]
fn rows_are_renumbered() {
    at_every_commit("", "VACUUM", run);
}

#[test]
fn rows_are_renumbered_while_older_values_are_read() {
    at_every_commit(", target TEXT", "VACUUM", run);
}

#[test]
fn rows_are_renumbered_and_noted() {
    let sql = "UPDATE t SET src = 'new' WHERE id < 'k3'; DELETE FROM t WHERE id > 'k9'; VACUUM";
    at_every_commit("", sql, |db, job, monitor| {
        job.run_to(Outcome::Complete, monitor);
        job.run();
        assert_none(db, WRONG);
    });
}

#[test]
fn rows_are_renumbered_during_a_rollback() {
    at_every_commit("", "VACUUM", |db, job, monitor| {
        job.run();
        let report = engine::rollback(&job.db, &job.migration, &job.options, monitor).unwrap();
        assert_eq!(report.outcome, Outcome::Complete);
        assert_none(db, "SELECT count(*) FROM t WHERE target IS NOT NULL");
    });
}

#[test]
fn rows_are_renumbered_during_a_close() {
    let sql = "VACUUM; CREATE TABLE more{at} (x)";
    for at in 1..8 {
        let (db, job) = database("");
        job.run();
        db.execute_batch("UPDATE t SET src = 'new' || src WHERE id < 'k5'").unwrap();
        let monitor = once(&db, at, sql.replace("{at}", &at.to_string()));
        let report = engine::close(&job.db, &job.migration, &job.options, &monitor).unwrap();
        assert_eq!(report.outcome, Outcome::Complete);
        assert_none(&db, WRONG);
    }
}

#[test]
fn a_vacuum_between_two_partial_runs() {
    for stop in [5, 8, 11] {
        let (db, mut job) = database("");
        job.run_to(Outcome::Interrupted, &cancel_after(stop, &job.options.cancel));
        db.execute_batch("DELETE FROM t WHERE rowid % 3 = 0; VACUUM").unwrap();
        job.options.cancel = std::sync::Arc::default();
        job.run();
        assert_none(&db, WRONG);
        assert_sound(&db);
    }
}

#[test]
fn the_table_is_altered_beyond_recognition() {
    for sql in [
        "ALTER TABLE t RENAME TO gone",
        "ALTER TABLE t RENAME COLUMN src TO source",
        "DROP TABLE t",
    ] {
        let (db, job) = database("");
        let error = job.try_run(&once(&db, 6, sql.to_owned())).expect_err(sql);
        let text = error.to_string();
        assert!(text.contains('t') && text.contains("table"), "{sql}: {text}");
    }
}

#[test]
fn notes_during_a_rollback_leave_nothing_of_ours() {
    let sql =
        "UPDATE t SET src = 'new' WHERE id < 'k3'; UPDATE t SET id = 'z' || id WHERE id > 'k8'";
    at_every_commit("", sql, |db, job, monitor| {
        job.run();
        let report = engine::rollback(&job.db, &job.migration, &job.options, monitor).unwrap();
        assert_eq!(report.outcome, Outcome::Complete);
        assert_none(db, "SELECT count(*) FROM t WHERE target IS NOT NULL");
    });
}
