//! Why a migration cannot be planned. Nothing was written when one of these is returned.

use crate::db::DbError;
use crate::migration::MigrationError;

/// A refusal, or a failure while looking.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The migration file is wrong.
    #[error(transparent)]
    Migration(#[from] MigrationError),
    /// The database cannot be used, or failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The migration does not fit the database.
    #[error("{at}: {problem}; {remedy}")]
    Refused {
        /// File and line of what is refused.
        at: String,
        /// What does not fit.
        problem: String,
        /// What the operator can do.
        remedy: String,
    },
}

impl PlanError {
    /// A refusal.
    pub(crate) fn refused(
        at: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Refused { at: at.into(), problem: problem.into(), remedy: remedy.into() }
    }
}
