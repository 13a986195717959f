//! Standard output is the result, standard error the progress and the log.

use crate::tool::{Folder, call};

#[test]
fn progress_is_lines_where_there_is_no_terminal() {
    let folder = Folder::with_rows(100);
    let output = folder.run("run", &["--json"]).expect(0).says(&["filling"]);
    assert!(!output.stderr.contains('\u{1b}') && !output.stderr.contains('\r'), "{output:?}");
    assert_eq!(output.json()["outcome"], "complete");
}

#[test]
fn quiet_says_nothing_but_the_result() {
    let folder = Folder::with_rows(100);
    let output = folder.run("run", &["--quiet"]).expect(0);
    assert_eq!(output.stderr, "");
    for word in ["labels: done and proven, open", "100 of 100 written", "dotfill close"] {
        assert!(output.stdout.contains(word), "{output:?}");
    }
    let again = folder.run("run", &["-q"]).expect(0);
    assert!(again.stdout.contains("0 of 100 written; 100 right already"), "{again:?}");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_dotfill"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn completions_are_scripts() {
    for shell in ["bash", "zsh", "fish"] {
        let script = call(&["completions", shell]).expect(0).stdout;
        assert!(script.contains("dotfill") && script.contains("rollback"), "{shell}");
    }
    call(&["completions", "tcsh"]).expect(2).says(&["tcsh", "bash"]);
}

#[test]
fn a_plan_is_a_table_or_an_object_and_writes_nothing() {
    let folder = Folder::with_rows(5000);
    let before = std::fs::read(folder.path("t.db")).unwrap();
    let table = folder.run("plan", &["--replicas", "3"]).expect(0).stdout;
    for word in ["5,000 rows", "derive", "3 replicas"] {
        assert!(table.contains(word), "{table}");
    }
    let plan = folder.run("plan", &["--exact", "--json"]).expect(0).json();
    assert_eq!(plan["changes"][0]["rows"], 5000);
    assert!(plan["changes"][0]["costs"][0]["way"].is_string(), "{plan}");
    assert!(std::fs::read(folder.path("t.db")).unwrap() == before, "the file was changed");
    call(&["plan", "--db", "x"]).expect(2).says(&["<MIGRATION>"]);
}
