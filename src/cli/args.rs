//! The arguments as they are written: subcommands and their flags. Nothing is looked up here.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use super::tuning::TuningArgs;
use crate::state::Mode;

/// Backfills tables of CRDT-replicated `SQLite` databases without melting the cluster.
#[derive(Debug, Parser)]
#[command(
    name = "dotfill",
    version,
    max_term_width = 100,
    about = "Backfills tables of CRDT-replicated SQLite databases without melting the cluster",
    after_help = "Exit codes: 0 done and proven; 1 failure; 2 usage or refused; 3 diverged; \
                  4 interrupted or stopped, resumable; 5 in progress elsewhere; 6 gate refused; \
                  7 budget passed, resumable.",
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to talk.
    #[command(flatten)]
    pub voice: VoiceArgs,
}

/// How results, progress and the log are shown.
#[derive(Args, Clone, Copy, Debug)]
pub struct VoiceArgs {
    /// Print one JSON value on standard output, errors included
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress, and errors only in the log
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// More in the log; twice for everything (`RUST_LOG` overrides)
    #[arg(long, short, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
}

/// The commands of this version.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say what a migration will cost, against the naive way; writes nothing
    Plan(PlanArgs),
    /// Backfill one replica; resumes where it stopped; waits for the proof where another process runs
    /// it, and takes over when that one dies
    Run(RunArgs),
    /// Show phase, progress, owner, throttle reason and noted rows of the migrations
    Status(StatusArgs),
    /// See to it that a server has the indexes of a migration: any number of callers at once, one builds,
    /// all get one verdict
    Ensure(super::ensure::EnsureArgs),
    /// Ask the runner, wherever it is, to stop after its batch, and those who wait for it with it
    Stop(OneArgs),
    /// Wait until a migration is proven, without being willing to run it
    Wait(WaitArgs),
    /// Prove the rows of this replica again, from the data, and compare it with another one
    Verify(VerifyArgs),
    /// Print what the migration's tables hold, as at most 16 KiB of JSON for `verify --against`
    Digest(DigestArgs),
    /// Drain, prove, drop our triggers, and record that the migration is done here
    Close(JobArgs),
    /// Take a set's migration one mode forward, where its gate holds; prints every condition
    Advance(AdvanceArgs),
    /// Write down for the gates of the fleet where this replica stands; writes no database
    Ack(AckArgs),
    /// Set our cells back to NULL and delete our adds; what users wrote stays. With --to, to a mode
    Rollback(RollbackArgs),
    /// Say what is wrong or owed here, and the next command; writes nothing
    Doctor(DoctorArgs),
    /// Remove every trace of a closed or rolled back migration, column apart
    Forget(OneArgs),
    /// Stream the cells of a proven migration that are ours, as delta segments; writes no database
    Export(ExportArgs),
    /// Write delta segments into a replica that cannot derive, or has joined late; resumes
    Apply(ApplyArgs),
    /// Print the SQL that a cluster's schema files need before a migration runs; writes nothing
    Schema(OneArgs),
    /// Say what deltas hold, what they cost, and whether they are whole; writes nothing
    Inspect(InspectArgs),
    /// List, replay, export or drop what was refused
    Quarantine(QuarantineArgs),
    /// Decide operations: apply, translate, buffer or reject; one JSON line in, one out
    Admit(AdmitArgs),
    /// A whole migration on a database that it makes, with the bill at the end
    Demo(DemoArgs),
    /// Print the completions of a shell
    Completions(CompletionsArgs),
}

/// The database file.
#[derive(Args, Clone, Debug)]
pub struct DbArgs {
    /// The database file of this replica
    #[arg(long, value_name = "FILE")]
    pub db: PathBuf,
}

/// One migration in one database.
#[derive(Args, Clone, Debug)]
pub struct OneArgs {
    /// The migration file, or the id of a migration that the database knows
    #[arg(value_name = "MIGRATION")]
    pub migration: String,
    /// The database.
    #[command(flatten)]
    pub db: DbArgs,
}

/// Arguments of `plan`.
#[derive(Args, Clone, Debug)]
pub struct PlanArgs {
    /// The migration and the database.
    #[command(flatten)]
    pub one: OneArgs,
    /// Replicas of the fleet that the bill is for
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub replicas: u64,
    /// Count every row instead of giving bounds; reads the whole table
    #[arg(long)]
    pub exact: bool,
}

