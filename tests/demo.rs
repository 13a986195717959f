//! The demo, on a small table: what it promises is true, and the plan's bill is what runs measure.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;

use dotfill::demo::{self, DemoOptions, DemoReport, MIGRATION};
use dotfill::engine::{self, RunOptions};
use dotfill::migration::Migration;
use dotfill::monitor::Quiet;
use dotfill::plan::{PlanOptions, Way, plan};

const ROWS: u64 = 20_000;

/// The real extension; never skipped.
fn extension() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/crsqlite");
    let output = Command::new(script).output().unwrap();
    assert!(output.status.success(), "tools/crsqlite: {output:?}");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
}

fn options(crsqlite: Option<PathBuf>) -> DemoOptions {
    DemoOptions { rows: ROWS, crsqlite, ..DemoOptions::default() }
}

fn demo(options: &DemoOptions) -> DemoReport {
    demo::run(options, &Quiet, &mut |_| {}).unwrap()
}

#[track_caller]
fn close(what: &str, predicted: u64, measured: u64) {
    let off = predicted.abs_diff(measured);
    assert!(off * 4 <= measured, "{what}: predicted {predicted}, measured {measured}");
}

#[test]
fn on_cr_sqlite_all_that_it_promises_holds() {
    let report = demo(&options(Some(extension())));
    let broken: Vec<_> = report.checks.iter().filter(|check| !check.held).collect();
    assert!(report.held && report.equal && broken.is_empty(), "{broken:#?}");
    assert_eq!(report.checks.len(), 10, "{:#?}", report.checks);
    assert_eq!(report.bill.measured.change_records, 0);
    assert_eq!(report.bill.naive_measured.unwrap().scaled.change_records, ROWS);
    for run in &report.runs {
        assert_eq!(run.report.rows_written, ROWS);
        assert_eq!(run.report.change_records_written, 0);
    }
    for drain in &report.drains {
        // Only the row whose source changed.
        assert_eq!(drain.change_records_written, 0, "{drain:#?}");
    }
    let feeding = &report.feeding;
    assert!(feeding.refusal.as_ref().unwrap().contains("app"), "{feeding:?}");
    assert_eq!((feeding.apply.rows_written, feeding.rows_different), (ROWS, 0));
    assert_eq!(report.bill.fed.delta_bytes, feeding.export.delta_bytes);
    let naive = report.bill.naive_measured.unwrap().scaled.wire_bytes;
    assert_eq!(report.bill.fed.naive_bytes, naive);
    assert!(report.bill.fed.delta_bytes * 5 < naive, "{:?}", report.bill.fed);
    let users: u64 = report.drains.iter().map(|drain| drain.rows_user_written).sum();
    assert_eq!(users, 4, "two users' cells on each of two replicas");
    assert!(!report.made.databases[0].exists(), "a temporary folder goes");
}

#[test]
fn on_plain_databases_all_that_it_promises_holds() {
    let folder = tempfile::tempdir().unwrap();
    let options = DemoOptions { folder: Some(folder.path().to_owned()), ..options(None) };
    let report = demo(&options);
    assert!(report.held, "{:#?}", report.checks);
    assert!(report.bill.naive_measured.is_none());
    assert!(report.made.databases[0].exists(), "a folder of the caller's stays");
    let again = demo::run(&options, &Quiet, &mut |_| {}).unwrap_err().to_string();
    assert!(again.contains("--folder"), "{again}");
}

#[test]
fn predicted_disk_is_within_a_quarter_of_what_derive_takes() {
    let report = demo(&options(Some(extension())));
    let (predicted, measured) = (report.bill.predicted, report.bill.measured);
    close("disk bytes of derive", predicted.disk_bytes, measured.disk_bytes);
    assert!(measured.wire_bytes <= predicted.wire_bytes, "a digest is bounded");
    let naive = report.bill.naive_measured.unwrap().scaled;
    close("wire bytes of the UPDATE", report.bill.naive_predicted.wire_bytes, naive.wire_bytes);
    close("disk bytes of the UPDATE", report.bill.naive_predicted.disk_bytes, naive.disk_bytes);
}

#[test]
fn predicted_disk_and_wire_are_within_a_quarter_of_what_native_takes() {
    let folder = tempfile::tempdir().unwrap();
    let made = demo::make(folder.path(), &options(Some(extension()))).unwrap();
    let file = folder.path().join("native.toml");
    std::fs::write(&file, format!("{MIGRATION}delivery = \"native\"\n")).unwrap();
    let migration = Migration::load(&file).unwrap();
    let db = &made.databases[0];
    let options = PlanOptions { replicas: 2, ..PlanOptions::default() };
    let bill = plan(db, &migration, &options).unwrap();
    let costs = &bill.changes[0].costs;
    let native = costs.iter().find(|cost| cost.way == Way::Native).unwrap();
    let before = std::fs::metadata(db).unwrap().len();
    let report = engine::run(db, &migration, &RunOptions::default(), &Quiet).unwrap();
    let after = std::fs::metadata(db).unwrap().len();
    assert_eq!(report.change_records_written, ROWS);
    close("wire bytes of native", native.wire_bytes, report.wire_bytes);
    close("disk bytes of native", native.file_bytes, after - before);
}
