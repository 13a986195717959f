//! The triggers of a closed epoch whose old form is a text in a column of the objects' table.

use super::{EpochTriggers, NoteKind, Refusal, Writer, pairs};
use crate::db::quote::ident;
use crate::migration::SetFormat;

impl EpochTriggers<'_> {
    /// What a local write may not do.
    pub(super) fn column_refusals(&self, column: &str, format: SetFormat) -> Vec<Refusal<'_>> {
        let (table, column) = (&self.target.table.name, ident(column));
        let (old, new) = (self.target.keys_of("OLD"), self.target.keys_of("NEW"));
        let stands = format!(
            "NOT EXISTS (SELECT 1 FROM {} AS t WHERE {} AND t.{column} COLLATE BINARY IS \
             NEW.{column})",
            ident(table),
            pairs(&self.target.keys_of("t"), &new, "=")
        );
        let mut insert = self.empty_sources(&column, format);
        insert.extend([self.guard(&new), stands]);
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

    /// The conditions that an inserted source is none of those that say nothing.
    fn empty_sources(&self, column: &str, format: SetFormat) -> Vec<String> {
        let mut empty = vec!["''".to_owned()];
        if format == SetFormat::Json {
            empty.push("'[]'".to_owned());
        }
        let source = self.target.table.column(self.target.source());
        empty.extend(source.and_then(|c| c.default.clone()).filter(|sql| is_literal(sql)));
        std::iter::once(format!("NEW.{column} IS NOT NULL"))
            .chain(empty.iter().map(|sql| format!("NEW.{column} COLLATE BINARY IS NOT {sql}")))
            .collect()
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
