//! `close`: drains, proves, drops our triggers and records that the migration is done here.

use std::path::Path;

use rusqlite::Connection;
use serde::Serialize;

use super::job::{Job, Purpose};
use super::ready::{Closing, Ready};
use super::run::pending;
use super::ship::drop_chain;
use super::{Outcome, RunError, RunOptions, Stop, attest, fed, modes};
use crate::db::DbError;
use crate::migration::Migration;
use crate::monitor::Monitor;
use crate::state::{self, MigrationRow, Phase};
use crate::throttle::SystemClock;
use crate::verify::{Proof, RangeDigest};
use crate::write::WriteError;

/// Notes that the closing transaction itself may take: it holds the lock while it does.
const LAST_NOTES: u64 = 500;
/// Tries to get below that many notes.
const TRIES: u32 = 50;

/// What closing did.
#[derive(Clone, Debug, Serialize)]
pub struct CloseReport {
    /// The migration.
    pub migration: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ended early, where it did.
    pub reason: Option<String>,
    /// Rows that were proven.
    pub rows_proven: u64,
    /// Triggers that stay, and refuse local writes of an old form that is no more.
    pub validators: Vec<String>,
    /// Seconds in all.
    pub seconds: f64,
}

/// Closes an open migration.
///
/// # Errors
/// [`RunError`]; the migration is still open then, and the same call can be repeated.
pub fn close(
    db: &Path,
    migration: &Migration,
    options: &RunOptions,
    monitor: &dyn Monitor,
) -> Result<CloseReport, RunError> {
    super::clear::check_known(db, migration)?;
    let clock = SystemClock::new();
    let mut job = Job::begin_for(Purpose::Tend, db, migration, options, &clock, monitor)?;
    let result = close_known(&mut job);
    let validators =
        modes::stay(job.session.conn(), migration.id.as_str(), migration.changes.len());
    job.end()?;
    let (stop, rows_proven) = result?;
    Ok(CloseReport {
        migration: migration.id.to_string(),
        outcome: if stop.is_some() { Outcome::Interrupted } else { Outcome::Complete },
        reason: stop.as_ref().map(Stop::reason),
        rows_proven,
        validators: validators?,
        seconds: job.started.elapsed().as_secs_f64(),
    })
}

fn close_known(job: &mut Job<'_>) -> Result<(Option<Stop>, u64), RunError> {
    let id = job.id().to_owned();
    let phase = MigrationRow::read(job.session.conn(), &id)?.map(|row| row.phase);
    match phase {
        Some(Phase::Open) => {}
        Some(Phase::Closed) => return Ok((None, 0)),
        Some(Phase::Applied) => return Ok((None, fed::close(job)?)),
        Some(phase) => {
            return Err(RunError::refused(
                &id,
                format!("it is {phase}, not open"),
                if phase == Phase::Applying {
                    "`dotfill apply` again completes it first"
                } else {
                    "`dotfill run` fills and proves it first"
                },
            ));
        }
        None => {
            return Err(RunError::refused(&id, "it is not known here", "`dotfill run` it first"));
        }
    }
    modes::check_may_end(job, modes::Ending::Close)?;
    let mut prepared = Vec::new();
    for index in 0..job.resolved.len() {
        prepared.push(Ready::prepare(job, index)?);
    }
    let (mut digest, mut rows) = (RangeDigest::default(), 0);
    for ready in &mut prepared {
        if let Err(stop) = ready.drain_all(job)? {
            return Ok((Some(stop), rows));
        }
        match ready.prove(job)? {
            Ok(proven) => {
                rows += proven.rows();
                digest += proven.digest().unwrap_or_default();
            }
            Err(stop) => return Ok((Some(stop), rows)),
        }
    }
    record_proof(job, digest, rows)?;
    Ok((close_open(job, &mut prepared)?, rows))
}

