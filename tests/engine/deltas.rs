//! Exporting and applying through the library, with small batches.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use dotfill::db::Datum;
use dotfill::delta::{ChainReader, Coming, Item};
use dotfill::engine::{
    self, ApplyReport, Deltas, Destination, ExportOptions, ExportReport, LookOptions, Outcome,
    RunError, RunOptions, RunReport, SegmentSize,
};
use dotfill::migration::Migration;
use dotfill::monitor::{Monitor, Quiet};
use dotfill::verify::KeysReport;

use crate::job::Job;
use crate::watch::AfterCommit;

/// An export into a folder, by two readers.
pub fn try_export(
    db: &Path,
    migration: &Migration,
    dir: &Path,
    monitor: &dyn Monitor,
) -> Result<ExportReport, RunError> {
    let options = ExportOptions { threads: 2, ..ExportOptions::default() };
    engine::export(db, migration, Destination::Folder(dir.to_owned()), &options, monitor)
}

/// The key digest of a replica, by two readers.
pub fn key_digest(db: &Path, migration: &Migration) -> Result<KeysReport, RunError> {
    let options = LookOptions { threads: 2, ..LookOptions::default() };
    engine::key_digest(db, migration, &options, &Quiet)
}

/// An export into a folder for the replica `to`, whose own keys are not shipped. Its key digest goes
/// through JSON of at most 16 KiB.
pub fn try_export_for(
    to: &Path,
    from: &Path,
    migration: &Migration,
    dir: &Path,
    monitor: &dyn Monitor,
) -> Result<ExportReport, RunError> {
    let json = key_digest(to, migration)?.to_json();
    assert!(json.len() < 16 << 10, "{} bytes", json.len());
    let keys = KeysReport::parse(json.as_bytes()).expect("a key digest");
    let options = ExportOptions { threads: 2, keys_of: Some(keys), ..ExportOptions::default() };
    engine::export(from, migration, Destination::Folder(dir.to_owned()), &options, monitor)
}

/// A whole export into a folder for the replica `to`.
#[track_caller]
pub fn export_for(
    to: impl AsRef<Path>,
    from: impl AsRef<Path>,
    migration: &Migration,
    dir: &Path,
) -> ExportReport {
    let report = try_export_for(to.as_ref(), from.as_ref(), migration, dir, &Quiet)
        .unwrap_or_else(|error| panic!("export: {error}"));
    assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.reason);
    report
}

/// A whole export into a folder.
#[track_caller]
pub fn export(db: impl AsRef<Path>, migration: &Migration, dir: &Path) -> ExportReport {
    let report = try_export(db.as_ref(), migration, dir, &Quiet)
        .unwrap_or_else(|error| panic!("export: {error}"));
    assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.reason);
    report
}

/// An apply of a folder, in batches of `rows` rows.
pub fn try_apply(
    db: &Path,
    dir: &Path,
    rows: u64,
    monitor: &dyn Monitor,
) -> Result<ApplyReport, RunError> {
    let mut options = RunOptions::default();
    options.tuning.batch_rows_max = rows;
    engine::apply(db, Deltas::Folder(dir.to_owned()), &options, monitor)
}

/// An apply of a folder that is done and proven.
#[track_caller]
pub fn apply_deltas(db: impl AsRef<Path>, dir: &Path) -> ApplyReport {
    let report =
        try_apply(db.as_ref(), dir, 7, &Quiet).unwrap_or_else(|error| panic!("apply: {error}"));
    assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.reason);
    report
}

/// A refusal or failure of an apply; its message has every one of `words`.
#[track_caller]
pub fn expect_apply_error(db: impl AsRef<Path>, dir: &Path, words: &[&str]) -> RunError {
    let error = try_apply(db.as_ref(), dir, 7, &Quiet).expect_err("the apply should fail");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "nothing says {word:?} in: {text}");
    }
    error
}

/// A run that writes deltas into a folder, in small blocks and segments.
pub fn try_run(job: &Job, dir: &Path, monitor: &dyn Monitor) -> Result<RunReport, RunError> {
    run_to(job, Destination::Folder(dir.to_owned()), monitor)
}

/// A run that writes deltas anywhere, in small blocks and segments.
pub fn run_to(
    job: &Job,
    destination: Destination,
    monitor: &dyn Monitor,
) -> Result<RunReport, RunError> {
    let mut options = job.options.clone();
    options.segments = SegmentSize { block_rows: 16, segment_rows: 40, ..SegmentSize::default() };
    engine::run_with_deltas(&job.db, &job.migration, destination, &options, monitor)
}

/// A run with deltas that is done and proven, and whose chain is whole.
#[track_caller]
pub fn run(job: &Job, dir: &Path) -> RunReport {
    let report = try_run(job, dir, &Quiet).unwrap_or_else(|error| panic!("run: {error}"));
    assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.reason);
    assert!(report.delta_digest.is_some());
    report
}

/// A run with deltas that is interrupted once the folder has `files` files.
#[track_caller]
pub fn run_a_part(job: &Job, dir: &Path, files: usize) {
    let there = || std::fs::read_dir(dir).map_or(0, Iterator::count);
    let cancel = &job.options.cancel;
    let monitor = AfterCommit::new(|_| {
        if there() >= files {
            cancel.store(true, Ordering::Relaxed);
        }
    });
    assert_eq!(try_run(job, dir, &monitor).unwrap().outcome, Outcome::Interrupted);
    assert!(there() >= files, "premise: some segments");
}

/// The last value of every key of a whole chain, with the index of its change.
pub type Values = BTreeMap<(usize, String), String>;

/// What a chain says in the end of each row.
#[track_caller]
pub fn values(dir: &Path) -> Values {
    values_of(ChainReader::open_directory(dir).unwrap_or_else(|error| panic!("{error}")))
}

/// The same, of any chain, which must be whole.
#[track_caller]
pub fn values_of(mut chain: ChainReader) -> Values {
    let values = values_so_far(&mut chain);
    chain.finish().unwrap();
    values
}

/// The same, as far as the chain goes.
#[track_caller]
pub fn values_so_far(chain: &mut ChainReader) -> Values {
    let header = chain.header().clone();
    let mut values = Values::new();
    while let Some(item) = chain.next_item().unwrap() {
        let Item::Segment(segment) = item else { continue };
        for block in 0..segment.blocks() {
            let rows = segment.decode(block, &header).unwrap();
            for i in 0..rows.len() {
                let key: Vec<String> = rows.key(i).map(|v| Datum::from(v).to_string()).collect();
                let value = Datum::from(rows.value(i)).to_string();
                let before = values.insert((segment.change(), key.join(", ")), value);
                let again = segment.coming() == Some(Coming::Again);
                assert!(before.is_none() || again || segment.checkpoint().starts_with("fill:"));
            }
        }
    }
    values
}

/// Panics unless the chain of a run has every cell that an export ships now. Returns how many keys
/// it has besides: rows that others took or gave other keys.
#[track_caller]
pub fn assert_holds_what_an_export_does(job: &Job, dir: &Path) -> usize {
    let exported = job.db.with_extension("exported");
    export(&job.db, &job.migration, &exported);
    let (want, mut got) = (values(&exported), values(dir));
    std::fs::remove_dir_all(&exported).unwrap();
    for (key, value) in want {
        assert_eq!(got.remove(&key).as_ref(), Some(&value), "row {key:?}");
    }
    got.len()
}
