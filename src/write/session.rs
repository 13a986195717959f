//! The write connection and its transactions.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::{Connection, TransactionBehavior};

use super::WriteError;
use crate::db::{self, Access, DbError, Doing};
use crate::layout::crsqlite;
use crate::lease::{Fence, Lease};
use crate::monitor::Monitor;

thread_local! {
    static WAL_PAGES: Cell<u64> = const { Cell::new(0) };
    static LOCKED_OUT: Cell<u64> = const { Cell::new(0) };
}

/// Tries for a lock that somebody else holds, 1 ms apart, before the caller hears of it.
const LOCK_TRIES: i32 = 250;

/// Waits for somebody else's lock, and remembers that there was one to wait for.
fn wait_for_lock(tries: i32) -> bool {
    LOCKED_OUT.set(LOCKED_OUT.get() + 1);
    std::thread::sleep(Duration::from_millis(1));
    tries < LOCK_TRIES
}

/// Pages in the WAL after the last commit that this thread made.
#[must_use]
pub fn wal_pages() -> u64 {
    WAL_PAGES.get()
}

/// A write connection of ours, which holds a lease.
pub struct Session<'a> {
    conn: Connection,
    lease: Lease,
    monitor: &'a dyn Monitor,
    schema_version: i64,
    data_version: i64,
    fire_triggers: bool,
    throttle: Option<String>,
    cancel: Arc<AtomicBool>,
}

/// What a committed transaction says besides its own result.
#[derive(Clone, Copy, Debug)]
pub struct Committed<T> {
    /// What the body returned.
    pub value: T,
    /// How long the write lock was held.
    pub hold: Duration,
    /// True where we had to wait for somebody's lock.
    pub was_busy: bool,
    /// True where somebody else has written since our last transaction.
    pub foreign: bool,
    /// True where `dotfill stop` asked us to stop.
    pub stop: bool,
}

/// Opens a connection that can write the tables of this database.
///
/// # Errors
/// As [`db::open`]; and when the extension cannot be loaded.
pub fn connect(path: &Path, extension: Option<&Path>) -> Result<Connection, DbError> {
    let mut conn = db::open(path, Access::Write)?;
    match extension {
        Some(library) => crsqlite::load_extension(&conn, library)?,
        None => crsqlite::register(&conn)?,
    }
    conn.execute_batch("PRAGMA wal_autocheckpoint = 0;").doing("configure the connection")?;
    conn.busy_handler(Some(wait_for_lock)).doing("configure the connection")?;
    conn.wal_hook(Some(count_pages)).doing("watch the WAL")?;
    Ok(conn)
}

#[expect(clippy::unnecessary_wraps, reason = "the hook's signature")]
fn count_pages(_: &mut Wal, pages: std::ffi::c_int) -> rusqlite::Result<()> {
    WAL_PAGES.set(u64::try_from(pages).unwrap_or(0));
    Ok(())
}

impl<T> Committed<T> {
    /// The same with another value.
    pub fn map<U>(self, value: impl FnOnce(T) -> U) -> Committed<U> {
        let Self { value: before, hold, was_busy, foreign, stop } = self;
        Committed { value: value(before), hold, was_busy, foreign, stop }
    }
}

impl<'a> Session<'a> {
    /// A session over `conn`, which [`connect`] made, for the holder of `lease`.
    ///
    /// # Errors
    /// When the connection cannot be configured or read.
    pub fn new(conn: Connection, lease: Lease, monitor: &'a dyn Monitor) -> Result<Self, DbError> {
        let mut session = Self {
            conn,
            lease,
            monitor,
            schema_version: 0,
            data_version: 0,
            fire_triggers: true,
            throttle: None,
            cancel: Arc::default(),
        };
        session.schema_version = session.pragma("schema_version")?;
        session.data_version = session.pragma("data_version")?;
        session.set_fire_triggers(false)?;
        Ok(session)
    }

    /// Has a transaction that waits for somebody's lock end as soon as `cancel` is set.
    pub fn set_cancel(&mut self, cancel: &Arc<AtomicBool>) {
        self.cancel = Arc::clone(cancel);
    }

    /// The fencing token of our lease.
    #[must_use]
    pub fn token(&self) -> i64 {
        self.lease.token()
    }

