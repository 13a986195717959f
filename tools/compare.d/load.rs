//! How busy everyone else kept the machine meanwhile, so that a disturbed run is seen to be one.

use crate::failed::{Failed, Outcome};

/// A moment, in the kernel's ticks since the start.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    all: u64,
    busy: u64,
    ours: u64,
}

impl Moment {
    /// Now.
    ///
    /// # Errors
    /// The kernel tells it elsewhere than Linux does.
    pub fn now() -> Outcome<Self> {
        let cpu = numbers("/proc/stat", "cpu ")?;
        let ours = numbers("/proc/self/stat", ") ")?;
        let idle: u64 = cpu.iter().skip(3).take(2).sum();
        // The kernel counts the time of guests within that of users: eight fields are all.
        let all: u64 = cpu.iter().take(8).sum();
        // After the name come the state and ten others, then our time and our children's.
        let ours = ours.iter().skip(11).take(4).sum();
        Ok(Self { all, busy: all - idle, ours })
    }

    /// The share of the machine, of all cores, that others kept busy since then.
    pub fn others_since(self) -> Outcome<f64> {
        let now = Self::now()?;
        let busy = (now.busy - self.busy).saturating_sub(now.ours - self.ours);
        Ok(busy as f64 / (now.all - self.all).max(1) as f64)
    }
}

/// The fields of a file's first line after a prefix; what is no number counts as 0.
fn numbers(path: &str, after: &str) -> Outcome<Vec<u64>> {
    let text = std::fs::read_to_string(path)?;
    let line = text.lines().next().unwrap_or_default();
    let (_, rest) = line.rsplit_once(after).ok_or_else(|| Failed(format!("{path}: {line}")))?;
    Ok(rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
}
