//! `tools/fleet`: real Corrosion agents on one machine, and what backfills do to their cluster.
//! Started by the bash script of that name, which builds what is needed.
#![allow(clippy::cast_precision_loss, reason = "what is shown has four digits")]

mod api;
mod census;
#[path = "../compare.d/failed.rs"]
mod failed;
mod fleet;
mod foreground;
mod machine;
mod measure;
mod network;
mod node;
mod options;
mod program;
mod schema;
mod storm;
#[path = "../compare.d/table.rs"]
mod table;
mod trials;
mod way;

use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Parser;

use failed::{Failed, Outcome};
use fleet::{Fleet, INTERRUPTED};
use options::{Cli, Command, Options};

fn main() -> ExitCode {
    let cli = Cli::parse();
    act(&cli).unwrap_or_else(|Failed(why)| {
        eprintln!("fleet: {why}");
        ExitCode::FAILURE
    })
}

fn act(cli: &Cli) -> Outcome<ExitCode> {
    fleet::end_on_signals()?;
    let _alone = alone(&cli.options)?;
    network::remove_abandoned()?;
    match &cli.command {
        Command::Up => up(&cli.options).map(|()| ExitCode::SUCCESS),
        Command::Down => Ok(ExitCode::SUCCESS),
        Command::Storm { only } => storm::storm(&cli.options, only).map(|()| ExitCode::SUCCESS),
        Command::Test { only } => trials::run(&cli.options, only),
    }
}

/// Keeps others out of the folder in which the databases are made, as long as the file is open.
fn alone(options: &Options) -> Outcome<std::fs::File> {
    std::fs::create_dir_all(&options.work)?;
    let lock = std::fs::File::create(options.work.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => failed::fail(format!(
            "another fleet works in {}: wait for it, or give another --work",
            options.work.display()
        )),
        Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
    }
}

fn up(options: &Options) -> Outcome<()> {
    let mut fleet = Fleet::loaded(options, options.rows)?;
    for node in &fleet.nodes {
        println!("{}  {}  API: {}", node.name(), node.db().display(), node.api_for_people());
    }
    println!("Ctrl-C takes the fleet down");
    while !INTERRUPTED.load(Ordering::Relaxed) {
        fleet.nodes.iter_mut().try_for_each(node::Node::check)?;
        std::thread::sleep(Duration::from_millis(200));
    }
    fleet.stop()
}
