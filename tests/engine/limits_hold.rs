//! Every limit of a job holds, and what it stops is resumable.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use dotfill::engine::{Outcome, RunReport};
use dotfill::monitor::{Monitor, Progress};

use crate::common::{PlainDb, Replica, plain_db};
use crate::job::{Job, assert_none, migration, one_column};
use crate::watch::AfterCommit;

const WRONG: &str = "SELECT count(*) FROM t WHERE target IS NOT 'v-' || src";

fn plain(rows: u32) -> (PlainDb, Job) {
    let db = plain_db(&format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, src TEXT, filler TEXT);
         WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < {rows})
         INSERT INTO t SELECT i, 'src' || i, hex(zeroblob(30)) FROM i"
    ));
    let mut job = Job::new(db.db(), one_column("t", "target", "TEXT", "'v-' || src", ""));
    job.options.tuning.batch_rows_max = 20_000;
    (db, job)
}

fn machines(rows: u32, rest: &str) -> (Replica, Job) {
    let replica = Replica::machines();
    replica.insert_machines(rows);
    let toml = format!(
        "id = \"m\"\n{rest}\n{}",
        crate::job::column("machines", "owner", "TEXT", "'o-' || app", "delivery = 'native'")
    );
    let job = Job::new(replica.path(), migration(&toml));
    (replica, job)
}

fn resumed(db: &PlainDb, job: &mut Job) -> RunReport {
    job.options.tuning.stage_percent = None;
    let report = job.run();
    assert_none(db, WRONG);
    report
}

#[test]
fn records_per_transaction() {
    for limit in [1, 7, 50, 200] {
        let (replica, mut job) = machines(333, "");
        job.options.tuning.records_per_transaction = limit;
        job.options.tuning.batch_rows_max = 1000;
        job.run();
        // Drained rows are published too.
        replica.run("UPDATE machines SET owner = NULL, app = NULL WHERE id < 3", []);
        replica.run("INSERT INTO machines (id, app) SELECT id + 1000, app FROM machines", []);
        job.run();
        let most = "SELECT max(n) FROM (SELECT count(*) AS n FROM machines__crsql_clock
                    WHERE col_name = 'owner' AND site_id <> 0 GROUP BY site_id, db_version)";
        let most = u64::try_from(replica.count(most)).unwrap();
        assert!(most <= limit, "{most} records in a transaction, the limit is {limit}");
        assert_eq!(
            replica.count(
                "SELECT count(*) FROM machines WHERE owner IS NULL AND id > 2 AND app IS NOT NULL"
            ),
            0
        );
    }
}

/// An expression that readers evaluate, because it costs more than a microsecond.
pub const EXPENSIVE: &str = "'v-' || src || substr(hex(replace(hex(replace(hex(replace(hex(\
    zeroblob(40)), '0', src)), '3', src)), '1', src)), 1, 0)";

#[test]
fn batch_rows_max_whoever_evaluates() {
    for value in ["'v-' || src", EXPENSIVE] {
        let (db, mut job) = plain(2_500);
        job.migration = one_column("t", "target", "TEXT", value, "");
        job.options.tuning.batch_rows_max = 10;
        job.options.tuning.threads = if value == EXPENSIVE { 2 } else { 1 };
        let app = rusqlite::Connection::open(db.db()).unwrap();
        let (mut before, most) = (0, Arc::new(Mutex::new(0)));
        let seen = Arc::clone(&most);
        let monitor = AfterCommit::new(move |_| {
            let sql = "SELECT coalesce(sum(rows_written), 0) FROM _dotfill_changes";
            let now: i64 = app.query_row(sql, [], |row| row.get(0)).unwrap();
            let mut most = seen.lock().unwrap();
            *most = now.abs_diff(before).max(*most);
            before = now;
        });
        let report = job.run_to(Outcome::Complete, &monitor);
        let evaluated_by = if value == EXPENSIVE { "readers" } else { "writer" };
        assert_eq!(report.changes[0].evaluated_by, evaluated_by, "premise");
        assert_none(&db, WRONG);
        assert!(*most.lock().unwrap() <= 10, "{} rows in a batch", most.lock().unwrap());
    }
}

#[test]
fn rows_per_second() {
    let (db, mut job) = plain(3_000);
    job.options.tuning.rows_per_second = Some(2_000);
    let began = Instant::now();
    let report = job.run();
    let seconds = began.elapsed().as_secs_f64();
    assert_none(&db, WRONG);
    // At most rate x (span + 50 ms) and one batch, which is a twentieth of the rate.
    let most = 2_000.0 * (seconds + 0.05) + 250.0;
    assert!(f64::from(3_000) <= most, "3000 rows in {seconds} s");
    assert!(report.throttled_seconds > 0.5, "{report:?}");
}

/// Removes a file when it is told that the job pauses.
struct Unpause {
    file: std::path::PathBuf,
    seen: Mutex<Vec<String>>,
}

impl Monitor for Unpause {
    fn progress(&self, progress: &Progress) {
        if let Some(reason) = &progress.paused {
            self.seen.lock().unwrap().push(reason.clone());
            let _ = fs::remove_file(&self.file);
        }
    }

    fn note(&self, _: &str) {}
}

#[test]
fn a_pause_file_pauses_and_says_so() {
    let (db, mut job) = plain(500);
    let file = db.folder().join("pause");
    fs::write(&file, "").unwrap();
    job.options.tuning.pause_file = Some(file.clone());
    let monitor = Unpause { file, seen: Mutex::default() };
    let report = job.run_to(Outcome::Complete, &monitor);
    assert_none(&db, WRONG);
    let seen = monitor.seen.lock().unwrap();
    assert!(seen.iter().all(|reason| reason.starts_with("pause-file")) && !seen.is_empty());
    assert!(report.throttled_seconds > 0.0);
}

