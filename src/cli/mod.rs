//! The command line: one file per subcommand. The only place that prints, draws or exits; it holds
//! no logic of migrations.

mod ack;
mod admit;
mod advance;
mod against;
mod apply;
pub mod args;
mod close;
mod completions;
pub mod demo;
mod digest;
pub mod doctor;
pub mod ensure;
mod ensure_progress;
pub mod exit;
mod export;
mod failure;
mod forget;
mod inspect;
mod keys_of;
mod log;
mod output;
pub mod plan;
mod planning;
mod progress;
mod quarantine;
mod ramp;
mod rollback;
mod run;
mod schema;
mod signals;
mod snapshot;
mod status;
mod stop;
mod time;
mod tuning;
pub mod units;
mod verify;
mod voice;
mod wait;
mod watched;
mod which;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use indicatif::MultiProgress;
use serde_json::json;

use args::{Cli, Command, VoiceArgs};
pub use failure::Failure;

/// What every command may use.
pub struct Context {
    /// How to talk.
    pub voice: VoiceArgs,
    /// Where bars are drawn.
    pub bars: MultiProgress,
    /// Set by the first signal.
    pub cancel: Arc<AtomicBool>,
}

/// Reads the arguments; an error is the exit code, with everything said.
///
/// # Errors
/// The exit code, where there is nothing to run: help, version, or a wrong usage.
pub fn parse() -> Result<Cli, u8> {
    Cli::try_parse().map_err(|error| {
        let refused = error.use_stderr();
        if refused && std::env::args().any(|argument| argument == "--json") {
            let text = error.to_string();
            let failure = Failure::refused(text.trim_start_matches("error: ").trim_end());
            // Nothing is left to say where this fails.
            let _ = output::print_json(&failure.to_json());
        }
        let _ = error.print();
        if refused { exit::REFUSED } else { exit::DONE }
    })
}

/// Runs a command and returns its exit code.
#[must_use]
pub fn run(cli: &Cli) -> u8 {
    let bars = MultiProgress::new();
    log::start(cli.voice, &bars);
    let result = signals::cancel_flag().and_then(|cancel| {
        let context = Context { voice: cli.voice, bars, cancel };
        dispatch(&cli.command, &context)
    });
    match result {
        Ok(code) => code,
        Err(failure) => report(&failure, cli),
    }
}

fn dispatch(command: &Command, context: &Context) -> Result<u8, Failure> {
    let json = context.voice.json;
    match command {
        Command::Plan(args) => planning::run(args, json),
        Command::Run(args) => run::run(args, context),
        Command::Status(args) => match (&args.url, &args.db) {
            (Some(url), _) => ensure::status(args.migration.as_deref(), url, context),
            (None, Some(db)) => status::run(args, db, json),
            (None, None) => Err(Failure::refused("give --db FILE or --url URL")),
        },
        Command::Ensure(args) => ensure::run(args, context),
        Command::Stop(args) => stop::run(args, context),
        Command::Wait(args) => wait::run(args, context),
        Command::Verify(args) => verify::run(args, context),
        Command::Digest(args) => digest::run(args, context),
        Command::Close(args) => close::run(args, context),
        Command::Advance(args) => advance::run(args, context),
        Command::Ack(args) => ack::run(args, context),
        Command::Rollback(args) => rollback::run(args, context),
        Command::Doctor(args) => doctor::run(&args.db.db, json),
        Command::Forget(args) => forget::run(args, context),
        Command::Export(args) => export::run(args, context),
        Command::Apply(args) => apply::run(args, context),
        Command::Inspect(args) => inspect::run(args, context),
        Command::Quarantine(args) => quarantine::run(args, context),
        Command::Admit(args) => admit::run(args, context),
        Command::Schema(args) => schema::run(args, json),
        Command::Demo(args) => {
            demo::run(&demo::DemoOptions { rows: args.rows, folder: args.folder.clone(), json })
        }
        Command::Completions(args) => completions::run(args),
    }
}