/// Arguments of `run`.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent flags")]
pub struct RunArgs {
    /// The migration and the database.
    #[command(flatten)]
    pub one: OneArgs,
    /// When it is proven, go on deriving the rows that others change, until told to stop
    #[arg(long, conflicts_with = "close")]
    pub follow: bool,
    /// Close the migration when it is proven
    #[arg(long)]
    pub close: bool,
    /// Write the values as delta segments meanwhile: into a folder, new or of an earlier run that was
    /// stopped; - for one stream of all rows on standard output
    #[arg(long, value_name = "DIR|-")]
    pub deltas: Option<String>,
    /// Try again what has failed for good
    #[arg(long)]
    pub retry: bool,
    /// Count the rows again from the data also where another process has just proven them
    #[arg(long)]
    pub recheck: bool,
    /// How fast, and when to wait.
    #[command(flatten)]
    pub tuning: TuningArgs,
}

/// Arguments of `advance`.
#[derive(Args, Clone, Debug)]
pub struct AdvanceArgs {
    /// The migration and the database.
    #[command(flatten)]
    pub one: OneArgs,
    /// The next mode
    #[arg(long, value_name = "MODE", value_enum)]
    pub to: ModeArg,
    /// The fleet's folder: fleet.toml lists the replicas, `dotfill ack` writes beside it
    #[arg(long, value_name = "DIR", conflicts_with = "alone")]
    pub fleet: Option<PathBuf>,
    /// There is no other replica (refused where another site of cr-sqlite has written here)
    #[arg(long)]
    pub alone: bool,
    /// Close the epoch of this share of the objects first; only with read-new-write-new
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub percent: Option<u8>,
    /// Append what compaction removes to this file first, one JSON object a line
    #[arg(long, value_name = "FILE", conflicts_with = "no_export")]
    pub export: Option<PathBuf>,
    /// Remove the old form without keeping it
    #[arg(long)]
    pub no_export: bool,
    /// How fast, and when to wait.
    #[command(flatten)]
    pub tuning: TuningArgs,
}

/// Arguments of `ack`.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "five statements, each a flag")]
pub struct AckArgs {
    /// The migration and the database.
    #[command(flatten)]
    pub one: OneArgs,
    /// The fleet's folder
    #[arg(long, value_name = "DIR")]
    pub fleet: PathBuf,
    /// What the fleet's list calls this replica; without it, the site id of cr-sqlite
    #[arg(long, value_name = "ID")]
    pub replica: Option<String>,
    /// The oldest client seen here, such as 4.8.0
    #[arg(long, value_name = "VERSION")]
    pub oldest_client: Option<String>,
    /// For compaction: every active writer writes the new form
    #[arg(long)]
    pub writers_on_new_form: bool,
    /// For compaction: old clients are blocked, or forced to resync
    #[arg(long)]
    pub old_clients_blocked: bool,
    /// For compaction: repair tools no longer use the old form
    #[arg(long)]
    pub repair_tools_moved: bool,
    /// For compaction: snapshots and backups hold the new form
    #[arg(long)]
    pub snapshots_moved: bool,
    /// For compaction: dashboards no longer read the old form
    #[arg(long)]
    pub dashboards_moved: bool,
}

/// Arguments of `rollback`.
#[derive(Args, Clone, Debug)]
pub struct RollbackArgs {
    /// The migration and the database.
    #[command(flatten)]
    pub one: OneArgs,
    /// Go back to this mode of a set's migration, where nothing is lost by it, and keep the rest
    #[arg(long, value_name = "MODE", value_enum)]
    pub to: Option<ModeArg>,
    /// How fast, and when to wait.
    #[command(flatten)]
    pub tuning: TuningArgs,
}

/// A mode of a migration of sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ModeArg {
    /// The old form is all there is
    ReadOldWriteOld,
    /// Applications read the new form
    ReadNewWriteOld,
    /// Applications write both forms
    ReadNewWriteBoth,
    /// The epoch is closed: old writes are refused
    ReadNewWriteNew,
    /// The old form is removed
    CompactOld,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::ReadOldWriteOld => Self::ReadOldWriteOld,
            ModeArg::ReadNewWriteOld => Self::ReadNewWriteOld,
            ModeArg::ReadNewWriteBoth => Self::ReadNewWriteBoth,
            ModeArg::ReadNewWriteNew => Self::ReadNewWriteNew,
            ModeArg::CompactOld => Self::CompactOld,
        }
    }
}

