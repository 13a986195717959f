//! The tuning flags of `run`, `close` and `rollback`, and their bounds.

use std::path::PathBuf;

use super::error::TuningError;
use super::window::Window;

/// The largest `--records-per-transaction`, unless the caller lifts it: Corrosion applies 1000
/// records in 30 ms and 10 000 in 2.3 s.
pub const RECORDS_PER_TRANSACTION_MAX: u64 = 1_000;

/// The smallest `--wal-bytes-max`: 4 MiB, where `SQLite` checkpoints by itself.
pub const WAL_BYTES_MIN: u64 = 4 << 20;

/// The longest `--hold-ms`: applications commonly wait a few seconds for the lock, not more.
const HOLD_MS_MAX: u64 = 1_000;
/// The largest `--batch-rows-max`; memory and the write-ahead log are bounded by it.
const BATCH_ROWS_MAX: u64 = 1_000_000;
/// More threads than any machine that this was tested on.
const THREADS_MAX: usize = 1_024;

/// How fast a job goes and when it waits. One field per flag, and per key of a limits file.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    /// `--threads`: readers that scan and derive. Default 0: one per core; the writer is the
    /// limit, and expensive expressions are what readers pay off for. Read when the job starts.
    pub threads: usize,
    /// `--hold-ms`: the longest time, in milliseconds, that one transaction holds the write lock
    /// while others write. 1 to 1000, default 1: whoever meets it tries again 1 ms later, when
    /// the lock is free.
    pub hold_ms: u64,
    /// `--batch-rows-max`: rows in one transaction at most, also when nobody else writes. 1 to
    /// 1 000 000, default 20 000: beyond it batches gain no speed and cost memory and log.
    pub batch_rows_max: u64,
    /// `--records-per-transaction`: change records in one transaction at most, for the `native`
    /// delivery. 1 to [`RECORDS_PER_TRANSACTION_MAX`], default 200: what Corrosion applies
    /// directly.
    pub records_per_transaction: u64,
    /// `--rows-per-second`: rows written per second at most. Default `None`: no limit.
    pub rows_per_second: Option<u64>,
    /// `--bytes-per-second`: bytes written per second at most. Default `None`: no limit.
    pub bytes_per_second: Option<u64>,
    /// `--wal-bytes-max`: the size, in bytes, that the write-ahead log may have. At least
    /// [`WAL_BYTES_MIN`], default 64 MiB: small enough for any disk, large enough that
    /// checkpoints are rare.
    pub wal_bytes_max: u64,
    /// `--pause-file`: the job pauses while this file exists. Default `None`.
    pub pause_file: Option<PathBuf>,
    /// `--pause-when`: a query that gives one value; the job pauses while it is true. Default
    /// `None`. Asked at most every 250 ms, on a connection that cannot write.
    pub pause_when: Option<String>,
    /// `--window`: the times of day at which the job may write; outside it ends, resumable.
    /// Default `None`: always.
    pub window: Option<Window>,
    /// `--stage`: the job ends, resumable, when this many percent of its rows are done. Above 0,
    /// at most 100, default `None`: all of them, and the proof.
    pub stage_percent: Option<f64>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            threads: 0,
            hold_ms: 1,
            batch_rows_max: 20_000,
            records_per_transaction: 200,
            rows_per_second: None,
            bytes_per_second: None,
            wal_bytes_max: 64 << 20,
            pause_file: None,
            pause_when: None,
            window: None,
            stage_percent: None,
        }
    }
}

impl Tuning {
    /// Checks every bound.
    ///
    /// # Errors
    /// [`TuningError::Flag`] for the first value out of bounds; nothing was touched and the remedy
    /// is another value.
    pub fn validate(&self) -> Result<(), TuningError> {
        self.validate_lifted(RECORDS_PER_TRANSACTION_MAX)
    }

    /// Checks every bound, and allows up to `records_max` records in a transaction; for
    /// comparisons with rivals, where no peer applies them.
    ///
    /// # Errors
    /// As [`Self::validate`].
    pub fn validate_lifted(&self, records_max: u64) -> Result<(), TuningError> {
        between("threads", self.threads as u64, 0, THREADS_MAX as u64)?;
        between("hold-ms", self.hold_ms, 1, HOLD_MS_MAX)?;
        between("batch-rows-max", self.batch_rows_max, 1, BATCH_ROWS_MAX)?;
        let records = self.records_per_transaction;
        between("records-per-transaction", records, 1, records_max)?;
        self.validate_rates()?;
        if self.wal_bytes_max < WAL_BYTES_MIN {
            let problem = format!("is {}; write 4MiB or more", self.wal_bytes_max);
            return Err(flag("wal-bytes-max", problem));
        }
        self.validate_signals()
    }

    fn validate_rates(&self) -> Result<(), TuningError> {
        let rates = [
            ("rows-per-second", self.rows_per_second),
            ("bytes-per-second", self.bytes_per_second),
        ];
        match rates.into_iter().find(|(_, rate)| *rate == Some(0)) {
            Some((name, _)) => {
                let problem = "is 0; write 1 or more, or pause the job with --pause-file";
                Err(flag(name, problem.to_owned()))
            }
            None => Ok(()),
        }
    }

    fn validate_signals(&self) -> Result<(), TuningError> {
        if let Some(path) = &self.pause_file
            && path.as_os_str().is_empty()
        {
            let problem = "is empty; name the file whose existence pauses the job";
            return Err(flag("pause-file", problem.to_owned()));
        }
        if let Some(sql) = &self.pause_when
            && (sql.trim().is_empty() || sql.contains('\0'))
        {
            let problem = "is no query; write one that gives one value, such as \
                           \"SELECT count(*) > 100 FROM jobs\"";
            return Err(flag("pause-when", problem.to_owned()));
        }
        match self.stage_percent {
            Some(percent) if !(percent > 0.0 && percent <= 100.0) => {
                let problem = format!("is {percent}; write a number above 0, at most 100");
                Err(flag("stage", problem))
            }
            _ => Ok(()),
        }
    }
}

fn between(name: &'static str, got: u64, min: u64, max: u64) -> Result<(), TuningError> {
    if (min..=max).contains(&got) {
        return Ok(());
    }
    Err(flag(name, format!("is {got}; write {min} to {max}")))
}

fn flag(flag: &'static str, problem: String) -> TuningError {
    TuningError::Flag { flag, problem }
}
