//! What a `[[change]]` with `kind = "or_set"` asks for. Owns the types and their words, no checks.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::change::{KeyLines, OnFailure};

/// `kind = "or_set"`: an add-only set becomes an observed-remove set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrSetChange {
    /// The table whose rows are the objects, unquoted, as the file names it.
    pub table: String,
    /// Where the old form of the sets is.
    pub source: SetSource,
    /// The table of adds: the key columns of `table`, `element`, `dot`.
    pub adds: String,
    /// The table of removed dots: `dot`.
    pub removes: String,
    /// The view of what is visible: the key columns of `table`, `element`.
    pub view: String,
    /// What becomes of writes of the old form once the epoch is closed.
    pub old_writes: OldWrites,
    /// What becomes of a source that holds something else than a set of elements.
    pub malformed: Malformed,
    /// What happens to the change when it fails for good.
    pub on_failure: OnFailure,
    /// Where the keys stand in the file; no part of the change's meaning.
    pub lines: KeyLines,
}

impl OrSetChange {
    /// The objects that the change makes, with the key that names each.
    #[must_use]
    pub fn made(&self) -> [(&'static str, &str); 3] {
        [("adds", &self.adds), ("removes", &self.removes), ("view", &self.view)]
    }

    /// The tables that the change reads, with the key that names each.
    pub fn read(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let child = match &self.source {
            SetSource::Column { .. } => None,
            SetSource::Table { table, .. } => Some(("source_table", table.as_str())),
        };
        std::iter::once(("table", self.table.as_str())).chain(child)
    }
}

/// Where the old form of a set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetSource {
    /// A text in a column of the table itself (`source`, `format`).
    Column {
        /// The column, unquoted.
        column: String,
        /// How its text holds a set.
        format: SetFormat,
    },
    /// Rows of another table, one for each element (`source_table`).
    Table {
        /// The table, unquoted.
        table: String,
        /// Its column that holds the element, unquoted.
        element: String,
        /// Its columns that hold the object's key, in the order of that key (`source_key`);
        /// `None` where they have the names of the key columns themselves.
        key: Option<Vec<String>>,
    },
}

impl SetSource {
    /// The name that is part of every dot: the column, or the table of the old form.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Column { column, .. } => column,
            Self::Table { table, .. } => table,
        }
    }
}

/// How a text holds a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SetFormat {
    /// A JSON array of strings and numbers.
    Json,
    /// Elements between commas.
    Csv,
    /// One element a line.
    Lines,
}

impl SetFormat {
    /// Every format, in the order in which messages list them.
    pub const ALL: [Self; 3] = [Self::Json, Self::Csv, Self::Lines];

    /// The word used in files, tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Lines => "lines",
        }
    }
}

impl fmt::Display for SetFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What becomes of writes of the old form once the epoch is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OldWrites {
    /// New elements are refused for good.
    #[default]
    Reject,
    /// Each element becomes its migrated add.
    Translate,
    /// New elements wait until somebody decides.
    Quarantine,
}

impl OldWrites {
    /// Every choice, in the order in which messages list them.
    pub const ALL: [Self; 3] = [Self::Reject, Self::Translate, Self::Quarantine];

    /// The word used in files, tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Translate => "translate",
            Self::Quarantine => "quarantine",
        }
    }
}

impl fmt::Display for OldWrites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What becomes of a source that holds something else than a set of elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Malformed {
    /// The run stops and names the key and the reason.
    #[default]
    Fail,
    /// The sound elements are translated; the others are counted.
    Skip,
}

impl Malformed {
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

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
