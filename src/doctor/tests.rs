//! Findings on plain databases, on real cr-sqlite, and about other processes.

use std::io::{BufRead, BufReader, Lines, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use rusqlite::Connection;

use super::*;
use crate::engine::{self, RunError, RunOptions};
use crate::lease::this_host;
use crate::migration::Migration;
use crate::monitor::Quiet;

const OWNER: &str = "id = 'owners'\n[[change]]\nkind = 'column'\ntable = 'machines'\n\
                     column = 'owner'\ntype = 'TEXT'\nvalue = \"'o-' || app\"\n";
/// Names the database and the statement for the process that holds a lock.
const HOLD: &str = "DOTFILL_TEST_HOLD";

struct Case {
    folder: tempfile::TempDir,
    migration: Migration,
}

impl Case {
    /// A plain table of 20 rows.
    fn plain(toml: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("owners.toml");
        std::fs::write(&file, toml).expect("file");
        let migration = Migration::load(&file).expect("migration");
        let case = Self { folder, migration };
        case.sql(
            "PRAGMA journal_mode = WAL; \
             CREATE TABLE machines(id INTEGER NOT NULL PRIMARY KEY, app TEXT, note TEXT); \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20) \
             INSERT INTO machines SELECT i, 'app-' || i, 'note' FROM n",
        );
        case
    }

    fn db(&self) -> PathBuf {
        self.folder.path().join("a.db")
    }

    fn connect(&self) -> Connection {
        Connection::open(self.db()).expect("open")
    }

    fn sql(&self, sql: &str) {
        self.connect().execute_batch(sql).expect(sql);
    }

    fn text(&self, sql: &str) -> Option<String> {
        self.connect().query_row(sql, [], |row| row.get(0)).expect(sql)
    }

    /// A run with deltas into `deltas/` that is stopped before its first batch.
    fn begin_deltas(&self) -> PathBuf {
        let options = RunOptions::default();
        options.cancel.store(true, std::sync::atomic::Ordering::Relaxed);
        let dir = self.folder.path().join("deltas");
        let into = engine::Destination::Folder(dir.clone());
        engine::run_with_deltas(&self.db(), &self.migration, into, &options, &Quiet).expect("run");
        dir
    }

    fn try_run(&self) -> Result<engine::RunReport, RunError> {
        engine::run(&self.db(), &self.migration, &RunOptions::default(), &Quiet)
    }

    fn filled(self) -> Self {
        self.try_run().expect("run");
        self
    }

    fn close(&self) {
        let options = RunOptions::default();
        engine::close(&self.db(), &self.migration, &options, &Quiet).expect("close");
    }

    fn examine(&self) -> Vec<Finding> {
        examine(&self.db()).expect("examine")
    }

    /// The one finding that is not ok.
    #[track_caller]
    fn only(&self, severity: Severity, words: &[&str]) -> Finding {
        let findings = self.examine();
        let bad: Vec<_> = findings.iter().filter(|f| f.severity != Severity::Ok).collect();
        assert_eq!(bad.len(), 1, "{findings:#?}");
        assert_eq!(bad[0].severity, severity, "{bad:#?}");
        assert!(!is_healthy(&findings) && findings[0] == *bad[0], "worst first");
        let text = format!("{}: {}", bad[0].what, bad[0].detail);
        for word in words {
            assert!(text.contains(word), "{word:?} in {text}");
        }
        bad[0].clone()
    }

    #[track_caller]
    fn healthy(&self) -> Vec<Finding> {
        let findings = self.examine();
        assert!(is_healthy(&findings), "{findings:#?}");
        findings
    }

    /// Runs the SQL of `sqlite3 FILE 'SQL'`.
    fn follow_advice(&self, finding: &Finding) {
        let next = finding.next.as_deref().expect("a next command");
        assert!(next.starts_with(&format!("sqlite3 {} '", self.db().display())), "{next}");
        let sql = &next[next.find('\'').expect("quote") + 1..next.rfind('\'').expect("quote")];
        self.sql(&sql.replace("'\\''", "'"));
    }
}

fn next(finding: &Finding) -> &str {
    finding.next.as_deref().unwrap_or_default()
}

#[test]
fn a_chain_that_is_not_completed_is_owed() {
    let case = Case::plain(OWNER);
    let dir = case.begin_deltas();
    let about = |f: &&Finding| f.what == "deltas of migration owners";
    let findings = case.examine();
    let finding = findings.iter().find(about).expect("a finding");
    assert!(next(finding).ends_with(&format!("--deltas {}", dir.display())), "{finding:?}");
    let into = engine::Destination::Folder(dir);
    let options = RunOptions::default();
    engine::run_with_deltas(&case.db(), &case.migration, into, &options, &Quiet).expect("run");
    assert!(!case.examine().iter().any(|f| about(&f)));
}

#[test]
fn a_database_that_never_met_us_is_healthy() {
    let case = Case::plain(OWNER);
    let findings = case.healthy();
    assert!(findings.iter().any(|f| f.what == "file" && f.detail.contains("WAL mode")));
    assert!(findings.iter().any(|f| f.detail.contains("plain SQLite")));
    assert!(findings.iter().any(|f| f.detail == "none is known here"));
}

#[test]
fn a_proven_migration_is_healthy_and_its_column_is_described() {
    let case = Case::plain(OWNER).filled();
    let findings = case.healthy();
    let column = findings.iter().find(|f| f.what == "column machines.owner").expect("column");
    assert!(column.detail.contains("present, TEXT, derive, 20 rows, 20 cells"), "{column:?}");
    case.close();
    case.healthy();
}

#[test]
fn noted_rows_are_owed_until_the_next_run() {
    let case = Case::plain(OWNER).filled();
    case.sql("UPDATE machines SET app = 'x' WHERE id <= 3");
    let finding = case.only(Severity::Owed, &["dirty rows of machines.owner", "3 "]);
    assert_eq!(next(&finding), format!("dotfill run owners --db {}", case.db().display()));
    case.try_run().expect("run");
    case.healthy();
}

#[test]
fn triggers_that_lost_their_table_are_wrong_and_the_advice_heals_writes() {
    let case = Case::plain(OWNER).filled();
    case.sql("DROP TABLE _dotfill_dirty_1");
    let write = "UPDATE machines SET app = 'x' WHERE id = 1";
    assert!(case.connect().execute(write, []).is_err(), "premise: the application's write fails");
    let finding = case.only(Severity::Wrong, &["_dotfill_dirty_1", "FAILS"]);
    for name in crate::layout::trigger_names(1) {
        assert!(next(&finding).contains(&format!("DROP TRIGGER \"{name}\";")), "{finding:?}");
    }
    case.follow_advice(&finding);
    case.sql(write);
}

#[test]
fn lost_triggers_are_made_again_and_no_users_value_is_lost() {
    let case = Case::plain(OWNER).filled();
    case.sql("DROP TRIGGER _dotfill_1_target; UPDATE machines SET owner = 'mine' WHERE id = 1");
    let finding = case.only(Severity::Wrong, &["_dotfill_1_target lost"]);
    let (sql, then) = next(&finding).split_once("\nthen: ").expect("two commands");
    assert!(then.starts_with("dotfill run owners"), "{then}");
    case.follow_advice(&Finding { next: Some(sql.to_owned()), ..finding.clone() });
    case.healthy();
    case.try_run().expect("run");
    assert_eq!(case.text("SELECT owner FROM machines WHERE id = 1").as_deref(), Some("mine"));
    case.healthy();
}

#[test]
fn what_belongs_to_no_migration_is_to_be_dropped() {
    let case = Case::plain(OWNER).filled();
    case.sql("DELETE FROM _dotfill_changes; DELETE FROM _dotfill_migrations");
    let finding = case.only(Severity::Owed, &["leftovers of change 1", "_dotfill_user_1"]);
    case.follow_advice(&finding);
    case.healthy();
    case.sql("UPDATE machines SET app = 'x', owner = 'y'");
}

#[test]
fn a_half_filled_migration_that_nobody_runs_is_owed() {
    let case = Case::plain(OWNER).filled();
    case.sql(
        "UPDATE _dotfill_migrations SET phase = 'filling'; \
         UPDATE _dotfill_changes SET phase = 'filling', filled = 0, rows_passed = 5",
    );
    let finding = case.only(Severity::Owed, &["25.0 % filled", "nobody runs it"]);
    assert!(next(&finding).starts_with("dotfill run owners"));
}

#[test]
fn a_lease_of_a_dead_process_is_owed_and_that_of_a_living_one_is_not() {
    let case = Case::plain(OWNER).filled();
    let mut child = Command::new("true").spawn().expect("true");
    child.wait().expect("true");
    let take = |pid: u32| {
        let sql = format!("UPDATE _dotfill_lease SET host = '{}', pid = {pid}", this_host());
        case.sql(&sql);
    };
    take(child.id());
    let owner = format!("{}:{}", this_host(), child.id());
    let finding = case.only(Severity::Owed, &["lease was left by", &owner]);
    assert!(next(&finding).starts_with("dotfill run owners"));
    take(std::process::id());
    let findings = case.healthy();
    let runs = format!("process {}", process::name(i64::from(std::process::id())));
    assert!(findings.iter().any(|f| f.detail.contains(&runs)), "{findings:#?}");
}

#[test]
fn a_failed_migration_says_why() {
    let case = Case::plain(&OWNER.replace("'o-' || app", "json_extract(app, '$.x')"));
    let error = case.try_run().expect_err("premise: no app is JSON").to_string();
    assert!(error.contains("malformed JSON"), "{error}");
    let finding = case.only(Severity::Wrong, &["failed at", "malformed JSON"]);
    assert!(next(&finding).starts_with("dotfill run owners"));
}

#[test]
fn a_lost_column_is_wrong_while_open_and_owed_once_closed() {
    let case = Case::plain(OWNER).filled();
    let [insert, source, target, key] = crate::layout::trigger_names(1);
    case.sql(&format!(
        "DROP TRIGGER {insert}; DROP TRIGGER {source}; DROP TRIGGER {target}; DROP TRIGGER {key}; \
         ALTER TABLE machines DROP COLUMN owner"
    ));
    let finding = case.only(Severity::Wrong, &["column machines.owner", "lost"]);
    assert!(next(&finding).contains("ALTER TABLE \"machines\" ADD COLUMN \"owner\" TEXT"));
    let case = Case::plain(OWNER).filled();
    case.close();
    case.sql("ALTER TABLE machines DROP COLUMN owner");
    let finding = case.only(Severity::Owed, &["column machines.owner", "lost"]);
    assert!(next(&finding).starts_with("dotfill forget owners"));
}

#[test]
fn an_unknown_cr_sqlite_is_wrong_by_its_number() {
    let case = Case::plain(OWNER);
    case.sql(
        "CREATE TABLE crsql_master (key TEXT PRIMARY KEY, value ANY); \
         INSERT INTO crsql_master VALUES ('crsqlite_version', 160300)",
    );
    case.only(Severity::Wrong, &["160300", "0.17"]);
}

#[test]
fn a_file_that_is_no_database_is_an_error_with_a_remedy() {
    let folder = tempfile::tempdir().expect("folder");
    let error = examine(&folder.path().join("none.db")).expect_err("no such file").to_string();
    assert!(error.contains("no such file") && error.contains("--db"), "{error}");
}

#[test]
fn a_large_wal_names_who_holds_it_back() {
    let case = Case::plain(OWNER);
    let keep = case.connect();
    keep.execute_batch("UPDATE machines SET note = 'x'").expect("write");
    let holder = Holder::start(&case, "BEGIN; SELECT count(*) FROM machines");
    let wal = case.folder.path().join("a.db-wal");
    let file = std::fs::OpenOptions::new().write(true).open(wal).expect("WAL");
    file.set_len(65 << 20).expect("a large WAL");
    let finding = case.only(Severity::Owed, &["68157440 bytes (65 MiB)", &holder.pid()]);
    assert!(next(&finding).contains("wal_checkpoint(TRUNCATE)"), "{finding:?}");
    holder.end();
    case.only(Severity::Owed, &["nobody holds it back"]);
}

#[test]
fn a_write_lock_that_is_never_free_names_its_holder() {
    let case = Case::plain(OWNER);
    let holder = Holder::start(&case, "BEGIN IMMEDIATE");
    case.only(Severity::Owed, &["write lock", &holder.pid()]);
    holder.end();
    case.healthy();
}

/// Another process that holds a lock until its standard input ends.
struct Holder(Child, Lines<BufReader<ChildStdout>>);

impl Holder {
    fn start(case: &Case, sql: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "doctor::tests::the_other_process", "--nocapture"])
            .env(HOLD, format!("{}\n{sql}", case.db().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the other process");
        let out = BufReader::new(child.stdout.take().expect("stdout"));
        let mut lines = out.lines();
        let held = lines.any(|line| line.expect("line").contains("holding"));
        assert!(held, "the other process has the lock");
        Self(child, lines)
    }

    fn pid(&self) -> String {
        format!("process {} (", self.0.id())
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        for line in self.1 {
            line.expect("line");
        }
        self.0.wait().expect("the other process ends");
    }
}

/// Not a test by itself: what [`Holder`] starts.
#[test]
fn the_other_process() {
    let Ok(order) = std::env::var(HOLD) else { return };
    let (db, sql) = order.split_once('\n').expect("database and statement");
    let conn = Connection::open(Path::new(db)).expect("open");
    for sql in sql.split("; ") {
        let mut statement = conn.prepare(sql).expect("prepare");
        let mut rows = statement.query([]).expect("query");
        while rows.next().expect("row").is_some() {}
    }
    println!("\nholding");
    let mut end = Vec::new();
    std::io::stdin().read_to_end(&mut end).expect("stdin");
}

/// A connection with the real extension, recording.
fn extended(case: &Case) -> Connection {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/crsqlite");
    let output = Command::new(script).output().expect("tools/crsqlite");
    assert!(output.status.success(), "tools/crsqlite: {output:?}");
    let library = String::from_utf8(output.stdout).expect("a path");
    let conn = case.connect();
    crsqlite::load_extension(&conn, Path::new(library.trim_end())).expect("the extension");
    call(&conn, "crsql_internal_sync_bit(0)");
    conn
}

fn call(conn: &Connection, function: &str) {
    conn.query_row(&format!("SELECT {function}"), [], |_| Ok(())).expect(function);
}

fn full_alter(case: &Case) {
    let conn = extended(case);
    call(&conn, "crsql_begin_alter('machines')");
    conn.execute_batch("ALTER TABLE machines ADD COLUMN region TEXT").expect("alter");
    call(&conn, "crsql_commit_alter('machines')");
    call(&conn, "crsql_finalize()");
}

fn replicated() -> Case {
    let case = Case::plain(OWNER);
    let conn = extended(&case);
    call(&conn, "crsql_as_crr('machines')");
    call(&conn, "crsql_finalize()");
    drop(conn);
    case
}

#[test]
fn values_stamped_by_a_full_alter_are_counted_exactly_while_open() {
    let case = replicated().filled();
    let findings = case.healthy();
    assert!(findings.iter().any(|f| f.detail.contains("version 0.17")), "{findings:#?}");
    let conn = extended(&case);
    conn.execute_batch("UPDATE machines SET owner = 'mine' WHERE id <= 2").expect("a user");
    call(&conn, "crsql_finalize()");
    drop(conn);
    case.try_run().expect("run");
    case.healthy();
    full_alter(&case);
    let finding = case.only(Severity::Owed, &["stamped cells of machines.owner", "18 derived"]);
    assert!(next(&finding).contains("--close"), "{finding:?}");
}

#[test]
fn values_stamped_after_the_close_are_told() {
    let case = replicated().filled();
    case.close();
    full_alter(&case);
    let findings = case.healthy();
    let stamped = findings.iter().find(|f| f.what.starts_with("stamped")).expect("a finding");
    assert!(stamped.detail.starts_with("20 derived"), "{stamped:?}");
}