/// Keeps what was counted now instead of what an earlier runner has counted.
fn record_proof(job: &mut Job<'_>, digest: RangeDigest, rows: u64) -> Result<(), RunError> {
    let id = job.id().to_owned();
    let token = job.session.token();
    job.session.transact_again(|conn| {
        let row = MigrationRow::read(conn, &id)?;
        let before = row.as_ref().and_then(attest::recorded).unwrap_or_default();
        let rows_pending = pending(conn, &id)?;
        let found = Proof { rows, rows_pending, digest: digest.to_hex(), ..before };
        let proof = attest::signed(found, conn, &id, token)?;
        let text = serde_json::to_string(&proof).unwrap_or_default();
        Ok(MigrationRow::set_phase(conn, &id, Phase::Open, Some(&text))?)
    })?;
    Ok(())
}

/// The proof of a migration as it is once our triggers are gone, inside the closing transaction.
fn closed_proof(conn: &Connection, id: &str) -> Result<Option<String>, DbError> {
    let row = MigrationRow::read(conn, id)?;
    let Some(proof) = row.as_ref().and_then(attest::recorded) else { return Ok(None) };
    let proof = Proof { rows_pending: 0, schema: attest::schema(conn, id)?, ..proof };
    Ok(serde_json::to_string(&proof).ok())
}

/// Closes changes that were proven while they are followed: what was noted since is drained, the
/// last of it in the transaction that drops the triggers.
pub(super) fn close_open(
    job: &mut Job<'_>,
    prepared: &mut [Ready],
) -> Result<Option<Stop>, RunError> {
    modes::check_may_end(job, modes::Ending::Close)?;
    for _ in 0..TRIES {
        if let Err(stop) = modes::end_epochs(job)? {
            return Ok(Some(stop));
        }
        let mut left = 0;
        for ready in prepared.iter_mut() {
            match ready.drain_all(job)? {
                Err(stop) => return Ok(Some(stop)),
                Ok(notes) => left += notes,
            }
        }
        if left > LAST_NOTES {
            continue;
        }
        match drop_triggers(job, prepared) {
            Ok(true) => return Ok(None),
            Ok(false) => {}
            Err(RunError::Write(WriteError::SchemaChanged)) => job.session.accept_schema()?,
            Err(error) => return Err(error),
        }
    }
    Err(RunError::refused(
        job.id(),
        "others note changed rows faster than they can be drained",
        "repeat `dotfill close` at a quieter time; the migration is still open and followed",
    ))
}

/// The closing transaction. False where more was noted meanwhile than it may take.
fn drop_triggers(job: &mut Job<'_>, prepared: &mut [Ready]) -> Result<bool, RunError> {
    let id = job.id().to_owned();
    let closing = Closing { migration: &id, sets: modes::sets_of(job)? };
    // What the last notes derive has to reach the chain that is written.
    let feeds = job.ship.is_some();
    let done = job.session.transact(|conn| {
        let mut closed = Vec::new();
        if !feeds {
            let numbers: Vec<i64> = prepared.iter().map(|ready| ready.change().n).collect();
            drop_chain(conn, &id, &numbers)?;
        }
        for ready in prepared.iter() {
            if ready.notes(conn)? > LAST_NOTES {
                return Ok(None);
            }
        }
        for ready in prepared.iter() {
            let Some(change) = ready.finish_in(conn, &closing, LAST_NOTES)? else {
                return Ok(None);
            };
            closed.push(change);
        }
        let proof = closed_proof(conn, &id)?;
        MigrationRow::set_phase(conn, &id, Phase::Closed, proof.as_deref())?;
        let stay: Vec<String> = closing.ended().collect();
        let detail = match stay.as_slice() {
            [] => "drained, proven, triggers dropped".to_owned(),
            stay => format!("proven; old writes are still refused on {}", stay.join(", ")),
        };
        state::event(conn, &id, "closed", &detail)?;
        Ok(Some(closed))
    })?;
    job.session.accept_schema()?;
    let Some(closed) = done.value else {
        return Ok(false);
    };
    for (ready, change) in prepared.iter_mut().zip(closed) {
        *ready.change_mut() = change;
    }
    Ok(true)
}
