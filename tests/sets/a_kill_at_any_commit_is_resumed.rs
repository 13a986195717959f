//! A job that is killed before or after any of its commits: the same command then completes, and
//! leaves what an uninterrupted job leaves. The job that is killed is this test binary again, which
//! finds its orders in an environment variable.

use std::fs;
use std::path::{Path, PathBuf};

use dotfill::engine::{self, Outcome};
use dotfill::monitor::{Monitor, Quiet};
use rusqlite::types::Value;
use tempfile::TempDir;

use crate::common::kill::{self, AbortAt};
use crate::common::{Client, extension};
use crate::set::{PROJECTS, SetJob, tags};
use crate::watch::cancel_after;

const ORDERS: &str = "DOTFILL_TEST_KILL_SET";

const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 25)
    INSERT INTO projects (id, tags) SELECT i, '[\"a\", \"b' || (i % 3) || '\"]' FROM i;";

const WRITES: &str = "INSERT INTO projects (id, tags) VALUES (100, '[\"new\"]');
    UPDATE projects SET tags = '[\"a\", \"changed\"]' WHERE id IN (3, 12, 24);
    UPDATE projects SET id = id + 200 WHERE id IN (4, 13);
    DELETE FROM projects WHERE id IN (5, 14);
    INSERT INTO tag_adds VALUES (6, 'mine', x'0102');
    INSERT INTO tag_removes SELECT dot FROM tag_adds WHERE id IN (7, 20) AND element = 'a';";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Run,
    RunAndClose,
    Close,
    Rollback,
}

/// Before the command that is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    /// A run was stopped half way, then users wrote.
    HalfRun,
    /// A run was completed, then users wrote.
    Run,
}

type Scenario = (bool, Before, Verb);

const SCENARIOS: [Scenario; 8] = [
    (false, Before::Nothing, Verb::Run),
    (false, Before::HalfRun, Verb::RunAndClose),
    (false, Before::Run, Verb::Close),
    (false, Before::Run, Verb::Rollback),
    (true, Before::Nothing, Verb::Run),
    (true, Before::HalfRun, Verb::RunAndClose),
    (true, Before::Run, Verb::Close),
    (true, Before::Run, Verb::Rollback),
];

fn job((crsqlite, _, verb): Scenario, db: &Path) -> SetJob {
    let mut job = SetJob::new(db, tags("json", ""));
    job.options.crsqlite = crsqlite.then(|| extension().to_owned());
    job.options.close = verb == Verb::RunAndClose;
    // So that the order of commits is always the same.
    job.options.tuning.threads = 1;
    job
}

fn execute(scenario: Scenario, db: &Path, monitor: &dyn Monitor) {
    let job = job(scenario, db);
    let (db, migration, options) = (&job.db, &job.migration, &job.options);
    let outcome = match scenario.2 {
        Verb::Run | Verb::RunAndClose => job.try_run(monitor).map(|r| r.outcome),
        Verb::Close => engine::close(db, migration, options, monitor).map(|r| r.outcome),
        Verb::Rollback => engine::rollback(db, migration, options, monitor).map(|r| r.outcome),
    };
    match outcome {
        Ok(outcome) => assert_eq!(outcome, Outcome::Complete),
        // One that closes is refused where it had closed already.
        Err(error) => {
            assert!(scenario.2 == Verb::RunAndClose, "{scenario:?}: {error}");
            assert!(error.to_string().contains("closed"), "{scenario:?}: {error}");
        }
    }
}

/// A database as the command finds it, in one file that nobody has open.
fn prepare(scenario: Scenario, folder: &Path) -> PathBuf {
    let path = folder.join("template.db");
    let client = Client::open(&path);
    client.execute_batch(PROJECTS).unwrap();
    if scenario.0 {
        client.run("SELECT crsql_as_crr('projects')", []);
    }
    client.execute_batch(ROWS).unwrap();
    let mut job = job((scenario.0, scenario.1, Verb::Run), &path);
    match scenario.1 {
        Before::Nothing => {}
        Before::HalfRun => {
            let monitor = cancel_after(5, &job.options.cancel);
            assert_eq!(job.try_run(&monitor).unwrap().outcome, Outcome::Interrupted);
            job.options.cancel = Default::default();
            client.execute_batch(WRITES).unwrap();
        }
        Before::Run => {
            job.run();
            client.execute_batch(WRITES).unwrap();
        }
    }
    client.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    path
}

