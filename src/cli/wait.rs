//! `wait`: until a migration is proven, whoever proves it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::args::WaitArgs;
use super::{Context, Failure, exit, next, output, units, which};
use crate::state::Phase;
use crate::status::{MigrationStatus, StatusReader};

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Runs the command.
///
/// # Errors
/// [`Failure`]: 1 where the migration failed or was rolled back, 2 where the database does not know
/// it, 4 or 5 where the time is over.
pub fn run(args: &WaitArgs, context: &Context) -> Result<u8, Failure> {
    let id = which::id(&args.one.migration)?;
    let reader = StatusReader::open(&args.one.db.db)?;
    let began = Instant::now();
    let mut told = false;
    loop {
        let seen = reader.one(&id)?.ok_or_else(|| which::unknown(&id, &args.one.db.db))?;
        if seen.is_proven() {
            return done(&seen, context);
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

fn done(seen: &MigrationStatus, context: &Context) -> Result<u8, Failure> {
    if context.voice.json {
        output::print_json(seen)?;
    } else {
        output::print(&format!("{}: proven, {}\n", seen.id, seen.phase))?;
    }
    Ok(exit::DONE)
}

/// Ends the wait for what cannot come any more.
fn check(seen: &MigrationStatus) -> Result<(), Failure> {
    let reason = match seen.phase {
        _ if seen.running => return Ok(()),
        Phase::Failed => seen.failure().unwrap_or("the reason was not recorded"),
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
    Failure::new(code, message).with("owner", seen.owner.clone()).with("percent", seen.percent)
}
