//! Joins the stages into jobs: `run`, `close`, `rollback`. Threads, bounded channels, cancellation
//! and the order of shutting down live here; SQL and formatting do not.

mod against;
mod apply;
mod ask;
mod attach;
mod attest;
mod claim;
mod clear;
mod close;
mod difference;
mod digest;
mod drain;
mod epoch;
mod error;
mod examine;
mod export;
mod fed;
mod fill;
mod index;
mod job;
mod judge;
mod keys;
mod modes;
mod or_set;
mod pace;
mod pipeline;
mod proof;
mod pulse;
mod ready;
mod revert;
mod rows;
mod run;
mod seed;
mod segments;
mod shapes;
mod ship;
mod snapshot;
mod space;
mod subject;
mod verify;
mod wal;
mod walk;
mod watch;
mod writer;

pub use against::{Against, CompareOptions, Comparison, verify_against};
pub use apply::{ApplyReport, Deltas, UnlikeRange, apply};
pub use attach::run;
pub use attest::{Attested, attest};
pub use clear::{ForgetReport, RollbackReport, forget, forget_with, rollback};
pub use close::{CloseReport, close};
pub use difference::{Difference, Held, RowVerdict};
pub use digest::digest;
pub use error::RunError;
pub use export::{Destination, ExportOptions, ExportReport, export};
pub use job::percent;
pub use keys::key_digest;
pub use modes::{
    AckOptions, AckReport, AdvanceOptions, AdvanceReport, BackReport, Compaction, HeldSettled,
    HeldVerdict, acknowledge, advance, is_left, roll_back_to, settle_held,
};
pub use revert::failure;
pub use run::run_with_deltas;
pub use segments::SegmentSize;
pub use snapshot::{Counts as SnapshotCounts, SnapshotReport, SnapshotTo, snapshot};
pub use verify::{ChangeVerdict, IndexVerdict, Verdict, VerifyReport, verify};
pub use watch::LookOptions;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::Serialize;

use crate::split::Position;
use crate::throttle::Tuning;
use crate::transform::or_set::Flaw;
use crate::verify::or_set::SetRangeProof;

/// How a job is to be done.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent choices")]
pub struct RunOptions {
    /// Limits and politeness.
    pub tuning: Tuning,
    /// A file of limits that is read again before each batch.
    pub limits: Option<PathBuf>,
    /// The cr-sqlite extension to load; without it cr-sqlite's tables are written directly.
    pub crsqlite: Option<PathBuf>,
    /// Keep draining noted keys until told to stop.
    pub follow: bool,
    /// Close the migration when it is proven.
    pub close: bool,
    /// Fire triggers of the application even where they write replicated tables.
    pub user_triggers_allowed: bool,
    /// Lifts the most records that a transaction may publish, for measurements.
    pub records_max: Option<u64>,
    /// How long a runner's heartbeat may stand still before it is replaced: ours while we run, and
    /// at least that of another runner. 1 s to 1 h.
    pub lease: Duration,
    /// How large the blocks and segments of deltas are that are written meanwhile.
    pub segments: SegmentSize,
    /// `run` fails with [`RunError::Held`] where another process runs the migration, instead of
    /// waiting for its proof.
    pub no_wait: bool,
    /// A proof that another process has made is made again, from the data.
    pub recheck: bool,
    /// `run` tries again what has failed for good.
    pub retry: bool,
    /// Set from a signal handler: the job ends after its batch, resumable.
    pub cancel: Arc<AtomicBool>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            tuning: Tuning::default(),
            limits: None,
            crsqlite: None,
            follow: false,
            close: false,
            user_triggers_allowed: false,
            records_max: None,
            lease: Duration::from_secs(10),
            segments: SegmentSize::default(),
            no_wait: false,
            recheck: false,
            retry: false,
            cancel: Arc::new(AtomicBool::new(false)),
        }
    }
}

/// Why a job ended before its work was done. All of these are resumable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A signal.
    Interrupted,
    /// `dotfill stop`.
    Requested,
    /// Outside the time window.
    Window(String),
    /// The part of the rows that was asked for is done.
    Stage(String),
    /// A budget was passed.
    Budget(String),
}