/// Arguments of `close`.
#[derive(Args, Clone, Debug)]
pub struct JobArgs {
    /// The migration and the database.
    #[command(flatten)]
    pub one: OneArgs,
    /// How fast, and when to wait.
    #[command(flatten)]
    pub tuning: TuningArgs,
}

/// Arguments of `export`.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// The migration and the database.
    #[command(flatten)]
    pub one: OneArgs,
    /// The folder for the segments, new or with a part of them; - for one stream on standard output
    #[arg(long, value_name = "DIR|-", required_unless_present = "snapshot")]
    pub deltas: Option<String>,
    /// Instead, the new form of sets as it is now, for clients that have to resync: JSON lines, into a
    /// file that is replaced once they are whole; - for standard output
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["deltas", "only", "keys_of"])]
    pub snapshot: Option<String>,
    /// Only the rows that this file names, as `dotfill verify --diff` writes it
    #[arg(long, value_name = "DIFF")]
    pub only: Option<PathBuf>,
    /// Leave out the keys that the receiving replica has, by what `dotfill digest --keys` printed
    /// there (- for standard input); the deltas are then for that replica only
    #[arg(long, value_name = "KEYS", conflicts_with = "only")]
    pub keys_of: Option<PathBuf>,
    /// Threads that read and encode; 0 is one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
}

/// Arguments of `apply`.
#[derive(Args, Clone, Debug)]
pub struct ApplyArgs {
    /// The folder of segments that `export` or `run` made; - for a stream on standard input
    #[arg(value_name = "DIR|-")]
    pub deltas: String,
    /// The database.
    #[command(flatten)]
    pub db: DbArgs,
    /// Go on applying a folder that grows, and filling rows that arrive, until told to stop
    #[arg(long)]
    pub follow: bool,
    /// How fast, and when to wait.
    #[command(flatten)]
    pub tuning: TuningArgs,
}

/// Arguments of `status`.
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("place").required(true).args(["db", "url"]))]
pub struct StatusArgs {
    /// Only this migration: its file, or its id; its file with --url
    #[arg(value_name = "MIGRATION")]
    pub migration: Option<String>,
    /// The database file of this replica
    #[arg(long, value_name = "FILE")]
    pub db: Option<PathBuf>,
    /// The server that `dotfill ensure` builds indexes on
    #[arg(long, value_name = "URL", requires = "migration")]
    pub url: Option<String>,
}

/// Arguments of `wait`.
#[derive(Args, Clone, Debug)]
pub struct WaitArgs {
    /// The migration and the database.
    #[command(flatten)]
    pub one: OneArgs,
    /// Give up after this long, such as 90s, 10m or 2h; without it, never
    #[arg(long, value_name = "TIME", value_parser = super::time::parse)]
    pub timeout: Option<std::time::Duration>,
    /// Count the rows again from the data, whatever the recorded proof says
    #[arg(long)]
    pub recheck: bool,
}

/// Arguments of `verify`.
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// The migration and the database.
    #[command(flatten)]
    pub one: OneArgs,
    /// Threads that read; 0 is one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// Look every row up in each index of the migration, instead of counting entries only
    #[arg(long)]
    pub integrity: bool,
    /// Compare with another replica: its database file, or a file with what `dotfill digest`
    /// printed there (- for standard input)
    #[arg(long, value_name = "FILE|DIGEST")]
    pub against: Option<PathBuf>,
    /// Write the keys of all rows that differ from the other replica's file, one JSON object a line
    #[arg(long, value_name = "FILE", requires = "against")]
    pub diff: Option<PathBuf>,
}

/// Arguments of `digest`.
#[derive(Args, Clone, Debug)]
pub struct DigestArgs {
    /// The migration and the database.
    #[command(flatten)]
    pub one: OneArgs,
    /// Print which keys the tables have instead, for `dotfill export --keys-of` on another replica;
    /// takes the migration file where this database does not know the migration yet
    #[arg(long)]
    pub keys: bool,
    /// Threads that read; 0 is one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
}

/// Arguments of `doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// The database.
    #[command(flatten)]
    pub db: DbArgs,
}

/// Arguments of `inspect`.
#[derive(Args, Clone, Debug)]
pub struct InspectArgs {
    /// A folder of deltas, one file of it, or a saved stream
    #[arg(value_name = "DIR|FILE")]
    pub path: PathBuf,
    /// Show the first rows of each change
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub rows: u64,
}

