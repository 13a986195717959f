//! Reading what is shipped of a change, of either kind: a column's cells that are ours, or the sets of
//! objects. Owns no SQL.

use rusqlite::Connection;

use super::subject::Subject;
use crate::db::DbError;
use crate::scan::{Bound, ExportReader, Exported, Next, Ownership, SetExportReader};
use crate::split::{Position, Range};

/// Reads one change through one connection.
pub(super) enum RowsReader<'a> {
    Column(ExportReader<'a>),
    OrSet(SetExportReader<'a>),
}

impl<'a> RowsReader<'a> {
    /// Reads `subject` through `conn`. Of a set, `ownership` says only whether others' changes are
    /// noted: whose an add is can be told from the add.
    pub(super) fn new(conn: &'a Connection, subject: &'a Subject, ownership: Ownership) -> Self {
        match subject {
            Subject::Column(target) => Self::Column(ExportReader::new(conn, target, ownership)),
            Subject::OrSet(target) => {
                let follows = matches!(ownership, Ownership::Marks { .. });
                Self::OrSet(SetExportReader::new(conn, target, follows))
            }
        }
    }

    /// See [`ExportReader::read`].
    pub(super) fn read(&self, range: &Range) -> Result<(Exported, Option<Range>), DbError> {
        match self {
            Self::Column(reader) => reader.read(range),
            Self::OrSet(reader) => reader.read(range),
        }
    }

    /// See [`ExportReader::read_implied`].
    pub(super) fn read_implied(&self, range: &Range) -> Result<(Exported, Option<Range>), DbError> {
        match self {
            Self::Column(reader) => reader.read_implied(range),
            Self::OrSet(reader) => reader.read_implied(range),
        }
    }

    /// See [`ExportReader::read_keys`].
    pub(super) fn read_keys(&self, keys: &[Vec<crate::db::Datum>]) -> Result<Exported, DbError> {
        match self {
            Self::Column(reader) => reader.read_keys(keys),
            Self::OrSet(reader) => reader.read_keys(keys),
        }
    }

    /// See [`ExportReader::read_next`]. Objects of sets are walked by their key, which no change of
    /// the schema renumbers.
    pub(super) fn read_next(
        &self,
        after: Option<&Position>,
        bound: &Bound,
        rows: u64,
        schema: Option<i64>,
    ) -> Result<Next, DbError> {
        match self {
            Self::Column(reader) => reader.read_next(after, bound, rows, schema),
            Self::OrSet(reader) => reader.read_next(after, bound, rows),
        }
    }
}
