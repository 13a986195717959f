//! The heartbeat of a runner that writes nothing for a while: a thread with a connection of its own.
//!
//! Reading, measuring, proving and waiting for others' transactions take as long as they take. The
//! writer's transactions count heartbeats; where none came for a quarter of the lease period, this
//! thread counts one. It writes the counter under its token and nothing else, and ends when the token
//! is no longer the row's.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rusqlite::Connection;

use crate::db::{self, Access, DbError, Doing};
use crate::lease::Lease;

/// Looks in a lease period; a beat is due when two of them have found the same counter.
const LOOKS: u32 = 8;
/// The shortest and the longest time between two looks.
const TICK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// Beats until it is stopped or dropped.
#[derive(Debug)]
pub(super) struct Pulse {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<Result<(), DbError>>>,
}

impl Pulse {
    /// Begins to beat for the holder of `lease`.
    pub(super) fn start(db: &Path, lease: &Lease, period: Duration) -> Self {
        let (end, ended) = bounded(0);
        let beating = Beating { db: db.to_owned(), lease: lease.clone(), ended };
        let tick = (period / LOOKS).clamp(TICK.0, TICK.1);
        let thread = std::thread::spawn(move || beating.run(tick));
        Self { end: Some(end), thread: Some(thread) }
    }

    /// Ends the thread, and waits for it: at most for one try to get the lock.
    ///
    /// # Errors
    /// What kept it from beating.
    pub(super) fn stop(&mut self) -> Result<(), DbError> {
        drop(self.end.take());
        let Some(thread) = self.thread.take() else { return Ok(()) };
        // A panic in it is a defect, and no reason to lose what the job has done.
        thread.join().unwrap_or(Ok(()))
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        // A job that ends by an error has a better reason to tell.
        let _ = self.stop();
    }
}

struct Beating {
    db: PathBuf,
    lease: Lease,
    ended: Receiver<()>,
}

impl Beating {
    fn run(&self, tick: Duration) -> Result<(), DbError> {
        // Most jobs end before the first look, and need no connection.
        let mut opened = None;
        let (mut seen, mut looks) = (None, 0);
        while self.ended.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
            let conn = match opened.take() {
                Some(conn) => opened.insert(conn),
                None => opened.insert(self.connect()?),
            };
            let now = match self.lease.heartbeat(conn) {
                Err(error) if error.is_busy() => continue,
                other => other?,
            };
            if now.is_none() {
                return Ok(());
            }
            looks = if now == seen { looks + 1 } else { 0 };
            seen = now;
            if looks >= 2 {
                match self.lease.beat(conn) {
                    // Others have the lock: whoever would replace us needs it too.
                    Err(error) if error.is_busy() => {}
                    other => {
                        other?;
                    }
                }
            }
        }
        Ok(())
    }

    fn connect(&self) -> Result<Connection, DbError> {
        let conn = db::open(&self.db, Access::Write)?;
        // Who beats is not to pay for copying the WAL.
        conn.execute_batch("PRAGMA wal_autocheckpoint = 0").doing("configure the connection")?;
        Ok(conn)
    }
}