/// What is the same however often a job was interrupted.
fn dump(scenario: Scenario, db: &Path) -> Vec<Vec<Value>> {
    let client = Client::open(db);
    let sound: String = client.value("PRAGMA integrity_check", []);
    assert_eq!(sound, "ok");
    let mut dump = client.rows("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2", []);
    let has = |name: &str| {
        let sql = "SELECT count(*) FROM sqlite_schema WHERE name = ?1";
        client.value::<i64>(sql, [name]) > 0
    };
    for (name, sql) in [
        ("projects", "SELECT * FROM projects ORDER BY id"),
        ("tag_adds", "SELECT * FROM tag_adds ORDER BY 1, 2, 3"),
        ("tag_removes", "SELECT * FROM tag_removes ORDER BY 1"),
        ("tags_visible", "SELECT * FROM tags_visible ORDER BY 1, 2"),
        ("_dotfill_sets", "SELECT * FROM _dotfill_sets"),
        ("_dotfill_migrations", "SELECT phase FROM _dotfill_migrations"),
        ("_dotfill_changes", "SELECT phase, filled, rows_total FROM _dotfill_changes"),
        ("_dotfill_dirty_1", "SELECT k1 FROM _dotfill_dirty_1"),
    ] {
        if has(name) {
            dump.extend(client.rows(sql, []));
        }
    }
    if scenario.0 && has("tag_adds") {
        dump.extend(client.rows("SELECT count(*) FROM tag_adds__crsql_clock", []));
    }
    dump
}

/// The child's half: no test of its own.
#[test]
fn the_job_that_is_killed() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let mut words = orders.splitn(3, ' ');
    let mut number = || words.next().unwrap().parse::<u64>().unwrap();
    let (scenario, point) = (number() as usize, number());
    let db = PathBuf::from(words.next().unwrap());
    execute(SCENARIOS[scenario], &db, &AbortAt::new(point));
}

/// Runs the child; true where it was killed.
fn killed(scenario: usize, point: u64, db: &Path) -> bool {
    let orders = format!("{scenario} {point} {}", db.display());
    kill::killed(module_path!(), "the_job_that_is_killed", ORDERS, &orders)
}

/// Kills at every point of one scenario; `least` is the premise on how many there are.
#[track_caller]
fn kill_everywhere(number: usize, least: u64) {
    let scenario = SCENARIOS[number];
    let folder = TempDir::new().unwrap();
    let template = prepare(scenario, folder.path());
    let copy = |name: &str| {
        let path = folder.path().join(name);
        fs::copy(&template, &path).unwrap();
        path
    };
    let whole = copy("whole.db");
    execute(scenario, &whole, &Quiet);
    let want = dump(scenario, &whole);
    for point in 1.. {
        let db = copy(&format!("{point}.db"));
        if !killed(number, point, &db) {
            assert!(point > least, "premise: only {point} points");
            break;
        }
        // A command that was killed after its last commit may be repeated too.
        execute(scenario, &db, &Quiet);
        assert_eq!(dump(scenario, &db), want, "{scenario:?}, killed at point {point}");
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(folder.path().join(format!("{point}.db{suffix}")));
        }
    }
}

#[test]
fn a_run_on_a_plain_table() {
    kill_everywhere(0, 10);
}

#[test]
fn a_run_that_goes_on_and_closes_on_a_plain_table() {
    kill_everywhere(1, 10);
}

#[test]
fn a_close_on_a_plain_table() {
    kill_everywhere(2, 6);
}

#[test]
fn a_rollback_on_a_plain_table() {
    kill_everywhere(3, 8);
}

#[test]
fn a_run_on_a_replica() {
    kill_everywhere(4, 10);
}

#[test]
fn a_run_that_goes_on_and_closes_on_a_replica() {
    kill_everywhere(5, 10);
}

#[test]
fn a_close_on_a_replica() {
    kill_everywhere(6, 6);
}

#[test]
fn a_rollback_on_a_replica() {
    kill_everywhere(7, 8);
}
