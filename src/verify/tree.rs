//! The digest tree: what replicas compare. Rows are put into leaves by a hash of their key; a leaf
//! has a count, a sum of source hashes and a sum of value hashes. Owns the definitions and the
//! sums; reads no database, and compares nothing.
//!
//! # Definitions
//! `field(s)`: u64 LE length of `s`, then its bytes. `value(x)`: as [`crate::db::encode`] has it, a
//! tag byte (0 NULL, 1 INTEGER, 2 REAL, 3 TEXT, 4 BLOB), then i64 LE, f64 bits LE, or u64 LE length
//! and the bytes. `H(K, m)` is `BLAKE3.keyed_hash(K, m)`. For the context strings `"dotfill 2026-11
//! row digest v1"`, `".. row sources v1"` and `".. row leaf v1"`, three keys of a change are
//! `Kv, Ks, Kl = BLAKE3.derive_key(context, field(table) field(column))`, with names as the schema
//! spells them.
//!
//! For a row with key values `k..` (the key's columns in declared order; never a rowid that is not
//! itself the key), cell `c`, and source values `s..` (the columns that `value` and `where` of the
//! change read, in the order of their names' bytes):
//!
//! - `V = H(Kv, value(k).. value(c))[0..16]`, as u128 LE;
//! - `S = H(Ks, value(k).. value(s).. claim)[0..16]`, as u128 LE, where `claim` is the byte 0, or
//!   the byte 1 and `value(c)` for a cell that is *claimed*;
//! - `L = H(Kl, value(k)..)[0..8]`, as u64 BE. In a tree of `2^b` leaves the row belongs to leaf
//!   `L >> (64 - b)` (leaf 0 where `b` is 0), so that a tree of more leaves refines one of fewer.
//!
//! A cell is claimed when it differs from the derived value (or none can be derived), and a user
//! owns it, or the row is noted and not yet derived again, or it was published: its value is state
//! that the replicas share by other means and may still be on its way. A cell that equals the
//! derived value is not claimed, nor is one that is ours and differs: there equal sources with
//! different values are a divergence.
//!
//! A leaf is the number of its rows, the sum of `S` and the sum of `V`, both modulo 2^64. Nodes
//! above leaves are sums and are not stored. The digest of all changes is `BLAKE3(u64 LE rows, u128
//! LE sum V)`, that of their sources `BLAKE3(u64 LE rows, u128 LE sum S)`, with sums modulo 2^128
//! over all rows of all changes.
//!
//! The shape of a table is `BLAKE3.derive_key("dotfill 2026-11 table shape v1", field(table)
//! field(column) field(type) u64 LE count of key columns, per key column field(name)
//! field(affinity) field(collation), u64 LE count of sources, per source field(name))[0..8]`.
//!
//! # Invariants
//! Sums do not depend on the order of rows. Trees of parts of a table add up to the table's.

use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::db::encode;
use crate::layout::Target;

/// Leaves of all changes of a migration together, in a digest that is sent to another replica.
const LEAVES: usize = 256;
/// The same, where there are so many changes that their names take the room.
const LEAVES_OF_MANY: usize = 128;
/// Changes up to which there is room for all leaves.
const FEW_CHANGES: usize = 16;

/// The leaves of each change of a migration that has `changes` changes: a power of two. The JSON
/// of a digest stays below 16 KiB for 40 changes whose names have 30 characters.
#[must_use]
pub fn leaves_of(changes: usize) -> usize {
    let all = if changes > FEW_CHANGES { LEAVES_OF_MANY } else { LEAVES };
    let each = (all / changes.max(1)).max(1);
    1 << each.ilog2()
}

/// One leaf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leaf {
    /// How many rows.
    pub rows: u64,
    /// The sum of their source hashes.
    pub sources: u64,
    /// The sum of their value hashes.
    pub values: u64,
}

/// What a tree is made of: the hashes of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFacts {
    /// The leaf that it belongs to.
    pub leaf: usize,
    /// Its source hash.
    pub sources: u128,
    /// Its value hash.
    pub values: u128,
    /// Bytes of its encoded key.
    pub key_bytes: u64,
    /// Its encoded key, where that was asked for.
    pub key: Option<Box<[u8]>>,
}

/// The tree of one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Its leaves, a power of two.
    pub leaves: Vec<Leaf>,
    /// The sum of all source hashes.
    pub sources: u128,
    /// Bytes of the encoded keys of each leaf: what it takes to list them.
    pub key_bytes: Vec<u64>,
}

impl Tree {
    /// A tree without rows.
    ///
    /// # Panics
    /// Where `leaves` is no power of two.
    #[must_use]
    pub fn new(leaves: usize) -> Self {
        assert!(leaves.is_power_of_two(), "a tree of {leaves} leaves");
        Self { leaves: vec![Leaf::default(); leaves], sources: 0, key_bytes: vec![0; leaves] }
    }

    /// Adds rows.
    pub fn add(&mut self, rows: &[RowFacts]) {
        for row in rows {
            let leaf = &mut self.leaves[row.leaf];
            leaf.rows += 1;
            leaf.sources = leaf.sources.wrapping_add(low(row.sources));
            leaf.values = leaf.values.wrapping_add(low(row.values));
            self.key_bytes[row.leaf] += row.key_bytes;
            self.sources = self.sources.wrapping_add(row.sources);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "sums are modulo 2^64")]
fn low(hash: u128) -> u64 {
    hash as u64
}

/// The digest of a sum over `rows` rows, as hexadecimal digits.
#[must_use]
pub fn root(rows: u64, sum: u128) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&rows.to_le_bytes());
    hasher.update(&sum.to_le_bytes());
    hasher.finalize().to_hex().to_string()
}

