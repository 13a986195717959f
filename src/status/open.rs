//! Opening a database to look at it, also where nothing beside the file may be written.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::db::{self, Access, DbError, Doing};

/// Opens `path` for reading.
///
/// Reading a WAL needs its index, which `SQLite` creates beside the file. Where it may not, and the
/// WAL is empty or absent, the file alone holds everything, and is read as one that nobody writes.
///
/// # Errors
/// As [`db::open`]; and where the WAL holds something that cannot be read.
pub(super) fn open(path: &Path) -> Result<Connection, DbError> {
    let error = match db::open(path, Access::Read) {
        Err(error) if needs_index(&error) => error,
        other => return other,
    };
    if wal_bytes(path) > 0 {
        return Err(DbError::Unusable {
            path: path.to_owned(),
            problem: format!("its write-ahead log cannot be read ({error})"),
            remedy: "make the folder writable, or look as the user who owns the database"
                .to_owned(),
        });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri(path), flags).doing(format!("open {}", path.display()))
}

fn needs_index(error: &DbError) -> bool {
    use rusqlite::ErrorCode as Code;
    let DbError::Sql { source, .. } = error else {
        return false;
    };
    matches!(source.sqlite_error_code(), Some(Code::CannotOpen | Code::ReadOnly))
}

fn wal_bytes(path: &Path) -> u64 {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    std::fs::metadata(PathBuf::from(name)).map_or(0, |meta| meta.len())
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
