//! A command that did not do what it was asked: the exit code, the message, and what machines get.

use serde_json::{Map, Value, json};

use super::exit;
use crate::db::DbError;
use crate::delta::DeltaError;
use crate::engine::RunError;
use crate::migration::MigrationError;
use crate::phase::PhaseError;
use crate::plan::PlanError;
use crate::throttle::TuningError;
use crate::verify::ProofError;
use crate::write::WriteError;

/// Why a command failed, and the code that it exits with.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What we did, to what, and the remedy.
    pub message: String,
    /// Further keys of the JSON object.
    pub details: Map<String, Value>,
    /// True where the database's file failed and the message does not name it.
    pub of_file: bool,
}

impl Failure {
    /// A failure with exit code `code`.
    #[must_use]
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Map::new(), of_file: false }
    }

    /// A command that does not fit: exit code 2, nothing was written.
    #[must_use]
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(exit::REFUSED, message)
    }

    /// Adds a key to the JSON object.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }

    /// The JSON object: at least `outcome`, `error` and `exit_code`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut object = self.details.clone();
        object.entry("outcome").or_insert_with(|| json!("failed"));
        object.insert("error".to_owned(), json!(self.message));
        object.insert("exit_code".to_owned(), json!(self.code));
        Value::Object(object)
    }
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        Self { of_file: error.is_of_file(), ..Self::new(db_code(&error), error.to_string()) }
    }
}

impl From<MigrationError> for Failure {
    fn from(error: MigrationError) -> Self {
        Self::refused(error.to_string())
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let of_file = matches!(&error, PlanError::Db(error) if error.is_of_file());
        Self { of_file, ..Self::new(plan_code(&error), error.to_string()) }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let of_file = db_error(&error).is_some_and(DbError::is_of_file);
        let failure = Self { of_file, ..Self::new(run_code(&error), message(&error)) };
        match error {
            RunError::Held { migration, owner, host, pid, percent } => failure
                .with("migration", migration)
                .with("owner", owner)
                .with("host", host)
                .with("pid", pid)
                .with("percent", percent),
            RunError::Refused { migration, .. }
            | RunError::Failed { migration, .. }
            | RunError::Unproven { migration, .. } => failure.with("migration", migration),
            RunError::Interrupted { .. }
            | RunError::Db(DbError::Interrupted { .. })
            | RunError::Write(WriteError::Db(DbError::Interrupted { .. })) => {
                failure.with("outcome", "interrupted")
            }
            _ => failure,
        }
    }
}

/// The failure of the database behind that of a job, where there is one.
fn db_error(error: &RunError) -> Option<&DbError> {
    match error {
        RunError::Db(error)
        | RunError::Write(WriteError::Db(error))
        | RunError::Proof(ProofError::Db(error))
        | RunError::Plan(PlanError::Db(error)) => Some(error),
        _ => None,
    }
}

fn message(error: &RunError) -> String {
    match error {
        RunError::Tuning(TuningError::Flag { flag: "records-per-transaction", .. }) => {
            format!(
                "{error} (--lift-limits allows more, for measurements where no peer applies it)"
            )
        }
        _ => error.to_string(),
    }
}

fn db_code(error: &DbError) -> u8 {
    match error {
        DbError::Unusable { .. } => exit::REFUSED,
        DbError::Interrupted { .. } => exit::RESUMABLE,
        _ => exit::FAILED,
    }
}

fn plan_code(error: &PlanError) -> u8 {
    match error {
        PlanError::Db(error) => db_code(error),
        _ => exit::REFUSED,
    }
}

/// What is wrong with the deltas themselves is found before anything is written.
fn delta_code(error: &DeltaError) -> u8 {
    match error {
        DeltaError::Io { .. } | DeltaError::Shape { .. } | DeltaError::Latched { .. } => {
            exit::FAILED
        }
        DeltaError::Busy { .. } => exit::ELSEWHERE,
        DeltaError::Stuck { .. } => exit::RESUMABLE,
        _ => exit::REFUSED,
    }
}

fn phase_code(error: &PhaseError) -> u8 {
    match error {
        PhaseError::Db(error) => db_code(error),
        PhaseError::Io { .. } => exit::FAILED,
        _ => exit::REFUSED,
    }
}

fn run_code(error: &RunError) -> u8 {
    match error {
        RunError::Plan(error) => plan_code(error),
        RunError::Db(error) | RunError::Write(WriteError::Db(error)) => db_code(error),
        RunError::Tuning(_) | RunError::Refused { .. } => exit::REFUSED,
        RunError::Held { .. } | RunError::Write(WriteError::Replaced) => exit::ELSEWHERE,
        RunError::Interrupted { .. } => exit::RESUMABLE,
        RunError::NotProven { .. } | RunError::Unproven { diverged: true, .. } => exit::DIVERGED,
        RunError::Delta(error) => delta_code(error),
        RunError::Phase(error) => phase_code(error),
        RunError::Failed { .. }
        | RunError::Unproven { .. }
        | RunError::Write(_)
        | RunError::Proof(_)
        | RunError::Panicked { .. } => exit::FAILED,
    }
}
