//! What the rows of a delta segment belong to, against the table that a replica has.

use crate::db::{Affinity, KeyColumn};
use crate::delta::{KeyShape, Shape};
use crate::layout::Target;

/// The shape of a target; without a key where none of its rows are shipped.
pub(super) fn shape(target: &Target, shipped: bool) -> Shape {
    let table = &target.table;
    let key = |key: &KeyColumn| KeyShape {
        name: key.name.clone(),
        type_name: table.column(&key.name).map_or(String::new(), |c| c.type_name.clone()),
        collation: key.collation.clone(),
    };
    Shape {
        table: table.name.clone(),
        column: target.column.clone(),
        type_name: target.type_name.clone(),
        strict: table.strict,
        sets: false,
        key: if shipped { table.key.iter().map(key).collect() } else { Vec::new() },
    }
}

/// True where rows of that shape are shipped.
pub(super) fn is_shipped(shape: &Shape) -> bool {
    !shape.key.is_empty()
}

/// How the table that is here differs from the one that the rows are of; `None` where it does not.
pub(super) fn misfit(shape: &Shape, target: &Target) -> Option<String> {
    let table = &target.table;
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
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
