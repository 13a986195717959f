//! Two replicas that are migrated, replicated, drained and compared.

use std::collections::BTreeMap;

use crate::common::{Output, Records, Replica, dotfill, merge, merge_both_ways, migration_file};

/// The migration of most scenarios.
pub const DERIVE: &str = r#"
id = "machines-owner"

[[change]]
kind = "column"
table = "machines"
column = "owner"
type = "TEXT"
value = "'o-' || app"
delivery = "derive"
"#;

/// The same, published as change records.
pub const NATIVE: &str = r#"
id = "machines-owner"

[[change]]
kind = "column"
table = "machines"
column = "owner"
type = "TEXT"
value = "'o-' || app"
delivery = "native"
"#;

const ROWS: u32 = 20;

/// `dotfill COMMAND MIGRATION --db DB --json`.
pub fn command(name: &str, migration: &str, replica: &Replica) -> Output {
    dotfill(&[name, migration, "--db", replica.db(), "--json"])
}

/// A run that is done and proven.
#[track_caller]
pub fn run(migration: &str, replica: &Replica) -> Output {
    command("run", migration, replica).expect_complete()
}

/// Panics unless the command is refused, with every one of `words`, and has changed nothing.
#[track_caller]
pub fn assert_refused(name: &str, migration: &str, replica: &Replica, words: &[&str]) {
    let (schema, records) = (replica.schema(), Records::of(replica));
    let output = command(name, migration, replica);
    assert!(matches!(output.code, 1 | 2), "exit code {}: {}", output.code, output.stderr);
    output.expect_words(words);
    assert_eq!(replica.schema(), schema, "a refused {name} changed the schema");
    assert_eq!(Records::of(replica), records, "a refused {name} changed the records");
}

/// The names of the triggers on `machines`.
pub fn triggers(replica: &Replica) -> Vec<String> {
    let sql = "SELECT name FROM sqlite_master
               WHERE type = 'trigger' AND tbl_name = 'machines' ORDER BY name";
    let mut statement = replica.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// The triggers that cr-sqlite itself puts on `machines`.
pub const CRSQL_TRIGGERS: [&str; 3] =
    ["machines__crsql_dtrig", "machines__crsql_itrig", "machines__crsql_utrig"];

/// Two replicas with the same rows and one migration file.
pub struct Pair {
    pub a: Replica,
    pub b: Replica,
    pub migration: String,
}

impl Pair {
    fn of(a: Replica, b: Replica, toml: &str) -> Self {
        a.insert_machines(ROWS);
        merge_both_ways(&a, &b);
        let migration = migration_file(a.folder(), toml);
        Self { a, b, migration }
    }

    /// The column is absent: `run` adds it, and every cell is clockless.
    pub fn without_column(toml: &str) -> Self {
        Self::of(Replica::machines(), Replica::machines(), toml)
    }

    /// The column was added by the extension after the rows: NULL, and no clock rows.
    pub fn with_clockless_column(toml: &str) -> Self {
        let pair = Self::without_column(toml);
        for replica in pair.both() {
            replica.alter("machines", "ALTER TABLE machines ADD COLUMN owner TEXT");
            assert_eq!(replica.owner_clock(1), None, "premise: an added NULL has no clock row");
        }
        pair
    }

    /// The rows were inserted by a client that left the column out: NULL, at version 1.
    pub fn with_nulls_at_version_1(toml: &str) -> Self {
        let (a, b) = (Replica::machines_with_owner(), Replica::machines_with_owner());
        let pair = Self::of(a, b, toml);
        for replica in pair.both() {
            assert_eq!(replica.owner(1), None);
            assert_eq!(replica.owner_version(1), Some(1), "premise: an INSERT stamps every column");
        }
        pair
    }

    /// `without_column`, and the run on both replicas is done and proven.
    pub fn filled(toml: &str) -> Self {
        let pair = Self::without_column(toml);
        pair.run();
        pair
    }

    pub fn both(&self) -> [&Replica; 2] {
        [&self.a, &self.b]
    }

    /// Runs on both replicas; under `derive` this must create no change record on either.
    #[track_caller]
    pub fn run(&self) {
        for replica in self.both() {
            let before = Records::of(replica);
            let output = run(&self.migration, replica);
            assert_eq!(output.counter("change_records_written"), 0);
            before.assert_none_created(replica);
        }
    }

    /// Merges both ways and drains, then proves that nothing is left to write or to ship, and that
    /// on both replicas each owner is the derived one, `except` these.
    #[track_caller]
    pub fn assert_settles(&self, except: &[(i64, Option<&str>)]) {
        merge_both_ways(&self.a, &self.b);
        self.run();
        let sent = merge(&self.a, &self.b) + merge(&self.b, &self.a);
        assert_eq!(sent, 0, "draining made something to ship");
        self.assert_equal(except);
        for replica in self.both() {
            let again = run(&self.migration, replica);
            assert_eq!(again.counter("rows_written"), 0, "a drained replica was written again");
            replica.assert_sound();
        }
        self.assert_equal(except);
    }

    /// Both replicas have the same rows, and each owner is `'o-' || app`, `except` these.
    #[track_caller]
    pub fn assert_equal(&self, except: &[(i64, Option<&str>)]) {
        assert_eq!(self.a.machines_rows(), self.b.machines_rows(), "the replicas differ");
        for (id, want) in except {
            assert_eq!(self.a.owner(*id).as_deref(), *want, "owner of machine {id}");
        }
        let except: BTreeMap<_, _> = except.iter().copied().collect();
        for (id, app, owner) in machines(&self.a) {
            if !except.contains_key(&id) {
                assert_eq!(owner, app.map(|app| format!("o-{app}")), "owner of machine {id}");
            }
        }
    }
}

fn machines(replica: &Replica) -> Vec<(i64, Option<String>, Option<String>)> {
    let mut statement = replica.prepare("SELECT id, app, owner FROM machines").unwrap();
    let machine = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    statement.query_map([], machine).unwrap().map(Result::unwrap).collect()
}
