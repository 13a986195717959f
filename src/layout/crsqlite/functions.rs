//! What cr-sqlite's triggers need to find in our connection.

use std::path::Path;

use parking_lot::Mutex;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use crate::db::{DbError, Doing};

/// Registers stand-ins for the functions that cr-sqlite's triggers name: the sync bit is 2, so the
/// triggers do nothing (they test for 0, and merging sets 1), and what they would call fails. Also
/// registers our own function that numbers change records.
///
/// # Errors
/// When a function cannot be registered.
pub fn register(conn: &Connection) -> Result<(), DbError> {
    register_seq(conn)?;
    let what = "register cr-sqlite's functions";
    conn.create_scalar_function("crsql_internal_sync_bit", -1, FunctionFlags::SQLITE_UTF8, |_| {
        Ok(2_i64)
    })
    .doing(what)?;
    for name in ["crsql_after_insert", "crsql_after_update", "crsql_after_delete"] {
        conn.create_scalar_function(
            name,
            -1,
            FunctionFlags::SQLITE_UTF8,
            move |_| -> rusqlite::Result<i64> {
                Err(rusqlite::Error::UserFunctionError(
                    format!("{name} must not run in dotfill's connection").into(),
                ))
            },
        )
        .doing(what)?;
    }
    Ok(())
}

/// Registers `dotfill_seq(version)`: 0 for the first call with a version, then one more each time;
/// a call with a negative version starts over.
fn register_seq(conn: &Connection) -> Result<(), DbError> {
    let state = Mutex::new((-1_i64, 0_i64));
    conn.create_scalar_function("dotfill_seq", 1, FunctionFlags::SQLITE_UTF8, move |context| {
        let version: i64 = context.get(0)?;
        let mut state = state.lock();
        if state.0 != version {
            *state = (version, 0);
        }
        state.1 += 1;
        Ok(state.1 - 1)
    })
    .doing("register dotfill's functions")
}

/// Loads the real extension, and sets the sync bit to 2 on this connection. A name without a slash is
/// one of the working directory, as everywhere: the system's loader would look elsewhere.
///
/// # Errors
/// When the library cannot be loaded, or is not cr-sqlite.
pub fn load_extension(conn: &Connection, library: &Path) -> Result<(), DbError> {
    register_seq(conn)?;
    let what = format!("load the cr-sqlite extension {}", library.display());
    let found = library.canonicalize();
    load(conn, found.as_deref().unwrap_or(library)).doing(&what)?;
    conn.query_row("SELECT crsql_internal_sync_bit(2)", [], |_| Ok(())).doing(what)
}

/// Has the extension let go of its statements, as it asks for before its connection is closed.
///
/// # Errors
/// When it does not answer.
pub fn finalize(conn: &Connection) -> Result<(), DbError> {
    conn.query_row("SELECT crsql_finalize()", [], |_| Ok(())).doing("close the cr-sqlite extension")
}

#[expect(unsafe_code, reason = "loading a library that the operator named runs its code")]
fn load(conn: &Connection, library: &Path) -> rusqlite::Result<()> {
    // SAFETY: the operator vouches for the library by naming it; extension loading is enabled for
    // this call alone, so SQL text can never load another one.
    unsafe {
        conn.load_extension_enable()?;
        let loaded = conn.load_extension(library, Some("sqlite3_crsqlite_init"));
        conn.load_extension_disable()?;
        loaded
    }
}
