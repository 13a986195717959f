//! A build that takes longer than a lease period: nobody can beat while it holds the write lock, and
//! nobody takes over; those who wait get its proof. A signal ends it with nothing written.

use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use dotfill::engine::Outcome;
use dotfill::monitor::{Monitor, Progress, Stage};

use crate::common::{PlainDb, dotfill, migration_file, plain_db};
use crate::job::Job;
use crate::scene::{assert_proven, index, sql};

/// Rows whose entries take more than a second to make: each hashes some kilobytes.
const REST: &str = "expressions = ['length(hex(zeroblob(n * 1000)))']";

fn slow() -> PlainDb {
    plain_db(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT);
         WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 3000)
         INSERT INTO t SELECT i, 200 FROM i;",
    )
}

#[test]
fn those_who_wait_get_its_proof() {
    let db = slow();
    let toml = format!("id = \"m\"\n{}", crate::scene::section(REST));
    let file = migration_file(db.folder(), &toml);
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_dotfill"))
            .args(["run", &file, "--db", db.db(), "--lease-seconds", "1", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut held = 0.0;
    let mut built = 0;
    for child in [start(), start(), start()] {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["outcome"], "complete");
        if let Some(seconds) = report["changes"][0]["index"]["build_seconds"].as_f64() {
            held = seconds;
            built += 1;
        }
    }
    assert_eq!(built, 1, "built once");
    assert!(held > 1.0, "premise: the build takes longer than a lease period ({held} s)");
    assert_proven(&Job::new(db.db(), index(REST)));
    dotfill(&["close", &file, "--db", db.db()]).expect_code(0);
}

/// Sets the job's signal a moment after the build has begun.
struct Signal(std::sync::Arc<std::sync::atomic::AtomicBool>);

impl Monitor for Signal {
    fn progress(&self, progress: &Progress) {
        if progress.phase == Stage::Building {
            let cancel = std::sync::Arc::clone(&self.0);
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(100));
                cancel.store(true, Ordering::Relaxed);
            });
        }
    }

    fn note(&self, _: &str) {}
}

#[test]
fn a_signal_ends_it_with_nothing_written() {
    let db = slow();
    let job = Job::new(db.db(), index(REST));
    let report =
        job.run_to(Outcome::Interrupted, &Signal(std::sync::Arc::clone(&job.options.cancel)));
    assert_eq!(report.reason.as_deref(), Some("interrupted by a signal"));
    assert_eq!(sql(&db), None);
    job.options.cancel.store(false, Ordering::Relaxed);
    job.run();
    assert_proven(&job);
}
