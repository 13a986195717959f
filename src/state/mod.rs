//! Everything that dotfill keeps in the database: ordinary tables named `_dotfill_*`, so that the
//! job can be killed at any point and so that an older `SQLite` can still open the file.
//!
//! # Definitions (schema version 3)
//! - `_dotfill_meta(key, value)`: `schema_version`, and the serial number for new changes.
//! - `_dotfill_migrations`: one row per migration: its digest and text, phase, times, proof.
//! - `_dotfill_changes`: one row per change of a migration, with its checkpoint and counters. `n`
//!   names the side tables of the change and is never used twice in one database.
//! - `_dotfill_lease`: who runs a migration, its fencing token and heartbeat, and a stop request.
//! - `_dotfill_runner`: of the runner with that token: where and when its process began (see
//!   `lease::owner`), the lease period that it keeps, and `rows_written` of the migration before it.
//! - `_dotfill_self`: holds a row only inside a write transaction of ours whose triggers fire.
//! - `_dotfill_events`: transitions, with the wall clock time (for people; no logic reads it).
//! - `_dotfill_dirty_<n>(id, kind, key columns, old key columns)`: keys noted by triggers.
//! - `_dotfill_user_<n>(key columns)`: keys whose target cell is a user's.
//! - `_dotfill_applied`: per migration that was fed by deltas, how far: the last file of the chain
//!   that rows were taken from (`ordinal`, `digest`), how many of its rows are done, and whether the
//!   chain was whole. `place` names the folder, for people.
//! - `_dotfill_pending_<n>(key columns, value)`: values of deltas whose row has not arrived here yet.
//!
//! - `_dotfill_sets`: per change of kind `or_set`, its tables and view, and which of the tables we
//!   made. `_dotfill_dirty_<n>` holds the keys of noted objects there, `_dotfill_frontier_<n>` the last
//!   key that the fill has passed, for the view.
//! - `_dotfill_indexes(n, name, made)`: per change of kind `index`, the index, and whether we built it:
//!   written in the transaction that builds it, so that `rollback` never drops somebody else's. In
//!   `_dotfill_changes` such a change has the index's name as its column.
//! - `_dotfill_outcomes(change_n, outcome, reason, writes)`: how many old-format writes that arrived in
//!   a closed epoch were decided, and how. Beside it, while a set is between its modes:
//!   `_dotfill_oldwrite_<n>` (such writes, pending), `_dotfill_cohort_<n>` (objects whose epoch is
//!   closed before that of the others), `_dotfill_merging` (see `phase/triggers.rs`),
//!   `_dotfill_touched_<n>` and `_dotfill_disagree_<n>` (see `phase/validator.rs`). Once a closed epoch
//!   has ended, the triggers `_dotfill_kept_<id>_<position>_*` stay, also when the migration is
//!   forgotten, and with them `_dotfill_merging`, where they look at it (`phase/triggers/kept.rs`).
//! - `_dotfill_modes(migration, mode, cohort_percent)`: where a migration of sets stands; a migration
//!   without a row is in `read-old-write-old`.
//! - `_dotfill_quarantine(id, at, migration, change_n, source, identity, object, reason, detail,
//!   status)`: what was refused and waits for an operator. `source` is `operation` (refused by
//!   admission) or `write` (an old-format write that arrived by replication). `identity` keeps one
//!   refusal from being listed twice. `object` is `{"table": .., "key": [..]}`, `detail` a JSON object
//!   (an operation: `{"operation", "message", "action"}`). `id` is never given twice in a database.
//! - `_dotfill_operations(seq, op_id, fingerprint, migration, state, decision, operation, bytes,
//!   announced)`: what admission decided. `state` is `decided` (for good), `buffered` (until what it
//!   misses arrives) or `held` (until an operator replays or drops its row in quarantine); the
//!   operation itself, which weighs `bytes`, is kept while it is buffered (one that was refused or is
//!   held is in its row of the quarantine). `announced` is 0 from a re-admission until its decision
//!   was handed on. The newest million rows are kept, and older ones that wait.
//! - `_dotfill_missing(seq, what)`: what the buffered operation `seq` waits for.
//!
//! - `_dotfill_shipped`: per migration whose rows are shipped while it runs, how far: a file of the
//!   chain (`ordinal`, `digest`) up to which nothing is remembered here any longer, and the largest
//!   `id` of a shipped key that was (`last_id`), and of how many changes every row was looked at
//!   (`walked`). `place` names the folder, or is `-`.
//! - `_dotfill_reship_<n>(id, key columns)`: keys whose row was derived again since its chain began,
//!   and whose values the chain has to have again. `id` only grows.
//!
//! Version 1 had no deltas (`_dotfill_applied`, `_dotfill_pending_<n>`, the phases `applying` and
//! `applied`). Versions 1 and 2 had no chains that are shipped (`_dotfill_shipped`,
//! `_dotfill_reship_<n>`), no `_dotfill_runner`, and nothing of sets, modes, quarantine and operations.
//! Both are read as they are, and brought to version 3 by whoever takes a lease or admits operations.
//!
//! # A chain that is written while the migration runs
//! It is known here from before its first segment until it is whole and its writer is done; one that
//! is followed stays known. While it is, every drain that derives, of whatever command, adds the keys
//! of the rows that it decided to `_dotfill_reship_<n>`, in its own transaction. A key goes only after
//! a segment with its value is durable, together with the step of `_dotfill_shipped`: chain and table
//! have every row between them, at any moment. `close` without deltas, `rollback` and `forget` forget
//! the chain.
//!
//! # A replica that is fed by deltas
//! `applying` -> `applied`. Nothing is derived there, so sources are not followed. In a table of
//! cr-sqlite the clock rows tell whose a cell is: triggers and the tables of keys stand only while
//! rows are written. In a plain table they stay, as the only memory of what users write. `apply`
//! goes on from both phases, `run` makes the replica derive for itself from then on, `rollback` sets
//! our cells back to NULL, `close` ends it where nothing is pending, `forget` ends it in any case.
//! A replica that derives (`open`) stays `open`: deltas only fill what it lacks. A set has no triggers
//! while it is fed, and its view shows the new form alone: whose an add is can be told from the add.
//! `_dotfill_pending_<n>` holds set values there; the proof that is kept with `applied` says in which
//! epoch the sets of the chain were.
//!
//! # Invariants
//! A checkpoint, the counters beside it and the rows that they count change in one transaction.
//! No side table has a constraint that an application's write could violate through a trigger.

