//! When the next batch may be written, and how large it may be: one place that asks the limits,
//! the signals, the neighbours, the WAL, the operator and the budget.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use rusqlite::Connection;

use super::ask::Asked;
use super::wal::Wal;
use super::{RunError, RunOptions, Stop};
use crate::db::{self, locks::LockWatch};
use crate::migration::MigrationId;
use crate::monitor::{Monitor, Progress, Stage};
use crate::state;
use crate::throttle::{Clock, LimitsFile, Pause, Politeness, Throttles, Tuning, Verdict, Work};
use crate::write::{Committed, Session, WriteError};

/// The longest sleep between two looks at the cancel flag.
const SLICE: Duration = Duration::from_millis(50);
/// How often a reason that changes while the job pauses is written down at most.
const NEWS: Duration = Duration::from_secs(1);
/// How often progress is shown at most.
const SHOW: Duration = Duration::from_millis(100);

/// Paces one job. Lives in the writer's thread.
pub(super) struct Pace<'a> {
    clock: &'a dyn Clock,
    monitor: &'a dyn Monitor,
    migration: &'a MigrationId,
    cancel: Arc<AtomicBool>,
    /// Set where a thread beside the writer has failed: the job ends after its batch.
    pub failed: Arc<AtomicBool>,
    /// Held by our readers while they hold a snapshot.
    pub gate: Arc<RwLock<()>>,
    tuning: Tuning,
    limits: Option<LimitsFile>,
    throttles: Throttles,
    politeness: Politeness,
    locks: LockWatch,
    asked: Asked,
    /// The WAL, for its checkpointer.
    pub wal: Wal,
    work: Work,
    heartbeat: Duration,
    beaten: Instant,
    paused: Duration,
    batches: u64,
    stop: Option<Stop>,
    /// The reason of the pause has changed, and `status` does not show it yet.
    unseen: bool,
    /// Warnings that are no events yet.
    warnings: Vec<String>,
    progress: Progress,
    shown: Instant,
    rate: RateMeter,
}

impl<'a> Pace<'a> {
    pub(super) fn new(
        (db, conn): (&Path, &Connection),
        options: &RunOptions,
        clock: &'a dyn Clock,
        monitor: &'a dyn Monitor,
        migration: &'a MigrationId,
    ) -> Result<Self, RunError> {
        let (limits, tuning) = match &options.limits {
            None => (None, options.tuning.clone()),
            Some(file) => {
                let (limits, tuning) = LimitsFile::open(file, options.tuning.clone())?;
                (Some(limits), tuning)
            }
        };
        if let Some(sql) = &tuning.pause_when {
            super::ask::check(conn, sql)?;
        }
        let wal = Wal::new(db, conn, tuning.wal_bytes_max)?;
        let hold = Duration::from_millis(tuning.hold_ms);
        let mut throttles = Throttles::new(&tuning);
        if db::environment(conn)?.corrosion {
            throttles.watch_corrosion();
        }
        Ok(Self {
            clock,
            monitor,
            migration,
            cancel: Arc::clone(&options.cancel),
            failed: Arc::new(AtomicBool::new(false)),
            gate: Arc::new(RwLock::new(())),
            throttles,
            politeness: Politeness::new(hold, tuning.batch_rows_max),
            limits,
            tuning,
            locks: LockWatch::new(db),
            asked: Asked::new(db),
            wal,
            work: Work::default(),
            heartbeat: options.lease / 4,
            beaten: Instant::now(),
            paused: Duration::ZERO,
            batches: 0,
            stop: None,
            unseen: false,
            warnings: Vec::new(),
            progress: Progress::default(),
            shown: Instant::now(),
            rate: RateMeter::new(),
        })
    }

    /// The tuning in force.
    pub(super) fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// True where another process has the database open.
    pub(super) fn has_neighbour(&self) -> bool {
        self.locks.neighbour().is_some()
    }

    /// Time spent in pauses that a signal or a limit asked for.
    pub(super) fn paused(&self) -> Duration {
        self.paused
    }

    /// Batches so far.
    pub(super) fn batches(&self) -> u64 {
        self.batches
    }

    /// Begins a phase of `total` rows of which `done` are behind us.
    pub(super) fn stage(&mut self, phase: Stage, done: u64, total: u64) {
        self.progress =
            Progress { phase, rows_done: done, rows_total: total, ..Progress::default() };
        self.rate = RateMeter::new();
        self.show(true);
    }