    /// Whether triggers of the application fire for what we write. Our own triggers and
    /// cr-sqlite's never do.
    ///
    /// # Errors
    /// When the connection cannot be configured.
    pub fn set_fire_triggers(&mut self, fire: bool) -> Result<(), DbError> {
        self.conn
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, fire)
            .doing("configure triggers")?;
        self.fire_triggers = fire;
        Ok(())
    }

    /// The connection, for reading.
    #[must_use]
    pub fn conn(&self) -> &Connection {
        &self.conn
    }

    /// The connection itself, when the session is over.
    #[must_use]
    pub fn into_conn(self) -> Connection {
        self.conn
    }

    /// What `status` shows as the reason of a pause, from the next transaction on.
    pub fn set_throttle(&mut self, reason: Option<String>) {
        self.throttle = reason;
    }

    /// The reason of a pause that `status` shows.
    #[must_use]
    pub fn throttle(&self) -> Option<&str> {
        self.throttle.as_deref()
    }

    /// The schema version that this session works on.
    #[must_use]
    pub fn schema_version(&self) -> i64 {
        self.schema_version
    }

    /// Accepts the present schema, after the caller has looked at it or changed it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn accept_schema(&mut self) -> Result<(), DbError> {
        self.schema_version = self.pragma("schema_version")?;
        Ok(())
    }

    /// True where somebody has changed the schema since this session accepted it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn schema_changed(&self) -> Result<bool, DbError> {
        Ok(self.pragma("schema_version")? != self.schema_version)
    }

    /// As [`Self::transact`], for a `body` that holds for any schema: it runs again where the
    /// schema was changed.
    ///
    /// # Errors
    /// As [`Self::transact`]; [`WriteError::SchemaChanged`] only where that never ends.
    pub fn transact_again<T>(
        &mut self,
        mut body: impl FnMut(&Connection) -> Result<T, WriteError>,
    ) -> Result<Committed<T>, WriteError> {
        const TRIES: u32 = 20;
        for _ in 0..TRIES {
            match self.transact(&mut body) {
                Err(WriteError::SchemaChanged) => self.accept_schema()?,
                other => return other,
            }
        }
        Err(WriteError::SchemaChanged)
    }

    fn pragma(&self, name: &str) -> Result<i64, DbError> {
        self.conn
            .prepare_cached(&format!("PRAGMA {name}"))
            .and_then(|mut s| s.query_row([], |row| row.get(0)))
            .doing(format!("read {name}"))
    }

    /// Runs `body` in one write transaction that also checks the fencing token and the schema.
    ///
    /// # Errors
    /// What `body` returns; [`WriteError::Replaced`], [`WriteError::SchemaChanged`];
    /// [`DbError::Interrupted`]. Nothing is written then.
    pub fn transact<T>(
        &mut self,
        body: impl FnOnce(&Connection) -> Result<T, WriteError>,
    ) -> Result<Committed<T>, WriteError> {
        let locked_out = LOCKED_OUT.get();
        let behavior = TransactionBehavior::Immediate;
        let tx = db::begin_unless(&mut self.conn, behavior, "begin a batch", &self.cancel)?;
        let began = Instant::now();
        let conn: &Connection = &tx;
        let read = |name: &str| -> Result<i64, DbError> {
            conn.prepare_cached(&format!("PRAGMA {name}"))
                .and_then(|mut s| s.query_row([], |row| row.get(0)))
                .doing(format!("read {name}"))
        };
        let fence = self.lease.check(conn, self.throttle.as_deref())?;
        if fence == Fence::Replaced {
            return Err(WriteError::Replaced);
        }
        if read("schema_version")? != self.schema_version {
            return Err(WriteError::SchemaChanged);
        }
        let data_version = read("data_version")?;
        let marked = |sql: &str| conn.prepare_cached(sql).and_then(|mut s| s.execute([]));
        if self.fire_triggers {
            marked("INSERT INTO _dotfill_self VALUES (1)").doing("mark our transaction")?;
        }
        let value = body(conn)?;
        if self.fire_triggers {
            marked("DELETE FROM _dotfill_self").doing("unmark our transaction")?;
        }
        self.monitor.commit(false);
        tx.commit().doing("commit a batch")?;
        let hold = began.elapsed();
        self.monitor.commit(true);
        let foreign = data_version != self.data_version;
        self.data_version = data_version;
        Ok(Committed {
            value,
            hold,
            was_busy: LOCKED_OUT.get() != locked_out,
            foreign,
            stop: fence == Fence::StopRequested,
        })
    }

    /// As [`Self::transact`], for a `body` of one long statement: a signal ends it at once, with
    /// nothing written, instead of after the transaction.
    ///
    /// # Errors
    /// As [`Self::transact`]; an error of `SQLite` that says so where the signal has come.
    pub fn transact_interruptible<T>(
        &mut self,
        body: impl FnOnce(&Connection) -> Result<T, WriteError>,
    ) -> Result<Committed<T>, WriteError> {
        /// Instructions of `SQLite`'s machine between two looks at the signal.
        const INSTRUCTIONS: i32 = 10_000;
        let cancel = Arc::clone(&self.cancel);
        let what = "listen for signals";
        self.conn
            .progress_handler(INSTRUCTIONS, Some(move || cancel.load(Ordering::Relaxed)))
            .doing(what)?;
        let result = self.transact(body);
        self.conn.progress_handler(0, None::<fn() -> bool>).doing(what)?;
        result
    }

    /// Gives the lease back.
    ///
    /// # Errors
    /// When the row cannot be written.
    pub fn release(&self) -> Result<(), DbError> {
        self.lease.release(&self.conn)
    }
}
