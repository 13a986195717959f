//! What an apply did.

use serde::Serialize;
use serde_json::{Value, json};

use super::feed::{Batch, End};
use super::implied::Unlike;
use super::tally::Tally;
use crate::db::{DbError, to_json};
use crate::engine::epoch::ChainEpoch;
use crate::engine::job::Job;
use crate::engine::{Outcome, Stop, epoch};
use crate::split::Position;
use crate::state::MigrationRow;
use crate::write::AppliedCount;

/// What an apply did, as in `apply --json`. Counts of rows are of this call.
#[derive(Clone, Debug, Serialize)]
pub struct ApplyReport {
    /// The migration.
    pub migration: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ended early, where it did.
    pub reason: Option<String>,
    /// Where the migration stands now.
    pub phase: String,
    /// Files of rows in the chain.
    pub segments: u64,
    /// Rows of the chain that were looked at.
    pub rows: u64,
    /// Rows of the whole chain, where that is known beforehand.
    #[serde(skip)]
    pub(super) rows_total: Option<u64>,
    /// Where the sets of the chain stood, of a migration with sets.
    #[serde(skip)]
    pub(super) epoch: Option<ChainEpoch>,
    /// Cells that we wrote.
    pub rows_written: u64,
    /// Rows whose cell was right already.
    pub rows_unchanged: u64,
    /// Rows whose cell held another value on a replica that derives: noted, and derived again.
    pub rows_noted: u64,
    /// Cells that deriving what was noted, by this call or others, has changed.
    pub rows_derived: u64,
    /// Rows whose cell is a user's, and was left alone.
    pub rows_user_written: u64,
    /// Values that wait for their row to arrive, of this chain and earlier ones.
    pub rows_pending: u64,
    /// Of the cells that we wrote, those whose value had waited for its row to arrive.
    pub rows_arrived: u64,
    /// Rows of the chain that were deleted here.
    pub rows_deleted: u64,
    /// Rows of ranges that an earlier call has applied and proven, and whose keys, which the deltas do
    /// not ship, have changed since: not looked at again.
    pub rows_changed: u64,
    /// Rows of ranges whose keys, which the deltas do not ship, are not those of this replica: nothing
    /// of these ranges was written by this call.
    pub rows_unlike: u64,
    /// How many such ranges.
    pub ranges_unlike: u64,
    /// The first of them.
    pub first_unlike: Option<UnlikeRange>,
    /// Bytes of the chain.
    pub delta_bytes: u64,
    /// Write transactions that carried rows.
    pub batches: u64,
    /// The largest size of the WAL, in bytes.
    pub wal_bytes_max: u64,
    /// Seconds of pauses that a limit or a signal asked for.
    pub throttled_seconds: f64,
    /// Seconds in all.
    pub seconds: f64,
    /// Rows of the chain per second.
    pub rows_per_second: f64,
}

/// A range of a chain whose keys are not those of this replica.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnlikeRange {
    /// The table.
    pub table: String,
    /// The key of its first row where it was exported, as [`crate::db::to_json`] writes values.
    pub first: Vec<Value>,
    /// That of its last row.
    pub last: Vec<Value>,
    /// Values for it in the chain.
    pub rows: u64,
}

impl ApplyReport {
    pub(super) fn new(migration: &str, rows_total: Option<u64>) -> Self {
        Self {
            migration: migration.to_owned(),
            outcome: Outcome::Failed,
            reason: None,
            phase: String::new(),
            segments: 0,
            rows: 0,
            rows_total,
            epoch: None,
            rows_written: 0,
            rows_unchanged: 0,
            rows_noted: 0,
            rows_derived: 0,
            rows_user_written: 0,
            rows_pending: 0,
            rows_arrived: 0,
            rows_deleted: 0,
            rows_changed: 0,
            rows_unlike: 0,
            ranges_unlike: 0,
            first_unlike: None,
            delta_bytes: 0,
            batches: 0,
            wal_bytes_max: 0,
            throttled_seconds: 0.0,
            seconds: 0.0,
            rows_per_second: 0.0,
        }
    }

