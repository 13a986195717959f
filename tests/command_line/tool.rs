//! The binary, a folder with a plain database and a migration file, and waiting with a bound.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A column that is computed from another.
pub const MIGRATION: &str = "id = \"labels\"\n\n[[change]]\nkind = \"column\"\ntable = \"t\"\n\
    column = \"label\"\ntype = \"TEXT\"\nvalue = \"'l-' || a\"\n";

/// A folder with a database `t.db` and a migration file `m.toml`.
pub struct Folder {
    folder: TempDir,
}

impl Folder {
    /// With `rows` rows in table `t`.
    pub fn with_rows(rows: u32) -> Self {
        let folder = Self { folder: TempDir::new().unwrap() };
        let conn = folder.conn();
        conn.pragma_update(None, "journal_mode", "WAL").unwrap();
        conn.execute_batch(&format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);
             WITH r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < {rows})
             INSERT INTO t SELECT n, n FROM r;"
        ))
        .unwrap();
        drop(conn);
        folder.write("m.toml", MIGRATION);
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The path of a file, as an argument.
    pub fn arg(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    pub fn conn(&self) -> Connection {
        let conn = Connection::open(self.path("t.db")).unwrap();
        conn.busy_timeout(Duration::from_secs(30)).unwrap();
        conn
    }

    /// One number.
    pub fn number(&self, sql: &str) -> i64 {
        self.conn().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// `dotfill COMMAND m.toml --db t.db FLAGS..`, to its end.
    pub fn run(&self, command: &str, flags: &[&str]) -> Output {
        call(&self.args(command, flags))
    }

    /// The same, in the background.
    pub fn start(&self, command: &str, flags: &[&str]) -> Running {
        let args = self.args(command, flags);
        let child = tool(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Running(Some(child))
    }

    fn args(&self, command: &str, flags: &[&str]) -> Vec<String> {
        let fixed = [command.to_owned(), self.arg("m.toml"), "--db".to_owned(), self.arg("t.db")];
        fixed.into_iter().chain(flags.iter().map(ToString::to_string)).collect()
    }

    /// The one migration, as `status --json` shows it.
    pub fn status(&self) -> Value {
        let output = call(&["status", "--db", &self.arg("t.db"), "--json"]);
        output.json()[0].clone()
    }
}

/// What one call left behind.
#[derive(Debug)]
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    pub fn new(output: &std::process::Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Panics unless the exit code is `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Panics unless standard error has every one of `words`.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in {self:#?}");
        }
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// A process in the background.
pub struct Running(Option<Child>);

impl Running {
    /// The process id.
    pub fn id(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let child = self.0.as_ref().unwrap();
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    /// Waits for its end.
    pub fn end(mut self) -> Output {
        Output::new(&self.0.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may be gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// `dotfill ARGS..`, to its end.
pub fn call<S: AsRef<str>>(args: &[S]) -> Output {
    Output::new(&tool(args).output().unwrap())
}

/// `dotfill ARGS..` as somebody who is not root; from a copy of the binary in `folder`.
pub fn call_as_nobody(folder: &Path, args: &[&str]) -> Output {
    use std::os::unix::process::CommandExt;

    let binary = folder.join("dotfill");
    if !binary.exists() {
        fs::copy(env!("CARGO_BIN_EXE_dotfill"), &binary).unwrap();
    }
    let mut command = Command::new(binary);
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    command.args(args).stdin(Stdio::null());
    // Another test's fork may hold the copy open for writing for a moment.
    let busy = |e: &std::io::Error| e.kind() == std::io::ErrorKind::ExecutableFileBusy;
    loop {
        match command.output() {
            Err(error) if busy(&error) => std::thread::yield_now(),
            other => return Output::new(&other.unwrap()),
        }
    }
}

fn tool<S: AsRef<str>>(args: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dotfill"));
    command
        .args(args.iter().map(AsRef::as_ref))
        .env("COLUMNS", "100")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

/// Polls `condition` until it holds; panics with `what` after a minute.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_mins(1), "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