mod applied;
mod change;
mod indexes;
mod mode;
mod quarantine;
mod schema;
mod sets;
mod shipped;

pub use applied::AppliedRow;
pub use change::{ChangeRow, Counters, MigrationRow, Phase};
pub use indexes::IndexRow;
pub use mode::{Mode, ModeRow};
pub use quarantine::{
    QuarantineFilter, QuarantineRow, QuarantineSource, QuarantineStatus, Refusal,
    buffered_operations, forget_refusals,
};
pub use schema::{
    SCHEMA_VERSION, create, drop_all, exists, knows_applied, knows_indexes, knows_quarantine,
    knows_runner, knows_sets, knows_shipped, next_change_number, tables_in_use,
};
pub use sets::SetRow;
pub use shipped::ShippedRow;

use rusqlite::{Connection, OptionalExtension};

use crate::db::{DbError, Doing};

/// Adds an event, timed by the wall clock, for people to read.
///
/// # Errors
/// When the row cannot be written.
pub fn event(conn: &Connection, migration: &str, kind: &str, detail: &str) -> Result<(), DbError> {
    conn.prepare_cached(
        "INSERT INTO _dotfill_events (at, migration, kind, detail) \
         VALUES (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), ?1, ?2, ?3)",
    )
    .and_then(|mut statement| statement.execute([migration, kind, detail]))
    .doing("record an event")?;
    Ok(())
}

/// The detail of the newest event of one kind, with its number: a later event has a larger one.
///
/// # Errors
/// When it cannot be read.
pub fn last_event(
    conn: &Connection,
    migration: &str,
    kind: &str,
) -> Result<Option<(i64, String)>, DbError> {
    conn.prepare_cached(
        "SELECT id, detail FROM _dotfill_events WHERE migration = ?1 AND kind = ?2 \
         ORDER BY id DESC LIMIT 1",
    )
    .and_then(|mut s| {
        s.query_row([migration, kind], |row| Ok((row.get(0)?, row.get(1)?))).optional()
    })
    .doing("read the events")
}

/// The newest `limit` events of a migration, oldest first: time, kind, detail.
///
/// # Errors
/// When they cannot be read.
pub fn events(
    conn: &Connection,
    migration: &str,
    limit: u32,
) -> Result<Vec<(String, String, String)>, DbError> {
    let mut statement = conn
        .prepare_cached(
            "SELECT at, kind, detail FROM (SELECT * FROM _dotfill_events WHERE migration = ?1 \
             ORDER BY id DESC LIMIT ?2) ORDER BY id",
        )
        .doing("read the events")?;
    statement
        .query_map((migration, limit), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .and_then(Iterator::collect)
        .doing("read the events")
}