    pub(super) fn end(&mut self, end: End) {
        self.segments = end.segments;
        self.delta_bytes = end.bytes;
        self.epoch = end.epoch.or(self.epoch);
    }

    pub(super) fn fed(&mut self, batch: &Batch) {
        self.rows += batch.rows;
    }

    pub(super) fn wrote(&mut self, count: &AppliedCount) {
        self.rows_written += count.written;
        self.rows_arrived += count.arrived;
        self.rows_noted += count.noted;
    }

    pub(super) fn count(&mut self, tally: &Tally) {
        self.rows_user_written = tally.user;
        self.rows_deleted = tally.deleted;
        self.rows_unchanged = tally.right.saturating_sub(self.rows_written + self.rows_noted);
    }

    /// Adds a range whose keys are others; returns what is to be said of it.
    pub(super) fn add_unlike(&mut self, table: &str, unlike: &Unlike) -> String {
        self.ranges_unlike += 1;
        self.rows_unlike += unlike.rows;
        let json = |key: &[_]| key.iter().map(to_json).collect();
        self.first_unlike.get_or_insert_with(|| UnlikeRange {
            table: table.to_owned(),
            first: json(&unlike.first),
            last: json(&unlike.last),
            rows: unlike.rows,
        });
        let [first, last] = [&unlike.first, &unlike.last].map(|key| Position(key.clone()));
        format!(
            "table {table}: the keys from ({first}) through ({last}) are not those that the deltas \
             imply; nothing of that range is written"
        )
    }

    /// True where a range has other keys than the chain implies.
    pub(super) fn lacks_keys(&self) -> bool {
        self.ranges_unlike > 0
    }

    /// Everything was applied but ranges that have other keys.
    pub(super) fn unlike(mut self) -> Self {
        self.outcome = Outcome::Failed;
        let ranges = if self.ranges_unlike == 1 { "range" } else { "ranges" };
        let first = self.first_unlike.as_ref().map_or_else(String::new, |first| {
            let key = |key: &[Value]| Value::from(key.to_vec()).to_string();
            let (from, to) = (key(&first.first), key(&first.last));
            format!("; the first is of table {}, from {from} through {to}", first.table)
        });
        self.reason = Some(format!(
            "{} {ranges} with {} rows imply keys that this replica does not have, or not alone, and \
             nothing of them was written{first}",
            self.ranges_unlike, self.rows_unlike
        ));
        self
    }

    /// What is kept of it in the database.
    pub(super) fn proof(&self) -> Value {
        let mut proof = json!({
            "rows": self.rows,
            "rows_user_written": self.rows_user_written,
            "rows_pending": self.rows_pending,
            "rows_deleted": self.rows_deleted,
            "rows_derived": self.rows_derived,
        });
        if let Some(told) = self.epoch {
            proof[epoch::FACT] = json!(told.as_str());
        }
        proof
    }

    pub(super) fn complete(&mut self) {
        self.outcome = Outcome::Complete;
    }

    /// The chain has no end yet.
    pub(super) fn unfinished(mut self) -> Self {
        self.outcome = Outcome::Interrupted;
        let reason = "the chain has no end yet: everything that is there was applied; repeat the \
                      command when there is more";
        self.reason = Some(reason.to_owned());
        self
    }

    /// The job was told to end.
    pub(super) fn stopped(mut self, stop: &Stop) -> Self {
        self.outcome = Outcome::Interrupted;
        self.reason = Some(stop.reason());
        self
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub(super) fn finish(&mut self, job: &Job<'_>) -> Result<(), DbError> {
        let row = MigrationRow::read(job.session.conn(), &self.migration)?;
        self.phase = row.map_or_else(String::new, |row| row.phase.to_string());
        self.batches = job.pace.batches();
        self.wal_bytes_max = job.pace.wal.peak_bytes();
        self.throttled_seconds = job.pace.paused().as_secs_f64();
        self.seconds = job.started.elapsed().as_secs_f64();
        self.rows_per_second = self.rows as f64 / self.seconds.max(1e-9);
        Ok(())
    }
}
