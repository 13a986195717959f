//! One runner per migration and database, told apart by a fencing token.
//!
//! # Operations
//! - `acquire`: takes the lease where nobody has it; where its owner is a process of this host that
//!   no longer lives; or where its heartbeat did not move for one lease period by our own monotonic
//!   clock. Each acquisition adds one to the token.
//! - `check`: inside every write transaction. A runner whose token is no longer the row's has been
//!   replaced, and its transaction must be rolled back: a runner that was stopped and woke up again
//!   cannot write one more row.
//! - `release`: gives the lease back; the token stays, so that it only ever grows. Left undone where
//!   the write lock is not to be had.
//!
//! Wall clocks are never read, let alone compared.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::db::{self, DbError, Doing};

/// How long [`Lease::release`] waits for a lock: longer than an agent takes to apply a version of the
/// size that it can apply at all, shorter than an operator who has pressed Ctrl-C.
const RELEASE_PATIENCE: Duration = Duration::from_secs(3);

/// Who holds a lease, as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The holder's host name; `None` when the lease is free.
    pub host: Option<String>,
    /// The holder's process id.
    pub pid: Option<i64>,
    /// The fencing token of the last acquisition.
    pub token: i64,
    /// Counts the holder's write transactions.
    pub heartbeat: i64,
    /// True where somebody asked the holder to stop.
    pub stop: bool,
    /// Why the holder pauses.
    pub throttle: Option<String>,
}

impl Holder {
    /// The row of a migration.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(conn: &Connection, migration: &str) -> Result<Option<Self>, DbError> {
        conn.prepare_cached(
            "SELECT host, pid, token, heartbeat, stop, throttle FROM _dotfill_lease \
             WHERE migration = ?1",
        )
        .and_then(|mut s| {
            s.query_row([migration], |row| {
                Ok(Self {
                    host: row.get(0)?,
                    pid: row.get(1)?,
                    token: row.get(2)?,
                    heartbeat: row.get(3)?,
                    stop: row.get(4)?,
                    throttle: row.get(5)?,
                })
            })
            .optional()
        })
        .doing("read the lease")
    }

    /// `host:pid`, for people; `None` when the lease is free.
    #[must_use]
    pub fn owner(&self) -> Option<String> {
        Some(format!("{}:{}", self.host.as_deref()?, self.pid?))
    }

    /// True where the holder is a process of this host that no longer lives.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        match (&self.host, self.pid) {
            (Some(host), Some(pid)) if *host == this_host() => !is_alive(pid),
            _ => false,
        }
    }
}

/// What an attempt to take the lease came to.
#[derive(Debug)]
pub enum Attempt {
    /// We hold it.
    Taken(Lease),
    /// Somebody else holds it and works.
    Held(Holder),
}

/// A lease that we hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    migration: String,
    token: i64,
}

impl Lease {
    /// Takes the lease, or finds out within `period` that its holder works. `sleep` waits.
    ///
    /// # Errors
    /// When the row cannot be read or written.
    pub fn acquire(
        conn: &mut Connection,
        migration: &str,
        period: Duration,
        sleep: &dyn Fn(Duration),
    ) -> Result<Attempt, DbError> {
        const LOOKS: u32 = 100;
        let Some(first) = Holder::read(conn, migration)? else {
            return Self::take(conn, migration, None);
        };
        if first.owner().is_none() || first.is_dead() {
            return Self::take(conn, migration, Some(&first));
        }
        for _ in 0..LOOKS {
            sleep(period / LOOKS);
            match Holder::read(conn, migration)? {
                Some(now) if now.owner().is_none() => {
                    return Self::take(conn, migration, Some(&now));
                }
                Some(now) if now.heartbeat != first.heartbeat || now.token != first.token => {
                    return Ok(Attempt::Held(now));
                }
                _ => {}
            }
        }
        Self::take(conn, migration, Some(&first))
    }

    /// Takes the lease if its row is still `seen`.
    fn take(
        conn: &mut Connection,
        migration: &str,
        seen: Option<&Holder>,
    ) -> Result<Attempt, DbError> {
        let what = "take the lease";
        let tx = crate::db::begin(conn, TransactionBehavior::Immediate, what)?;
        let now = Holder::read(&tx, migration)?;
        if let Some(now) = now.filter(|now| {
            Some((now.token, now.heartbeat)) != seen.map(|seen| (seen.token, seen.heartbeat))
                && now.owner().is_some()
        }) {
            return Ok(Attempt::Held(now));
        }
        let token = tx
            .query_row(
                "INSERT INTO _dotfill_lease (migration, host, pid, token) VALUES (?1, ?2, ?3, 1) \
                 ON CONFLICT (migration) DO UPDATE SET host = excluded.host, pid = excluded.pid, \
                 token = token + 1, heartbeat = heartbeat + 1, stop = 0, throttle = NULL \
                 RETURNING token",
                (migration, this_host(), std::process::id()),
                |row| row.get(0),
            )
            .doing(what)?;
        tx.commit().doing(what)?;
        Ok(Attempt::Taken(Self { migration: migration.to_owned(), token }))
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

    /// Gives the lease back, if it is still ours.
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
            let released = conn.execute(
                "UPDATE _dotfill_lease SET host = NULL, pid = NULL, stop = 0, throttle = NULL \
                 WHERE migration = ?1 AND token = ?2",
                (&self.migration, self.token),
            );
            match released {
                Err(error) if db::is_busy(&error) && began.elapsed() < RELEASE_PATIENCE => {}
                Err(error) if db::is_busy(&error) => return Ok(()),
                other => return other.map(drop).doing("release the lease"),
            }
        }
    }
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

/// This machine's host name.
#[must_use]
pub fn this_host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn is_alive(pid: i64) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| {
        // EPERM means that it lives and belongs to somebody else.
        rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
    })
}

#[cfg(test)]
mod tests;
