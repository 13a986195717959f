//! What the naive way really costs, measured on a smaller table of the same rows: cr-sqlite's own
//! alter, one `UPDATE`, and the merge of all its change records.

use std::path::Path;
use std::time::Instant;

use rusqlite::Connection;

use super::bill::{Amount, NaiveSample, scaled};
use super::make::make;
use super::replica::{Replica, call, changes};
use super::{DemoError, DemoOptions, REPLICAS, Stage, Step};
use crate::db::{self, Access, DbError, Doing};
use crate::layout::crsqlite;
use crate::plan::{record_bytes, resolve};

/// Rows of the smaller table, at most.
const ROWS_MAX: u64 = 50_000;

/// Measures, where cr-sqlite is at hand.
pub(super) fn measure(
    stage: &mut Stage<'_>,
    folder: &Path,
) -> Result<Option<NaiveSample>, DemoError> {
    if stage.options.crsqlite.is_none() {
        return Ok(None);
    }
    (stage.say)(Step::TryingNaive);
    let folder = folder.join("naive");
    let io = |doing, source| DemoError::Io { path: folder.clone(), doing, source };
    std::fs::create_dir(&folder).map_err(|source| io("create", source))?;
    let rows = stage.made.rows.min(ROWS_MAX);
    let options = DemoOptions { rows, ..stage.options.clone() };
    let made = make(&folder, &options)?;
    let [a, b] = [0, 1]
        .map(|i| Replica { path: made.databases[i].clone(), extension: options.crsqlite.clone() });
    let sample = update_and_merge(stage, &a, &b, rows)?;
    std::fs::remove_dir_all(&folder).map_err(|source| io("remove", source))?;
    Ok(Some(sample))
}

fn update_and_merge(
    stage: &Stage<'_>,
    a: &Replica,
    b: &Replica,
    rows: u64,
) -> Result<NaiveSample, DemoError> {
    a.with(alter)?;
    b.with(alter)?;
    let before = a.file_bytes()? + b.file_bytes()?;
    let (seconds, wal_bytes, records) = a.with(|conn| Ok(update(a, conn)))??;
    let merged = Instant::now();
    b.merge(&records)?;
    let merge_seconds = merged.elapsed().as_secs_f64();
    let disk_bytes = (a.file_bytes()? + b.file_bytes()?).saturating_sub(before);
    let up = |n| scaled(n, stage.made.rows, rows);
    let factor = super::bill::ratio(stage.made.rows, rows);
    Ok(NaiveSample {
        rows,
        scaled: Amount {
            change_records: up(records.len() as u64),
            disk_bytes: up(disk_bytes),
            wire_bytes: up(wire_bytes(stage, a)?).saturating_mul(REPLICAS - 1),
            wal_bytes: up(wal_bytes),
            seconds: seconds * factor,
        },
        merge_seconds: merge_seconds * factor,
    })
}

/// Adds the column as cr-sqlite documents it.
fn alter(conn: &Connection) -> Result<(), DbError> {
    call(conn, "crsql_begin_alter('machines')")?;
    conn.execute_batch("ALTER TABLE machines ADD COLUMN owner TEXT").doing("add the column")?;
    call(conn, "crsql_commit_alter('machines')")
}

/// Seconds, bytes of WAL, and the change records.
fn update(
    replica: &Replica,
    conn: &Connection,
) -> Result<(f64, u64, Vec<super::replica::Change>), DemoError> {
    conn.execute_batch("PRAGMA wal_autocheckpoint = 0").doing("keep the WAL")?;
    let began = Instant::now();
    conn.execute_batch("UPDATE machines SET owner = 'o-' || app").doing("update every row")?;
    let seconds = began.elapsed().as_secs_f64();
    Ok((seconds, replica.wal_bytes()?, changes(conn, 0)?))
}

/// The records' bytes, by the definition that the plan uses.
fn wire_bytes(stage: &Stage<'_>, replica: &Replica) -> Result<u64, DemoError> {
    let mut conn = db::open(&replica.path, Access::Read)?;
    crsqlite::register(&conn)?;
    let resolved = resolve(&mut conn, &stage.migration, 0)?;
    Ok(record_bytes(&conn, &resolved.target, 0, 0)?.bytes)
}
