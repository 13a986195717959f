//! While applications write and drains go on, on both replicas, a comparison may find rows in
//! flight; it never takes one for a divergence.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dotfill::engine::{self, Against, CompareOptions, RunOptions, Verdict};
use dotfill::monitor::Quiet;
use rusqlite::Connection;

use crate::common::plain_db;
use crate::job::{Job, one_column, threads};

const ROWS: i64 = 20_000;

fn write(job: &Job, done: &AtomicBool, seed: i64) {
    let conn = Connection::open(&job.db).unwrap();
    conn.busy_timeout(Duration::from_secs(30)).unwrap();
    let mut n = seed;
    while !done.load(Ordering::Relaxed) {
        n = (n * 48_271) % 2_147_483_647;
        let id = n % ROWS + 1;
        let sql = match n % 5 {
            0 => "UPDATE t SET src = 's' || ?2 WHERE n = ?1",
            1 => "UPDATE t SET target = 'u' || ?2 WHERE n = ?1",
            2 => "DELETE FROM t WHERE n = ?1 AND ?2 > 0",
            3 => "INSERT OR IGNORE INTO t (n, id, src) VALUES (?1, 'k' || ?1, 's' || ?2)",
            _ => "UPDATE t SET src = 's' || ?2, target = 'v' WHERE n = ?1",
        };
        conn.execute(sql, (id, n % 100)).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn on_a_table_that_is_walked_by_rowid() {
    let schema = format!(
        "CREATE TABLE t (n INT, id TEXT PRIMARY KEY, src TEXT);
         CREATE INDEX by_n ON t (n);
         WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < {ROWS})
         INSERT INTO t SELECT i, 'k' || i, 's' || i FROM r;"
    );
    let dbs = [plain_db(&schema), plain_db(&schema)];
    let migration = || one_column("t", "target", "TEXT", "'v-' || src", "");
    let mut jobs = dbs.each_ref().map(|db| Job::new(db.db(), migration()));
    // Batches that keep up with the writers.
    jobs.iter_mut().for_each(|job| job.options = RunOptions::default());
    jobs.iter().for_each(|job| drop(job.run()));
    let done = AtomicBool::new(false);
    /// Ends the writers, also where a comparison fails.
    struct End<'e>(&'e AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    std::thread::scope(|scope| {
        let writers: Vec<_> = (jobs.iter().zip([11, 17]))
            .map(|(job, seed)| {
                scope.spawn({
                    let done = &done;
                    move || write(job, done, seed)
                })
            })
            .collect();
        let end = End(&done);
        let mut in_flight = 0;
        for round in 0..20 {
            let [here, there] = [&jobs[round % 2], &jobs[1 - round % 2]];
            let other = Against::Replica(there.db.clone());
            let options = CompareOptions { threads: 2, diff: None, ..CompareOptions::default() };
            let report =
                engine::verify_against(&here.db, &here.migration, &other, &options, &Quiet)
                    .unwrap();
            assert_ne!(report.verdict, Verdict::Diverged, "{report:#?}");
            in_flight += report.comparison.unwrap().rows_in_flight;
            let digest = engine::digest(&there.db, &there.migration, &threads(2), &Quiet).unwrap();
            let other = Against::Digest { name: "d".to_owned(), digest: Box::new(digest) };
            let options = CompareOptions::default();
            let report =
                engine::verify_against(&here.db, &here.migration, &other, &options, &Quiet)
                    .unwrap();
            assert_ne!(report.verdict, Verdict::Diverged, "{report:#?}");
            if round % 4 == 0 {
                here.run();
            }
        }
        drop(end);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert!(in_flight > 100, "premise: the writers wrote, {in_flight}");
    });
}
