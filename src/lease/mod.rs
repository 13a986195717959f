//! One runner per migration and database, told apart by a fencing token.
//!
//! # Definitions
//! - The *lease* is a row of `_dotfill_lease`: owner, *token*, *heartbeat*. It is free where it has no
//!   owner. `_dotfill_runner` says more of the same owner; it counts only where its token is the same.
//! - The *token* is the number of an acquisition. It only ever grows. The first one of a row is drawn
//!   at random from 2^40, so that a runner of a migration that was forgotten and begun anew holds
//!   none of the new row's tokens.
//! - The *heartbeat* counts the holder's write transactions, and a beat four times a period where it
//!   has none.
//!
//! # Operations
//! - `acquire`: takes the lease where nobody has it; where its owner is a process that is certainly
//!   gone ([`Owner::is_dead`]); or where its heartbeat stood still for one lease period by our own
//!   monotonic clock ([`Watch`]; the longer one of our period and the holder's). Each acquisition adds
//!   one to the token. It is one write transaction, which looks at the row again: whoever has beaten
//!   meanwhile keeps the lease.
//! - `check`: inside every write transaction. A runner whose token is no longer the row's has been
//!   replaced, and its transaction must be rolled back.
//! - `beat`: moves the counter while the runner reads, measures or proves, and holds no lock.
//! - `release`: gives the lease back; the token stays, so that it only ever grows. Left undone where
//!   the write lock is not to be had. A request to stop stays too, until the next acquisition: who
//!   waits learns from it that nobody is to take over.
//!
//! # The rule
//! *Every write transaction of a runner reads its token from the lease's row inside that transaction,
//! and commits only where it finds it.* `write::Session` is the one place that begins them. Three
//! writes are none of it: the acquisition itself (which compares the row with what was seen), the
//! release (one statement with the token in its condition) and the copying of the WAL (which changes
//! no content). `forget` takes the lease like everybody else.
//!
//! Who is no runner takes no lease, and may work beside one: `admit`, which decides operations, and
//! `quarantine`, which settles what was refused. Each of their transactions reads all that it depends
//! on inside itself, and writes rows of its own (of operations and quarantine), or publishes adds and
//! removes as an application would. No checkpoint, mode or definition is theirs.
//!
//! # Why a replaced runner writes nothing
//! `SQLite` lets write transactions happen one after the other. Let runner A hold token k and let T be
//! the transaction of another one that sets the token to k + 1. A write transaction W of A either
//! commits before T begins, or begins after T has committed: the lock of the file decides, not a
//! clock. In the first case A still was the holder. In the second W reads a token above k, because no
//! transaction lowers it, and is rolled back. So whatever A wrote was committed before T, and is what
//! the next runner begins with; however long A was stopped, by SIGSTOP, a stalled disk or a suspended
//! machine, it cannot add to that. No clock is part of this argument. Clocks only decide *when* a
//! waiter tries T; to try too early costs a change of runners and nothing else, because rows and
//! checkpoint are committed together.
//!
//! A holder that has the write lock for long (an index, a large batch) cannot be replaced meanwhile:
//! T needs that lock. Its transaction has counted a heartbeat, so T finds a counter that has moved.
//! Where a third party holds the lock, nobody can beat: an acquisition that had to wait for the lock
//! does not take the lease, and its period begins anew.
//!
//! Wall clocks are never read, let alone compared.

mod acquire;
pub mod owner;
mod watch;

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

pub use acquire::{Attempt, Claim, acquire, take};
pub use owner::{Owner, this_host};
pub use watch::{Seen, Watch};

use crate::db::{DbError, Doing};
use crate::state::{self, ChangeRow};

/// How long [`Lease::release`] waits for a lock: longer than an agent takes to apply a version of the
/// size that it can apply at all, shorter than an operator who has pressed Ctrl-C.
const RELEASE_PATIENCE: Duration = Duration::from_secs(3);

/// The kind of the event that says what was written under a token. There is one at most for a token;
/// their sum is what was written in all.
pub const ROWS_EVENT: &str = "lease";

