//! How far the build of an index is, on standard error: a bar on a terminal, lines elsewhere,
//! nothing with `--quiet`.

use std::fmt::Write as _;

use indicatif::MultiProgress;

use super::args::VoiceArgs;
use super::units;
use super::voice::{STEPS, Told, Voice};
use crate::monitor::{IndexProgress, Monitor, Progress};

/// Shows what a build tells.
pub struct ShowIndex {
    voice: Voice<IndexProgress>,
}

impl ShowIndex {
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

impl Monitor for ShowIndex {
    fn progress(&self, _: &Progress) {}

    fn index(&self, progress: &IndexProgress) {
        self.voice.show(progress);
    }

    fn note(&self, message: &str) {
        tracing::info!("{message}");
    }

    fn warn(&self, message: &str) {
        tracing::warn!("{message}");
    }
}

impl Told for IndexProgress {
    fn steps(&self) -> u64 {
        (STEPS * self.done).checked_div(self.total).unwrap_or(0)
    }

    fn line(&self) -> String {
        line(self)
    }

    /// For another index, and something else to wait for.
    fn is_news_after(&self, then: &Self) -> bool {
        then.index != self.index || then.waits.is_some() != self.waits.is_some()
    }
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
