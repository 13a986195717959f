//! A change of a set, resolved against one database: what is translated, from what, and to where.

use crate::db::Table;
use crate::db::quote::{ident, list};
use crate::layout::crsqlite::CrTable;
use crate::migration::SetFormat;
use crate::transform::dot::DotDeriver;

/// Where the old form is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OldForm {
    /// A text in a column of the table.
    Column {
        /// The column, unquoted, as the schema spells it.
        column: String,
        /// How its text holds a set.
        format: SetFormat,
    },
    /// Rows of another table.
    Rows {
        /// The table, unquoted, as the schema spells it.
        table: String,
        /// Its column that holds the element.
        element: String,
        /// Its columns that hold the key, in the order of that key.
        key: Vec<String>,
    },
}

/// Where the new form and its change records live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetLayout {
    /// Plain tables: no change records.
    Plain,
    /// Tables of cr-sqlite. Only the adds are looked at: removes are users' alone.
    CrSqlite {
        /// What belongs to the table of adds.
        adds: CrTable,
    },
}

/// The objects for which the new form is authoritative: nothing of them is derived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClosedObjects {
    /// None: the old form is authoritative.
    #[default]
    None,
    /// Those in the table of the cohort.
    Cohort,
    /// All: the old form is not followed.
    All,
}

/// One set of every row of a table.
#[derive(Clone, Debug)]
pub struct SetTarget {
    /// The number of the change in this database; names its side tables.
    pub n: i64,
    /// The table of the objects, walked by its key.
    pub table: Table,
    /// The old form.
    pub old: OldForm,
    /// The table of adds, unquoted.
    pub adds: String,
    /// The table of removes, unquoted.
    pub removes: String,
    /// The view, unquoted.
    pub view: String,
    /// True where flawed elements are left out and counted; false where they stop the run.
    pub skip_malformed: bool,
    /// The objects whose epoch is closed.
    pub closed: ClosedObjects,
    /// Where the new form lives.
    pub layout: SetLayout,
    /// Derives the migration dots.
    pub dots: DotDeriver,
}

impl SetTarget {
    /// The quoted key columns, which table and adds share.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.table.key.iter().map(|key| ident(&key.name)).collect()
    }

    /// The key columns after `prefix` and a dot.
    #[must_use]
    pub fn keys_of(&self, prefix: &str) -> Vec<String> {
        self.keys().into_iter().map(|key| format!("{prefix}.{key}")).collect()
    }

    /// The columns of our side tables that hold a key: `k1, k2, ..`.
    #[must_use]
    pub fn side_keys(&self) -> Vec<String> {
        (1..=self.table.key.len()).map(|i| format!("k{i}")).collect()
    }

    /// The declarations of those columns.
    #[must_use]
    pub fn side_declarations(&self) -> String {
        list(self.table.key.iter().zip(self.side_keys()).map(|(key, name)| {
            format!("{name} {} COLLATE {}", key.affinity.declaration(), key.collation)
        }))
    }

    /// The name of the table of noted keys.
    #[must_use]
    pub fn dirty_table(&self) -> String {
        format!("_dotfill_dirty_{}", self.n)
    }

    /// The name of the table that holds the last key that the fill has passed.
    #[must_use]
    pub fn frontier_table(&self) -> String {
        format!("_dotfill_frontier_{}", self.n)
    }

    /// The name of the table of shipped sets whose object has not arrived.
    #[must_use]
    pub fn pending_table(&self) -> String {
        format!("_dotfill_pending_{}", self.n)
    }

    /// True while the old form is followed: its changes are noted.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        self.closed != ClosedObjects::All
    }

    /// The name of the table of objects whose epoch is closed before that of the others.
    #[must_use]
    pub fn cohort_table(&self) -> String {
        format!("_dotfill_cohort_{}", self.n)
    }

    /// The same for a comparison of keys and adds alone, where the old form may be absent, or does
    /// not lead; whoever compares takes no element from it.
    #[must_use]
    pub fn without_old_form(self) -> Self {
        // A column that is certainly there, so that every statement is sound.
        let column = self.table.key.first().map_or_else(String::new, |key| key.name.clone());
        let format = SetFormat::Csv;
        Self { old: OldForm::Column { column, format }, ..self }
    }

    /// The name of the old form: the column, or the table of rows.
    #[must_use]
    pub fn source(&self) -> &str {
        match &self.old {
            OldForm::Column { column, .. } => column,
            OldForm::Rows { table, .. } => table,
        }
    }
}
