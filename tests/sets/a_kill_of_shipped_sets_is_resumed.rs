//! An export, an apply or a run with deltas of a set that is killed before or after any of its
//! commits: the same command then completes, and leaves what an uninterrupted one leaves. The job that
//! is killed is this test binary again, which finds its orders in an environment variable.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use dotfill::engine::{ExportOptions, Outcome};
use dotfill::monitor::{Monitor, Quiet};
use rusqlite::types::Value;
use tempfile::TempDir;

use crate::common::kill::{self, AbortAt};
use crate::common::{Client, extension};
use crate::deltas::{run_shipping, sets, try_apply, try_export, try_run_shipping};
use crate::set::{SetJob, tags};
use crate::watch::AfterCommit;

const ORDERS: &str = "DOTFILL_TEST_KILL_SET_DELTAS";

fn job(folder: &Path, crsqlite: bool) -> SetJob {
    let mut job = SetJob::new(folder.join("a.db"), tags("json", ""));
    job.options.crsqlite = crsqlite.then(|| extension().to_owned());
    job.options.tuning.threads = 1;
    job
}

fn execute(verb: &str, folder: &Path, monitor: &dyn Monitor) {
    let (verb, crsqlite) = verb.strip_suffix("-crsqlite").map_or((verb, false), |v| (v, true));
    let (job, dir) = (job(folder, crsqlite), folder.join("deltas"));
    let outcome = match verb {
        "export" => {
            let options = ExportOptions::default();
            try_export(&job.db, &job.migration, &dir, &options, monitor).map(|r| r.outcome)
        }
        "apply" => try_apply(&folder.join("b.db"), &dir, crsqlite, monitor).map(|r| r.outcome),
        _ => try_run_shipping(&job, &dir, monitor).map(|r| r.outcome),
    };
    match outcome {
        // One that was killed after its last commit had completed too.
        Err(error) if verb == "run" && error.to_string().contains("whole chain of it already") => {}
        other => assert_eq!(other.unwrap(), Outcome::Complete, "{verb}"),
    }
}

/// The child's half: no test of its own.
#[test]
fn the_command_that_is_killed() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let mut words = orders.splitn(3, ' ');
    let (verb, point) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
    let folder = PathBuf::from(words.next().unwrap());
    execute(verb, &folder, &AbortAt::new(point));
}

/// Runs the child; true where it was killed.
fn killed(verb: &str, point: u64, folder: &Path) -> bool {
    let orders = format!("{verb} {point} {}", folder.display());
    kill::killed(module_path!(), "the_command_that_is_killed", ORDERS, &orders)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Projects `1..=rows`, with tags where the column is there.
fn database(db: &Path, rows: u32, tags: bool, crsqlite: bool) -> Client {
    let client = Client::open(db);
    let (column, value) =
        if tags { (", tags TEXT", ", json_array('a', 'b' || i % 3, i)") } else { ("", "") };
    client
        .execute_batch(&format!("CREATE TABLE projects (id INTEGER NOT NULL PRIMARY KEY{column})"))
        .unwrap();
    if crsqlite {
        client.run("SELECT crsql_as_crr('projects')", []);
    }
    client
        .execute_batch(&format!(
            "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < {rows})
             INSERT INTO projects SELECT i{value} FROM i;"
        ))
        .unwrap();
    client
}

fn finish(client: Client) {
    client.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
}

fn dump(db: &Path, crsqlite: bool) -> Vec<Vec<Value>> {
    let client = Client::open(db);
    let mut dump = client.rows("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2", []);
    let mut queries = vec![
        "SELECT * FROM tag_adds ORDER BY 1, 2, 3",
        "SELECT * FROM tag_removes",
        "SELECT phase FROM _dotfill_migrations",
        "SELECT phase, seeded, filled, rows_total, rows_passed FROM _dotfill_changes",
        "SELECT host, pid FROM _dotfill_lease",
        "SELECT ordinal, digest, rows_done, whole FROM _dotfill_applied",
    ];
    if crsqlite {
        queries.push("SELECT count(*) FROM tag_adds__crsql_clock");
    }
    for sql in queries {
        dump.extend(client.rows(sql, []));
    }
    dump
}

fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[track_caller]
fn killed_everywhere<T: PartialEq + std::fmt::Debug>(
    folder: &TempDir,
    verb: &str,
    points: u64,
    found: impl Fn(&Path) -> T,
) {
    let template = folder.path().join("template");
    let whole = folder.path().join("whole");
    copy(&template, &whole);
    execute(verb, &whole, &Quiet);
    let want = found(&whole);
    for point in 1.. {
        let place = folder.path().join(point.to_string());
        copy(&template, &place);
        if !killed(verb, point, &place) {
            assert!(point > points, "premise: only {point} points");
            break;
        }
        execute(verb, &place, &Quiet);
        assert_eq!(found(&place), want, "killed at point {point}");
        fs::remove_dir_all(&place).unwrap();
    }
}

/// A chain in which objects come again, and a replica with some adds, some users' rows and without some
/// of the objects.
#[track_caller]
fn apply_killed_everywhere(crsqlite: bool) {
    let folder = TempDir::new().unwrap();
    let template = folder.path().join("template");
    fs::create_dir(&template).unwrap();
    let a = database(&template.join("a.db"), 70, true, crsqlite);
    let dir = template.join("deltas");
    let there = || fs::read_dir(&dir).map_or(0, Iterator::count);
    let stopped = job(&template, crsqlite);
    let monitor = AfterCommit::new(|_| {
        stopped.options.cancel.store(there() >= 3, Ordering::Relaxed);
    });
    assert_eq!(try_run_shipping(&stopped, &dir, &monitor).unwrap().outcome, Outcome::Interrupted);
    a.execute_batch("UPDATE projects SET tags = '[\"changed\"]' WHERE id % 5 = 0").unwrap();
    run_shipping(&job(&template, crsqlite), &dir);
    assert_eq!(sets(&dir)["5"], ["'changed'"]);
    finish(a);
    finish(database(&template.join("b.db"), 60, false, crsqlite));
    let verb = if crsqlite { "apply-crsqlite" } else { "apply" };
    killed_everywhere(&folder, verb, 25, |place| dump(&place.join("b.db"), crsqlite));
}

#[test]
fn apply_to_a_plain_table() {
    apply_killed_everywhere(false);
}

#[test]
fn apply_to_a_replicated_table() {
    apply_killed_everywhere(true);
}

#[test]
fn export() {
    let folder = TempDir::new().unwrap();
    let template = folder.path().join("template");
    fs::create_dir(&template).unwrap();
    let a = database(&template.join("a.db"), 600_000, true, false);
    let mut first = job(&template, false);
    first.options = dotfill::engine::RunOptions::default();
    first.run();
    finish(a);
    killed_everywhere(&folder, "export", 6, |place| files(&place.join("deltas")));
}

#[test]
fn run_with_deltas() {
    for verb in ["run", "run-crsqlite"] {
        let folder = TempDir::new().unwrap();
        let template = folder.path().join("template");
        fs::create_dir(&template).unwrap();
        let crsqlite = verb.ends_with("crsqlite");
        finish(database(&template.join("a.db"), 40, true, crsqlite));
        killed_everywhere(&folder, verb, 20, |place| {
            (files(&place.join("deltas")), {
                let client = Client::open(&place.join("a.db"));
                client.rows("SELECT * FROM tag_adds ORDER BY 1, 2, 3", [])
            })
        });
    }
}
