//! What a user's write costs in a closed epoch, in a cohort, beside the validator, and after the end: with
//! every kind of key, old form and layout its triggers walk no table. `SQLite` counts the steps of full
//! scans itself, those of triggers included.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::StatementStatus;
use rusqlite::functions::FunctionFlags;

use super::set::EpochSet;
use super::triggers::{Closed, MERGING_TABLE, kept_schema, side_tables};
use super::validator::validator_schema;
use crate::layout::or_set::OldForm;
use crate::layout::or_set::plans::{Place, places};
use crate::migration::OldWrites;

/// Steps that a look at a table of one row may take.
const STEPS_MAX: i32 = 4;

/// A set with triggers, and what tells who writes.
struct Case {
    place: Place,
    what: String,
    /// What cr-sqlite's bit says.
    bit: Arc<AtomicI64>,
}

impl Case {
    fn new(place: Place, what: &str, schema: impl Fn(&EpochSet) -> String) -> Self {
        let bit = Arc::new(AtomicI64::new(2));
        let said = Arc::clone(&bit);
        let replicated = place.target.is_replicated();
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
        place
            .conn
            .create_scalar_function("crsql_internal_sync_bit", 0, flags, move |_| {
                Ok(said.load(Ordering::Relaxed))
            })
            .expect("a function");
        let set = EpochSet {
            target: place.target.clone(),
            old_writes: OldWrites::Reject,
            reason: "refused".to_owned(),
            rows_replicated: replicated,
            migration: "m".to_owned(),
            position: 0,
        };
        let sql = side_tables(&set.target) + &schema(&set);
        place.conn.execute_batch(&sql).expect("triggers");
        let keys = place.target.keys().join(", ");
        // Half of the objects are in the cohort.
        let fill = format!(
            "INSERT INTO _dotfill_cohort_1 SELECT {keys} FROM t WHERE random() % 2 = 0;
             INSERT INTO adds SELECT {keys}, 'a', randomblob(16) FROM t;
             INSERT INTO removes SELECT randomblob(16) FROM t;"
        );
        place.conn.execute_batch(&fill).expect("rows");
        Self { place, what: what.to_owned(), bit }
    }

    /// The key of some object, as SQL literals.
    fn key(&self) -> Vec<String> {
        let quoted: Vec<String> =
            self.place.target.keys().iter().map(|key| format!("quote({key})")).collect();
        let sql = format!("SELECT {} FROM t LIMIT 1 OFFSET 250", quoted.join(", "));
        let row = |row: &rusqlite::Row<'_>| (0..quoted.len()).map(|i| row.get(i)).collect();
        self.place.conn.query_row(&sql, [], row).expect("an object")
    }

    fn pairs(&self) -> String {
        let pairs: Vec<String> = self
            .place
            .target
            .keys()
            .iter()
            .zip(self.key())
            .map(|(key, value)| format!("{key} = {value}"))
            .collect();
        pairs.join(" AND ")
    }

    /// Runs writes as the application, or as its replication.
    fn assert_cheap(&self, merging: bool, writes: &[String]) {
        let conn = &self.place.conn;
        self.bit.store(i64::from(merging), Ordering::Relaxed);
        if merging {
            conn.execute(&format!("INSERT INTO {MERGING_TABLE} VALUES (1)"), []).expect("a row");
        }
        for sql in writes {
            let mut statement = conn.prepare(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
            let done = statement.execute([]);
            let steps = statement.get_status(StatementStatus::FullscanStep)
                + statement.get_status(StatementStatus::AutoIndex);
            let (name, what) = (&self.place.name, &self.what);
            assert!(steps <= STEPS_MAX, "{name}, {what}: {steps} steps of a scan: {sql}");
            if let Err(error) = done {
                assert!(error.to_string().contains("refused"), "{name}, {what}: {sql}: {error}");
            }
        }
        conn.execute(&format!("DELETE FROM {MERGING_TABLE}"), []).expect("no row");
        self.bit.store(2, Ordering::Relaxed);
    }

    /// Writes of the old form.
    fn old_writes(&self) -> Vec<String> {
        let (pairs, keys, key) =
            (self.pairs(), self.place.target.keys().join(", "), self.key().join(", "));
        let mut writes = match &self.place.target.old {
            OldForm::Column { .. } => vec![
                format!("UPDATE t SET old = old WHERE {pairs}"),
                format!("INSERT OR REPLACE INTO t ({keys}, old) VALUES ({key}, '[\"a\"]')"),
                format!("UPDATE t SET old = '[\"z\"]' WHERE {pairs}"),
            ],
            OldForm::Rows { .. } => vec![
                format!("INSERT OR IGNORE INTO child VALUES ({key}, 'a')"),
                format!("INSERT INTO child VALUES ({key}, 'z')"),
                format!("UPDATE child SET tag = 'y' WHERE {pairs} AND tag = 'z'"),
                format!("DELETE FROM child WHERE {pairs} AND tag = 'a'"),
            ],
        };
        writes.push(format!("DELETE FROM t WHERE {pairs}"));
        writes
    }

    /// Writes of the new form.
    fn new_writes(&self) -> Vec<String> {
        let (pairs, key) = (self.pairs(), self.key().join(", "));
        vec![
            format!("INSERT INTO adds VALUES ({key}, 'n', x'01')"),
            "INSERT INTO removes VALUES (x'01')".to_owned(),
            format!("DELETE FROM adds WHERE {pairs} AND element = 'n'"),
            "DELETE FROM removes WHERE dot = x'01'".to_owned(),
        ]
    }
}

/// Every place with these triggers; `body` is told nothing else.
fn each(what: &str, schema: impl Fn(&EpochSet) -> String, body: impl Fn(&Case)) {
    for place in places() {
        body(&Case::new(place, what, &schema));
    }
}

#[test]
fn writes_in_a_closed_epoch_seek() {
    for closed in [Closed::All, Closed::Cohort] {
        let schema = |set: &EpochSet| set.triggers(closed).schema();
        each(&format!("{closed:?}"), schema, |case| {
            case.assert_cheap(false, &case.old_writes());
            case.assert_cheap(true, &case.old_writes());
        });
    }
}

#[test]
fn writes_that_a_validator_notes_seek() {
    each("validator", validator_schema, |case| {
        case.assert_cheap(false, &case.new_writes());
        case.assert_cheap(false, &case.old_writes());
    });
}

#[test]
fn writes_after_the_end_seek() {
    each("kept", kept_schema, |case| {
        case.assert_cheap(false, &case.old_writes());
        case.assert_cheap(true, &case.old_writes());
    });
}

/// The premise of the others: a trigger that walks a table is caught.
#[test]
#[should_panic(expected = "steps of a scan")]
fn a_trigger_that_scans_is_caught() {
    let scan = "CREATE TRIGGER scans AFTER DELETE ON t BEGIN SELECT count(*) FROM adds WHERE \
                element = 'never'; END;";
    each("scan", |_| scan.to_owned(), |case| case.assert_cheap(true, &case.old_writes()));
}
