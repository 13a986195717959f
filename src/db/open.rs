//! Opening a database file: what is checked before `SQLite` touches it, and the pragmas that each
//! of our connections has.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::held::{self, Use};
use super::{DbError, Doing, beside, immutable};

/// The first bytes of every database.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads only; `SQLite` itself refuses writes.
    Read,
    /// Reads and writes.
    Write,
}

/// Opens an existing database file. One that is only read may lie where nothing can be written.
///
/// The connection waits at most 250 ms for a lock, so that a caller can look at its cancel flag
/// between tries; keeps at most 8 MiB of pages; treats a name in double quotes that is no column
/// as the error that it is; and calls no function named by the schema that is not innocuous.
///
/// # Errors
/// [`DbError::Unusable`] when the file is missing, no database, encrypted, truncated, or not
/// writable although `access` asks for it; or where something beside it cannot be read. Nothing is
/// written in any of these cases.
pub fn open(path: &Path, access: Access) -> Result<Connection, DbError> {
    check_file(path, access)?;
    match connect(path, access) {
        Err(error) if access == Access::Read && immutable::is_called_for(&error) => {
            configure(immutable::open(path, &error)?, path)
        }
        other => other,
    }
}

fn connect(path: &Path, access: Access) -> Result<Connection, DbError> {
    let flags = match access {
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    let conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .doing(format!("open {}", path.display()))?;
    configure(conn, path)
}

fn configure(conn: Connection, path: &Path) -> Result<Connection, DbError> {
    conn.busy_timeout(Duration::from_millis(250)).doing("set the busy timeout")?;
    for off in [DbConfig::SQLITE_DBCONFIG_DQS_DDL, DbConfig::SQLITE_DBCONFIG_DQS_DML] {
        conn.set_db_config(off, false).doing("configure the connection")?;
    }
    conn.execute_batch("PRAGMA cache_size = -8192; PRAGMA synchronous = NORMAL;")
        .doing("configure the connection")?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
        .doing(format!("read the schema of {}", path.display()))?;
    Ok(conn)
}

/// True where the file at `path` is an `SQLite` database, by its first bytes.
///
/// # Errors
/// When it cannot be read.
pub fn is_database(path: &Path) -> Result<bool, DbError> {
    let io = |doing| move |source| DbError::Io { path: path.to_owned(), doing, source };
    let meta = std::fs::metadata(path).map_err(io("look at it"))?;
    if !meta.is_file() {
        return Ok(false);
    }
    let head = held::open(path, Use::Content).and_then(read_head).map_err(io("read it"))?;
    Ok(head.starts_with(MAGIC))
}

fn check_file(path: &Path, access: Access) -> Result<(), DbError> {
    let unusable = |problem: &str, remedy: &str| DbError::Unusable {
        path: path.to_owned(),
        problem: problem.to_owned(),
        remedy: remedy.to_owned(),
    };
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(unusable("no such file", "give the path of the database with --db"));
        }
        Err(source) => {
            return Err(DbError::Io { path: path.to_owned(), doing: "look at it", source });
        }
    };
    if !meta.is_file() {
        return Err(unusable("not a file", "give the path of the database file with --db"));
    }
    let io = |doing| move |source| DbError::Io { path: path.to_owned(), doing, source };
    let file = held::open(path, Use::Content).map_err(io("read it"))?;
    let head = read_head(file).map_err(io("read it"))?;
    if head.len() < 100 || !head.starts_with(MAGIC) {
        return Err(unusable(
            "not an SQLite database (or an encrypted one)",
            "dotfill works on unencrypted SQLite files only",
        ));
    }
    // While a WAL holds pages, a checkpoint may be under way or was cut short: the header can be
    // ahead of the file, and the WAL has what is missing. The order of the two looks matters.
    if !has_wal(path) {
        let file_bytes = file.metadata().map_err(io("look at it"))?.len();
        check_length(&head, file_bytes).map_err(|problem| {
            unusable(&problem, "restore the file from a backup or from another replica")
        })?;
    }
    if access == Access::Write && !writable(path) {
        return Err(unusable(
            "the file or its folder is not writable",
            "run dotfill as the user who owns the database, on a writable file system",
        ));
    }
    Ok(())
}

/// The first hundred bytes; none of a shorter file.
fn read_head(file: &File) -> std::io::Result<Vec<u8>> {
    let mut head = vec![0; 100];
    match file.read_exact_at(&mut head, 0) {
        Ok(()) => Ok(head),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// True where a WAL that is not empty lies beside the file.
fn has_wal(path: &Path) -> bool {
    std::fs::metadata(beside(path, "-wal")).is_ok_and(|meta| meta.len() > 0)
}

/// The header's own page count must fit the file; `SQLite` checks that only when it gets there.
fn check_length(head: &[u8], file_bytes: u64) -> Result<(), String> {
    let page = match u16::from_be_bytes([head[16], head[17]]) {
        1 => 65_536,
        n if n >= 512 && n.is_power_of_two() => u64::from(n),
        n => return Err(format!("damaged header: page size {n}")),
    };
    let pages = u64::from(u32::from_be_bytes([head[28], head[29], head[30], head[31]]));
    // The count is valid only where the change counter equals the version-valid-for number.
    if head[24..28] == head[92..96] && pages * page > file_bytes {
        return Err(format!(
            "truncated: the header says {} bytes, the file has {file_bytes}",
            pages * page
        ));
    }
    Ok(())
}

fn writable(path: &Path) -> bool {
    use rustix::fs::{Access as Mode, access};
    // Its folder is where the file is, not where a link to it is.
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = real.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    access(path, Mode::WRITE_OK).is_ok() && access(folder, Mode::WRITE_OK).is_ok()
}
