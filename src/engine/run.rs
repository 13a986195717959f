//! `run`: each change in order is prepared, seeded, filled, drained and proven; then the migration
//! is open, is followed where that was asked for, and closed where that was.

mod follow;
mod record;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rusqlite::Connection;

use super::claim::Claiming;
use super::fill::{Filled, fill};
use super::job::{Job, Purpose};
use super::proof::Findings;
use super::ready::Ready;
use super::{
    ChangeReport, Destination, IndexReport, Outcome, RunError, RunOptions, RunReport, Stop, close,
    fed, index, modes, or_set, revert, seed, ship,
};
use crate::db::DbError;
use crate::layout::crsqlite::Publisher;
use crate::migration::Migration;
use crate::monitor::Monitor;
use crate::phase::pending::pending_count;
use crate::plan::{ResolvedChange, record_bytes};
use crate::state::{self, ChangeRow, Counters, MigrationRow, Phase, ShippedRow};
use crate::throttle::{Clock, SystemClock};
use crate::verify::RangeDigest;
use crate::write::{Prepared, WriteError, dirty_rows};

/// Runs a migration as the one who has its lease: fills, proves, and leaves it open or closed.
pub(super) fn run_alone(
    claiming: Claiming,
    db: &Path,
    migration: &Migration,
    options: &RunOptions,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<RunReport, RunError> {
    let claim = (Purpose::Derive, claiming);
    let mut job = Job::begin_as(claim, db, migration, options, clock, monitor)?;
    let result = Run::new(&mut job).run();
    conclude(job, result)
}

/// As [`super::run`] where nobody else has the lease, and writes the values as delta segments meanwhile: the folder or stream has every
/// cell that is ours when the run is complete. A folder is continued where an earlier run was
/// stopped; a stream begins anew, with all rows.
///
/// # Errors
/// As [`super::run`]; [`RunError::Held`] where another process runs the migration: its chain would not be
/// ours; [`RunError::Refused`] where the destination holds something else, or nothing has to be
/// shipped: nothing is written to the database then. Where the destination fails, what was filled
/// stays, and the same call continues.
pub fn run_with_deltas(
    db: &Path,
    migration: &Migration,
    destination: Destination,
    options: &RunOptions,
    monitor: &dyn Monitor,
) -> Result<RunReport, RunError> {
    let clock = SystemClock::new();
    let open = |conn: &Connection, resolved: &[ResolvedChange]| {
        ship::open(conn, migration, resolved, destination)
    };
    let claiming = if options.no_wait { Claiming::Now(None) } else { Claiming::Watch };
    let claim = (Purpose::Derive, claiming);
    let (mut job, opened) =
        Job::begin_with(claim, db, migration, options, &clock, monitor, Some(open))?;
    let result = match opened {
        Some(opened) => run_beside_shipper(&mut job, opened, options, monitor),
        None => Run::new(&mut job).run(),
    };
    conclude(job, result)
}

fn run_beside_shipper(
    job: &mut Job<'_>,
    opened: ship::Opened,
    options: &RunOptions,
    monitor: &dyn Monitor,
) -> Result<RunReport, RunError> {
    let ready = opened.start(job, options, monitor)?;
    let ship = Arc::clone(&ready.ship);
    job.ship = Some(Arc::clone(&ship));
    std::thread::scope(|scope| {
        let ending = ship::Ending(Arc::clone(&ship));
        let (gate, failed) = (Arc::clone(&job.pace.gate), Arc::clone(&job.pace.failed));
        let thread = ready.spawn(scope, job.db.clone(), gate, failed);
        let result = Run::new(job).run();
        drop(ending);
        let shipped = thread.join().map_err(|_| RunError::Panicked { doing: "shipping" })?;
        let mut report = result?;
        shipped.or_else(|error| if ship::is_left(&error) { Ok(()) } else { Err(error) })?;
        ship.report(&mut report);
        Ok(report)
    })
}

/// Ends a job, whatever came of it.
fn conclude(mut job: Job<'_>, result: Result<RunReport, RunError>) -> Result<RunReport, RunError> {
    let result = match result {
        Err(RunError::Write(
            error @ (WriteError::Row { .. } | WriteError::Set(_) | WriteError::Index { .. }),
        )) => Err(revert::fail(&mut job, &error).unwrap_or_else(|error| error)),
        other => other,
    };
    let ended = match &result {
        // Somebody else has the lease now: nothing of it is ours to give back.
        Err(RunError::Write(WriteError::Replaced)) => Ok(()),
        _ => job.end(),
    };
    let mut report = result?;
    ended?;
    report.wal_bytes_max = job.pace.wal.peak_bytes();
    report.seconds = job.started.elapsed().as_secs_f64();
    Ok(finished(report))
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn finished(mut report: RunReport) -> RunReport {
    let proven: u64 = report.changes.iter().map(|c| c.rows_proven).sum();
    let rows = if report.rows_written > 0 { report.rows_written } else { proven };
    report.rows_per_second = rows as f64 / report.seconds.max(1e-9);
    report
}

/// Keys that others have noted of a migration and that wait to be derived again, and writes of the old
/// form that arrived in a closed epoch and wait to be settled.
pub(super) fn pending(conn: &rusqlite::Connection, id: &str) -> Result<u64, DbError> {
    let mut rows = 0;
    for change in ChangeRow::of(conn, id)? {
        rows += pending_count(conn, change.n)?;
        if fed::is_noted(conn, change.n)? {
            rows += dirty_rows(conn, change.n)?;
        }
    }
    Ok(rows)
}

/// Says that a migration was rolled back.
pub(super) fn rolled_back(id: &str) -> RunError {
    RunError::refused(
        id,
        "it was rolled back here",
        format!("`dotfill forget {id}` forgets that, and `run` begins anew"),
    )
}

/// Why the budget of the migration is passed, where it is.
pub(super) fn over_budget(job: &Job<'_>, counters: &Counters) -> Option<String> {
    let budget = &job.migration.budget;
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    if let Some(most) = budget.change_records_per_row_max {
        let seen = counters.change_records_written as f64 / counters.rows_passed.max(1) as f64;
        if seen > most {
            return Some(format!("change_records_per_row_max {seen:.3} > {most}"));
        }
    }
    let most = budget.wire_bytes_max?;
    if counters.change_records_written == 0 {
        return None;
    }
    let seen = counters.change_records_written.saturating_mul(RECORD_BYTES);
    (seen > most).then(|| format!("wire_bytes_max {seen} > {most} (estimated while running)"))
}

/// Refuses what cannot be run from this phase. One that is closed can where a chain of deltas is
/// still to be completed (`feeds`).
pub(super) fn check_may_run(id: &str, phase: Option<Phase>, feeds: bool) -> Result<(), RunError> {
    match phase {
        Some(Phase::RollingBack | Phase::RolledBack) => Err(rolled_back(id)),
        Some(Phase::Closed) if !feeds => Err(RunError::refused(
            id,
            "it is closed here: its proof is recorded, and rows are no longer followed",
            format!(
                "`dotfill status {id}` shows the proof; `dotfill forget {id}` and `run` derive \
                 again"
            ),
        )),
        // A replica that was fed by deltas may derive for itself from now on.
        Some(
            Phase::Filling
            | Phase::Open
            | Phase::Closed
            | Phase::Failed
            | Phase::Applying
            | Phase::Applied,
        )
        | None => Ok(()),
    }
}

/// What a change record weighs at least, for the budget: table, key, column, value and clocks.
const RECORD_BYTES: u64 = 64;

impl RunReport {
    /// The report of a run that has done nothing yet.
    pub(super) fn new(migration: &str) -> Self {
        Self {
            migration: migration.to_owned(),
            outcome: Outcome::Failed,
            reason: None,
            attached: false,
            phase: Phase::Filling.to_string(),
            rows_total: 0,
            rows_written: 0,
            rows_user_written: 0,
            rows_unchanged: 0,
            rows_skipped: 0,
            dirty_rows: 0,
            change_records_written: 0,
            wire_bytes: 0,
            batches: 0,
            wal_bytes_max: 0,
            delta_rows: 0,
            delta_bytes: 0,
            delta_digest: None,
            throttled_seconds: 0.0,
            seconds: 0.0,
            rows_per_second: 0.0,
            digest: None,
            changes: Vec::new(),
        }
    }
}

/// One run, as it goes.
struct Run<'r, 'a> {
    job: &'r mut Job<'a>,
    report: RunReport,
    digest: RangeDigest,
    /// Rows that were counted, those of indexes too.
    rows_proven: u64,
}

impl<'r, 'a> Run<'r, 'a> {
    fn new(job: &'r mut Job<'a>) -> Self {
        let report = RunReport::new(job.id());
        Self { job, report, digest: RangeDigest::default(), rows_proven: 0 }
    }

    fn run(mut self) -> Result<RunReport, RunError> {
        if self.check_phase()? == Some(Phase::Closed) {
            return self.complete_chain();
        }
        if self.job.ship.is_none() {
            ship::forget_stream(self.job)?;
        }
        fed::adopt(self.job)?;
        let mut prepared = Vec::new();
        let mut stopped = None;
        for index in 0..self.job.resolved.len() {
            match self.change(index)? {
                (ready, None) => prepared.push(ready),
                (ready, stop) => {
                    prepared.push(ready);
                    stopped = stop;
                    break;
                }
            }
        }
        if stopped.is_none() {
            self.open(&mut prepared)?;
            stopped = self.after_proof(&mut prepared)?;
        }
        self.finish(&prepared, stopped.as_ref())
    }

    /// What is left to do once every change is proven.
    fn after_proof(&mut self, prepared: &mut [Ready]) -> Result<Option<Stop>, RunError> {
        let mut follower = modes::Follower::new(self.job)?;
        if let Err(stop) = self.settle(&mut follower)? {
            return Ok(Some(stop));
        }
        if self.job.options.follow {
            let stop = self.follow(prepared, &mut follower)?;
            ship::end_followed(self.job, prepared)?;
            return Ok(Some(stop));
        }
        if let Some(stop) = ship::ship_rest(self.job, prepared)? {
            return Ok(Some(stop));
        }
        let mut phase = Phase::Open;
        if self.job.options.close {
            if let Some(stop) = close::close_open(self.job, prepared)? {
                return Ok(Some(stop));
            }
            phase = Phase::Closed;
        }
        ship::finish(self.job, prepared, phase)
    }

    /// The migration was closed, and the job ended before its chain of deltas was whole: it is made
    /// whole.
    fn complete_chain(mut self) -> Result<RunReport, RunError> {
        let mut prepared = Vec::new();
        for index in 0..self.job.resolved.len() {
            let ready = Ready::prepare(self.job, index)?;
            self.report.rows_total += ready.change().rows_total;
            ship::begin_change(self.job, index, &ready, Phase::Closed)?;
            self.is_filled(ready.change());
            prepared.push(ready);
        }
        let mut stopped = ship::walk_rest(self.job, &prepared)?;
        if stopped.is_none() {
            stopped = ship::finish(self.job, &prepared, Phase::Closed)?;
        }
        self.finish(&prepared, stopped.as_ref())
    }

    /// Tells whoever ships that a change is filled.
    fn is_filled(&self, change: &ChangeRow) {
        if let Some(ship) = &self.job.ship {
            ship.is_filled(change, self.job.session.schema_version());
        }
    }

    /// Refuses what cannot be run; begins anew what is to be tried again.
    fn check_phase(&mut self) -> Result<Option<Phase>, RunError> {
        let id = self.job.id().to_owned();
        let row = MigrationRow::read(self.job.session.conn(), &id)?;
        let phase = row.as_ref().map(|row| row.phase);
        if phase == Some(Phase::Failed) {
            // What an earlier runner could not take back any more.
            revert::revert(self.job)?;
            if !self.job.options.retry && row.is_some_and(|row| row.proof.is_none()) {
                return Err(revert::failed(self.job.session.conn(), &id)?);
            }
            self.job.session.transact_again(|conn| {
                state::event(conn, &id, "retry", "the work goes on")?;
                Ok(MigrationRow::set_phase(conn, &id, Phase::Filling, None)?)
            })?;
        }
        let conn = self.job.session.conn();
        let feeds = self.job.ship.is_some() && ShippedRow::read(conn, &id)?.is_some();
        check_may_run(&id, phase, feeds)?;
        Ok(phase)
    }

    /// One change from where it stands to its proof.
    fn change(&mut self, index: usize) -> Result<(Ready, Option<Stop>), RunError> {
        let began = Instant::now();
        let waited = ship::before_change(self.job, index)?;
        let mut ready = Ready::prepare(self.job, index)?;
        if waited.is_some() {
            return Ok((ready, waited));
        }
        ship::begin_change(self.job, index, &ready, Phase::Open)?;
        let change = ready.change();
        let mut report = ChangeReport {
            table: change.table.clone(),
            column: change.column.clone(),
            delivery: match &ready {
                Ready::Index(_) => "index".to_owned(),
                Ready::Column(_) | Ready::OrSet(_) => change.delivery.clone(),
            },
            evaluated_by: "nobody".to_owned(),
            column_added: change.column_added,
            prepare_ms: began.elapsed().as_secs_f64() * 1000.0,
            ..ChangeReport::default()
        };
        let before = change.counters;
        let result = self.fill_and_prove(&mut ready, &mut report);
        let after = ready.change().counters;
        self.report.rows_written += after.rows_written - before.rows_written;
        self.report.rows_skipped += after.rows_skipped.saturating_sub(before.rows_skipped);
        self.report.change_records_written +=
            after.change_records_written - before.change_records_written;
        // Of a set the elements are counted, flawed ones too; an index has none of its own.
        self.report.rows_total += match (&report.set, &ready) {
            (Some(set), _) => set.adds + after.rows_skipped,
            (None, Ready::Index(_)) => 0,
            (None, _) => ready.change().rows_total,
        };
        self.report.changes.push(report);
        Ok((ready, result?))
    }

    fn fill_and_prove(
        &mut self,
        ready: &mut Ready,
        report: &mut ChangeReport,
    ) -> Result<Option<Stop>, RunError> {
        let findings = match self.fill(ready, report)? {
            Ok(findings) => findings,
            Err(stop) => return Ok(Some(stop)),
        };
        self.is_filled(ready.change());
        if let Err(stop) = ready.drain_all(self.job)? {
            return Ok(Some(stop));
        }
        match ready.prove_from(self.job, findings)? {
            Ok(proven) => self.record_proof(ready, &proven, report)?,
            Err(stop) => return Ok(Some(stop)),
        }
        Ok(None)
    }

    /// Fills what is not filled yet; returns what was proven on the way.
    fn fill(
        &mut self,
        ready: &mut Ready,
        report: &mut ChangeReport,
    ) -> Result<Result<Option<Findings>, Stop>, RunError> {
        let Prepared { target, change } = match ready {
            Ready::Column(prepared) => prepared,
            Ready::OrSet(set) => {
                if !set.change.filled {
                    "readers".clone_into(&mut report.evaluated_by);
                }
                return Ok(or_set::fill(self.job, set)?.map_or(Ok(None), Err));
            }
            Ready::Index(ready) => {
                return Ok(index::fill(self.job, ready)?.map(|seconds| {
                    report.index = Some(IndexReport { build_seconds: seconds, entries: 0 });
                    None
                }));
            }
        };
        if let Some(stop) = seed::seed(self.job, target, change)? {
            return Ok(Err(stop));
        }
        if change.filled {
            return Ok(Ok(None));
        }
        match fill(self.job, target, change, report)? {
            Filled::Stopped(stop) => {
                self.save(change)?;
                Ok(Err(stop))
            }
            Filled::Done(findings) => {
                change.filled = true;
                self.save(change)?;
                Ok(Ok(findings))
            }
        }
    }

    fn save(&mut self, change: &ChangeRow) -> Result<(), RunError> {
        self.job.session.transact_again(|conn| Ok(change.save(conn)?))?;
        Ok(())
    }

    fn finish(mut self, prepared: &[Ready], stop: Option<&Stop>) -> Result<RunReport, RunError> {
        let conn = self.job.session.conn();
        self.report.phase = MigrationRow::read(conn, self.job.id())?
            .map_or_else(String::new, |row| row.phase.to_string());
        self.report.outcome = match stop {
            None => Outcome::Complete,
            Some(Stop::Budget(_)) => Outcome::Budget,
            Some(_) => Outcome::Interrupted,
        };
        self.report.reason = stop.map(Stop::reason);
        let done =
            self.report.rows_written + self.report.rows_user_written + self.report.rows_skipped;
        self.report.rows_unchanged = match stop {
            None => self.report.rows_total.saturating_sub(done),
            Some(_) => 0,
        };
        self.report.batches = self.job.pace.batches();
        self.report.throttled_seconds = self.job.pace.paused().as_secs_f64();
        if self.report.change_records_written > 0 {
            self.report.wire_bytes = self.wire_bytes(prepared)?;
        }
        Ok(self.report)
    }

    /// The bytes of the records that this migration's publisher has published from here.
    fn wire_bytes(&self, prepared: &[Ready]) -> Result<u64, RunError> {
        let conn = self.job.session.conn();
        let publishers = Publisher::ordinals(conn, self.job.id())?;
        let mut bytes = 0;
        for ready in prepared {
            let Ready::Column(Prepared { target, .. }) = ready else { continue };
            for ordinal in &publishers {
                bytes += record_bytes(conn, target, *ordinal, 0)?.bytes;
            }
        }
        Ok(bytes)
    }
}
