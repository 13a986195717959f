//! Taking the lease, which is the one write that needs no token.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};

use super::{Holder, Lease, Owner, Seen, Watch, record_rows};
use crate::db::{self, DbError, Doing};
use crate::state::{self, ChangeRow};
use crate::throttle::Clock;

/// An acquisition that had to wait this long for the write lock came after somebody who kept others
/// from beating.
const LOCKED: Duration = Duration::from_millis(50);

/// Who asks for which lease.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The migration.
    pub migration: &'a str,
    /// How long a heartbeat may stand still; our own, for as long as we hold the lease.
    pub lease: Duration,
    /// Token and heartbeat that the caller has decided by: those of a holder that stood still for a
    /// period, or of a lease that was free. Where the row has others by now, it is not taken.
    pub expired: Option<(i64, i64)>,
}

/// What an attempt to take the lease came to.
#[derive(Debug)]
pub enum Attempt {
    /// We hold it.
    Taken(Lease),
    /// Somebody else holds it and works; or, where the caller had decided by another state of the row,
    /// did so meanwhile.
    Held(Holder),
}

/// Takes the lease, or finds out within a lease period that its holder works. `begin` runs inside the
/// taking transaction before anything else, and creates what is absent.
///
/// # Errors
/// When the row cannot be read or written, what `begin` returns, [`DbError::Interrupted`] where
/// `cancel` is set before that is known. Nothing was written then.
pub fn acquire<E: From<DbError>>(
    conn: &mut Connection,
    claim: Claim<'_>,
    clock: &dyn Clock,
    cancel: &AtomicBool,
    begin: &dyn Fn(&Connection) -> Result<(), E>,
) -> Result<Attempt, E> {
    let mut watch = None;
    loop {
        let holder = if state::exists(conn)? { Holder::read(conn, claim.migration)? } else { None };
        let Some(holder) = holder.filter(|holder| !holder.is_free()) else {
            return take(conn, claim, cancel, begin);
        };
        let period = holder.lease.unwrap_or_default().max(claim.lease);
        let watch = watch.get_or_insert_with(|| Watch::new(period));
        match watch.look(clock.now().monotonic, holder.token, holder.heartbeat) {
            Seen::Moved => return Ok(Attempt::Held(holder)),
            Seen::Expired => {
                let expired = Some((holder.token, holder.heartbeat));
                match take(conn, Claim { expired, ..claim }, cancel, begin)? {
                    // Given back at the last moment.
                    Attempt::Held(holder) if holder.is_free() => continue,
                    attempt => return Ok(attempt),
                }
            }
            Seen::Still => {}
        }
        if cancel.load(Ordering::Relaxed) {
            return Err(DbError::Interrupted { doing: "take the lease".to_owned() }.into());
        }
        clock.sleep(watch.poll());
    }
}

/// Takes the lease where it is free, its holder is gone, or has stood still as `claim` says.
///
/// # Errors
/// As [`acquire`].
pub fn take<E: From<DbError>>(
    conn: &mut Connection,
    claim: Claim<'_>,
    cancel: &AtomicBool,
    begin: &dyn Fn(&Connection) -> Result<(), E>,
) -> Result<Attempt, E> {
    let what = "take the lease";
    let asked = Instant::now();
    let tx = db::begin_unless(conn, TransactionBehavior::Immediate, what, cancel)?;
    let locked = asked.elapsed() >= LOCKED;
    begin(&tx)?;
    let holder = Holder::read(&tx, claim.migration)?;
    if let Some(holder) = &holder {
        let seen = claim.expired.map(|expired| expired == (holder.token, holder.heartbeat));
        let keeps = match (holder.is_free(), seen) {
            (true, seen) => seen == Some(false),
            (false, seen) => seen != Some(true) || locked,
        };
        if keeps {
            return Ok(Attempt::Held(holder.clone()));
        }
    }
    let lease = write(&tx, claim, holder.as_ref())?;
    tx.commit().doing(what)?;
    Ok(Attempt::Taken(lease))
}

fn write(conn: &Connection, claim: Claim<'_>, before: Option<&Holder>) -> Result<Lease, DbError> {
    let what = "take the lease";
    if let Some((holder, owner)) = before.and_then(|holder| Some((holder, holder.owner()?))) {
        record_rows(conn, claim.migration, holder.token, &owner)?;
    }
    let owner = Owner::this();
    let token = conn
        .query_row(
            "INSERT INTO _dotfill_lease (migration, host, pid, token) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (migration) DO UPDATE SET host = excluded.host, pid = excluded.pid, \
             token = token + 1, heartbeat = heartbeat + 1, stop = 0, throttle = NULL \
             RETURNING token",
            (claim.migration, &owner.host, owner.pid, first_token()),
            |row| row.get(0),
        )
        .doing(what)?;
    let rows = ChangeRow::rows_written(conn, claim.migration)?;
    let lease_ms = i64::try_from(claim.lease.as_millis()).unwrap_or(i64::MAX);
    conn.execute(
        "INSERT OR REPLACE INTO _dotfill_runner (migration, token, place, started, lease_ms, \
         rows_before) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (claim.migration, token, owner.place, owner.started, lease_ms, rows.cast_signed()),
    )
    .doing(what)?;
    Ok(Lease { migration: claim.migration.to_owned(), token })
}

/// From 1 to 2^40, from the numbers that the system seeds hash maps with.
fn first_token() -> i64 {
    let random = RandomState::new().build_hasher().finish();
    ((random >> 24) + 1).cast_signed()
}
