//! Beginning a transaction when others may hold the lock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{DbError, Doing, is_busy};

/// How long [`begin`] waits for a lock before it gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Begins a transaction, waiting at most 30 s for whoever holds the lock.
///
/// # Errors
/// [`DbError::Busy`] when the lock was not to be had in that time.
pub fn begin<'a>(
    conn: &'a mut Connection,
    behavior: TransactionBehavior,
    what: &str,
) -> Result<Transaction<'a>, DbError> {
    begin_unless(conn, behavior, what, &AtomicBool::new(false))
}

/// As [`begin`], and gives up as soon as `cancel` is set. How soon that is heard is up to the busy
/// handler of the connection: every connection of ours ends one try after 250 ms.
///
/// # Errors
/// [`DbError::Busy`] when the lock was not to be had in 30 s, [`DbError::Interrupted`] when `cancel`
/// was set while somebody else had it. Nothing was begun then.
pub fn begin_unless<'a>(
    conn: &'a mut Connection,
    behavior: TransactionBehavior,
    what: &str,
    cancel: &AtomicBool,
) -> Result<Transaction<'a>, DbError> {
    let started = Instant::now();
    loop {
        match Transaction::new_unchecked(conn, behavior) {
            Ok(tx) => return Ok(tx),
            Err(e) if is_busy(&e) && cancel.load(Ordering::Relaxed) => {
                return Err(DbError::Interrupted { doing: what.to_owned() });
            }
            Err(e) if is_busy(&e) && started.elapsed() < PATIENCE => {}
            Err(e) if is_busy(&e) => {
                let waited_ms = started.elapsed().as_millis();
                return Err(DbError::Busy { doing: what.to_owned(), waited_ms });
            }
            Err(e) => return Err(e).doing(what),
        }
    }
}
