//! The system's `sqlite3`: an application on an older `SQLite` than the bundled one.

use std::io::Write;
use std::process::{Command, Stdio};

/// Runs `script` in the system's `sqlite3` shell on `db` and returns its stdout.
///
/// Panics when the shell is missing (it is the Debian package `sqlite3`) or when it complains.
pub fn sqlite_shell(db: &str, script: &str) -> String {
    let mut shell = Command::new("sqlite3")
        .args(["-batch", "-bail", "-cmd", ".timeout 30000", db])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("cannot start sqlite3 ({error}): install it, `apt-get install sqlite3`")
        });
    let stdin = shell.stdin.take().expect("it is piped");
    { stdin }.write_all(format!("{script};\n").as_bytes()).expect("the shell reads its script");
    let output = shell.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "sqlite3 {script:?}: {stderr}");
    String::from_utf8(output.stdout).expect("sqlite3 prints UTF-8")
}
