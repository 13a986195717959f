//! Progress on standard error: a bar on a terminal, lines elsewhere, nothing with `--quiet`.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use super::args::VoiceArgs;
use super::units;
use crate::monitor::{Monitor, Progress, Stage};

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Steps of the bar.
const STEPS: u64 = 1000;

/// Shows what a job tells.
pub struct Show {
    form: Form,
}

enum Form {
    Nothing,
    Bar(ProgressBar),
    Lines(Mutex<Option<(Instant, Progress)>>),
}

impl Show {
    /// The form that fits standard error and the flags.
    #[must_use]
    pub fn new(voice: VoiceArgs, bars: &MultiProgress) -> Self {
        let form = if voice.quiet {
            Form::Nothing
        } else if std::io::stderr().is_terminal() {
            let bar = bars.add(ProgressBar::new(STEPS));
            if let Ok(style) = ProgressStyle::with_template("{bar:24} {wide_msg}") {
                bar.set_style(style.progress_chars("=> "));
            }
            Form::Bar(bar)
        } else {
            Form::Lines(Mutex::new(None))
        };
        Self { form }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
        }
    }
}

impl Monitor for Show {
    fn progress(&self, progress: &Progress) {
        match &self.form {
            Form::Nothing => {}
            Form::Bar(bar) => {
                bar.set_position(steps(progress));
                bar.set_message(line(progress));
            }
            Form::Lines(last) => {
                let mut last = last.lock();
                if last.as_ref().is_none_or(|(at, then)| is_due(*at, then, progress)) {
                    *last = Some((Instant::now(), progress.clone()));
                    // Who cannot read the progress can still want the result.
                    let _ = writeln!(std::io::stderr(), "{}", line(progress));
                }
            }
        }
    }

    fn note(&self, message: &str) {
        tracing::info!("{message}");
    }

    fn warn(&self, message: &str) {
        tracing::warn!("{message}");
    }
}

/// True for a new phase, a new reason to pause or its end, and every five seconds.
fn is_due(at: Instant, then: &Progress, now: &Progress) -> bool {
    let counted = then.rows_total == 0 && now.rows_total > 0;
    let changed = then.phase != now.phase || then.paused.is_some() != now.paused.is_some();
    counted || changed || at.elapsed() >= LINE_EVERY
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
fn steps(progress: &Progress) -> u64 {
    // Nothing counted yet is not everything done.
    if progress.rows_total == 0 { 0 } else { (progress.percent() * 10.0) as u64 }
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
