//! The SQL of applying shipped sets, per object. Pure text; the query plan of each is tested: none
//! scans.

use super::SetTarget;
use crate::db::quote::{ident, list};
use crate::layout::crsqlite::CrTable;

/// The statements of one target. Parameters are the key columns, then what is said.
#[derive(Clone, Debug)]
pub struct SetApplySql {
    /// One row where the object is here.
    pub exists: String,
    /// Remembers the set (the last parameter) of an object that has not arrived.
    pub add_pending: String,
    /// Forgets it.
    pub remove_pending: String,
    /// One row where it is remembered.
    pub is_pending: String,
    /// One row where any is.
    pub any_pending: String,
    /// One row where an object that is remembered has arrived.
    pub any_arrived: String,
    /// Keys and sets that are remembered, in order: the first, or those after a key; at most as many
    /// as the last parameter says.
    pub select_pending: [String; 2],
    /// Keys of adds whose object is not here, in order: the first, or those after a key; at most as
    /// many as the last parameter says.
    pub select_orphans: [String; 2],
    /// The causal length of the object's row in cr-sqlite, even where it was deleted.
    pub causal_length: Option<String>,
}

impl SetApplySql {
    /// The statements for `target`, whose objects are rows of a table of cr-sqlite where `objects`
    /// says so.
    #[must_use]
    pub fn new(target: &SetTarget, objects: Option<&CrTable>) -> Self {
        let (table, keys, sides) = (target.table.sql(), target.keys(), target.side_keys());
        let pending = target.pending_table();
        let is_key = equal(&keys);
        let (side, is_side) = (list(sides.iter().cloned()), equal(&sides));
        let parameters = list((1..=keys.len()).map(|i| format!("?{i}")));
        let next = keys.len() + 1;
        let same = |a: &str, b: &str, left: &[String], right: &[String]| {
            let pairs = left.iter().zip(right).map(|(l, r)| format!("{a}.{l} = {b}.{r}"));
            pairs.collect::<Vec<_>>().join(" AND ")
        };
        let after = |names: &str, bounded: bool| {
            let limit = if bounded { next } else { 1 };
            let condition =
                if bounded { format!("({names}) > ({parameters})") } else { "true".to_owned() };
            (condition, limit)
        };
        let all = list(keys.iter().cloned());
        let adds = ident(&target.adds);
        Self {
            exists: format!("SELECT 1 FROM {table} WHERE {is_key}"),
            add_pending: format!(
                "INSERT OR REPLACE INTO {pending} ({side}, value) VALUES ({parameters}, ?{next})"
            ),
            remove_pending: format!("DELETE FROM {pending} WHERE {is_side}"),
            is_pending: format!("SELECT 1 FROM {pending} WHERE {is_side}"),
            any_pending: format!("SELECT 1 FROM {pending} LIMIT 1"),
            any_arrived: format!(
                "SELECT 1 FROM {pending} AS p CROSS JOIN {table} AS t ON {} LIMIT 1",
                same("t", "p", &keys, &sides)
            ),
            select_pending: [false, true].map(|bounded| {
                let (condition, limit) = after(&side, bounded);
                format!(
                    "SELECT {side}, value FROM {pending} WHERE {condition} ORDER BY {side} \
                     LIMIT ?{limit}"
                )
            }),
            select_orphans: [false, true].map(|bounded| {
                let (condition, limit) = after(&all, bounded);
                format!(
                    "SELECT DISTINCT {all} FROM {adds} AS a WHERE {condition} AND NOT EXISTS \
                     (SELECT 1 FROM {table} AS t WHERE {}) ORDER BY {all} LIMIT ?{limit}",
                    same("t", "a", &keys, &keys)
                )
            }),
            causal_length: objects.map(|cr| {
                format!(
                    "SELECT col_version FROM {} WHERE col_name = '-1' \
                     AND key = (SELECT __crsql_key FROM {} WHERE {is_key})",
                    cr.clock, cr.pks
                )
            }),
        }
    }
}

fn equal(names: &[String]) -> String {
    let pairs = names.iter().enumerate().map(|(i, name)| format!("{name} = ?{}", i + 1));
    pairs.collect::<Vec<_>>().join(" AND ")
}
