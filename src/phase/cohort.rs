//! The objects of a share join the table of the cohort: their epoch is closed before that of the
//! others. Which they are is in [`crate::transform::cohort`]; a key is in `_dotfill_cohort_<n>` once
//! the epoch of its object is closed here, and stays there.

use rusqlite::Connection;

use super::triggers::cohort_table;
use crate::db::quote::list;
use crate::db::{Datum, DbError, Doing};
use crate::layout::or_set::{SetSql, SetTarget};
use crate::scan::or_set::Bounds;
use crate::transform::cohort::bucket;

/// A share of the objects of a migration.
#[derive(Clone, Debug)]
pub struct Share<'m> {
    /// The migration's id.
    pub migration: &'m str,
    /// How many of a hundred.
    pub percent: u8,
}

impl Share<'_> {
    /// True where the object with this key is in it.
    #[must_use]
    pub fn has(&self, key: &[Datum]) -> bool {
        let key: Vec<_> = key.iter().map(Datum::as_ref).collect();
        bucket(self.migration, &key) < self.percent
    }
}

/// Lets the objects of a range join that are in the share, and are not noted: what they show is what
/// their old form says. Returns how many joined. The caller holds a write transaction.
///
/// # Errors
/// When the database cannot be read or written.
pub fn join(
    conn: &Connection,
    target: &SetTarget,
    share: &Share<'_>,
    bounds: &Bounds,
) -> Result<u64, DbError> {
    let what = "close the epoch of objects";
    let sql = SetSql::new(target);
    let keys = list(target.keys());
    let within = match &bounds.through {
        Some(_) => sql.range.within(bounds.after.is_some()),
        None => sql.range.after(bounds.after.is_some()).to_owned(),
    };
    let select = format!("SELECT {keys} FROM {} WHERE {within}", target.table.sql());
    let columns = target.side_keys().len();
    let all: Vec<Vec<Datum>> = conn
        .prepare_cached(&select)
        .and_then(|mut s| {
            s.query_map(rusqlite::params_from_iter(bounds.parameters()), |row| {
                (0..columns).map(|i| row.get(i)).collect()
            })?
            .collect()
        })
        .doing(what)?;
    let insert = format!(
        "INSERT OR IGNORE INTO {} ({}) SELECT {} WHERE NOT EXISTS ({})",
        cohort_table(target.n),
        list(target.side_keys()),
        list((1..=columns).map(|i| format!("?{i}"))),
        sql.is_noted
    );
    let mut insert = conn.prepare_cached(&insert).doing(what)?;
    let mut joined = 0;
    for key in all.iter().filter(|key| share.has(key)) {
        joined += insert.execute(rusqlite::params_from_iter(key)).doing(what)? as u64;
    }
    Ok(joined)
}

/// How many objects have joined.
///
/// # Errors
/// When they cannot be counted.
pub fn size(conn: &Connection, n: i64) -> Result<u64, DbError> {
    conn.prepare_cached(&format!("SELECT count(*) FROM {}", cohort_table(n)))
        .and_then(|mut s| s.query_row([], |row| row.get(0)))
        .doing("count the cohort")
}
