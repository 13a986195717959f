//! Blocks whose keys are implied: the keys of their range are read from this replica, and compared
//! with the sender's count and digest, before anything of the block is written. Writes nothing.
//!
//! # Invariants
//! A block whose keys were found is the same as one that ships them: each value belongs to a key that
//! the sender has named, if only by a digest. So a row that comes or goes between the look and the
//! write is dealt with as in any block, by its key, in the transaction that writes: a value whose row
//! is gone is remembered or dropped, and a new row has no value here.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::Apply;
use crate::db::quote::{ident, list};
use crate::db::{Datum, DbError, Doing, Table};
use crate::delta::{Column, ImpliedKeys, KeyDigest, Keys, ROWS_BYTES_MAX, Rows};
use crate::engine::RunError;
use crate::engine::proof::reader;
use crate::layout::RangeSql;

/// A block that implies keys which this replica does not have.
#[derive(Clone, Debug)]
pub(super) struct Unlike {
    pub change: usize,
    /// The bounds of its range.
    pub first: Vec<Datum>,
    pub last: Vec<Datum>,
    /// Values in it, none of which can be written.
    pub rows: u64,
    /// True where an earlier call wrote them all, when the keys were still alike.
    pub is_done: bool,
}

/// Finds the keys of blocks that imply them.
pub(super) struct Resolver {
    conn: Connection,
    /// By change.
    tables: Vec<Table>,
    gate: Arc<RwLock<()>>,
}

impl Resolver {
    /// Reads these tables; holds `gate` while it holds a snapshot.
    pub(super) fn open<'t>(
        db: &Path,
        tables: impl Iterator<Item = &'t Table>,
        gate: Arc<RwLock<()>>,
    ) -> Result<Self, DbError> {
        let tables = tables.map(|table| {
            let mut table = table.clone();
            table.walk_by_key();
            table
        });
        Ok(Self { conn: reader(db)?, tables: tables.collect(), gate })
    }

    /// The keys of a block that implies them; `None` where this replica has others in the range.
    pub(super) fn resolve(&self, change: usize, rows: &Rows) -> Result<Option<Keys>, DbError> {
        let (Keys::Implied(keys), Some(table)) = (&rows.keys, self.tables.get(change)) else {
            return Ok(None);
        };
        let _reading = self.gate.read();
        self.conn.execute_batch("BEGIN").doing("begin a snapshot")?;
        let columns = self.keys_of(table, keys, rows);
        self.conn.execute_batch("COMMIT").doing("end a snapshot")?;
        Ok(columns?.map(Keys::Shipped))
    }

    /// The keys of the rows that have a value; `None` where those of the range are not the sender's.
    fn keys_of(
        &self,
        table: &Table,
        keys: &ImpliedKeys,
        rows: &Rows,
    ) -> Result<Option<Vec<Column>>, DbError> {
        let what = "read the keys of a range";
        let total = rows.len() + keys.absent_rows();
        let mut statement = self.conn.prepare_cached(&select(table)).doing(what)?;
        let most = Datum::Integer(i64::try_from(total).unwrap_or(i64::MAX).saturating_add(1));
        let parameters = keys.first.iter().chain(&keys.last).chain([&most]);
        let mut found = statement.query(rusqlite::params_from_iter(parameters)).doing(what)?;
        let mut gathered = Gathered::new(table.key.len(), rows.byte_size());
        let mut absent = keys.absent.iter().cloned().flatten().peekable();
        while let Some(row) = found.next().doing(what)? {
            let key = (0..table.key.len()).map(|i| row.get_ref(i));
            let key = key.collect::<Result<Vec<_>, _>>().doing(what)?;
            let has_value = absent.next_if_eq(&gathered.rows).is_none();
            // No more than the sender's keys take, and it has cut its blocks: these are others.
            if !gathered.push(&key, has_value) {
                return Ok(None);
            }
        }
        let alike = gathered.rows as usize == total && gathered.digest.finish() == keys.digest;
        Ok(alike.then_some(gathered.columns))
    }
}

impl Apply<'_, '_> {
    /// Remembers a block whose keys are not those of this replica.
    pub(super) fn unlike(&mut self, unlike: &Unlike) -> Result<(), RunError> {
        let table = self.changes.get(unlike.change).map(|change| &change.ready.table().name);
        if unlike.is_done && self.was_proven {
            self.report.rows_changed += unlike.rows;
        } else {
            let note = self.report.add_unlike(table.map_or("", String::as_str), unlike);
            self.job.monitor.note(&note);
        }
        self.job.pace.passed(unlike.rows);
        // No transaction of ours shows others that we live.
        self.job.pace.idle(&mut self.job.session, Duration::from_millis(1))?;
        Ok(())
    }
}

/// Keys of a range, in order: the parameters are its bounds, and how many at most.
fn select(table: &Table) -> String {
    let range = RangeSql::new(&table.scan);
    format!(
        "SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT ?{}",
        list(table.key.iter().map(|key| ident(&key.name))),
        table.sql(),
        range.between(),
        range.order,
        2 * range.terms.len() + 1
    )
}

/// Keys as they are read.
struct Gathered {
    columns: Vec<Column>,
    digest: KeyDigest,
    /// Rows so far, those without a value too.
    rows: u32,
    /// Bytes that are left for keys.
    bytes_left: usize,
}

impl Gathered {
    fn new(columns: usize, value_bytes: usize) -> Self {
        Self {
            columns: vec![Column::new(); columns],
            digest: KeyDigest::new(),
            rows: 0,
            bytes_left: ROWS_BYTES_MAX.saturating_sub(value_bytes),
        }
    }

    /// False where there is no room for it.
    fn push(&mut self, key: &[ValueRef<'_>], has_value: bool) -> bool {
        self.rows += 1;
        self.digest.push(key.iter().copied());
        if !has_value {
            return true;
        }
        for (column, value) in self.columns.iter_mut().zip(key) {
            let bytes = match value {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => 16 + bytes.len(),
                ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 16,
            };
            let Some(left) = self.bytes_left.checked_sub(bytes) else { return false };
            self.bytes_left = left;
            column.push(*value);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_block_are_sought_and_not_sorted() {
        for mut place in crate::layout::plans::places() {
            place.target.table.walk_by_key();
            let sql = select(&place.target.table);
            place.assert_seeks(&sql);
            place.assert_takes_the_first(&sql);
        }
    }
}
