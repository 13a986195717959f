//! What can go wrong with modes, fleets and epochs before anything is written.

use std::path::PathBuf;

use crate::db::DbError;

/// A failure of a phase, as a decision for its caller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PhaseError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A file of the fleet cannot be read or written.
    #[error("cannot {doing} {}: {source}; {remedy}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What we were doing to it.
        doing: &'static str,
        /// The system's error.
        source: std::io::Error,
        /// What the operator can do.
        remedy: String,
    },
    /// A file of the fleet does not say what it should.
    #[error("{}: {problem}; {remedy}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What the operator can do.
        remedy: String,
    },
    /// The command does not fit the migration or its state; nothing was written.
    #[error("migration {migration}: {problem}; {remedy}")]
    Refused {
        /// The migration.
        migration: String,
        /// What does not fit.
        problem: String,
        /// What to do instead.
        remedy: String,
    },
}

impl PhaseError {
    pub(crate) fn refused(
        migration: &str,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (problem, remedy) = (problem.into(), remedy.into());
        Self::Refused { migration: migration.to_owned(), problem, remedy }
    }
}
