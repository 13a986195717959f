//! Reading a range of rows and deriving their values, in a read snapshot that ends with the range.
//! Any number of readers work side by side, each with its own connection.

mod export;
pub mod or_set;

pub(crate) use export::ProvenColumns;
pub use export::{Bound, ExportReader, Exported, Next, Ownership, ProvenRows, TooLarge};

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::db::{Datum, DbError, Doing, expr, is_row_error};
use crate::layout::{FillSql, Filter, Target};
use crate::split::{Position, Range};
use crate::verify::{Checked, RangeCheck};

/// One derived value.
#[derive(Clone, Debug, PartialEq)]
pub struct DerivedRow {
    /// The row's scan key.
    pub key: Position,
    /// The value for its cell.
    pub value: Datum,
}

/// The derived values of one range.
#[derive(Clone, Debug)]
pub struct ChangeBatch {
    /// The range.
    pub range: Range,
    /// The drain's epoch before the snapshot was taken.
    pub epoch: u64,
    /// The rows whose cell is to be filled, in order.
    pub rows: Vec<DerivedRow>,
    /// The digest that the range has once exactly these values are in it.
    pub digest: Checked,
    /// Rows whose expression failed and is to be skipped.
    pub skipped: u64,
}

impl ChangeBatch {
    /// The first `rows` rows, at least one, and the rest. The digest of the whole goes with both.
    #[must_use]
    pub fn split_at(mut self, rows: u64) -> (Self, Option<Self>) {
        let at = usize::try_from(rows).unwrap_or(usize::MAX).max(1);
        if at >= self.rows.len() {
            return (self, None);
        }
        let rest = self.rows.split_off(at);
        let through = self.rows[at - 1].key.clone();
        let range = Range {
            after: Some(through.clone()),
            through: std::mem::replace(&mut self.range.through, through),
            rows: self.range.rows.saturating_sub(at as u64),
        };
        self.range.rows = at as u64;
        let skipped = std::mem::take(&mut self.skipped);
        let rest = Self { range, epoch: self.epoch, rows: rest, digest: self.digest, skipped };
        (self, Some(rest))
    }
}

/// Why a range was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A row's expression failed: the writer finds out which, inside its transaction.
    #[error("a row up to ({through}) failed: {message}")]
    Row {
        /// The end of the range.
        through: String,
        /// What `SQLite` said.
        message: String,
    },
}

/// Reads ranges of one target.
#[derive(Debug)]
pub struct RowReader<'a> {
    conn: &'a Connection,
    sql: FillSql<'a>,
    sources: usize,
    overwrite: bool,
    check: RangeCheck,
}

impl<'a> RowReader<'a> {
    /// Reads `target` through `conn`.
    #[must_use]
    pub fn new(conn: &'a Connection, target: &'a Target) -> Self {
        Self {
            conn,
            sql: FillSql::new(target),
            sources: target.sources.len().max(1),
            overwrite: target.overwrite,
            check: RangeCheck::default(),
        }
    }

    /// Reads one range and derives its values. `epoch` was read before this call.
    ///
    /// # Errors
    /// [`ScanError::Row`] where a row's expression fails: nothing of the range is returned.
    pub fn read(&mut self, range: &Range, epoch: u64) -> Result<ChangeBatch, ScanError> {
        let sql = self.sql.select_derived(range.bounded(), Filter::default());
        let what = format!("read rows up to {}", range.through);
        let terms = self.sql.range.terms.len();
        let mut statement = self.conn.prepare_cached(&sql).doing(&what)?;
        let mut rows =
            statement.query(rusqlite::params_from_iter(range.parameters())).doing(&what)?;
        self.check.finish();
        let mut derived = Vec::with_capacity(usize::try_from(range.rows).unwrap_or(0).min(65_536));
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => break,
                Err(error) if is_row_error(&error) => {
                    let message = expr::plain(&error);
                    return Err(ScanError::Row { through: range.through.to_string(), message });
                }
                Err(source) => {
                    return Err(DbError::Sql { doing: what, source }.into());
                }
            };
            let value = row.get_ref(terms + self.sources).doing(&what)?;
            self.check.add(row, terms + self.sources, value).doing(&what)?;
            if self.overwrite || !matches!(value, ValueRef::Null) {
                let key = Position::from_row(row, terms).doing(&what)?;
                derived.push(DerivedRow { key, value: value.into() });
            }
        }
        let digest = self.check.finish();
        Ok(ChangeBatch { range: range.clone(), epoch, rows: derived, digest, skipped: 0 })
    }
}
