//! Several processes run one migration: one works, the others wait for its proof, take over when it
//! dies, and all of them say the same.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::tool::{Folder, MIGRATION, Running, eventually};

const ROWS: u32 = 40_000;
const SLOWLY: [&str; 5] = ["--rows-per-second", "10000", "--lease-seconds", "2", "--json"];
const WRONG: &str = "SELECT count(*) FROM t WHERE label IS NOT 'l-' || a";

/// A run that has written something and is not near its end.
fn slow_run(folder: &Folder) -> Running {
    let running = folder.start("run", &SLOWLY);
    eventually("the run has begun", || folder.status()["percent"].as_f64() > Some(0.0));
    running
}

/// A run beside it that has seen it.
fn beside(folder: &Folder, flags: &[&str]) -> Running {
    let running = folder.start("run", &[&["--lease-seconds", "2", "--json"], flags].concat());
    std::thread::sleep(Duration::from_millis(500));
    running
}

/// The rows that each token has written.
fn rows_by_token(folder: &Folder) -> Vec<i64> {
    let conn = folder.conn();
    let sql = "SELECT detail ->> '$.rows_written' FROM _dotfill_events WHERE kind = 'lease'";
    let mut statement = conn.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn they_return_the_verdict_of_the_runner() {
    let folder = Folder::with_rows(ROWS);
    let runner = slow_run(&folder);
    let others = [beside(&folder, &[]), beside(&folder, &["--recheck"])];
    let waiting = folder.start("wait", &["--timeout", "1m", "--json"]);
    let first = runner.end().expect(0).json();
    assert_eq!(first["attached"], false);
    for other in others {
        let output = other.end().expect(0).says(&["waiting for its proof", "ready to take over"]);
        let report = output.json();
        assert_eq!((&report["outcome"], &report["attached"]), (&"complete".into(), &true.into()));
        assert_eq!((&report["rows_written"], &report["rows_total"]), (&0.into(), &ROWS.into()));
        assert_eq!(report["digest"], first["digest"]);
    }
    let waited = waiting.end().expect(0).json();
    assert_eq!((&waited["digest"], &waited["counted"]), (&first["digest"], &false.into()));
    assert_eq!(rows_by_token(&folder), [i64::from(ROWS)]);
}

#[test]
fn one_takes_over_when_the_runner_dies() {
    let folder = Folder::with_rows(ROWS);
    let runner = slow_run(&folder);
    let others = [beside(&folder, &[]), beside(&folder, &[])];
    let killed = Instant::now();
    runner.signal(Signal::KILL);
    runner.end();
    let reports = others.map(|other| other.end().expect(0).json());
    assert!(killed.elapsed() < Duration::from_secs(4 + 5), "{:?}", killed.elapsed());
    assert_eq!(folder.number(WRONG), 0);
    let attached = reports.iter().filter(|report| report["attached"] == true).count();
    assert_eq!(attached, 1, "{reports:#?}");
    let rows = rows_by_token(&folder);
    assert_eq!((rows.len(), rows.iter().sum::<i64>()), (2, i64::from(ROWS)));
}

#[test]
fn a_runner_that_was_stopped_past_its_lease_writes_nothing_more() {
    let folder = Folder::with_rows(ROWS);
    let runner = slow_run(&folder);
    let other = beside(&folder, &[]);
    runner.signal(Signal::STOP);
    let stopped = Instant::now();
    assert_eq!(other.end().expect(0).json()["attached"], false);
    assert!(stopped.elapsed() > Duration::from_secs(2), "{:?}", stopped.elapsed());
    let counts = || {
        let rows = "SELECT sum(rows_written) FROM _dotfill_changes";
        (folder.number(rows), rows_by_token(&folder), folder.number(WRONG))
    };
    let before = counts();
    assert_eq!((before.0, before.2), (i64::from(ROWS), 0));
    assert_eq!(before.1.iter().sum::<i64>(), i64::from(ROWS));
    runner.signal(Signal::CONT);
    let report = runner.end().expect(0).says(&["another process has taken over"]).json();
    assert_eq!((&report["attached"], &report["outcome"]), (&true.into(), &"complete".into()));
    assert_eq!(counts(), before);
}

#[test]
fn a_runner_that_writes_nothing_for_long_keeps_its_lease() {
    let folder = Folder::with_rows(240);
    // Some 20 ms for each row: to measure, to write, and to prove all of them in one go.
    let slow = "length(replace(hex(zeroblob(2000000)), '0', a)) || a";
    folder.write("m.toml", MIGRATION.replace("'l-' || a", slow));
    let short = ["--lease-seconds", "1", "--json"];
    let began = Instant::now();
    let runner = folder.start("run", &short);
    eventually("it runs", || folder.status()["running"] == true);
    let token = folder.status()["token"].clone();
    let other = folder.start("run", &short);
    assert_eq!(runner.end().expect(0).json()["attached"], false);
    assert_eq!(other.end().expect(0).json()["attached"], true);
    assert!(began.elapsed() > Duration::from_secs(2), "premise: {:?}", began.elapsed());
    assert_eq!(rows_by_token(&folder), [240]);
    assert_eq!(folder.status()["token"], token);
}

#[test]
fn a_signal_ends_one_and_stop_ends_all() {
    let folder = Folder::with_rows(ROWS);
    let runner = slow_run(&folder);
    let (one, two) = (beside(&folder, &[]), beside(&folder, &[]));
    one.signal(Signal::INT);
    let report = one.end().expect(4).json();
    assert_eq!((&report["attached"], &report["outcome"]), (&true.into(), &"interrupted".into()));
    folder.run("status", &[]).expect(5);
    folder.run("stop", &[]).expect(0);
    for stopped in [runner, two] {
        let report = stopped.end().expect(4).json();
        assert_eq!(report["reason"], "stopped by `dotfill stop`");
    }
    folder.run("run", &[]).expect(0);
    assert_eq!(folder.number(WRONG), 0);
}

#[test]
fn who_wants_more_goes_on_after_the_runner() {
    let folder = Folder::with_rows(ROWS / 4);
    let runner = slow_run(&folder);
    let closing = beside(&folder, &["--close"]);
    runner.end().expect(0);
    let report = closing.end().expect(0).json();
    assert_eq!((&report["phase"], &report["attached"]), (&"closed".into(), &false.into()));
    // Who comes later and wants just that has it already.
    let late = folder.run("run", &["--close", "--json"]).expect(0).json();
    assert_eq!((&late["phase"], &late["attached"]), (&"closed".into(), &true.into()));
    folder.run("run", &[]).expect(2).says(&["it is closed here"]);
}

#[test]
fn another_file_under_the_same_id_is_refused_by_the_key_that_differs() {
    let folder = Folder::with_rows(ROWS / 4);
    let runner = slow_run(&folder);
    folder.write("other.toml", MIGRATION.replace("'l-' || a", "'x-' || a"));
    let (other, db) = (folder.arg("other.toml"), folder.arg("t.db"));
    let words = ["another file", "value of change 1 (t.label)", "'l-' || a", "'x-' || a"];
    crate::tool::call(&["run", &other, "--db", &db]).expect(2).says(&words);
    runner.end().expect(0);
    for command in ["run", "close", "wait"] {
        crate::tool::call(&[command, &other, "--db", &db]).expect(2).says(&words);
    }
}

#[test]
fn a_recorded_proof_is_believed_only_while_writes_are_noted() {
    let folder = Folder::with_rows(1000);
    folder.run("run", &[]).expect(0);
    let wait = |flags: &[&str]| folder.run("wait", &[&["--json"], flags].concat());
    assert_eq!(wait(&[]).expect(0).json()["counted"], false);
    assert_eq!(wait(&["--recheck"]).expect(0).json()["counted"], true);
    // The definitions change: nobody may have noted what was written meanwhile.
    folder.conn().execute_batch("CREATE INDEX i ON t (a)").unwrap();
    assert_eq!(wait(&[]).expect(0).json()["counted"], true);
    folder.run("run", &[]).expect(0);
    assert_eq!(wait(&[]).expect(0).json()["counted"], false);
    // A write that no trigger sees.
    let trigger = "SELECT sql FROM sqlite_schema WHERE name = '_dotfill_1_target'";
    let sql: String = folder.conn().query_row(trigger, [], |row| row.get(0)).unwrap();
    let quietly = format!(
        "BEGIN; DROP TRIGGER _dotfill_1_target; UPDATE t SET label = 'x' WHERE id = 7; {sql}; COMMIT"
    );
    folder.conn().execute_batch(&quietly).unwrap();
    assert_eq!(wait(&[]).expect(0).json()["counted"], false);
    wait(&["--recheck"]).expect(3).says(&["1 rows do not hold the derived value", "dotfill run"]);
    folder.conn().execute_batch("DROP TRIGGER _dotfill_1_target").unwrap();
    let said = wait(&[]).expect(3).json();
    assert_eq!((&said["migration"], &said["outcome"]), (&"labels".into(), &"failed".into()));
}

#[test]
fn the_proof_says_what_made_it() {
    let folder = Folder::with_rows(10);
    folder.run("run", &[]).expect(0);
    let proof = folder.status()["proof"].clone();
    for key in ["rows", "digest", "sqlite_version", "dotfill_version", "token", "schema"] {
        assert_ne!(proof[key], Value::Null, "{key} in {proof}");
    }
    assert_eq!(proof["token"], folder.status()["token"]);
}

#[test]
fn a_closed_migration_is_told_by_the_proof_that_closed_it() {
    let folder = Folder::with_rows(50);
    folder.run("run", &["--close"]).expect(0);
    let told = || folder.run("wait", &["--json"]).expect(0).json();
    let closed = told();
    assert_eq!((&closed["counted"], &closed["rows"]), (&false.into(), &50.into()));
    let meanwhile = ["CREATE INDEX labels ON t (label)", "UPDATE t SET label = 'x' WHERE id = 3"];
    for write in meanwhile {
        folder.conn().execute_batch(write).unwrap();
        assert_eq!(told(), closed, "{write}");
    }
    let recheck = folder.run("wait", &["--recheck", "--json"]);
    recheck.expect(1).says(&["1 rows do not hold the derived value; the migration is closed"]);
}
