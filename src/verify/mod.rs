//! The local proof: every cell that is ours equals the derived value, counted from the data, and
//! a digest of what the rows hold; and what the digests of two replicas say together. Never repairs
//! anything.

mod compare;
mod digest;
mod facts;
mod keys;
pub mod or_set;
mod prover;
mod report;
mod shipped;
mod shipped_set;
mod tree;

pub use compare::{Compared, LeafVerdict, compare_leaves};
pub use digest::{Checked, RangeCheck, RangeDigest, RowHasher};
pub use facts::LeafSet;
pub use keys::{KEYS_BYTES_MAX, KeySum, KeySummer, KeysOfRange, KeysReport, TableKeys, key_shape};
pub use prover::{ProofError, Prover, RangeProof};
pub use report::{ChangeDigest, DigestProblem, DigestReport};
pub use shipped::{ShippedProof, ShippedProver};
pub use shipped_set::SetShippedProver;
pub use tree::{FactHasher, Leaf, RowColumns, RowFacts, Tree, leaves_of, root, shape};

use serde::{Deserialize, Serialize};

/// What a proof over a whole table found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Proof {
    /// Rows that were looked at.
    pub rows: u64,
    /// Rows whose expression fails, which the file says to skip.
    pub rows_skipped: u64,
    /// Cells that users own.
    pub rows_user: u64,
    /// Rows that others changed and that are noted to be derived again.
    pub rows_pending: u64,
    /// The digest of the rows, as hexadecimal digits.
    pub digest: String,
    /// The `SQLite` that evaluated the expressions.
    pub sqlite_version: String,
    /// The dotfill that made it.
    pub dotfill_version: String,
    /// The fencing token of the runner that made it.
    pub token: i64,
    /// A digest of the tables' definitions, indexes and triggers, ours included: while they are the
    /// same, whatever others write is noted.
    pub schema: String,
}
