//! `demo`: a whole migration on a database that it makes, with the bill at the end.
//!
//! Two replicas of one table are made (of cr-sqlite where its extension is at hand), the migration
//! is planned and run on both, a third replica that cannot derive is fed by deltas, users write,
//! replicas merge, and what was promised is checked from the data. Nothing here prints.

mod backfill;
mod bill;
mod error;
mod extension;
mod feed;
mod folder;
mod make;
mod naive;
mod replica;
mod rows;
mod users;

pub use backfill::{Check, ReplicaRun};
pub use bill::{Amount, Bill, Fed, NaiveSample};
pub use error::DemoError;
pub use extension::{HOW_TO_GET_IT, find_extension};
pub use feed::Feeding;
pub use make::{Made, make};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde::Serialize;

use crate::engine::RunReport;
use crate::migration::Migration;
use crate::monitor::Monitor;
use crate::plan::{Plan, PlanOptions, plan};
use folder::Folder;
use replica::Replica;

/// Replicas that derive.
pub const REPLICAS: u64 = 2;

/// The migration file of the demo.
pub const MIGRATION: &str = r#"id = "machines-owner"

[[change]]
kind = "column"
table = "machines"
column = "owner"
type = "TEXT"
value = "'o-' || app"
"#;

/// What the demo makes, and with what.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Rows of the table; 1,000,000 by default, which takes less than a minute.
    pub rows: u64,
    /// Where databases are made and kept; where absent, a temporary folder that goes in the end.
    pub folder: Option<PathBuf>,
    /// The cr-sqlite extension; plain databases where absent. See [`find_extension`].
    pub crsqlite: Option<PathBuf>,
    /// Set from a signal handler: the demo ends early.
    pub cancel: Arc<AtomicBool>,
}

impl Default for DemoOptions {
    fn default() -> Self {
        Self {
            rows: 1_000_000,
            folder: None,
            crsqlite: None,
            cancel: Arc::new(AtomicBool::new(false)),
        }
    }
}

/// Where the demo is, for those who show it while it runs.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// The replicas are about to be made.
    Making,
    /// They are made.
    Made(&'a Made),
    /// The bill before.
    Planned(&'a Plan),
    /// A replica was filled and proven.
    Filled(&'a ReplicaRun),
    /// The replica that cannot derive was fed.
    Fed(&'a Feeding),
    /// Something that was promised was looked at.
    Checked(&'a Check),
    /// The naive way is about to be tried on a smaller table.
    TryingNaive,
}

/// All that the demo saw.
#[derive(Clone, Debug, Serialize)]
pub struct DemoReport {
    /// What was made.
    pub made: Made,
    /// The bill before.
    pub plan: Plan,
    /// The backfill of each replica.
    pub runs: Vec<ReplicaRun>,
    /// How the replica that cannot derive was fed.
    pub feeding: Feeding,
    /// The runs that drained what users had changed meanwhile, one for each replica.
    pub drains: Vec<RunReport>,
    /// True where the replicas' digests are equal in the end.
    pub equal: bool,
    /// What was promised, and whether it held.
    pub checks: Vec<Check>,
    /// What it cost, and what the naive way costs.
    pub bill: Bill,
    /// True where all of it held.
    pub held: bool,
    /// Seconds in all.
    pub seconds: f64,
}

/// Runs the demo. `say` hears of each step; `monitor` watches the backfills.
///
/// # Errors
/// [`DemoError`]: the demo could not be carried out. A promise that did not hold is no error but a
/// [`Check`] of the report.
pub fn run(
    options: &DemoOptions,
    monitor: &dyn Monitor,
    say: &mut dyn FnMut(Step<'_>),
) -> Result<DemoReport, DemoError> {
    let folder = Folder::create(options.folder.as_deref())?;
    let result = run_in(folder.path(), options, monitor, say);
    let removed = folder.finish();
    let report = result?;
    removed?;
    Ok(report)
}

fn run_in(
    folder: &Path,
    options: &DemoOptions,
    monitor: &dyn Monitor,
    say: &mut dyn FnMut(Step<'_>),
) -> Result<DemoReport, DemoError> {
    let began = Instant::now();
    say(Step::Making);
    let made = make(folder, options)?;
    say(Step::Made(&made));
    let migration = write_migration(folder)?;
    let plan_options = PlanOptions { replicas: REPLICAS, ..PlanOptions::default() };
    let plan = plan(&made.databases[0], &migration, &plan_options)?;
    say(Step::Planned(&plan));
    let mut stage = Stage { made: &made, migration, options, monitor, say, checks: Vec::new() };
    let runs = backfill::backfill(&mut stage)?;
    let feeding = feed::feed(&mut stage, folder)?;
    let drains = users::write_and_drain(&mut stage)?;
    let checks = std::mem::take(&mut stage.checks);
    let sample = naive::measure(&mut stage, folder)?;
    let bill = bill::bill(&plan, &runs, &feeding, sample);
    let equal = drains[0].digest.is_some() && drains[0].digest == drains[1].digest;
    let held = equal && checks.iter().all(|check| check.held);
    let seconds = began.elapsed().as_secs_f64();
    Ok(DemoReport { made, plan, runs, feeding, drains, equal, checks, bill, held, seconds })
}

fn write_migration(folder: &Path) -> Result<Migration, DemoError> {
    let path = folder.join("machines-owner.toml");
    std::fs::write(&path, MIGRATION).map_err(|source| DemoError::Io {
        path: path.clone(),
        doing: "write",
        source,
    })?;
    Ok(Migration::load(&path)?)
}

/// What the acts have in common.
struct Stage<'a> {
    made: &'a Made,
    migration: Migration,
    options: &'a DemoOptions,
    monitor: &'a dyn Monitor,
    say: &'a mut dyn FnMut(Step<'_>),
    checks: Vec<Check>,
}

impl Stage<'_> {
    fn replicas(&self) -> Vec<Replica> {
        let replica = |path: &PathBuf| Replica {
            path: path.clone(),
            extension: self.options.crsqlite.clone(),
        };
        self.made.databases.iter().map(replica).collect()
    }

    fn check(&mut self, what: impl Into<String>, held: bool) {
        let check = Check { what: what.into(), held };
        (self.say)(Step::Checked(&check));
        self.checks.push(check);
    }
}
