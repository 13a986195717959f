//! The lease as a job claims it: what comes into being with it, and what is said where somebody else
//! has it. The rules are in [`crate::lease`].

use rusqlite::Connection;

use super::job::{check_same, percent};
use super::{RunError, RunOptions};
use crate::db::DbError;
use crate::lease::{Attempt, Claim, Holder, Lease, acquire, take};
use crate::migration::Migration;
use crate::state::{self, ChangeRow, MigrationRow, Phase};
use crate::throttle::Clock;

/// How a job comes by its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claiming {
    /// It finds out within a lease period whether the holder works.
    Watch,
    /// It takes a lease that is free, or whose holder was seen to stand still: with this token, at
    /// this heartbeat.
    Now(Option<(i64, i64)>),
}

/// Takes the lease for a job that begins a new migration in phase `begins`, or finds out who has it.
pub(super) fn lease(
    conn: &mut Connection,
    migration: &Migration,
    (begins, claiming): (Phase, Claiming),
    options: &RunOptions,
    clock: &dyn Clock,
) -> Result<Lease, RunError> {
    let id = migration.id.as_str();
    // Whoever holds the lease has the newest tables, and its migration recorded.
    let begin = |conn: &Connection| {
        state::create(conn)?;
        match MigrationRow::read(conn, id)? {
            Some(known) => check_same(&known, migration),
            None => Ok(MigrationRow::insert(conn, id, &migration.digest, &migration.text, begins)?),
        }
    };
    let mut claim = Claim { migration: id, lease: options.lease, expired: None };
    let attempt = match claiming {
        Claiming::Watch => acquire(conn, claim, clock, &options.cancel, &begin)?,
        Claiming::Now(expired) => {
            claim.expired = expired;
            match held_by(conn, id)? {
                // Without waiting for the lock that the holder takes again and again.
                Some(holder) if expired != Some((holder.token, holder.heartbeat)) => {
                    Attempt::Held(holder)
                }
                // A holder that was stopped inside a transaction keeps the lock that taking over needs.
                Some(holder) => match take(conn, claim, &options.cancel, &begin) {
                    Err(RunError::Db(DbError::Busy { .. })) => Attempt::Held(holder),
                    other => other?,
                },
                None => take(conn, claim, &options.cancel, &begin)?,
            }
        }
    };
    match attempt {
        Attempt::Taken(lease) => Ok(lease),
        Attempt::Held(holder) => Err(held(conn, id, &holder)?),
    }
}

/// Who has the lease and may live.
pub(super) fn held_by(conn: &Connection, id: &str) -> Result<Option<Holder>, DbError> {
    let holder = if state::exists(conn)? { Holder::read(conn, id)? } else { None };
    Ok(holder.filter(|holder| !holder.is_free()))
}

/// Says that somebody else has the lease.
pub(super) fn held(conn: &Connection, id: &str, holder: &Holder) -> Result<RunError, DbError> {
    Ok(RunError::Held {
        migration: id.to_owned(),
        owner: holder.owner().unwrap_or_default(),
        host: holder.host.clone().unwrap_or_default(),
        pid: holder.pid.unwrap_or_default(),
        percent: percent(&ChangeRow::of(conn, id)?),
    })
}
