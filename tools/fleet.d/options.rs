//! The arguments of `tools/fleet`. The wrapper supplies the paths; people give the rest.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// A cluster of real Corrosion agents on this machine, and what backfills do to it.
#[derive(Parser, Debug)]
#[command(name = "tools/fleet", args_override_self = true)]
pub struct Cli {
    #[command(flatten)]
    pub options: Options,
    #[command(subcommand)]
    pub command: Command,
}

/// How large the fleet is, and where everything is.
#[derive(Args, Debug)]
pub struct Options {
    /// Nodes
    #[arg(long, global = true, default_value_t = 3, value_parser = nodes)]
    pub nodes: usize,
    /// Rows of the table that is migrated
    #[arg(long, global = true, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1000..1_000_000))]
    pub rows: u64,
    /// Seconds that a way may take until it is given up
    #[arg(long, global = true, default_value_t = 180)]
    pub patience: u64,
    /// Where the databases are made (the loaded ones are kept for the next call)
    #[arg(long, global = true, value_name = "DIR", default_value = "target/fleet")]
    pub work: PathBuf,
    /// The dotfill program
    #[arg(long, global = true, value_name = "FILE", default_value = "target/release/dotfill")]
    pub dotfill: PathBuf,
    /// The agent's program
    #[arg(long, global = true, value_name = "FILE", default_value = "corrosion")]
    pub agent: PathBuf,
}

impl Options {
    /// How long a way may take.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.patience)
    }
}

fn nodes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(nodes) if (2..=20).contains(&nodes) => Ok(nodes),
        _ => Err("write 2 to 20".to_owned()),
    }
}

/// What to do with the fleet.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Brings up a loaded fleet and says how to reach it; Ctrl-C takes it down
    Up,
    /// Removes what killed fleets left behind: agents and network namespaces
    Down,
    /// Measures every way to give the column its value, and prints the table
    Storm {
        /// Only the ways whose title contains this (may be repeated)
        #[arg(long, value_name = "TEXT")]
        only: Vec<String>,
    },
    /// Runs the trials, each on agents of its own
    Test {
        /// Only the trials whose name contains this (may be repeated)
        #[arg(long, value_name = "TEXT")]
        only: Vec<String>,
    },
}
