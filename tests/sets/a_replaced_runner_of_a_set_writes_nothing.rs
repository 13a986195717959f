//! Every write transaction of a set's run, close, rollback and reverting checks the fencing token:
//! where somebody takes the lease after the k-th commit, whatever k, nothing more is written.

use std::path::Path;

use dotfill::engine::{self, RunError};
use rusqlite::Connection;

use crate::common::{Client, extension};
use crate::set::{PROJECTS, SetJob, tags};
use crate::steal::steal_everywhere;

const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 25)
    INSERT INTO projects (id, tags) SELECT i, '[\"a\", \"b' || (i % 3) || '\"]' FROM i;";
const WRITES: &str = "INSERT INTO projects (id, tags) VALUES (100, '[\"new\"]');
    UPDATE projects SET tags = '[\"a\", \"changed\"]' WHERE id IN (3, 12, 24);
    DELETE FROM projects WHERE id IN (5, 14);
    INSERT INTO tag_adds VALUES (6, 'mine', x'0102');";

fn job(db: &Path) -> SetJob {
    let mut job = SetJob::new(db, tags("json", ""));
    job.options.no_wait = true;
    job
}

fn plain(db: &Path) {
    let conn = Connection::open(db).unwrap();
    conn.pragma_update(None, "journal_mode", "WAL").unwrap();
    conn.execute_batch(&format!("{PROJECTS};{ROWS}")).unwrap();
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
        let job = job(db);
        engine::close(db, &job.migration, &job.options, monitor).map(drop)
    });
}

#[test]
fn rollback() {
    steal_everywhere(4, &open, &|db, monitor| {
        let job = job(db);
        engine::rollback(db, &job.migration, &job.options, monitor).map(drop)
    });
}

#[test]
fn the_reverting_of_what_is_malformed() {
    // In the second range of the fill, so that there are adds to delete.
    let broken = |db: &Path| {
        plain(db);
        let sql =
            "WITH RECURSIVE i(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM i WHERE i < 2200)
            INSERT INTO projects (id, tags) SELECT i, '[\"a\"]' FROM i;
            UPDATE projects SET tags = '{' WHERE id = 2200";
        Connection::open(db).unwrap().execute_batch(sql).unwrap();
    };
    steal_everywhere(9, &broken, &|db, monitor| {
        let mut job = job(db);
        job.options.tuning.batch_rows_max = 500;
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
fn run_on_a_replicated_table() {
    let replicated = |db: &Path| {
        let client = Client::open(db);
        client.execute_batch(PROJECTS).unwrap();
        client.run("SELECT crsql_as_crr('projects')", []);
        client.execute_batch(ROWS).unwrap();
    };
    steal_everywhere(4, &replicated, &|db, monitor| {
        let mut job = job(db);
        job.options.crsqlite = Some(extension().to_owned());
        job.try_run(monitor).map(drop)
    });
}
