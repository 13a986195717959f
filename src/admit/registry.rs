//! What this replica knows of the operations that may reach it: the sets that migrations change,
//! how far each migration is, and plain kinds that no migration changes. A value: reading it from a
//! database is in `known`.

use std::collections::BTreeMap;

use rusqlite::types::ValueRef;

use crate::db::{Affinity, Datum};
use crate::migration::{OldWrites, SetFormat};
use crate::state::{Mode, ModeRow};
use crate::transform::cohort;

/// The version of a set's operations before its migration.
pub const OLD_VERSION: u32 = 1;
/// The version of a set's operations after its migration.
pub const NEW_VERSION: u32 = 2;

/// Which elements a set may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elements {
    /// Those that a text of this format can hold: texts and numbers of JSON, trimmed texts
    /// otherwise.
    Format(SetFormat),
    /// Those that a column of this affinity stores.
    Column(Affinity),
}

/// Which form of a set is authoritative for an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regime {
    /// The old one; the new one is derived from it and not written by anybody.
    Old,
    /// The old one; the new one may be written too.
    Both,
    /// The new one.
    New,
}

/// One set that a migration changes from add-only to observed-remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetEntry {
    /// The migration's id; part of every dot.
    pub migration: String,
    /// The table whose rows are the objects, as the migration names it; part of every dot.
    pub table: String,
    /// The name of the set: the column or table of its old form, as the migration names it; part of
    /// every dot, and the first part of its kinds (`tags.add`).
    pub source: String,
    /// The affinities of the key columns: a key is compared as the table stores it.
    pub key: Vec<Affinity>,
    /// Which elements it may have.
    pub elements: Elements,
    /// The epoch that the migration opens.
    pub epoch: Option<String>,
    /// The oldest client that writes the new form; quoted in rejections.
    pub minimum_client: Option<String>,
    /// What becomes of operations of the old form where the new one is authoritative.
    pub old_writes: OldWrites,
    /// How far the migration is here.
    pub mode: ModeRow,
}

impl SetEntry {
    /// Which form is authoritative for the object with this key.
    #[must_use]
    pub fn regime(&self, key: &[Datum]) -> Regime {
        let all = match self.mode.mode {
            Mode::ReadOldWriteOld | Mode::ReadNewWriteOld => Regime::Old,
            Mode::ReadNewWriteBoth => Regime::Both,
            Mode::ReadNewWriteNew | Mode::CompactOld => return Regime::New,
        };
        if self.mode.cohort_percent == 0 {
            return all;
        }
        let key: Vec<ValueRef<'_>> = key.iter().map(Datum::as_ref).collect();
        let ahead = cohort::bucket(&self.migration, &key) < self.mode.cohort_percent;
        if ahead { Regime::New } else { all }
    }
}

/// A kind of operation, at one version, that no migration changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainEntry {
    /// The table whose rows are the objects.
    pub table: String,
    /// The kind, such as `name.set`.
    pub kind: String,
    /// The version, from 1.
    pub schema_version: u32,
    /// The epoch in which it may be written; an operation may also name none.
    pub epoch: Option<String>,
    /// The fields that its effect must have.
    pub required: Vec<String>,
    /// The fields that its effect may have besides.
    pub known: Vec<String>,
}

/// Two entries that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} of table {table} is described twice{}; {remedy}", by.as_deref().unwrap_or_default())]
pub struct RegistryError {
    /// The table.
    pub table: String,
    /// The set or kind.
    pub what: String,
    /// By which migrations, where it is a set.
    pub by: Option<String>,
    /// What to do about it.
    pub remedy: &'static str,
}

/// What this replica knows. Names are compared as `SQLite` compares them, whatever their ASCII case;
/// kinds and epochs exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    sets: BTreeMap<(String, String), SetEntry>,
    plain: BTreeMap<(String, String), BTreeMap<u32, PlainEntry>>,
}

/// What a kind is.
pub(super) enum Found<'a> {
    /// An operation of a set, and its verb.
    Set(&'a SetEntry, &'a str),
    /// A plain kind, by version.
    Plain(&'a BTreeMap<u32, PlainEntry>),
}

impl Registry {
    /// Knows nothing: every operation is buffered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a set.
    ///
    /// # Errors
    /// [`RegistryError`] where another migration changes the same set.
    pub fn with_set(mut self, set: SetEntry) -> Result<Self, RegistryError> {
        let place = (set.table.to_ascii_lowercase(), set.source.clone());
        if let Some(other) = self.sets.get(&place) {
            return Err(RegistryError {
                by: Some(format!(", by migrations {} and {}", other.migration, set.migration)),
                table: set.table,
                what: format!("set {}", set.source),
                remedy: "`dotfill close` and `dotfill forget` one of them first",
            });
        }
        self.sets.insert(place, set);
        Ok(self)
    }

    /// Adds a plain kind.
    ///
    /// # Errors
    /// [`RegistryError`] where that version of it is there.
    pub fn with_plain(mut self, entry: PlainEntry) -> Result<Self, RegistryError> {
        let place = (entry.table.to_ascii_lowercase(), entry.kind.clone());
        let versions = self.plain.entry(place).or_default();
        if versions.contains_key(&entry.schema_version) {
            return Err(RegistryError {
                what: format!("{} at version {}", entry.kind, entry.schema_version),
                table: entry.table,
                by: None,
                remedy: "describe each version of a kind once",
            });
        }
        versions.insert(entry.schema_version, entry);
        Ok(self)
    }

    /// The sets, by table and name.
    pub fn sets(&self) -> impl Iterator<Item = &SetEntry> {
        self.sets.values()
    }

    /// What an operation of that table and kind is. A plain kind goes before a set's.
    pub(super) fn find<'a>(&'a self, table: &str, kind: &'a str) -> Option<Found<'a>> {
        let table = table.to_ascii_lowercase();
        let place = (table, kind.to_owned());
        if let Some(versions) = self.plain.get(&place) {
            return Some(Found::Plain(versions));
        }
        let (source, verb) = kind.rsplit_once('.')?;
        let set = self.sets.get(&(place.0, source.to_owned()))?;
        Some(Found::Set(set, verb))
    }

    /// True where some entry has that epoch.
    pub(super) fn knows_epoch(&self, epoch: &str) -> bool {
        let of_sets = self.sets.values().map(|set| &set.epoch);
        let of_plain = self.plain.values().flat_map(BTreeMap::values).map(|entry| &entry.epoch);
        of_sets.chain(of_plain).any(|known| known.as_deref() == Some(epoch))
    }
}
