//! The rules between the `[[change]]` sections of one file: nothing is filled or made twice, and
//! what one change makes no other one reads or fills.

use super::change::{Change, ColumnChange};
use super::error::MigrationError;
use super::fields::Fields;
use super::or_set::{OrSetChange, SetSource};

/// Checks `change`, whose section is `fields`, against those before it. `SQLite` compares names
/// without regard to ASCII case, so this does too.
pub(super) fn check(
    fields: &Fields<'_>,
    earlier: &[Change],
    change: &Change,
) -> Result<(), MigrationError> {
    earlier.iter().try_for_each(|other| match (other, change) {
        (Change::Column(first), Change::Column(this)) => columns(fields, first, this),
        _ => match clash(other, change).or_else(|| clash(change, other).map(|(a, b)| (b, a))) {
            None => Ok(()),
            Some((first, this)) => Err(MigrationError::ClashingChanges {
                at: fields.place(this.0),
                key: this.0,
                name: this.1.to_owned(),
                line_first: other.lines().line(first.0).unwrap_or_default(),
            }),
        },
    })
}

fn columns(
    fields: &Fields<'_>,
    first: &ColumnChange,
    this: &ColumnChange,
) -> Result<(), MigrationError> {
    let same = first.table.eq_ignore_ascii_case(&this.table)
        && first.column.eq_ignore_ascii_case(&this.column);
    if !same {
        return Ok(());
    }
    Err(MigrationError::RepeatedColumn {
        at: fields.place("column"),
        table: this.table.clone(),
        column: this.column.clone(),
        line_first: first.lines.line("column").unwrap_or_default(),
    })
}

/// A key of a section and the name that it gives.
type Named<'c> = (&'static str, &'c str);

/// The first thing of `a` that clashes with something of `b`, and that thing; one direction.
fn clash<'c>(a: &'c Change, b: &'c Change) -> Option<(Named<'c>, Named<'c>)> {
    made(a)
        .into_iter()
        .find_map(|made| {
            let same = |other: &Named<'c>| other.1.eq_ignore_ascii_case(made.1);
            used(b).into_iter().find(same).map(|other| (made, other))
        })
        .or_else(|| match a {
            Change::OrSet(set) => same_source(set, b),
            Change::Column(_) | Change::Index(_) => None,
        })
}

/// Everything that a change makes. Tables, views and indexes share one space of names.
fn made(change: &Change) -> Vec<Named<'_>> {
    match change {
        Change::Column(_) => Vec::new(),
        Change::OrSet(set) => set.made().to_vec(),
        Change::Index(index) => vec![("name", index.name.as_str())],
    }
}

/// Everything that a change makes, reads or fills.
fn used(change: &Change) -> Vec<Named<'_>> {
    match change {
        Change::Column(column) => vec![("table", column.table.as_str())],
        Change::OrSet(set) => set.made().into_iter().chain(set.read()).collect(),
        Change::Index(index) => {
            vec![("name", index.name.as_str()), ("table", index.table.as_str())]
        }
    }
}

/// The source column of a set, where another change fills it: sets would not be told of it.
fn same_source<'c>(set: &'c OrSetChange, other: &'c Change) -> Option<(Named<'c>, Named<'c>)> {
    let (SetSource::Column { column, .. }, Change::Column(other)) = (&set.source, other) else {
        return None;
    };
    let same =
        other.table.eq_ignore_ascii_case(&set.table) && other.column.eq_ignore_ascii_case(column);
    same.then_some((("source", column.as_str()), ("column", other.column.as_str())))
}
