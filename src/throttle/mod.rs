//! How fast a job may go: limits, signals to pause, and politeness towards other writers.
//!
//! Owns the [`Tuning`] of a job, the file that changes it while the job runs ([`LimitsFile`]),
//! one file per signal, and [`Politeness`], which sizes batches. Touches no database: a query is
//! answered by the caller, and time is passed in.
//!
//! # Invariants
//! A pause always carries its reason, and a signal that cannot be read pauses. Nothing here ends a
//! job but [`Verdict::Stop`], which leaves it resumable.

use std::fmt;
use std::time::Duration;

use crate::layout::corrosion::Backlog;

pub mod clock;
mod corrosion;
pub mod error;
mod limits;
mod limits_parse;
mod pause_file;
mod pause_when;
pub mod politeness;
mod rate;
#[cfg(test)]
mod tests;
mod throttles;
mod tuning;
mod window;

pub use clock::{Clock, Moment, SimulatedClock, SystemClock};
pub use corrosion::Corrosion;
pub use error::{TuningError, WindowError};
pub use limits::LimitsFile;
pub use pause_file::PauseFile;
pub use pause_when::{PauseWhen, Reading};
pub use politeness::{Company, Politeness};
pub use rate::Rate;
pub use throttles::Throttles;
pub use tuning::{RECORDS_PER_TRANSACTION_MAX, Tuning, WAL_BYTES_MIN};
pub use window::Window;

/// What the job has done so far: the totals of this process, which never fall.
///
/// Build it with `..Work::default()`, so that a new total changes no caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Rows written.
    pub rows: u64,
    /// Bytes written, as the bill counts them.
    pub bytes: u64,
    /// The size of the write-ahead log now; the only number here that may fall. The writer
    /// truncates the log itself, so no signal reads it.
    pub wal_bytes: u64,
}

/// What to do before the next batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Write the next batch.
    Go,
    /// Wait, show the reason and ask again; nothing is lost.
    Pause(Pause),
    /// End the job, resumable (exit code 4), and say why.
    Stop(String),
}

impl Verdict {
    /// A pause as long as there is a reason, which has no limit; asked again after `wait`.
    fn while_seen(signal: &str, seen: Option<String>, wait: Duration) -> Self {
        seen.map_or(Self::Go, |seen| {
            Self::Pause(Pause { signal: signal.to_owned(), seen, limit: String::new(), wait })
        })
    }

    /// This verdict, or the next one's where this one lets the job go.
    fn or_else(self, next: impl FnOnce() -> Self) -> Self {
        if self == Self::Go { next() } else { self }
    }
}

/// Why a job pauses. Shown as `<signal> <seen> >= <limit>`, or `<signal> <seen>` where the signal
/// has no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The flag that asked for the pause, without its dashes; a signal that is no flag ends with a
    /// colon.
    pub signal: String,
    /// What was seen.
    pub seen: String,
    /// The limit that was passed; empty where there is none.
    pub limit: String,
    /// When to ask again at the latest; asking earlier is always right.
    pub wait: Duration,
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.signal, self.seen)?;
        if self.limit.is_empty() {
            return Ok(());
        }
        write!(f, " >= {}", self.limit)
    }
}

/// One signal that may hold the job back. Asked once before each batch, and during a pause.
pub trait Throttle {
    /// Whether the job may go on, given the time and the totals so far.
    ///
    /// Called with times and totals that never fall. Never blocks for longer than a look at a
    /// file takes.
    fn check(&mut self, now: Moment, work: &Work) -> Verdict;
}

/// Answers what signals ask of the database, on a connection that cannot write. An error is what
/// `SQLite` says, and pauses.
pub trait Ask {
    /// The first value of a query; `None` where it gives no row.
    ///
    /// # Errors
    /// When the query fails.
    fn value(&mut self, sql: &str) -> Result<Option<Reading>, String>;

    /// What the Corrosion agent of the database is behind with.
    ///
    /// # Errors
    /// When its tables cannot be read.
    fn backlog(&mut self) -> Result<Backlog, String>;
}

/// A signal that is not set holds nothing back.
impl<T: Throttle> Throttle for Option<T> {
    fn check(&mut self, now: Moment, work: &Work) -> Verdict {
        match self {
            Some(signal) => signal.check(now, work),
            None => Verdict::Go,
        }
    }
}
