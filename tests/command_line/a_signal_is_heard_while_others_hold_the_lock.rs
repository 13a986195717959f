//! Somebody else may hold the write lock for half a minute: Ctrl-C ends a command that waits for it.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::tool::{Folder, Output, Running, eventually};

/// Longer than one try to get the lock, much shorter than the patience.
const SOON: Duration = Duration::from_secs(5);

/// Interrupts a command that waits for the lock.
#[track_caller]
fn interrupted(running: Running) -> Output {
    std::thread::sleep(Duration::from_millis(700));
    let asked = Instant::now();
    running.signal(Signal::INT);
    let output = running.end().expect(4);
    assert!(asked.elapsed() < SOON, "heard after {:?}", asked.elapsed());
    output
}

#[test]
fn before_its_first_write_and_between_batches() {
    let folder = Folder::with_rows(20_000);
    let other = folder.conn();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let report = interrupted(folder.start("run", &["--json"])).json();
    assert_eq!(report["outcome"], "interrupted", "{report}");
    other.execute_batch("ROLLBACK").unwrap();

    let running = folder.start("run", &["--rows-per-second", "5000", "--json"]);
    eventually("the run has begun", || folder.status()["percent"].as_f64() > Some(0.0));
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let report = interrupted(running).json();
    assert_eq!(report["outcome"], "interrupted", "{report}");
    other.execute_batch("ROLLBACK").unwrap();
    folder.run("run", &[]).expect(0);
}

#[test]
fn of_the_commands_that_end_a_migration() {
    let folder = Folder::with_rows(100);
    folder.run("run", &[]).expect(0);
    let other = folder.conn();
    for command in ["close", "rollback"] {
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let said = interrupted(folder.start(command, &["--json"]));
        assert_eq!(said.json()["outcome"], "interrupted", "{said:?}");
        assert!(said.stderr.contains("write lock"), "{said:?}");
        other.execute_batch("ROLLBACK").unwrap();
    }
    folder.run("close", &[]).expect(0);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    interrupted(folder.start("forget", &[]));
    other.execute_batch("ROLLBACK").unwrap();
    folder.run("forget", &[]).expect(0);
}
