//! `quarantine replay` and `quarantine drop` of old-format writes: what an operator decides of the new
//! elements of a write that arrived in a closed epoch.
//!
//! # Operations
//! - A write held under `quarantine`: replaying it publishes the migrated adds of its new elements;
//!   dropping it publishes their dots into the removes, so that no replica shows them.
//! - A write refused under `reject`: its migration dots were given up for good, so replaying it
//!   publishes adds with fresh dots: [`DotDeriver::fresh_dot`] with the text
//!   `quarantine SITE IDENTITY` as its cause, where `SITE` is this replica's site id in hexadecimal
//!   digits (empty in a plain database). Replaying it twice adds nothing. Dropping it changes nothing.
//! - Any other write brought nothing new: settling it changes nothing.
//!
//! [`DotDeriver::fresh_dot`]: crate::transform::dot::DotDeriver::fresh_dot

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, TransactionBehavior};
use serde_json::Value;

use super::{begun, facts};
use crate::db::{self, Datum, Doing, from_json};
use crate::engine::RunError;
use crate::layout::or_set::SetTarget;
use crate::migration::{Change, Migration, OldWrites};
use crate::phase::publish::{Publishing, can_publish};
use crate::phase::set::EpochSet;
use crate::plan::resolve_set;
use crate::state::{self, MigrationRow, QuarantineRow, QuarantineSource, QuarantineStatus};
use crate::write::connect;

/// What an operator decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldVerdict {
    /// The new elements are to be shown after all.
    Replay,
    /// They are given up.
    Drop,
}

/// What settling a write came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldSettled {
    /// It waits no more; so many rows of the new form were published.
    Done {
        /// Adds or removes.
        rows: u64,
    },
    /// It was settled before.
    Before(QuarantineStatus),
    /// It is no write, or there is no such row: not for us.
    NotAWrite,
}

/// Settles one write in quarantine. Takes no lease: a runner may go on meanwhile. It is one
/// transaction, which carries nothing over from another one: whether the write waits still, and whose it
/// is, is read inside it, so that of two who settle it one finds it settled.
///
/// # Errors
/// [`RunError`]; nothing was changed then.
pub fn settle_held(db: &Path, id: i64, verdict: HeldVerdict) -> Result<HeldSettled, RunError> {
    let mut conn = connect(db, None)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)
        .doing("configure triggers")?;
    if !state::exists(&conn)? {
        return Ok(HeldSettled::NotAWrite);
    }
    let tx = db::begin(&mut conn, TransactionBehavior::Immediate, "settle a write in quarantine")?;
    let row = QuarantineRow::read(&tx, id)?;
    let Some(row) = row.filter(|row| row.source == QuarantineSource::Write) else {
        return Ok(HeldSettled::NotAWrite);
    };
    if row.status != QuarantineStatus::Waiting {
        return Ok(HeldSettled::Before(row.status));
    }
    let rows = publish(&tx, db, &row, verdict)?;
    let (status, word) = match verdict {
        HeldVerdict::Replay => (QuarantineStatus::Replayed, "replayed"),
        HeldVerdict::Drop => (QuarantineStatus::Dropped, "dropped"),
    };
    QuarantineRow::settle(&tx, id, status)?;
    if let Some(migration) = &row.migration {
        let detail = format!("write {id} {word}; {rows} rows published");
        state::event(&tx, migration, "quarantine", &detail)?;
    }
    tx.commit().doing("settle a write in quarantine")?;
    Ok(HeldSettled::Done { rows })
}

fn publish(
    conn: &Connection,
    db: &Path,
    row: &QuarantineRow,
    verdict: HeldVerdict,
) -> Result<u64, RunError> {
    let policy = OldWrites::ALL
        .into_iter()
        .find(|policy| Some(policy.as_str()) == row.detail["policy"].as_str());
    let elements = datums(&row.detail["new"]);
    let nothing = match (policy, verdict) {
        (Some(OldWrites::Quarantine), _) | (Some(OldWrites::Reject), HeldVerdict::Replay) => false,
        (Some(OldWrites::Reject), HeldVerdict::Drop) | (Some(OldWrites::Translate) | None, _) => {
            true
        }
    };
    if nothing || elements.is_empty() {
        return Ok(0);
    }
    let set = set_of(conn, db, row)?;
    if !can_publish(conn)? {
        return Err(RunError::refused(
            &set.migration,
            "what is published beside a Corrosion agent reaches no other node",
            "write the adds or removes through the agent's API: the dots are those of \
             `dotfill quarantine export`'s elements",
        ));
    }
    let key = datums(&row.object["key"]);
    let mut publishing = Publishing::new(&set.migration, &set.target);
    let mut dots = set.target.dots.clone();
    let (site, _) = facts::site(conn, &set.migration)?;
    let cause = format!("quarantine {} {}", site.unwrap_or_default(), row.identity);
    let refs: Vec<ValueRef<'_>> = key.iter().map(Datum::as_ref).collect();
    let mut rows = 0;
    for element in &elements {
        let migrated = dots.dot(&refs, element.as_ref());
        rows += u64::from(match (policy, verdict) {
            (Some(OldWrites::Quarantine), HeldVerdict::Replay) => {
                publishing.add(conn, &key, element, &migrated.0)?
            }
            (Some(OldWrites::Quarantine), HeldVerdict::Drop) => {
                publishing.remove(conn, &migrated.0)?
            }
            _ => {
                let cause = ValueRef::Text(cause.as_bytes());
                let fresh = dots.fresh_dot(&refs, element.as_ref(), cause);
                publishing.add(conn, &key, element, &fresh.0)?
            }
        });
    }
    Ok(rows)
}

/// The values of a JSON array.
fn datums(array: &Value) -> Vec<Datum> {
    array.as_array().into_iter().flatten().filter_map(from_json).collect()
}

/// The set that a row is of.
fn set_of(conn: &Connection, db: &Path, row: &QuarantineRow) -> Result<EpochSet, RunError> {
    let id = row.migration.clone().unwrap_or_default();
    let unknown = || {
        RunError::refused(
            &id,
            format!("{} no longer knows the set of row {}", db.display(), row.id),
            "drop the row; the elements are in its detail",
        )
    };
    let known = MigrationRow::read(conn, &id)?.ok_or_else(unknown)?;
    let migration = Migration::parse(&known.text, Path::new(&id)).map_err(|error| {
        RunError::refused(&id, error.to_string(), "use the dotfill release that recorded it")
    })?;
    let targets: Result<Vec<(usize, SetTarget)>, RunError> = migration
        .changes
        .iter()
        .enumerate()
        .filter_map(|(position, change)| match change {
            Change::OrSet(set) => Some((position, set)),
            Change::Column(_) | Change::Index(_) => None,
        })
        .map(|(position, set)| Ok((position, resolve_set(conn, &migration, position, set)?.target)))
        .collect();
    begun(conn, &migration, targets?)?
        .into_iter()
        .find(|set| Some(set.target.n) == row.change_n)
        .ok_or_else(unknown)
}
