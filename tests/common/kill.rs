//! Killing a job at one of its commits: the job is the test binary again, in a child that finds its
//! orders in an environment variable.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use dotfill::monitor::{Monitor, Progress};

/// Aborts the process at the n-th call of `commit`.
pub struct AbortAt(AtomicU64);

impl AbortAt {
    pub fn new(point: u64) -> Self {
        Self(AtomicU64::new(point))
    }
}

impl Monitor for AbortAt {
    fn progress(&self, _: &Progress) {}

    fn note(&self, _: &str) {}

    fn commit(&self, _: bool) {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 1 {
            std::process::abort();
        }
    }
}

/// Runs `test` of the module at `path` (`module_path!()`) in a child, with `orders` in `variable`;
/// true where it was killed.
#[track_caller]
pub fn killed(path: &str, test: &str, variable: &str, orders: &str) -> bool {
    let (_, module) = path.split_once("::").expect("a module of a suite");
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args([&format!("{module}::{test}"), "--exact", "--test-threads=1"])
        .env(variable, orders)
        .output()
        .expect("the child starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() || output.status.signal() == Some(6), "{said}");
    !output.status.success()
}
