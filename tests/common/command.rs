//! The binary under test, as a script would call it.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// What one call left behind.
#[derive(Debug)]
pub struct Output {
    pub code: i32,
    /// The object on stdout; `Null` when stdout is empty or no JSON.
    pub json: Value,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    fn new(output: &std::process::Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            json: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Panics unless the exit code is `code`.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code; stdout {}\nstderr {}", self.json, self.stderr);
        self
    }

    /// Panics unless the command was done and proven.
    #[track_caller]
    pub fn expect_complete(self) -> Self {
        let output = self.expect_code(0);
        assert_eq!(output.json["outcome"], "complete", "{}", output.json);
        output
    }

    /// A counter of the JSON object; panics when the key is missing.
    #[track_caller]
    pub fn counter(&self, key: &str) -> u64 {
        self.json[key].as_u64().unwrap_or_else(|| panic!("no count {key} in {}", self.json))
    }

    /// Panics unless the message, or the JSON, has every one of `words`.
    #[track_caller]
    pub fn expect_words(&self, words: &[&str]) {
        let text = format!("{}\n{}", self.stderr, self.json);
        for word in words {
            assert!(text.contains(word), "nothing says {word:?} in:\n{text}");
        }
    }
}

/// Runs the binary to its end.
pub fn dotfill(args: &[&str]) -> Output {
    let output = command(args).output().expect("the binary starts");
    Output::new(&output)
}

/// Writes a migration file into `folder` and returns its path.
pub fn migration_file(folder: &Path, toml: &str) -> String {
    let path = folder.join("migration.toml");
    fs::write(&path, toml).unwrap();
    path.into_os_string().into_string().expect("temporary folders have UTF-8 names")
}

/// A command in the background.
pub struct Running {
    child: Option<Child>,
}

/// Starts `dotfill run MIGRATION --db DB --follow --json`.
pub fn follow(migration: &str, db: &str) -> Running {
    start(&["run", migration, "--db", db, "--follow", "--json"])
}

/// Starts the binary.
pub fn start(args: &[&str]) -> Running {
    let child = command(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    Running { child: Some(child) }
}

impl Running {
    /// Whether the process is still there.
    pub fn is_alive(&mut self) -> bool {
        let child = self.child.as_mut().expect("taken by interrupt only");
        child.try_wait().unwrap().is_none()
    }

    /// Reads standard error up to `word`; what was read is not in its [`Output`].
    pub fn wait_for(&mut self, word: &str) {
        let stderr = self.child.as_mut().and_then(|child| child.stderr.as_mut()).unwrap();
        let mut seen = Vec::new();
        let mut byte = [0];
        while stderr.read(&mut byte).unwrap() == 1 {
            seen.extend(byte);
            if seen.ends_with(word.as_bytes()) {
                return;
            }
        }
        panic!("never said {word:?}: {}", String::from_utf8_lossy(&seen));
    }

    /// Waits for its end; what the process left behind.
    pub fn end(mut self) -> Output {
        let child = self.child.take().expect("taken once only");
        Output::new(&child.wait_with_output().unwrap())
    }

    /// SIGKILL: the process ends without a chance to say or do anything.
    pub fn kill(mut self) {
        let mut child = self.child.take().expect("taken once only");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGINT, as Ctrl-C sends it; then what the process left behind.
    pub fn interrupt(mut self) -> Output {
        let child = self.child.take().expect("taken by interrupt only");
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        Output::new(&child.wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = self.child.as_mut() {
            // A test that failed half way must not leave the process behind; it may be gone.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dotfill"));
    command.args(args).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}
