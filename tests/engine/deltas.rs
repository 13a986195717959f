//! Exporting and applying through the library, with small batches.

use std::path::Path;

use dotfill::engine::{
    self, ApplyReport, Deltas, Destination, ExportOptions, ExportReport, LookOptions, Outcome,
    RunError, RunOptions,
};
use dotfill::migration::Migration;
use dotfill::monitor::{Monitor, Quiet};
use dotfill::verify::KeysReport;

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
