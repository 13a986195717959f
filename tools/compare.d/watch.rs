//! Looks every 5 ms at what a job takes while it runs: the size of the WAL, and the anonymous
//! memory of a process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use crate::failed::{Failed, Outcome};

const EVERY: Duration = Duration::from_millis(5);

/// The largest values that were seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peaks {
    /// Size of the file.
    pub file_bytes: u64,
    /// Anonymous resident memory of the process.
    pub anonymous_bytes: u64,
}

/// A watch under way.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Peaks>,
}

impl Watch {
    /// Watches the size of a file.
    pub fn file(path: PathBuf) -> Self {
        Self::start(move |peaks| {
            let seen = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
            peaks.file_bytes = peaks.file_bytes.max(seen);
        })
    }

    /// Watches the memory of a process.
    pub fn memory(process: u32) -> Self {
        let status = PathBuf::from(format!("/proc/{process}/status"));
        Self::start(move |peaks| {
            peaks.anonymous_bytes = peaks.anonymous_bytes.max(anonymous_bytes(&status));
        })
    }

    fn start(mut look: impl FnMut(&mut Peaks) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = spawn(move || {
            let mut peaks = Peaks::default();
            while !stopped.load(Ordering::Relaxed) {
                look(&mut peaks);
                sleep(EVERY);
            }
            peaks
        });
        Self { stop, thread }
    }

    /// Ends the watch.
    pub fn finish(self) -> Outcome<Peaks> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| Failed("the watching thread panicked".into()))
    }
}

/// `RssAnon`, or where the kernel does not tell, the peak of all resident memory.
fn anonymous_bytes(status: &Path) -> u64 {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    field("RssAnon:").or_else(|| field("VmHWM:")).unwrap_or(0) * 1024
}