/// Who holds a lease, as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The holder's host name; `None` when the lease is free.
    pub host: Option<String>,
    /// The holder's process id.
    pub pid: Option<i64>,
    /// The fencing token of the last acquisition.
    pub token: i64,
    /// Counts the holder's write transactions, and its beats between them.
    pub heartbeat: i64,
    /// True where somebody asked the holder to stop; of a free lease: where its last holder stopped
    /// for that reason.
    pub stop: bool,
    /// Why the holder pauses.
    pub throttle: Option<String>,
    /// Boot and namespace of `pid`, where the holder said it.
    pub place: Option<String>,
    /// When the holder's process was started, in clock ticks since that boot.
    pub started: Option<i64>,
    /// The lease period that the holder keeps, where it said it.
    pub lease: Option<Duration>,
}

impl Holder {
    /// The row of a migration.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(conn: &Connection, migration: &str) -> Result<Option<Self>, DbError> {
        const LEASE: &str = "l.host, l.pid, l.token, l.heartbeat, l.stop, l.throttle";
        let sql = if state::knows_runner(conn)? {
            format!(
                "SELECT {LEASE}, r.place, r.started, r.lease_ms FROM _dotfill_lease AS l \
                 LEFT JOIN _dotfill_runner AS r ON r.migration = l.migration AND r.token = l.token \
                 WHERE l.migration = ?1"
            )
        } else {
            format!(
                "SELECT {LEASE}, NULL, NULL, NULL FROM _dotfill_lease AS l WHERE migration = ?1"
            )
        };
        conn.prepare_cached(&sql)
            .and_then(|mut s| s.query_row([migration], Self::from_row).optional())
            .doing("read the lease")
    }

    fn from_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let lease_ms: Option<i64> = row.get(8)?;
        Ok(Self {
            host: row.get(0)?,
            pid: row.get(1)?,
            token: row.get(2)?,
            heartbeat: row.get(3)?,
            stop: row.get(4)?,
            throttle: row.get(5)?,
            place: row.get(6)?,
            started: row.get(7)?,
            lease: lease_ms.map(|ms| Duration::from_millis(ms.unsigned_abs())),
        })
    }

    /// `host:pid`, for people; `None` when the lease is free.
    #[must_use]
    pub fn owner(&self) -> Option<String> {
        Some(format!("{}:{}", self.host.as_deref()?, self.pid?))
    }

    /// True where the holder is a process that is certainly gone.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        let (Some(host), Some(pid)) = (self.host.clone(), self.pid) else { return false };
        Owner { host, pid, place: self.place.clone(), started: self.started }.is_dead()
    }

    /// True where nobody has the lease, or nobody who lives.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.owner().is_none() || self.is_dead()
    }
}

/// A lease that we hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    migration: String,
    token: i64,
}

impl Lease {
    /// The fencing token.
    #[must_use]
    pub fn token(&self) -> i64 {
        self.token
    }

    /// Checks the token and counts a heartbeat. The caller is inside a write transaction.
    ///
    /// # Errors
    /// When the row cannot be read or written.
    pub fn check(&self, conn: &Connection, throttle: Option<&str>) -> Result<Fence, DbError> {
        let stop: Option<bool> = conn
            .prepare_cached(
                "UPDATE _dotfill_lease SET heartbeat = heartbeat + 1, throttle = ?3 \
                 WHERE migration = ?1 AND token = ?2 RETURNING stop",
            )
            .and_then(|mut s| {
                s.query_row((&self.migration, self.token, throttle), |row| row.get(0)).optional()
            })
            .doing("check the fencing token")?;
        Ok(match stop {
            None => Fence::Replaced,
            Some(true) => Fence::StopRequested,
            Some(false) => Fence::Ours,
        })
    }

    /// Counts a heartbeat, outside of any transaction and without waiting for a lock for longer than
    /// the connection does. False where the lease is no longer ours.
    ///
    /// # Errors
    /// When the row cannot be written, which includes that somebody else has the write lock.
    pub fn beat(&self, conn: &Connection) -> Result<bool, DbError> {
        conn.prepare_cached(
            "UPDATE _dotfill_lease SET heartbeat = heartbeat + 1 \
             WHERE migration = ?1 AND token = ?2",
        )
        .and_then(|mut s| s.execute((&self.migration, self.token)))
        .map(|rows| rows > 0)
        .doing("count a heartbeat")
    }

