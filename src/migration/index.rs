//! What a `[[change]]` with `kind = "index"` asks for. Owns the types, no checks.

use super::change::{KeyLines, OnFailure};

/// `kind = "index"`: an index of a table, told by its definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexChange {
    /// The index, unquoted, as the file names it.
    pub name: String,
    /// The table, unquoted, as the file names it.
    pub table: String,
    /// What is indexed.
    pub terms: IndexTerms,
    /// The SQL condition that selects the rows of a partial index (key `where`), without outer white
    /// space; as unchecked as [`super::ColumnChange::value`].
    pub filter: Option<String>,
    /// Whether two rows may not have the same terms.
    pub unique: bool,
    /// What happens to the change when it fails for good.
    pub on_failure: OnFailure,
    /// Where the keys stand in the file; no part of the change's meaning.
    pub lines: KeyLines,
}

/// What an index is of, in the order of its terms; at least one, all ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexTerms {
    /// Columns (key `columns`), unquoted, each once, with the collation of the column.
    Columns(Vec<String>),
    /// SQL expressions over the columns of a row (key `expressions`), without outer white space and
    /// each once. As unchecked as [`super::ColumnChange::value`]: whoever puts one into SQL writes it
    /// between parentheses, with a line break before the closing one, and lets the database judge it
    /// first. A quoted column name is an expression too, and so is one with a COLLATE.
    Expressions(Vec<String>),
}

impl IndexTerms {
    /// The key of the file that lists them.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Columns(_) => "columns",
            Self::Expressions(_) => "expressions",
        }
    }

    /// Their texts, as the file has them.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        match self {
            Self::Columns(texts) | Self::Expressions(texts) => texts,
        }
    }
}
