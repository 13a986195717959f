//! Adding a column to a table of cr-sqlite without its alter: `ALTER TABLE`, then the three triggers
//! with the new column list. No row is read.

use rusqlite::{Connection, OptionalExtension};

use crate::db::quote::{ident, text};
use crate::db::{DbError, Doing, Table};

/// The names and texts of cr-sqlite's triggers for a table, as its version 0.17 writes them.
fn triggers(table: &Table) -> [(String, String); 3] {
    let name = table.name.replace('"', "\"\"");
    let literal = text(&table.name);
    let mut keys: Vec<_> = table.columns.iter().filter(|c| c.key_position > 0).collect();
    keys.sort_by_key(|c| c.key_position);
    let rest: Vec<_> =
        table.columns.iter().filter(|c| c.key_position == 0 && !c.generated).collect();
    let of = |row: &str, columns: &[&crate::db::Column]| {
        columns.iter().map(|c| format!("{row}.{}", ident(&c.name))).collect::<Vec<_>>().join(",")
    };
    let mut changed = vec![of("NEW", &keys), of("OLD", &keys)];
    if !rest.is_empty() {
        changed.extend([of("NEW", &rest), of("OLD", &rest)]);
    }
    let insert = format!(
        "CREATE TRIGGER \"{name}__crsql_itrig\"\n      AFTER INSERT ON \"{name}\" \
         WHEN crsql_internal_sync_bit() = 0\n      BEGIN\n        \
         VALUES (crsql_after_insert({literal}, {}));\n      END",
        of("NEW", &keys)
    );
    let update = format!(
        "CREATE TRIGGER \"{name}__crsql_utrig\"\n      AFTER UPDATE ON \"{name}\" \
         WHEN crsql_internal_sync_bit() = 0\n      BEGIN\n        \
         VALUES (crsql_after_update({literal}, {}));\n      END",
        changed.join(", ")
    );
    let delete = format!(
        "CREATE TRIGGER \"{name}__crsql_dtrig\"\n    AFTER DELETE ON \"{name}\" \
         WHEN crsql_internal_sync_bit() = 0\n    BEGIN\n      \
         VALUES (crsql_after_delete({literal}, {}));\n    END",
        of("OLD", &keys)
    );
    [("itrig", insert), ("utrig", update), ("dtrig", delete)]
        .map(|(suffix, sql)| (format!("{}__crsql_{suffix}", table.name), sql))
}

/// Checks that the table's triggers are those of cr-sqlite 0.17, so that we may re-create them.
///
/// # Errors
/// [`DbError::Unusable`] naming the trigger that differs or is missing.
pub fn check_triggers(conn: &Connection, table: &Table) -> Result<(), DbError> {
    for (name, want) in triggers(table) {
        let found: Option<String> = conn
            .query_row(
                "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = ?1",
                [&name],
                |row| row.get(0),
            )
            .optional()
            .doing("read cr-sqlite's triggers")?;
        if found.as_deref().map(squeeze) != Some(squeeze(&want)) {
            return Err(DbError::Unusable {
                path: conn.path().unwrap_or_default().into(),
                problem: format!(
                    "trigger {} is not what cr-sqlite 0.17 makes for table {}",
                    ident(&name),
                    table.sql()
                ),
                remedy: "add the column with crsql_begin_alter and crsql_commit_alter, then repeat"
                    .to_owned(),
            });
        }
    }
    Ok(())
}

fn squeeze(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Adds a column and re-creates the triggers. The caller holds a write transaction and has called
/// [`check_triggers`].
///
/// # Errors
/// When a statement fails; the transaction is then to be rolled back.
pub fn add_column(conn: &Connection, table: &Table, definition: &str) -> Result<(), DbError> {
    let what = format!("add a column to {}", table.sql());
    conn.execute_batch(&format!("ALTER TABLE {} ADD COLUMN {definition}", table.sql()))
        .doing(&what)?;
    let table = Table::read(conn, &table.name)?;
    for (name, sql) in triggers(&table) {
        let sql = format!("DROP TRIGGER {}; {sql}", ident(&name));
        conn.execute_batch(&sql).doing(&what)?;
    }
    Ok(())
}
