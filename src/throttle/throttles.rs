//! All signals of one job, asked in a fixed order; the first one that does not say go wins.

use super::pause_when::PauseWhen;
use super::{Moment, PauseFile, Rate, Throttle, Tuning, Verdict, Window, Work};

/// The signals that a [`Tuning`] asks for. Kept by the writer's thread, and asked before each
/// batch.
#[derive(Clone, Debug)]
pub struct Throttles {
    window: Option<Window>,
    pause_file: Option<PauseFile>,
    pause_when: Option<PauseWhen>,
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
            rows: tuning.rows_per_second.map(Rate::rows),
            bytes: tuning.bytes_per_second.map(Rate::bytes),
        }
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

    /// Whether the job may go on. `query` asks the database for one value, on a connection
    /// that cannot write; it is called at most every 250 ms, and only where `--pause-when` is set.
    ///
    /// The window comes first, because what it says ends the job; rates come last, because they
    /// pass by themselves.
    pub fn check(
        &mut self,
        now: Moment,
        work: &Work,
        query: &mut dyn FnMut(&str) -> Result<Option<super::Reading>, String>,
    ) -> Verdict {
        let mut pause_when = self.pause_when.as_mut().map(|signal| signal.asking(query));
        let signals: [&mut dyn Throttle; 5] = [
            &mut self.window,
            &mut self.pause_file,
            &mut pause_when,
            &mut self.rows,
            &mut self.bytes,
        ];
        let mut verdicts = signals.into_iter().map(|signal| signal.check(now, work));
        verdicts.find(|verdict| *verdict != Verdict::Go).unwrap_or(Verdict::Go)
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
