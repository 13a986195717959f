//! Every write transaction of every command checks the fencing token: where somebody takes the lease
//! after the k-th commit, whatever k, nothing more is written. A write that did not check would
//! change the dump.

use std::path::Path;

use dotfill::engine::{self, Deltas, RunError, RunOptions};
use dotfill::monitor::Quiet;
use rusqlite::Connection;

use crate::common::{Replica, plain_db};
use crate::deltas::export;
use crate::job::{Job, one_column, small_batches};
use crate::steal::steal_everywhere;

const TABLE: &str = "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, src TEXT, n INT);";
const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 40)
    INSERT INTO t (id, src, n) SELECT 'k' || i, 'src ' || i, i FROM i;";
const WRITES: &str = "INSERT INTO t (id, src) VALUES ('new', 'new');
    UPDATE t SET src = 'changed' WHERE n IN (3, 33, 38); UPDATE t SET id = 'moved' WHERE n = 7;";

fn options() -> RunOptions {
    RunOptions { no_wait: true, ..small_batches() }
}

fn job(db: &Path) -> Job {
    let mut job = Job::new(db, one_column("t", "target", "TEXT", "'v-' || src", ""));
    job.options = options();
    job
}

fn plain(db: &Path) {
    let conn = Connection::open(db).unwrap();
    conn.pragma_update(None, "journal_mode", "WAL").unwrap();
    conn.execute_batch(&format!("{TABLE}{ROWS}")).unwrap();
}

/// Filled, and then written by others.
fn open(db: &Path) {
    plain(db);
    job(db).run();
    Connection::open(db).unwrap().execute_batch(WRITES).unwrap();
}

#[test]
fn run_and_close() {
    steal_everywhere(8, &plain, &|db, monitor| {
        let mut job = job(db);
        job.options.close = true;
        job.try_run(monitor).map(drop)
    });
}

#[test]
fn run_again_over_notes() {
    steal_everywhere(2, &open, &|db, monitor| job(db).try_run(monitor).map(drop));
}

#[test]
fn close() {
    steal_everywhere(2, &open, &|db, monitor| {
        engine::close(db, &job(db).migration, &options(), monitor).map(drop)
    });
}

#[test]
fn rollback() {
    steal_everywhere(6, &open, &|db, monitor| {
        engine::rollback(db, &job(db).migration, &options(), monitor).map(drop)
    });
}

#[test]
fn the_reverting_of_what_fails() {
    let broken = |db: &Path| {
        plain(db);
        let sql = "UPDATE t SET src = 'x' WHERE id = 'k30'";
        Connection::open(db).unwrap().execute_batch(sql).unwrap();
    };
    steal_everywhere(8, &broken, &|db, monitor| {
        let mut job = job(db);
        let value = "CASE WHEN src = 'x' THEN json(src) ELSE src END";
        job.migration = one_column("t", "target", "TEXT", value, "");
        match job.try_run(monitor) {
            Err(RunError::Failed { message, .. }) => {
                assert!(message.contains("taken back"), "{message}");
                Ok(())
            }
            other => other.map(drop),
        }
    });
}

#[test]
fn apply() {
    let source = plain_db(&format!("{TABLE}{ROWS}"));
    let exported = job(Path::new(source.db()));
    exported.run();
    let deltas = source.folder().join("deltas");
    export(source.db(), &exported.migration, &deltas);
    steal_everywhere(8, &plain, &|db, monitor| {
        engine::apply(db, Deltas::Folder(deltas.clone()), &options(), monitor).map(drop)
    });
}

#[test]
fn run_on_a_replicated_table() {
    let replica = Replica::machines();
    replica.insert_machines(20);
    replica.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let template = replica.path().to_owned();
    for delivery in ["derive", "native"] {
        let copy = |db: &Path| {
            std::fs::copy(&template, db).unwrap();
        };
        steal_everywhere(2, &copy, &|db, monitor| {
            let mut job = job(db);
            let rest = format!("delivery = '{delivery}'");
            job.migration = one_column("machines", "owner", "TEXT", "'o-' || app", &rest);
            job.options.tuning.records_per_transaction = 2;
            job.options.tuning.batch_rows_max = 2;
            job.try_run(monitor).map(drop)
        });
    }
}

#[test]
fn a_runner_may_have_had_nothing_more_to_write() {
    // The other half of the rule: who keeps the lease is not disturbed by the check.
    let db = plain_db(&format!("{TABLE}{ROWS}"));
    let job = job(Path::new(db.db()));
    job.run();
    engine::close(&job.db, &job.migration, &job.options, &Quiet).unwrap();
    engine::forget(&job.db, "m").unwrap();
}