    /// The heartbeat as it is now; `None` where the lease is no longer ours.
    ///
    /// # Errors
    /// When the row cannot be read.
    pub fn heartbeat(&self, conn: &Connection) -> Result<Option<i64>, DbError> {
        conn.prepare_cached(
            "SELECT heartbeat FROM _dotfill_lease WHERE migration = ?1 AND token = ?2",
        )
        .and_then(|mut s| s.query_row((&self.migration, self.token), |row| row.get(0)).optional())
        .doing("read the heartbeat")
    }

    /// Gives the lease back, if it is still ours, and records what was written under it.
    ///
    /// Where somebody holds the write lock for longer than a few seconds the lease is left as it
    /// is: what the job did is done all the same. The next one sees that its process is gone, or,
    /// from another host, that its counter stands still.
    ///
    /// # Errors
    /// When the row cannot be written for another reason.
    pub fn release(&self, conn: &Connection) -> Result<(), DbError> {
        let began = Instant::now();
        loop {
            match self.release_once(conn) {
                Err(error) if error.is_busy() && began.elapsed() < RELEASE_PATIENCE => {}
                Err(error) if error.is_busy() => return Ok(()),
                other => return other,
            }
        }
    }

    fn release_once(&self, conn: &Connection) -> Result<(), DbError> {
        let what = "release the lease";
        let tx = rusqlite::Transaction::new_unchecked(conn, TransactionBehavior::Immediate)
            .doing(what)?;
        let owner = Holder::read(&tx, &self.migration)?
            .filter(|holder| holder.token == self.token)
            .and_then(|holder| holder.owner());
        let Some(owner) = owner else { return Ok(()) };
        record_rows(&tx, &self.migration, self.token, &owner)?;
        tx.execute(
            "UPDATE _dotfill_lease SET host = NULL, pid = NULL, throttle = NULL \
             WHERE migration = ?1 AND token = ?2",
            (&self.migration, self.token),
        )
        .doing(what)?;
        tx.commit().doing(what)
    }
}

/// Records what was written under a token that ends here, inside the caller's transaction; nothing
/// where that is nothing.
fn record_rows(conn: &Connection, migration: &str, token: i64, owner: &str) -> Result<(), DbError> {
    let before: Option<i64> = conn
        .prepare_cached(
            "SELECT rows_before FROM _dotfill_runner WHERE migration = ?1 AND token = ?2",
        )
        .and_then(|mut s| s.query_row((migration, token), |row| row.get(0)).optional())
        .doing("read what the runner began with")?;
    let Some(before) = before else { return Ok(()) };
    let rows = ChangeRow::rows_written(conn, migration)?.saturating_sub(before.unsigned_abs());
    if rows > 0 {
        let detail = serde_json::json!({"token": token, "owner": owner, "rows_written": rows});
        state::event(conn, migration, ROWS_EVENT, &detail.to_string())?;
    }
    conn.execute("DELETE FROM _dotfill_runner WHERE migration = ?1", [migration])
        .doing("end the runner's row")?;
    Ok(())
}

/// What the lease's row says of our token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// We hold the lease.
    Ours,
    /// We hold it, and somebody asked us to stop.
    StopRequested,
    /// Somebody else has taken it: nothing more may be written.
    Replaced,
}

/// Asks the runner of a migration to stop after its batch; false where nobody runs it.
///
/// # Errors
/// When the row cannot be written.
pub fn request_stop(conn: &Connection, migration: &str) -> Result<bool, DbError> {
    conn.execute(
        "UPDATE _dotfill_lease SET stop = 1 WHERE migration = ?1 AND host IS NOT NULL",
        [migration],
    )
    .map(|n| n > 0)
    .doing("ask the runner to stop")
}

#[cfg(test)]
mod tests;
