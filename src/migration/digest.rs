//! The digest of what a migration means, so that runs and replicas can tell that they follow
//! the same one.
//!
//! # Encoding, version 1
//! BLAKE3 in key derivation mode with the context [`CONTEXT`], over the bytes of these
//! parts:
//!
//! | part | bytes |
//! |---|---|
//! | `field(s)` | the length of `s` in bytes as u64 little-endian, then the UTF-8 bytes |
//! | `option(s)` | one byte 0 when absent; else one byte 1 and `field(s)` |
//! | `flag(b)` | one byte, 0 or 1 |
//! | `count(n)` | `n` as u64 little-endian |
//!
//! A migration is `field(id) option(epoch) option(minimum_client) count(changes)`, then its
//! changes in file order. A column change is `field("column") field(table) field(column)
//! field(type) option(value) option(where) field(delivery) flag(fill_null) flag(writable)
//! field(on_error)`, and `field("on_failure") field("keep")` where the file says so: the key is
//! younger than the digests that replicas have recorded, so its default adds nothing. No kind of
//! change has that name.
//!
//! Defaults are encoded as if they had been written. `type`, `value` and `where` are taken as
//! parsed: the type with single spaces, the expressions without outer white space. The budget
//! and the path are left out: they limit and locate the work, they do not say what it is.
//!
//! # Invariants
//! The encoding is prefix-free, so two different migrations never encode to the same bytes. A
//! change of the encoding takes a new context.

use super::change::{Change, ColumnChange, OnFailure};
use super::id::MigrationId;

/// The BLAKE3 key derivation context of version 1.
const CONTEXT: &str = "dotfill 2026-11 migration digest v1";

/// The digest of a migration with these parts.
pub(super) fn digest(
    id: &MigrationId,
    epoch: Option<&str>,
    minimum_client: Option<&str>,
    changes: &[Change],
) -> [u8; 32] {
    let mut encoder = Encoder(blake3::Hasher::new_derive_key(CONTEXT));
    encoder.field(id.as_str());
    encoder.option(epoch);
    encoder.option(minimum_client);
    encoder.0.update(&(changes.len() as u64).to_le_bytes());
    for change in changes {
        match change {
            Change::Column(column) => encoder.column(column),
        }
    }
    encoder.0.finalize().into()
}

struct Encoder(blake3::Hasher);

impl Encoder {
    fn column(&mut self, change: &ColumnChange) {
        self.field("column");
        self.field(&change.table);
        self.field(&change.column);
        self.field(&change.type_name);
        self.option(change.value.as_deref());
        self.option(change.filter.as_deref());
        self.field(change.delivery.as_str());
        self.flag(change.fill_null);
        self.flag(change.writable);
        self.field(change.on_error.as_str());
        if change.on_failure != OnFailure::default() {
            self.field("on_failure");
            self.field(change.on_failure.as_str());
        }
    }

    fn field(&mut self, text: &str) {
        self.0.update(&(text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }

    fn option(&mut self, text: Option<&str>) {
        self.flag(text.is_some());
        if let Some(text) = text {
            self.field(text);
        }
    }

    fn flag(&mut self, set: bool) {
        self.0.update(&[u8::from(set)]);
    }
}
