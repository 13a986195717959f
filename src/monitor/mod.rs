//! What a job tells the outside while it works: progress, events, and the moments of its commits.
//! Counters live here once; nothing here prints.

use std::time::Duration;

use serde::Serialize;

/// Where a job is. Sent at most ten times a second, and at the end of each phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Progress {
    /// What is being done.
    pub phase: Stage,
    /// Rows that this phase has passed, over all runs.
    pub rows_done: u64,
    /// Rows that this phase will pass; grows when there turn out to be more.
    pub rows_total: u64,
    /// Rows per second over the last seconds, pauses included.
    pub rows_per_second: f64,
    /// Why the job pauses: `<signal> <seen> >= <limit>`; `None` while it works.
    pub paused: Option<String>,
}

impl Progress {
    /// From 0 to 100, never above, and 100 only when nothing is left.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
    pub fn percent(&self) -> f64 {
        if self.rows_done >= self.rows_total {
            return 100.0;
        }
        (100.0 * self.rows_done as f64 / self.rows_total as f64).min(99.9)
    }

    /// How long the rest takes at the present rate; `None` where that cannot be said.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
    pub fn eta(&self) -> Option<Duration> {
        let rest = self.rows_total.saturating_sub(self.rows_done);
        (self.rows_per_second > 1.0)
            .then(|| Duration::from_secs_f64((rest as f64 / self.rows_per_second).min(1e9)))
    }
}

/// A phase of a job, as people see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Looking, and adding the column.
    #[default]
    Preparing,
    /// Reading which cells users own already.
    Seeding,
    /// Filling rows.
    Filling,
    /// Building an index, in one transaction.
    Building,
    /// Deriving the rows that others changed meanwhile.
    Draining,
    /// Counting, from the data, that every row is done.
    Proving,
    /// Reading the rows of this replica, and of another one.
    Comparing,
    /// Reading delta segments.
    Inspecting,
    /// Open, waiting for keys to be noted.
    Following,
    /// Setting our cells back to NULL.
    Clearing,
    /// Reading our cells into delta segments.
    Exporting,
    /// Writing values from delta segments.
    Applying,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Preparing => "preparing",
            Self::Seeding => "seeding",
            Self::Filling => "filling",
            Self::Building => "building",
            Self::Draining => "draining",
            Self::Proving => "proving",
            Self::Comparing => "comparing",
            Self::Inspecting => "inspecting",
            Self::Following => "following",
            Self::Clearing => "clearing",
            Self::Exporting => "exporting",
            Self::Applying => "applying",
        })
    }
}

/// Where the build of an index is that another server makes. It has phases of unequal length, so
/// that no percentage of the whole can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct IndexProgress {
    /// The index.
    pub index: String,
    /// Who does it: `pid 4711 (dotfill owner-index, on web-3)`; empty where nobody does.
    pub by: String,
    /// What is being done, in the server's words.
    pub phase: String,
    /// How much of this phase is done.
    pub done: u64,
    /// How much this phase has to do; 0 where that is not known.
    pub total: u64,
    /// What is counted.
    pub unit: &'static str,
    /// What it waits for: who holds a lock, since when, and what for.
    pub waits: Option<String>,
}

/// `building index: scanning table, 43 % of 1200 blocks, by pid 4711; waits for pid 12`.
impl std::fmt::Display for IndexProgress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.phase)?;
        if self.total > 0 {
            let percent = 100 * u128::from(self.done.min(self.total)) / u128::from(self.total);
            write!(f, ", {percent} % of {} {}", self.total, self.unit)?;
        }
        if !self.by.is_empty() {
            write!(f, ", by {}", self.by)?;
        }
        match &self.waits {
            Some(waits) => write!(f, "; waits for {waits}"),
            None => Ok(()),
        }
    }
}

/// Watches a job. Called once per batch at most, never per row.
pub trait Monitor: Send + Sync {
    /// The job has come this far.
    fn progress(&self, progress: &Progress);
    /// The build of an index on another server has come this far.
    fn index(&self, progress: &IndexProgress) {
        let _ = progress;
    }
    /// Something happened that a log should hold.
    fn note(&self, message: &str);
    /// Something happened that the operator should look at.
    fn warn(&self, message: &str) {
        self.note(message);
    }
    /// A write transaction is about to commit (`done` false) or has committed (`done` true).
    fn commit(&self, done: bool) {
        let _ = done;
    }
}

/// A monitor that watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Monitor for Quiet {
    fn progress(&self, _: &Progress) {}
    fn note(&self, _: &str) {}
}

/// A monitor that keeps what it was told, for tests.
#[derive(Debug, Default)]
pub struct Recorder {
    notes: parking_lot::Mutex<Vec<String>>,
    last: parking_lot::Mutex<Progress>,
    commits: std::sync::atomic::AtomicU64,
}

impl Recorder {
    /// The messages so far.
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().clone()
    }

    /// The last progress.
    pub fn last(&self) -> Progress {
        self.last.lock().clone()
    }

    /// Commits so far.
    pub fn commits(&self) -> u64 {
        self.commits.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl Monitor for Recorder {
    fn progress(&self, progress: &Progress) {
        self.last.lock().clone_from(progress);
    }

    fn note(&self, message: &str) {
        self.notes.lock().push(message.to_owned());
    }

    fn commit(&self, done: bool) {
        if done {
            self.commits.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
}