    /// Corrects what the phase will pass.
    pub(super) fn total(&mut self, total: u64) {
        self.progress.rows_total = total;
    }

    /// Ends the job after this batch.
    pub(super) fn stop(&mut self, why: Stop) {
        self.stop.get_or_insert(why);
    }

    /// Waits until the next batch may be written. Returns how many rows it may have, or why the
    /// job ends here.
    pub(super) fn before_batch(
        &mut self,
        session: &mut Session<'_>,
    ) -> Result<Result<u64, Stop>, RunError> {
        loop {
            if let Some(stop) = self.asked_to_stop() {
                return Ok(Err(stop));
            }
            let pause = match self.verdict(session)? {
                Verdict::Go => break,
                Verdict::Stop(why) => return Ok(Err(Stop::Window(why))),
                Verdict::Pause(pause) => pause,
            };
            self.pause(session, &pause)?;
        }
        if session.throttle().is_some() {
            session.set_throttle(None);
        }
        self.progress.paused = None;
        let (foreign, busy) = (false, false);
        let now = self.clock.now().monotonic;
        self.politeness.observe(now, self.locks.neighbour().is_some(), foreign, busy);
        let rows = self.politeness.batch_rows().min(self.throttles.batch_rows_max(&self.work));
        Ok(Ok(rows.min(self.tuning.batch_rows_max).max(1)))
    }

    /// Why the job is to end, where it is.
    pub(super) fn asked_to_stop(&mut self) -> Option<Stop> {
        if self.cancel.load(Ordering::Relaxed) || self.failed.load(Ordering::Relaxed) {
            self.stop(Stop::Interrupted);
        }
        self.stop.clone()
    }

    fn verdict(&mut self, session: &mut Session<'_>) -> Result<Verdict, RunError> {
        if let Some(limits) = &mut self.limits {
            match limits.refresh() {
                Ok(None) => {}
                Ok(Some(tuning)) => self.retune(tuning),
                Err(reason) => return Ok(Verdict::Pause(unreadable(reason))),
            }
        }
        if let Some(pause) = self.wal.relieve(session.conn(), &self.gate, &self.locks)? {
            return Ok(Verdict::Pause(pause));
        }
        self.work.wal_bytes = self.wal.used_bytes();
        let verdict = self.throttles.check(self.clock.now(), &self.work, &mut self.asked);
        for warning in self.throttles.take_warnings() {
            self.monitor.warn(&warning);
            self.warnings.push(warning);
        }
        self.record_warnings(session)?;
        Ok(verdict)
    }

    /// Records warnings as events, for whoever asks for the status later. What cannot be recorded
    /// now, because others hold the lock or have changed the schema, is recorded the next time.
    fn record_warnings(&mut self, session: &mut Session<'_>) -> Result<(), RunError> {
        let id = self.migration.as_str();
        while let Some(warning) = self.warnings.last() {
            if self.locks.writer().is_some() {
                break;
            }
            match session.transact(|conn| Ok(state::event(conn, id, "warning", warning)?)) {
                Ok(done) if done.stop => self.stop(Stop::Requested),
                Ok(_) => {}
                Err(WriteError::SchemaChanged) => break,
                Err(error) => return Err(error.into()),
            }
            self.warnings.pop();
        }
        Ok(())
    }

    fn retune(&mut self, tuning: Tuning) {
        self.monitor.note("the limits file has changed: new limits are in force");
        self.throttles.retune(&tuning);
        self.politeness.retune(Duration::from_millis(tuning.hold_ms), tuning.batch_rows_max);
        self.wal.retune(tuning.wal_bytes_max);
        self.tuning = tuning;
    }

    fn pause(&mut self, session: &mut Session<'_>, pause: &Pause) -> Result<(), RunError> {
        let is_rate = pause.signal.ends_with("per-second");
        let reason = (!is_rate || pause.wait > Duration::from_secs(1)).then(|| pause.to_string());
        let began = session.throttle().is_some() != reason.is_some();
        let news = session.throttle() != reason.as_deref();
        if news {
            session.set_throttle(reason.clone());
            self.unseen = true;
        }
        if began || (self.unseen && self.beaten.elapsed() >= NEWS) {
            self.beat_unless_locked(session)?;
        }
        self.progress.paused = reason;
        self.show(false);
        let slice = pause.wait.clamp(Duration::from_millis(1), SLICE);
        self.clock.sleep(slice);
        self.paused += slice;
        if self.beaten.elapsed() >= self.heartbeat {
            self.beat_unless_locked(session)?;
        }
        Ok(())
    }