#[test]
fn a_limits_file_is_read_again_before_each_batch() {
    let (db, mut job) = plain(3_000);
    let limits = db.folder().join("limits.toml");
    fs::write(&limits, "batch-rows-max = 50\n").unwrap();
    job.options.limits = Some(limits.clone());
    let (at, replaced) = (limits.with_extension("new"), limits.clone());
    let monitor = AfterCommit::new(move |commits| {
        if commits == 10 {
            fs::write(&at, "batch-rows-max = 5000\nhold-ms = 100\n").unwrap();
            fs::rename(&at, &replaced).unwrap();
        }
    });
    let report = job.run_to(Outcome::Complete, &monitor);
    assert_none(&db, WRONG);
    let all_small = 3_000 / 50;
    assert!((8..all_small).contains(&report.batches), "{} batches", report.batches);
}

/// Breaks a limits file after the first commit, and repairs it once the job says that it pauses.
struct Repair(std::path::PathBuf, AtomicBool);

impl Monitor for Repair {
    fn progress(&self, progress: &Progress) {
        if progress.paused.as_ref().is_some_and(|reason| reason.contains("limits")) {
            self.1.store(true, Ordering::Relaxed);
            fs::write(&self.0, "batch-rows-max = 500\n").unwrap();
        }
    }

    fn note(&self, _: &str) {}
    fn commit(&self, done: bool) {
        if done && !self.1.load(Ordering::Relaxed) {
            fs::write(&self.0, "batch-rows = no\n").unwrap();
        }
    }
}

#[test]
fn a_limits_file_that_is_broken_pauses_until_it_is_repaired() {
    let (db, mut job) = plain(2_000);
    let limits = db.folder().join("limits.toml");
    fs::write(&limits, "batch-rows-max = 50\n").unwrap();
    job.options.limits = Some(limits.clone());
    let monitor = Repair(limits, AtomicBool::new(false));
    job.run_to(Outcome::Complete, &monitor);
    assert!(monitor.1.load(Ordering::Relaxed), "the job never said that it paused");
    assert_none(&db, WRONG);
}

#[test]
fn a_stage_ends_the_job_resumable() {
    let (db, mut job) = plain(10_000);
    job.options.tuning.batch_rows_max = 100;
    for percent in [1.0, 30.0, 60.0] {
        job.options.tuning.stage_percent = Some(percent);
        let report = job.run_to(Outcome::Interrupted, &dotfill::monitor::Quiet);
        assert!(report.reason.unwrap().contains("--stage"));
        let done: i64 = db
            .query_row("SELECT count(*) FROM t WHERE target IS NOT NULL", [], |r| r.get(0))
            .unwrap();
        let want = 10_000.0 * percent / 100.0;
        let done = f64::from(i32::try_from(done).unwrap());
        assert!((want..want + 3_000.0).contains(&done), "{done} rows at {percent} %");
    }
    let rest = resumed(&db, &mut job);
    assert!(rest.rows_written < 5_000, "filled rows were written again");
}

#[test]
fn the_wal_stays_below_its_limit() {
    let (db, mut job) = plain(300_000);
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let limit = 8 << 20;
    job.options.tuning.wal_bytes_max = limit;
    let report = job.run();
    assert_none(&db, WRONG);
    // One batch: every page of its rows, twice over.
    let batch = 20_000 * 150 * 2;
    assert!(
        report.wal_bytes_max <= limit + batch,
        "{} bytes of WAL, the limit is {limit}",
        report.wal_bytes_max
    );
    let written: u64 = fs::metadata(db.db()).unwrap().len();
    assert!(written > 2 * limit, "premise: the job writes more than the limit");
}

#[test]
fn a_budget_of_records_ends_the_job() {
    let (replica, job) = machines(200, "[budget]\nchange_records_per_row_max = 0.5");
    let report = job.run_to(Outcome::Budget, &dotfill::monitor::Quiet);
    assert!(report.reason.unwrap().contains("change_records_per_row_max"));
    assert!(report.change_records_written < 20, "{}", report.change_records_written);
    let (_, higher) = machines(0, "[budget]\nchange_records_per_row_max = 1.0");
    let job = Job { db: replica.path().to_owned(), ..higher };
    assert_eq!(job.run().rows_written + report.rows_written, 200);
}

#[test]
fn a_budget_of_bytes_ends_the_job() {
    let (_replica, job) = machines(500, "[budget]\nwire_bytes_max = \"4KiB\"");
    let report = job.run_to(Outcome::Budget, &dotfill::monitor::Quiet);
    assert!(report.reason.unwrap().contains("wire_bytes_max"));
    assert!(report.change_records_written < 100, "{}", report.change_records_written);
}

#[test]
fn a_cancelled_job_ends_after_its_batch() {
    let (db, mut job) = plain(10_000);
    job.options.tuning.batch_rows_max = 100;
    let cancel = Arc::clone(&job.options.cancel);
    let monitor = AfterCommit::new(move |commits| cancel.store(commits >= 9, Ordering::Relaxed));
    job.run_to(Outcome::Interrupted, &monitor);
    assert!(monitor.commits() <= 12, "{} commits", monitor.commits());
    job.options.cancel = Arc::default();
    resumed(&db, &mut job);
}
