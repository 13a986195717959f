//! Reading a range whose keys the receiver has too: the values of the cells that are ours, where
//! they stand among all rows of the range, and the digest of all keys. Ships no key but the bounds.

use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::exported::{PART_BYTES, row_size};
use super::{ExportReader, Exported, TooLarge, rest};
use crate::db::{Datum, DbError, encode, is_row_error};
use crate::delta::{Column, ImpliedKeys, KeyDigest, Keys, ROWS_BYTES_MAX, Rows};
use crate::layout::Verdict;
use crate::split::{Position, Range};

impl ExportReader<'_> {
    /// As [`Self::read`], as blocks whose keys are implied. A block without a value is left out; the
    /// others cover what was read of the range.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn read_implied(&self, range: &Range) -> Result<(Exported, Option<Range>), DbError> {
        let (found, left_at) = self.in_snapshot(|| {
            match self.implied(std::slice::from_ref(range), false) {
                // Some row's expression fails: whose its cell is cannot be told by the value.
                Err(DbError::Sql { source, .. }) if is_row_error(&source) => {
                    let keys = self.sql.select_keys(range.bounded());
                    self.implied(&range.one_by_one(self.conn, &keys)?, true)
                }
                other => other,
            }
        })?;
        Ok((found, rest(range, left_at)))
    }

    /// Reads ranges that follow one another, until there is enough: the position at which that was.
    /// Where each is of one row, one that fails is a user's.
    fn implied(
        &self,
        ranges: &[Range],
        each_one_row: bool,
    ) -> Result<(Exported, Option<Position>), DbError> {
        let keys = self.target.table.key.len();
        let whose = self.whose()?;
        let mut found = Exported::default();
        let mut blocks = Blocks::default();
        let mut left_at = None;
        for range in ranges {
            let sql = self.sql.select(range.bounded(), &whose, self.cr());
            let read = self.each(&sql, &mut range.parameters(), &mut |row, verdict| {
                found.count(verdict);
                found.passed += 1;
                found.too_large = blocks.add(row, keys, verdict)?;
                Ok(found.too_large.is_some() || blocks.is_full())
            });
            match read {
                Err(DbError::Sql { source, .. }) if each_one_row && is_row_error(&source) => {
                    found.user += 1;
                    found.passed += 1;
                    let key: Vec<_> = range.through.0.iter().map(Datum::as_ref).collect();
                    blocks.push(&key, None, 0);
                }
                other => left_at = other?,
            }
            if left_at.is_some() {
                break;
            }
        }
        found.blocks = blocks.finish();
        Ok((found, left_at))
    }
}

/// Blocks as they grow, row by row.
#[derive(Default)]
struct Blocks {
    done: Vec<Rows>,
    open: Option<Open>,
}

impl Blocks {
    /// Adds a row, whose first columns are its key, then a verdict, then the cell; or gives it back
    /// where no delta can hold it.
    fn add(
        &mut self,
        row: &Row<'_>,
        keys: usize,
        verdict: Verdict,
    ) -> rusqlite::Result<Option<TooLarge>> {
        let key = (0..keys).map(|i| row.get_ref(i)).collect::<Result<Vec<_>, _>>()?;
        let ours = verdict == Verdict::Ours;
        let value = if ours { Some(row.get_ref(keys + 1)?) } else { None };
        match row_size(key.iter().copied(), value.unwrap_or(ValueRef::Null)) {
            Ok(bytes) => self.push(&key, value, bytes),
            Err(too_large) => return Ok(Some(too_large)),
        }
        Ok(None)
    }

    /// True where there is enough for one call.
    fn is_full(&self) -> bool {
        let enough = |open: &Open| open.byte_size() >= PART_BYTES;
        !self.done.is_empty() || self.open.as_ref().is_some_and(enough)
    }

    fn push(&mut self, key: &[ValueRef<'_>], value: Option<ValueRef<'_>>, bytes: usize) {
        if self.open.as_ref().is_some_and(|open| open.byte_size() + bytes > ROWS_BYTES_MAX) {
            self.close();
        }
        self.open.get_or_insert_with(|| Open::new(key)).push(key, value);
    }

    fn close(&mut self) {
        self.done.extend(self.open.take().map(Open::finish).filter(|rows| !rows.is_empty()));
    }

    fn finish(mut self) -> Vec<Rows> {
        self.close();
        self.done
    }
}

/// The block that grows.
struct Open {
    keys: ImpliedKeys,
    values: Column,
    digest: KeyDigest,
    /// Rows so far, those without a value too.
    rows: u32,
    /// The key of the row before, encoded.
    last: Vec<u8>,
    key_bytes: usize,
}

impl Open {
    fn new(first: &[ValueRef<'_>]) -> Self {
        let first: Vec<Datum> = first.iter().map(|value| Datum::from(*value)).collect();
        Self {
            keys: ImpliedKeys { first, last: Vec::new(), digest: [0; 32], absent: Vec::new() },
            values: Column::new(),
            digest: KeyDigest::new(),
            rows: 0,
            last: Vec::new(),
            key_bytes: 0,
        }
    }

    /// Bytes of the rows, as the receiver will hold them: with their keys.
    fn byte_size(&self) -> usize {
        self.key_bytes + self.values.byte_size()
    }

    fn push(&mut self, key: &[ValueRef<'_>], value: Option<ValueRef<'_>>) {
        self.digest.push(key.iter().copied());
        self.last.clear();
        for value in key {
            encode(*value, &mut self.last);
        }
        self.key_bytes += self.last.len();
        match (value, self.keys.absent.last_mut()) {
            (Some(value), _) => self.values.push(value),
            (None, Some(run)) if run.end == self.rows => run.end += 1,
            (None, _) => self.keys.absent.push(self.rows..self.rows + 1),
        }
        self.rows += 1;
    }

    fn finish(mut self) -> Rows {
        let mut rest = self.last.as_slice();
        while let Some((value, after)) = Datum::decode(rest) {
            self.keys.last.push(value);
            rest = after;
        }
        self.keys.digest = self.digest.finish();
        Rows { keys: Keys::Implied(self.keys), values: self.values }
    }
}
