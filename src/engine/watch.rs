//! How commands that only look tell how far they are, and hear that they are to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::Connection;

use super::RunError;
use crate::db::{DbError, Doing};
use crate::monitor::{Monitor, Progress, Stage};

/// How often progress is shown at most.
const SHOW: Duration = Duration::from_millis(100);
/// Instructions of `SQLite`'s machine between two looks at the signal: a few rows.
const INSTRUCTIONS: i32 = 100;

/// How rows are to be looked at.
#[derive(Clone, Debug, Default)]
pub struct LookOptions {
    /// Threads that read; 0 is one per core.
    pub threads: usize,
    /// Every row is looked up in each index, instead of being counted.
    pub integrity: bool,
    /// Set from a signal handler: the command ends with [`RunError::Interrupted`].
    pub cancel: Arc<AtomicBool>,
}

/// One look at rows, as it goes. Any of its threads may say what it has done.
pub(super) struct Watch<'w> {
    cancel: Arc<AtomicBool>,
    doing: &'static str,
    monitor: &'w dyn Monitor,
    seen: Mutex<Seen>,
}

struct Seen {
    progress: Progress,
    began: Instant,
    shown: Instant,
}

impl<'w> Watch<'w> {
    pub(super) fn new(
        stage: Stage,
        doing: &'static str,
        cancel: &Arc<AtomicBool>,
        monitor: &'w dyn Monitor,
    ) -> Self {
        let now = Instant::now();
        let progress = Progress { phase: stage, ..Progress::default() };
        let seen = Mutex::new(Seen { progress, began: now, shown: now });
        Self { cancel: Arc::clone(cancel), doing, monitor, seen }
    }

    /// There are `rows` more to look at.
    pub(super) fn expect(&self, rows: u64) {
        let mut seen = self.seen.lock();
        seen.progress.rows_total += rows;
        self.monitor.progress(&seen.progress);
    }

    /// Rows were looked at.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub(super) fn passed(&self, rows: u64) {
        let mut seen = self.seen.lock();
        seen.progress.rows_done += rows;
        seen.progress.rows_total = seen.progress.rows_total.max(seen.progress.rows_done);
        if seen.shown.elapsed() >= SHOW {
            let seconds = seen.began.elapsed().as_secs_f64();
            seen.progress.rows_per_second = seen.progress.rows_done as f64 / seconds;
            seen.shown = Instant::now();
            self.monitor.progress(&seen.progress);
        }
    }

    /// Rows that were looked at.
    pub(super) fn rows(&self) -> u64 {
        self.seen.lock().progress.rows_done
    }

    /// There is nothing more to look at.
    pub(super) fn end(&self) {
        self.monitor.progress(&self.seen.lock().progress);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    /// Has the statements of `conn` end as soon as the signal has come.
    pub(super) fn guard(&self, conn: &mut Connection) -> Result<(), DbError> {
        let cancel = Arc::clone(&self.cancel);
        conn.progress_handler(INSTRUCTIONS, Some(move || cancel.load(Ordering::Relaxed)))
            .doing("listen for signals")
    }

    /// What came of some work; where the signal has come, that, whatever it was.
    pub(super) fn unless_cancelled<T>(&self, result: Result<T, RunError>) -> Result<T, RunError> {
        if self.is_cancelled() {
            return Err(RunError::Interrupted { doing: self.doing });
        }
        result
    }
}
