//! What the bill must admit in words: why a way is closed, what clockless values owe, and where
//! something else would be cheaper.

use rusqlite::Connection;

use super::cost::Way;
use super::resolve::Resolved;
use super::sample::Sample;
use super::trial::Measured;
use crate::db::Datum;
use crate::db::quote::ident;
use crate::layout::{Delivery, Layout};
use crate::migration::ColumnChange;

/// Rows of more bytes than this are wide: rewriting them for one value is most of the work.
const WIDE_ROW_BYTES: u64 = 200;

/// Why `way` cannot be gone; `None` where it can.
pub(super) fn why_not(way: Way, change: &ColumnChange, resolved: &Resolved) -> Option<String> {
    let target = &resolved.target;
    if way.delivery() == Some(target.delivery) {
        return None;
    }
    let column = target.table.column(&target.column);
    let generated = column.is_some_and(|column| column.generated);
    match way {
        Way::Virtual if change.writable => {
            Some("applications may write the column (writable = true)".to_owned())
        }
        Way::Virtual if column.is_some() && !generated => {
            Some("the column exists and is stored".to_owned())
        }
        Way::Virtual => None,
        _ if generated => Some("the column is a generated one: nobody can write it".to_owned()),
        Way::Elide => match &target.constant {
            None => Some("the value is not the same for every row".to_owned()),
            Some(value) => column
                .filter(|column| !default_is(column.default.as_deref(), value))
                .map(|_| "the value is not the column's declared default".to_owned()),
        },
        Way::Native if matches!(target.layout, Layout::Plain) => {
            Some("this is no table of cr-sqlite: there are no change records".to_owned())
        }
        Way::Native if resolved.environment.corrosion => {
            Some("Corrosion would not send records of a publisher site".to_owned())
        }
        Way::Native | Way::Naive | Way::NaiveEverywhere | Way::Derive => None,
    }
}

fn default_is(default: Option<&str>, value: &Datum) -> bool {
    let Some(default) = default else { return *value == Datum::Null };
    Connection::open_in_memory()
        .and_then(|conn| {
            conn.query_row(&format!("SELECT (\n{default}\n)"), [], |row| row.get::<_, Datum>(0))
        })
        .is_ok_and(|found| found == *value)
}

/// Corrosion's subscriptions follow change records, and one that is restored keeps what it had.
const UNSEEN_BY_SUBSCRIPTIONS: &str = "Corrosion's subscriptions and update streams are not told of \
    derived values: a subscription that reads the column shows them once the row changes, or when \
    it is made anew";

/// What the chosen delivery leaves to be done or known.
pub(super) fn owes(resolved: &Resolved) -> Vec<String> {
    let replicated = matches!(resolved.target.layout, Layout::CrSqlite(_));
    let owed: &[&str] = match (resolved.target.delivery, replicated) {
        (Delivery::Derive, true) => &[
            "every replica derives for itself: run dotfill on each, then compare what `dotfill \
             digest` prints on each",
            "the values have no clock rows, so cr-sqlite's own sync does not carry them: a replica \
             that joins later runs the migration itself, takes them by `dotfill export` and \
             `dotfill apply`, or begins as a copy of a filled file",
            "a later full crsql_commit_alter stamps these values at version 1, with a change \
             record for each; Corrosion's own schema change does not",
            "a user who writes the value that is already there leaves no change record",
        ],
        (Delivery::Derive, false) => {
            &["this is a plain table: whoever copies it to other databases runs dotfill on each"]
        }
        (Delivery::Native, _) => &[
            "the records have version 0 and lose to every user write; run dotfill on one replica, \
             replication carries the values to the others and to those that join later",
        ],
        (Delivery::Elide, _) => &[
            "the value stands in the schema only: every replica, also one that joins later, needs \
             the column with this default",
        ],
        (Delivery::Virtual, _) => &[
            "the value stands in the schema only: every replica, also one that joins later, needs \
             the same generated column",
        ],
    };
    let mut owed: Vec<String> = owed.iter().map(|text| (*text).to_owned()).collect();
    if resolved.target.delivery == Delivery::Derive && replicated && resolved.environment.corrosion
    {
        owed.push(UNSEEN_BY_SUBSCRIPTIONS.to_owned());
    }
    owed
}

/// What the operator may want to know or do before the run.
pub(super) fn hints(resolved: &Resolved, sample: &Sample, done: Option<&Measured>) -> Vec<String> {
    let mut hints = Vec::new();
    if !resolved.target.delivery.writes_cells() {
        return hints;
    }
    if let Some(failure) = done.and_then(|done| done.failure.as_ref()) {
        let then = if resolved.target.skip_errors {
            "such rows will be skipped and counted"
        } else {
            "the run would stop at the first such row: correct the expression, or set \
             on_error = \"skip\""
        };
        hints.push(format!("a sampled row cannot be filled ({failure}); {then}"));
    }
    if sample.row_bytes > WIDE_ROW_BYTES {
        hints.push(format!(
            "rows of {} have about {} bytes, and filling a column writes whole rows: a narrow side \
             table (key, value) off the replicated path would write a fraction of that, and leave \
             a hot table alone",
            ident(&resolved.target.table.name),
            sample.row_bytes
        ));
    }
    if !resolved.triggers.is_empty() {
        hints.push("what your triggers do for each row is not part of these numbers".to_owned());
    }
    hints
}
