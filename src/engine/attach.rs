//! `run` beside other runs: the one who has the lease works, everybody else waits for its proof, and
//! takes over from its checkpoint when it dies.
//!
//! # Who returns what
//! All of them return the verdict of the same proof, or the same failure. A proof counts for those who
//! have waited for it: the runner whom they found, or one who took over from it, has made it. What it
//! says is looked at again as `attest` does. A `run` that finds nobody at work takes the lease and
//! proves for itself, however often that was done before.
//!
//! `dotfill stop` stops the migration: those who wait end with the runner. A signal ends one process.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::claim::Claiming;
use super::job::{check_same, percent};
use super::revert::{failed, outstanding};
use super::run::{pending, rolled_back, run_alone};
use super::{
    Attested, LookOptions, Outcome, RunError, RunOptions, RunReport, Stop, attest, attest::recorded,
};
use crate::db::{self, Access, DbError, Doing};
use crate::lease::{Holder, Seen, Watch};
use crate::migration::Migration;
use crate::monitor::{Monitor, Progress, Stage};
use crate::state::{self, ChangeRow, MigrationRow, Phase};
use crate::throttle::{Clock, SystemClock};
use crate::write::WriteError;

/// How long the database may be locked against a look: another process recovers it.
const LOCKED: Duration = Duration::from_secs(30);

/// Runs a migration on one replica: fills, proves, and leaves it open or closed. Where another
/// process does that already, waits for its proof, and takes over when it dies.
///
/// # Errors
/// [`RunError`]. What was committed stays, and the same call continues from there. An early end
/// that was asked for is no error: see [`RunReport::outcome`].
pub fn run(
    db: &Path,
    migration: &Migration,
    options: &RunOptions,
    monitor: &dyn Monitor,
) -> Result<RunReport, RunError> {
    let clock = SystemClock::new();
    let began = Instant::now();
    if let Some(report) = settled(db, migration, options, monitor)? {
        return Ok(timed(report, began));
    }
    let mut options = options.clone();
    let mut claiming = Claiming::Now(None);
    let mut first = None;
    loop {
        match run_alone(claiming, db, migration, &options, &clock, monitor) {
            Err(RunError::Held { .. }) if !options.no_wait => {}
            Err(RunError::Write(WriteError::Replaced)) if !options.no_wait => {
                monitor.warn("another process has taken over; this one writes nothing more");
            }
            Err(error) if is_interrupt(&error) => {
                let report = stopped(db, migration, &Stop::Interrupted)?;
                return Ok(timed(RunReport { attached: false, ..report }, began));
            }
            other => return other,
        }
        // What fails from now on has failed for everybody.
        options.retry = false;
        let waiting = Waiting { db, migration, options: &options, clock: &clock, monitor };
        match waiting.wait(&mut first)? {
            Ended::Free(expired) => claiming = Claiming::Now(expired),
            Ended::Told(report) => return Ok(timed(*report, began)),
        }
    }
}

fn is_interrupt(error: &RunError) -> bool {
    matches!(
        error,
        RunError::Db(DbError::Interrupted { .. })
            | RunError::Write(WriteError::Db(DbError::Interrupted { .. }))
    )
}

fn timed(mut report: RunReport, began: Instant) -> RunReport {
    report.seconds = began.elapsed().as_secs_f64();
    report
}

/// What is known without a lease: that the migration has failed for good, or is closed already where
/// that was asked for. Writes nothing.
fn settled(
    db: &Path,
    migration: &Migration,
    options: &RunOptions,
    monitor: &dyn Monitor,
) -> Result<Option<RunReport>, RunError> {
    let conn = db::open(db, Access::Read)?;
    let id = migration.id.as_str();
    let row = if state::exists(&conn)? { MigrationRow::read(&conn, id)? } else { None };
    let Some(row) = row else { return Ok(None) };
    check_same(&row, migration)?;
    if Holder::read(&conn, id)?.is_some_and(|holder| !holder.is_free()) {
        return Ok(None);
    }
    let is_over = row.proof.is_none() && outstanding(&conn, migration)?.is_empty();
    match row.phase {
        Phase::Failed if is_over && !options.retry => Err(failed(&conn, id)?),
        Phase::Closed if options.close => {
            Ok(Some(told(attest(db, migration, options.recheck, &looking(options), monitor)?)))
        }
        _ => Ok(None),
    }
}

