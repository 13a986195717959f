//! Why a batch was not written. Its transaction was rolled back in every case.

use crate::db::DbError;
use crate::scan::or_set::SetError;

/// A failure of the writer, as a decision for its caller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// Somebody else has taken the lease: stop, write nothing more.
    #[error("another dotfill process has taken over this migration; this one wrote nothing more")]
    Replaced,
    /// The schema changed under us: look again, then go on.
    #[error("the schema of the database changed while the job was running")]
    SchemaChanged,
    /// The database refuses a value that another replica has.
    #[error(
        "table {table}, row ({key}) refuses its value from the deltas: {message}; correct what \
         stands in its way here, then repeat the command: it continues where it stopped"
    )]
    Value {
        /// The table.
        table: String,
        /// The key, as SQL literals.
        key: String,
        /// What `SQLite` said.
        message: String,
    },
    /// The old form of a set could not be read, or holds something that is no element.
    #[error(transparent)]
    Set(Box<SetError>),
    /// An index cannot be built, or is not what its table holds.
    #[error("index {index} of table {table}: {problem}")]
    Index {
        /// The index.
        index: String,
        /// The table.
        table: String,
        /// What stands in its way, with the remedy.
        problem: String,
    },
    /// The expression or a constraint failed for one row.
    #[error(
        "table {table}, row ({key}): {message}; correct the row or the expression, or set \
         on_error = \"skip\", then repeat the command (`run` with --retry)"
    )]
    Row {
        /// The table.
        table: String,
        /// The key, as SQL literals.
        key: String,
        /// What `SQLite` said.
        message: String,
    },
}

impl From<SetError> for WriteError {
    fn from(error: SetError) -> Self {
        match error {
            SetError::Db(error) => Self::Db(error),
            malformed @ SetError::Malformed { .. } => Self::Set(Box::new(malformed)),
        }
    }
}
