//! The triggers of a closed epoch whose old form is the rows of a child table.

use super::{EpochTriggers, NoteKind, Refusal, Writer, pairs};
use crate::db::quote::{ident, list};

impl EpochTriggers<'_> {
    /// What a local write may not do.
    pub(super) fn rows_refusals<'s>(
        &'s self,
        rows: &'s str,
        element: &str,
        key: &[String],
    ) -> Vec<Refusal<'s>> {
        let quoted = ident(element);
        let new_element = format!("NEW.{quoted}");
        let (old, new) = (of("OLD", key), of("NEW", key));
        let stands = format!(
            "NOT EXISTS (SELECT 1 FROM {} AS c WHERE {} AND c.{quoted} COLLATE BINARY IS \
             {new_element})",
            ident(rows),
            pairs(&of("c", key), &new, "=")
        );
        let differs = old.iter().zip(&new).map(|(old, new)| format!("{new} IS NOT {old}"));
        let differs: Vec<String> =
            differs.chain([format!("{new_element} COLLATE BINARY IS NOT OLD.{quoted}")]).collect();
        let differs = format!("({})", differs.join(" OR "));
        let object = format!(
            "EXISTS (SELECT 1 FROM {} AS t WHERE {})",
            self.target.table.sql(),
            pairs(&self.target.keys_of("t"), &old, "=")
        );
        let insert = vec![format!("{new_element} IS NOT NULL"), self.guard(&new), stands];
        let update = vec![differs, self.guard_either(&old, &new)];
        let delete = vec![self.guard(&old), object];
        let refusal = |what, event, when| Refusal { what, event, table: rows, when };
        vec![
            refusal("insert", "BEFORE INSERT".to_owned(), insert),
            refusal("update", format!("BEFORE {}", update_of(element, key)), update),
            refusal("delete", "BEFORE DELETE".to_owned(), delete),
        ]
    }

    /// What notes rows that come and go by replication.
    pub(super) fn rows_arrivals(&self, rows: &str, element: &str, key: &[String]) -> String {
        let (old, new) = (of("OLD", key), of("NEW", key));
        let merge = Writer::Merge.condition(self.rows_replicated).to_owned();
        let arrived = self.note(NoteKind::Element, &new, &format!("NEW.{}", ident(element)));
        let went = self.note(NoteKind::Touched, &old, "NULL");
        let insert = [merge.clone(), self.guard(&new)];
        let update = [merge.clone(), self.guard_either(&old, &new)];
        let delete = [merge, self.guard(&old)];
        let after = format!("AFTER {}", update_of(element, key));
        self.trigger("arrived_insert", "AFTER INSERT", rows, &insert, &arrived)
            + &self.trigger("arrived_update", &after, rows, &update, &format!("{went}{arrived}"))
            + &self.trigger("arrived_delete", "AFTER DELETE", rows, &delete, &went)
    }
}

/// The key columns of a row of the child table.
fn of(row: &str, key: &[String]) -> Vec<String> {
    key.iter().map(|name| format!("{row}.{}", ident(name))).collect()
}

fn update_of(element: &str, key: &[String]) -> String {
    let columns = key.iter().map(String::as_str).chain([element]);
    format!("UPDATE OF {}", list(columns.map(ident)))
}
