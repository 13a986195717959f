//! Whatever moves a migration of sets between its modes, or settles what has arrived, is killed before
//! and after any of its commits: the same command then completes, and leaves what an uninterrupted one
//! leaves; in plain tables and on replicas. The job that is killed is this test binary again, which finds
//! its orders in an environment variable.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use dotfill::engine::{self, AckOptions, AdvanceOptions, HeldVerdict, Outcome};
use dotfill::monitor::{Monitor, Quiet};
use dotfill::phase::ack::Readiness;
use dotfill::state::Mode;
use rusqlite::Connection;
use rusqlite::types::Value;
use tempfile::TempDir;

use crate::common::kill::{self, AbortAt};
use crate::common::{Client, extension, merge, merge_both_ways, plain_db};
use crate::plain::{Plain, STEPS};
use crate::scenario::{PROJECTS, projects, site, tags};

const ORDERS: &str = "DOTFILL_TEST_KILL_ADVANCE";

const ROWS: &str = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 30)
    INSERT INTO projects SELECT 'P' || i, 'n', '[\"a\",\"b' || (i % 3) || '\"]' FROM i;";

/// What is written before the command that is killed.
const OPEN: &str = "UPDATE projects SET tags = '[\"a\",\"c\"]' WHERE id IN ('P3', 'P9');
    INSERT INTO projects VALUES ('Q1', 'n', '[\"q\"]'); DELETE FROM projects WHERE id = 'P5';";
/// What an old client writes that arrives in a closed epoch: something new, what is known, what was
/// removed, and less than there was.
const LATE: &str = "UPDATE projects SET tags = '[\"a\",\"new\"]' WHERE id IN ('P3', 'P9', 'P11');
    UPDATE projects SET tags = '[\"b1\",\"a\"]' WHERE id = 'P4';
    UPDATE projects SET tags = '[\"a\", \"b2\"]' WHERE id = 'P8';
    UPDATE projects SET tags = NULL WHERE id = 'P7';";
/// What is no array waits for an operator, and a gate for him.
const BROKEN: &str = "UPDATE projects SET tags = '{' WHERE id = 'P6';";
/// What new clients have written by then.
const NEW: &str = "INSERT INTO project_tag_removes SELECT dot FROM project_tag_adds
    WHERE id = 'P8' AND element = 'a';
    INSERT INTO project_tag_adds VALUES ('P9', 'mine', x'0102');";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    /// One step, from the mode with that number.
    Step(usize),
    /// A share of the objects.
    Share,
    /// From a closed epoch back to the mode with that number.
    Back(usize),
    /// What has arrived is settled by `run`, under this policy.
    Settle(&'static str),
    /// Writes in quarantine are replayed, under this policy.
    Replay(&'static str),
    /// The old form is removed.
    Compact,
    /// The migration ends.
    Close,
}

const VERBS: [Verb; 13] = [
    Verb::Step(0),
    Verb::Step(1),
    Verb::Step(2),
    Verb::Share,
    Verb::Back(0),
    Verb::Back(2),
    Verb::Settle("translate"),
    Verb::Settle("reject"),
    Verb::Settle("quarantine"),
    Verb::Replay("reject"),
    Verb::Replay("quarantine"),
    Verb::Compact,
    Verb::Close,
];

/// The verb, and whether the tables are those of a replica.
type Scenario = (Verb, bool);

impl Verb {
    /// The number of the mode that it begins in.
    fn mode(self) -> usize {
        match self {
            Self::Step(i) => i,
            Self::Share => 2,
            Self::Back(_) | Self::Settle(_) | Self::Replay(_) | Self::Compact => 3,
            Self::Close => 4,
        }
    }

    fn is_late(self) -> bool {
        matches!(self, Self::Settle(_) | Self::Replay(_) | Self::Compact)
    }

    fn broken(self) -> &'static str {
        if self == Self::Compact { "" } else { BROKEN }
    }

    fn policy(self) -> &'static str {
        match self {
            Self::Settle(policy) | Self::Replay(policy) => policy,
            _ => "translate",
        }
    }

    fn writes(self) -> &'static str {
        match self {
            Self::Step(_) | Self::Share => OPEN,
            // What is written to one form only would block the way back.
            Self::Back(_) => "SELECT 1",
            Self::Settle(_) | Self::Replay(_) | Self::Compact | Self::Close => NEW,
        }
    }
}

