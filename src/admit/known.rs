//! The registry of a database: the sets of the migrations that it knows, and how far each is.

use std::path::Path;

use rusqlite::Connection;

use super::error::AdmitError;
use super::registry::{Elements, Registry, SetEntry};
use crate::db::{Affinity, DbError, Table};
use crate::migration::{Change, Migration, OrSetChange, SetSource};
use crate::state::{self, MigrationRow, ModeRow, Phase};

impl Registry {
    /// Reads what the migrations in the database say. Empty where it has none of sets. One that has
    /// failed or was rolled back says nothing of a set that another one describes.
    ///
    /// # Errors
    /// When the state cannot be read, a table of a set is gone, or two migrations change one set.
    pub fn of_database(conn: &Connection) -> Result<Self, AdmitError> {
        let mut registry = Self::new();
        if !state::exists(conn)? {
            return Ok(registry);
        }
        let mut rows = MigrationRow::all(conn)?;
        rows.sort_by_key(|row| is_taken_back(row.phase));
        for row in rows {
            let migration = Migration::parse(&row.text, Path::new(&row.id)).map_err(|error| {
                refused(
                    conn,
                    format!("migration {}: {error}", row.id),
                    "use the dotfill release that ran it",
                )
            })?;
            let taken_back = is_taken_back(row.phase);
            let mode = if taken_back { ModeRow::default() } else { ModeRow::read(conn, &row.id)? };
            for change in &migration.changes {
                let Change::OrSet(set) = change else { continue };
                let described = registry.sets().any(|known| {
                    known.table.eq_ignore_ascii_case(&set.table)
                        && known.source.eq_ignore_ascii_case(set.source.name())
                });
                if !(taken_back && described) {
                    registry = registry.with_set(entry(conn, &migration, set, mode)?)?;
                }
            }
        }
        Ok(registry)
    }
}

/// True where nothing of a migration is left here.
fn is_taken_back(phase: Phase) -> bool {
    match phase {
        Phase::Failed | Phase::RolledBack => true,
        Phase::Filling
        | Phase::Open
        | Phase::Closed
        | Phase::Applying
        | Phase::Applied
        | Phase::RollingBack => false,
    }
}

fn entry(
    conn: &Connection,
    migration: &Migration,
    set: &OrSetChange,
    mode: ModeRow,
) -> Result<SetEntry, AdmitError> {
    let table = described(conn, migration, &set.table)?;
    Ok(SetEntry {
        migration: migration.id.to_string(),
        table: set.table.clone(),
        source: set.source.name().to_owned(),
        key: table.key.iter().map(|column| column.affinity).collect(),
        elements: elements(conn, migration, &set.source)?,
        epoch: migration.epoch.clone(),
        minimum_client: migration.minimum_client.clone(),
        old_writes: set.old_writes,
        mode,
    })
}

fn elements(
    conn: &Connection,
    migration: &Migration,
    source: &SetSource,
) -> Result<Elements, AdmitError> {
    let (name, column) = match source {
        SetSource::Column { format, .. } => return Ok(Elements::Format(*format)),
        SetSource::Table { table, element, .. } => (table, element),
    };
    // Compaction may have removed it; its elements are then taken as they are.
    let table = match Table::read(conn, name) {
        Err(DbError::Unusable { .. }) => return Ok(Elements::Column(Affinity::Blob)),
        table => table?,
    };
    match table.column(column) {
        Some(found) => Ok(Elements::Column(Affinity::of(&found.type_name, table.strict))),
        None => Err(refused(
            conn,
            format!("migration {}: table {name} has no column {column}", migration.id),
            "put it back, or `dotfill rollback` and `dotfill forget` the migration",
        )),
    }
}

fn described(conn: &Connection, migration: &Migration, name: &str) -> Result<Table, AdmitError> {
    Table::read(conn, name).map_err(|error| match error {
        DbError::Unusable { problem, .. } => refused(
            conn,
            format!("migration {}: {problem}", migration.id),
            "put the table back, or `dotfill rollback` and `dotfill forget` the migration",
        ),
        other => other.into(),
    })
}

/// The database cannot decide operations.
pub(super) fn refused(conn: &Connection, problem: String, remedy: &str) -> AdmitError {
    let db = conn.path().unwrap_or_default().to_owned();
    AdmitError::Refused { db, problem, remedy: remedy.to_owned() }
}
