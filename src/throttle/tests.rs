//! Tests of the throttles. Time is simulated: no test sleeps.

use std::time::Duration;

use super::*;

mod limits;
mod politeness;
mod rate;
mod signals;
mod window;

/// The moment `millis` after the start, in 1970.
fn after(millis: u64) -> Moment {
    Moment {
        monotonic: Duration::from_millis(millis),
        unix_seconds: i64::try_from(millis / 1_000).unwrap_or(i64::MAX),
    }
}

fn rows(rows: u64) -> Work {
    Work { rows, ..Work::default() }
}

fn paused(verdict: Verdict) -> Pause {
    match verdict {
        Verdict::Pause(pause) => pause,
        other => panic!("no pause: {other:?}"),
    }
}

/// Answers no query: the test sets no `pause-when`.
fn unasked(sql: &str) -> Result<Option<Reading>, String> {
    panic!("asked {sql}")
}
