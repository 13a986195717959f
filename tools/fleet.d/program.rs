//! The dotfill program, as an operator runs it on a node.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::failed::{Outcome, fail};
use crate::fleet::Fleet;
use crate::node::Node;

/// What a command came to.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// What it said on its standard output.
    pub stdout: String,
    /// What it said on its standard error.
    pub stderr: String,
}

impl Ended {
    /// The JSON object on its standard output.
    pub fn json(&self) -> Outcome<Value> {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => Ok(value),
            Err(error) => fail(format!("{error} in {:?} ({})", self.stdout, self.stderr.trim())),
        }
    }

    /// Itself, where its exit code is `code`.
    pub fn expect(self, code: i32) -> Outcome<Self> {
        if self.code == Some(code) {
            return Ok(self);
        }
        let (stdout, stderr) = (self.stdout.trim(), self.stderr.trim());
        fail(format!("dotfill ended with {:?}, not {code}: {stdout} {stderr}", self.code))
    }
}

/// `dotfill COMMAND MIGRATION --db FILE ..` for a node.
pub fn command(fleet: &Fleet, node: &Node, name: &str, more: &[&str]) -> Command {
    let mut command = Command::new(&fleet.dotfill);
    command.arg(name).arg(&fleet.migration).arg("--db").arg(node.db()).args(more);
    command
}

/// Runs a command to its end.
pub fn run(fleet: &Fleet, node: &Node, name: &str, more: &[&str]) -> Outcome<Ended> {
    Ok(command(fleet, node, name, more).stdin(Stdio::null()).output()?.into())
}

/// Runs dotfill with just these arguments.
pub fn run_plain(fleet: &Fleet, arguments: &[&str]) -> Outcome<Ended> {
    Ok(Command::new(&fleet.dotfill).args(arguments).stdin(Stdio::null()).output()?.into())
}

/// Starts a command and leaves it running.
pub fn spawn(fleet: &Fleet, node: &Node, name: &str, more: &[&str]) -> Outcome<Child> {
    let mut command = command(fleet, node, name, more);
    Ok(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

/// Waits for what [`spawn`] started.
pub fn wait(child: Child) -> Outcome<Ended> {
    Ok(child.wait_with_output()?.into())
}

/// Runs a command on all nodes at once, and returns when the last has ended with exit code 0.
pub fn on_all(fleet: &Fleet, name: &str, more: &[&str]) -> Outcome<Vec<Value>> {
    end_all(start_all(fleet, &fleet.nodes, name, more)?)
}

/// Starts a command on some nodes at once.
pub fn start_all(fleet: &Fleet, nodes: &[Node], name: &str, more: &[&str]) -> Outcome<Vec<Child>> {
    let arguments = [more, &["--json"]].concat();
    nodes.iter().map(|node| spawn(fleet, node, name, &arguments)).collect()
}

/// Waits until all have ended, with exit code 0.
pub fn end_all(children: Vec<Child>) -> Outcome<Vec<Value>> {
    children.into_iter().map(|child| wait(child)?.expect(0)?.json()).collect()
}

/// A path as an argument.
pub fn argument(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
