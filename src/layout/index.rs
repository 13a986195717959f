//! The SQL of an index: made, dropped, counted, and held against its table. Both layouts have the
//! same, since an index is no data of its own.

use super::RangeSql;
use crate::db::index::IndexShape;
use crate::db::quote::{ident, list};
use crate::db::{KeyKind, Table};

/// An index to build, and what it is of.
#[derive(Clone, Debug)]
pub struct IndexTarget {
    /// The number of its change; 0 until it is recorded.
    pub n: i64,
    /// Its name.
    pub name: String,
    /// Its table.
    pub table: Table,
    /// The terms as SQL, each a quoted column or an expression in parentheses.
    pub terms: Vec<String>,
    /// The condition of a partial index.
    pub filter: Option<String>,
    /// Whether two rows may not have the same terms.
    pub unique: bool,
    /// True where a term or the condition is an expression: its evaluation may fail.
    pub evaluates: bool,
    /// What the schema must have under its name.
    pub shape: IndexShape,
    /// The name of the index that a WITHOUT ROWID table is stored by.
    pub stored_by: Option<String>,
}

impl IndexTarget {
    /// An expression as a term.
    #[must_use]
    pub fn term(expression: &str) -> String {
        // A line break ends a comment that the expression may end with.
        format!("(\n{expression}\n)")
    }

    /// The statement that makes it.
    #[must_use]
    pub fn create(&self) -> String {
        let filter = self.filter.as_deref().map(Self::term);
        format!(
            "CREATE {}INDEX {} ON {} ({}){}",
            if self.unique { "UNIQUE " } else { "" },
            ident(&self.name),
            self.table.sql(),
            list(self.terms.iter().cloned()),
            filter.map_or_else(String::new, |filter| format!(" WHERE {filter}"))
        )
    }

    /// The statement that drops it.
    #[must_use]
    pub fn drop(&self) -> String {
        format!("DROP INDEX {}", ident(&self.name))
    }

    /// The rows that are to have an entry, counted from the table itself.
    #[must_use]
    pub fn count_rows(&self) -> String {
        format!("SELECT count(*) FROM {} WHERE {}", self.by_table(), self.condition())
    }

    /// The entries that the index has.
    #[must_use]
    pub fn count_entries(&self) -> String {
        format!("SELECT count(*) FROM {} WHERE {}", self.by_index(), self.condition())
    }

    /// Evaluates condition and terms on the rows of a range, whose parameters it takes; one count.
    #[must_use]
    pub fn evaluate(&self, range: &RangeSql, bounded: bool) -> String {
        let terms = self.terms.iter().map(|term| format!("count({term})"));
        format!(
            "SELECT count(*), {} FROM {} WHERE ({}) AND {}",
            list(terms),
            self.by_table(),
            range.within(bounded),
            self.condition()
        )
    }

    /// The terms that several rows have, at most `limit` of them.
    #[must_use]
    pub fn duplicates(&self, limit: u32) -> String {
        let terms = list(self.terms.iter().cloned());
        format!(
            "SELECT {terms} FROM {} WHERE {} AND {} GROUP BY {terms} HAVING count(*) > 1 LIMIT {limit}",
            self.by_table(),
            self.condition(),
            self.terms.iter().map(|t| format!("{t} IS NOT NULL")).collect::<Vec<_>>().join(" AND ")
        )
    }

    /// The keys of the rows that have the terms which are the parameters, at most `limit` of them.
    #[must_use]
    pub fn rows_with(&self, limit: u32) -> String {
        let same = self.terms.iter().enumerate().map(|(i, term)| format!("{term} IS ?{}", i + 1));
        format!(
            "SELECT {} FROM {} WHERE {} AND {} LIMIT {limit}",
            self.keys(),
            self.by_table(),
            self.condition(),
            same.collect::<Vec<_>>().join(" AND ")
        )
    }

    /// The keys of the rows that are to have an entry and have none.
    #[must_use]
    pub fn missing(&self) -> String {
        let scan = || self.table.scan.terms.iter().map(|term| term.sql.clone());
        let keys = || self.table.key.iter().map(|key| ident(&key.name));
        let named = |prefix: &'static str, sql: Vec<String>| {
            sql.into_iter().enumerate().map(move |(i, sql)| format!("{sql} AS {prefix}{i}"))
        };
        let columns = named("k", keys().collect())
            .chain(named("s", scan().collect()))
            .chain(named("v", self.terms.clone()));
        let same = |prefix: &'static str, sql: Vec<String>| {
            sql.into_iter().enumerate().map(move |(i, sql)| format!("{sql} IS o.{prefix}{i}"))
        };
        let entry: Vec<String> =
            same("v", self.terms.clone()).chain(same("s", scan().collect())).collect();
        format!(
            "SELECT {} FROM (SELECT {} FROM {} WHERE {}) AS o \
             WHERE NOT EXISTS (SELECT 1 FROM {} WHERE {} AND {})",
            list((0..self.table.key.len()).map(|i| format!("o.k{i}"))),
            list(columns),
            self.by_table(),
            self.condition(),
            self.by_index(),
            self.condition(),
            entry.join(" AND ")
        )
    }

    fn keys(&self) -> String {
        list(self.table.key.iter().map(|key| ident(&key.name)))
    }

    fn condition(&self) -> String {
        self.filter.as_deref().map_or_else(|| "true".to_owned(), Self::term)
    }

    /// The table, read by what it is stored by: no index can answer for it.
    fn by_table(&self) -> String {
        match (&self.stored_by, self.table.key_kind) {
            // SQLite lets every index of such a table answer, NOT INDEXED or not.
            (Some(primary), KeyKind::WithoutRowid) => {
                format!("{} INDEXED BY {}", self.table.sql(), ident(primary))
            }
            _ => format!("{} NOT INDEXED", self.table.sql()),
        }
    }

    fn by_index(&self) -> String {
        format!("{} INDEXED BY {}", self.table.sql(), ident(&self.name))
    }
}
