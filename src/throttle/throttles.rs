//! All signals of one job, asked in a fixed order; the first one that does not say go wins.

use super::pause_when::PauseWhen;
use super::{Ask, Corrosion, Moment, PauseFile, Rate, Throttle, Tuning, Verdict, Window, Work};

/// The signals that a [`Tuning`] asks for. Kept by the writer's thread, and asked before each
/// batch.
#[derive(Clone, Debug)]
pub struct Throttles {
    window: Option<Window>,
    pause_file: Option<PauseFile>,
    pause_when: Option<PauseWhen>,
    corrosion: Option<Corrosion>,
    rows: Option<Rate>,
    bytes: Option<Rate>,
}

impl Throttles {
    /// The signals that `tuning` sets. Rates count from the first check.
    #[must_use]
    pub fn new(tuning: &Tuning) -> Self {
        Self {
            window: tuning.window.clone(),
            pause_file: tuning.pause_file.clone().map(PauseFile::new),
            pause_when: tuning.pause_when.clone().map(PauseWhen::new),
            corrosion: None,
            rows: tuning.rows_per_second.map(Rate::rows),
            bytes: tuning.bytes_per_second.map(Rate::bytes),
        }
    }

    /// Also pauses while the Corrosion agent of the database is behind; for every job on one.
    pub fn watch_corrosion(&mut self) {
        self.corrosion.get_or_insert_default();
    }

    /// What signals want the operator to hear, once for each job; empty most of the time.
    pub fn take_warnings(&mut self) -> Vec<String> {
        self.corrosion.as_mut().map(Corrosion::take_warnings).unwrap_or_default()
    }

    /// Takes another tuning. A rate keeps what is owed, and a query that stays the same is not
    /// asked any sooner.
    pub fn retune(&mut self, tuning: &Tuning) {
        self.window.clone_from(&tuning.window);
        self.pause_file = tuning.pause_file.clone().map(PauseFile::new);
        if self.pause_when.as_ref().map(PauseWhen::sql) != tuning.pause_when.as_deref() {
            self.pause_when = tuning.pause_when.clone().map(PauseWhen::new);
        }
        retune_rate(&mut self.rows, tuning.rows_per_second, Rate::rows);
        retune_rate(&mut self.bytes, tuning.bytes_per_second, Rate::bytes);
    }

    /// Whether the job may go on. `ask` is asked at most every 250 ms for each of `--pause-when` and
    /// the agent's backlog, and only where they are watched.
    ///
    /// The window comes first, because what it says ends the job; rates come last, because they
    /// pass by themselves.
    pub fn check(&mut self, now: Moment, work: &Work, ask: &mut dyn Ask) -> Verdict {
        self.window
            .check(now, work)
            .or_else(|| self.pause_file.check(now, work))
            .or_else(|| self.pause_when.as_mut().map(|s| s.asking(&mut *ask)).check(now, work))
            .or_else(|| self.corrosion.as_mut().map(|s| s.asking(&mut *ask)).check(now, work))
            .or_else(|| self.rows.check(now, work))
            .or_else(|| self.bytes.check(now, work))
    }

    /// The rows that the next batch may have so that the rates pass it without jerks, given what
    /// rows weighed so far; at least 1, and [`u64::MAX`] without rates.
    #[must_use]
    pub fn batch_rows_max(&self, work: &Work) -> u64 {
        let row_bytes = work.bytes.checked_div(work.rows).unwrap_or(0).max(1);
        let rows = self.rows.as_ref().map_or(u64::MAX, Rate::burst);
        let weighed = |rate: &Rate| rate.burst() / row_bytes;
        let heavy = self.bytes.as_ref().map_or(u64::MAX, weighed);
        rows.min(heavy).max(1)
    }
}

fn retune_rate(rate: &mut Option<Rate>, per_second: Option<u64>, new: fn(u64) -> Rate) {
    match (rate.as_mut(), per_second) {
        (Some(rate), Some(per_second)) => rate.retune(per_second),
        _ => *rate = per_second.map(new),
    }
}
