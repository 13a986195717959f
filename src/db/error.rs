//! What can go wrong with the database file itself. Knows nothing of migrations.

use std::path::PathBuf;

/// A failure of the database, with what we were doing to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// The file is not one that we can work on; nothing was written.
    #[error("{}: {problem}; {remedy}", path.display())]
    Unusable {
        /// The file named by the caller.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What the operator can do.
        remedy: String,
    },
    /// A statement failed. The transaction it belonged to was rolled back.
    #[error("{doing}: {source}{}", remedy_for(source))]
    Sql {
        /// What we were doing, in the operator's words.
        doing: String,
        /// `SQLite`'s own error.
        source: rusqlite::Error,
    },
    /// The file system failed beside `SQLite`.
    #[error("{}: cannot {doing}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What we were doing.
        doing: &'static str,
        /// The system's error.
        source: std::io::Error,
    },
    /// A signal came while somebody else held the write lock.
    #[error(
        "{doing}: interrupted by a signal while another connection held the write lock; the same \
         command continues"
    )]
    Interrupted {
        /// What we were doing.
        doing: String,
    },
    /// Somebody else holds the write lock for longer than we were told to wait.
    #[error(
        "{doing}: another connection has held the write lock for {waited_ms} ms; \
         find it with `dotfill doctor`, then repeat the command"
    )]
    Busy {
        /// What we were doing.
        doing: String,
        /// How long we waited.
        waited_ms: u128,
    },
}

impl DbError {
    /// True when `SQLite` says that somebody else holds a lock: worth another try.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Busy { .. } => true,
            Self::Sql { source, .. } => is_busy(source),
            _ => false,
        }
    }

    /// True when the file or the disk failed, and not what was asked of it: the message wants the
    /// name of the database, which its statements do not know.
    #[must_use]
    pub fn is_of_file(&self) -> bool {
        use rusqlite::ErrorCode as Code;
        let Self::Sql { source, .. } = self else { return false };
        matches!(
            source.sqlite_error_code(),
            Some(
                Code::SystemIoFailure
                    | Code::DiskFull
                    | Code::CannotOpen
                    | Code::ReadOnly
                    | Code::DatabaseCorrupt
                    | Code::NotADatabase
                    | Code::FileLockingProtocolFailed
            )
        )
    }

    /// True when one row's expression or constraint failed, as opposed to the file or the disk.
    #[must_use]
    pub fn is_row_error(&self) -> bool {
        matches!(self, Self::Sql { source, .. } if is_row_error(source))
    }
}

/// Adds what was being done to a result of `SQLite`.
pub trait Doing<T> {
    /// Names the action that failed.
    ///
    /// # Errors
    /// The same failure, named.
    fn doing(self, what: impl Into<String>) -> Result<T, DbError>;
}

impl<T> Doing<T> for Result<T, rusqlite::Error> {
    fn doing(self, what: impl Into<String>) -> Result<T, DbError> {
        self.map_err(|source| DbError::Sql { doing: what.into(), source })
    }
}

/// True for `SQLITE_BUSY` and `SQLITE_LOCKED` in all their extended forms.
#[must_use]
pub fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
    )
}

/// True for errors that belong to one row: its expression, its constraint, its size.
#[must_use]
pub fn is_row_error(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode as Code;
    matches!(
        error.sqlite_error_code(),
        Some(Code::Unknown | Code::ConstraintViolation | Code::TypeMismatch | Code::TooBig)
    )
}

fn remedy_for(error: &rusqlite::Error) -> &'static str {
    use rusqlite::ErrorCode as Code;
    match error.sqlite_error_code() {
        Some(Code::DiskFull) => {
            "; free some disk space and repeat the command: it continues where it stopped"
        }
        Some(Code::SystemIoFailure) => {
            "; the disk or its file system failed: see the system's log, then repeat the command"
        }
        Some(Code::CannotOpen) => {
            "; see that this user may write the file and its folder, then repeat the command"
        }
        Some(Code::DatabaseCorrupt) => {
            "; the file is damaged: restore it from a backup or another replica, and check it \
             with `PRAGMA integrity_check`"
        }
        Some(Code::NotADatabase) => "; the file is encrypted or no SQLite database",
        Some(Code::ReadOnly) => "; make the file and its folder writable for this user",
        _ => "",
    }
}
