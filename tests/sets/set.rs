//! A set's migration over one database file, run through the library with small batches, and what is
//! in its tables.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dotfill::engine::{
    self, LookOptions, Outcome, RunError, RunOptions, RunReport, Verdict, VerifyReport,
};
use dotfill::migration::Migration;
use dotfill::monitor::{Monitor, Quiet};
use dotfill::transform::dot::DotDeriver;
use rusqlite::Connection;
use rusqlite::types::Value;

/// The table of most tests.
pub const PROJECTS: &str =
    "CREATE TABLE projects (id INTEGER NOT NULL PRIMARY KEY, name TEXT, tags TEXT)";

/// The migration of `projects.tags`; `rest` holds further lines of the change.
#[track_caller]
pub fn tags(format: &str, rest: &str) -> Migration {
    migration("projects", &format!("source = 'tags'\nformat = '{format}'\n{rest}"))
}

/// A migration of a set of `table`.
#[track_caller]
pub fn migration(table: &str, rest: &str) -> Migration {
    let text = format!(
        "id = 'tags-v2'\n[[change]]\nkind = 'or_set'\ntable = '{table}'\nadds = 'tag_adds'\n\
         removes = 'tag_removes'\nview = 'tags_visible'\n{rest}\n"
    );
    Migration::parse(&text, Path::new("migration.toml")).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// One migration, one database.
pub struct SetJob {
    pub db: PathBuf,
    pub migration: Migration,
    pub options: RunOptions,
}

impl SetJob {
    pub fn new(db: impl Into<PathBuf>, migration: Migration) -> Self {
        let mut options = RunOptions::default();
        options.tuning.batch_rows_max = 7;
        Self { db: db.into(), migration, options }
    }

    pub fn try_run(&self, monitor: &dyn Monitor) -> Result<RunReport, RunError> {
        engine::run(&self.db, &self.migration, &self.options, monitor)
    }

    #[track_caller]
    pub fn run(&self) -> RunReport {
        let report = self.try_run(&Quiet).unwrap_or_else(|error| panic!("run: {error}"));
        assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.reason);
        report
    }

    #[track_caller]
    pub fn refusal(&self) -> String {
        self.try_run(&Quiet).expect_err("a refusal").to_string()
    }

    #[track_caller]
    pub fn close(&self) {
        let report = engine::close(&self.db, &self.migration, &self.options, &Quiet)
            .unwrap_or_else(|error| panic!("close: {error}"));
        assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.reason);
    }

    #[track_caller]
    pub fn rollback(&self) -> engine::RollbackReport {
        let report = engine::rollback(&self.db, &self.migration, &self.options, &Quiet)
            .unwrap_or_else(|error| panic!("rollback: {error}"));
        assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.reason);
        report
    }

    #[track_caller]
    pub fn forget(&self) {
        let id = self.migration.id.as_str();
        engine::forget(&self.db, id).unwrap_or_else(|error| panic!("forget: {error}"));
    }

    #[track_caller]
    pub fn verify(&self) -> VerifyReport {
        engine::verify(&self.db, &self.migration, &two_readers(), &Quiet)
            .unwrap_or_else(|error| panic!("verify: {error}"))
    }

    #[track_caller]
    pub fn assert_equal(&self) {
        let report = self.verify();
        assert_eq!(report.verdict, Verdict::Equal, "{report:#?}");
    }

    #[track_caller]
    pub fn digest(&self) -> String {
        let report = engine::digest(&self.db, &self.migration, &two_readers(), &Quiet);
        report.unwrap_or_else(|error| panic!("digest: {error}")).digest
    }
}

fn two_readers() -> LookOptions {
    LookOptions { threads: 2, ..LookOptions::default() }
}

/// A value with its storage class, to be shown and compared.
fn shown(value: &Value) -> String {
    match value {
        Value::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        other => format!("{other:?}"),
    }
}

/// All rows of a query, sorted.
#[track_caller]
pub fn rows(conn: &Connection, sql: &str) -> Vec<String> {
    let mut statement = conn.prepare(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    let width = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        let values = (0..width).map(|i| row.get(i)).collect::<Result<Vec<Value>, _>>()?;
        Ok(values.iter().map(shown).collect::<Vec<_>>().join(" "))
    };
    let mut rows: Vec<String> =
        statement.query_map([], row).unwrap().map(|row| row.unwrap()).collect();
    rows.sort();
    rows
}

/// What the view shows: id and element, for a table with one key column.
#[track_caller]
pub fn visible(conn: &Connection) -> Vec<String> {
    rows(conn, "SELECT * FROM tags_visible")
}

/// The adds of the table `projects`, by key: element and whether the dot is the migration dot.
#[track_caller]
pub fn adds(conn: &Connection, migration: &Migration) -> BTreeMap<i64, BTreeSet<(String, bool)>> {
    let mut deriver = DotDeriver::new(migration.id.as_str(), "projects", "tags");
    let mut found: BTreeMap<i64, BTreeSet<(String, bool)>> = BTreeMap::new();
    let mut statement = conn.prepare("SELECT id, element, dot FROM tag_adds").unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let id: i64 = row.get(0).unwrap();
        let element: Value = row.get(1).unwrap();
        let dot: Vec<u8> = row.get(2).unwrap();
        let key = rusqlite::types::ValueRef::Integer(id);
        let migrated = deriver.dot(&[key], (&element).into()).0[..] == dot[..];
        found.entry(id).or_default().insert((shown(&element), migrated));
    }
    found
}

/// The migration dot of an element of `projects.tags`.
pub fn dot(id: i64, element: &str) -> Vec<u8> {
    let key = [rusqlite::types::ValueRef::Integer(id)];
    let element = rusqlite::types::ValueRef::Text(element.as_bytes());
    DotDeriver::new("tags-v2", "projects", "tags").dot(&key, element).0.to_vec()
}
