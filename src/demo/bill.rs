//! The bill: what the backfill cost, what had been predicted, and what the naive way costs.

use serde::Serialize;

use super::{Feeding, ReplicaRun};
use crate::plan::{Cost, Plan, Way};

/// One line of the bill. Records, disk and wire are sums over both replicas; WAL and seconds are
/// those of the replica that needed most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Amount {
    /// Change records.
    pub change_records: u64,
    /// Bytes by which the files grew.
    pub disk_bytes: u64,
    /// Bytes that travelled between the replicas.
    pub wire_bytes: u64,
    /// The largest size of the WAL.
    pub wal_bytes: u64,
    /// Seconds.
    pub seconds: f64,
}

/// The naive way, measured on a smaller table and scaled to the rows of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NaiveSample {
    /// Rows of the smaller table.
    pub rows: u64,
    /// What it cost, scaled; the seconds are those of the `UPDATE`.
    pub scaled: Amount,
    /// Seconds that the other replica needed to merge the records, scaled.
    pub merge_seconds: f64,
}

/// What it cost, and what it would have.
#[derive(Clone, Debug, Serialize)]
pub struct Bill {
    /// What the two backfills cost.
    pub measured: Amount,
    /// What `plan` had predicted for them.
    pub predicted: Amount,
    /// What `plan` predicts for one `UPDATE` on one replica.
    pub naive_predicted: Amount,
    /// What `plan` predicts for the same `UPDATE` on both replicas.
    pub naive_everywhere_predicted: Amount,
    /// The same, measured, where cr-sqlite is at hand.
    pub naive_measured: Option<NaiveSample>,
    /// What the replica that cannot derive was fed.
    pub fed: Fed,
}

/// What feeding one replica takes on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fed {
    /// Rows that it was fed.
    pub rows: u64,
    /// Bytes of all deltas.
    pub delta_bytes: u64,
    /// Bytes of the change records that an `UPDATE` sends one replica instead: measured where that
    /// was tried, else as predicted; 0 where nothing replicates.
    pub naive_bytes: u64,
}

/// Adds it up.
pub(super) fn bill(
    plan: &Plan,
    runs: &[ReplicaRun],
    feeding: &Feeding,
    naive: Option<NaiveSample>,
) -> Bill {
    let way = |way: Way| sum(plan, |cost| cost.way == way);
    Bill {
        measured: measured(runs),
        predicted: sum(plan, |cost| cost.chosen),
        naive_predicted: way(Way::Naive),
        naive_everywhere_predicted: way(Way::NaiveEverywhere),
        naive_measured: naive,
        fed: Fed {
            rows: feeding.apply.rows,
            delta_bytes: feeding.export.delta_bytes,
            // There are two replicas in the bill, so one that receives.
            naive_bytes: naive.map_or(way(Way::Naive), |naive| naive.scaled).wire_bytes,
        },
    }
}

fn measured(runs: &[ReplicaRun]) -> Amount {
    let mut total = Amount::default();
    for run in runs {
        let report = &run.report;
        total.change_records += run.change_records_found;
        total.disk_bytes += run.file_bytes_after.saturating_sub(run.file_bytes_before);
        total.wal_bytes = total.wal_bytes.max(report.wal_bytes_max);
        total.seconds = total.seconds.max(report.seconds);
    }
    // Each replica's digest but the first's went to be compared with that.
    let digests = runs.iter().skip(1).filter_map(|run| run.report.digest.as_ref());
    total.wire_bytes = digests.map(|digest| digest.len() as u64).sum();
    total
}

fn sum(plan: &Plan, which: impl Fn(&Cost) -> bool) -> Amount {
    let mut total = Amount::default();
    let costs = plan.changes.iter().filter_map(|change| change.costs.iter().find(|c| which(c)));
    for cost in costs {
        total.change_records += cost.change_records;
        total.disk_bytes += cost.disk_bytes;
        total.wire_bytes += cost.wire_bytes;
        total.wal_bytes = total.wal_bytes.max(cost.wal_peak_bytes);
        total.seconds += cost.seconds;
    }
    total
}

/// `n` of `part` rows, for `whole` rows.
pub(super) fn scaled(n: u64, whole: u64, part: u64) -> u64 {
    let scaled = u128::from(n) * u128::from(whole) / u128::from(part.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "a factor for seconds")]
pub(super) fn ratio(whole: u64, part: u64) -> f64 {
    whole as f64 / part.max(1) as f64
}
