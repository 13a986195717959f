//! The migration file: read, checked and turned into values that the other stages trust.
//!
//! Owns the file's format, its validation and its digest. Does not open a database: whether a
//! table exists and whether an expression compiles is for `plan` and `SQLite` to judge. Every
//! error names file, line, key and remedy; see [`MigrationError`].

use std::path::{Path, PathBuf};

mod between;
pub mod bytes;
mod change;
mod difference;
mod digest;
mod error;
mod fields;
mod file;
mod id;
mod index;
mod names;
mod nearest;
mod or_set;
mod parse;
mod parse_column;
mod parse_index;
mod parse_or_set;
#[cfg(test)]
mod tests;
mod type_name;

pub use bytes::parse_bytes;
pub use change::{Change, ColumnChange, Delivery, KeyLines, OnError, OnFailure};
pub use error::{MigrationError, Place, Section};
pub use id::{MigrationId, MigrationIdError};
pub use index::{IndexChange, IndexTerms};
pub use or_set::{Malformed, OldWrites, OrSetChange, SetFormat, SetSource};

/// The size, in bytes, above which a migration file is refused: 1 MiB.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// How many `[[change]]` sections one file may hold.
pub const CHANGES_MAX: usize = 64;

/// One migration file, validated.
#[derive(Clone, Debug, PartialEq)]
pub struct Migration {
    /// The name of the migration; part of every dot and of the publisher site.
    pub id: MigrationId,
    /// The name of the boundary that this migration opens, if it opens one.
    pub epoch: Option<String>,
    /// The oldest client that may write once the epoch is open; quoted in rejections.
    pub minimum_client: Option<String>,
    /// What the run may cost before it stops, resumable.
    pub budget: Budget,
    /// The changes, in the order in which they run; 1 to [`CHANGES_MAX`] of them.
    pub changes: Vec<Change>,
    /// The file, as the caller named it; for messages.
    pub path: PathBuf,
    /// The file's text; kept in the database, so that a migration can be named by its id there.
    pub text: String,
    /// BLAKE3 of what the migration means: comments, white space, the order of keys, the path
    /// and the budget do not change it; the encoding is specified in `migration/digest.rs`.
    pub digest: [u8; 32],
}

/// What a run may cost. A limit that is `None` is not enforced.
///
/// A budget is no part of [`Migration::digest`]: raising it lets a stopped run resume.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    /// Change records per row changed, over all replicas; finite and at least 0.
    pub change_records_per_row_max: Option<f64>,
    /// Bytes on the wire, over all replicas.
    pub wire_bytes_max: Option<u64>,
}

impl Migration {
    /// Reads and validates the migration file at `path`.
    ///
    /// # Errors
    /// Any [`MigrationError`]; nothing was written and the remedy is an edit of the file.
    pub fn load(path: &Path) -> Result<Self, MigrationError> {
        Self::parse(&file::read(path)?, path)
    }

    /// Validates `text`; `path` is only named in messages.
    ///
    /// # Errors
    /// Any [`MigrationError`] but those about reading.
    pub fn parse(text: &str, path: &Path) -> Result<Self, MigrationError> {
        parse::migration(text, path)
    }

    /// `FILE:LINE` of `key` in the change with index `change`, for messages of later stages.
    ///
    /// Falls back to the line of the `[[change]]` header when the key is absent, and to `FILE`
    /// alone when there is no such change.
    #[must_use]
    pub fn at(&self, change: usize, key: &str) -> String {
        let line = self.changes.get(change).and_then(|change| change.lines().line(key));
        Place { path: self.path.clone(), line }.to_string()
    }
}