/// How rows are counted again.
fn looking(options: &RunOptions) -> LookOptions {
    let cancel = Arc::clone(&options.cancel);
    LookOptions { threads: options.tuning.threads, cancel, ..LookOptions::default() }
}

/// The report of a process that has waited for the proof of another one.
fn told(proof: Attested) -> RunReport {
    RunReport {
        outcome: Outcome::Complete,
        attached: true,
        phase: proof.phase.to_string(),
        rows_total: proof.rows,
        dirty_rows: proof.rows_pending,
        digest: proof.digest,
        ..RunReport::new(&proof.migration)
    }
}

/// The report of a process that has waited in vain.
fn stopped(db: &Path, migration: &Migration, stop: &Stop) -> Result<RunReport, RunError> {
    let conn = db::open(db, Access::Read)?;
    let id = migration.id.as_str();
    let mut report = RunReport {
        outcome: Outcome::Interrupted,
        reason: Some(stop.reason()),
        attached: true,
        ..RunReport::new(id)
    };
    if !state::exists(&conn)? {
        return Ok(report);
    }
    if let Some(row) = MigrationRow::read(&conn, id)? {
        report.phase = row.phase.to_string();
    }
    report.rows_total = ChangeRow::of(&conn, id)?.iter().map(|change| change.rows_total).sum();
    report.dirty_rows = pending(&conn, id)?;
    Ok(report)
}

/// How waiting ended.
enum Ended {
    /// The lease is to be had: it is free, or its holder, who is named, stands still.
    Free(Option<(i64, i64)>),
    /// There is nothing more to do.
    Told(Box<RunReport>),
}

/// What one look at the database shows.
struct Look {
    row: MigrationRow,
    changes: Vec<ChangeRow>,
    holder: Option<Holder>,
}

/// A process beside the runner.
struct Waiting<'w> {
    db: &'w Path,
    migration: &'w Migration,
    options: &'w RunOptions,
    clock: &'w dyn Clock,
    monitor: &'w dyn Monitor,
}

