//! Runs dotfill, or another program, to its end, and tells how long that took and what it printed.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::failed::{Failed, Outcome, fail};
use crate::options::Options;
use crate::work::complaint;

/// Runs `dotfill ARGUMENTS --json`, which must exit with `code`; its seconds, from start to exit,
/// and what it printed.
pub fn dotfill<S: AsRef<OsStr>>(
    options: &Options,
    arguments: &[S],
    code: i32,
) -> Outcome<(f64, Value)> {
    let mut command = Command::new(&options.dotfill);
    command.args(arguments).arg("--json");
    let (seconds, output) = run(command)?;
    if output.status.code() != Some(code) {
        return fail(complaint(&output));
    }
    let printed = serde_json::from_slice(&output.stdout)
        .map_err(|_| Failed("dotfill printed no JSON object".into()))?;
    Ok((seconds, printed))
}

/// Whether a command of dotfill has this option.
pub fn has_option(options: &Options, command: &str, option: &str) -> Outcome<bool> {
    let mut help = Command::new(&options.dotfill);
    help.args([command, "--help"]);
    let (_, output) = run(help)?;
    Ok(String::from_utf8_lossy(&output.stdout).contains(option))
}

/// Runs a program to its end.
pub fn run(mut command: Command) -> Outcome<(f64, Output)> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let began = Instant::now();
    let output = command.output().map_err(|error| Failed(format!("{program}: {error}")))?;
    Ok((began.elapsed().as_secs_f64(), output))
}
