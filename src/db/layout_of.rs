//! What kind of database this is: plain `SQLite`, cr-sqlite, or one that Corrosion runs.

use rusqlite::{Connection, OptionalExtension};

use super::{DbError, Doing};

/// What the database belongs to, read from its schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `crsqlite_version` of `crsql_master`, where that table exists.
    pub crsqlite_version: Option<i64>,
    /// True where tables of Corrosion (`__corro_*`) exist.
    pub corrosion: bool,
}

/// Reads what kind of database this is.
///
/// # Errors
/// When the schema cannot be read.
pub fn environment(conn: &Connection) -> Result<Environment, DbError> {
    let named = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name ";
    let count = |rest: &str| {
        conn.query_row(&format!("{named}{rest}"), [], |row| row.get::<_, i64>(0))
            .doing("look for the tables of cr-sqlite and Corrosion")
    };
    let corrosion = count("LIKE '\\_\\_corro\\_%' ESCAPE '\\'")? > 0;
    if count("= 'crsql_master'")? == 0 {
        return Ok(Environment { crsqlite_version: None, corrosion });
    }
    let version = conn
        .query_row(
            "SELECT CAST(value AS INTEGER) FROM crsql_master WHERE key = 'crsqlite_version'",
            [],
            |row| row.get::<_, Option<i64>>(0),
        )
        .optional()
        .doing("read the version of cr-sqlite")?;
    Ok(Environment { crsqlite_version: Some(version.flatten().unwrap_or(0)), corrosion })
}
