//! A job that is killed before or after any of its commits, and in the middle of the build: the same
//! command then completes, and leaves what an uninterrupted job leaves. There is no index or a whole
//! one, never a part.
//!
//! The job that is killed is this test binary again, which finds its orders in an environment
//! variable.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use dotfill::engine::{self, Outcome};
use dotfill::monitor::{Monitor, Progress, Quiet, Stage};
use rusqlite::Connection;
use rusqlite::types::Value;
use tempfile::TempDir;

use crate::common::Client;
use crate::common::kill;
use crate::job::{Job, assert_sound};
use crate::scene::{assert_proven, index, sql};

const ORDERS: &str = "DOTFILL_TEST_KILL_INDEX";
const TABLE: &str = "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, a TEXT, n INT);";
const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 20000)
    INSERT INTO t (id, a, n) SELECT 'k' || i, 'a ' || i, i FROM i;";

/// The point at which the process dies in the middle of the build.
const IN_THE_BUILD: u64 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Run,
    RunAndClose,
    Close,
    Rollback,
}

#[derive(Clone, Copy, Debug)]
struct Scenario {
    crsqlite: bool,
    command: Verb,
}

const SCENARIOS: [Scenario; 6] = [
    Scenario { crsqlite: false, command: Verb::Run },
    Scenario { crsqlite: false, command: Verb::RunAndClose },
    Scenario { crsqlite: false, command: Verb::Close },
    Scenario { crsqlite: false, command: Verb::Rollback },
    Scenario { crsqlite: true, command: Verb::RunAndClose },
    Scenario { crsqlite: true, command: Verb::Rollback },
];

impl Scenario {
    fn job(self, db: &Path) -> Job {
        let mut job = Job::new(db, index("expressions = ['lower(a)', 'n']\nwhere = 'n > 3'"));
        job.options.close = self.command == Verb::RunAndClose;
        job
    }

    fn execute(self, db: &Path, monitor: &dyn Monitor) {
        let job = self.job(db);
        let (db, migration, options) = (&job.db, &job.migration, &job.options);
        let outcome = match self.command {
            Verb::Run | Verb::RunAndClose => job.try_run(monitor).map(|r| r.outcome),
            Verb::Close => engine::close(db, migration, options, monitor).map(|r| r.outcome),
            Verb::Rollback => engine::rollback(db, migration, options, monitor).map(|r| r.outcome),
        };
        assert_eq!(outcome.unwrap_or_else(|e| panic!("{self:?}: {e}")), Outcome::Complete);
    }

    fn prepare(self, path: &Path) {
        let client = Client::open(path);
        client.execute_batch(TABLE).unwrap();
        if self.crsqlite {
            client.run("SELECT crsql_as_crr('t')", []);
        }
        client.execute_batch(ROWS).unwrap();
        if matches!(self.command, Verb::Close | Verb::Rollback) {
            self.job(path).run();
        }
        client.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    }

    fn dump(self, db: &Path) -> Vec<Vec<Value>> {
        let client = Client::open(db);
        assert_sound(&client);
        let mut dump = client.rows("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2", []);
        for sql in [
            "SELECT * FROM t ORDER BY id",
            "SELECT phase FROM _dotfill_migrations",
            "SELECT phase, filled, rows_total FROM _dotfill_changes",
            "SELECT name, made FROM _dotfill_indexes",
            "SELECT host, pid FROM _dotfill_lease",
        ] {
            dump.extend(client.rows(sql, []));
        }
        dump
    }
}

/// Aborts the process at the n-th call of `commit`, or in the middle of the build.
struct AbortAt {
    left: AtomicU64,
}

impl Monitor for AbortAt {
    fn progress(&self, progress: &Progress) {
        if progress.phase == Stage::Building && self.left.load(Ordering::Relaxed) == IN_THE_BUILD {
            std::thread::spawn(|| {
                std::thread::sleep(std::time::Duration::from_micros(300));
                std::process::abort();
            });
        }
    }

    fn note(&self, _: &str) {}

    fn commit(&self, _: bool) {
        if self.left.load(Ordering::Relaxed) != IN_THE_BUILD
            && self.left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            std::process::abort();
        }
    }
}

/// The child's half: no test of its own.
#[test]
fn the_job_that_is_killed() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let mut words = orders.splitn(3, ' ');
    let mut number = || words.next().unwrap().parse::<u64>().unwrap();
    let (scenario, point) = (number(), number());
    let scenario = SCENARIOS[usize::try_from(scenario).unwrap()];
    let db = Path::new(words.next().unwrap());
    scenario.execute(db, &AbortAt { left: AtomicU64::new(point) });
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
    let template = folder.path().join("template.db");
    scenario.prepare(&template);
    let copy = |name: &str| {
        let path = folder.path().join(name);
        fs::copy(&template, &path).unwrap();
        path
    };
    let whole = copy("whole.db");
    scenario.execute(&whole, &Quiet);
    let want = scenario.dump(&whole);
    for point in 1.. {
        let db = copy(&format!("{point}.db"));
        if !killed(number, point, &db) {
            assert!(point > least, "premise: only {point} points");
            break;
        }
        assert_sound(&Client::open(&db));
        again(scenario, &db);
        assert_eq!(scenario.dump(&db), want, "{scenario:?}, killed at point {point}");
    }
}

/// The same command again. One that closes is refused where it had closed already.
fn again(scenario: Scenario, db: &Path) {
    let job = scenario.job(db);
    match scenario.command {
        Verb::RunAndClose => {
            match job.try_run(&Quiet) {
                Ok(report) => assert_eq!(report.outcome, Outcome::Complete),
                Err(error) => assert!(error.to_string().contains("closed"), "{error}"),
            }
            Client::open(db).run("UPDATE _dotfill_lease SET host = NULL, pid = NULL", []);
        }
        Verb::Run | Verb::Close | Verb::Rollback => scenario.execute(db, &Quiet),
    }
}

#[test]
fn run_on_a_plain_table() {
    kill_everywhere(0, 8);
}

#[test]
fn run_and_close_on_a_plain_table() {
    kill_everywhere(1, 10);
}

#[test]
fn close_on_a_plain_table() {
    kill_everywhere(2, 4);
}

#[test]
fn rollback_on_a_plain_table() {
    kill_everywhere(3, 6);
}

#[test]
fn run_and_close_on_a_replicated_table() {
    kill_everywhere(4, 10);
}

#[test]
fn rollback_on_a_replicated_table() {
    kill_everywhere(5, 6);
}

#[test]
fn a_kill_in_the_middle_of_the_build_leaves_no_part_of_it() {
    let scenario = SCENARIOS[0];
    let folder = TempDir::new().unwrap();
    let mut without = 0;
    for i in 0..5 {
        let db = folder.path().join(format!("{i}.db"));
        scenario.prepare(&db);
        killed(0, IN_THE_BUILD, &db);
        let conn = Connection::open(&db).unwrap();
        assert_sound(&conn);
        without += u32::from(sql(&conn).is_none());
        drop(conn);
        let job = scenario.job(&db);
        job.run();
        assert_proven(&job);
    }
    assert!(without > 0, "premise: some kill came before the commit");
}