/// Says why a command failed: the message to people, the object to machines.
fn report(failure: &Failure, cli: &Cli) -> u8 {
    let mut failure = failure.clone();
    if let Some(argument) = migration(&cli.command) {
        failure
            .details
            .entry("migration")
            .or_insert_with(|| json!(which::id(argument).unwrap_or_else(|_| argument.to_owned())));
    }
    if let Some(db) = database(&cli.command).filter(|_| failure.of_file) {
        failure.message = format!("{db}: {}", failure.message);
    }
    if cli.voice.json {
        // The message follows on standard error in any case.
        let _ = if streams(&cli.command) {
            output::explain_json(&failure.to_json())
        } else {
            output::print_json(&failure.to_json())
        };
    }
    let _ = writeln!(std::io::stderr(), "error: {}", failure.message);
    failure.code
}

/// True where standard output carries deltas, or JSON lines, one for each operation.
fn streams(command: &Command) -> bool {
    let deltas = match command {
        Command::Admit(_) => return true,
        Command::Export(args) => args.deltas.as_deref().or(args.snapshot.as_deref()),
        Command::Run(args) => args.deltas.as_deref(),
        _ => None,
    };
    deltas == Some("-")
}

/// The MIGRATION argument of a command.
fn migration(command: &Command) -> Option<&str> {
    match command {
        Command::Plan(args) => Some(&args.one.migration),
        Command::Run(args) => Some(&args.one.migration),
        Command::Status(args) => args.migration.as_deref(),
        Command::Ensure(args) => Some(&args.migration),
        Command::Stop(args) | Command::Forget(args) | Command::Schema(args) => {
            Some(&args.migration)
        }
        Command::Wait(args) => Some(&args.one.migration),
        Command::Verify(args) => Some(&args.one.migration),
        Command::Digest(args) => Some(&args.one.migration),
        Command::Close(args) => Some(&args.one.migration),
        Command::Rollback(args) => Some(&args.one.migration),
        Command::Advance(args) => Some(&args.one.migration),
        Command::Ack(args) => Some(&args.one.migration),
        Command::Export(args) => Some(&args.one.migration),
        // What deltas and operations are of they say themselves.
        Command::Apply(_)
        | Command::Quarantine(_)
        | Command::Admit(_)
        | Command::Inspect(_)
        | Command::Doctor(_)
        | Command::Demo(_)
        | Command::Completions(_) => None,
    }
}

/// The database that a command works on; both where it compares two.
fn database(command: &Command) -> Option<String> {
    let one = |db: &Path| Some(db.display().to_string());
    match command {
        Command::Plan(args) => one(&args.one.db.db),
        Command::Run(args) => one(&args.one.db.db),
        Command::Status(args) => args.db.as_deref().and_then(one),
        Command::Stop(args) | Command::Forget(args) | Command::Schema(args) => one(&args.db.db),
        Command::Wait(args) => one(&args.one.db.db),
        Command::Verify(args) => match &args.against {
            Some(other) => Some(format!("{} or {}", args.one.db.db.display(), other.display())),
            None => one(&args.one.db.db),
        },
        Command::Digest(args) => one(&args.one.db.db),
        Command::Close(args) => one(&args.one.db.db),
        Command::Rollback(args) => one(&args.one.db.db),
        Command::Advance(args) => one(&args.one.db.db),
        Command::Ack(args) => one(&args.one.db.db),
        Command::Admit(args) => one(&args.db.db),
        Command::Export(args) => one(&args.one.db.db),
        Command::Apply(args) => one(&args.db.db),
        Command::Doctor(args) => one(&args.db.db),
        Command::Quarantine(args) => one(args.command.db()),
        Command::Ensure(_) | Command::Inspect(_) | Command::Demo(_) | Command::Completions(_) => {
            None
        }
    }
}

/// A command to type next, with the database it is for.
fn next(command: &str, migration: &str, db: &Path) -> String {
    format!("`dotfill {command} {migration} --db {}`", db.display())
}