fn job((verb, replicated): Scenario, db: &Path) -> Plain {
    let mut job = Plain::new(db, &tags(verb.policy()));
    job.options.crsqlite = replicated.then(|| extension().to_owned());
    job
}

/// The folder of the fleet of all copies of a template.
fn fleet(db: &Path) -> PathBuf {
    db.parent().unwrap().join("fleet")
}

fn asked(fleet: PathBuf, to: Mode, export: PathBuf) -> AdvanceOptions {
    let export = (to == Mode::CompactOld).then_some(export);
    let fleet = Some(fleet);
    AdvanceOptions { to, fleet, alone: false, percent: None, export, no_export: false }
}

fn execute(scenario: Scenario, db: &Path, monitor: &dyn Monitor) {
    let job = job(scenario, db);
    let advance = |to, percent| {
        let mut asked = asked(fleet(db), to, db.with_extension("kept"));
        asked.percent = percent;
        let report = job.try_advance(&asked, monitor).unwrap();
        assert!(report.gate, "{:#?}", report.conditions);
        report.outcome
    };
    let outcome = match scenario.0 {
        Verb::Step(i) => advance(STEPS[i], None),
        Verb::Share => advance(Mode::ReadNewWriteNew, Some(50)),
        Verb::Compact => advance(Mode::CompactOld, None),
        Verb::Back(to) => {
            let to = Mode::ALL[to];
            let report = engine::roll_back_to(&job.db, &job.migration, to, &job.options, monitor);
            let report = report.unwrap();
            assert!(report.safe && report.mode == to, "{report:#?}");
            report.outcome
        }
        Verb::Settle(_) => {
            engine::run(&job.db, &job.migration, &job.options, monitor).unwrap().outcome
        }
        Verb::Close => {
            engine::close(&job.db, &job.migration, &job.options, monitor).unwrap().outcome
        }
        Verb::Replay(_) => replay(db, monitor),
    };
    assert_eq!(outcome, Outcome::Complete);
}

