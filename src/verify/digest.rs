//! Digests of rows that do not depend on the order in which rows are read.
//!
//! # Definitions
//! For a row with key values `k..`, source values `s..` and cell `c`, with `value` as in
//! [`crate::db::encode`] and a key `K` derived from table and column:
//! `S = BLAKE3.keyed_hash(K, 0x00, value(k).., value(s)..)[0..16]` and
//! `V = BLAKE3.keyed_hash(K, 0x01, value(k).., value(c))[0..16]`, as u128 LE. A range's digest is
//! its row count and the sums of `S` and of `V` modulo 2^128, so digests of ranges add up to that
//! of the table. The table's digest is `BLAKE3(u64 LE count, sum V)`: replicas with the same rows
//! and cells have the same. `S` is summed only where source values have to be compared: when
//! readers derive, and a proof asks whether the rows still hold what the readers saw.
//!
//! Equal sums over different rows are not feared from chance; a digest is no defence against
//! somebody who can choose the rows.

use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::db::encode;
use crate::layout::Target;

/// The digest of a set of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RangeDigest {
    /// How many rows.
    pub rows: u64,
    /// Of keys and source columns.
    pub sources: u128,
    /// Of keys and cells.
    pub values: u128,
}

impl std::ops::AddAssign for RangeDigest {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.sources = self.sources.wrapping_add(other.sources);
        self.values = self.values.wrapping_add(other.values);
    }
}

impl RangeDigest {
    /// The table's digest, as hexadecimal digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.rows.to_le_bytes());
        hasher.update(&self.values.to_le_bytes());
        hasher.finalize().to_hex().to_string()
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
        let mut hasher = blake3::Hasher::new_derive_key("dotfill 2026-11 row digest v1");
        for field in [&target.table.name, &target.column] {
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field.as_bytes());
        }
        Self { key: *hasher.finalize().as_bytes(), buffer: Vec::with_capacity(512) }
    }

    /// The digest of one row, whose first `terms` columns are its key and whose cell holds `cell`;
    /// the `sources` columns after the key are hashed where that is not 0.
    ///
    /// # Errors
    /// When a column cannot be read.
    pub fn row(
        &mut self,
        row: &Row<'_>,
        terms: usize,
        sources: usize,
        cell: ValueRef<'_>,
    ) -> rusqlite::Result<RangeDigest> {
        self.buffer.clear();
        self.buffer.push(0);
        for i in 0..terms {
            encode(row.get_ref(i)?, &mut self.buffer);
        }
        let mut source = 0;
        if sources > 0 {
            let key = self.buffer.len();
            for i in terms..terms + sources {
                encode(row.get_ref(i)?, &mut self.buffer);
            }
            source = self.hash();
            self.buffer.truncate(key);
        }
        self.buffer[0] = 1;
        encode(cell, &mut self.buffer);
        Ok(RangeDigest { rows: 1, sources: source, values: self.hash() })
    }

    fn hash(&self) -> u128 {
        let hash = blake3::keyed_hash(&self.key, &self.buffer);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_bytes()[..16]);
        u128::from_le_bytes(bytes)
    }
}
