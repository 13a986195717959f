//! The rows of `_dotfill_operations` and `_dotfill_missing`. The caller holds a write transaction
//! wherever something is written.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension};
use serde_json::Value;

use super::decision::Missing;
use super::error::AdmitError;
use super::operation::Operation;
use crate::db::{DbError, Doing};

const TABLE: &str = "_dotfill_operations";

/// What is known of an operation, by id.
pub(super) struct Known {
    pub(super) seq: i64,
    pub(super) fingerprint: Vec<u8>,
    pub(super) state: State,
    pub(super) decision: Value,
}

/// Whether a decision is for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is.
    Decided,
    /// Until what is missing arrives.
    Buffered,
    /// Until an operator says more.
    Held,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Decided => "decided",
            Self::Buffered => "buffered",
            Self::Held => "held",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Self::Decided, Self::Buffered, Self::Held].into_iter().find(|s| s.as_str() == name)
    }
}

/// What is to be kept of an operation that was never seen before.
pub(super) struct New<'a> {
    pub(super) operation: &'a Operation,
    pub(super) fingerprint: [u8; 16],
    pub(super) migration: Option<&'a str>,
    pub(super) state: State,
    pub(super) decision: &'a Value,
}

/// What is known of the operation `op_id`.
pub(super) fn find(conn: &Connection, op_id: &str) -> Result<Option<Known>, AdmitError> {
    let row = conn
        .prepare_cached(
            "SELECT seq, fingerprint, state, decision FROM _dotfill_operations WHERE op_id = ?1",
        )
        .and_then(|mut s| {
            s.query_row([op_id], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?, row.get(3)?))
            })
            .optional()
        })
        .doing("look an operation up")?;
    let Some((seq, fingerprint, state, decision)) = row else {
        return Ok(None);
    };
    let state = State::of(&state).ok_or_else(|| damaged(seq, format!("state {state:?}")))?;
    Ok(Some(Known { seq, fingerprint, state, decision: json(seq, decision)? }))
}

fn damaged(row: i64, problem: String) -> AdmitError {
    AdmitError::Damaged { table: TABLE, row, problem }
}

#[expect(clippy::needless_pass_by_value, reason = "it was read for this")]
fn json(seq: i64, text: String) -> Result<Value, AdmitError> {
    serde_json::from_str(&text).map_err(|error| damaged(seq, error.to_string()))
}

/// Keeps a decision; the text of the operation too where it is buffered. Returns its number.
pub(super) fn insert(conn: &Connection, new: &New<'_>) -> Result<i64, AdmitError> {
    let text = (new.state == State::Buffered).then(|| new.operation.to_json().to_string());
    conn.prepare_cached(
        "INSERT INTO _dotfill_operations (op_id, fingerprint, migration, state, decision, \
         operation, bytes, announced) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1)",
    )
    .and_then(|mut s| {
        s.insert(rusqlite::params![
            new.operation.op_id,
            new.fingerprint,
            new.migration,
            new.state.as_str(),
            new.decision.to_string(),
            text,
            text.as_ref().map_or(0, |_| new.operation.weight()),
        ])
    })
    .doing("keep a decision")
    .map_err(AdmitError::from)
}

/// Changes the decision of an operation that was buffered or held. It is to be announced unless
/// it is still buffered.
pub(super) fn update(
    conn: &Connection,
    seq: i64,
    state: State,
    migration: Option<&str>,
    decision: &Value,
) -> Result<(), DbError> {
    let buffered = state == State::Buffered;
    conn.prepare_cached(
        "UPDATE _dotfill_operations SET state = ?2, migration = ?3, decision = ?4, \
         operation = CASE WHEN ?5 THEN operation END, bytes = CASE WHEN ?5 THEN bytes ELSE 0 END, \
         announced = ?5 WHERE seq = ?1",
    )
    .and_then(|mut s| s.execute((seq, state.as_str(), migration, decision.to_string(), buffered)))
    .doing("keep a decision")?;
    Ok(())
}

/// Replaces what a buffered operation waits for; with nothing, it waits no more.
pub(super) fn set_missing(
    conn: &Connection,
    seq: i64,
    missing: &BTreeSet<Missing>,
) -> Result<(), DbError> {
    let what = "keep what an operation waits for";
    conn.prepare_cached("DELETE FROM _dotfill_missing WHERE seq = ?1")
        .and_then(|mut s| s.execute([seq]))
        .doing(what)?;
    for one in missing {
        conn.prepare_cached("INSERT INTO _dotfill_missing (what, seq) VALUES (?1, ?2)")
            .and_then(|mut s| s.execute((one.to_json().to_string(), seq)))
            .doing(what)?;
    }
    Ok(())
}