/// Replays whatever waits; each row is a transaction of its own.
fn replay(db: &Path, monitor: &dyn Monitor) -> Outcome {
    let waiting: Vec<i64> = {
        let conn = Connection::open(db).unwrap();
        let sql = "SELECT id FROM _dotfill_quarantine WHERE status = 'waiting' ORDER BY id";
        let mut statement = conn.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    for id in waiting {
        monitor.commit(false);
        engine::settle_held(db, id, HeldVerdict::Replay).unwrap();
        monitor.commit(true);
    }
    Outcome::Complete
}

/// Takes a database through the modes, to the one in which the command finds it; `id` is what the
/// fleet calls it.
fn through_modes(job: &Plain, steps: usize, fleet: &Path, id: &str) {
    fs::create_dir(fleet).unwrap();
    fs::write(fleet.join("fleet.toml"), format!("[[replica]]\nid = \"{id}\"\n")).unwrap();
    let ack = AckOptions {
        fleet: fleet.to_owned(),
        replica: Some(id.to_owned()),
        oldest_client: Some("4.8.0".to_owned()),
        readiness: Readiness {
            writers_on_new_form: true,
            old_clients_blocked: true,
            repair_tools_moved: true,
            snapshots_moved: true,
            dashboards_moved: true,
        },
    };
    let ack = || {
        engine::acknowledge(&job.db, &job.migration, &ack, &AtomicBool::new(false)).unwrap();
    };
    job.run();
    for mode in &STEPS[..steps] {
        ack();
        let asked = asked(fleet.to_owned(), *mode, fleet.join("kept"));
        let report = job.try_advance(&asked, &Quiet).unwrap();
        assert!(report.gate, "{:#?}", report.conditions);
    }
    ack();
}

/// A database as the command finds it, in one file that nobody has open.
fn prepare(scenario: Scenario, folder: &Path) -> PathBuf {
    let path = folder.join("template.db");
    let db = if scenario.1 { replica(scenario, &path) } else { plain(scenario, &path) };
    fs::copy(db, &path).unwrap();
    path
}

fn plain(scenario: Scenario, path: &Path) -> PathBuf {
    let (verb, db) = (scenario.0, plain_db(&format!("{PROJECTS}; {ROWS}")));
    let job = job(scenario, Path::new(db.db()));
    through_modes(&job, verb.mode(), &fleet(path), "p");
    db.execute_batch(verb.writes()).unwrap();
    if verb.is_late() {
        db.execute_batch(&format!(
            "BEGIN; INSERT INTO _dotfill_merging VALUES (1); {LATE} {}
             DELETE FROM _dotfill_merging; COMMIT;",
            verb.broken()
        ))
        .unwrap();
    }
    settle_first(verb, &job);
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    keep(&job.db, path)
}

fn replica(scenario: Scenario, path: &Path) -> PathBuf {
    let (verb, a, old) = (scenario.0, projects(), projects());
    a.execute_batch(ROWS).unwrap();
    merge_both_ways(&a, &old);
    let job = job(scenario, a.path());
    through_modes(&job, verb.mode(), &fleet(path), &site(&a));
    a.execute_batch(verb.writes()).unwrap();
    if verb.is_late() {
        old.execute_batch(LATE).unwrap();
        old.execute_batch(verb.broken()).unwrap();
        merge(&old, &a);
    }
    settle_first(verb, &job);
    a.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    keep(&job.db, path)
}

/// A replay needs something in quarantine.
fn settle_first(verb: Verb, job: &Plain) {
    if matches!(verb, Verb::Replay(_)) {
        job.run();
    }
}

/// Copies a database whose WAL is empty to where its folder does not go.
fn keep(db: &Path, path: &Path) -> PathBuf {
    let kept = path.with_extension("made");
    fs::copy(db, &kept).unwrap();
    kept
}

/// What is the same however often a command was interrupted.
fn dump((verb, replicated): Scenario, db: &Path) -> Vec<Vec<Value>> {
    let conn = Client::open(db);
    let sound: String = conn.value("PRAGMA integrity_check", []);
    assert_eq!(sound, "ok");
    let mut dump = conn.rows("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2", []);
    let has = |name: &str| {
        conn.value::<i64>("SELECT count(*) FROM sqlite_schema WHERE name = ?1", [name]) > 0
    };
    for (table, sql) in [
        ("projects", "SELECT * FROM projects ORDER BY id"),
        ("projects", "SELECT * FROM project_tag_adds ORDER BY 1, 2, 3"),
        ("projects", "SELECT * FROM project_tag_removes ORDER BY 1"),
        ("projects", "SELECT * FROM project_tags_visible ORDER BY 1, 2"),
        ("_dotfill_modes", "SELECT mode, cohort_percent FROM _dotfill_modes"),
        ("_dotfill_modes", "SELECT phase FROM _dotfill_migrations"),
        ("_dotfill_modes", "SELECT outcome, reason, writes FROM _dotfill_outcomes"),
        (
            "_dotfill_modes",
            "SELECT identity, object, reason, detail, status FROM _dotfill_quarantine ORDER BY id",
        ),
        ("_dotfill_cohort_1", "SELECT * FROM _dotfill_cohort_1 ORDER BY 1"),
        ("_dotfill_oldwrite_1", "SELECT * FROM _dotfill_oldwrite_1 ORDER BY 1"),
    ] {
        if has(table) {
            dump.extend(conn.rows(sql, []));
        }
    }
    for table in ["projects", "project_tag_adds", "project_tag_removes"] {
        if replicated {
            let sql = format!(
                "SELECT p.*, c.col_name, c.col_version, s.site_id FROM {table}__crsql_clock AS c
                 JOIN {table}__crsql_pks AS p ON p.__crsql_key = c.key
                 JOIN crsql_site_id AS s ON s.ordinal = c.site_id"
            );
            let mut clocks = conn.rows(&sql, []);
            // Keys are numbered in the order in which they are met.
            for row in &mut clocks {
                row[0] = Value::Null;
            }
            clocks.sort_by_key(|row| format!("{row:?}"));
            dump.extend(clocks);
        }
    }
    if verb == Verb::Compact {
        let kept = fs::read_to_string(db.with_extension("kept")).unwrap();
        let kept: BTreeSet<&str> = kept.lines().collect();
        dump.extend(kept.into_iter().map(|line| vec![Value::Text(line.to_owned())]));
    }
    dump
}

/// The child's half: no test of its own.
#[test]
fn the_job_that_is_killed() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let mut words = orders.splitn(4, ' ');
    let mut number = || words.next().unwrap().parse::<u64>().unwrap();
    let (verb, replicated) = (usize::try_from(number()).unwrap(), number() == 1);
    let point = number();
    let db = PathBuf::from(words.next().unwrap());
    execute((VERBS[verb], replicated), &db, &AbortAt::new(point));
}

