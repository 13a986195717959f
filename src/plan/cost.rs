//! What each way of giving the column its values costs, for the whole table and the whole fleet.
//!
//! # Definitions
//! Change records, disk bytes and wire bytes are sums over all replicas; WAL bytes and seconds are
//! those of one. Disk bytes are what database files grow by, beyond their free pages and after
//! checkpoints. Wire bytes are the payload of change records (see `record.rs`) times the replicas
//! that have yet to receive each, or for `derive` one digest per replica that is compared with the
//! first. Seconds are those of the sample, times the rows: other machines, cold files and a busy
//! application take longer.

use serde::Serialize;

use super::cells::{Cells, Estimate, scaled};
use super::record::Records;
use super::sample::Sample;
use super::trial::Measured;
use crate::layout::Delivery;
use crate::throttle::Tuning;

/// The most that a replica's digest can take on the wire: 16 KiB.
pub const DIGEST_BYTES_MAX: u64 = 16 << 10;

/// cr-sqlite's own triggers take 1.9 times as long as writing the same rows directly: 0.21 M rows
/// per second against 0.39 M, at 1 M rows of 115 B.
pub(super) const TRIGGER_SLOWDOWN: f64 = 1.9;

/// A way to give a column its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// One UPDATE statement on one replica; replication carries it to the others.
    Naive,
    /// The same statement on every replica.
    NaiveEverywhere,
    /// dotfill, with a generated column.
    Virtual,
    /// dotfill, with the column's default.
    Elide,
    /// dotfill on every replica, without change records.
    Derive,
    /// dotfill on one replica, with change records at version 0.
    Native,
}

impl Way {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 6] = [
        Self::Naive,
        Self::NaiveEverywhere,
        Self::Virtual,
        Self::Elide,
        Self::Derive,
        Self::Native,
    ];

    /// Its name in tables and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::NaiveEverywhere => "naive-everywhere",
            Self::Virtual => "virtual",
            Self::Elide => "elide",
            Self::Derive => "derive",
            Self::Native => "native",
        }
    }

    /// The delivery that goes this way; none for a plain UPDATE.
    #[must_use]
    pub const fn delivery(self) -> Option<Delivery> {
        match self {
            Self::Naive | Self::NaiveEverywhere => None,
            Self::Virtual => Some(Delivery::Virtual),
            Self::Elide => Some(Delivery::Elide),
            Self::Derive => Some(Delivery::Derive),
            Self::Native => Some(Delivery::Native),
        }
    }
}

/// What one way costs; all zero where it is not possible. The module's head defines each number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// The way.
    pub way: Way,
    /// True for the delivery that `run` will take.
    pub chosen: bool,
    /// True where it can be done here.
    pub possible: bool,
    /// Why it cannot.
    pub why_not: Option<String>,
    /// Change records, over all replicas.
    pub change_records: u64,
    /// Never fewer change records than this.
    pub change_records_min: u64,
    /// Never more change records than this.
    pub change_records_max: u64,
    /// Bytes by which all database files together grow.
    pub disk_bytes: u64,
    /// Bytes by which one replica's database file grows.
    pub file_bytes: u64,
    /// Bytes that travel between replicas.
    pub wire_bytes: u64,
    /// Bytes written to one replica's WAL; a run checkpoints while it goes, one statement cannot.
    pub wal_bytes: u64,
    /// The size to which that WAL grows: a run keeps it below the default of `--wal-bytes-max`.
    pub wal_peak_bytes: u64,
    /// Seconds on one replica, estimated from the sample.
    pub seconds: f64,
}

/// What was tried on the sample; nothing where the way is not possible, or has nothing to try.
pub(super) struct Tried {
    pub naive: Option<Measured>,
    pub derive: Option<Measured>,
    pub native: Option<Measured>,
}

/// What the sample's numbers are carried over to.
pub(super) struct Scale<'a> {
    pub sample: &'a Sample,
    pub cells: &'a Cells,
    pub column_exists: bool,
    pub replicated: bool,
    pub replicas: u64,
    /// Bytes of the file's free pages, which are used before it grows.
    pub free_bytes: u64,
}