/// The buffered operations that wait for `missing`, oldest first.
pub(super) fn waiting_for(conn: &Connection, missing: &Missing) -> Result<Vec<i64>, DbError> {
    conn.prepare_cached("SELECT seq FROM _dotfill_missing WHERE what = ?1 ORDER BY seq")
        .and_then(|mut s| s.query_map([missing.to_json().to_string()], |row| row.get(0))?.collect())
        .doing("look for operations that wait")
}

/// All buffered operations, oldest first.
pub(super) fn buffered(conn: &Connection) -> Result<Vec<i64>, DbError> {
    conn.prepare_cached("SELECT seq FROM _dotfill_operations WHERE state = 'buffered' ORDER BY seq")
        .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
        .doing("read the buffer")
}

/// The text of a buffered operation; `None` where it is no longer buffered.
pub(super) fn text(conn: &Connection, seq: i64) -> Result<Option<Operation>, AdmitError> {
    let text: Option<String> = conn
        .prepare_cached(
            "SELECT operation FROM _dotfill_operations WHERE seq = ?1 AND state = 'buffered'",
        )
        .and_then(|mut s| s.query_row([seq], |row| row.get(0)).optional())
        .doing("read a buffered operation")?
        .flatten();
    let Some(text) = text else {
        return Ok(None);
    };
    let operation = Operation::from_json(json(seq, text)?);
    operation.map(Some).map_err(|error| damaged(seq, error.to_string()))
}

/// How many operations are buffered, and what they weigh.
pub(super) fn load(conn: &Connection) -> Result<(u64, u64), DbError> {
    conn.prepare_cached(
        "SELECT count(*), coalesce(sum(bytes), 0) FROM _dotfill_operations \
         WHERE state = 'buffered'",
    )
    .and_then(|mut s| s.query_row([], |row| Ok((row.get(0)?, row.get(1)?))))
    .doing("measure the buffer")
}

/// The decisions of re-admissions that were not handed on yet, oldest first.
pub(super) fn unannounced(conn: &Connection) -> Result<Vec<(i64, String, Value)>, AdmitError> {
    let rows: Vec<(i64, String, String)> = conn
        .prepare_cached(
            "SELECT seq, op_id, decision FROM _dotfill_operations WHERE announced = 0 \
             ORDER BY seq",
        )
        .and_then(|mut s| {
            s.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
        })
        .doing("look for decisions that were not handed on")?;
    rows.into_iter().map(|(seq, op_id, text)| Ok((seq, op_id, json(seq, text)?))).collect()
}

/// Remembers that the decision of a re-admission was handed on.
pub(super) fn announce(conn: &Connection, seq: i64) -> Result<(), DbError> {
    conn.prepare_cached("UPDATE _dotfill_operations SET announced = 1 WHERE seq = ?1")
        .and_then(|mut s| s.execute([seq]))
        .doing("remember what was handed on")?;
    Ok(())
}

/// How many operations are looked at when old ones are forgotten: more than a transaction adds.
const FORGOTTEN_AT_A_TIME: u32 = 2000;

/// Forgets operations after the number `after` that are not among the newest `keep`, unless something
/// is still to be done with them. Returns the number up to which that was done.
pub(super) fn forget_old(conn: &Connection, after: i64, keep: u64) -> Result<i64, DbError> {
    let what = "forget old operations";
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    let newest: Option<i64> = conn
        .prepare_cached("SELECT max(seq) FROM _dotfill_operations")
        .and_then(|mut s| s.query_row([], |row| row.get(0)))
        .doing(what)?;
    let end = newest.unwrap_or(0).saturating_sub(keep);
    if end <= after {
        return Ok(after);
    }
    let through: i64 = conn
        .prepare_cached(
            "SELECT coalesce(max(seq), ?2) FROM (SELECT seq FROM _dotfill_operations \
             WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3)",
        )
        .and_then(|mut s| s.query_row((after, end, FORGOTTEN_AT_A_TIME), |row| row.get(0)))
        .doing(what)?;
    // The identity of a refusal is that of `desk::identity`.
    conn.prepare_cached(
        "DELETE FROM _dotfill_operations AS o WHERE o.seq > ?1 AND o.seq <= ?2 \
         AND o.state = 'decided' AND o.announced = 1 AND NOT EXISTS (SELECT 1 \
         FROM _dotfill_quarantine AS q WHERE q.source = 'operation' AND q.status = 'waiting' \
         AND q.identity = o.op_id || ':' || lower(hex(o.fingerprint)))",
    )
    .and_then(|mut s| s.execute((after, through)))
    .doing(what)?;
    Ok(through)
}
