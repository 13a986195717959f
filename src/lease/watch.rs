//! When a lease may be taken from a holder of whom nothing is heard. Pure: time is passed in.

use std::time::Duration;

/// Looks that a lease period is divided into: the time between two looks counts for one part at
/// most.
const PARTS: u32 = 10;
/// The shortest and the longest time between two looks.
const POLL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(250));

/// Watches the heartbeat of one holder.
///
/// The silence that counts is what the watcher itself has seen: where it was stopped, or its clock
/// jumped, the time between two looks counts for a tenth of the period at most, because the holder
/// may have been stopped with it. So a lease is never taken after fewer than ten looks in a row
/// that found the same counter.
#[derive(Clone, Debug)]
pub struct Watch {
    period: Duration,
    seen: Option<(i64, i64)>,
    looked: Duration,
    still: Duration,
}

impl Watch {
    /// Begins to watch; `period` is how long the counter may stand still.
    #[must_use]
    pub fn new(period: Duration) -> Self {
        Self { period, seen: None, looked: Duration::ZERO, still: Duration::ZERO }
    }

    /// How long to wait before the next look.
    #[must_use]
    pub fn poll(&self) -> Duration {
        // The last part of the period may be shorter than a tenth, so a look more is needed.
        (self.period / (2 * PARTS)).clamp(POLL.0, POLL.1)
    }

    /// Looks: at `now`, by the watcher's own monotonic clock, the holder of `token` has counted
    /// `heartbeat`.
    pub fn look(&mut self, now: Duration, token: i64, heartbeat: i64) -> Seen {
        let before = self.seen.replace((token, heartbeat));
        let passed = now.saturating_sub(self.looked);
        self.looked = now;
        if before != Some((token, heartbeat)) {
            self.still = Duration::ZERO;
            return if before.is_some() { Seen::Moved } else { Seen::Still };
        }
        self.still += passed.min(self.period / PARTS);
        if self.still >= self.period { Seen::Expired } else { Seen::Still }
    }
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The counter stands, not long enough yet.
    Still,
    /// The counter has moved, or somebody else has the lease.
    Moved,
    /// The counter stood still for a whole period.
    Expired,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(10);

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Looks every `step` until the lease expires; when that was.
    fn expires(watch: &mut Watch, from: u64, step: u64) -> u64 {
        (0..10_000)
            .map(|n| from + n * step)
            .find(|now| watch.look(at(*now), 1, 1) == Seen::Expired)
            .unwrap_or(0)
    }

    #[test]
    fn a_counter_that_stands_still_expires_after_one_period() {
        assert_eq!(expires(&mut Watch::new(PERIOD), 5000, 250), 15_000);
    }

    #[test]
    fn every_move_begins_a_new_period() {
        let mut watch = Watch::new(PERIOD);
        for n in 0..1000 {
            assert_ne!(watch.look(at(n * 1000), 1, n.cast_signed() / 9), Seen::Expired);
        }
        assert_eq!(watch.look(at(1_000_000), 1, 5000), Seen::Moved);
        assert_eq!(watch.look(at(1_000_000), 2, 5000), Seen::Moved);
    }

    #[test]
    fn a_jump_of_the_clock_expires_nothing() {
        let mut watch = Watch::new(PERIOD);
        watch.look(at(0), 1, 1);
        // A suspended machine: hours between two looks.
        assert_eq!(watch.look(at(100_000_000), 1, 1), Seen::Still);
        // From then on the rest of the period has to be seen.
        assert_eq!(expires(&mut watch, 100_000_250, 250), 100_009_000);
    }

    #[test]
    fn a_watcher_that_stalls_again_and_again_takes_ten_looks() {
        let mut watch = Watch::new(PERIOD);
        let looks = (0..100).find(|n| watch.look(at(n * 60_000), 1, 1) == Seen::Expired);
        assert_eq!(looks, Some(10));
    }

    #[test]
    fn a_clock_that_falls_counts_nothing() {
        let mut watch = Watch::new(PERIOD);
        watch.look(at(9000), 1, 1);
        for n in 0..100 {
            assert_eq!(watch.look(at(9000 - n), 1, 1), Seen::Still);
        }
    }

    #[test]
    fn looks_are_close_enough_for_every_period() {
        for seconds in [1, 2, 10, 3600] {
            let watch = Watch::new(Duration::from_secs(seconds));
            assert!(watch.poll() <= Duration::from_secs(seconds) / PARTS);
        }
    }
}
