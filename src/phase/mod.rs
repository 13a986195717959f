//! Modes, epochs and gates: which step a migration of sets may take, what every replica has to say
//! first, the triggers of a closed epoch, and what becomes of what they note. Compares modes by
//! matching, never by their order.

pub mod ack;
pub mod agreement;
pub mod cohort;
pub mod compare;
mod error;
pub mod fleet;
pub mod gate;
pub mod mode;
pub mod outcome;
pub mod pending;
#[cfg(test)]
mod plans;
pub mod publish;
mod reason;
pub mod set;
pub mod triggers;
pub mod validator;
pub mod version;

use rusqlite::Connection;

use crate::db::{DbError, Doing};
use crate::state;

pub use error::PhaseError;
pub use reason::rejection;

/// Removes what modes and epochs have made for change `n`. The caller holds a write transaction.
///
/// # Errors
/// When something cannot be removed.
pub fn forget(conn: &Connection, n: i64) -> Result<(), DbError> {
    let what = "forget the epochs of a set";
    let sql =
        triggers::triggers_drop(n) + &triggers::side_tables_drop(n) + &validator::validator_drop(n);
    conn.execute_batch(&sql).doing(what)?;
    if state::knows_quarantine(conn)? {
        conn.execute("DELETE FROM _dotfill_outcomes WHERE change_n = ?1", [n]).doing(what)?;
    }
    Ok(())
}
