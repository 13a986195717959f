//! The index that a migration file asks for, as SQL. Owns the text; asks no server.

use crate::db::quote;
use crate::migration::{IndexChange, IndexTerms, OnFailure};

/// The longest name that `PostgreSQL` keeps, in bytes; it cuts off the rest without an error.
const NAME_BYTES_MAX: usize = 63;

/// An index as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The index, unquoted.
    pub name: String,
    /// The table, as the file names it: `table`, or `schema.table`.
    pub table: String,
    /// Each term as SQL: a quoted column, or an expression in parentheses.
    pub terms: Vec<String>,
    /// The condition of a partial index, as SQL.
    pub filter: Option<String>,
    /// Whether two rows may not have the same terms.
    pub unique: bool,
    /// Whether what a failed build has left is removed.
    pub reverts: bool,
    /// `FILE:LINE` of the change.
    pub at: String,
}

impl Wanted {
    /// Reads a change.
    #[must_use]
    pub fn of(change: &IndexChange, at: String) -> Self {
        let terms = match &change.terms {
            IndexTerms::Columns(names) => names.iter().map(|name| quote::ident(name)).collect(),
            // A line break, because an expression may end in a comment.
            IndexTerms::Expressions(texts) => {
                texts.iter().map(|text| format!("({text}\n)")).collect()
            }
        };
        Self {
            name: change.name.clone(),
            table: change.table.clone(),
            terms,
            filter: change.filter.clone(),
            unique: change.unique,
            reverts: change.on_failure == OnFailure::Revert,
            at,
        }
    }

    /// Why no server could make this index under this name; `None` where nothing is wrong.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let long =
            [&self.name, &self.table].into_iter().find(|name| name.len() > NAME_BYTES_MAX)?;
        let parts_fit = long.split('.').all(|part| part.len() <= NAME_BYTES_MAX);
        if *long == self.table && parts_fit {
            return None;
        }
        Some(format!(
            "the name {long:?} has {} bytes, and PostgreSQL keeps {NAME_BYTES_MAX}; choose a \
             shorter one",
            long.len()
        ))
    }

    /// The statement that makes it on `table`, which is quoted. `how` is put after INDEX.
    #[must_use]
    pub fn create(&self, how: &str, table: &str) -> String {
        let unique = if self.unique { "UNIQUE " } else { "" };
        let terms = self.terms.join(", ");
        let filter = self.filter.as_ref().map(|text| format!(" WHERE ({text}\n)"));
        format!(
            "CREATE {unique}INDEX {how}{} ON {table} ({terms}){}",
            quote::ident(&self.name),
            filter.unwrap_or_default()
        )
    }

    /// The statement that lists keys which more than one row of `table` has: the terms as text, and
    /// how many rows have them. Rows with a NULL among their terms are never equal.
    #[must_use]
    pub fn duplicates(&self, table: &str, limit: u32) -> String {
        let texts: Vec<String> = self.terms.iter().map(|term| format!("({term})::text")).collect();
        let filled: Vec<String> =
            self.terms.iter().map(|term| format!("({term}) IS NOT NULL")).collect();
        let filter = self.filter.as_ref().map(|text| format!(" AND ({text}\n)"));
        format!(
            "SELECT ARRAY[{}] AS terms, count(*) AS held FROM {table} WHERE {}{} GROUP BY {} \
             HAVING count(*) > 1 ORDER BY 2 DESC, 1 LIMIT {limit}",
            texts.join(", "),
            filled.join(" AND "),
            filter.unwrap_or_default(),
            self.terms.join(", "),
        )
    }

    /// Names what is wanted, so that what was said of another definition is not believed of this
    /// one: 32 hexadecimal digits of the BLAKE3 of the statement.
    #[must_use]
    pub fn digest(&self) -> String {
        let statement = self.create("", &quote::ident(&self.table));
        blake3::hash(statement.as_bytes()).to_hex()[..32].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn wanted() -> Wanted {
        Wanted {
            name: "users_email".to_owned(),
            table: "users".to_owned(),
            terms: vec!["\"tenant\"".to_owned(), "(lower(email) -- as typed\n)".to_owned()],
            filter: Some("gone IS NULL".to_owned()),
            unique: true,
            reverts: true,
            at: "m.toml:3".to_owned(),
        }
    }

    #[test]
    fn the_statement_quotes_names_and_survives_comments() {
        assert_eq!(
            wanted().create("CONCURRENTLY ", "\"app\".\"users\""),
            "CREATE UNIQUE INDEX CONCURRENTLY \"users_email\" ON \"app\".\"users\" (\"tenant\", \
             (lower(email) -- as typed\n)) WHERE (gone IS NULL\n)"
        );
    }

    #[test]
    fn duplicates_are_looked_for_as_the_index_does() {
        let sql = wanted().duplicates("\"users\"", 5);
        assert!(sql.contains("(\"tenant\") IS NOT NULL AND ((lower(email) -- as typed\n)) IS NOT"));
        assert!(sql.contains(" AND (gone IS NULL\n) GROUP BY \"tenant\", (lower(email)"));
        assert!(sql.ends_with("LIMIT 5"));
    }

    #[test]
    fn another_definition_has_another_digest() {
        let other = Wanted { unique: false, ..wanted() };
        assert_ne!(other.digest(), wanted().digest());
        assert_eq!(Wanted { at: "n.toml:9".to_owned(), ..wanted() }.digest(), wanted().digest());
    }

    #[test]
    fn a_name_that_would_be_cut_off_is_a_problem() {
        assert_eq!(wanted().problem(), None);
        let long = Wanted { name: "x".repeat(64), ..wanted() };
        assert!(long.problem().is_some_and(|text| text.contains("64 bytes")));
        let qualified = format!("{}.{}", "s".repeat(40), "t".repeat(40));
        assert_eq!(Wanted { table: qualified, ..wanted() }.problem(), None);
    }
}
