//! `run --deltas` of a set: the chain has every object as it is in the end, those too that others
//! changed behind the walk; a stopped run and one that drains later continue it.

use std::path::Path;
use std::sync::atomic::Ordering;

use dotfill::engine::Outcome;

use crate::common::plain_db;
use crate::deltas::{apply, assert_same, export, run_shipping, sets, try_run_shipping};
use crate::set::{PROJECTS, SetJob, rows, tags};
use crate::watch::AfterCommit;

const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 60)
    INSERT INTO projects (id, tags) SELECT i, '[\"a\", \"b' || (i % 3) || '\"]' FROM i;";

const WRITES: &str = "UPDATE projects SET tags = '[\"changed\"]' WHERE id % 10 = 1;
    UPDATE projects SET tags = NULL WHERE id IN (2, 32);
    UPDATE projects SET id = id + 1000 WHERE id IN (3, 33);
    DELETE FROM projects WHERE id IN (4, 34);
    INSERT INTO projects VALUES (500, 'new', '[\"new\"]');";

/// The chain has what an export has, and keys that are gone at most.
#[track_caller]
fn assert_holds_what_an_export_does(job: &SetJob, dir: &Path) {
    let exported = dir.with_extension("exported");
    export(job, &exported);
    let (want, got) = (sets(&exported), sets(dir));
    for (key, set) in want {
        assert_eq!(got.get(&key), Some(&set), "object {key}");
    }
}

#[test]
fn a_run_ships_every_object() {
    let a = plain_db(&format!("{PROJECTS}; {ROWS}"));
    let (job, dir) = (SetJob::new(a.db(), tags("json", "")), a.folder().join("deltas"));
    let report = run_shipping(&job, &dir);
    assert_eq!(report.delta_rows, 60);
    assert_eq!(sets(&dir).len(), 60);
    assert_holds_what_an_export_does(&job, &dir);
    let b = plain_db("CREATE TABLE projects (id INTEGER NOT NULL PRIMARY KEY)");
    b.execute_batch(
        "INSERT INTO projects WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i \
         WHERE i < 60) SELECT i FROM i",
    )
    .unwrap();
    apply(b.db(), &dir);
    assert_same(&job, Path::new(b.db()));
}

#[test]
fn what_others_change_meanwhile_is_shipped_again() {
    for close in [false, true] {
        let a = plain_db(&format!("{PROJECTS}; {ROWS}"));
        let dir = a.folder().join("deltas");
        let mut job = SetJob::new(a.db(), tags("json", ""));
        let there = || std::fs::read_dir(&dir).map_or(0, Iterator::count);
        let cancel = std::sync::Arc::clone(&job.options.cancel);
        let monitor = AfterCommit::new(|_| {
            if there() >= 2 {
                cancel.store(true, Ordering::Relaxed);
            }
        });
        let stopped = try_run_shipping(&job, &dir, &monitor).unwrap();
        assert_eq!(stopped.outcome, Outcome::Interrupted);
        a.execute_batch(WRITES).unwrap();
        job = SetJob::new(a.db(), tags("json", ""));
        // A run in between may leave the chain out: what it derives is remembered.
        if close {
            job.run();
        }
        job.options.close = close;
        run_shipping(&job, &dir);
        let got = sets(&dir);
        assert_eq!(got.get("11"), Some(&vec!["'changed'".to_owned()]));
        assert_eq!(got.get("2"), Some(&Vec::new()));
        assert_eq!(got.get("500"), Some(&vec!["'new'".to_owned()]));
        assert_holds_what_an_export_does(&job, &dir);
        let b = plain_db("CREATE TABLE projects (id INTEGER NOT NULL PRIMARY KEY)");
        let keys = rows(&a, "SELECT id FROM projects");
        for key in &keys {
            let id: i64 = key["Integer(".len()..key.len() - 1].parse().unwrap();
            b.execute("INSERT INTO projects VALUES (?1)", [id]).unwrap();
        }
        let report = apply(b.db(), &dir);
        assert!(report.rows_pending > 0, "keys that are gone wait for their object");
        let adds = "SELECT * FROM tag_adds";
        assert_eq!(rows(&b, adds), rows(&a, adds));
    }
}
