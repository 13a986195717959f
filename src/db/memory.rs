//! `SQLite`'s own memory statistics, which one lock guards for the whole process.

/// Turns the statistics off, so that threads that evaluate expressions do not queue for that lock
/// at every allocation. Without effect once `SQLite` is in use.
///
/// To be called at the start of a program, before it has other threads.
pub fn without_memory_statistics() {
    configure();
}

#[expect(unsafe_code, reason = "SQLite can be configured through its C interface only")]
fn configure() {
    // SAFETY: the option takes one int. SQLite refuses the call, and changes nothing, once it is
    // initialized; the documentation above asks for a call before there are other threads.
    unsafe {
        rusqlite::ffi::sqlite3_config(rusqlite::ffi::SQLITE_CONFIG_MEMSTATUS, 0_i32);
    }
}