/// The key of a context for one change.
pub(super) fn change_key(context: &str, target: &Target) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    field(&mut hasher, &target.table.name);
    field(&mut hasher, &target.column);
    *hasher.finalize().as_bytes()
}

pub(super) fn field(hasher: &mut blake3::Hasher, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

/// The shape of a target's table, as hexadecimal digits: what must be alike for two replicas'
/// trees to be compared.
#[must_use]
pub fn shape(target: &Target) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("dotfill 2026-11 table shape v1");
    for text in [&target.table.name, &target.column, &target.type_name] {
        field(&mut hasher, text);
    }
    hasher.update(&(target.table.key.len() as u64).to_le_bytes());
    for key in &target.table.key {
        for text in [&key.name, key.affinity.declaration(), &key.collation] {
            field(&mut hasher, text);
        }
    }
    let sources = sources_by_name(target);
    hasher.update(&(sources.len() as u64).to_le_bytes());
    for (name, _) in sources {
        field(&mut hasher, name);
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

/// The sources by name, each with its place in the target's own order.
fn sources_by_name(target: &Target) -> Vec<(&str, usize)> {
    let mut sources: Vec<_> =
        target.sources.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    sources.sort_unstable();
    sources
}

/// Which columns of a statement hold what a row's hashes are made of.
#[derive(Clone, Debug)]
pub struct RowColumns {
    /// The key's columns, in order.
    pub key: std::ops::Range<usize>,
    /// The first of the sources, in the target's order.
    pub sources: usize,
    /// The cell.
    pub cell: usize,
}

/// Hashes rows of one target into facts.
#[derive(Clone, Debug)]
pub struct FactHasher {
    sources_key: [u8; 32],
    leaf_key: [u8; 32],
    /// The places of the sources in the order of their names.
    order: Vec<usize>,
    leaf_bits: u32,
    buffer: Vec<u8>,
}

impl FactHasher {
    /// The hasher for one column of one table, for a tree of `leaves` leaves.
    #[must_use]
    pub fn new(target: &Target, leaves: usize) -> Self {
        Self {
            sources_key: change_key("dotfill 2026-11 row sources v1", target),
            leaf_key: change_key("dotfill 2026-11 row leaf v1", target),
            order: sources_by_name(target).into_iter().map(|(_, place)| place).collect(),
            leaf_bits: leaves.ilog2(),
            buffer: Vec::with_capacity(512),
        }
    }

    /// The facts of one row whose value hash is `values`, as one that nobody claims; and its source
    /// hash as a claimed one, where `claimable`. The key is kept where `keep` says so of its leaf.
    ///
    /// # Errors
    /// When a column cannot be read.
    pub fn row(
        &mut self,
        row: &Row<'_>,
        columns: &RowColumns,
        values: u128,
        claimable: bool,
        keep: impl Fn(usize) -> bool,
    ) -> rusqlite::Result<(RowFacts, Option<u128>)> {
        self.buffer.clear();
        for i in columns.key.clone() {
            encode(row.get_ref(i)?, &mut self.buffer);
        }
        let leaf = self.leaf();
        let key_bytes = self.buffer.len();
        let key = keep(leaf).then(|| self.buffer.as_slice().into());
        for place in &self.order {
            encode(row.get_ref(columns.sources + place)?, &mut self.buffer);
        }
        let claimed = if claimable { Some(self.claimed(row.get_ref(columns.cell)?)) } else { None };
        self.buffer.push(0);
        let sources = hash(&self.sources_key, &self.buffer);
        Ok((RowFacts { leaf, sources, values, key_bytes: key_bytes as u64, key }, claimed))
    }

    /// The source hash with the cell; leaves the buffer as it was.
    fn claimed(&mut self, cell: ValueRef<'_>) -> u128 {
        let length = self.buffer.len();
        self.buffer.push(1);
        encode(cell, &mut self.buffer);
        let claimed = hash(&self.sources_key, &self.buffer);
        self.buffer.truncate(length);
        claimed
    }

    fn leaf(&self) -> usize {
        leaf_of(&self.leaf_key, &self.buffer, 1 << self.leaf_bits)
    }
}

/// The leaf, of `leaves`, of the row with an encoded key.
pub(super) fn leaf_of(leaf_key: &[u8; 32], key: &[u8], leaves: usize) -> usize {
    let hash = blake3::keyed_hash(leaf_key, key);
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    let leaf = u64::from_be_bytes(first).checked_shr(64 - leaves.ilog2()).unwrap_or(0);
    usize::try_from(leaf).unwrap_or(0)
}

/// The first 16 bytes of a keyed hash, as u128 LE.
pub(super) fn hash(key: &[u8; 32], bytes: &[u8]) -> u128 {
    let hash = blake3::keyed_hash(key, bytes);
    let mut first = [0; 16];
    first.copy_from_slice(&hash.as_bytes()[..16]);
    u128::from_le_bytes(first)
}
