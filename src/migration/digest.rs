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
//! change has that name. A change of a set is `field("or_set") field(table) source field(adds)
//! field(removes) field(view) field(old_writes) field(malformed)`, and `on_failure` as above, where
//! `source` is `field("column") field(column) field(format)`, or `field("table") field(table)
//! field(element) count(columns)` and a `field` for each column of `source_key`, of which there are
//! none where the key is absent. A change of an index is `field("index") field(name) field(table)
//! field(terms) count(n)` and a `field` for each of the n terms, `option(where) flag(unique)`, and
//! `on_failure` as above, where `terms` is `columns` or `expressions`.
//!
//! Defaults are encoded as if they had been written. `type`, `value` and `where` are taken as
//! parsed: the type with single spaces, expressions without outer white space. The budget
//! and the path are left out: they limit and locate the work, they do not say what it is.
//!
//! # Invariants
//! The encoding is prefix-free, so two different migrations never encode to the same bytes. A
//! change of the encoding takes a new context.

use super::change::{Change, ColumnChange, OnFailure};
use super::id::MigrationId;
use super::index::IndexChange;
use super::or_set::{OrSetChange, SetSource};

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
    encoder.count(changes.len());
    for change in changes {
        match change {
            Change::Column(column) => encoder.column(column),
            Change::OrSet(set) => encoder.or_set(set),
            Change::Index(index) => encoder.index(index),
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
        self.on_failure(change.on_failure);
    }

    fn on_failure(&mut self, on_failure: OnFailure) {
        if on_failure != OnFailure::default() {
            self.field("on_failure");
            self.field(on_failure.as_str());
        }
    }

    fn or_set(&mut self, change: &OrSetChange) {
        self.field("or_set");
        self.field(&change.table);
        match &change.source {
            SetSource::Column { column, format } => {
                self.field("column");
                self.field(column);
                self.field(format.as_str());
            }
            SetSource::Table { table, element, key } => {
                self.field("table");
                self.field(table);
                self.field(element);
                let key = key.as_deref().unwrap_or_default();
                self.count(key.len());
                for name in key {
                    self.field(name);
                }
            }
        }
        self.field(&change.adds);
        self.field(&change.removes);
        self.field(&change.view);
        self.field(change.old_writes.as_str());
        self.field(change.malformed.as_str());
        self.on_failure(change.on_failure);
    }

    fn index(&mut self, change: &IndexChange) {
        self.field("index");
        self.field(&change.name);
        self.field(&change.table);
        self.field(change.terms.key());
        self.count(change.terms.texts().len());
        for term in change.terms.texts() {
            self.field(term);
        }
        self.option(change.filter.as_deref());
        self.flag(change.unique);
        self.on_failure(change.on_failure);
    }

    fn count(&mut self, count: usize) {
        self.0.update(&(count as u64).to_le_bytes());
    }

    fn field(&mut self, text: &str) {
        self.count(text.len());
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
