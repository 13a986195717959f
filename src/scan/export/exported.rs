//! The rows that are ours as they are read, in blocks that are not too large for a delta.

use std::ops::Range;

use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::db::Datum;
use crate::delta::{CELL_BYTES, ROWS_BYTES_MAX, Rows};
use crate::layout::Verdict;

/// Bytes of rows from which on a reader leaves the others for the next call: so one block is what it
/// holds, a row more at most.
pub(super) const PART_BYTES: usize = 4 << 20;
/// Bytes of a key, at most: it stands in a segment several times.
const KEY_BYTES_MAX: usize = 1 << 20;

/// What one range holds.
#[derive(Clone, Debug, Default)]
pub struct Exported {
    /// The rows whose cell is ours, in order, in blocks that are not too large.
    pub blocks: Vec<Rows>,
    /// Rows whose cell is a user's, or may be.
    pub user: u64,
    /// Rows that are noted and wait to be derived again.
    pub noted: u64,
    /// Keys that were asked for and name no row.
    pub missing: u64,
    /// Rows that were looked at, or keys that were looked for.
    pub passed: u64,
    /// A row that no delta can hold; those after it were not read.
    pub too_large: Option<TooLarge>,
    /// Bytes of the last block.
    block_bytes: usize,
}

/// A row that no delta can hold.
#[derive(Clone, Debug, PartialEq)]
pub struct TooLarge {
    /// Its key; empty where that is what is too large.
    pub key: Vec<Datum>,
    /// Bytes of the key and the cell.
    pub bytes: usize,
    /// Bytes that they may have.
    pub limit: usize,
}

/// Bytes of a row as its receiver holds it; the row itself where no delta can hold it.
pub(super) fn row_size<'v>(
    key: impl Iterator<Item = ValueRef<'v>> + Clone,
    value: ValueRef<'_>,
) -> Result<usize, TooLarge> {
    let size = |value: ValueRef<'_>| match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => CELL_BYTES + bytes.len(),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => CELL_BYTES,
    };
    let key_bytes = key.clone().map(size).sum::<usize>();
    if key_bytes > KEY_BYTES_MAX {
        return Err(TooLarge { key: Vec::new(), bytes: key_bytes, limit: KEY_BYTES_MAX });
    }
    let bytes = key_bytes + size(value);
    if bytes > ROWS_BYTES_MAX {
        return Err(TooLarge { key: key.map(Datum::from).collect(), bytes, limit: ROWS_BYTES_MAX });
    }
    Ok(bytes)
}

impl Exported {
    pub(super) fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::User => self.user += 1,
            Verdict::Noted => self.noted += 1,
            Verdict::Ours | Verdict::Nothing => {}
        }
    }

    /// True where a reader leaves the other rows for the next call.
    pub(super) fn is_full(&self) -> bool {
        self.block_bytes >= PART_BYTES || self.blocks.len() > 1 || self.too_large.is_some()
    }

    /// Adds or counts a row, whose first columns are its key, then its verdict, then the cell.
    pub(super) fn add(
        &mut self,
        row: &Row<'_>,
        keys: usize,
        verdict: Verdict,
    ) -> rusqlite::Result<()> {
        self.passed += 1;
        if verdict == Verdict::Ours {
            return self.push(row, keys);
        }
        self.count(verdict);
        Ok(())
    }

    /// Adds a row, whose first columns are its key, then a verdict, then the cell.
    fn push(&mut self, row: &Row<'_>, keys: usize) -> rusqlite::Result<()> {
        let value = row.get_ref(keys + 1)?;
        // Columns before one that there is.
        let key = (0..keys).map(|i| row.get_ref(i).unwrap_or(ValueRef::Null));
        self.push_row(keys, key, value);
        Ok(())
    }

    /// Adds a row with a key of `keys` values.
    pub(super) fn push_row<'v>(
        &mut self,
        keys: usize,
        key: impl Iterator<Item = ValueRef<'v>> + Clone,
        value: ValueRef<'_>,
    ) {
        let bytes = match row_size(key.clone(), value) {
            Ok(bytes) => bytes,
            Err(too_large) => {
                self.too_large = Some(too_large);
                return;
            }
        };
        if self.blocks.is_empty() || self.block_bytes + bytes > ROWS_BYTES_MAX {
            self.blocks.push(Rows::new(keys));
            self.block_bytes = 0;
        }
        self.block_bytes += bytes;
        if let Some(block) = self.blocks.last_mut() {
            block.push(key, value);
        }
    }

    /// True where rows of so many bytes fill no block.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        !self.is_full() && self.block_bytes + bytes < PART_BYTES
    }

    /// Adds some rows that are all ours and for which there is room.
    pub(super) fn append(&mut self, rows: &Rows, some: Range<usize>) {
        if some.is_empty() {
            return;
        }
        self.passed += some.len() as u64;
        if self.blocks.is_empty() {
            self.blocks.push(Rows::new(rows.key_columns().len()));
        }
        if let Some(block) = self.blocks.last_mut() {
            block.append(rows, some);
            self.block_bytes = block.byte_size();
        }
    }
}
