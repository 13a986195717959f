//! `run --deltas`: a folder or a pipe gets the values while they are filled; what is printed goes
//! where it does not hurt.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::tool::{Folder, call, eventually};

fn digest(folder: &Folder, db: &str) -> serde_json::Value {
    call(&["digest", &folder.arg("m.toml"), "--db", &folder.arg(db)]).json()["digest"].clone()
}

/// A second database with the same rows.
fn copy(folder: &Folder) {
    folder.conn().execute("VACUUM INTO ?1", [folder.arg("b.db")]).unwrap();
}

#[test]
fn through_a_pipe_into_apply() {
    let folder = Folder::with_rows(20_000);
    copy(&folder);
    let binary = env!("CARGO_BIN_EXE_dotfill");
    let mut sender = Command::new(binary)
        .args([
            "run",
            &folder.arg("m.toml"),
            "--db",
            &folder.arg("t.db"),
            "--deltas",
            "-",
            "--json",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let receiver = Command::new(binary)
        .args(["apply", "-", "--db", &folder.arg("b.db"), "--json"])
        .stdin(sender.stdout.take().unwrap())
        .output()
        .unwrap();
    let sender = sender.wait_with_output().unwrap();
    assert!(sender.status.success() && receiver.status.success(), "{sender:?} {receiver:?}");
    let said = String::from_utf8_lossy(&sender.stderr);
    assert!(said.contains("\"delta_rows\": 20000"), "the report is on standard error: {said}");
    let report: serde_json::Value = serde_json::from_slice(&receiver.stdout).unwrap();
    assert_eq!((&report["outcome"], &report["rows"]), (&"complete".into(), &20_000.into()));
    assert_eq!(digest(&folder, "b.db"), digest(&folder, "t.db"));
}

#[test]
fn into_a_folder_and_says_what_it_has() {
    let folder = Folder::with_rows(2_000);
    let dir = folder.arg("deltas");
    let output = folder.run("run", &["--deltas", &dir]).expect(0);
    for word in ["done and proven, open", "2,000 rows, ", "a whole chain"] {
        assert!(output.stdout.contains(word), "{output:?}");
    }
    let inspected = call(&["inspect", &dir, "--json"]).expect(0).json();
    assert_eq!((&inspected["whole"], &inspected["rows"]), (&true.into(), &2_000.into()));
    folder.run("run", &["--deltas", &dir]).expect(2).says(&["whole chain", "another folder"]);
    folder.run("export", &["--deltas", &dir]).expect(2).says(&["whole chain"]);
}

#[test]
fn a_failure_of_a_stream_is_told_on_standard_error() {
    let folder = Folder::with_rows(100);
    folder.run("run", &["--close"]).expect(0);
    let output = folder.run("run", &["--deltas", "-", "--json"]).expect(2).says(&["closed"]);
    assert_eq!(output.stdout, "");
    assert!(output.stderr.contains("\"exit_code\": 2"), "{output:?}");
}

#[test]
fn a_reader_that_goes_does_not_lose_the_fill() {
    let folder = Folder::with_rows(100_000);
    let mut child = Command::new(env!("CARGO_BIN_EXE_dotfill"))
        .args(["run", &folder.arg("m.toml"), "--db", &folder.arg("t.db"), "--deltas", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("whoever read it has gone: repeat the command"), "{said}");
    folder.run("run", &[]).expect(0);
    assert_eq!(folder.number("SELECT count(*) FROM t WHERE label IS 'l-' || a"), 100_000);
    assert_eq!(folder.number("SELECT count(*) FROM _dotfill_shipped"), 0);
}

#[test]
fn a_second_writer_of_a_folder_exits_5() {
    let folder = Folder::with_rows(50);
    let dir = folder.arg("deltas");
    folder.write("pause", "");
    let first = folder.start("run", &["--deltas", &dir, "--pause-file", &folder.arg("pause")]);
    eventually("the first one has begun", || folder.path("deltas").is_dir());
    eventually("and waits", || {
        folder.path("deltas/0000000000-header.dotfill").exists()
            && folder.status()["throttle_reason"].is_string()
    });
    copy(&folder);
    let args = ["run", &folder.arg("m.toml"), "--db", &folder.arg("b.db"), "--deltas", &dir];
    call(&args).expect(5).says(&["another dotfill writes deltas into", &dir]);
    fs::remove_file(folder.path("pause")).unwrap();
    first.end().expect(0);
    let names = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| name.to_str().unwrap().ends_with(".dotfill")));
}

#[test]
fn ctrl_c_leaves_a_folder_that_is_continued() {
    let folder = Folder::with_rows(3_000);
    let dir = folder.arg("deltas");
    folder.write("pause", "");
    let running = folder.start("run", &["--deltas", &dir, "--pause-file", &folder.arg("pause")]);
    eventually("it waits", || folder.path("deltas/0000000000-header.dotfill").exists());
    eventually("and says so", || {
        call(&["status", "--db", &folder.arg("t.db"), "--json"]).stdout.contains("pause-file")
    });
    running.signal(Signal::INT);
    let output = running.end().expect(4);
    assert!(output.stdout.contains("--deltas"), "{output:?}");
    assert!(output.stdout.contains("not whole yet"), "{output:?}");
    fs::remove_file(folder.path("pause")).unwrap();
    folder.run("run", &["--deltas", &dir]).expect(0);
    assert_eq!(call(&["inspect", &dir, "--json"]).expect(0).json()["rows"], 3_000);
}

/// With 200 MiB of address space; the values alone have 240 MB.
#[test]
fn needs_little_memory_however_slow_the_reader() {
    let folder = Folder::with_rows(1_200);
    folder.write(
        "m.toml",
        "id = \"labels\"\n[[change]]\nkind = \"column\"\ntable = \"t\"\ncolumn = \"label\"\n\
         type = \"TEXT\"\nvalue = \"hex(zeroblob(100000)) || a\"\n",
    );
    let output = Command::new("sh")
        .args([
            "-c",
            "ulimit -v 400000; exec \"$0\" run \"$1\" --db \"$2\" --deltas - --threads 2 --json | \
             (sleep 1; wc -c)",
        ])
        .args([env!("CARGO_BIN_EXE_dotfill"), &folder.arg("m.toml"), &folder.arg("t.db")])
        .env("MALLOC_ARENA_MAX", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("\"delta_rows\": 1200"), "{said}");
}
