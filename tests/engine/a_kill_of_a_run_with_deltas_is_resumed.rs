//! A run with deltas that is killed before or after any of its commits, of the fill or of a segment:
//! the same command then completes, and leaves the database that an uninterrupted run leaves. Where
//! nobody else writes, it leaves the same chain, byte for byte; where others do, a chain with the
//! same values.
//!
//! The job that is killed is this test binary again, which finds its orders in an environment
//! variable.

use std::fs;
use std::path::{Path, PathBuf};

use dotfill::engine::{Outcome, RunReport};
use dotfill::migration::Migration;
use dotfill::monitor::{Monitor, Quiet};
use rusqlite::types::Value;
use tempfile::TempDir;

use crate::common::Client;
use crate::common::kill::{self, AbortAt};
use crate::deltas::{assert_holds_what_an_export_does, try_run, values};
use crate::job::{Job, assert_sound, column, migration};
use crate::watch::cancel_after;

const ORDERS: &str = "DOTFILL_TEST_KILL_RUN_DELTAS";
const WRITES: &str = "INSERT INTO t (id, src) VALUES (1000, 'new');
    INSERT INTO t (id, src, target) VALUES (1001, 'new', 'user');
    UPDATE t SET src = 'changed' WHERE n IN (3, 33, 58, 95, 140);
    UPDATE t SET src = NULL WHERE n IN (6, 66, 133);
    UPDATE t SET target = 'user' WHERE n IN (4, 34, 59);
    UPDATE t SET target = NULL WHERE n = 36;
    UPDATE t SET id = 2000 + n WHERE n IN (4, 7, 37, 120);
    DELETE FROM t WHERE n IN (8, 38);";

#[derive(Clone, Copy, Debug)]
struct Scenario {
    crsqlite: bool,
    key: &'static str,
    /// The migration has a second change, of another table.
    two: bool,
    close: bool,
    /// A run with deltas was stopped half way, then users wrote.
    half: bool,
}

const INTEGER: &str = "INTEGER NOT NULL PRIMARY KEY";
const TEXT: &str = "TEXT NOT NULL PRIMARY KEY";

const SCENARIOS: [Scenario; 6] = [
    Scenario { crsqlite: false, key: INTEGER, two: false, close: false, half: false },
    Scenario { crsqlite: false, key: TEXT, two: true, close: true, half: false },
    Scenario { crsqlite: true, key: TEXT, two: false, close: true, half: false },
    Scenario { crsqlite: false, key: INTEGER, two: false, close: true, half: true },
    Scenario { crsqlite: false, key: TEXT, two: false, close: false, half: true },
    Scenario { crsqlite: true, key: TEXT, two: false, close: true, half: true },
];

impl Scenario {
    fn migration(self) -> Migration {
        let mut text = "id = \"m\"\n".to_owned();
        let tables: &[&str] = if self.two { &["t", "u"] } else { &["t"] };
        for table in tables {
            text += &column(table, "target", "TEXT", "'v-' || src", "delivery = 'derive'");
        }
        migration(&text)
    }

    fn job(self, folder: &Path) -> Job {
        let mut job = Job::new(folder.join("a.db"), self.migration());
        job.options.tuning.batch_rows_max = 25;
        job.options.close = self.close;
        job
    }

    fn prepare(self, folder: &Path) {
        let client = Client::open(&folder.join("a.db"));
        for (table, rows) in [("t", 150), ("u", 90)] {
            let key = self.key;
            client
                .execute_batch(&format!("CREATE TABLE {table} (id {key}, src TEXT, n INT);"))
                .unwrap();
            if self.crsqlite {
                client.run(&format!("SELECT crsql_as_crr('{table}')"), []);
            }
            client
                .execute_batch(&format!(
                    "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < {rows})
                     INSERT INTO {table} (id, src, n) SELECT i, 'src ' || i, i FROM i;"
                ))
                .unwrap();
        }
        if self.half {
            let mut job = self.job(folder);
            job.options.tuning.batch_rows_max = 10;
            let monitor = cancel_after(14, &job.options.cancel);
            let report = try_run(&job, &folder.join("deltas"), &monitor).unwrap();
            assert_eq!(report.outcome, Outcome::Interrupted, "premise");
            client.execute_batch(WRITES).unwrap();
        }
        client.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    }

