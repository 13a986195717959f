//! The table that is migrated, the table of the foreground, and the migration.

use serde_json::{Value, json};

/// Rows in one transaction when the table is loaded.
pub const LOAD_ROWS: u64 = 500;

/// The migration file of the fleet.
pub const MIGRATION: &str = "\
id = \"machines-owner\"

[[change]]
kind = \"column\"
table = \"machines\"
column = \"owner\"
type = \"TEXT\"
value = \"'o-' || app\"
";

/// The value that every row should have, as the naive way computes it.
pub const VALUE: &str = "'o-' || app";

/// The schema file; with the column that is to be filled, or without, and with columns that come
/// later.
pub fn schema(with_owner: bool, later: &[&str]) -> String {
    let mut columns = vec![
        "id TEXT NOT NULL PRIMARY KEY",
        "app TEXT NOT NULL DEFAULT ''",
        "region TEXT NOT NULL DEFAULT ''",
        "state TEXT NOT NULL DEFAULT ''",
        "note TEXT NOT NULL DEFAULT ''",
    ];
    if with_owner {
        columns.push("owner TEXT");
    }
    columns.extend(later);
    format!(
        "CREATE TABLE machines (\n    {}\n);\n\
         CREATE TABLE beats (\n    id INTEGER NOT NULL PRIMARY KEY\n);\n",
        columns.join(",\n    ")
    )
}

/// The key of a row.
pub fn key(row: u64) -> String {
    format!("m{row:07}")
}

/// The statement that inserts row number `row`.
pub fn insert(row: u64) -> Value {
    let regions = ["ams", "fra", "iad", "lhr", "nrt", "ord", "sin", "syd"];
    let region = regions[usize::try_from(row % 8).unwrap_or_default()];
    let mixed = row.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    json!([
        "INSERT INTO machines (id, app, region, state, note) VALUES (?, ?, ?, ?, ?)",
        [
            key(row),
            format!("app-{}", row % 4000),
            region,
            if row.is_multiple_of(3) { "stopped" } else { "started" },
            format!("created by the loader {mixed:016x}"),
        ]
    ])
}
