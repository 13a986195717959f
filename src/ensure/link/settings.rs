//! What a session of ours sets for itself, and why. Whatever the server, the database or the role
//! says, these hold for our statements; nobody else's are touched.

use super::session::Session;
use crate::ensure::Fault;

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Short questions.
    Look,
    /// Holds the build lock, and builds.
    Build,
}

/// Settings that exist since some version are only set where they exist.
const SET: &str = "SELECT set_config(s.name, w.value, false)
  FROM unnest($1::text[], $2::text[]) AS w(name, value) JOIN pg_settings s ON s.name = w.name";

/// What is asked for is asked for, also where a role or database is read-only by default. (A
/// question makes a temporary table and rolls it back.)
const READ_WRITE: (&str, &str) = ("default_transaction_read_only", "off");

/// A question is answered at once, or somebody holds a lock.
const LOOK: &[(&str, &str)] = &[
    ("statement_timeout", "10s"),
    ("lock_timeout", "2s"),
    ("idle_session_timeout", "0"),
    READ_WRITE,
];

/// A build waits for every transaction that is older than it: a timeout that is meant for the short
/// statements of an application would break it, and leave an INVALID index, every time.
const BUILD: &[(&str, &str)] = &[
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("transaction_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    // What was begun goes on when our process dies: whoever comes next attaches to it.
    ("client_connection_check_interval", "0"),
    // The build lock is the session's. A process that is stopped while it holds it and does not
    // build loses it, and so does one whose machine is gone.
    ("idle_session_timeout", "30s"),
    ("tcp_keepalives_idle", "20"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    READ_WRITE,
];

/// Sets what a session of this purpose wants.
///
/// # Errors
/// A [`Fault`] of the connection.
pub fn apply(session: &Session, purpose: Purpose) -> Result<(), Fault> {
    let wanted = match purpose {
        Purpose::Look => LOOK,
        Purpose::Build => BUILD,
    };
    let (names, values): (Vec<&str>, Vec<&str>) = wanted.iter().copied().unzip();
    session.rows("set what the session needs", SET, &[&names, &values]).map(drop)
}

/// Sets one of them for the statements that follow.
///
/// # Errors
/// A [`Fault`] of the connection.
pub fn set(session: &Session, name: &str, value: &str) -> Result<(), Fault> {
    let sql = "SELECT set_config($1, $2, false)";
    session.rows(&format!("set {name}"), sql, &[&name, &value]).map(drop)
}