    /// As [`Self::beat`], but later where somebody is in a write transaction: an agent that applies
    /// a large version may be for a minute, and waiting for the lock would not hear an interrupt.
    /// A waiter needs that lock too, to take the lease of a runner that does not beat.
    fn beat_unless_locked(&mut self, session: &mut Session<'_>) -> Result<(), RunError> {
        if self.locks.writer().is_some() {
            return Ok(());
        }
        self.unseen = false;
        self.beat(session)
    }

    /// Shows others that we live, and hears whether we are to stop.
    fn beat(&mut self, session: &mut Session<'_>) -> Result<(), RunError> {
        self.beaten = Instant::now();
        match session.transact(|_| Ok(())) {
            Ok(done) if done.stop => self.stop(Stop::Requested),
            // The next batch finds out what changed.
            Ok(_) | Err(WriteError::SchemaChanged) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// After a commit: learns from it, and leaves the others their turn. Returns its value.
    pub(super) fn after_batch<T>(&mut self, done: Committed<T>, rows: u64, bytes: u64) -> T {
        self.batches += 1;
        self.beaten = Instant::now();
        self.work.rows += rows;
        self.work.bytes += bytes;
        self.wal.after_commit();
        if done.stop {
            self.stop(Stop::Requested);
        }
        let now = self.clock.now().monotonic;
        let neighbour = self.locks.neighbour().is_some();
        self.politeness.observe(now, neighbour, done.foreign, done.was_busy);
        self.politeness.held(rows, done.hold);
        let gap = self.politeness.gap(done.hold);
        if gap > Duration::ZERO {
            self.clock.sleep(gap);
        }
        done.value
    }

    /// Counts rows as passed, and shows it now and then.
    pub(super) fn passed(&mut self, rows: u64) {
        self.progress.rows_done += rows;
        if self.progress.rows_done > self.progress.rows_total {
            // Others insert ahead of us: how many are left is not known, and it is not done.
            self.progress.rows_total = self.progress.rows_done + 1;
        }
        self.show(false);
    }

    fn show(&mut self, always: bool) {
        if !always && self.shown.elapsed() < SHOW {
            return;
        }
        self.shown = Instant::now();
        self.progress.rows_per_second =
            self.rate.update(self.clock.now().monotonic, self.progress.rows_done);
        self.monitor.progress(&self.progress);
    }

    /// Waits while nothing is to be done, hearing the operator. True where the job is to end.
    pub(super) fn idle(
        &mut self,
        session: &mut Session<'_>,
        time: Duration,
    ) -> Result<bool, RunError> {
        let mut left = time;
        while left > Duration::ZERO {
            let slice = left.min(SLICE);
            self.clock.sleep(slice);
            left -= slice;
            if self.beaten.elapsed() >= self.heartbeat {
                self.beat_unless_locked(session)?;
            }
            if self.asked_to_stop().is_some() {
                return Ok(true);
            }
        }
        self.show(false);
        Ok(false)
    }
}

fn unreadable(reason: String) -> Pause {
    Pause {
        signal: "limits".to_owned(),
        seen: reason,
        limit: String::new(),
        wait: Duration::from_millis(500),
    }
}

/// Rows per second over about the last two seconds.
#[derive(Debug)]
struct RateMeter {
    marks: std::collections::VecDeque<(Duration, u64)>,
}

impl RateMeter {
    fn new() -> Self {
        Self { marks: std::collections::VecDeque::with_capacity(32) }
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    fn update(&mut self, now: Duration, rows: u64) -> f64 {
        self.marks.push_back((now, rows));
        while self.marks.len() > 2
            && self.marks.front().is_some_and(|(at, _)| now.saturating_sub(*at).as_secs() >= 2)
        {
            self.marks.pop_front();
        }
        match self.marks.front() {
            Some((at, then)) if now > *at => {
                rows.saturating_sub(*then) as f64 / (now.saturating_sub(*at)).as_secs_f64()
            }
            _ => 0.0,
        }
    }
}
