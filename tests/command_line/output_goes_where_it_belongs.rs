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
