//! Beginning a transaction when others may hold the lock.

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
    let started = Instant::now();
    loop {
        match Transaction::new_unchecked(conn, behavior) {
            Ok(tx) => return Ok(tx),
            Err(e) if is_busy(&e) && started.elapsed() < PATIENCE => {}
            Err(e) if is_busy(&e) => {
                let waited_ms = started.elapsed().as_millis();
                return Err(DbError::Busy { doing: what.to_owned(), waited_ms });
            }
            Err(e) => return Err(e).doing(what),
        }
    }
}
