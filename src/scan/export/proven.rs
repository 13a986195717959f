//! Rows as a prover has read them: each holds what is derived from it and nobody claims its cell, so
//! they are shipped without being read once more.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::exported::{PART_BYTES, row_size};
use super::{Exported, filter_of};
use crate::db::{Datum, DbError, Doing};
use crate::delta::{Column, Rows};
use crate::layout::{ExportSql, FillSql, Filter, Target};
use crate::split::Position;

/// Where a statement of [`FillSql::select_proof`] has what is kept of its rows.
#[derive(Clone, Debug)]
pub(crate) struct ProvenColumns {
    key: std::ops::Range<usize>,
    /// Columns of the position, from the first one on; 0 where that is the key.
    terms: usize,
    stable: bool,
}

impl ProvenColumns {
    pub(crate) fn new(target: &Target, sql: &FillSql<'_>) -> Self {
        let by_key = ExportSql::new(target).position_at() == 0;
        let terms = if by_key { 0 } else { sql.range.terms.len() };
        Self { key: sql.proof_key(), terms, stable: target.table.scan.stable }
    }
}

/// The rows of one range, all of them, in order, and how many of them were shipped.
#[derive(Clone, Debug)]
pub struct ProvenRows {
    after: Option<Position>,
    rows: Rows,
    /// The position of each, where that is not its key.
    at: Vec<Column>,
    /// The version of the schema, where positions hold for one only.
    schema: Option<i64>,
    bytes: usize,
    given: usize,
    columns: ProvenColumns,
}

impl ProvenRows {
    /// No rows yet, after this position; `None` where somebody claims rows of the table, so that
    /// they have to be told apart. Inside the snapshot in which the rows are read.
    pub(crate) fn begin(
        conn: &Connection,
        target: &Target,
        columns: &ProvenColumns,
        after: Option<&Position>,
    ) -> Result<Option<Self>, DbError> {
        if filter_of(conn, target)? != Filter::default() {
            return Ok(None);
        }
        let schema = if columns.stable {
            None
        } else {
            let sql = "PRAGMA schema_version";
            Some(conn.query_row(sql, [], |row| row.get(0)).doing("read the schema's version")?)
        };
        Ok(Some(Self {
            after: after.cloned(),
            rows: Rows::new(columns.key.len()),
            at: vec![Column::new(); columns.terms],
            schema,
            bytes: 0,
            given: 0,
            columns: columns.clone(),
        }))
    }

    /// Forgets the rows: they are read again.
    pub(crate) fn clear(&mut self) {
        self.rows = Rows::new(self.columns.key.len());
        self.at = vec![Column::new(); self.columns.terms];
        self.bytes = 0;
    }

    /// Adds a row of the statement; false where they are too many to be kept.
    pub(crate) fn add(&mut self, row: &Row<'_>, cell: ValueRef<'_>) -> rusqlite::Result<bool> {
        // Columns before one that there is.
        let key = self.columns.key.clone().map(|i| row.get_ref(i).unwrap_or(ValueRef::Null));
        let Ok(bytes) = row_size(key.clone(), cell) else { return Ok(false) };
        self.bytes += bytes;
        if self.bytes >= PART_BYTES {
            return Ok(false);
        }
        self.rows.push(key, cell);
        for (i, column) in self.at.iter_mut().enumerate() {
            column.push(row.get_ref(i)?);
        }
        Ok(true)
    }

    /// Bytes that the rows take, about.
    #[must_use]
    pub fn byte_size(&self) -> usize {
        self.bytes
    }

    /// True where the next of the rows is the first one after this position, under this version of
    /// the schema.
    #[must_use]
    pub fn is_next(&self, after: Option<&Position>, schema: Option<i64>) -> bool {
        self.schema == schema && !self.is_empty() && self.place().as_ref() == after
    }

    /// True where all were given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.given >= self.rows.len()
    }

    /// The position of the last row that was given, or that of which the first one comes after.
    #[must_use]
    pub fn place(&self) -> Option<Position> {
        let Some(last) = self.given.checked_sub(1) else { return self.after.clone() };
        let columns = if self.at.is_empty() { self.rows.key_columns() } else { &self.at };
        Some(Position(columns.iter().map(|column| Datum::from(column.get(last))).collect()))
    }

    /// Gives rows until `found` is enough for one block, as a reader of at most `rows` rows leaves
    /// it: then true. `nulls` where a NULL is a value that was derived.
    pub fn give(&mut self, found: &mut Exported, rows: u64, nulls: bool) -> bool {
        let left = rows.saturating_sub(found.passed);
        let room = usize::try_from(left).unwrap_or(usize::MAX);
        let some = self.given..self.rows.len().min(self.given.saturating_add(room));
        let all_ours = nulls || !self.rows.values.has_nulls();
        if all_ours && found.has_room(self.bytes) {
            self.given = some.end;
            found.append(&self.rows, some);
            return found.passed >= rows;
        }
        for i in some {
            self.given = i + 1;
            found.passed += 1;
            let value = self.rows.value(i);
            if nulls || !matches!(value, ValueRef::Null) {
                found.push_row(self.columns.key.len(), self.rows.key(i), value);
            }
            if found.is_full() {
                return true;
            }
        }
        found.passed >= rows
    }
}
