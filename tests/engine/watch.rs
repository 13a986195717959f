//! Monitors that act at chosen moments of a job: after its k-th commit, from the writer's thread,
//! while no transaction of the job is open.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use dotfill::monitor::{Monitor, Progress};

type Act<'a> = Box<dyn FnMut(u64) + Send + 'a>;

/// Calls a closure after each commit, with the number of commits so far.
pub struct AfterCommit<'a> {
    commits: AtomicU64,
    act: Mutex<Act<'a>>,
}

impl<'a> AfterCommit<'a> {
    pub fn new(act: impl FnMut(u64) + Send + 'a) -> Self {
        Self { commits: AtomicU64::new(0), act: Mutex::new(Box::new(act)) }
    }

    /// Commits so far.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

impl Monitor for AfterCommit<'_> {
    fn progress(&self, _: &Progress) {}

    fn note(&self, _: &str) {}

    fn commit(&self, done: bool) {
        if done {
            let commits = self.commits.fetch_add(1, Ordering::Relaxed) + 1;
            (self.act.lock().unwrap())(commits);
        }
    }
}

/// Asks the job to end after its k-th commit.
pub fn cancel_after(commits: u64, cancel: &Arc<AtomicBool>) -> AfterCommit<'static> {
    let cancel = Arc::clone(cancel);
    AfterCommit::new(move |done| {
        if done >= commits {
            cancel.store(true, Ordering::Relaxed);
        }
    })
}
