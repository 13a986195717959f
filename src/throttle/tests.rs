//! Tests of the throttles. Time is simulated: no test sleeps.

use std::time::Duration;

use super::*;

mod corrosion;
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

/// Answers queries with a function, and has no agent.
struct Answers<F>(F);

impl<F: FnMut(&str) -> Result<Option<Reading>, String>> Ask for Answers<F> {
    fn value(&mut self, sql: &str) -> Result<Option<Reading>, String> {
        (self.0)(sql)
    }

    fn backlog(&mut self) -> Result<Backlog, String> {
        panic!("asked for a backlog")
    }
}

/// Answers nothing: the test sets no signal that asks.
fn unasked() -> impl Ask {
    Answers(|sql: &str| panic!("asked {sql}"))
}
