//! Builds `shim.c` and runs the binary with it.

use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A command on these tables takes milliseconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// What goes wrong, as `shim.c` names it.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The number of the operation, from 1.
    pub at: usize,
    pub action: &'static str,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` where it was killed.
    pub code: Option<i32>,
    pub stderr: String,
    /// A few lines: they wait in a pipe until it has ended.
    pub stdout: String,
    /// The operations that it made, as `NUMBER NAME PATH`.
    pub operations: Vec<String>,
}

/// The shared library; compiled once per test process.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let library = folder.join(format!("dotfill-faults-{}.so", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim.c");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let output = Command::new(&compiler)
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", compiler.display()));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cannot compile {}: {said}", source.display());
        // One name for all processes: the rename is atomic, and what is mapped stays.
        let shared = folder.join("dotfill-faults.so");
        fs::rename(&library, &shared).unwrap();
        shared
    })
}

/// Runs `dotfill ARGS..` to its end, with a fault of the operations below `folder`.
#[track_caller]
pub fn call(args: &[String], folder: &Path, fault: Option<Fault>) -> Ended {
    let log = folder.with_extension("log");
    fs::write(&log, "").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dotfill"));
    command
        .args(args)
        .env("LD_PRELOAD", library())
        .env("FAULT_FOLDER", folder)
        .env("FAULT_LOG", &log)
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(Fault { at, action }) = fault {
        command.env("FAULT_AT", at.to_string()).env("FAULT_ACTION", action);
    }
    let mut child = command.spawn().unwrap();
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it hangs: {args:?} with {fault:?}");
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(matches!(status.signal(), None | Some(9)), "{status}: {args:?} {fault:?}\n{stderr}");
    let operations = fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect();
    Ended { code: status.code(), stderr, stdout, operations }
}
