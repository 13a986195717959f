//! Pause files, pause queries, the order of signals, and the bounds of the flags.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"))
}

fn write(path: &Path) {
    fs::write(path, "").unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_pause_file_pauses_until_it_is_gone() {
    let directory = directory();
    let path = directory.path().join("pause");
    let mut signal = PauseFile::new(path.clone());
    assert_eq!(signal.check(after(0), &rows(0)), Verdict::Go);
    write(&path);
    let pause = paused(signal.check(after(1), &rows(0)));
    assert_eq!(pause.to_string(), format!("pause-file {} exists", path.display()));
    fs::remove_file(&path).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(signal.check(after(2), &rows(0)), Verdict::Go);
}

#[test]
fn a_pause_file_that_cannot_be_looked_for_pauses() {
    let directory = directory();
    let file = directory.path().join("file");
    write(&file);
    let mut signal = PauseFile::new(file.join("pause"));
    let pause = paused(signal.check(after(0), &rows(0))).to_string();
    assert!(pause.contains("cannot be looked for: "), "{pause}");
    let mut missing = PauseFile::new(directory.path().join("no/such/pause"));
    assert_eq!(missing.check(after(0), &rows(0)), Verdict::Go);
    let link = directory.path().join("link");
    let made = std::os::unix::fs::symlink("nowhere", &link);
    made.unwrap_or_else(|error| panic!("{error}"));
    paused(PauseFile::new(link).check(after(0), &rows(0)));
}

fn pause_when(sql: &str) -> Throttles {
    Throttles::new(&Tuning { pause_when: Some(sql.to_owned()), ..Tuning::default() })
}

fn reading(value: &str, truth: bool) -> Reading {
    let value = value.to_owned();
    Reading { value, truth }
}

#[test]
fn a_query_pauses_while_it_is_true() {
    let mut throttles = pause_when("SELECT\n  1");
    let mut check = |millis, answer: Result<Option<Reading>, String>| {
        throttles.check(after(millis), &rows(0), &mut Answers(|_: &str| answer.clone()))
    };
    assert_eq!(check(0, Ok(Some(reading("0", false)))), Verdict::Go);
    let pause = paused(check(250, Ok(Some(reading("7", true)))));
    assert_eq!(pause.to_string(), "pause-when 7 from SELECT 1");
    assert_eq!(pause.wait, Duration::from_millis(250));
    let pause = paused(check(500, Err("no such table: jobs".to_owned())));
    assert_eq!(pause.to_string(), "pause-when no such table: jobs");
    assert_eq!(check(750, Ok(None)), Verdict::Go);
}

#[test]
fn a_query_is_asked_at_most_four_times_a_second() {
    let mut throttles = pause_when("SELECT 1");
    let mut asked = 0;
    for millis in 0..2_000 {
        let verdict = throttles.check(
            after(millis),
            &rows(0),
            &mut Answers(|_: &str| {
                asked += 1;
                Ok(Some(reading("1", true)))
            }),
        );
        let rest = Duration::from_millis(250 - millis % 250);
        assert_eq!(paused(verdict).wait, rest, "{millis}");
    }
    assert_eq!(asked, 8);
}

#[test]
fn a_retuned_query_is_asked_at_once_and_an_unchanged_one_is_not() {
    let tuning = |sql: &str| Tuning { pause_when: Some(sql.to_owned()), ..Tuning::default() };
    let mut throttles = Throttles::new(&tuning("SELECT 1"));
    let mut asked = Vec::new();
    for (millis, sql) in [(0, "SELECT 1"), (1, "SELECT 1"), (2, "SELECT 2")] {
        throttles.retune(&tuning(sql));
        let verdict = throttles.check(
            after(millis),
            &rows(0),
            &mut Answers(|sql: &str| {
                asked.push(sql.to_owned());
                Ok(None)
            }),
        );
        assert_eq!(verdict, Verdict::Go);
    }
    assert_eq!(asked, ["SELECT 1", "SELECT 2"]);
    throttles.retune(&Tuning::default());
    assert_eq!(throttles.check(after(9_999), &rows(0), &mut unasked()), Verdict::Go);
}

#[test]
fn the_window_wins_over_a_pause_and_a_pause_over_a_rate() {
    let directory = directory();
    let path = directory.path().join("pause");
    write(&path);
    let mut tuning = Tuning {
        pause_file: Some(path),
        rows_per_second: Some(1),
        window: "01:00-05:00[UTC]".parse().ok(),
        ..Tuning::default()
    };
    let mut throttles = Throttles::new(&tuning);
    let mut check = |tuning: &Tuning, total| {
        throttles.retune(tuning);
        throttles.check(after(0), &rows(total), &mut unasked())
    };
    let verdict = check(&tuning, 0);
    assert!(matches!(verdict, Verdict::Stop(_)), "{verdict:?}");
    tuning.window = None;
    assert_eq!(paused(check(&tuning, 0)).signal, "pause-file");
    tuning.pause_file = None;
    assert_eq!(check(&tuning, 0), Verdict::Go);
    assert_eq!(paused(check(&tuning, 2)).signal, "rows-per-second");
    tuning.rows_per_second = None;
    assert_eq!(check(&tuning, 9), Verdict::Go);
}

#[test]
fn a_rate_limits_the_next_batch_to_what_passes_without_jerks() {
    let limited = |rows_per_second, bytes_per_second| {
        Throttles::new(&Tuning { rows_per_second, bytes_per_second, ..Tuning::default() })
    };
    let work = Work { rows: 10, bytes: 1_000, ..Work::default() };
    assert_eq!(limited(None, None).batch_rows_max(&work), u64::MAX);
    assert_eq!(limited(Some(10_000), None).batch_rows_max(&work), 500);
    assert_eq!(limited(Some(10_000), Some(40_000)).batch_rows_max(&work), 20);
    assert_eq!(limited(Some(1), Some(1)).batch_rows_max(&Work::default()), 1);
}

fn refusal(change: impl FnOnce(&mut Tuning)) -> String {
    let mut tuning = Tuning::default();
    change(&mut tuning);
    match tuning.validate() {
        Ok(()) => panic!("accepted {tuning:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_flag_has_bounds() {
    assert!(Tuning::default().validate().is_ok());
    assert_eq!(refusal(|t| t.hold_ms = 0), "--hold-ms is 0; write 1 to 1000");
    assert_eq!(
        refusal(|t| t.records_per_transaction = 1_001),
        "--records-per-transaction is 1001; write 1 to 1000"
    );
    assert_eq!(
        refusal(|t| t.rows_per_second = Some(0)),
        "--rows-per-second is 0; write 1 or more, or pause the job with --pause-file"
    );
    assert_eq!(
        refusal(|t| t.wal_bytes_max = (4 << 20) - 1),
        "--wal-bytes-max is 4194303; write 4MiB or more"
    );
    for percent in [0.0, -1.0, 100.1, f64::NAN, f64::INFINITY] {
        let message = refusal(|t| t.stage_percent = Some(percent));
        let want = format!("--stage is {percent}; write a number above 0, at most 100");
        assert_eq!(message, want);
    }
    refusal(|t| t.batch_rows_max = 0);
    refusal(|t| t.threads = usize::MAX);
    refusal(|t| t.pause_file = Some(PathBuf::new()));
    refusal(|t| t.pause_when = Some(" ".to_owned()));
    refusal(|t| t.bytes_per_second = Some(0));
}

#[test]
fn the_caller_may_lift_the_bound_of_records() {
    let tuning = Tuning { records_per_transaction: 10_000, ..Tuning::default() };
    assert!(tuning.validate().is_err());
    assert!(tuning.validate_lifted(10_000).is_ok());
}