impl Scale<'_> {
    /// A number of the whole table, for one of a trial of the sample.
    fn up(&self, trial: &Measured, count: u64) -> u64 {
        let (sample, cells) = (self.sample, self.cells);
        if cells.with_value.is_exact() && !self.column_exists && trial.valued > 0 {
            return scaled(count, cells.with_value.about, trial.valued);
        }
        scaled(count, sample.of, sample.rows)
    }

    /// The cost of a way that costs nothing but our own tables, and nothing at all where `way` is
    /// not one of ours.
    fn nothing(&self, way: Way) -> Cost {
        let ours = if way.delivery().is_some() { self.sample.state_bytes } else { 0 };
        let file_bytes = ours.saturating_sub(self.free_bytes);
        Cost {
            way,
            chosen: false,
            possible: true,
            why_not: None,
            change_records: 0,
            change_records_min: 0,
            change_records_max: 0,
            disk_bytes: file_bytes * self.replicas,
            file_bytes,
            wire_bytes: 0,
            wal_bytes: ours,
            wal_peak_bytes: ours,
            seconds: 0.0,
        }
    }

    /// The cost of a way that was tried.
    pub fn cost(&self, way: Way, tried: &Tried) -> Cost {
        let trial = match way {
            Way::Naive | Way::NaiveEverywhere => &tried.naive,
            Way::Derive => &tried.derive,
            Way::Native => &tried.native,
            Way::Virtual | Way::Elide => &None,
        };
        let mut cost = self.nothing(way);
        let Some(trial) = trial else { return cost };
        let mut ours = cost.wal_bytes;
        if way.delivery().is_some() {
            ours += scaled(self.sample.seed_bytes, self.sample.of, self.sample.rows);
        }
        let grown = self.up(trial, trial.grown_bytes);
        cost.file_bytes = grown.saturating_add(ours).saturating_sub(self.free_bytes);
        cost.disk_bytes = cost.file_bytes.saturating_mul(self.replicas);
        cost.wal_bytes = self.up(trial, trial.wal_bytes).saturating_add(ours);
        cost.wal_peak_bytes = match way.delivery() {
            Some(_) => cost.wal_bytes.min(Tuning::default().wal_bytes_max),
            None => cost.wal_bytes,
        };
        cost.seconds = trial.elapsed.as_secs_f64() * fraction(self.sample.of, self.sample.rows);
        if way.delivery().is_none() && self.replicated {
            cost.seconds *= TRIGGER_SLOWDOWN;
        }
        self.add_records(&mut cost, trial);
        cost
    }

    fn add_records(&self, cost: &mut Cost, trial: &Measured) {
        if cost.way == Way::Derive && self.replicated {
            cost.wire_bytes = DIGEST_BYTES_MAX.saturating_mul(self.replicas - 1);
        }
        let Records { count, bytes } = trial.records;
        if !self.replicated || !matches!(cost.way, Way::Naive | Way::NaiveEverywhere | Way::Native)
        {
            return;
        }
        let records = self.records(cost.way, count);
        // Each sender's records go to every other replica.
        let senders = if cost.way == Way::NaiveEverywhere { self.replicas } else { 1 };
        let times = |n: u64| n.saturating_mul(senders);
        cost.change_records = times(records.about);
        cost.change_records_min = times(records.min);
        cost.change_records_max = times(records.max);
        let one = scaled(bytes, records.about, count);
        cost.wire_bytes = times(one).saturating_mul(self.replicas - 1);
    }

    /// A native delivery publishes the cells that it gives a value; an UPDATE records every cell
    /// that changes, a user's too.
    fn records(&self, way: Way, count: u64) -> Estimate {
        if way == Way::Native || !self.column_exists {
            return self.cells.with_value;
        }
        Estimate::sampled(count, self.sample.rows, self.sample.of)
    }
}

/// A cost of nothing, for a way that cannot be gone.
pub(super) fn impossible(way: Way, why_not: String) -> Cost {
    Cost {
        way,
        chosen: false,
        possible: false,
        why_not: Some(why_not),
        change_records: 0,
        change_records_min: 0,
        change_records_max: 0,
        disk_bytes: 0,
        file_bytes: 0,
        wire_bytes: 0,
        wal_bytes: 0,
        wal_peak_bytes: 0,
        seconds: 0.0,
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate needs no more than 52 bits")]
fn fraction(a: u64, b: u64) -> f64 {
    a as f64 / b.max(1) as f64
}
