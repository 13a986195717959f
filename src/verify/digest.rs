//! Digests of rows that do not depend on the order in which rows are read.
//!
//! # Definitions
//! For a row with key values `k..` and cell `c`, with `value` as in [`crate::db::encode`] and a key
//! `K` derived from table and column: `V = BLAKE3.keyed_hash(K, value(k).., value(c))[0..16]`, as
//! u128 LE. A range's digest is its row count and the sum of `V` modulo 2^128, so digests of ranges
//! add up to that of the table. The table's digest is `BLAKE3(u64 LE count, sum V)`: replicas with
//! the same rows and cells have the same, in whatever order and by whatever rowids they are stored.
//!
//! Equal sums over different rows are not feared from chance; a digest is no defence against
//! somebody who can choose the rows.
//!
//! A [`RangeCheck`] is something else: one hash over all keys, sources and values of a range, in
//! order. Readers and provers compare theirs, so that nothing has to be evaluated twice.

use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::tree::{change_key, hash, root};
use crate::db::encode;
use crate::layout::Target;

/// The digest of a set of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RangeDigest {
    /// How many rows.
    pub rows: u64,
    /// Of keys and cells.
    pub values: u128,
}

impl std::ops::AddAssign for RangeDigest {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.values = self.values.wrapping_add(other.values);
    }
}

impl RangeDigest {
    /// The table's digest, as hexadecimal digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        root(self.rows, self.values)
    }
}

/// Hashes rows of one target.
#[derive(Clone, Debug)]
pub struct RowHasher {
    key: [u8; 32],
    buffer: Vec<u8>,
}

impl RowHasher {
    /// The hasher for one column of one table.
    #[must_use]
    pub fn new(target: &Target) -> Self {
        Self {
            key: change_key("dotfill 2026-11 row digest v1", target),
            buffer: Vec::with_capacity(512),
        }
    }

    /// The digest of one row, whose columns `key` are its key and whose cell holds `cell`.
    ///
    /// # Errors
    /// When a column cannot be read.
    pub fn row(
        &mut self,
        row: &Row<'_>,
        key: std::ops::Range<usize>,
        cell: ValueRef<'_>,
    ) -> rusqlite::Result<RangeDigest> {
        self.buffer.clear();
        for i in key {
            encode(row.get_ref(i)?, &mut self.buffer);
        }
        encode(cell, &mut self.buffer);
        Ok(RangeDigest { rows: 1, values: hash(&self.key, &self.buffer) })
    }
}

/// A hash over the rows of a range: keys, sources and values, in order.
#[derive(Debug, Default)]
pub struct RangeCheck {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

/// What a [`RangeCheck`] came to.
pub type Checked = blake3::Hash;

impl RangeCheck {
    /// Bytes that are hashed at once: many blocks side by side are several times as fast as one.
    const CHUNK: usize = 64 << 10;

    /// Adds a row, whose first `columns` columns are its key and its sources, and its value.
    ///
    /// # Errors
    /// When a column cannot be read.
    pub fn add(
        &mut self,
        row: &Row<'_>,
        columns: usize,
        value: ValueRef<'_>,
    ) -> rusqlite::Result<()> {
        for i in 0..columns {
            encode(row.get_ref(i)?, &mut self.buffer);
        }
        encode(value, &mut self.buffer);
        if self.buffer.len() >= Self::CHUNK {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
        Ok(())
    }

    /// The hash of all rows since the beginning; begins anew.
    pub fn finish(&mut self) -> Checked {
        self.hasher.update(&self.buffer);
        self.buffer.clear();
        let hash = self.hasher.finalize();
        self.hasher.reset();
        hash
    }
}
