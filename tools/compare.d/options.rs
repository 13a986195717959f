//! The arguments of `tools/compare`. The wrapper supplies the paths; people give the rest.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Compares dotfill with the other ways to give a column a value, on the same data.
#[derive(Parser, Debug)]
#[command(
    name = "tools/compare",
    args_conflicts_with_subcommands = true,
    args_override_self = true
)]
pub struct Cli {
    #[command(flatten)]
    pub options: Options,
    #[command(subcommand)]
    pub child: Option<Child>,
}

/// What to compare, and where everything is.
#[derive(Args, Debug)]
pub struct Options {
    /// Rows of each table
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1000..))]
    pub rows: u64,
    /// Page size of each database, in bytes
    #[arg(long, default_value_t = 4096)]
    pub page_size: u32,
    /// Rounds; in each, every contestant of a part runs once, in turn (medians are reported)
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// Seconds of foreground samples to collect per contestant
    #[arg(long, default_value_t = 30)]
    pub foreground_seconds: u64,
    /// Run only this part (may be repeated)
    #[arg(long, value_enum)]
    pub only: Vec<Part>,
    /// Write everything that was measured to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Where the databases are made (the made ones are kept for the next call)
    #[arg(long, value_name = "DIR", default_value = "target/compare")]
    pub work: PathBuf,
    /// The dotfill program
    #[arg(long, value_name = "FILE", default_value = "target/release/dotfill")]
    pub dotfill: PathBuf,
    /// cr-sqlite's loadable extension
    #[arg(long, value_name = "FILE")]
    pub crsqlite: Option<PathBuf>,
    /// The sqlite-utils program
    #[arg(long, value_name = "FILE", default_value = "sqlite-utils")]
    pub sqlite_utils: PathBuf,
    /// The Python that has the package apsw
    #[arg(long, value_name = "FILE", default_value = "python3")]
    pub python: PathBuf,
    /// The program that makes and applies patchsets with it
    #[arg(long, value_name = "FILE", default_value = "tools/compare.d/patchset.py")]
    pub patchset: PathBuf,
    /// The sqldiff program
    #[arg(long, value_name = "FILE", default_value = "sqldiff")]
    pub sqldiff: PathBuf,
}

impl Options {
    /// Whether this part was asked for.
    pub fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

/// A part of the comparison.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Plain `SQLite` tables
    Plain,
    /// Tables replicated by cr-sqlite
    Crsqlite,
    /// A transform of about 3 us per row
    Expensive,
    /// What other writers feel meanwhile
    Foreground,
    /// What deltas weigh, and how fast they are made and applied
    Deltas,
}

/// What this program runs as when it is its own child.
#[derive(Subcommand, Debug)]
pub enum Child {
    /// Writes one row at a time until its standard input ends
    #[command(hide = true)]
    Foreground(Writer),
}

/// The arguments of the foreground writer.
#[derive(Args, Debug)]
pub struct Writer {
    #[arg(long)]
    pub db: PathBuf,
    #[arg(long)]
    pub rows: u64,
    #[arg(long)]
    pub crsqlite: Option<PathBuf>,
}
