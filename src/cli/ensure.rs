//! `ensure`, and `status --url`: the indexes of a migration on a server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::ensure_progress::ShowIndex;
use super::{Context, Failure, exit, output, units};
use crate::ensure::{self, EnsureError, EnsureOptions, How, IndexStatus, State, Survey, Target};
use crate::migration::Migration;

/// Arguments of `ensure`.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
pub struct EnsureArgs {
    /// The migration file; each change has the kind "index"
    #[arg(value_name = "MIGRATION")]
    pub migration: String,
    /// The server: postgres://USER@HOST:PORT/DATABASE, or env:NAME for a URL in an environment
    /// variable
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// Give up after this long, such as 90s, 10m or 2h, and say what was found; a build goes on
    #[arg(long, value_name = "TIME", value_parser = super::time::parse)]
    pub timeout: Option<Duration>,
    /// End at once where somebody else builds
    #[arg(long)]
    pub no_wait: bool,
    /// Build again what has failed for good
    #[arg(long)]
    pub retry: bool,
}

const HELP: &str = "\
The password: in the URL, or in PGPASSWORD. Parameters of the URL, as libpq has them:
sslmode=disable, prefer (the default), require (encrypted, for whoever answers) or verify-full (the
certificate is checked), sslrootcert, sslcert, sslkey, connect_timeout, target_session_attrs. The
connection must be a session of its own: no proxy that shares sessions among clients.

Exit codes: 0 each index is valid and as the file says, read from the catalog; 1 a build has failed
for good, or no connection; 2 refused: another definition has the name, or the server does not take
it; 4 interrupted, and what was begun is taken back, or the time is over and nobody builds; 5
somebody builds, or the server still does after --timeout.";

/// Runs `ensure`.
///
/// # Errors
/// [`Failure`], with the exit codes of the help.
pub fn run(args: &EnsureArgs, context: &Context) -> Result<u8, Failure> {
    let migration = load(&args.migration)?;
    let target = target(&args.url)?;
    let options = EnsureOptions {
        timeout: args.timeout,
        wait: !args.no_wait,
        retry: args.retry,
        cancel: Arc::clone(&context.cancel),
        ..EnsureOptions::default()
    };
    let show = ShowIndex::new(context.voice, &context.bars);
    let report = ensure::ensure(&migration, &target, &options, &show);
    show.finish();
    let report = report?;
    if context.voice.json {
        output::print_json(&report)?;
        return Ok(exit::DONE);
    }
    let lines: String = report
        .indexes
        .iter()
        .map(|one| {
            let took = units::seconds(one.seconds);
            let how = match one.how {
                How::Found => "was there".to_owned(),
                How::Built => format!("built in {took}"),
                How::Attached => format!("built by another caller, waited {took}"),
            };
            format!("  {} on {}: valid, as the file says; {how}\n", one.index, one.table)
        })
        .collect();
    output::print(&format!(
        "{}: proven on {} ({})\n{lines}",
        report.migration, report.url, report.server
    ))?;
    Ok(exit::DONE)
}

/// Runs `status --url`: 0 where all is proven, 5 where somebody builds, else 4.
///
/// # Errors
/// [`Failure`]: the file, the URL, or the server.
pub fn status(migration: Option<&str>, url: &str, context: &Context) -> Result<u8, Failure> {
    let migration = load(migration.unwrap_or_default())?;
    let target = target(url)?;
    let options = EnsureOptions { cancel: Arc::clone(&context.cancel), ..EnsureOptions::default() };
    let show = ShowIndex::new(context.voice, &context.bars);
    let survey = ensure::survey(&migration, &target, &options, &show);
    show.finish();
    let survey = survey?;
    if context.voice.json {
        output::print_json(&[&survey])?;
    } else {
        output::print(&table(&survey))?;
    }
    Ok(match survey.phase {
        State::Proven => exit::DONE,
        State::Building => exit::ELSEWHERE,
        _ => exit::RESUMABLE,
    })
}

fn table(survey: &Survey) -> String {
    let lines: String = survey.indexes.iter().map(line).collect();
    format!("{} on {} ({})\n{lines}", survey.id, survey.url, survey.server)
}

fn line(one: &IndexStatus) -> String {
    let what = match one.state {
        State::Proven => "proven: valid, as the file says",
        State::Building => "being built",
        State::Invalid => "INVALID, left by a build that failed; `dotfill ensure` builds it anew",
        State::Missing => "not there; `dotfill ensure` builds it",
        State::Different => "another definition has the name",
        State::Refused => "cannot be made here",
        State::Failed => "failed for good",
    };
    let reason = one.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("  {} on {}  {what}{reason}\n", one.index, one.table)
}

fn load(argument: &str) -> Result<Migration, Failure> {
    Ok(Migration::load(Path::new(argument))?)
}

fn target(url: &str) -> Result<Target, Failure> {
    Ok(Target::parse(url)?.with_password_of_environment())
}

impl From<EnsureError> for Failure {
    fn from(error: EnsureError) -> Self {
        let failure = Self::new(code(&error), error.to_string());
        match error {
            EnsureError::Failed { index, verdict, earlier } => failure
                .with("index", index)
                .with("cause", verdict.cause.as_str())
                .with("sqlstate", verdict.code.clone())
                .with("verdict", verdict.message.clone())
                .with("examples", examples(&verdict))
                .with("earlier", earlier),
            EnsureError::Different(two) => failure
                .with("index", two.index)
                .with("differences", two.differences)
                .with("found", two.found)
                .with("wanted", two.wanted),
            EnsureError::Refused { index, .. } | EnsureError::Answer { index, .. } => {
                failure.with("index", index)
            }
            EnsureError::Held { index, state } => {
                failure.with("index", index).with("state", state).with("outcome", "held")
            }
            EnsureError::Timeout { index, state, building, .. } => failure
                .with("index", index)
                .with("state", state)
                .with("building", building)
                .with("outcome", "timeout"),
            EnsureError::Interrupted { index, state } => {
                failure.with("index", index).with("state", state).with("outcome", "interrupted")
            }
            _ => failure,
        }
    }
}

fn examples(verdict: &ensure::verdict::Verdict) -> Value {
    let one =
        |example: &ensure::verdict::Example| json!({"key": example.key, "rows": example.rows});
    verdict.examples.iter().map(one).collect()
}

const fn code(error: &EnsureError) -> u8 {
    match error {
        EnsureError::Url { .. }
        | EnsureError::Server { .. }
        | EnsureError::Refused { .. }
        | EnsureError::Different(_) => exit::REFUSED,
        EnsureError::Unreachable { .. }
        | EnsureError::Failed { .. }
        | EnsureError::Answer { .. } => exit::FAILED,
        EnsureError::Timeout { building: false, .. } | EnsureError::Interrupted { .. } => {
            exit::RESUMABLE
        }
        EnsureError::Timeout { building: true, .. } | EnsureError::Held { .. } => exit::ELSEWHERE,
    }
}
