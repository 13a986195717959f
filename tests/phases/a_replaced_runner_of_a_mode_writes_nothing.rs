//! Every write transaction of `advance`, of the way back, of compaction and of what settles old writes
//! checks the fencing token: where somebody takes the lease after the k-th commit, nothing more is
//! written.

use std::path::Path;

use dotfill::engine;
use dotfill::monitor::Monitor;
use dotfill::state::Mode;
use rusqlite::Connection;

use crate::plain::{Plain, STEPS};
use crate::scenario::{PROJECTS, tags};
use crate::steal::steal_everywhere;

const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 30)
    INSERT INTO projects SELECT 'P' || i, 'n', '[\"a\",\"b' || (i % 3) || '\"]' FROM i;";
/// Users write, before an epoch is closed.
const OPEN: &str = "UPDATE projects SET tags = '[\"a\",\"c\"]' WHERE id IN ('P3', 'P9');
    INSERT INTO projects VALUES ('Q1', 'n', '[\"q\"]'); DELETE FROM projects WHERE id = 'P5';";
/// Old writes arrive in a closed epoch.
const CLOSED: &str = "BEGIN; INSERT INTO _dotfill_merging VALUES (1);
    UPDATE projects SET tags = '[\"a\",\"new\"]' WHERE id IN ('P3', 'P9', 'P11');
    DELETE FROM _dotfill_merging; COMMIT;";

fn job(db: &Path, policy: &str) -> Plain {
    let mut job = Plain::new(db, &tags(policy));
    job.options.no_wait = true;
    job
}

/// A database in which so many steps were taken.
fn at(db: &Path, policy: &str, steps: usize, writes: &str) {
    let conn = Connection::open(db).unwrap();
    conn.pragma_update(None, "journal_mode", "WAL").unwrap();
    conn.execute_batch(&format!("{PROJECTS};{ROWS}")).unwrap();
    let job = job(db, policy);
    job.run();
    STEPS[..steps].iter().for_each(|mode| drop(job.advance(*mode)));
    conn.execute_batch(writes).unwrap();
}

#[test]
fn every_step_forward() {
    for (step, mode) in STEPS.into_iter().enumerate() {
        let writes = if step < 3 { OPEN } else { CLOSED };
        let prepare = |db: &Path| at(db, "translate", step, writes);
        steal_everywhere(2, &prepare, &|db: &Path, monitor: &dyn Monitor| {
            job(db, "translate").try_advance(&Plain::asked(mode), monitor).map(drop)
        });
    }
}

#[test]
fn a_share_of_the_objects() {
    let prepare = |db: &Path| at(db, "translate", 2, OPEN);
    steal_everywhere(3, &prepare, &|db: &Path, monitor: &dyn Monitor| {
        let mut asked = Plain::asked(Mode::ReadNewWriteNew);
        asked.percent = Some(50);
        job(db, "translate").try_advance(&asked, monitor).map(drop)
    });
}

#[test]
fn the_way_back() {
    let prepare = |db: &Path| at(db, "translate", 3, "");
    steal_everywhere(1, &prepare, &|db: &Path, monitor: &dyn Monitor| {
        let job = job(db, "translate");
        let to = Mode::ReadOldWriteOld;
        engine::roll_back_to(db, &job.migration, to, &job.options, monitor).map(drop)
    });
}

#[test]
fn a_run_that_settles_old_writes() {
    for policy in ["translate", "reject", "quarantine"] {
        let prepare = |db: &Path| at(db, policy, 3, CLOSED);
        steal_everywhere(2, &prepare, &|db: &Path, monitor: &dyn Monitor| {
            let job = job(db, policy);
            engine::run(db, &job.migration, &job.options, monitor).map(drop)
        });
    }
}
