//! The triggers that note objects whose old form or existence changed, and the side tables.
//!
//! # Invariants
//! As in [`crate::layout::note_schema`]: a trigger of ours inserts key values into an ordinary table
//! without constraints, and does nothing else; it cannot fail and evaluates nothing of the migration
//! file.

use super::{OldForm, SetTarget};
use crate::db::quote::{ident, list};

/// What the names of the triggers end in.
const TRIGGERS: [&str; 7] =
    ["insert", "source", "key", "delete", "rows_insert", "rows_update", "rows_delete"];

/// The names of the triggers that the change with number `n` may have.
pub fn set_trigger_names(n: i64) -> impl Iterator<Item = String> {
    TRIGGERS.into_iter().map(move |what| format!("_dotfill_{n}_{what}"))
}

/// The statements that create side tables and triggers.
#[must_use]
pub fn set_note_schema(target: &SetTarget) -> String {
    set_note_tables(target) + &set_note_triggers(target, None)
}

/// The statements that create the side tables.
#[must_use]
pub fn set_note_tables(target: &SetTarget) -> String {
    let (dirty, frontier) = (target.dirty_table(), target.frontier_table());
    let declared = target.side_declarations();
    format!(
        "CREATE TABLE {dirty} (id INTEGER PRIMARY KEY, {declared});\n\
         CREATE INDEX {dirty}_key ON {dirty} ({});\n\
         CREATE TABLE {frontier} (one INTEGER PRIMARY KEY CHECK (one = 1), {declared});\n",
        list(target.side_keys())
    )
}

/// The statements that create the triggers; keys in the table `except` are not noted.
#[must_use]
pub fn set_note_triggers(target: &SetTarget, except: Option<&str>) -> String {
    let mut sql = String::new();
    let trigger =
        |target: &SetTarget, what, event: &str, table: &str, rows: &[&str], keys: &[String]| {
            trigger(target, what, event, table, rows, keys, except)
        };
    let table = &target.table.name;
    let keys = target.keys();
    sql.push_str(&trigger(target, "insert", "INSERT", table, &["NEW"], &keys));
    sql.push_str(&trigger(target, "delete", "DELETE", table, &["OLD"], &keys));
    let of_key = format!("UPDATE OF {}", list(keys.iter().cloned()));
    sql.push_str(&trigger(target, "key", &of_key, table, &["OLD", "NEW"], &keys));
    match &target.old {
        OldForm::Column { column, .. } => {
            let of_source = format!("UPDATE OF {}", ident(column));
            sql.push_str(&trigger(target, "source", &of_source, table, &["NEW"], &keys));
        }
        OldForm::Rows { table, element, key } => {
            let keys: Vec<String> = key.iter().map(|name| ident(name)).collect();
            let of = keys.iter().cloned().chain([ident(element)]);
            let of = format!("UPDATE OF {}", list(of));
            sql.push_str(&trigger(target, "rows_insert", "INSERT", table, &["NEW"], &keys));
            sql.push_str(&trigger(target, "rows_update", &of, table, &["OLD", "NEW"], &keys));
            sql.push_str(&trigger(target, "rows_delete", "DELETE", table, &["OLD"], &keys));
        }
    }
    sql
}

/// The statements that drop the triggers, whether or not they exist.
#[must_use]
pub fn set_note_triggers_drop(n: i64) -> String {
    set_trigger_names(n).map(|name| format!("DROP TRIGGER IF EXISTS {name};\n")).collect()
}

/// The statements that drop triggers and side tables, whether or not they exist.
#[must_use]
pub fn set_note_schema_drop(n: i64) -> String {
    format!(
        "{}DROP TABLE IF EXISTS _dotfill_dirty_{n};\nDROP TABLE IF EXISTS _dotfill_frontier_{n};\n",
        set_note_triggers_drop(n)
    )
}

fn trigger(
    target: &SetTarget,
    what: &str,
    event: &str,
    table: &str,
    rows: &[&str],
    keys: &[String],
    except: Option<&str>,
) -> String {
    let notes = rows.iter().map(|row| {
        let values: Vec<String> = keys.iter().map(|key| format!("{row}.{key}")).collect();
        let into = format!("  INSERT INTO {} ({})", target.dirty_table(), list(target.side_keys()));
        let Some(except) = except else {
            return format!("{into} VALUES ({});\n", list(values));
        };
        let sides = target.side_keys();
        let same: Vec<_> = sides.iter().zip(&values).map(|(s, v)| format!("{s} = {v}")).collect();
        format!(
            "{into} SELECT {} WHERE NOT EXISTS (SELECT 1 FROM {except} WHERE {});\n",
            list(values),
            same.join(" AND ")
        )
    });
    format!(
        "CREATE TRIGGER _dotfill_{}_{what} AFTER {event} ON {} \
         WHEN NOT EXISTS (SELECT 1 FROM _dotfill_self) BEGIN\n{}END;\n",
        target.n,
        ident(table),
        notes.collect::<String>()
    )
}
