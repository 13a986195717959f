//! Commands that only look, that prove at last, or that wait for input, end at the first Ctrl-C:
//! exit 4, at once.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::tool::{Folder, Output};

/// Far less than the commands would take, and far more than they need to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Two replicas whose expression has become slow: 2,000 rows at some 10 ms each.
fn slow() -> Folder {
    let folder = Folder::with_rows(2000);
    folder.write("m.toml", crate::tool::MIGRATION.replace("'l-' || a", "length(hex(zeroblob(a)))"));
    folder.run("run", &["--quiet"]).expect(0);
    folder.conn().execute("UPDATE t SET a = 8000000", []).unwrap();
    folder.conn().execute("VACUUM INTO ?1", [folder.arg("u.db")]).unwrap();
    folder
}

#[track_caller]
fn ends_soon(mut command: Command, input: Option<&[u8]>) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take();
    if let (Some(input), Some(stdin)) = (input, &mut stdin) {
        stdin.write_all(input).unwrap();
    }
    sleep(Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none(), "premise: it is still at work");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
            let output = Output::new(&child.wait_with_output().unwrap());
            panic!("not within {PATIENCE:?}: {output:#?}");
        }
        sleep(Duration::from_millis(2));
    }
    drop(stdin);
    Output::new(&child.wait_with_output().unwrap())
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dotfill"));
    command.args(args);
    command
}

#[test]
fn a_long_scan_shows_progress_and_ends() {
    let folder = slow();
    let (m, t, u) = (folder.arg("m.toml"), folder.arg("t.db"), folder.arg("u.db"));
    for (flags, stage) in [
        (vec!["verify"], "proving"),
        (vec!["digest"], "proving"),
        (vec!["verify", "--against", &u], "comparing"),
    ] {
        let mut args = vec![flags[0], &m, "--db", &t];
        args.extend(&flags[1..]);
        let said = ends_soon(command(&args), None).expect(4);
        said.says(&[stage, "000 rows", "interrupted", "nothing was written"]);
    }
}

#[test]
fn deltas_that_do_not_come_are_no_longer_waited_for() {
    let folder = Folder::with_rows(10);
    let t = folder.arg("t.db");
    for input in [&b""[..], b"dot"] {
        let said = ends_soon(command(&["apply", "-", "--db", &t]), Some(input)).expect(4);
        said.says(&["interrupted", "nothing was written"]);
    }
    folder.run("run", &["--quiet"]).expect(0);
    folder.run("export", &["--deltas", &folder.arg("d"), "--quiet"]).expect(0);
    let header = std::fs::read(folder.path("d/0000000000-header.dotfill")).unwrap();
    let other = Folder::with_rows(10);
    let u = other.arg("t.db");
    for bytes in [header.len() / 2, header.len()] {
        ends_soon(command(&["apply", "-", "--db", &u]), Some(&header[..bytes])).expect(4);
    }
}

#[test]
fn a_last_proof_ends_and_the_same_command_continues() {
    for command_name in ["run", "close"] {
        let folder = slow();
        // The rows are as derived; only to prove it takes its time.
        folder.conn().execute_batch("DELETE FROM _dotfill_dirty_1").unwrap();
        let (m, t) = (folder.arg("m.toml"), folder.arg("t.db"));
        ends_soon(command(&[command_name, &m, "--db", &t]), None).expect(4);
        assert_eq!(folder.status()["phase"], "open", "{command_name}");
        folder.conn().execute("UPDATE t SET a = id", []).unwrap();
        folder.run(command_name, &["--quiet"]).expect(0);
    }
}
