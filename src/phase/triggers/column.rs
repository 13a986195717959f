//! The triggers of a closed epoch whose old form is a text in a column of the objects' table.

use super::{EpochTriggers, NoteKind, Refusal, Writer, pairs};
use crate::db::quote::ident;
use crate::migration::SetFormat;

impl EpochTriggers<'_> {
    /// What a local write may not do.
    pub(super) fn column_refusals(&self, column: &str, format: SetFormat) -> Vec<Refusal<'_>> {
        let (table, column) = (&self.target.table.name, ident(column));
        let (old, new) = (self.target.keys_of("OLD"), self.target.keys_of("NEW"));
        let row = format!(
            "EXISTS (SELECT 1 FROM {} AS t WHERE {}",
            ident(table),
            pairs(&self.target.keys_of("t"), &new, "=")
        );
        let insert = vec![
            self.says_something(&column),
            self.guard(&new),
            format!("NOT {row} AND t.{column} COLLATE BINARY IS NEW.{column})"),
            format!("({} OR {row}))", is_no_empty_set(&column, format)),
        ];
        let update = vec![changed(&column), self.guard_either(&old, &new)];
        vec![
            Refusal { what: "insert", event: "BEFORE INSERT".to_owned(), table, when: insert },
            Refusal {
                what: "update",
                event: format!("BEFORE UPDATE OF {column}"),
                table,
                when: update,
            },
        ]
    }

    /// What notes a text that arrives by replication.
    pub(super) fn column_arrivals(&self, column: &str) -> String {
        let (table, column) = (&self.target.table.name, ident(column));
        let replicated = self.target.is_replicated();
        let new = self.target.keys_of("NEW");
        let merge = Writer::Merge.condition(replicated).to_owned();
        // An application that replicates plain tables may write whole rows.
        let changed = if replicated { String::new() } else { changed(&column) };
        let insert = [merge.clone(), self.guard(&new)];
        let update = [merge, changed, self.guard(&new)];
        let note = self.note(NoteKind::Text, &new, &format!("NEW.{column}"));
        let of = format!("AFTER UPDATE OF {column}");
        self.trigger("arrived_insert", "AFTER INSERT", table, &insert, &note)
            + &self.trigger("arrived_update", &of, table, &update, &note)
    }

    /// The condition that an inserted source is not the one of a statement that does not name it.
    fn says_something(&self, column: &str) -> String {
        let source = self.target.table.column(self.target.source());
        let default = source.and_then(|c| c.default.clone()).filter(|sql| is_literal(sql));
        let default = default
            .map(|sql| format!(" AND NEW.{column} COLLATE BINARY IS NOT {sql}"))
            .unwrap_or_default();
        format!("NEW.{column} IS NOT NULL{default}")
    }
}

fn changed(column: &str) -> String {
    format!("NEW.{column} COLLATE BINARY IS NOT OLD.{column}")
}

/// True for a default that is a literal: NULL, a number, a string, a blob.
fn is_literal(sql: &str) -> bool {
    let sql = sql.trim();
    let quoted = |sql: &str| {
        sql.len() >= 2
            && sql.starts_with('\'')
            && sql.ends_with('\'')
            && !sql[1..sql.len() - 1].replace("''", "").contains('\'')
    };
    let number = sql.strip_prefix(['-', '+']).unwrap_or(sql);
    let numeric = number.starts_with(|c: char| c.is_ascii_digit())
        && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let blob = sql.strip_prefix(['x', 'X']).is_some_and(|rest| {
        quoted(rest) && rest[1..rest.len() - 1].bytes().all(|b| b.is_ascii_hexdigit())
    });
    sql.eq_ignore_ascii_case("NULL") || quoted(sql) || numeric || blob
}

/// The condition that an inserted source is not the empty set, which a new object may have.
fn is_no_empty_set(column: &str, format: SetFormat) -> String {
    let one = |sql: &str| format!("NEW.{column} COLLATE BINARY IS NOT {sql}");
    match format {
        SetFormat::Json => format!("({} AND {})", one("''"), one("'[]'")),
        SetFormat::Csv | SetFormat::Lines => one("''"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_literals_go_into_a_trigger() {
        for sql in ["NULL", "'[]'", "''", "'it''s'", "0", "-1.5", "x'00ff'"] {
            assert!(is_literal(sql), "{sql}");
        }
        for sql in ["CURRENT_TIMESTAMP", "json('[]')", "'a' || 'b'", "(1)", "1+1", "x'zz'", "'", ""]
        {
            assert!(!is_literal(sql), "{sql}");
        }
    }
}
