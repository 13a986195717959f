//! `wait`: until a migration is proven, whoever proves it. Takes no lease and writes nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::args::WaitArgs;
use super::progress::Show;
use super::{Context, Failure, exit, next, output, units, which};
use crate::engine::{self, Attested, LookOptions};
use crate::state::Phase;
use crate::status::{MigrationStatus, StatusReader};

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Runs the command.
///
/// # Errors
/// [`Failure`]: 1 where the migration failed or was rolled back, 2 where the database does not know
/// it, or by another file; 3 where rows were counted again and have diverged; 4 or 5 where the time
/// is over.
pub fn run(args: &WaitArgs, context: &Context) -> Result<u8, Failure> {
    let id = which::id(&args.one.migration)?;
    let reader = StatusReader::open(&args.one.db.db)?;
    let began = Instant::now();
    let mut told = false;
    loop {
        let seen = reader.one(&id)?.ok_or_else(|| which::unknown(&id, &args.one.db.db))?;
        if seen.is_proven() {
            return done(&seen, args, context);
        }
        check(&seen)?;
        if context.cancel.load(Ordering::Relaxed) {
            return Err(over(&seen, "interrupted by a signal"));
        }
        if let Some(most) = args.timeout.filter(|most| began.elapsed() >= *most) {
            return Err(over(&seen, &format!("not proven after {}", units::duration(most))));
        }
        if !told && !seen.running {
            let resume = next("run", &args.one.migration, &args.one.db.db);
            tracing::warn!("nobody runs {id}; {resume} continues it");
            told = true;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Says that it is proven, once that has been looked at.
fn done(seen: &MigrationStatus, args: &WaitArgs, context: &Context) -> Result<u8, Failure> {
    let migration = which::migration(&args.one)?;
    let options = LookOptions { cancel: Arc::clone(&context.cancel), ..LookOptions::default() };
    let show = Show::new(context.voice, &context.bars);
    let proof = engine::attest(&args.one.db.db, &migration, args.recheck, &options, &show);
    show.finish();
    let proof = proof?;
    if context.voice.json {
        output::print_json(&proof)?;
    } else {
        output::print(&render(&proof, seen))?;
    }
    Ok(exit::DONE)
}

fn render(proof: &Attested, seen: &MigrationStatus) -> String {
    let rows = units::count(proof.rows);
    let how = if proof.counted { "counted again now" } else { "as recorded" };
    let noted = match proof.rows_pending {
        0 => String::new(),
        n => format!("; {} noted since, to be derived again", units::count(n)),
    };
    let undecided = match proof.undecided {
        0 => String::new(),
        n => format!("; {} old writes are pending or in quarantine", units::count(n)),
    };
    format!("{}: proven, {}; {rows} rows, {how}{noted}{undecided}\n", seen.id, seen.phase)
}

/// Ends the wait for what cannot come any more.
fn check(seen: &MigrationStatus) -> Result<(), Failure> {
    let reason = match seen.phase {
        _ if seen.running => return Ok(()),
        Phase::Failed => seen.failure.as_deref().unwrap_or("the reason was not recorded"),
        Phase::RolledBack | Phase::RollingBack => "it was rolled back",
        Phase::Filling | Phase::Open | Phase::Closed | Phase::Applying | Phase::Applied => {
            return Ok(());
        }
    };
    Err(Failure::new(exit::FAILED, format!("migration {} has failed: {reason}", seen.id)))
}

fn over(seen: &MigrationStatus, why: &str) -> Failure {
    let (code, who) = match &seen.owner {
        Some(owner) => (exit::ELSEWHERE, format!("{owner} runs it")),
        None => (exit::RESUMABLE, "nobody runs it".to_owned()),
    };
    let message = format!("migration {}: {why}; {who}, {:.1} % done", seen.id, seen.percent);
    Failure::new(code, message)
        .with("owner", seen.owner.clone())
        .with("host", seen.host.clone())
        .with("pid", seen.pid)
        .with("percent", seen.percent)
}
