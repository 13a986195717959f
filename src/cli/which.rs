//! Which migration an argument names: a migration file, or an id that the database knows.

use std::path::Path;

use super::Failure;
use super::args::OneArgs;
use crate::db::{self, Access};
use crate::migration::{Migration, MigrationId};
use crate::state::{self, MigrationRow};

/// The id that `argument` names.
///
/// # Errors
/// When it names a file that is no migration, or is neither a file nor an id.
pub fn id(argument: &str) -> Result<String, Failure> {
    if is_id(argument) {
        return Ok(argument.to_owned());
    }
    Ok(Migration::load(Path::new(argument))?.id.to_string())
}

/// The migration that the arguments name; for an id, the file as it was when the database first
/// ran it.
///
/// # Errors
/// When the file is no migration, or the database does not know the id.
pub fn migration(one: &OneArgs) -> Result<Migration, Failure> {
    let path = Path::new(&one.migration);
    if !is_id(&one.migration) {
        return Ok(Migration::load(path)?);
    }
    let conn = db::open(&one.db.db, Access::Read)?;
    let row = if state::exists(&conn)? { MigrationRow::read(&conn, &one.migration)? } else { None };
    match row {
        Some(row) => Ok(Migration::parse(&row.text, path)?),
        None => Err(unknown(&one.migration, &one.db.db)),
    }
}

/// Says that a database does not know a migration.
#[must_use]
pub fn unknown(id: &str, db: &Path) -> Failure {
    let db = db.display();
    Failure::refused(format!(
        "migration {id}: {db} does not know it; `dotfill status --db {db}` lists the migrations \
         of a database, and `dotfill run FILE --db {db}` begins one"
    ))
    .with("migration", id)
}

/// True where `argument` can be an id and is no file.
fn is_id(argument: &str) -> bool {
    MigrationId::new(argument).is_ok() && !Path::new(argument).is_file()
}