/// Runs the child; true where it was killed.
fn killed(scenario: Scenario, point: u64, db: &Path) -> bool {
    let verb = VERBS.iter().position(|verb| *verb == scenario.0).unwrap();
    let orders = format!("{verb} {} {point} {}", u8::from(scenario.1), db.display());
    kill::killed(module_path!(), "the_job_that_is_killed", ORDERS, &orders)
}

/// Kills at every point of one command, in both layouts; `least` is the premise on how many there are.
#[track_caller]
fn kill_everywhere(verb: Verb, least: u64) {
    for replicated in [false, true] {
        let scenario = (verb, replicated);
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
            if !killed(scenario, point, &db) {
                assert!(point > least, "premise: only {point} points");
                break;
            }
            // A command that was killed after its last commit may be repeated too.
            execute(scenario, &db, &Quiet);
            assert_eq!(dump(scenario, &db), want, "{scenario:?}, killed at point {point}");
        }
    }
}

#[test]
fn a_step_to_read_new() {
    kill_everywhere(Verb::Step(0), 6);
}

#[test]
fn a_step_to_write_both() {
    kill_everywhere(Verb::Step(1), 6);
}

#[test]
fn a_step_to_write_new() {
    kill_everywhere(Verb::Step(2), 6);
}

#[test]
fn a_share_of_the_objects() {
    kill_everywhere(Verb::Share, 8);
}

#[test]
fn a_way_back_to_the_first_mode() {
    kill_everywhere(Verb::Back(0), 6);
}

#[test]
fn a_way_back_to_both_forms() {
    kill_everywhere(Verb::Back(2), 6);
}

#[test]
fn old_writes_that_are_translated() {
    kill_everywhere(Verb::Settle("translate"), 6);
}

#[test]
fn old_writes_that_are_rejected() {
    kill_everywhere(Verb::Settle("reject"), 6);
}

#[test]
fn old_writes_that_are_put_into_quarantine() {
    kill_everywhere(Verb::Settle("quarantine"), 6);
}

#[test]
fn old_writes_that_are_replayed_though_rejected() {
    kill_everywhere(Verb::Replay("reject"), 6);
}

#[test]
fn old_writes_that_are_replayed_from_quarantine() {
    kill_everywhere(Verb::Replay("quarantine"), 6);
}

#[test]
fn the_removal_of_the_old_form() {
    kill_everywhere(Verb::Compact, 8);
}

#[test]
fn the_end_of_a_migration() {
    kill_everywhere(Verb::Close, 4);
}
