//! A migration over one database file, run through the library with small batches.

use std::path::{Path, PathBuf};

use dotfill::engine::{
    self, CloseReport, LookOptions, Outcome, RollbackReport, RunError, RunOptions, RunReport,
};
use dotfill::migration::Migration;
use dotfill::monitor::{Monitor, Quiet};
use rusqlite::Connection;

/// Rows of a batch in most tests: small, so that a small table has many batches.
pub const BATCH_ROWS: u64 = 7;

/// A migration file's text, as a value.
#[track_caller]
pub fn migration(toml: &str) -> Migration {
    Migration::parse(toml, Path::new("migration.toml")).unwrap_or_else(|e| panic!("{e}\n{toml}"))
}

/// One `[[change]]` of kind column; `rest` holds its further lines.
pub fn column(table: &str, column: &str, type_name: &str, value: &str, rest: &str) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    format!(
        "[[change]]\nkind = \"column\"\ntable = {}\ncolumn = {}\ntype = {}\nvalue = {}\n{rest}\n",
        quoted(table),
        quoted(column),
        quoted(type_name),
        quoted(value)
    )
}

/// A migration of one column.
#[track_caller]
pub fn one_column(table: &str, name: &str, type_name: &str, value: &str, rest: &str) -> Migration {
    migration(&format!("id = \"m\"\n{}", column(table, name, type_name, value, rest)))
}

/// Options with small batches.
pub fn small_batches() -> RunOptions {
    let mut options = RunOptions::default();
    options.tuning.batch_rows_max = BATCH_ROWS;
    options.tuning.records_per_transaction = BATCH_ROWS;
    options
}

/// Options of a look at rows.
pub fn threads(threads: usize) -> LookOptions {
    LookOptions { threads, ..LookOptions::default() }
}

/// One migration, one database.
pub struct Job {
    pub db: PathBuf,
    pub migration: Migration,
    pub options: RunOptions,
}

impl Job {
    pub fn new(db: impl Into<PathBuf>, migration: Migration) -> Self {
        Self { db: db.into(), migration, options: small_batches() }
    }

    pub fn try_run(&self, monitor: &dyn Monitor) -> Result<RunReport, RunError> {
        engine::run(&self.db, &self.migration, &self.options, monitor)
    }

    /// A run that ends as `outcome` says.
    #[track_caller]
    pub fn run_to(&self, outcome: Outcome, monitor: &dyn Monitor) -> RunReport {
        let report = self.try_run(monitor).unwrap_or_else(|error| panic!("run: {error}"));
        assert_eq!(report.outcome, outcome, "{:?}", report.reason);
        report
    }

    /// A run that is done and proven.
    #[track_caller]
    pub fn run(&self) -> RunReport {
        self.run_to(Outcome::Complete, &Quiet)
    }

    #[track_caller]
    pub fn close(&self) -> CloseReport {
        let report = engine::close(&self.db, &self.migration, &self.options, &Quiet)
            .unwrap_or_else(|error| panic!("close: {error}"));
        assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.reason);
        report
    }

    #[track_caller]
    pub fn rollback(&self) -> RollbackReport {
        let report = engine::rollback(&self.db, &self.migration, &self.options, &Quiet)
            .unwrap_or_else(|error| panic!("rollback: {error}"));
        assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.reason);
        report
    }

    /// A refusal or failure; its message has every one of `words`.
    #[track_caller]
    pub fn expect_error(&self, words: &[&str]) -> RunError {
        let error = self.try_run(&Quiet).expect_err("the run should fail");
        let text = error.to_string();
        for word in words {
            assert!(text.contains(word), "nothing says {word:?} in: {text}");
        }
        error
    }
}

/// Panics unless `SQLite` finds the file sound and a query counts nothing.
#[track_caller]
pub fn assert_none(conn: &Connection, count: &str) {
    let found: i64 =
        conn.query_row(count, [], |row| row.get(0)).unwrap_or_else(|e| panic!("{count}: {e}"));
    assert_eq!(found, 0, "{count}");
}

/// Panics unless `SQLite` finds the file sound.
#[track_caller]
pub fn assert_sound(conn: &Connection) {
    let verdict: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

/// The names of schema objects like `pattern` (`LIKE`, escaped by a backslash).
pub fn objects(conn: &Connection, pattern: &str) -> Vec<String> {
    conn.prepare("SELECT name FROM sqlite_schema WHERE name LIKE ?1 ESCAPE '\\' ORDER BY name")
        .unwrap()
        .query_map([pattern], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}
