//! What building an index costs: tried on a sample of the very table, on this machine, and carried
//! over to all of its rows.
//!
//! # Definitions
//! The sample has whole rows from several places of the table. Building the index on it reads those
//! rows, evaluates the terms, sorts the entries and writes the pages, as the real build does; seconds
//! grow with the rows and with the logarithm of their number, which is what sorting does. Not in the
//! estimate: rows that have to be read from the disk first, and a machine that does other things then.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::cells::scaled;
use super::chunks::chunks;
use super::copy::copy_rows;
use super::folder::Folder;
use super::number;
use super::sample::create;
use crate::db::quote::ident;
use crate::db::{DbError, Doing, Table, beside};
use crate::layout::IndexTarget;
use crate::migration::ColumnChange;

/// Rows of the sample, at most.
pub(super) const ROWS_MAX: u64 = 20_000;

/// How often the build is tried; the fastest counts, as what others do meanwhile is no part of it.
const ATTEMPTS: u32 = 3;

/// Bytes of entries that `SQLite` sorts in memory; more go through temporary files.
const SORT_BYTES: u64 = 8 << 20;

/// What building an index costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct BuildCost {
    /// Rows of the table.
    pub rows: u64,
    /// Rows of the sample that the numbers come from.
    pub sample_rows: u64,
    /// Bytes of the index, by which the file grows where it has no free pages.
    pub file_bytes: u64,
    /// Bytes that the build writes to the WAL, in one transaction: the WAL cannot be made smaller
    /// before its commit.
    pub wal_bytes: u64,
    /// Bytes of temporary files beside the database, while entries are sorted.
    pub temp_bytes: u64,
    /// Seconds for which the build holds the write lock, estimated.
    pub lock_seconds: f64,
}

/// Tries the build of `target` on a sample of its table, which has `rows` rows. `pending` are columns
/// that the table does not have yet.
///
/// # Errors
/// When the table cannot be read or the temporary folder is full.
pub fn build_cost(
    conn: &Connection,
    target: &IndexTarget,
    pending: &[ColumnChange],
    rows: u64,
) -> Result<BuildCost, DbError> {
    let folder = Folder::create()?;
    let path = folder.file("index.db");
    let sample = create(conn, &path)?;
    let copied = copy_table(conn, &sample, target, pending, rows)?;
    let what = "try the index on the plan's sample";
    sample
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -8192;",
        )
        .doing(what)?;
    let wal = beside(&path, "-wal");
    // Two rows may be equal where unique is asked for: the run will say so.
    let plain = IndexTarget { unique: false, ..target.clone() };
    let mut fastest = Duration::MAX;
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            sample.execute_batch(&plain.drop()).doing(what)?;
        }
        sample.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").doing(what)?;
        let began = Instant::now();
        sample.execute_batch(&plain.create()).doing(what)?;
        fastest = fastest.min(began.elapsed());
    }
    let wal_bytes = std::fs::metadata(&wal).map_or(0, |meta| meta.len());
    let entries = format!(
        "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name = {}",
        crate::db::quote::text(&target.name)
    );
    let file_bytes = scaled(number::query(&sample, &entries, what)?, rows, copied);
    Ok(BuildCost {
        rows,
        sample_rows: copied,
        file_bytes,
        wal_bytes: scaled(wal_bytes, rows, copied),
        temp_bytes: if file_bytes > SORT_BYTES { file_bytes } else { 0 },
        lock_seconds: fastest.as_secs_f64() * growth(rows, copied),
    })
}

/// By how much `rows` take longer than `copied` rows: their number, and what sorting adds.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn growth(rows: u64, copied: u64) -> f64 {
    let (rows, copied) = (rows.max(2) as f64, copied.max(2) as f64);
    (rows / copied) * (rows.ln() / copied.ln()).max(1.0)
}

/// Copies rows of the table, and fills the columns that it does not have yet.
fn copy_table(
    conn: &Connection,
    sample: &Connection,
    target: &IndexTarget,
    pending: &[ColumnChange],
    rows: u64,
) -> Result<u64, DbError> {
    let what = format!("sample rows of {}", target.table.sql());
    // As the table is now: the target has the columns that are still to be added.
    let table = Table::read(conn, &target.table.name)?;
    let sql: String = conn
        .query_row(
            "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1",
            [&table.name],
            |row| row.get(0),
        )
        .doing(&what)?;
    sample.execute_batch(&sql).doing(&what)?;
    sample.execute_batch("BEGIN").doing(&what)?;
    let mut copied = 0;
    for mut chunk in chunks(conn, &table, rows, ROWS_MAX)? {
        copied += copy_rows(conn, &table, sample, &mut chunk).doing(&what)?;
    }
    for column in pending.iter().filter(|column| table.column(&column.column).is_none()) {
        let (name, table) = (ident(&column.column), table.sql());
        let value = column.value.as_deref().unwrap_or("NULL");
        let filter = column.filter.as_deref().unwrap_or("true");
        sample
            .execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {name} {}", column.type_name))
            .doing(&what)?;
        // A row whose expression fails keeps NULL here; the run says what it does with it.
        let fill =
            format!("UPDATE OR IGNORE {table} SET {name} = (\n{value}\n) WHERE (\n{filter}\n)");
        if let Err(error) = sample.execute_batch(&fill)
            && !crate::db::is_row_error(&error)
        {
            return Err(error).doing(&what);
        }
    }
    sample.execute_batch("COMMIT").doing(&what)?;
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorting_adds_to_what_the_rows_cost() {
        assert!((growth(1000, 1000) - 1.0).abs() < 1e-9);
        let ten = growth(10_000, 1000);
        assert!((13.0..14.0).contains(&ten), "{ten}");
        assert!(growth(0, 0).is_finite());
    }
}
