//! Connections as every contestant of this process gets them: synchronous NORMAL, 5 s of patience,
//! everything else as `SQLite` comes; with cr-sqlite's extension where the table needs it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::failed::Outcome;

/// Opens a database, loading cr-sqlite's extension if a path is given.
pub fn connect(db: &Path, crsqlite: Option<&Path>) -> Outcome<Connection> {
    let connection = Connection::open(db)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    if let Some(extension) = crsqlite {
        load(&connection, extension)?;
    }
    Ok(connection)
}

#[expect(unsafe_code, reason = "loading an extension runs foreign code; it is the one under test")]
fn load(connection: &Connection, extension: &Path) -> Outcome<()> {
    // SAFETY: the file is the cr-sqlite release named by the caller, which `SQLite` calls by the
    // entry point it was built with; loading is switched off again right after.
    unsafe {
        connection.load_extension_enable()?;
        connection.load_extension(extension, Some("sqlite3_crsqlite_init"))?;
    }
    connection.load_extension_disable()?;
    Ok(())
}

/// Closes a connection the way cr-sqlite asks for.
pub fn close(connection: Connection, crsqlite: Option<&Path>) -> Outcome<()> {
    if crsqlite.is_some() {
        connection.query_row("SELECT crsql_finalize()", [], |_| Ok(()))?;
    }
    connection.close().map_err(|(_, error)| error.into())
}

/// Empties the WAL into the database; how long that took, in seconds.
pub fn checkpoint(connection: &Connection) -> Outcome<f64> {
    let began = Instant::now();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(began.elapsed().as_secs_f64())
}

/// The file that belongs to a database and ends so.
pub fn beside(db: &Path, ending: &str) -> PathBuf {
    let mut name = db.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Removes a database and what belongs to it.
pub fn remove(db: &Path) -> Outcome<()> {
    for ending in ["", "-wal", "-shm"] {
        match std::fs::remove_file(beside(db, ending)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