/// How a job ended, as in `run --json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Done and proven.
    Complete,
    /// Stopped, resumable.
    Interrupted,
    /// A budget was passed, resumable.
    Budget,
    /// Failed; the report comes with an error.
    Failed,
}

/// What a run did, as in `run --json`. Counts of rows are of this process, except `rows_total`.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// The migration.
    pub migration: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ended early, where it did.
    pub reason: Option<String>,
    /// True where another process has done and proven the work, and this one has waited for it: the
    /// counts of rows written are those of this process, so they are 0.
    pub attached: bool,
    /// Where the migration stands now.
    pub phase: String,
    /// Rows of the tables; of a set the elements of the old form, flawed ones too.
    pub rows_total: u64,
    /// Cells, or adds of a set, that we wrote.
    pub rows_written: u64,
    /// Cells that users own, which were left alone.
    pub rows_user_written: u64,
    /// Rows whose cell held the derived value already.
    pub rows_unchanged: u64,
    /// Rows whose expression failed (`on_error = "skip"`).
    pub rows_skipped: u64,
    /// Keys that others changed and that wait to be derived again.
    pub dirty_rows: u64,
    /// Change records that we published.
    pub change_records_written: u64,
    /// Bytes of those records' fields.
    pub wire_bytes: u64,
    /// Write transactions that carried rows.
    pub batches: u64,
    /// The largest size of the WAL, in bytes.
    pub wal_bytes_max: u64,
    /// Rows in the chain of deltas that was written meanwhile, those that came again included.
    pub delta_rows: u64,
    /// Bytes of that chain, of earlier runs too; 0 where none was written.
    pub delta_bytes: u64,
    /// The digest that names the chain, where it is whole.
    pub delta_digest: Option<String>,
    /// Seconds of pauses that a limit or a signal asked for.
    pub throttled_seconds: f64,
    /// Seconds in all.
    pub seconds: f64,
    /// Cells written per second, or rows proven where none was to be written.
    pub rows_per_second: f64,
    /// The digest of the tables' rows, where they were proven.
    pub digest: Option<String>,
    /// The changes, one by one.
    pub changes: Vec<ChangeReport>,
}

/// What a run did for one change.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ChangeReport {
    /// The table.
    pub table: String,
    /// The column, or the name of the index.
    pub column: String,
    /// The delivery; `index` for an index.
    pub delivery: String,
    /// `writer` or `readers`: who evaluated the expression, as measured; `nobody` where nothing
    /// was to be filled.
    pub evaluated_by: String,
    /// What the expression costs, in nanoseconds per row, where it was measured.
    pub expression_ns_per_row: Option<u64>,
    /// True where this run added the column.
    pub column_added: bool,
    /// Milliseconds that adding column, tables and triggers took.
    pub prepare_ms: f64,
    /// Rows that were proven.
    pub rows_proven: u64,
    /// The digest of the proven rows.
    pub digest: Option<String>,
    /// What was proven of a set; absent for a column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<SetReport>,
    /// What was built and proven of an index; absent for a column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<IndexReport>,
}

/// What was built and proven of an index.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct IndexReport {
    /// Seconds for which its build held the write lock; `None` where this run found it built.
    pub build_seconds: Option<f64>,
    /// Entries that it has.
    pub entries: u64,
}

/// What was proven of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SetReport {
    /// Migrated adds that are there.
    pub adds: u64,
    /// Flawed elements that are left out, by what is wrong.
    pub malformed: BTreeMap<String, u64>,
    /// `KEY: reason` of some of the objects that have any.
    pub malformed_examples: Vec<String>,
}

impl SetReport {
    fn new(found: &SetRangeProof) -> Self {
        let named = |(flaw, count): (&Flaw, &u64)| (flaw.to_string(), *count);
        let example = |(key, flaw): &(Position, Flaw)| format!("{key}: {}", flaw.reason());
        Self {
            adds: found.adds,
            malformed: found.flaws.iter().map(named).collect(),
            malformed_examples: found.flawed.iter().map(example).collect(),
        }
    }
}
