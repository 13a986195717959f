//! How far the build of an index is, on standard error: a bar on a terminal, lines elsewhere,
//! nothing with `--quiet`.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use super::args::VoiceArgs;
use super::units;
use crate::monitor::{IndexProgress, Monitor, Progress};

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Steps of the bar.
const STEPS: u64 = 1000;

/// Shows what a build tells.
pub struct ShowIndex {
    form: Form,
}

enum Form {
    Nothing,
    Bar(ProgressBar),
    Lines(Mutex<Option<(Instant, IndexProgress)>>),
}

impl ShowIndex {
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

impl Monitor for ShowIndex {
    fn progress(&self, _: &Progress) {}

    fn index(&self, progress: &IndexProgress) {
        match &self.form {
            Form::Nothing => {}
            Form::Bar(bar) => {
                bar.set_position((STEPS * progress.done).checked_div(progress.total).unwrap_or(0));
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

/// True for another index, something else to wait for, and every five seconds.
fn is_due(at: Instant, then: &IndexProgress, now: &IndexProgress) -> bool {
    let changed = then.index != now.index || then.waits.is_some() != now.waits.is_some();
    changed || at.elapsed() >= LINE_EVERY
}

/// `users_email: building index: scanning table, 43.0 % of 12,300 blocks, by pid 4711 (..)`.
fn line(progress: &IndexProgress) -> String {
    let mut line = format!("{}: {}", progress.index, progress.phase);
    if progress.total > 0 {
        let percent = units::percent(progress.done, progress.total);
        let _ = write!(line, ", {percent} of {} {}", units::count(progress.total), progress.unit);
    }
    if !progress.by.is_empty() {
        let _ = write!(line, ", by {}", progress.by);
    }
    if let Some(waits) = &progress.waits {
        let _ = write!(line, "; waits for {waits}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_builds_how_far_and_what_for_it_waits() {
        let mut progress = IndexProgress {
            index: "users_email".to_owned(),
            by: "pid 7 (shop)".to_owned(),
            phase: "building index: scanning table".to_owned(),
            done: 430,
            total: 1000,
            unit: "blocks",
            waits: None,
        };
        assert_eq!(
            line(&progress),
            "users_email: building index: scanning table, 43.0 % of 1,000 blocks, by pid 7 (shop)"
        );
        progress.total = 0;
        progress.waits = Some("pid 9".to_owned());
        assert!(line(&progress).ends_with("by pid 7 (shop); waits for pid 9"));
    }
}
