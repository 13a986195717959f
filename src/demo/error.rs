//! Why the demo could not be carried out.

use std::path::PathBuf;

use crate::db::DbError;
use crate::engine::RunError;
use crate::migration::MigrationError;
use crate::plan::PlanError;

/// A failure of the demo.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// A database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The migration could not be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The migration could not be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The migration file was not read as it was written.
    #[error(transparent)]
    Migration(#[from] MigrationError),
    /// The file system failed.
    #[error("cannot {doing} {}: {source}; --folder names another place", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What we were doing.
        doing: &'static str,
        /// The system's error.
        source: std::io::Error,
    },
    /// The folder holds databases already; nothing was written.
    #[error("{} is there already; give --folder an empty or a new folder", path.display())]
    Occupied {
        /// The file that would have been overwritten.
        path: PathBuf,
    },
    /// The disk is too small; nothing was written.
    #[error(
        "{rows} rows need about {need_bytes} bytes in {}, and {free_bytes} are free; name another \
         place with --folder, or fewer rows with --rows",
        folder.display()
    )]
    NoRoom {
        /// Rows that were asked for.
        rows: u64,
        /// Bytes that they take.
        need_bytes: u64,
        /// Bytes that are free.
        free_bytes: u64,
        /// The folder.
        folder: PathBuf,
    },
    /// Somebody asked it to stop.
    #[error("the demo was interrupted; `dotfill demo` begins anew")]
    Interrupted,
}
