//! Known bug: a checkpoint so large or so frequent that it slows the job.
//!
//! It is one key, however many rows are behind it, and is written by the transaction of its rows.
//!
//! Taken out: (1) that it is one key (`advanced` in `write/fill.rs` appended to the one before); (2)
//! that it is part of the batch (`engine/writer.rs` saved it in a transaction of its own).
//! Seen: (1) a checkpoint of 4600 bytes; (2) 204 commits for 100 batches.

use std::sync::{Arc, Mutex};

use dotfill::engine::Outcome;
use rusqlite::Connection;

use crate::common::plain_db;
use crate::job::{Job, one_column};
use crate::watch::AfterCommit;

const ROWS: u64 = 5_000;

#[test]
fn however_many_rows_are_behind_it() {
    let db = plain_db(&format!(
        "CREATE TABLE t (a TEXT, b INT, src TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;
         WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < {ROWS})
         INSERT INTO t SELECT 'key ' || (i % 7), i, 'src' || i FROM i;"
    ));
    let mut job = Job::new(db.db(), one_column("t", "target", "TEXT", "'v-' || src", ""));
    job.options.tuning.batch_rows_max = 50;
    let app = Connection::open(db.db()).unwrap();
    let largest = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&largest);
    let monitor = AfterCommit::new(move |_| {
        let sql = "SELECT coalesce(max(length(checkpoint)), 0) FROM _dotfill_changes";
        let bytes: u64 = app.query_row(sql, [], |row| row.get(0)).unwrap_or(0);
        let mut largest = seen.lock().unwrap();
        *largest = bytes.max(*largest);
    });
    let report = job.run_to(Outcome::Complete, &monitor);
    assert!(report.batches >= ROWS / 50, "premise: {} batches", report.batches);
    // Beside its batches a job has a few transactions: to prepare, to end the fill, to open.
    let commits = monitor.commits();
    assert!(commits <= report.batches + 12, "{commits} commits for {} batches", report.batches);
    let largest = *largest.lock().unwrap();
    assert!((1..=100).contains(&largest), "a checkpoint of {largest} bytes");
}
