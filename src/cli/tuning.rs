//! The tuning flags of `run`, `close` and `rollback`, and the options that they resolve to.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::engine::{RunOptions, SegmentSize};
use crate::migration::parse_bytes;
use crate::throttle::{Tuning, Window};

/// Records per transaction that `--lift-limits` allows.
const RECORDS_LIFTED: u64 = 1_000_000;

/// How fast a job goes and when it waits.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Tuning")]
pub struct TuningArgs {
    /// Readers that scan and derive; 0 is one per core [default: 0]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// The longest time that a transaction holds the write lock while others write [default: 1]
    #[arg(long, value_name = "MS")]
    pub hold_ms: Option<u64>,
    /// Rows in one transaction at most [default: 20000]
    #[arg(long, value_name = "N")]
    pub batch_rows_max: Option<u64>,
    /// Change records in one transaction at most, 1 to 1000 [default: 200]
    #[arg(long, value_name = "N")]
    pub records_per_transaction: Option<u64>,
    /// Rows written per second at most
    #[arg(long, value_name = "N")]
    pub rows_per_second: Option<u64>,
    /// Bytes written per second at most, such as 8MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub bytes_per_second: Option<u64>,
    /// The size that the write-ahead log may have [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub wal_bytes_max: Option<u64>,
    /// Pause while this file exists
    #[arg(long, value_name = "FILE")]
    pub pause_file: Option<PathBuf>,
    /// Pause while this query's one value is true
    #[arg(long, value_name = "SQL")]
    pub pause_when: Option<String>,
    /// The times of day at which to write, such as 01:00-05:00[Europe/Berlin]; outside, exit 4
    #[arg(long, value_name = "WINDOW")]
    pub window: Option<Window>,
    /// Stop, resumable, when this many percent of the rows are done
    #[arg(long, value_name = "PERCENT")]
    pub stage: Option<f64>,
    /// Do nothing unless this replica is among the first N percent, by a hash of its site id
    #[arg(long, value_name = "N", value_parser = percent)]
    pub nodes_percent: Option<f64>,
    /// The lease period: take over from a runner whose heartbeat stood still for this long (or for
    /// its own lease period, where that is longer), 1 to 3600
    #[arg(
        long, value_name = "SECONDS", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    pub lease_seconds: u64,
    /// Exit 5 at once where another process has the lease of the migration
    #[arg(long)]
    pub no_wait: bool,
    /// Load this cr-sqlite extension instead of writing its tables without it
    #[arg(long, value_name = "PATH")]
    pub crsqlite: Option<PathBuf>,
    /// A TOML file with the names of these flags, read again before each batch
    #[arg(long, value_name = "FILE")]
    pub limits: Option<PathBuf>,
    /// Fire the application's triggers even where they write replicated tables
    #[arg(long, value_name = "POLICY")]
    pub user_triggers: Option<UserTriggers>,
    /// Allow more records per transaction than peers can apply; for measurements only
    #[arg(long, hide = true)]
    pub lift_limits: bool,
}

/// What to do about triggers of the application that write replicated tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UserTriggers {
    /// Fire them
    Allow,
}

impl TuningArgs {
    /// The options of a job.
    #[must_use]
    pub fn resolve(&self, cancel: &Arc<AtomicBool>) -> RunOptions {
        RunOptions {
            tuning: self.tuning(),
            limits: self.limits.clone(),
            crsqlite: self.crsqlite.clone(),
            follow: false,
            close: false,
            user_triggers_allowed: self.user_triggers == Some(UserTriggers::Allow),
            records_max: self.lift_limits.then_some(RECORDS_LIFTED),
            lease: Duration::from_secs(self.lease_seconds),
            segments: SegmentSize::default(),
            no_wait: self.no_wait,
            recheck: false,
            retry: false,
            cancel: Arc::clone(cancel),
        }
    }

    fn tuning(&self) -> Tuning {
        let usual = Tuning::default();
        Tuning {
            threads: self.threads.unwrap_or(usual.threads),
            hold_ms: self.hold_ms.unwrap_or(usual.hold_ms),
            batch_rows_max: self.batch_rows_max.unwrap_or(usual.batch_rows_max),
            records_per_transaction: self
                .records_per_transaction
                .unwrap_or(usual.records_per_transaction),
            rows_per_second: self.rows_per_second,
            bytes_per_second: self.bytes_per_second,
            wal_bytes_max: self.wal_bytes_max.unwrap_or(usual.wal_bytes_max),
            pause_file: self.pause_file.clone(),
            pause_when: self.pause_when.clone(),
            window: self.window.clone(),
            stage_percent: self.stage,
        }
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').trim().parse::<f64>() {
        Ok(n) if (0.0..=100.0).contains(&n) => Ok(n),
        _ => Err(format!("{text:?} is no percentage; write a number from 0 to 100")),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command};

    use super::TuningArgs;
    use crate::throttle::Tuning;

    #[test]
    fn the_help_names_the_defaults_that_are_used() {
        let usual = Tuning::default();
        let mut command = TuningArgs::augment_args(Command::new("run"));
        let help = command.render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for (flag, default) in [
            ("--threads <N>", usual.threads.to_string()),
            ("--hold-ms <MS>", usual.hold_ms.to_string()),
            ("--batch-rows-max <N>", usual.batch_rows_max.to_string()),
            ("--records-per-transaction <N>", usual.records_per_transaction.to_string()),
            ("--wal-bytes-max <SIZE>", format!("{}MiB", usual.wal_bytes_max >> 20)),
        ] {
            let said = help.split(flag).nth(1).and_then(|text| text.split("[default: ").nth(1));
            let said = said.and_then(|text| text.split(']').next());
            assert_eq!(said, Some(default.as_str()), "{flag} in {help}");
        }
    }
}
