//! What one `[[change]]` section asks for. Owns the types and their words, no checks.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::index::IndexChange;
use super::or_set::OrSetChange;

/// One `[[change]]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// `kind = "column"`: give a column of a table a value.
    Column(ColumnChange),
    /// `kind = "or_set"`: an add-only set becomes an observed-remove set.
    OrSet(OrSetChange),
    /// `kind = "index"`: an index is built.
    Index(IndexChange),
}

impl Change {
    /// Where the section and its keys stand in the file.
    #[must_use]
    pub fn lines(&self) -> &KeyLines {
        match self {
            Self::Column(column) => &column.lines,
            Self::OrSet(set) => &set.lines,
            Self::Index(index) => &index.lines,
        }
    }

    /// The word of its kind, as files have it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Column(_) => "column",
            Self::OrSet(_) => "or_set",
            Self::Index(_) => "index",
        }
    }

    /// What happens to it when it fails for good.
    #[must_use]
    pub fn on_failure(&self) -> OnFailure {
        match self {
            Self::Column(column) => column.on_failure,
            Self::OrSet(set) => set.on_failure,
            Self::Index(index) => index.on_failure,
        }
    }
}

/// `kind = "column"`: a column and the expression that fills it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnChange {
    /// The table, unquoted, as the file names it; any text that [`super::Migration`] allows.
    pub table: String,
    /// The column, unquoted, as the file names it.
    pub column: String,
    /// A plain type name such as `TEXT` or `DECIMAL(10,2)`: words separated by one space and
    /// optional numbers, never a constraint. Safe to put into SQL as it is.
    pub type_name: String,
    /// The SQL expression that gives the value, without outer white space; `None` means NULL.
    ///
    /// Not empty and without NUL characters; otherwise unchecked. It may end in a `--` comment,
    /// so whoever puts it between parentheses writes a line break before the closing one, and
    /// lets `SQLite` judge it as an expression before running it.
    pub value: Option<String>,
    /// The SQL condition that selects the rows (key `where`); same rules as `value`.
    pub filter: Option<String>,
    /// How replicas come by the value.
    pub delivery: Delivery,
    /// Whether a NULL that an insert by an unaware client left counts as not yet filled.
    pub fill_null: bool,
    /// Whether applications may write the column; `false` only with a delivery of `auto` (the
    /// planner then picks `virtual`) or `virtual`.
    pub writable: bool,
    /// What happens to a row whose expression fails.
    pub on_error: OnError,
    /// What happens to the change when it fails for good.
    pub on_failure: OnFailure,
    /// Where the keys stand in the file; no part of the change's meaning.
    pub lines: KeyLines,
}

/// The lines of one section, counted from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyLines {
    /// The line of the section's header.
    pub header: Option<u64>,
    /// The line of each key that is present.
    pub keys: BTreeMap<String, u64>,
}

impl KeyLines {
    /// The line of `key`, or of the header when the section does not hold the key.
    #[must_use]
    pub fn line(&self, key: &str) -> Option<u64> {
        self.keys.get(key).copied().or(self.header)
    }
}

/// How replicas come by a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// The planner chooses: `elide` for a constant default, else `derive`.
    #[default]
    Auto,
    /// A generated column: nothing is written. Only with `writable = false`.
    Virtual,
    /// The value is NULL or the declared default: nothing is written.
    Elide,
    /// Each replica computes the value from its own rows and proves it.
    Derive,
    /// Change records at version 0 through a publisher site, throttled.
    Native,
}

impl Delivery {
    /// Every delivery of this version, in the order in which messages list them.
    pub const ALL: [Self; 5] = [Self::Auto, Self::Virtual, Self::Elide, Self::Derive, Self::Native];

    /// The word used in files, tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Virtual => "virtual",
            Self::Elide => "elide",
            Self::Derive => "derive",
            Self::Native => "native",
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What happens to a row whose expression fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The run stops and names the key and the message.
    #[default]
    Fail,
    /// The row is left alone and counted.
    Skip,
}

impl OnError {
    /// Every choice, in the order in which messages list them.
    pub const ALL: [Self; 2] = [Self::Fail, Self::Skip];

    /// The word used in files, tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// What happens to a change that fails for good: whose row's expression fails, whose table refuses a
/// value, whose old form holds something malformed, or whose unique index meets two equal rows, before
/// the change was proven once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Our cells, triggers and tables are removed, and the column where we added it and nobody else
    /// has written it. Of a set: our adds, triggers and the view, and the tables that we made and that
    /// hold nothing of a user's. Of an index: the index, where we built it.
    #[default]
    Revert,
    /// Everything stays, and `run --retry` continues from there.
    Keep,
}

impl OnFailure {
    /// Every choice, in the order in which messages list them.
    pub const ALL: [Self; 2] = [Self::Revert, Self::Keep];

    /// The word used in files, tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revert => "revert",
            Self::Keep => "keep",
        }
    }
}

impl fmt::Display for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
