//! Whatever ends a run early leaves a state from which the same command continues.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use crate::tool::{Folder, Running, call, eventually};

const ROWS: u32 = 60_000;
const SLOWLY: [&str; 3] = ["--rows-per-second", "10000", "--json"];

/// A run that has written something and is not near its end.
fn slow_run(folder: &Folder) -> Running {
    let running = folder.start("run", &SLOWLY);
    eventually("the run has begun", || folder.status()["percent"].as_f64() > Some(0.0));
    running
}

#[test]
fn a_signal_ends_it_after_its_batch() {
    for signal in [Signal::INT, Signal::TERM] {
        let folder = Folder::with_rows(ROWS);
        let running = slow_run(&folder);
        folder.run("status", &[]).expect(5);
        running.signal(signal);
        let report = running.end().expect(4).json();
        assert_eq!(report["outcome"], "interrupted");
        assert_eq!(report["reason"], "interrupted by a signal");
        let written = report["rows_written"].as_u64().unwrap();
        assert!(0 < written && written < u64::from(ROWS), "{written}");
        folder.run("status", &[]).expect(4);
        folder.run("stop", &[]).expect(4).says(&["nobody runs it", "dotfill run"]);
        folder.run("wait", &["--timeout", "300ms"]).expect(4).says(&["nobody runs it"]);

        let rest = folder.run("run", &["--json"]).expect(0).json();
        assert_eq!(rest["rows_written"].as_u64(), Some(u64::from(ROWS) - written));
        assert_eq!(folder.number("SELECT count(*) FROM t WHERE label IS NOT 'l-' || a"), 0);
        folder.run("status", &[]).expect(0);
    }
}

#[test]
fn stop_reaches_it_from_another_process() {
    let folder = Folder::with_rows(ROWS);
    let running = slow_run(&folder);
    let owner = folder.status()["owner"].as_str().unwrap().to_owned();
    let asked = folder.run("stop", &["--json"]).expect(0).json();
    assert_eq!((&asked["stopped"], &asked["owner"]), (&true.into(), &owner.into()));
    let report = running.end().expect(4).json();
    assert_eq!(report["reason"], "stopped by `dotfill stop`");
    folder.run("run", &[]).expect(0);
}

#[test]
fn a_second_run_says_who_is_at_it_and_how_far() {
    let folder = Folder::with_rows(ROWS);
    let running = slow_run(&folder);
    let owner = folder.status()["owner"].as_str().unwrap().to_owned();
    let second = folder.run("run", &["--json", "--no-wait"]).expect(5);
    let said = second.says(&[&owner, "% done", "dotfill stop"]).json();
    assert_eq!(said["outcome"], "failed");
    assert_eq!(said["owner"].as_str(), Some(owner.as_str()));
    assert_eq!(said["pid"].as_u64(), Some(u64::from(running.id())));
    assert!(owner.starts_with(said["host"].as_str().unwrap()), "{said}");
    assert!(said["percent"].as_f64().unwrap() > 0.0, "{said}");
    folder.run("wait", &["--timeout", "300ms"]).expect(5).says(&[&owner, "% done"]);
    for command in ["close", "rollback", "forget"] {
        folder.run(command, &[]).expect(5).says(&[&owner, "dotfill stop"]);
    }
    running.signal(Signal::INT);
    running.end().expect(4);
}

#[test]
fn who_waits_hears_of_the_proof() {
    let folder = Folder::with_rows(ROWS / 2);
    let running = slow_run(&folder);
    let waiting = folder.start("wait", &["--timeout", "1m", "--json"]);
    assert_eq!(running.end().expect(0).json()["outcome"], "complete");
    assert_eq!(waiting.end().expect(0).json()["phase"], "open");
}

#[test]
fn a_killed_run_is_taken_over_at_once() {
    let folder = Folder::with_rows(ROWS);
    let running = slow_run(&folder);
    running.signal(Signal::KILL);
    running.end();
    folder.run("status", &[]).expect(4);
    assert_eq!(folder.status()["owner"], serde_json::Value::Null);
    folder.run("run", &[]).expect(0);
    assert_eq!(folder.number("SELECT count(*) FROM t WHERE label IS NOT 'l-' || a"), 0);
}

#[test]
fn a_follower_is_running_and_proven() {
    let folder = Folder::with_rows(100);
    let running = folder.start("run", &["--follow", "--json"]);
    eventually("it is open", || folder.status()["phase"] == "open");
    folder.run("status", &[]).expect(5);
    folder.run("wait", &["--timeout", "1m"]).expect(0);
    folder.conn().execute("UPDATE t SET a = 'new' WHERE id = 7", []).unwrap();
    eventually("it is derived again", || {
        folder.number("SELECT count(*) FROM t WHERE label = 'l-new'") == 1
    });
    folder.run("stop", &[]).expect(0);
    running.end().expect(4);
    folder.run("status", &[]).expect(0);
}

#[test]
fn a_pause_is_shown_with_its_reason() {
    let folder = Folder::with_rows(100);
    folder.write("pause", "");
    let running = folder.start("run", &["--pause-file", &folder.arg("pause"), "--json"]);
    eventually("the reason is told", || {
        folder.status()["throttle_reason"].as_str().is_some_and(|why| why.contains("pause-file"))
    });
    let table = call(&["status", "--db", &folder.arg("t.db")]).expect(5).stdout;
    assert!(table.contains("paused: pause-file"), "{table}");
    std::fs::remove_file(folder.path("pause")).unwrap();
    let report = running.end().expect(0).json();
    assert!(report["throttled_seconds"].as_f64().unwrap() > 0.0, "{report}");
}

#[test]
fn stage_and_window_end_it_resumable() {
    let folder = Folder::with_rows(1000);
    let part = folder.run("run", &["--stage", "50", "--batch-rows-max", "100", "--json"]);
    let part = part.expect(4).json();
    assert_eq!(part["outcome"], "interrupted");
    let written = part["rows_written"].as_u64().unwrap();
    assert!((500..1000).contains(&written), "{part}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let hour = (now / 3600 + 12) % 24;
    let window = format!("{hour:02}:00-{hour:02}:30[UTC]");
    let none = folder.run("run", &["--window", &window, "--json"]).expect(4).json();
    assert_eq!(none["rows_written"], 0);
    assert!(none["reason"].as_str().unwrap().contains("outside --window"), "{none}");
    folder.run("run", &[]).expect(0);
}
