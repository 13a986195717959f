//! A change of a migration, resolved against one database: what is filled, from what, and where.

use serde::Serialize;

use super::crsqlite::CrTable;
use crate::db::quote::ident;
use crate::db::{Affinity, Datum, Table};

/// How values reach the cells: DESIGN's table of deliveries, without `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// A generated column: nothing is written.
    Virtual,
    /// The value is NULL or the declared default: nothing is written.
    Elide,
    /// Each replica writes the cells that it derives, without change records.
    Derive,
    /// Cells are written with change records of a publisher site at version 0.
    Native,
}

impl Delivery {
    /// Its name in migration files, JSON and the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Virtual => "virtual",
            Self::Elide => "elide",
            Self::Derive => "derive",
            Self::Native => "native",
        }
    }

    /// The delivery of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Virtual, Self::Elide, Self::Derive, Self::Native]
            .into_iter()
            .find(|delivery| delivery.as_str() == name)
    }

    /// True where cells are written, and therefore noted and followed.
    #[must_use]
    pub const fn writes_cells(self) -> bool {
        matches!(self, Self::Derive | Self::Native)
    }
}

impl std::fmt::Display for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the cells of a table and their change records live.
#[derive(Clone, Debug)]
pub enum Layout {
    /// A plain table: no change records.
    Plain,
    /// A table of cr-sqlite.
    CrSqlite(CrTable),
}

/// One column to fill.
#[derive(Clone, Debug)]
pub struct Target {
    /// The number of the change in this database; names its side tables.
    pub n: i64,
    /// The table as it is described, with the target column once it exists.
    pub table: Table,
    /// The target column.
    pub column: String,
    /// Its declared type.
    pub type_name: String,
    /// The SQL expression; `NULL` where the file has none.
    pub value: String,
    /// The SQL condition, where the file has one.
    pub filter: Option<String>,
    /// The columns that expression and condition read.
    pub sources: Vec<String>,
    /// The value, where no column is read and there is no condition.
    pub constant: Option<Datum>,
    /// True where a NULL counts as "nobody has written this yet".
    pub fill_null: bool,
    /// True where a row whose expression fails is left NULL and counted.
    pub skip_errors: bool,
    /// True where cells that are ours may hold something else than NULL before the fill: a column
    /// that is older than the migration, in a table whose users' cells have clock rows.
    pub overwrite: bool,
    /// How values reach the cells.
    pub delivery: Delivery,
    /// Where they live.
    pub layout: Layout,
}

impl Target {
    /// The SQL of the derived value, over the bare column names of the table.
    ///
    /// Line breaks keep a comment at the end of the user's text from swallowing what follows.
    #[must_use]
    pub fn derived(&self) -> String {
        match &self.filter {
            Some(filter) => format!("CASE WHEN (\n{filter}\n) THEN (\n{}\n) END", self.value),
            None => format!("(\n{}\n)", self.value),
        }
    }

    /// The condition that the cell differs from what storing `value` would leave in it.
    ///
    /// The column's affinity converts the value, once a `+` has taken off one that the value may
    /// have by itself; the one conversion that a comparison does not make is that of large integers,
    /// and of text that holds them, to REAL.
    #[must_use]
    pub fn differs_from(&self, value: &str) -> String {
        let column = self.column_sql();
        let differs = format!("{column} COLLATE BINARY IS NOT +{value}");
        match Affinity::of(&self.type_name, self.table.strict) {
            Affinity::Real => format!(
                "({differs} AND NOT (+{value} IS CAST(+{value} AS NUMERIC) \
                 AND {column} IS CAST(+{value} AS REAL)))"
            ),
            Affinity::Integer | Affinity::Text | Affinity::Blob | Affinity::Numeric => differs,
        }
    }

    /// The target column, quoted.
    #[must_use]
    pub fn column_sql(&self) -> String {
        ident(&self.column)
    }

    /// The name of the table of noted keys.
    #[must_use]
    pub fn dirty_table(&self) -> String {
        format!("_dotfill_dirty_{}", self.n)
    }

    /// The name of the table of users' keys.
    #[must_use]
    pub fn user_table(&self) -> String {
        format!("_dotfill_user_{}", self.n)
    }

    /// The name of the table of values whose row has not arrived.
    #[must_use]
    pub fn pending_table(&self) -> String {
        format!("_dotfill_pending_{}", self.n)
    }

    /// The quoted, qualified key columns of the table.
    pub(crate) fn key_sql(&self) -> impl Iterator<Item = String> {
        let table = self.table.sql();
        self.table.key.iter().map(move |key| format!("{table}.{}", ident(&key.name)))
    }
}
