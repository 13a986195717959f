//! Waiting with a bound, for what another process does.

use std::thread;
use std::time::{Duration, Instant};

const BOUND: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(5);

/// Polls `condition` until it holds; panics with `what` after a minute.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < BOUND, "not within {BOUND:?}: {what}");
        thread::sleep(POLL);
    }
}
