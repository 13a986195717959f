//! A plain database of projects, through the library.

use std::path::{Path, PathBuf};

use dotfill::engine::{self, AdvanceOptions, AdvanceReport, Outcome, RunError, RunOptions};
use dotfill::migration::Migration;
use dotfill::monitor::{Monitor, Quiet};
use dotfill::state::Mode;

/// One migration, one database.
pub struct Plain {
    pub db: PathBuf,
    pub migration: Migration,
    pub options: RunOptions,
}

/// The four steps, in order.
pub const STEPS: [Mode; 4] =
    [Mode::ReadNewWriteOld, Mode::ReadNewWriteBoth, Mode::ReadNewWriteNew, Mode::CompactOld];

impl Plain {
    pub fn new(db: impl Into<PathBuf>, toml: &str) -> Self {
        let migration = Migration::parse(toml, Path::new("migration.toml")).unwrap();
        let mut options = RunOptions::default();
        options.tuning.batch_rows_max = 7;
        options.tuning.threads = 1;
        Self { db: db.into(), migration, options }
    }

    #[track_caller]
    pub fn run(&self) {
        let report = engine::run(&self.db, &self.migration, &self.options, &Quiet).unwrap();
        assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.reason);
    }

    pub fn asked(to: Mode) -> AdvanceOptions {
        AdvanceOptions {
            to,
            fleet: None,
            alone: true,
            percent: None,
            export: None,
            no_export: to == Mode::CompactOld,
        }
    }

    pub fn try_advance(
        &self,
        asked: &AdvanceOptions,
        monitor: &dyn Monitor,
    ) -> Result<AdvanceReport, RunError> {
        engine::advance(&self.db, &self.migration, asked, &self.options, monitor)
    }

    #[track_caller]
    pub fn advance(&self, to: Mode) -> AdvanceReport {
        let report = self.try_advance(&Self::asked(to), &Quiet).unwrap_or_else(|e| panic!("{e}"));
        assert!(report.gate, "{:#?}", report.conditions);
        assert_eq!((report.mode, report.outcome), (to, Outcome::Complete));
        report
    }

    /// Fills, proves, and closes the epoch.
    #[track_caller]
    pub fn close_epoch(&self) {
        self.run();
        STEPS[..3].iter().for_each(|mode| drop(self.advance(*mode)));
    }
}
