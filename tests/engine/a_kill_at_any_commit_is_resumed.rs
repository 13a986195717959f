//! A job that is killed before or after any of its commits: the same command then completes, and
//! leaves what an uninterrupted job leaves.
//!
//! The job that is killed is this test binary again, which finds its orders in an environment
//! variable.

use std::fs;
use std::path::{Path, PathBuf};

use dotfill::engine::{self, Outcome};
use dotfill::migration::Migration;
use dotfill::monitor::{Monitor, Quiet};
use rusqlite::types::Value;
use tempfile::TempDir;

use crate::common::kill::{self, AbortAt};
use crate::common::{Client, Replica};
use crate::job::{Job, assert_sound, one_column};
use crate::watch::cancel_after;

const ORDERS: &str = "DOTFILL_TEST_KILL";
const TABLE: &str = "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, src TEXT, n INT);";
const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 60)
    INSERT INTO t (id, src, n) SELECT 'k' || i, 'src ' || i, i FROM i;";
const WRITES: &str = "INSERT INTO t (id, src) VALUES ('new', 'new');
    INSERT INTO t (id, src, target) VALUES ('new2', 'new', 'user');
    UPDATE t SET src = 'changed' WHERE n IN (3, 33, 58);
    UPDATE t SET target = 'user' WHERE n IN (4, 34, 59);
    UPDATE t SET src = 'changed', target = 'user' WHERE n IN (5, 35);
    UPDATE t SET target = NULL WHERE n = 36;
    UPDATE t SET id = 'moved' || n WHERE n IN (4, 7, 37);
    DELETE FROM t WHERE n IN (8, 38);";

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
    /// Nothing was run.
    Nothing,
    /// The column is there, with users' values in it.
    Column,
    /// A run was stopped half way, then users wrote.
    HalfRun,
    /// A run was completed, then users wrote.
    Run,
}

#[derive(Clone, Copy, Debug)]
struct Scenario {
    crsqlite: bool,
    delivery: &'static str,
    before: Before,
    command: Verb,
}

impl Scenario {
    fn migration(self) -> Migration {
        let rest = format!("delivery = '{}'", self.delivery);
        one_column("t", "target", "TEXT", "'v-' || src", &rest)
    }

    fn job(self, db: &Path) -> Job {
        let mut job = Job::new(db, self.migration());
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

    /// A database as the command finds it, in one file that nobody has open.
    fn prepare(self, folder: &Path) -> PathBuf {
        let path = folder.join("template.db");
        let client = Client::open(&path);
        client.execute_batch(TABLE).unwrap();
        if self.crsqlite {
            client.run("SELECT crsql_as_crr('t')", []);
        }
        client.execute_batch(ROWS).unwrap();
        let job = self.job(&path);
        match self.before {
            Before::Nothing => {}
            Before::Column => {
                let alter = "ALTER TABLE t ADD COLUMN target TEXT";
                if self.crsqlite {
                    client.run("SELECT crsql_begin_alter('t')", []);
                    client.execute_batch(alter).unwrap();
                    client.run("SELECT crsql_commit_alter('t')", []);
                } else {
                    client.execute_batch(alter).unwrap();
                }
                client.execute_batch(WRITES).unwrap();
            }
            Before::HalfRun => {
                let mut job = job;
                job.options.close = false;
                let monitor = cancel_after(8, &job.options.cancel);
                job.run_to(Outcome::Interrupted, &monitor);
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
}

/// What is the same however often a job was interrupted: rows, clock rows without their versions,
/// schema, phases.
fn dump(scenario: Scenario, db: &Path) -> Vec<Vec<Value>> {
    let client = Client::open(db);
    assert_sound(&client);
    let mut dump = client.rows("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2", []);
    dump.extend(client.rows("SELECT * FROM t ORDER BY id", []));
    for sql in [
        "SELECT phase FROM _dotfill_migrations",
        "SELECT phase, seeded, filled, rows_total FROM _dotfill_changes",
        "SELECT host, pid FROM _dotfill_lease",
    ] {
        dump.extend(client.rows(sql, []));
    }
    if scenario.crsqlite {
        dump.extend(client.rows(
            "SELECT id, col_name, col_version, length(site_id) FROM t__crsql_clock
             JOIN t__crsql_pks ON key = __crsql_key ORDER BY id, col_name",
            [],
        ));
        let doubled = "SELECT count(*) FROM (SELECT 1 FROM t__crsql_clock
                       GROUP BY site_id, db_version, seq HAVING count(*) > 1)";
        assert_eq!(client.value::<i64>(doubled, []), 0, "two records at one place");
        let most = "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM t__crsql_clock
                    WHERE col_version = 0 GROUP BY site_id, db_version)";
        assert!(client.value::<i64>(most, []) <= 7, "too many records in one transaction");
        let ahead = "SELECT count(*) FROM t__crsql_clock AS c
                     JOIN crsql_site_id AS s ON s.ordinal = c.site_id
                     LEFT JOIN crsql_db_versions AS v ON v.site_id = s.site_id
                     WHERE c.db_version > coalesce(v.db_version, 0)";
        assert_eq!(client.value::<i64>(ahead, []), 0, "a record is ahead of its site's version");
    }
    dump
}

/// The child's half: no test of its own.
#[test]
fn the_job_that_is_killed() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let mut words = orders.splitn(3, ' ');
    let mut number = || words.next().unwrap().parse::<u64>().unwrap();
    let (scenario, point) = (number(), number());
    let scenario = SCENARIOS[usize::try_from(scenario).unwrap()];
    let db = PathBuf::from(words.next().unwrap());
    scenario.execute(&db, &AbortAt::new(point));
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
    let template = scenario.prepare(folder.path());
    let copy = |name: &str| {
        let path = folder.path().join(name);
        fs::copy(&template, &path).unwrap();
        path
    };
    let whole = copy("whole.db");
    scenario.execute(&whole, &Quiet);
    let want = dump(scenario, &whole);
    for point in 1.. {
        let db = copy(&format!("{point}.db"));
        if !killed(number, point, &db) {
            assert!(point > least, "premise: only {point} points");
            break;
        }
        assert_sound(&Client::open(&db));
        // A command that was killed after its last commit may be repeated too.
        scenario.execute_again(&db);
        let got = dump(scenario, &db);
        assert_eq!(got, want, "{scenario:?}, killed at point {point}");
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(folder.path().join(format!("{point}.db{suffix}")));
        }
    }
}