/// Arguments of `admit`.
#[derive(Args, Clone, Debug)]
#[command(after_help = ADMIT_HELP)]
pub struct AdmitArgs {
    /// The database.
    #[command(flatten)]
    pub db: DbArgs,
    /// The operations, one JSON object a line; - for standard input
    #[arg(long, value_name = "FILE|-")]
    pub ops: String,
}

const ADMIT_HELP: &str = "\
An operation: {\"op_id\": \"c7-42\", \"object\": {\"table\": \"projects\", \"key\": [\"P7\"]},
  \"kind\": \"tags.add\", \"schema_version\": 1, \"effect\": {\"element\": \"urgent\"}}

The kinds of a set `tags`: version 1 (before its migration) tags.add {element} and tags.set
{elements}; version 2 tags.add {element, dot} and tags.remove {dots}. Further members: epoch, needs,
optional, semantic. The migrations are those that the database knows.

Decisions are remembered: feeding the same operations again gives the same decisions. A line that is
no operation is answered with its number and an error, and the lines after it are decided; if the
first line is none, nothing is written.

Exit codes: 0 all decided; 1 some lines are no operations, or a failure; 2 nothing was written;
4 interrupted, or the buffer was full: feed the same operations again.";

/// Arguments of `quarantine`.
#[derive(Args, Clone, Debug)]
pub struct QuarantineArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: QuarantineCommand,
}

/// What can be done with what was refused.
#[derive(Clone, Debug, Subcommand)]
pub enum QuarantineCommand {
    /// Show what waits: the operation or write, why it was refused, what to do
    List(QuarantineListArgs),
    /// Decide rows again, with your consent: writes of the old form are translated
    Replay(QuarantineSettleArgs),
    /// Print all that waits, one JSON object a line
    Export(QuarantineListArgs),
    /// Give rows up; what was held is rejected by that
    Drop(QuarantineDropArgs),
}

impl QuarantineCommand {
    /// The database file.
    #[must_use]
    pub fn db(&self) -> &Path {
        match self {
            Self::List(args) | Self::Export(args) => &args.db.db,
            Self::Replay(args) => &args.db.db,
            Self::Drop(args) => &args.db.db,
        }
    }
}

/// Arguments of `quarantine list` and `quarantine export`.
#[derive(Args, Clone, Debug)]
pub struct QuarantineListArgs {
    /// Only what this migration refused: its file, or its id
    #[arg(value_name = "MIGRATION")]
    pub migration: Option<String>,
    /// The database.
    #[command(flatten)]
    pub db: DbArgs,
    /// What was replayed or dropped, too
    #[arg(long)]
    pub all: bool,
    /// Rows that `list` shows at most
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u32,
}

/// Arguments of `quarantine replay`.
#[derive(Args, Clone, Debug)]
pub struct QuarantineSettleArgs {
    /// The numbers of the rows, as `quarantine list` shows them
    #[arg(value_name = "ROW", required_unless_present = "all", conflicts_with = "all")]
    pub ids: Vec<i64>,
    /// All that wait
    #[arg(long)]
    pub all: bool,
    /// With --all, only what this migration refused: its file, or its id
    #[arg(long, value_name = "MIGRATION", requires = "all")]
    pub migration: Option<String>,
    /// The database.
    #[command(flatten)]
    pub db: DbArgs,
}

/// Arguments of `quarantine drop`.
#[derive(Args, Clone, Debug)]
pub struct QuarantineDropArgs {
    /// The numbers of the rows, as `quarantine list` shows them
    #[arg(value_name = "ROW", required_unless_present_any = ["all", "buffered"],
          conflicts_with_all = ["all", "buffered"])]
    pub ids: Vec<i64>,
    /// All that wait
    #[arg(long)]
    pub all: bool,
    /// The operations that admission has buffered, instead
    #[arg(long, conflicts_with = "all")]
    pub buffered: bool,
    /// With --all, only what this migration refused: its file, or its id
    #[arg(long, value_name = "MIGRATION", requires = "all")]
    pub migration: Option<String>,
    /// The database.
    #[command(flatten)]
    pub db: DbArgs,
}

/// Arguments of `demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Rows of the table that it makes
    #[arg(
        long, value_name = "N", default_value_t = 1_000_000,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub rows: u64,
    /// Keep the databases in this folder instead of a temporary one
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
}

/// Arguments of `completions`.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}
