//! `digest --keys`: which keys a replica has, by tables alone, so that a replica which does not know
//! the migration, and cannot derive, can tell another one which keys need not be shipped to it. And
//! the sums of many ranges by several threads, which the sender needs as well.

use std::path::Path;

use crossbeam::channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use rusqlite::Connection;

use super::RunError;
use super::proof::reader;
use super::watch::{LookOptions, Watch};
use crate::db::{DbError, Doing, Table, quote::ident};
use crate::migration::{Change, Migration};
use crate::monitor::{Monitor, Stage};
use crate::split::{Range, Splitter};
use crate::verify::{
    KEYS_BYTES_MAX, KeySum, KeySummer, KeysOfRange, KeysReport, TableKeys, key_shape,
};

/// Rows of the first ranges that are summed.
const ROWS_FIRST: u64 = 64;
/// Ranges after which the next ones have twice as many rows.
const RANGES_EACH: u64 = 1024;
/// Ranges on their way to be summed.
const QUEUE: usize = 64;

/// The key digest of every table of a migration. Writes nothing and needs no lease.
///
/// # Errors
/// [`RunError::Refused`] where a table's keys cannot be told; [`RunError::Interrupted`]; else when
/// rows cannot be read.
pub fn key_digest(
    db: &Path,
    migration: &Migration,
    options: &LookOptions,
    monitor: &dyn Monitor,
) -> Result<KeysReport, RunError> {
    let watch = Watch::new(Stage::Proving, "reading keys", &options.cancel, monitor);
    let mut conn = reader(db)?;
    watch.guard(&mut conn)?;
    let mut tables: Vec<TableKeys> = Vec::new();
    for change in &migration.changes {
        let name = match change {
            Change::Column(change) => &change.table,
            Change::OrSet(change) => &change.table,
            // Indexes hold no rows of their own.
            Change::Index(_) => continue,
        };
        let mut table = Table::read(&conn, name)?;
        if tables.iter().any(|known| known.table == table.name) {
            continue;
        }
        table.walk_by_key();
        watch.unless_cancelled(check_nulls(&conn, migration, &table))?;
        tables.push(keys_of(db, &table, options.threads, &watch)?);
    }
    if tables.is_empty() {
        return Err(RunError::refused(
            migration.id.as_str(),
            "it fills no column: no rows of it are shipped, and no keys can be left out",
            "`dotfill run` it on every replica",
        ));
    }
    KeysReport::fitting(migration, &tables).ok_or_else(|| {
        RunError::refused(
            migration.id.as_str(),
            format!(
                "the names of its tables take more than the {KEYS_BYTES_MAX} bytes of a digest"
            ),
            "export without --keys-of",
        )
    })
}

/// Refuses a table of which not every row can be told by its key.
fn check_nulls(conn: &Connection, migration: &Migration, table: &Table) -> Result<(), RunError> {
    let open: Vec<String> = table
        .key
        .iter()
        .filter(|key| table.may_be_null(&key.name))
        .map(|key| format!("{} IS NULL", ident(&key.name)))
        .collect();
    if open.is_empty() {
        return Ok(());
    }
    let sql = format!("SELECT 1 FROM {} WHERE {} LIMIT 1", table.sql(), open.join(" OR "));
    if !conn.prepare(&sql).and_then(|mut s| s.exists([])).doing("look at the keys")? {
        return Ok(());
    }
    Err(RunError::refused(
        migration.id.as_str(),
        format!("table {} has rows whose key holds a NULL, which no key tells", table.sql()),
        "give those rows a key, or export without --keys-of, which ships all keys",
    ))
}

/// All keys of a table in ranges that grow with it: small ones of a small table, and of a large one
/// some thousands that are all much smaller than what they are joined into.
fn keys_of(
    db: &Path,
    table: &Table,
    threads: usize,
    watch: &Watch<'_>,
) -> Result<TableKeys, RunError> {
    let ranges = sum_all(db, table, threads, watch, |send| {
        let mut conn = reader(db)?;
        watch.guard(&mut conn)?;
        let mut after = None;
        for doublings in 0..32 {
            let mut splitter = Splitter::new(&conn, table, ROWS_FIRST << doublings, after.take());
            for _ in 0..RANGES_EACH {
                let Some(range) = splitter.next_range()? else { return Ok(()) };
                after = Some(range.through.clone());
                if !send.range(range) {
                    return Ok(());
                }
            }
        }
        Ok(())
    })?;
    let ranges: Vec<KeysOfRange> = ranges
        .into_iter()
        .map(|(range, keys)| KeysOfRange { through: range.through.0, keys })
        .collect();
    let rows = ranges.iter().map(|range| range.keys.rows).sum();
    Ok(TableKeys { table: table.name.clone(), key: key_shape(table), rows, ranges })
}

/// Ranges on their way to be summed.
pub(super) struct Send<'s> {
    sender: &'s Sender<(usize, Range)>,
    next: usize,
}

impl Send<'_> {
    /// Sends the next range; false where nobody wants it.
    pub(super) fn range(&mut self, range: Range) -> bool {
        self.next += 1;
        self.sender.send((self.next - 1, range)).is_ok()
    }
}

/// The keys of each range that `cut` sends, in the same order, by `threads` readers (0: one per
/// core).
pub(super) fn sum_all(
    db: &Path,
    table: &Table,
    threads: usize,
    watch: &Watch<'_>,
    cut: impl FnOnce(&mut Send<'_>) -> Result<(), DbError> + std::marker::Send,
) -> Result<Vec<(Range, KeySum)>, RunError> {
    let (sender, tasks) = bounded(QUEUE);
    let found = Mutex::new(Vec::new());
    let done = std::thread::scope(|scope| {
        let cutter = scope.spawn(move || cut(&mut Send { sender: &sender, next: 0 }));
        let readers: Vec<_> = (0..super::job::threads(threads))
            .map(|_| {
                let (tasks, found) = (tasks.clone(), &found);
                scope.spawn(move || sum_each(db, table, &tasks, found, watch))
            })
            .collect();
        drop(tasks);
        let panicked = |_| RunError::Panicked { doing: "reading keys" };
        for reader in readers {
            reader.join().map_err(panicked)??;
        }
        cutter.join().map_err(panicked)??;
        Ok::<_, RunError>(())
    });
    watch.unless_cancelled(done)?;
    let mut found = found.into_inner();
    found.sort_unstable_by_key(|(number, _, _)| *number);
    Ok(found.into_iter().map(|(_, range, keys)| (range, keys)).collect())
}

fn sum_each(
    db: &Path,
    table: &Table,
    tasks: &Receiver<(usize, Range)>,
    found: &Mutex<Vec<(usize, Range, KeySum)>>,
    watch: &Watch<'_>,
) -> Result<(), DbError> {
    let mut conn = reader(db)?;
    watch.guard(&mut conn)?;
    let mut summer = KeySummer::new(&conn, table);
    for (number, range) in tasks {
        let keys = summer.sum(&range)?;
        watch.passed(keys.rows);
        found.lock().push((number, range, keys));
    }
    Ok(())
}