impl Scenario {
    /// The same command again. One that closes is refused where it had closed already.
    fn execute_again(self, db: &Path) {
        if self.command == Verb::RunAndClose {
            let job = self.job(db);
            match job.try_run(&Quiet) {
                Ok(report) => assert_eq!(report.outcome, Outcome::Complete),
                Err(error) => assert!(error.to_string().contains("closed"), "{error}"),
            }
            // What the refused run leaves of the lease is what the closing one would leave.
            let client = Client::open(db);
            client.run("UPDATE _dotfill_lease SET host = NULL, pid = NULL", []);
            return;
        }
        self.execute(db, &Quiet);
    }
}

const fn scenario(
    crsqlite: bool,
    delivery: &'static str,
    before: Before,
    command: Verb,
) -> Scenario {
    Scenario { crsqlite, delivery, before, command }
}

const SCENARIOS: [Scenario; 12] = [
    scenario(false, "derive", Before::Nothing, Verb::RunAndClose),
    scenario(false, "derive", Before::Column, Verb::Run),
    scenario(false, "derive", Before::HalfRun, Verb::Run),
    scenario(false, "derive", Before::Run, Verb::Close),
    scenario(false, "derive", Before::Run, Verb::Rollback),
    scenario(true, "derive", Before::Nothing, Verb::RunAndClose),
    scenario(true, "derive", Before::Column, Verb::Run),
    scenario(true, "derive", Before::HalfRun, Verb::Run),
    scenario(true, "derive", Before::Run, Verb::Rollback),
    scenario(true, "native", Before::Nothing, Verb::RunAndClose),
    scenario(true, "native", Before::Column, Verb::Run),
    scenario(true, "native", Before::HalfRun, Verb::Run),
];

#[test]
fn derive_on_a_plain_table() {
    kill_everywhere(0, 20);
}

#[test]
fn derive_beside_older_values_on_a_plain_table() {
    kill_everywhere(1, 20);
}

#[test]
fn derive_from_the_middle_with_notes_on_a_plain_table() {
    kill_everywhere(2, 20);
}

#[test]
fn close_with_notes_on_a_plain_table() {
    kill_everywhere(3, 10);
}

#[test]
fn rollback_on_a_plain_table() {
    kill_everywhere(4, 15);
}

#[test]
fn derive_on_a_replicated_table() {
    kill_everywhere(5, 20);
}

#[test]
fn derive_beside_older_values_on_a_replicated_table() {
    kill_everywhere(6, 15);
}

#[test]
fn derive_from_the_middle_with_notes_on_a_replicated_table() {
    kill_everywhere(7, 20);
}

#[test]
fn rollback_on_a_replicated_table() {
    kill_everywhere(8, 15);
}

#[test]
fn native() {
    kill_everywhere(9, 20);
}

#[test]
fn native_beside_older_values() {
    kill_everywhere(10, 15);
}

#[test]
fn native_from_the_middle_with_notes() {
    kill_everywhere(11, 20);
}

/// `Replica` is what the rest of the tests use; here a file is copied, site id and all.
#[test]
fn premise_a_copied_replica_keeps_its_site() {
    let replica = Replica::machines();
    replica.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let copy = replica.folder().join("copy.db");
    fs::copy(replica.path(), &copy).unwrap();
    let site: Vec<u8> = Client::open(&copy).value("SELECT crsql_site_id()", []);
    assert_eq!(site, replica.site_id());
}
