//! `advance` and `rollback --to` are killed before and after any of their commits: the same command
//! then completes, and leaves what an uninterrupted one leaves. The job that is killed is this test
//! binary again, which finds its orders in an environment variable.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use dotfill::engine::{self, Outcome};
use dotfill::monitor::{Monitor, Progress, Quiet};
use dotfill::state::Mode;
use rusqlite::Connection;
use rusqlite::types::Value;
use tempfile::TempDir;

use crate::plain::{Plain, STEPS};
use crate::scenario::{PROJECTS, tags};

const ORDERS: &str = "DOTFILL_TEST_KILL_ADVANCE";

const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 30)
    INSERT INTO projects SELECT 'P' || i, 'n', '[\"a\",\"b' || (i % 3) || '\"]' FROM i;";

/// What is written before the command that is killed.
const OPEN: &str = "UPDATE projects SET tags = '[\"a\",\"c\"]' WHERE id IN ('P3', 'P9');
    INSERT INTO projects VALUES ('Q1', 'n', '[\"q\"]'); DELETE FROM projects WHERE id = 'P5';";
const CLOSED: &str = "BEGIN; INSERT INTO _dotfill_merging VALUES (1);
    UPDATE projects SET tags = '[\"a\",\"new\"]' WHERE id IN ('P3', 'P9', 'P11');
    DELETE FROM _dotfill_merging; COMMIT;";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    /// One step, from the mode with that number.
    Step(usize),
    /// A share of the objects.
    Share,
    /// From a closed epoch back to the first mode.
    Back,
}

const VERBS: [Verb; 5] = [Verb::Step(0), Verb::Step(1), Verb::Step(2), Verb::Share, Verb::Back];

fn execute(verb: Verb, db: &Path, monitor: &dyn Monitor) {
    let job = Plain::new(db, &tags("translate"));
    let mut asked = match verb {
        Verb::Step(i) => Plain::asked(STEPS[i]),
        Verb::Share => Plain::asked(Mode::ReadNewWriteNew),
        Verb::Back => {
            let to = Mode::ReadOldWriteOld;
            let report = engine::roll_back_to(&job.db, &job.migration, to, &job.options, monitor);
            let report = report.unwrap();
            assert!(report.safe && report.mode == to, "{report:#?}");
            return;
        }
    };
    if verb == Verb::Share {
        asked.percent = Some(50);
    }
    let report = job.try_advance(&asked, monitor).unwrap();
    assert!(report.gate && report.outcome == Outcome::Complete, "{:#?}", report.conditions);
}

/// A database as the command finds it, in one file that nobody has open.
fn prepare(verb: Verb, folder: &Path) -> PathBuf {
    let path = folder.join("template.db");
    let conn = Connection::open(&path).unwrap();
    conn.pragma_update(None, "journal_mode", "WAL").unwrap();
    conn.execute_batch(&format!("{PROJECTS}; {ROWS}")).unwrap();
    let job = Plain::new(&path, &tags("translate"));
    job.run();
    let steps = match verb {
        Verb::Step(i) => i,
        Verb::Share => 2,
        Verb::Back => 3,
    };
    STEPS[..steps].iter().for_each(|mode| drop(job.advance(*mode)));
    conn.execute_batch(if verb == Verb::Back { "SELECT 1" } else { OPEN }).unwrap();
    conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    path
}

/// What is the same however often a command was interrupted.
fn dump(db: &Path) -> Vec<Vec<Value>> {
    let conn = Connection::open(db).unwrap();
    let sound: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let rows = |sql: &str| -> Vec<Vec<Value>> {
        let mut statement = conn.prepare(sql).unwrap();
        let width = statement.column_count();
        statement
            .query_map([], |row| (0..width).map(|i| row.get(i)).collect())
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    let mut dump = rows("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2");
    for sql in [
        "SELECT * FROM projects ORDER BY id",
        "SELECT * FROM project_tag_adds ORDER BY 1, 2, 3",
        "SELECT * FROM project_tag_removes ORDER BY 1",
        "SELECT * FROM project_tags_visible ORDER BY 1, 2",
        "SELECT mode, cohort_percent FROM _dotfill_modes",
    ] {
        dump.extend(rows(sql));
    }
    if rows("SELECT 1 FROM sqlite_schema WHERE name = '_dotfill_cohort_1'").len() == 1 {
        dump.extend(rows("SELECT * FROM _dotfill_cohort_1 ORDER BY 1"));
        dump.extend(rows("SELECT * FROM _dotfill_oldwrite_1 ORDER BY 1"));
    }
    dump
}

/// Aborts the process at the n-th call of `commit`.
struct AbortAt(AtomicU64);

impl Monitor for AbortAt {
    fn progress(&self, _: &Progress) {}

    fn note(&self, _: &str) {}

    fn commit(&self, _: bool) {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 1 {
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
    let (verb, point) = (usize::try_from(number()).unwrap(), number());
    let db = PathBuf::from(words.next().unwrap());
    execute(VERBS[verb], &db, &AbortAt(AtomicU64::new(point)));
}

/// Runs the child; true where it was killed.
fn killed(verb: usize, point: u64, db: &Path) -> bool {
    let name = concat!(module_path!(), "::the_job_that_is_killed").split_once("::").unwrap().1;
    let output = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--test-threads=1"])
        .env(ORDERS, format!("{verb} {point} {}", db.display()))
        .output()
        .unwrap();
    let signal = output.status.signal();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() || signal == Some(6), "{said}");
    signal == Some(6)
}

/// Kills at every point of one command; `least` is the premise on how many there are.
#[track_caller]
fn kill_everywhere(number: usize, least: u64) {
    let verb = VERBS[number];
    let folder = TempDir::new().unwrap();
    let template = prepare(verb, folder.path());
    let copy = |name: &str| {
        let path = folder.path().join(name);
        fs::copy(&template, &path).unwrap();
        path
    };
    let whole = copy("whole.db");
    execute(verb, &whole, &Quiet);
    let want = dump(&whole);
    for point in 1.. {
        let db = copy(&format!("{point}.db"));
        if !killed(number, point, &db) {
            assert!(point > least, "premise: only {point} points");
            break;
        }
        // A command that was killed after its last commit may be repeated too.
        execute(verb, &db, &Quiet);
        assert_eq!(dump(&db), want, "{verb:?}, killed at point {point}");
    }
}

#[test]
fn a_step_to_read_new() {
    kill_everywhere(0, 6);
}

#[test]
fn a_step_to_write_both() {
    kill_everywhere(1, 6);
}

#[test]
fn a_step_to_write_new() {
    kill_everywhere(2, 6);
}

#[test]
fn a_share_of_the_objects() {
    kill_everywhere(3, 8);
}

#[test]
fn a_way_back() {
    kill_everywhere(4, 6);
}

#[test]
fn settling_what_has_arrived() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("closed.db");
    let conn = Connection::open(&path).unwrap();
    conn.pragma_update(None, "journal_mode", "WAL").unwrap();
    conn.execute_batch(&format!("{PROJECTS}; {ROWS}")).unwrap();
    let job = Plain::new(&path, &tags("translate"));
    job.close_epoch();
    conn.execute_batch(CLOSED).unwrap();
    job.run();
    let once = dump(&path);
    job.run();
    assert_eq!(dump(&path), once);
}
