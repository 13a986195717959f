//! Why a job failed. What it has committed stays, and the same command continues from there.

use crate::db::DbError;
use crate::delta::DeltaError;
use crate::phase::PhaseError;
use crate::plan::PlanError;
use crate::throttle::TuningError;
use crate::verify::ProofError;
use crate::write::WriteError;

/// A failure of a job, as a decision for its caller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The migration cannot be run here; nothing was written.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The options are wrong; nothing was written.
    #[error(transparent)]
    Tuning(#[from] TuningError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A batch could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Delta segments are damaged, foreign, or cannot be written or read.
    #[error(transparent)]
    Delta(#[from] DeltaError),
    /// A file of the fleet, or the state of a migration, does not fit.
    #[error(transparent)]
    Phase(#[from] PhaseError),
    /// A proof could not be made.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// Somebody else runs this migration; nothing was written.
    #[error(
        "migration {migration} is being run by {owner} ({percent:.1} % done); watch it with \
         `dotfill status`, stop it with `dotfill stop {migration}`, or wait with \
         `dotfill wait {migration}`"
    )]
    Held {
        /// The migration.
        migration: String,
        /// `host:pid` of the runner.
        owner: String,
        /// The runner's host.
        host: String,
        /// The runner's process.
        pid: i64,
        /// How far it is, of 100.
        percent: f64,
    },
    /// The migration has failed for good, here or in the process that ran it.
    #[error("migration {migration} has failed: {message}")]
    Failed {
        /// The migration.
        migration: String,
        /// The row, the reason, and what was taken back; the same for everybody.
        message: String,
    },
    /// A recorded proof was made again, and rows do not hold what it said.
    #[error(
        "migration {migration}: {rows} rows do not hold the derived value{}; {remedy}",
        such_as(example.as_deref())
    )]
    Unproven {
        /// The migration.
        migration: String,
        /// How many rows.
        rows: u64,
        /// One of them, where one is known.
        example: Option<String>,
        /// True where each of them is known to be ours: the replica has diverged.
        diverged: bool,
        /// What to do.
        remedy: String,
    },
    /// The command does not fit the state of the migration; nothing was written.
    #[error("migration {migration}: {problem}; {remedy}")]
    Refused {
        /// The migration.
        migration: String,
        /// What does not fit.
        problem: String,
        /// What to do instead.
        remedy: String,
    },
    /// A signal came before anything was written, or where nothing ever is.
    #[error("interrupted while {doing}; nothing was written, the same command begins again")]
    Interrupted {
        /// What it was doing.
        doing: &'static str,
    },
    /// Rows were found again and again that are ours and do not hold the derived value.
    #[error(
        "{rows} rows of {table} still differ from the derived value after {rounds} rounds, for \
         example ({example}); is another program writing the column without triggers?"
    )]
    NotProven {
        /// The table.
        table: String,
        /// How many rows.
        rows: u64,
        /// One of them.
        example: String,
        /// Rounds of deriving and proving.
        rounds: u32,
    },
    /// A thread of ours panicked: a defect of dotfill. What was committed is sound.
    #[error("a thread of dotfill panicked while {doing}; please report this with the log")]
    Panicked {
        /// What it was doing.
        doing: &'static str,
    },
}

impl RunError {
    pub(crate) fn refused(
        migration: &str,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Refused {
            migration: migration.to_owned(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}

fn such_as(example: Option<&str>) -> String {
    example.map_or_else(String::new, |example| format!(", for example ({example})"))
}
