//! The statements of a drain: each finds what it touches by key. Their query plans are tested.

use crate::db::quote::list;
use crate::layout::{KeyMatch, RangeSql, Target};

/// The statements for one target.
#[derive(Debug)]
pub(super) struct DrainSql {
    pub take: String,
    pub remove: String,
    pub waiting: String,
    pub rows: String,
    pub value: String,
    pub set: String,
    pub is_user: String,
    pub add_user: String,
    pub remove_user: String,
}

impl DrainSql {
    /// Builds them.
    pub fn new(target: &Target) -> Self {
        let (dirty, user) = (target.dirty_table(), target.user_table());
        let (table, column) = (target.table.sql(), target.column_sql());
        let keys = KeyMatch::side_columns(target, 'k');
        let olds = KeyMatch::side_columns(target, 'o');
        let scan = RangeSql::new(&target.table.scan).terms;
        let side_is = KeyMatch::side_is(target);
        let values = list((1..=keys.len()).map(|i| format!("?{i}")));
        let (last, keys) = (format!("?{}", keys.len() + 1), list(keys));
        // Keys that hold a NULL may be shared: one row is found again by its place.
        let at: Vec<_> =
            scan.iter().enumerate().map(|(i, t)| format!("{t} = ?{}", i + 1)).collect();
        let (at, value) = (at.join(" AND "), format!("?{}", scan.len() + 1));
        Self {
            take: format!(
                "SELECT id, kind, {keys}, {} FROM {dirty} ORDER BY id LIMIT ?1",
                list(olds)
            ),
            remove: format!("DELETE FROM {dirty} WHERE id <= ?1"),
            waiting: format!("SELECT 1 FROM {dirty} WHERE {side_is} AND id > {last}"),
            rows: format!(
                "SELECT {column}, {} FROM {table} WHERE {}",
                list(scan),
                KeyMatch::row_is(target)
            ),
            value: format!("SELECT {} FROM {table} WHERE {at}", target.derived()),
            set: format!(
                "UPDATE {table} SET {column} = {value} WHERE {at} \
                 AND {}",
                target.differs_from(&value)
            ),
            is_user: format!("SELECT 1 FROM {user} WHERE {side_is}"),
            add_user: format!(
                "INSERT INTO {user} ({keys}) SELECT {values} \
                 WHERE NOT EXISTS (SELECT 1 FROM {user} WHERE {side_is})"
            ),
            remove_user: format!("DELETE FROM {user} WHERE {side_is}"),
        }
    }
}
