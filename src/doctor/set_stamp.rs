//! Adds of ours that a full `crsql_commit_alter` has given clock rows.
//!
//! cr-sqlite's alter writes a sentinel, at version 1 and of the local site, for every row of the table
//! that has no clock row, all under one `db_version`. Such an add is then no longer ours: while the old
//! form is authoritative, an element that it loses is deleted on every replica but this one.
//!
//! Who applies what `dotfill admit` translates writes migrated adds too, as a user. What tells is that
//! one `db_version` owns at least half of all adds, and ten.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::{Finding, Patient, shell};
use crate::db::quote::{ident, list};
use crate::db::{DbError, Doing};
use crate::layout::crsqlite::CrTable;
use crate::layout::or_set::{SetLayout, SetTarget};
use crate::state::{ChangeRow, Phase};

/// The least that is taken for a stamp.
const STAMPED_MIN: u64 = 10;

pub(super) fn examine(
    patient: &Patient<'_>,
    target: &SetTarget,
    change: &ChangeRow,
) -> Result<Option<Finding>, DbError> {
    let SetLayout::CrSqlite { adds } = &target.layout else { return Ok(None) };
    let name = ident(&target.adds);
    let most = largest(&patient.conn, target, adds)?;
    let all: u64 = patient
        .conn
        .query_row(&format!("SELECT count(*) FROM {name}"), [], |row| row.get(0))
        .doing("count the adds")?;
    if most < STAMPED_MIN || most.saturating_mul(2) < all {
        return Ok(Some(Finding::ok(
            format!("clock rows of {name}"),
            format!(
                "none for the adds that were derived: cr-sqlite's own sync does not carry them, a \
                 replica that joins later derives them itself, and a full crsql_commit_alter of \
                 {name} would stamp them"
            ),
        )));
    }
    let what = format!("stamped adds of {name}");
    let detail = format!(
        "{most} derived adds were stamped with clock rows of version 1 by a full crsql_commit_alter: \
         they are change records now, under a db_version that replicas which have seen it never ask \
         for, and count as users'"
    );
    if !target.is_followed() || change.phase == Phase::Closed {
        return Ok(Some(Finding::ok(what, detail)));
    }
    Ok(Some(Finding::owed(
        what,
        format!(
            "{detail}; an element that the old form loses stays visible here alone, until its dots are \
             inserted into {}",
            ident(&target.removes)
        ),
        format!(
            "{} on every replica, then `dotfill advance` as far as read-new-write-new, from where on \
             nothing is derived: {}",
            shell::dotfill("run", &change.migration, patient.db),
            "or --close, which stops deriving on this one"
        ),
    )))
}

/// The most migrated adds that one `db_version` of the local site owns.
fn largest(conn: &Connection, target: &SetTarget, adds: &CrTable) -> Result<u64, DbError> {
    let what = "look for stamped adds";
    let CrTable { clock, pks } = adds;
    let keys: Vec<String> = target.keys();
    let columns = keys.iter().map(|key| format!("p.{key}"));
    let sql = format!(
        "SELECT c.db_version, p.element, p.dot, {} FROM {clock} AS c CROSS JOIN {pks} AS p \
         ON p.__crsql_key = c.key WHERE c.site_id = 0 AND c.col_name = '-1' AND c.col_version = 1 \
         ORDER BY c.db_version",
        list(columns)
    );
    let mut statement = conn.prepare(&sql).doing(what)?;
    let mut rows = statement.query([]).doing(what)?;
    let mut dots = target.dots.clone();
    let mut is_migrated = |row: &Row<'_>| -> rusqlite::Result<bool> {
        let key: Vec<ValueRef<'_>> =
            (0..keys.len()).map(|i| row.get_ref(3 + i)).collect::<Result<_, _>>()?;
        let dot = dots.dot(&key, row.get_ref(1)?);
        Ok(matches!(row.get_ref(2)?, ValueRef::Blob(bytes) if bytes == dot.0))
    };
    let (mut version, mut count, mut most) = (None, 0, 0);
    while let Some(row) = rows.next().doing(what)? {
        let this: i64 = row.get(0).doing(what)?;
        if version.replace(this) != Some(this) {
            count = 0;
        }
        count += u64::from(is_migrated(row).doing(what)?);
        most = most.max(count);
    }
    Ok(most)
}
