//! The trials of `tools/fleet test`: what must hold on a cluster of real agents. Each starts from the
//! loaded files, on agents of its own, and fails with a sentence.

mod backlog;
mod cost;
mod fault;
mod gate;
mod joiner;
mod proof;
mod scene;
mod users;

use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::failed::{Failed, Outcome};
use crate::fleet::INTERRUPTED;
use crate::options::Options;
use crate::storm::heading;

/// One trial: its name says what holds. What it returns is a remark for the report.
type Trial = (&'static str, fn(&Options) -> Outcome<String>);

const TRIALS: &[Trial] = &[
    ("a backfill on all nodes at once costs nothing on the wire", cost::backfill),
    ("what users write before, during and after ends on all nodes", users::owners),
    ("inserts, source updates and deletes end right after a drain", users::sources),
    ("a schema reload while the migration is open changes nothing", users::reload),
    ("restarted agents send nothing again and nothing diverges", fault::restart),
    ("a partition heals: all nodes are equal after drains", fault::partition),
    ("dotfill killed at random points resumes, and all are equal", fault::kill),
    ("a node without the column is refused before anything is written", gate::column),
    ("the ramp over nodes lets each in once and says so", gate::ramp),
    ("a backlog of the agent pauses the job, with the reason", backlog::pauses),
    ("digests tell equal, in flight and diverged apart", proof::against),
    ("a node that joins after close is fed by export and apply", joiner::fed),
];

/// Runs the trials whose name contains one of `only`, and prints a line for each.
pub fn run(options: &Options, only: &[String]) -> Outcome<ExitCode> {
    println!("{}", heading(options)?);
    let wanted =
        |name: &str| only.is_empty() || only.iter().any(|text| name.contains(text.as_str()));
    let (mut held, mut failed) = (0, 0);
    for (name, trial) in TRIALS.iter().filter(|(name, _)| wanted(name)) {
        if INTERRUPTED.load(Ordering::Relaxed) {
            return crate::failed::fail("interrupted");
        }
        let began = Instant::now();
        let result = trial(options);
        let seconds = began.elapsed().as_secs();
        match result {
            Ok(remark) => {
                held += 1;
                println!("held    {name} ({seconds} s){}", indented(&remark));
            }
            Err(Failed(why)) => {
                failed += 1;
                println!("FAILED  {name} ({seconds} s){}", indented(&why));
            }
        }
    }
    println!("{held} held, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("\n          {line}")).collect()
}
