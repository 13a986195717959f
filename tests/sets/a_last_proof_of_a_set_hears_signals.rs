//! A signal while a set is proven ends the command, and the same command continues.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dotfill::engine::{self, Outcome};
use dotfill::monitor::{Monitor, Progress, Quiet, Stage};

use crate::common::plain_db;
use crate::set::{PROJECTS, SetJob, rows, tags};

const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 500)
    INSERT INTO projects (id, tags) SELECT i, '[\"a\", \"b' || (i % 3) || '\", \"c\"]' FROM i;";

/// Asks the job to end as soon as it proves: the command hears of it before the proof begins, however
/// few objects there are.
struct AtTheProof(Arc<AtomicBool>);

impl Monitor for AtTheProof {
    fn progress(&self, progress: &Progress) {
        if progress.phase == Stage::Proving {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn note(&self, _: &str) {}
}

#[test]
fn run_and_close_end_and_continue() {
    let db = plain_db(&format!("{PROJECTS};{ROWS}"));
    let job = || SetJob::new(db.db(), tags("json", ""));
    let stopped = job();
    let report = stopped.try_run(&AtTheProof(Arc::clone(&stopped.options.cancel))).unwrap();
    assert_eq!(report.outcome, Outcome::Interrupted, "{report:?}");
    assert_eq!(rows(&db, "SELECT phase FROM _dotfill_migrations"), ["Text(\"filling\")"]);
    assert_eq!(job().run().rows_written, 0, "everything was filled");

    let stopped = job();
    let monitor = AtTheProof(Arc::clone(&stopped.options.cancel));
    let report =
        engine::close(&stopped.db, &stopped.migration, &stopped.options, &monitor).unwrap();
    assert_eq!(report.outcome, Outcome::Interrupted, "{report:?}");
    let report = engine::close(&stopped.db, &stopped.migration, &job().options, &Quiet).unwrap();
    assert_eq!(report.outcome, Outcome::Complete);
}
