//! Time as it is passed in: a moment, the system's clock, and a twin that tests move by hand.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// One point in time, as both clocks of the machine show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Time since the clock was made; never falls. Rates, gaps and pauses are measured with it.
    pub monotonic: Duration,
    /// Seconds since 1970-01-01 00:00 UTC; may jump. Only windows read it.
    pub unix_seconds: i64,
}

/// Where a job's time comes from, and how it waits.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Moment;
    /// Waits. The engine waits in small slices, so that a pause can be ended.
    fn sleep(&self, wait: Duration);
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now, at zero.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment { monotonic: self.start.elapsed(), unix_seconds: unix_seconds(SystemTime::now()) }
    }

    fn sleep(&self, wait: Duration) {
        std::thread::sleep(wait);
    }
}

/// Rounded towards zero, and a machine whose clock stands before 1970 gets a negative number.
fn unix_seconds(time: SystemTime) -> i64 {
    let seconds = |length: Duration| i64::try_from(length.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => seconds(after),
        Err(before) => -seconds(before.duration()),
    }
}

/// A clock that stands still until it is moved, for tests; waiting moves it.
#[derive(Debug, Default)]
pub struct SimulatedClock {
    unix_start: i64,
    passed: Mutex<Duration>,
}

impl SimulatedClock {
    /// A clock that shows `unix_seconds`, and zero as its monotonic time.
    #[must_use]
    pub fn new(unix_seconds: i64) -> Self {
        Self { unix_start: unix_seconds, passed: Mutex::default() }
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut passed = self.passed.lock();
        *passed = passed.saturating_add(by);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Moment {
        let monotonic = *self.passed.lock();
        let seconds = i64::try_from(monotonic.as_secs()).unwrap_or(i64::MAX);
        Moment { monotonic, unix_seconds: self.unix_start.saturating_add(seconds) }
    }

    fn sleep(&self, wait: Duration) {
        self.advance(wait);
    }
}