impl Waiting<'_> {
    /// Waits for whoever has the lease. `first` is the token of the first runner that was found.
    fn wait(&self, first: &mut Option<i64>) -> Result<Ended, RunError> {
        let conn = db::open(self.db, Access::Read)?;
        let mut watched: Option<(i64, Watch)> = None;
        let mut shown = Shown::default();
        let mut readable = Instant::now();
        loop {
            if self.options.cancel.load(Ordering::Relaxed) {
                return self.stopped(&Stop::Interrupted);
            }
            let look = match self.look(&conn) {
                Err(RunError::Db(error)) if error.is_busy() && readable.elapsed() < LOCKED => {
                    self.clock.sleep(Duration::from_millis(50));
                    continue;
                }
                other => other?,
            };
            readable = Instant::now();
            let Some(holder) = &look.holder else { return Ok(Ended::Free(None)) };
            let first = *first.get_or_insert(holder.token);
            if let Some(ended) = self.judge(&conn, &look, holder, first)? {
                return Ok(ended);
            }
            let period = holder.lease.unwrap_or_default().max(self.options.lease);
            if watched.as_ref().is_none_or(|(token, _)| *token != holder.token) {
                watched = Some((holder.token, Watch::new(period)));
            }
            let Some((_, watch)) = &mut watched else { continue };
            let now = self.clock.now().monotonic;
            if watch.look(now, holder.token, holder.heartbeat) == Seen::Expired {
                return Ok(Ended::Free(Some((holder.token, holder.heartbeat))));
            }
            shown.show(&look, holder, now, self.monitor);
            self.clock.sleep(watch.poll());
        }
    }

    fn look(&self, conn: &Connection) -> Result<Look, RunError> {
        let id = self.migration.id.as_str();
        let snapshot = conn.unchecked_transaction().doing("look at the runner")?;
        let row = if state::exists(&snapshot)? { MigrationRow::read(&snapshot, id)? } else { None };
        let Some(row) = row else {
            return Err(RunError::refused(
                id,
                "it was forgotten meanwhile",
                "repeat the command to begin it anew",
            ));
        };
        let changes = ChangeRow::of(&snapshot, id)?;
        let holder = Holder::read(&snapshot, id)?;
        Ok(Look { row, changes, holder })
    }

    /// Whether the waiting ends here.
    fn judge(
        &self,
        conn: &Connection,
        look: &Look,
        holder: &Holder,
        first: i64,
    ) -> Result<Option<Ended>, RunError> {
        check_same(&look.row, self.migration)?;
        let free = holder.is_free();
        let wanted = match look.row.phase {
            Phase::RollingBack | Phase::RolledBack => {
                return Err(rolled_back(self.migration.id.as_str()));
            }
            Phase::Failed => {
                let is_over = outstanding(conn, self.migration)?.is_empty();
                if free && is_over {
                    return Err(failed(conn, self.migration.id.as_str())?);
                }
                false
            }
            Phase::Open => !self.options.close && !self.options.follow,
            Phase::Closed => true,
            Phase::Filling | Phase::Applying | Phase::Applied => false,
        };
        if wanted && recorded(&look.row).is_some_and(|proof| proof.token >= first) {
            let (recheck, options) = (self.options.recheck, looking(self.options));
            return match attest(self.db, self.migration, recheck, &options, self.monitor) {
                Ok(proof) => Ok(Some(Ended::Told(Box::new(told(proof))))),
                Err(RunError::Interrupted { .. }) => self.stopped(&Stop::Interrupted).map(Some),
                Err(error) => Err(error),
            };
        }
        if !free {
            return Ok(None);
        }
        if holder.stop && holder.owner().is_none() {
            return self.stopped(&Stop::Requested).map(Some);
        }
        Ok(Some(Ended::Free(Some((holder.token, holder.heartbeat)))))
    }

    fn stopped(&self, stop: &Stop) -> Result<Ended, RunError> {
        Ok(Ended::Told(Box::new(stopped(self.db, self.migration, stop)?)))
    }
}

/// What a waiting process shows of the runner.
#[derive(Debug, Default)]
struct Shown {
    owner: Option<String>,
    /// When, and how many rows had been passed then.
    before: Option<(Duration, u64)>,
    rate: f64,
}

impl Shown {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    fn show(&mut self, look: &Look, holder: &Holder, now: Duration, monitor: &dyn Monitor) {
        let owner = holder.owner();
        if self.owner != owner {
            let name = owner.as_deref().unwrap_or("nobody");
            monitor.warn(&format!(
                "{name} runs it ({:.1} % done); waiting for its proof, ready to take over",
                percent(&look.changes)
            ));
            self.owner = owner;
            self.before = None;
        }
        let passed: u64 = look.changes.iter().map(|change| change.counters.rows_passed).sum();
        match self.before {
            Some((then, rows)) if now.saturating_sub(then) >= Duration::from_secs(1) => {
                let seconds = now.saturating_sub(then).as_secs_f64();
                self.rate = (passed.saturating_sub(rows)) as f64 / seconds;
                self.before = Some((now, passed));
            }
            Some(_) => {}
            None => self.before = Some((now, passed)),
        }
        let phase = stage(look);
        monitor.progress(&Progress {
            phase,
            rows_done: passed,
            rows_total: look.changes.iter().map(|change| change.rows_total).sum(),
            rows_per_second: if phase == Stage::Filling { self.rate } else { 0.0 },
            paused: holder.throttle.clone(),
        });
    }
}

/// Where the runner is, as far as the database tells.
fn stage(look: &Look) -> Stage {
    match look.row.phase {
        Phase::Filling if look.changes.iter().any(|change| !change.seeded) => Stage::Seeding,
        Phase::Filling if look.changes.iter().any(|change| !change.filled) => Stage::Filling,
        Phase::Filling if look.changes.is_empty() => Stage::Preparing,
        Phase::Filling | Phase::Closed => Stage::Proving,
        Phase::Open => Stage::Following,
        Phase::Applying | Phase::Applied => Stage::Applying,
        Phase::RollingBack | Phase::RolledBack | Phase::Failed => Stage::Clearing,
    }
}