    fn execute(self, folder: &Path, monitor: &dyn Monitor) -> Option<RunReport> {
        match try_run(&self.job(folder), &folder.join("deltas"), monitor) {
            Ok(report) => {
                assert_eq!(report.outcome, Outcome::Complete, "{self:?}: {:?}", report.reason);
                assert!(report.delta_digest.is_some());
                Some(report)
            }
            // One that was killed after its last commit had completed.
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("whole chain") || text.contains("closed"), "{text}");
                None
            }
        }
    }

    /// Rows, clock rows, schema, phases: what does not depend on how often a job was interrupted.
    fn dump(self, folder: &Path) -> Vec<Vec<Value>> {
        let client = Client::open(&folder.join("a.db"));
        assert_sound(&client);
        // What a refused run leaves of the lease is what the last one would leave.
        client.execute_batch("UPDATE _dotfill_lease SET host = NULL, pid = NULL").unwrap();
        let mut dump = client.rows("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2", []);
        let mut queries = vec![
            "SELECT * FROM t ORDER BY id",
            "SELECT * FROM u ORDER BY id",
            "SELECT phase FROM _dotfill_migrations",
            "SELECT phase, seeded, filled, rows_total FROM _dotfill_changes",
            "SELECT * FROM _dotfill_shipped",
        ];
        if self.crsqlite {
            queries.push("SELECT key, col_name, col_version FROM t__crsql_clock ORDER BY 1, 2");
        }
        for sql in queries {
            dump.extend(client.rows(sql, []));
        }
        dump
    }
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder.join("deltas"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
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

/// The child's half: no test of its own.
#[test]
fn the_run_that_is_killed() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let mut words = orders.splitn(3, ' ');
    let mut number = || words.next().unwrap().parse::<u64>().unwrap();
    let (scenario, point) = (number(), number());
    let scenario = SCENARIOS[usize::try_from(scenario).unwrap()];
    let folder = PathBuf::from(words.next().unwrap());
    // As an uninterrupted one, which reports.
    assert!(scenario.execute(&folder, &AbortAt::new(point)).is_some());
}

/// Runs the child; true where it was killed.
fn killed(scenario: usize, point: u64, folder: &Path) -> bool {
    let orders = format!("{scenario} {point} {}", folder.display());
    kill::killed(module_path!(), "the_run_that_is_killed", ORDERS, &orders)
}

#[track_caller]
fn kill_everywhere(number: usize, least: u64) {
    let scenario = SCENARIOS[number];
    let folder = TempDir::new().unwrap();
    let template = folder.path().join("template");
    fs::create_dir(&template).unwrap();
    scenario.prepare(&template);
    let whole = folder.path().join("whole");
    copy(&template, &whole);
    scenario.execute(&whole, &Quiet);
    let (want, chain) = (scenario.dump(&whole), files(&whole));
    assert!(chain.len() > 5, "premise: several segments");
    let more = assert_holds_what_an_export_does(&scenario.job(&whole), &whole.join("deltas"));
    assert!(more == 0 || scenario.half, "{more} rows besides");
    for point in 1.. {
        let place = folder.path().join(point.to_string());
        copy(&template, &place);
        if !killed(number, point, &place) {
            assert!(point > least, "premise: only {point} points");
            break;
        }
        assert_sound(&Client::open(&place.join("a.db")));
        scenario.execute(&place, &Quiet);
        assert_eq!(scenario.dump(&place), want, "{scenario:?}, killed at point {point}");
        if scenario.half {
            let job = scenario.job(&place);
            assert_holds_what_an_export_does(&job, &place.join("deltas"));
        } else {
            let same = files(&place) == chain;
            let names: Vec<_> =
                files(&place).into_iter().map(|(name, b)| (name, b.len())).collect();
            assert!(same, "killed at point {point}: another chain: {names:?}");
        }
        assert!(!values(&place.join("deltas")).is_empty());
        fs::remove_dir_all(&place).unwrap();
    }
}

#[test]
fn on_a_plain_table_with_integer_keys() {
    kill_everywhere(0, 30);
}

#[test]
fn of_two_changes_of_tables_with_text_keys() {
    kill_everywhere(1, 50);
}

#[test]
fn on_a_replicated_table() {
    kill_everywhere(2, 30);
}

#[test]
fn beside_users_with_integer_keys() {
    kill_everywhere(3, 20);
}

#[test]
fn beside_users_with_text_keys() {
    kill_everywhere(4, 20);
}

#[test]
fn beside_users_of_a_replicated_table() {
    kill_everywhere(5, 20);
}
