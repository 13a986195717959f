//! Keeps the WAL small: copies it into the database outside the write lock, and has the writer
//! wait a moment now and then so that the WAL can start again from its beginning.
//!
//! A WAL starts again when all of it has been copied and no reader needs it. Our own readers hold
//! `gate` while they read, so the writer can wait for the few milliseconds that they need.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded};
use parking_lot::RwLock;
use rusqlite::Connection;

use crate::db::{self, Access, DbError, Doing, beside, locks::LockWatch};
use crate::throttle::Pause;
use crate::write::wal_pages;

/// Pages of WAL at which it is copied while others have the database open. `SQLite` has whoever
/// commits beyond 1000 pages copy the WAL (`wal_autocheckpoint`): below that our neighbours do not
/// pay for what we wrote.
const NEIGHBOUR_PAGES: u64 = 700;
/// How much may be written before the checkpointer is woken, in bytes.
const CHECKPOINT_BYTES: u64 = 4 << 20;

/// The writer's side.
#[derive(Debug)]
pub(super) struct Wal {
    path: PathBuf,
    page_bytes: u64,
    max_bytes: u64,
    peak_bytes: u64,
    seen_pages: u64,
    kick: Sender<()>,
    kicked: Receiver<()>,
}

impl Wal {
    pub(super) fn new(db: &Path, conn: &Connection, max_bytes: u64) -> Result<Self, DbError> {
        let page_bytes: i64 =
            conn.query_row("PRAGMA page_size", [], |row| row.get(0)).doing("read the page size")?;
        let (kick, kicked) = bounded(1);
        Ok(Self {
            path: beside(db, "-wal"),
            page_bytes: page_bytes.unsigned_abs(),
            max_bytes,
            peak_bytes: 0,
            seen_pages: 0,
            kick,
            kicked,
        })
    }

    pub(super) fn retune(&mut self, max_bytes: u64) {
        self.max_bytes = max_bytes;
    }

    /// The most of the WAL that was in use after a commit of ours, in bytes. The file is as large,
    /// unless others had made it larger before.
    pub(super) fn peak_bytes(&self) -> u64 {
        self.peak_bytes
    }

    /// Bytes of the WAL in use after the last commit of ours.
    pub(super) fn used_bytes(&self) -> u64 {
        wal_pages() * (self.page_bytes + 24)
    }

    /// What the checkpointer thread listens to.
    pub(super) fn kicked(&self) -> Receiver<()> {
        self.kicked.clone()
    }

    /// After a commit: measures, and wakes the checkpointer when there is enough to copy.
    pub(super) fn after_commit(&mut self) {
        let pages = wal_pages();
        self.peak_bytes = self.peak_bytes.max(self.used_bytes());
        if pages < self.seen_pages {
            self.seen_pages = 0;
        }
        if (pages - self.seen_pages) * self.page_bytes >= CHECKPOINT_BYTES {
            self.seen_pages = pages;
            // A full channel means that the checkpointer has been woken already.
            let _ = self.kick.try_send(());
        }
    }

    /// Has the checkpointer copy what there is, while others still work.
    pub(super) fn copy_now(&self) {
        let _ = self.kick.try_send(());
    }

    /// Before a batch: where more than half of the limit is used, sees to it that the WAL can start again.
    /// A pause says who keeps it from that.
    pub(super) fn relieve(
        &self,
        conn: &Connection,
        gate: &RwLock<()>,
        locks: &LockWatch,
    ) -> Result<Option<Pause>, DbError> {
        let used = self.used_bytes();
        let crowded = wal_pages() >= NEIGHBOUR_PAGES && locks.neighbour().is_some();
        if used < self.max_bytes / 8 * 5 && !crowded {
            return Ok(None);
        }
        let complete = checkpoint(conn, "PASSIVE")?;
        // Readers of ours that began before the checkpoint end here; later ones need no WAL.
        drop(gate.write());
        let near_limit = used.saturating_add(8 << 20) >= self.max_bytes;
        if complete || !near_limit {
            return Ok(None);
        }
        let readers = locks.readers();
        let who = match readers.as_slice() {
            [] => "a reader".to_owned(),
            pids => format!(
                "held by process {}",
                pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            ),
        };
        Ok(Some(Pause {
            signal: "wal-bytes-max".to_owned(),
            seen: format!("{used} bytes ({who})"),
            limit: self.max_bytes.to_string(),
            wait: Duration::from_millis(100),
        }))
    }

    /// Before a job: a WAL that others have left above the limit is truncated, where nobody uses it.
    pub(super) fn begin(&self, conn: &Connection) -> Result<(), DbError> {
        let bytes = std::fs::metadata(&self.path).map_or(0, |meta| meta.len());
        if bytes > self.max_bytes { Self::finish(conn) } else { Ok(()) }
    }

    /// At the end of a job: copies what is left, and truncates the file where nobody uses it.
    pub(super) fn finish(conn: &Connection) -> Result<(), DbError> {
        if checkpoint(conn, "PASSIVE")? {
            checkpoint(conn, "TRUNCATE")?;
        }
        Ok(())
    }
}

/// True where the whole WAL is in the database now.
fn checkpoint(conn: &Connection, mode: &str) -> Result<bool, DbError> {
    let result = conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        let (busy, log, done): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(busy == 0 && log == done)
    });
    match result {
        Err(error) if db::is_busy(&error) => Ok(false),
        other => other.doing("checkpoint the WAL"),
    }
}

/// Copies the WAL into the database whenever the writer says that there is enough, until the
/// writer's side is gone.
pub(super) fn checkpointer(
    db: &Path,
    kicked: &Receiver<()>,
    ended: &Receiver<()>,
) -> Result<(), DbError> {
    let conn = db::open(db, Access::Write)?;
    loop {
        crossbeam::select! {
            recv(kicked) -> woken => match woken {
                Ok(()) => { checkpoint(&conn, "PASSIVE")?; }
                Err(_) => return Ok(()),
            },
            recv(ended) -> _ => return Ok(()),
        }
    }
}
