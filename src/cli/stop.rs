//! `stop`: asks the runner of a migration, whichever process on whatever host it is.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::json;

use super::args::OneArgs;
use super::{Context, Failure, exit, next, output, which};
use crate::db::{self, Access};
use crate::lease::request_stop;
use crate::status::{MigrationStatus, StatusReader};

/// How long the lock, and then the runner, is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Runs the command.
///
/// # Errors
/// [`Failure`]: nobody runs the migration, or the database does not know it.
pub fn run(args: &OneArgs, context: &Context) -> Result<u8, Failure> {
    let id = which::id(&args.migration)?;
    let reader = StatusReader::open(&args.db.db)?;
    let seen = reader.one(&id)?.ok_or_else(|| which::unknown(&id, &args.db.db))?;
    let Some(owner) = seen.owner.clone() else {
        return Err(nobody(&seen, args));
    };
    let conn = db::open(&args.db.db, Access::Write)?;
    if !ask(&conn, &id)? {
        return Err(nobody(&seen, args));
    }
    let stopped = until_free(&reader, &id, context)?;
    if context.voice.json {
        output::print_json(&json!({"migration": id, "owner": owner, "stopped": stopped}))?;
    } else if stopped {
        let resume = next("run", &args.migration, &args.db.db);
        output::print(&format!("{id}: {owner} has stopped; {resume} continues\n"))?;
    } else {
        output::print(&format!(
            "{id}: {owner} was asked to stop and has not within {} s; it stops after its batch\n",
            PATIENCE.as_secs()
        ))?;
    }
    Ok(if stopped { exit::DONE } else { exit::ELSEWHERE })
}

/// Leaves the request, waiting for the lock that the runner takes again and again.
fn ask(conn: &Connection, id: &str) -> Result<bool, Failure> {
    let began = Instant::now();
    loop {
        match request_stop(conn, id) {
            Err(error) if error.is_busy() && began.elapsed() < PATIENCE => {}
            other => return Ok(other?),
        }
    }
}

fn until_free(reader: &StatusReader, id: &str, context: &Context) -> Result<bool, Failure> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE && !context.cancel.load(Ordering::Relaxed) {
        if reader.one(id)?.is_none_or(|seen| !seen.running) {
            return Ok(true);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(false)
}

fn nobody(seen: &MigrationStatus, args: &OneArgs) -> Failure {
    let (code, then) = if seen.is_resumable() {
        (exit::RESUMABLE, format!("{} continues", next("run", &args.migration, &args.db.db)))
    } else {
        (exit::REFUSED, "there is nothing to stop".to_owned())
    };
    Failure::new(
        code,
        format!("migration {}: nobody runs it, it is {}; {then}", seen.id, seen.phase),
    )
}
