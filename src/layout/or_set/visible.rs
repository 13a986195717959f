//! The statements that read the whole new form in the order of the objects. Neither sorts: both walk
//! keys in their order.

use super::SetTarget;
use crate::db::quote::{ident, list};

/// The visible adds of all objects, object by object; one row without an add where there is none.
#[must_use]
pub fn objects_sql(target: &SetTarget) -> String {
    let keys = target.keys_of("t");
    let same: Vec<String> = target
        .keys_of("a")
        .iter()
        .zip(&keys)
        .map(|(theirs, ours)| format!("{theirs} = {ours}"))
        .collect();
    let order = target.table.scan.terms.iter().map(|term| {
        let direction = if term.descending { " DESC" } else { "" };
        format!("t.{}{direction}", term.sql)
    });
    format!(
        "SELECT {}, a.element, a.dot FROM {} AS t LEFT JOIN {} AS a ON {} \
         AND NOT EXISTS (SELECT 1 FROM {} AS r WHERE r.dot = a.dot) ORDER BY {}",
        list(keys),
        target.table.sql(),
        ident(&target.adds),
        same.join(" AND "),
        ident(&target.removes),
        list(order.chain(["a.element".to_owned(), "a.dot".to_owned()]))
    )
}

/// All removes, in order.
#[must_use]
pub fn removes_sql(target: &SetTarget) -> String {
    format!("SELECT dot FROM {} ORDER BY dot", ident(&target.removes))
}
