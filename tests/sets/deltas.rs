//! Sets exported, applied and shipped by a run, through the library, with small batches and segments.

use std::collections::BTreeMap;
use std::path::Path;

use dotfill::db::Datum;
use dotfill::delta::{ChainReader, Item, set_elements};
use dotfill::engine::{
    self, ApplyReport, CompareOptions, Deltas, Destination, ExportOptions, ExportReport, Outcome,
    RunError, RunOptions, RunReport, SegmentSize, Verdict, VerifyReport,
};
use dotfill::migration::Migration;
use dotfill::monitor::{Monitor, Quiet};

use crate::common::extension;
use crate::set::SetJob;

pub fn try_export(
    db: &Path,
    migration: &Migration,
    dir: &Path,
    options: &ExportOptions,
    monitor: &dyn Monitor,
) -> Result<ExportReport, RunError> {
    let options = ExportOptions { threads: 2, ..options.clone() };
    engine::export(db, migration, Destination::Folder(dir.to_owned()), &options, monitor)
}

/// A whole export into a new folder.
#[track_caller]
pub fn export_with(job: &SetJob, dir: &Path, options: &ExportOptions) -> ExportReport {
    if dir.exists() {
        std::fs::remove_dir_all(dir).unwrap();
    }
    let report = try_export(&job.db, &job.migration, dir, options, &Quiet)
        .unwrap_or_else(|error| panic!("export: {error}"));
    assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.reason);
    report
}

#[track_caller]
pub fn export(job: &SetJob, dir: &Path) -> ExportReport {
    export_with(job, dir, &ExportOptions::default())
}

/// An apply of a folder in small batches; tables of cr-sqlite are made where that is asked for.
pub fn try_apply(
    db: &Path,
    dir: &Path,
    makes: bool,
    monitor: &dyn Monitor,
) -> Result<ApplyReport, RunError> {
    let mut options = RunOptions::default();
    options.tuning.batch_rows_max = 7;
    options.crsqlite = makes.then(|| extension().to_owned());
    engine::apply(db, Deltas::Folder(dir.to_owned()), &options, monitor)
}

/// An apply that is done and proven.
#[track_caller]
pub fn apply(db: impl AsRef<Path>, dir: &Path) -> ApplyReport {
    let report =
        try_apply(db.as_ref(), dir, false, &Quiet).unwrap_or_else(|error| panic!("apply: {error}"));
    assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.reason);
    report
}

/// A run that ships what it fills, in small blocks and segments.
pub fn try_run_shipping(
    job: &SetJob,
    dir: &Path,
    monitor: &dyn Monitor,
) -> Result<RunReport, RunError> {
    let mut options = job.options.clone();
    options.segments = SegmentSize { block_rows: 5, segment_rows: 10, ..SegmentSize::default() };
    let destination = Destination::Folder(dir.to_owned());
    engine::run_with_deltas(&job.db, &job.migration, destination, &options, monitor)
}

#[track_caller]
pub fn run_shipping(job: &SetJob, dir: &Path) -> RunReport {
    let report = try_run_shipping(job, dir, &Quiet).unwrap_or_else(|error| panic!("run: {error}"));
    assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.reason);
    assert!(report.delta_digest.is_some());
    report
}

/// The last set of every object of a whole chain.
#[track_caller]
pub fn sets(dir: &Path) -> BTreeMap<String, Vec<String>> {
    let mut chain = ChainReader::open_directory(dir).unwrap_or_else(|error| panic!("{error}"));
    let header = chain.header().clone();
    let mut sets = BTreeMap::new();
    while let Some(item) = chain.next_item().unwrap() {
        let Item::Segment(segment) = item else { continue };
        for block in 0..segment.blocks() {
            let rows = segment.decode(block, &header).unwrap();
            for i in 0..rows.len() {
                let key: Vec<String> = rows.key(i).map(|v| Datum::from(v).to_string()).collect();
                let set = set_elements(rows.value(i).as_blob().unwrap()).expect("a set");
                let set = set.iter().map(ToString::to_string).collect();
                sets.insert(key.join(", "), set);
            }
        }
    }
    chain.finish().unwrap();
    sets
}

/// The comparison of two replicas.
#[track_caller]
pub fn compare(job: &SetJob, other: &Path, diff: Option<&Path>) -> VerifyReport {
    let options =
        CompareOptions { threads: 2, diff: diff.map(Path::to_owned), ..CompareOptions::default() };
    let against = engine::Against::Replica(other.to_owned());
    engine::verify_against(&job.db, &job.migration, &against, &options, &Quiet)
        .unwrap_or_else(|error| panic!("verify: {error}"))
}

#[track_caller]
pub fn assert_same(job: &SetJob, other: &Path) {
    let report = compare(job, other, None);
    assert_eq!(report.verdict, Verdict::Equal, "{report:#?}");
}
