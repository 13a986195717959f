//! How progress of any kind is shown on standard error: a bar on a terminal, lines elsewhere, nothing
//! with `--quiet`. Does not know what progress is.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use super::args::VoiceArgs;

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Steps of the bar.
pub(super) const STEPS: u64 = 1000;

/// What can be shown.
pub(super) trait Told: Clone {
    /// How far it is, of [`STEPS`].
    fn steps(&self) -> u64;
    /// One line for people.
    fn line(&self) -> String;
    /// True where a line is written before its time, after one that said `then`.
    fn is_news_after(&self, then: &Self) -> bool;
}

/// The form that fits standard error and the flags.
pub(super) enum Voice<P> {
    Nothing,
    Bar(ProgressBar),
    Lines(Mutex<Option<(Instant, P)>>),
}

impl<P: Told> Voice<P> {
    pub(super) fn new(voice: VoiceArgs, bars: &MultiProgress) -> Self {
        if voice.quiet {
            return Self::Nothing;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines(Mutex::new(None));
        }
        let bar = bars.add(ProgressBar::new(STEPS));
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {wide_msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self::Bar(bar)
    }

    pub(super) fn show(&self, progress: &P) {
        match self {
            Self::Nothing => {}
            Self::Bar(bar) => {
                bar.set_position(progress.steps());
                bar.set_message(progress.line());
            }
            Self::Lines(last) => {
                let mut last = last.lock();
                let is_due = last.as_ref().is_none_or(|(at, then)| {
                    progress.is_news_after(then) || at.elapsed() >= LINE_EVERY
                });
                if is_due {
                    *last = Some((Instant::now(), progress.clone()));
                    // Who cannot read the progress can still want the result.
                    let _ = writeln!(std::io::stderr(), "{}", progress.line());
                }
            }
        }
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
