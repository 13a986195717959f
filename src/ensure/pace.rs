//! The time that a call has: how much of it is over, and pauses that hear a signal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::EnsureOptions;

/// The longest piece of a pause between two looks at the signal.
const HEARD_WITHIN: Duration = Duration::from_millis(50);

/// The clock of one call.
pub struct Pace {
    began: Instant,
    timeout: Option<Duration>,
    cancel: Arc<AtomicBool>,
}

impl Pace {
    /// Starts the clock.
    #[must_use]
    pub fn start(options: &EnsureOptions) -> Self {
        Self {
            began: Instant::now(),
            timeout: options.timeout,
            cancel: Arc::clone(&options.cancel),
        }
    }

    /// Since the call began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether a signal has come.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    /// Whether the time is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.timeout.is_some_and(|most| self.began.elapsed() >= most)
    }

    /// Sleeps, and not longer than until a signal comes or the time is over.
    pub fn pause(&self, length: Duration) {
        let began = Instant::now();
        while let Some(rest) = length.checked_sub(began.elapsed()).filter(|rest| !rest.is_zero()) {
            if self.is_cancelled() || self.is_over() {
                return;
            }
            std::thread::sleep(rest.min(HEARD_WITHIN));
        }
    }
}
