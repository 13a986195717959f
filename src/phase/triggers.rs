//! The triggers of a closed epoch, and the side tables that they note in.
//!
//! # Definitions
//! - A *local* write is one of the application; a *merge* is one that arrives by replication. In a
//!   table of cr-sqlite `crsql_internal_sync_bit()` tells them apart, which every writer there has: 0
//!   is local, 1 a merge, 2 dotfill. In a plain table the application's replication inserts a row
//!   into `_dotfill_merging` first and deletes it last, in its own transaction; dotfill has a row in
//!   `_dotfill_self`.
//! - `_dotfill_oldwrite_<n>(id, kind, key columns, source)`: what dotfill has to look at, in order.
//!   See [`NoteKind`].
//! - `_dotfill_cohort_<n>(key columns)`: the objects whose epoch is closed while that of the others
//!   is not.
//!
//! # Operations
//! A local write of the old form aborts with a literal reason. It passes where it changes nothing:
//! an UPDATE that leaves the source as it is; an INSERT without a source, with the column's default,
//! with what the row that stands there has (REPLACE, UPSERT), or with the empty set where no row stands
//! there. A REPLACE by NULL or the default passes, for it may be a statement that does not name the
//! column: the old form is lost then, and the new one is not. A row of a child table may go when
//! its object went first (`ON DELETE CASCADE`). A merge is never refused: it is noted.
//!
//! # Invariants
//! - A trigger evaluates nothing of the migration file and calls no function but cr-sqlite's bit. The
//!   text of `RAISE` is a literal: an expression there would make the file unreadable to every
//!   application with an `SQLite` before 3.47.
//! - What notes cannot fail: an ordinary table without constraints takes whatever comes.
//! - A refusal rolls its statement back, so no trigger can count it.

mod column;
mod kept;
mod rows;

use crate::db::quote::{ident, list, text};
use crate::layout::or_set::{OldForm, SetTarget};

pub use kept::{drop_kept, kept_schema, kept_triggers, standing};

/// The table of plain databases that tells merges from local writes.
pub const MERGING_TABLE: &str = "_dotfill_merging";

/// Why an object was noted. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    /// A text of the old form arrived for it; `source` holds it.
    Text,
    /// The object came, went or changed its key, or a row of its child table went.
    Touched,
    /// A row of the child table arrived; `source` holds its element.
    Element,
}

impl NoteKind {
    /// Its number in the database.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::Text => 0,
            Self::Touched => 1,
            Self::Element => 2,
        }
    }

    /// The kind with that number.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        [Self::Text, Self::Touched, Self::Element].into_iter().find(|kind| kind.code() == code)
    }
}

/// Whose epoch is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Every object's.
    All,
    /// That of the objects in the table of the cohort.
    Cohort,
}

/// What the triggers of one set need to know.
#[derive(Clone, Debug)]
pub struct EpochTriggers<'t> {
    /// The set.
    pub target: &'t SetTarget,
    /// True where the child table is one of cr-sqlite; the table of the objects tells for itself.
    pub rows_replicated: bool,
    /// The reason of a refusal.
    pub reason: &'t str,
    /// Whose epoch is closed.
    pub closed: Closed,
}

/// The name of the table of what is to be looked at.
#[must_use]
pub fn oldwrite_table(n: i64) -> String {
    format!("_dotfill_oldwrite_{n}")
}

/// The name of the table of the cohort.
#[must_use]
pub fn cohort_table(n: i64) -> String {
    format!("_dotfill_cohort_{n}")
}

/// What the names of the triggers end in.
const TRIGGERS: [&str; 9] = [
    "insert",
    "update",
    "delete",
    "arrived_insert",
    "arrived_update",
    "arrived_delete",
    "made",
    "rekeyed",
    "gone",
];

/// The names of the triggers that change `n` may have.
pub fn trigger_names(n: i64) -> impl Iterator<Item = String> {
    TRIGGERS.into_iter().map(move |what| trigger_name(n, what))
}

fn trigger_name(n: i64, what: &str) -> String {
    format!("_dotfill_{n}_epoch_{what}")
}

/// The statements that create the side tables, where they are absent.
#[must_use]
pub fn side_tables(target: &SetTarget) -> String {
    let (n, keys) = (target.n, target.side_declarations());
    format!(
        "CREATE TABLE IF NOT EXISTS {MERGING_TABLE} (token INTEGER);\n\
         CREATE TABLE IF NOT EXISTS {} (id INTEGER PRIMARY KEY, kind INTEGER, {keys}, source);\n\
         CREATE TABLE IF NOT EXISTS {} ({keys}, PRIMARY KEY ({})) WITHOUT ROWID;\n",
        oldwrite_table(n),
        cohort_table(n),
        list(target.side_keys())
    )
}

/// The statements that drop the triggers of a closed epoch, whether or not they exist.
#[must_use]
pub fn triggers_drop(n: i64) -> String {
    trigger_names(n).map(|name| format!("DROP TRIGGER IF EXISTS {name};\n")).collect()
}

/// The statements that drop the side tables, whether or not they exist.
#[must_use]
pub fn side_tables_drop(n: i64) -> String {
    format!(
        "DROP TABLE IF EXISTS {};\nDROP TABLE IF EXISTS {};\n",
        oldwrite_table(n),
        cohort_table(n)
    )
}

/// Who writes, as a condition.
#[derive(Clone, Copy)]
enum Writer {
    Local,
    Merge,
    Anyone,
}

