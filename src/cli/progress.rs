//! Progress on standard error: a bar on a terminal, lines elsewhere, nothing with `--quiet`.

use std::fmt::Write as _;
use std::time::Duration;

use indicatif::MultiProgress;

use super::args::VoiceArgs;
use super::units;
use super::voice::{Told, Voice};
use crate::monitor::{Monitor, Progress, Stage};

/// Shows what a job tells.
pub struct Show {
    voice: Voice<Progress>,
}

impl Show {
    /// The form that fits standard error and the flags.
    #[must_use]
    pub fn new(voice: VoiceArgs, bars: &MultiProgress) -> Self {
        Self { voice: Voice::new(voice, bars) }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.voice.finish();
    }
}

impl Monitor for Show {
    fn progress(&self, progress: &Progress) {
        self.voice.show(progress);
    }

    fn note(&self, message: &str) {
        tracing::info!("{message}");
    }

    fn warn(&self, message: &str) {
        tracing::warn!("{message}");
    }
}

impl Told for Progress {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
    fn steps(&self) -> u64 {
        // Nothing counted yet is not everything done.
        if self.rows_total == 0 { 0 } else { (self.percent() * 10.0) as u64 }
    }

    fn line(&self) -> String {
        line(self)
    }

    /// For a new phase, a new reason to pause or its end, and once rows are counted.
    fn is_news_after(&self, then: &Self) -> bool {
        let counted = then.rows_total == 0 && self.rows_total > 0;
        counted || then.phase != self.phase || then.paused.is_some() != self.paused.is_some()
    }
}

/// `filling 61.3 % of 1,000,000 rows, 410,000 rows/s, 0.9 s left`.
fn line(progress: &Progress) -> String {
    let mut line = progress.phase.to_string();
    let total = progress.rows_total;
    if total > 0 && progress.phase != Stage::Following {
        let percent = units::percent(progress.rows_done, total);
        let _ = write!(line, " {percent} of {} rows", units::count(total));
    }
    if progress.rows_per_second >= 1.0 {
        let _ = write!(line, ", {}", units::rate(progress.rows_per_second, "rows"));
    }
    match (&progress.paused, progress.eta()) {
        (Some(reason), _) => {
            let _ = write!(line, ", paused: {reason}");
        }
        (None, Some(rest)) if rest > Duration::ZERO => {
            let _ = write!(line, ", {} left", units::duration(rest));
        }
        (None, _) => {}
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_why_not() {
        let mut progress = Progress {
            phase: Stage::Filling,
            rows_done: 613_000,
            rows_total: 1_000_000,
            rows_per_second: 410_000.0,
            paused: None,
        };
        assert_eq!(
            line(&progress),
            "filling 61.3 % of 1,000,000 rows, 410,000 rows/s, 944 ms left"
        );
        progress.rows_per_second = 0.0;
        progress.paused = Some("pause-file /x exists".to_owned());
        assert_eq!(
            line(&progress),
            "filling 61.3 % of 1,000,000 rows, paused: pause-file /x exists"
        );
    }
}
