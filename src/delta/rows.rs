//! A batch of rows: the keys of a range, sent or implied, and the value of each.

use std::ops::Range;

use rusqlite::types::ValueRef;

use super::column::Column;
use crate::db::{Datum, encode};

/// One batch of one change.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// Which rows.
    pub keys: Keys,
    /// The value of each; NULL is a value too.
    pub values: Column,
}

/// How the rows of a batch are told.
#[derive(Clone, Debug, PartialEq)]
pub enum Keys {
    /// By their keys: one column per key column of the table, each as long as the values.
    Shipped(Vec<Column>),
    /// By what the receiver has.
    Implied(ImpliedKeys),
}

/// Keys that the receiver has itself: exactly the rows from `first` through `last`, in the order
/// of the table's key, as many as there are values and `absent` rows.
#[derive(Clone, Debug, PartialEq)]
pub struct ImpliedKeys {
    /// The key of the first row.
    pub first: Vec<Datum>,
    /// The key of the last row.
    pub last: Vec<Datum>,
    /// The [`KeyDigest`] of all of them.
    pub digest: [u8; 32],
    /// Places of rows in the range, from 0, that have no value here, in ascending runs that neither
    /// are empty nor touch.
    pub absent: Vec<Range<u32>>,
}

impl ImpliedKeys {
    /// How many rows of the range have no value here.
    #[must_use]
    pub fn absent_rows(&self) -> usize {
        self.absent.iter().map(ExactSizeIterator::len).sum()
    }

    /// What is wrong with them, for `values` values.
    pub(super) fn problem(&self, values: usize) -> Option<&'static str> {
        if self.first.len() != self.last.len() {
            return Some("bounds of different lengths");
        }
        let mut end = None;
        for run in &self.absent {
            if run.is_empty() || end.is_some_and(|end| run.start <= end) {
                return Some("rows without a value that are in no order");
            }
            end = Some(run.end);
        }
        let rows = values + self.absent_rows();
        let beyond = end.is_some_and(|end| end as usize > rows);
        beyond.then_some("rows without a value beyond the range")
    }
}

impl Rows {
    /// No rows yet, of a table with `key_columns` key columns.
    #[must_use]
    pub fn new(key_columns: usize) -> Self {
        Self { keys: Keys::Shipped(vec![Column::new(); key_columns]), values: Column::new() }
    }

    /// No rows yet, whose keys the receiver has.
    #[must_use]
    pub fn implied(keys: ImpliedKeys) -> Self {
        Self { keys: Keys::Implied(keys), values: Column::new() }
    }

    /// Adds a row. `key` has a value for each key column; more are not looked at, nor is any where
    /// keys are implied. Too few are refused when the rows are encoded.
    pub fn push<'a>(&mut self, key: impl IntoIterator<Item = ValueRef<'a>>, value: ValueRef<'_>) {
        if let Keys::Shipped(columns) = &mut self.keys {
            for (column, value) in columns.iter_mut().zip(key) {
                column.push(value);
            }
        }
        self.values.push(value);
    }

    /// Adds some rows of others, whose keys are shipped by as many columns.
    ///
    /// # Panics
    /// Where there are no such rows, as a slice does.
    pub(crate) fn append(&mut self, other: &Self, some: Range<usize>) {
        if let Keys::Shipped(columns) = &mut self.keys {
            for (column, from) in columns.iter_mut().zip(other.key_columns()) {
                column.append(from, some.clone());
            }
        }
        self.values.append(&other.values, some);
    }

    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True without rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Bytes that the rows take, at 16 a value and those of texts and blobs: what
    /// [`super::ROWS_BYTES_MAX`] bounds.
    #[must_use]
    pub fn byte_size(&self) -> usize {
        let keys: usize = self.key_columns().iter().map(Column::byte_size).sum();
        keys + self.values.byte_size()
    }

    /// The key columns that are shipped.
    #[must_use]
    pub fn key_columns(&self) -> &[Column] {
        match &self.keys {
            Keys::Shipped(columns) => columns,
            Keys::Implied(_) => &[],
        }
    }

    /// The key of row `i`; empty where keys are implied.
    ///
    /// # Panics
    /// Where there is no such row, as a slice does.
    pub fn key(&self, i: usize) -> impl Iterator<Item = ValueRef<'_>> + Clone {
        self.key_columns().iter().map(move |column| column.get(i))
    }

    /// The value of row `i`.
    ///
    /// # Panics
    /// Where there is no such row, as a slice does.
    #[must_use]
    pub fn value(&self, i: usize) -> ValueRef<'_> {
        self.values.get(i)
    }
}

/// The digest by which sender and receiver tell that they have the same keys in a range.
///
/// # Definitions
/// BLAKE3 in key derivation mode with the context `dotfill 2026-11 implied keys v1` over the key
/// values of each row in order, each as [`crate::db::encode`] writes it.
#[derive(Debug)]
pub struct KeyDigest {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

impl Default for KeyDigest {
    fn default() -> Self {
        Self::new()
    }
}

impl KeyDigest {
    /// Bytes that are hashed at once.
    const CHUNK: usize = 16 << 10;

    /// Of no rows.
    #[must_use]
    pub fn new() -> Self {
        let hasher = blake3::Hasher::new_derive_key("dotfill 2026-11 implied keys v1");
        Self { hasher, buffer: Vec::new() }
    }

    /// Adds the key of the next row.
    pub fn push<'a>(&mut self, key: impl IntoIterator<Item = ValueRef<'a>>) {
        key.into_iter().for_each(|value| encode(value, &mut self.buffer));
        if self.buffer.len() >= Self::CHUNK {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
    }

    /// The digest of all rows.
    #[must_use]
    pub fn finish(mut self) -> [u8; 32] {
        self.hasher.update(&self.buffer);
        *self.hasher.finalize().as_bytes()
    }
}
