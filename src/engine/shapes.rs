//! What the rows of a delta segment belong to, against the table that a replica has.

use super::subject::Subject;
use crate::db::{Affinity, KeyColumn, Table};
use crate::delta::{KeyShape, Shape};
use crate::layout::Target;
use crate::layout::or_set::{OldForm, SetTarget};

/// The shape of a change; without a key where none of its rows are shipped.
pub(super) fn shape_of(subject: &Subject, shipped: bool) -> Shape {
    match subject {
        Subject::Column(target) => shape(target, shipped),
        Subject::OrSet(target) => shape_of_set(target, shipped),
    }
}

/// The shape of a set.
pub(super) fn shape_of_set(target: &SetTarget, shipped: bool) -> Shape {
    Shape {
        table: target.table.name.clone(),
        column: target.source().to_owned(),
        type_name: form(target).to_owned(),
        strict: target.table.strict,
        sets: true,
        key: if shipped { key_of(&target.table) } else { Vec::new() },
    }
}

/// What the old form of a set is called in a chain.
fn form(target: &SetTarget) -> &'static str {
    match &target.old {
        OldForm::Column { format, .. } => format.as_str(),
        OldForm::Rows { .. } => "rows",
    }
}

fn key_of(table: &Table) -> Vec<KeyShape> {
    let key = |key: &KeyColumn| KeyShape {
        name: key.name.clone(),
        type_name: table.column(&key.name).map_or(String::new(), |c| c.type_name.clone()),
        collation: key.collation.clone(),
    };
    table.key.iter().map(key).collect()
}

/// The shape of a target; without a key where none of its rows are shipped.
pub(super) fn shape(target: &Target, shipped: bool) -> Shape {
    let table = &target.table;
    Shape {
        table: table.name.clone(),
        column: target.column.clone(),
        type_name: target.type_name.clone(),
        strict: table.strict,
        sets: false,
        key: if shipped { key_of(table) } else { Vec::new() },
    }
}

/// True where rows of that shape are shipped.
pub(super) fn is_shipped(shape: &Shape) -> bool {
    !shape.key.is_empty()
}

/// How the table that is here differs from the one that the objects are of; `None` where it does not.
pub(super) fn misfit_of_set(shape: &Shape, target: &SetTarget) -> Option<String> {
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    if !shape.sets
        || !same(&shape.table, &target.table.name)
        || !same(&shape.column, target.source())
    {
        let what = if shape.sets { "sets" } else { "values" };
        return Some(format!("they are {what} of {}.{}", shape.table, shape.column));
    }
    other_key(shape, &target.table)
}

/// How the table that is here differs from the one that the rows are of; `None` where it does not.
pub(super) fn misfit(shape: &Shape, target: &Target) -> Option<String> {
    let table = &target.table;
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    if shape.sets {
        return Some(format!("they are sets of {}.{}", shape.table, shape.column));
    }
    if !same(&shape.table, &table.name) || !same(&shape.column, &target.column) {
        return Some(format!("they are of {}.{}", shape.table, shape.column));
    }
    let affinity = |name: &str, strict| Affinity::of(name, strict);
    let (theirs, ours) =
        (affinity(&shape.type_name, shape.strict), affinity(&target.type_name, table.strict));
    if theirs != ours {
        return Some(format!(
            "column {} has type {:?} there and {:?} here",
            shape.column, shape.type_name, target.type_name
        ));
    }
    other_key(shape, table)
}

/// How the keys differ; `None` where they do not.
fn other_key(shape: &Shape, table: &Table) -> Option<String> {
    let affinity = |name: &str, strict| Affinity::of(name, strict);
    let there: Vec<String> = shape
        .key
        .iter()
        .map(|k| {
            let affinity = affinity(&k.type_name, shape.strict);
            format!("{} {affinity:?} {}", k.name.to_ascii_lowercase(), k.collation)
        })
        .collect();
    let here: Vec<String> = table
        .key
        .iter()
        .map(|k| format!("{} {:?} {}", k.name.to_ascii_lowercase(), k.affinity, k.collation))
        .collect();
    // The rowid's own column takes integers only; another one with that affinity is no other key.
    (there != here).then(|| {
        format!("rows are told by ({}) there and by ({}) here", there.join(", "), here.join(", "))
    })
}
