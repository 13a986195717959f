//! What ends an admission. What one operation did wrong is a decision, not an error.

use super::registry::RegistryError;
use crate::db::DbError;

/// A failure of admission. What was committed before it stays decided, and the same operations can
/// be fed again: they are decided as before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdmitError {
    /// The database failed; the batch was rolled back.
    #[error(transparent)]
    Db(#[from] DbError),
    /// Two migrations contradict each other; nothing was decided.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The database cannot decide operations; nothing was decided.
    #[error("{db}: {problem}; {remedy}")]
    Refused {
        /// The database.
        db: String,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
    /// What an earlier admission left in the database is not what it wrote.
    #[error("{table}: row {row} cannot be read ({problem}); restore the file from a backup")]
    Damaged {
        /// The table.
        table: &'static str,
        /// The row.
        row: i64,
        /// What is wrong.
        problem: String,
    },
}
