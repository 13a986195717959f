//! How many rows the next batch has and how long the writer then stays away from the lock.
//!
//! Owns the judgement of who else is there and the measured speed of holds. Does not look at the
//! database, sleep or count: the engine says what it saw and does what this says.
//!
//! # Why gaps
//! `SQLite`'s busy handler only polls, so a job that locks again at once starves every waiter, at
//! any batch size: what counts is gap / hold. A waiter cannot be seen either, so gaps stay as long
//! as anybody else has the database open.

use std::time::Duration;

/// The smallest batch, unless `--batch-rows-max` is smaller: fewer rows cost more than they save.
const BATCH_ROWS_MIN: u64 = 16;
/// The first batch, before anything was measured.
const BATCH_ROWS_FIRST: u64 = 128;
/// How long somebody who wrote counts as writing.
const BUSY_FOR: Duration = Duration::from_secs(1);
/// How long nobody may have written before holds reach their quiet maximum.
const CALM_AFTER: Duration = Duration::from_secs(3);
/// The hold alone: longer ones gain nothing, and a newcomer waits for one at most.
const HOLD_ALONE: Duration = Duration::from_millis(25);
/// The hold when others have just stopped writing.
const HOLD_QUIET: Duration = Duration::from_millis(4);
/// The hold when others have been quiet for [`CALM_AFTER`].
const HOLD_CALM: Duration = Duration::from_millis(8);
/// The shortest gap. `SQLite`'s busy handler sleeps 1 ms after its first try: whoever met a hold of
/// less than 1 ms wakes up in a gap that is a little longer than that sleep really takes.
const GAP_MIN: Duration = Duration::from_micros(1250);
/// How much of the longest hold a batch aims at while others write: the rest is for what varies.
const BUSY_SHARE: f64 = 0.8;
/// How much of a new measurement enters the estimate when a hold did not overrun.
const WEIGHT: f64 = 0.3;

/// Who else uses the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// No other process has it open.
    Alone,
    /// Others have it open; none wrote within the last second.
    Quiet,
    /// Somebody came or wrote within the last second, or the lock was busy.
    Busy,
}

/// Sizes batches and gaps so that others hardly notice the job, and that alone it runs flat out.
#[derive(Clone, Debug)]
pub struct Politeness {
    hold: Duration,
    batch_rows_max: u64,
    /// When somebody last looked; `None` until the first time.
    now: Option<Duration>,
    neighbour: bool,
    /// When somebody last came, wrote or held the lock.
    disturbed: Option<Duration>,
    /// Rows per second of holds; `None` until one was measured.
    rate: Option<f64>,
    /// What the next batch may have at most, so that a batch grows by at most half.
    ceiling: u64,
}

impl Politeness {
    /// `hold` is the longest hold while others write, `batch_rows_max` bounds every batch.
    ///
    /// Until the first [`Self::observe`] the company is [`Company::Busy`]: nothing is known.
    #[must_use]
    pub fn new(hold: Duration, batch_rows_max: u64) -> Self {
        Self {
            hold,
            batch_rows_max: batch_rows_max.max(1),
            now: None,
            neighbour: false,
            disturbed: None,
            rate: None,
            ceiling: BATCH_ROWS_FIRST,
        }
    }

    /// Takes other limits from the next batch on; what was measured stays.
    pub fn retune(&mut self, hold: Duration, batch_rows_max: u64) {
        self.hold = hold;
        self.batch_rows_max = batch_rows_max.max(1);
    }

    /// Takes what was seen at `now`, since the last call. Called before each batch and in pauses.
    ///
    /// `neighbour`: another process has the database open; one that was not there before counts
    /// as a writer. `foreign_commit`: somebody else committed. `lock_was_busy`: the write lock was
    /// not to be had at once.
    pub fn observe(
        &mut self,
        now: Duration,
        neighbour: bool,
        foreign_commit: bool,
        lock_was_busy: bool,
    ) {
        let now = self.now.map_or(now, |before| before.max(now));
        self.now = Some(now);
        let came = neighbour && !self.neighbour;
        self.neighbour = neighbour;
        if came || foreign_commit || lock_was_busy {
            self.disturbed = Some(now);
        }
    }

    /// Who else uses the database, as last observed.
    #[must_use]
    pub fn company(&self) -> Company {
        if self.undisturbed() < BUSY_FOR {
            Company::Busy
        } else if self.neighbour {
            Company::Quiet
        } else {
            Company::Alone
        }
    }

    /// The rows of the next batch, from 16 (or `batch_rows_max`, when smaller) up.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the product is not negative, and a cast of a float saturates"
    )]
    pub fn batch_rows(&self) -> u64 {
        let target = self.target().as_secs_f64();
        let fitting = self.rate.map_or(u64::MAX, |rate| (rate * target) as u64);
        let floor = BATCH_ROWS_MIN.min(self.batch_rows_max);
        fitting.min(self.ceiling).clamp(floor, self.batch_rows_max)
    }

    /// Takes how long the lock was held for `rows` rows. Called after each commit, before the next
    /// [`Self::observe`] and after [`Self::batch_rows`].
    ///
    /// A hold that overran lowers the estimate at once. A batch with less than half of the rows
    /// granted (the end of a range) teaches nothing else: its fixed cost would pass for slowness.
    #[expect(clippy::cast_precision_loss, reason = "an estimate of a speed")]
    pub fn held(&mut self, rows: u64, hold: Duration) {
        let granted = self.batch_rows();
        let overran = hold > self.target();
        let full = rows >= granted.div_ceil(2);
        if rows == 0 || (!full && !overran && self.rate.is_some()) {
            return;
        }
        let seen = rows as f64 / hold.as_secs_f64().max(1e-6);
        self.rate = Some(match self.rate {
            None => seen,
            Some(rate) if overran => rate.min(seen),
            Some(rate) => rate + WEIGHT * (seen - rate),
        });
        if full {
            self.ceiling = granted.saturating_add(granted / 2);
        }
    }

    /// The time that the writer owes the others after a hold.
    #[must_use]
    pub fn gap(&self, hold: Duration) -> Duration {
        match self.company() {
            Company::Alone => Duration::ZERO,
            Company::Quiet => (hold / 3).max(GAP_MIN),
            Company::Busy => hold.max(GAP_MIN),
        }
    }

    /// How long nobody came, wrote or held the lock; forever when nobody ever did.
    fn undisturbed(&self) -> Duration {
        match (self.now, self.disturbed) {
            (None, _) => Duration::ZERO,
            (Some(_), None) => Duration::MAX,
            (Some(now), Some(at)) => now.saturating_sub(at),
        }
    }

    /// The hold that the next batch aims at.
    fn target(&self) -> Duration {
        match self.company() {
            Company::Alone => self.hold.max(HOLD_ALONE),
            Company::Quiet if self.undisturbed() >= CALM_AFTER => self.hold.max(HOLD_CALM),
            Company::Quiet => self.hold.max(HOLD_QUIET),
            Company::Busy => self.hold.mul_f64(BUSY_SHARE),
        }
    }
}
