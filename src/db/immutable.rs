//! A database of which nothing beside the file may be written: read as a file that does not change,
//! where that is what it is.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{DbError, Doing, beside};

const REMEDY: &str = "make the folder writable, or look as the user who owns the database";

/// True where `error` says that `SQLite` may not make the files that it needs beside the database.
pub(super) fn is_called_for(error: &DbError) -> bool {
    use rusqlite::ErrorCode as Code;
    let DbError::Sql { source, .. } = error else {
        return false;
    };
    matches!(source.sqlite_error_code(), Some(Code::CannotOpen | Code::ReadOnly))
}

/// Opens `path` as one that nobody writes, after `error`.
///
/// Reading a WAL needs its index, and a journal must be rolled back before anything is read: both
/// are written beside the file. Where neither is there, the file alone holds everything. A WAL
/// without content says the same only where it has no index that somebody may be using.
///
/// # Errors
/// [`DbError::Unusable`] where there is something beside the file that cannot be read.
pub(super) fn open(path: &Path, error: &DbError) -> Result<Connection, DbError> {
    let unusable = |problem: String| {
        Err(DbError::Unusable { path: path.to_owned(), problem, remedy: REMEDY.to_owned() })
    };
    if bytes(path, "-journal").is_some_and(|bytes| bytes > 0) {
        return unusable(format!("a transaction was cut short and must be undone first ({error})"));
    }
    match (bytes(path, "-wal"), bytes(path, "-shm")) {
        (None, _) | (Some(0), None) => {}
        (Some(_), _) => {
            return unusable(format!("its write-ahead log cannot be read ({error})"));
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(uri(path), flags).doing(format!("open {}", path.display()))
}

/// The size of a file beside the database; `None` where there is none.
fn bytes(path: &Path, suffix: &str) -> Option<u64> {
    // One that cannot be looked at cannot be told from one that holds something.
    match std::fs::metadata(beside(path, suffix)) {
        Ok(meta) => Some(meta.len()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(_) => Some(u64::MAX),
    }
}

/// `path` as a URI that says that the file does not change.
fn uri(path: &Path) -> String {
    use std::fmt::Write;
    use std::os::unix::ffi::OsStrExt;

    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut uri = "file://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri + "?immutable=1"
}