impl Writer {
    fn condition(self, replicated: bool) -> &'static str {
        match (self, replicated) {
            (Self::Local, true) => "crsql_internal_sync_bit() = 0",
            (Self::Merge, true) => "crsql_internal_sync_bit() = 1",
            (Self::Anyone, true) => "crsql_internal_sync_bit() <> 2",
            (Self::Local, false) => {
                "NOT EXISTS (SELECT 1 FROM _dotfill_self) \
                 AND NOT EXISTS (SELECT 1 FROM _dotfill_merging)"
            }
            (Self::Merge, false) => {
                "NOT EXISTS (SELECT 1 FROM _dotfill_self) \
                 AND EXISTS (SELECT 1 FROM _dotfill_merging)"
            }
            (Self::Anyone, false) => "NOT EXISTS (SELECT 1 FROM _dotfill_self)",
        }
    }
}

/// A trigger that refuses a local write of the old form.
struct Refusal<'t> {
    /// What its name ends in.
    what: &'static str,
    event: String,
    table: &'t str,
    /// Its conditions, but for who writes; empty ones are left out.
    when: Vec<String>,
}

impl EpochTriggers<'_> {
    /// The statements that create the triggers. The side tables are there.
    #[must_use]
    pub fn schema(&self) -> String {
        let local = Writer::Local.condition(self.is_replicated());
        let refuse = self.refuse();
        let refusals = self.refusals().into_iter().map(|refusal| {
            let when: Vec<String> = std::iter::once(local.to_owned()).chain(refusal.when).collect();
            self.trigger(refusal.what, &refusal.event, refusal.table, &when, &refuse)
        });
        let arrivals = match &self.target.old {
            OldForm::Column { column, .. } => self.column_arrivals(column),
            OldForm::Rows { table, element, key } => self.rows_arrivals(table, element, key),
        };
        refusals.collect::<String>() + &arrivals + &self.objects()
    }

    fn refusals(&self) -> Vec<Refusal<'_>> {
        match &self.target.old {
            OldForm::Column { column, format } => self.column_refusals(column, *format),
            OldForm::Rows { table, element, key } => self.rows_refusals(table, element, key),
        }
    }

    /// True where the old form is in a table of cr-sqlite.
    fn is_replicated(&self) -> bool {
        match &self.target.old {
            OldForm::Column { .. } => self.target.is_replicated(),
            OldForm::Rows { .. } => self.rows_replicated,
        }
    }

    fn trigger(&self, what: &str, event: &str, table: &str, when: &[String], body: &str) -> String {
        create_trigger(&trigger_name(self.target.n, what), event, table, when, body)
    }

    fn refuse(&self) -> String {
        format!("  SELECT RAISE(ABORT, {});\n", text(self.reason))
    }

    /// Notes an object whose key columns are `keys`, with `source`.
    fn note(&self, kind: NoteKind, keys: &[String], source: &str) -> String {
        format!(
            "  INSERT INTO {} (kind, {}, source) VALUES ({}, {}, {source});\n",
            oldwrite_table(self.target.n),
            list(self.target.side_keys()),
            kind.code(),
            list(keys.iter().cloned())
        )
    }

    /// The condition that the epoch of the object with these key columns is closed; empty where all
    /// are.
    fn guard(&self, keys: &[String]) -> String {
        match self.closed {
            Closed::All => String::new(),
            Closed::Cohort => format!(
                "EXISTS (SELECT 1 FROM {} WHERE {})",
                cohort_table(self.target.n),
                pairs(&self.target.side_keys(), keys, "=")
            ),
        }
    }

    /// As [`Self::guard`], of either key.
    fn guard_either(&self, one: &[String], other: &[String]) -> String {
        match self.closed {
            Closed::All => String::new(),
            Closed::Cohort => format!("({} OR {})", self.guard(one), self.guard(other)),
        }
    }

    /// What notes objects that come, go, or change their key.
    fn objects(&self) -> String {
        let table = &self.target.table.name;
        let replicated = self.target.is_replicated();
        let (old, new) = (self.target.keys_of("OLD"), self.target.keys_of("NEW"));
        let anyone = Writer::Anyone.condition(replicated).to_owned();
        let came = match &self.target.old {
            // Of a merge, the text was noted.
            OldForm::Column { .. } => Writer::Local.condition(replicated).to_owned(),
            OldForm::Rows { .. } => anyone.clone(),
        };
        let rekeyed = match &self.target.old {
            OldForm::Column { column, .. } => {
                self.note(NoteKind::Text, &new, &format!("NEW.{}", ident(column)))
            }
            OldForm::Rows { .. } => self.note(NoteKind::Touched, &new, "NULL"),
        };
        let went = self.note(NoteKind::Touched, &old, "NULL");
        let made = self.note(NoteKind::Touched, &new, "NULL");
        let differs: Vec<String> =
            old.iter().zip(&new).map(|(old, new)| format!("{new} IS NOT {old}")).collect();
        let differs = format!("({})", differs.join(" OR "));
        let moved = [anyone.clone(), differs, self.guard_either(&old, &new)];
        let of_key = format!("AFTER UPDATE OF {}", list(self.target.keys()));
        [
            self.trigger("made", "AFTER INSERT", table, &[came, self.guard(&new)], &made),
            self.trigger("rekeyed", &of_key, table, &moved, &format!("{went}{rekeyed}")),
            self.trigger("gone", "AFTER DELETE", table, &[anyone, self.guard(&old)], &went),
        ]
        .concat()
    }
}

fn create_trigger(name: &str, event: &str, table: &str, when: &[String], body: &str) -> String {
    let when: Vec<&str> = when.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    format!(
        "CREATE TRIGGER {name} {event} ON {} WHEN {} BEGIN\n{body}END;\n",
        ident(table),
        when.join("\n  AND ")
    )
}

/// The condition that columns are pairwise equal.
fn pairs(left: &[String], right: &[String], operator: &str) -> String {
    let all: Vec<String> =
        left.iter().zip(right).map(|(a, b)| format!("{a} {operator} {b}")).collect();
    all.join(" AND ")
}
