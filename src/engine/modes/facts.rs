//! What a gate wants to know of this database, read.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, OptionalExtension};

use crate::db::{DbError, Doing, environment};
use crate::engine::{RunError, Stop};
use crate::layout::crsqlite::Publisher;
use crate::migration::{Migration, OldWrites};
use crate::phase::agreement::{Agreement, Comparer};
use crate::phase::compare::FormReader;
use crate::phase::gate::LocalFacts;
use crate::phase::pending::{self, pending_count};
use crate::phase::set::EpochSet;
use crate::phase::validator;
use crate::scan::or_set::{Bounds, SetError};
use crate::split::Splitter;
use crate::state::{self, ChangeRow, MigrationRow, Phase};
use crate::write::{dirty_rows, pending_rows};

/// Objects that are compared in one snapshot.
const RANGE_OBJECTS: u64 = 4096;

/// Compares the forms of every object, range by range; no snapshot outlives its range. Leaves out
/// the cohort where there is one and `cohort` does not ask for it.
pub(super) fn compare(
    db: &Path,
    sets: &[EpochSet],
    leave_out_cohort: bool,
    cancel: &AtomicBool,
) -> Result<Result<Agreement, Stop>, RunError> {
    let conn = crate::engine::proof::reader(db)?;
    let mut all = Agreement::default();
    for set in sets {
        let target = &set.target;
        let mut comparer = Comparer::new(&set.migration, &target.table.name, target.source());
        let mut reader = FormReader::new(target);
        if leave_out_cohort {
            reader = reader.without_cohort();
        }
        let mut splitter = Splitter::new(&conn, &target.table, RANGE_OBJECTS, None);
        while let Some(range) = splitter.next_range()? {
            if cancel.load(Ordering::Relaxed) {
                return Ok(Err(Stop::Interrupted));
            }
            reader.range(&conn, &Bounds::of(&range), &mut comparer).map_err(failed)?;
        }
        all.join(comparer.found);
    }
    Ok(Ok(all))
}

fn failed(error: SetError) -> RunError {
    match error {
        SetError::Db(error) => error.into(),
        other => crate::write::WriteError::from(other).into(),
    }
}

/// The rest of what a gate wants to know.
pub(super) fn facts(
    conn: &Connection,
    db: &Path,
    migration: &Migration,
    sets: &[EpochSet],
    agreement: Agreement,
) -> Result<LocalFacts, DbError> {
    let id = migration.id.as_str();
    let (mut pending, mut open_count, mut open) = (0, 0, Vec::new());
    for set in sets {
        pending += pending_count(conn, set.target.n)?;
        let found = validator::found(conn, set.target.n)?;
        open_count += found.open;
        open.extend(found.examples);
    }
    let (replica, others_seen) = site(conn, id)?;
    Ok(LocalFacts {
        migration: id.to_owned(),
        migration_digest: hex(&migration.digest),
        minimum_client: migration.minimum_client.clone(),
        db: db.display().to_string(),
        replica,
        others_seen,
        refuses_late: sets.iter().any(|set| set.old_writes != OldWrites::Translate),
        phase: MigrationRow::read(conn, id)?.map_or(Phase::Filling, |row| row.phase),
        waiting: waiting(conn, id)?,
        pending,
        quarantined: quarantined(conn, id)?,
        open,
        open_count,
        agreement,
    })
}

pub(in crate::engine) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Objects and values that wait to be written, of all changes.
pub(in crate::engine) fn waiting(conn: &Connection, id: &str) -> Result<u64, DbError> {
    let mut waiting = 0;
    for change in ChangeRow::of(conn, id)? {
        waiting += pending_rows(conn, change.n)?;
        // A closed epoch derives nothing, so it notes nothing there.
        if has_table(conn, &format!("_dotfill_dirty_{}", change.n))? {
            waiting += dirty_rows(conn, change.n)?;
        }
    }
    Ok(waiting)
}

fn has_table(conn: &Connection, name: &str) -> Result<bool, DbError> {
    conn.prepare_cached("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")
        .and_then(|mut s| s.exists([name]))
        .doing("look for a table of ours")
}

/// Old-format writes of a migration that nobody has decided: pending, or held under `quarantine`.
pub(in crate::engine) fn undecided(conn: &Connection, id: &str) -> Result<u64, DbError> {
    if !state::knows_quarantine(conn)? {
        return Ok(0);
    }
    let mut count: u64 = conn
        .prepare_cached(
            "SELECT count(*) FROM _dotfill_quarantine WHERE status = 'waiting' \
             AND migration = ?1 AND source = 'write' AND reason = ?2 \
             AND json_extract(detail, '$.policy') = 'quarantine'",
        )
        .and_then(|mut s| s.query_row((id, pending::NEW_ELEMENT), |row| row.get(0)))
        .doing("count the writes that are held")?;
    for change in ChangeRow::of(conn, id)? {
        count += pending_count(conn, change.n)?;
    }
    Ok(count)
}

/// Refusals that wait for an operator. A write that brought nothing is listed, and asks for nothing.
pub(super) fn quarantined(conn: &Connection, id: &str) -> Result<u64, DbError> {
    if !state::knows_quarantine(conn)? {
        return Ok(0);
    }
    conn.prepare_cached(
        "SELECT count(*) FROM _dotfill_quarantine WHERE status = 'waiting' AND migration = ?1 \
         AND NOT (source = 'write' AND reason IN (?2, ?3))",
    )
    .and_then(|mut s| {
        let nothing = (id, pending::NOTHING_NEW, pending::REMOVED_ELEMENT);
        s.query_row(nothing, |row| row.get(0))
    })
    .doing("count the quarantine")
}

/// How this replica is called, and whether another one has written here.
pub(in crate::engine) fn site(
    conn: &Connection,
    id: &str,
) -> Result<(Option<String>, bool), DbError> {
    if environment(conn)?.crsqlite_version.is_none() {
        return Ok((None, false));
    }
    let what = "read this replica's site id";
    let local: Option<Vec<u8>> = conn
        .query_row("SELECT site_id FROM crsql_site_id WHERE ordinal = 0", [], |row| row.get(0))
        .optional()
        .doing(what)?;
    let all: Vec<i64> = conn
        .prepare("SELECT ordinal FROM crsql_site_id WHERE ordinal <> 0")
        .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
        .doing(what)?;
    let ours = Publisher::ordinals(conn, id)?;
    let others = all.iter().any(|ordinal| !ours.contains(ordinal));
    Ok((local.as_deref().map(hex), others))
}
