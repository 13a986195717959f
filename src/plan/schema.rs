//! The SQL that a cluster's schema files need before a migration runs: columns that are to be there on
//! every node, and the tables of a set's new form. Reads the database for the types of keys; writes
//! nothing.

use std::path::Path;

use super::PlanError;
use super::resolve_index::{Found, one_line, resolve_index};
use crate::db::quote::ident;
use crate::db::{self, Access, DbError, Table, environment};
use crate::layout::crsqlite::{self, CrTable};
use crate::layout::or_set::{adds_schema, removes_schema};
use crate::migration::{Change, ColumnChange, Migration, OrSetChange};

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaStatement {
    /// The table that it makes or alters, as the migration file names it.
    pub table: String,
    /// The statement, with the semicolon and a line break. For a column it is what makes one by hand;
    /// a schema file has the column in its CREATE TABLE instead.
    pub sql: String,
    /// True where this database has it already.
    pub exists: bool,
}

/// The statements for `migration`, with keys as the database at `path` has them.
///
/// # Errors
/// [`PlanError::Refused`] where a table is missing or has no usable key.
pub fn schema(path: &Path, migration: &Migration) -> Result<Vec<SchemaStatement>, PlanError> {
    let conn = db::open(path, Access::Read)?;
    if environment(&conn)?.crsqlite_version.is_some() {
        crsqlite::register(&conn)?;
    }
    let mut statements = Vec::new();
    for (index, change) in migration.changes.iter().enumerate() {
        let read = |name: &str| {
            Table::read(&conn, name).map_err(|error| match error {
                DbError::Unusable { problem, remedy, .. } => {
                    PlanError::refused(migration.at(index, "table"), problem, remedy)
                }
                other => other.into(),
            })
        };
        match change {
            Change::Column(change) => statements.push(column(&read(&change.table)?, change)),
            Change::OrSet(change) => {
                let table = read(&change.table)?;
                let replicated = CrTable::find(&conn, &table)?.is_some();
                let exists = |name: &str| Table::read(&conn, name).is_ok();
                let have = (exists(&change.adds), exists(&change.removes));
                statements.extend(set(&table, change, replicated, have));
            }
            Change::Index(change) => {
                let resolved = resolve_index(&conn, migration, index, change)?;
                statements.push(SchemaStatement {
                    table: resolved.target.table.name.clone(),
                    sql: format!("{};\n", one_line(&resolved.target.create())),
                    exists: resolved.found == Found::Same,
                });
            }
        }
    }
    Ok(statements)
}

fn column(table: &Table, change: &ColumnChange) -> SchemaStatement {
    let definition = format!("{} {}", ident(&change.column), change.type_name);
    SchemaStatement {
        table: table.name.clone(),
        sql: format!("ALTER TABLE {} ADD COLUMN {};\n", table.sql(), definition.trim_end()),
        exists: table.column(&change.column).is_some(),
    }
}

fn set(
    table: &Table,
    change: &OrSetChange,
    replicated: bool,
    have: (bool, bool),
) -> [SchemaStatement; 2] {
    let statement = |name: &str, sql: String, exists| SchemaStatement {
        table: name.to_owned(),
        sql: if replicated { format!("{sql}{}", as_crr(name)) } else { sql },
        exists,
    };
    [
        statement(&change.adds, adds_schema(table, &change.adds, replicated), have.0),
        statement(&change.removes, removes_schema(&change.removes, replicated), have.1),
    ]
}

/// What makes a table one of cr-sqlite by hand; Corrosion does so for the tables of its schema files.
fn as_crr(name: &str) -> String {
    format!(
        "-- with cr-sqlite alone (a Corrosion agent does it itself): SELECT crsql_as_crr({});\n",
        db::quote::text(name)
    )
}
