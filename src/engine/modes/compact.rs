//! Compaction: the old form is removed, batch by batch, after what it holds was written to a file.
//! Resumes by looking for what is left.
//!
//! # On cr-sqlite
//! No change record is made: every replica empties its own rows, and each does the same. A cell keeps
//! its site and database version, and its column version grows by one: an old value that is sent again
//! loses, a later write by an old client still wins, arrives, and is noted like any other. The
//! emptied value is NULL, or the empty text where NULL is not allowed: both lose against any text of
//! the same version, so that no such write goes by unseen. A row of a child table leaves a tombstone,
//! as a deletion would, under the site and version of the row's own first clock row.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::db::quote::{ident, list, text};
use crate::db::{Datum, DbError, Doing, Table, to_json};
use crate::engine::job::Job;
use crate::engine::{RunError, Stop};
use crate::layout::RangeSql;
use crate::layout::crsqlite::CrTable;
use crate::layout::or_set::OldForm;
use crate::phase::PhaseError;
use crate::phase::set::EpochSet;
use crate::split::{Range, Splitter};
use crate::state;

/// Rows that one transaction empties at most.
const RANGE_ROWS: u64 = 1000;
/// Passes over a table while others still write the old form.
const PASSES: u32 = 5;

/// What compaction did, in this process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compaction {
    /// Rows whose old form was removed.
    pub rows_removed: u64,
    /// Rows that were written to the file first.
    pub rows_exported: u64,
    /// The file.
    pub export: Option<PathBuf>,
    /// True once nothing is left of the old form.
    pub done: bool,
}

/// Removes the old form of the sets.
pub(super) fn compact(
    job: &mut Job<'_>,
    sets: &[EpochSet],
    export: Option<&Path>,
    done: &mut Compaction,
) -> Result<Option<Stop>, RunError> {
    let mut keeper = export.map(Keeper::open).transpose()?;
    done.export = export.map(Path::to_owned);
    for set in sets {
        let remover = Remover::new(job.session.conn(), set)?;
        let mut left = true;
        for _ in 0..PASSES {
            let before = done.rows_removed;
            if let Some(stop) = remover.pass(job, &mut keeper, done)? {
                return Ok(Some(stop));
            }
            left = done.rows_removed != before;
            if !left {
                break;
            }
        }
        if left {
            return Err(RunError::refused(
                job.id(),
                "others still write the old form",
                "repeat the command once nobody does",
            ));
        }
    }
    done.done = true;
    let id = job.id().to_owned();
    let detail = match &done.export {
        Some(path) => format!("{} rows removed, kept in {}", done.rows_removed, path.display()),
        None => format!("{} rows removed, not kept", done.rows_removed),
    };
    job.session.transact_again(|conn| Ok(state::event(conn, &id, "compacted", &detail)?))?;
    Ok(None)
}

/// The condition that a row of the table of the old form holds something of it; none where every
/// row does.
fn holds_something(old: &OldForm) -> Option<String> {
    match old {
        OldForm::Column { column, .. } => {
            let column = ident(column);
            Some(format!("{column} IS NOT NULL AND {column} COLLATE BINARY IS NOT ''"))
        }
        OldForm::Rows { .. } => None,
    }
}

/// True where something is left of the old form of a set.
///
/// # Errors
/// When it cannot be read.
pub fn is_left(conn: &Connection, set: &EpochSet) -> Result<bool, DbError> {
    let table = match &set.target.old {
        OldForm::Column { .. } => set.target.table.sql(),
        OldForm::Rows { table, .. } => ident(table),
    };
    let condition = holds_something(&set.target.old).unwrap_or_else(|| "1".to_owned());
    conn.prepare(&format!("SELECT 1 FROM {table} WHERE {condition} LIMIT 1"))
        .and_then(|mut s| s.exists([]))
        .doing("look for what is left of the old form")
}

/// Writes what is about to be removed.
struct Keeper {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Keeper {
    fn open(path: &Path) -> Result<Self, PhaseError> {
        let open = || -> std::io::Result<File> {
            let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
            let mut last = [b'\n'];
            if file.metadata()?.len() > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
            }
            if last != [b'\n'] {
                // A crash has torn that line; its row is kept again.
                file.write_all(b"\n")?;
            }
            Ok(file)
        };
        let file = open().map_err(|source| Self::failed(path, source))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    fn failed(path: &Path, source: std::io::Error) -> PhaseError {
        PhaseError::Io {
            path: path.to_owned(),
            doing: "write",
            source,
            remedy:
                "nothing more was removed; make room, or name another file with --export, then \
                     repeat the command"
                    .to_owned(),
        }
    }

    fn keep(&mut self, rows: &[Value]) -> Result<(), PhaseError> {
        let path = self.path.clone();
        let write = |file: &mut BufWriter<File>| -> std::io::Result<()> {
            for row in rows {
                writeln!(file, "{row}")?;
            }
            file.flush()?;
            file.get_ref().sync_data()
        };
        write(&mut self.file).map_err(|source| Self::failed(&path, source))
    }
}

/// Removes the old form of one set.
struct Remover<'s> {
    set: &'s EpochSet,
    /// The table that holds the old form.
    table: Table,
    /// Its columns that are read, by name: those of its key, then what is kept.
    columns: Vec<String>,
    keys: usize,
    replicated: Option<CrTable>,
}

impl<'s> Remover<'s> {
    fn new(conn: &Connection, set: &'s EpochSet) -> Result<Self, DbError> {
        let name = match &set.target.old {
            OldForm::Column { .. } => &set.target.table.name,
            OldForm::Rows { table, .. } => table,
        };
        let mut table = Table::read(conn, name)?;
        table.walk_by_key();
        let keys = table.key.len();
        let is_key = |name: &str| table.key.iter().any(|key| key.name == name);
        let mut columns: Vec<String> = table.key.iter().map(|key| key.name.clone()).collect();
        match &set.target.old {
            OldForm::Column { column, .. } => columns.push(column.clone()),
            OldForm::Rows { .. } => columns.extend(
                table
                    .columns
                    .iter()
                    .filter(|c| !is_key(&c.name) && !c.generated)
                    .map(|c| c.name.clone()),
            ),
        }
        let replicated = CrTable::find(conn, &table)?;
        Ok(Self { set, table, columns, keys, replicated })
    }

    /// What an emptied cell holds.
    fn empty(&self, column: &str) -> &'static str {
        let not_null = self.table.column(column).is_some_and(|c| c.not_null);
        if not_null { "''" } else { "NULL" }
    }

    /// Walks the table once.
    fn pass(
        &self,
        job: &mut Job<'_>,
        keeper: &mut Option<Keeper>,
        done: &mut Compaction,
    ) -> Result<Option<Stop>, RunError> {
        let conn = crate::engine::proof::reader(&job.db)?;
        let mut splitter = Splitter::new(&conn, &self.table, RANGE_ROWS, None);
        while let Some(range) = splitter.next_range()? {
            if let Err(stop) = job.pace.before_batch(&mut job.session)? {
                return Ok(Some(stop));
            }
            let rows = self.rows(&conn, &range)?;
            if rows.is_empty() {
                continue;
            }
            if let Some(keeper) = keeper {
                let kept: Vec<Value> = rows.iter().map(|row| self.shown(row)).collect();
                keeper.keep(&kept)?;
                done.rows_exported += kept.len() as u64;
            }
            let batch = job.session.transact_again(|conn| {
                let mut removed = 0;
                for row in &rows {
                    removed += self.remove(conn, row)?;
                }
                Ok(removed)
            })?;
            done.rows_removed += job.pace.after_batch(batch, rows.len() as u64, 0);
        }
        Ok(None)
    }

    /// The rows of a range that hold something of the old form.
    fn rows(&self, conn: &Connection, range: &Range) -> Result<Vec<Vec<Datum>>, DbError> {
        let sql = RangeSql::new(&self.table.scan);
        let more = match holds_something(&self.set.target.old) {
            Some(condition) => format!(" AND {condition}"),
            None => String::new(),
        };
        let select = format!(
            "SELECT {} FROM {} WHERE {}{more} ORDER BY {}",
            list(self.columns.iter().map(|column| ident(column))),
            self.table.sql(),
            sql.within(range.bounded()),
            sql.order
        );
        conn.prepare_cached(&select)
            .and_then(|mut s| {
                s.query_map(rusqlite::params_from_iter(range.parameters()), |row| {
                    (0..self.columns.len()).map(|i| row.get(i)).collect()
                })?
                .collect()
            })
            .doing("read the old form")
    }

    fn shown(&self, row: &[Datum]) -> Value {
        let cells: Map<String, Value> =
            self.columns.iter().cloned().zip(row.iter().map(to_json)).collect();
        json!({ "migration": self.set.migration, "table": self.table.name, "row": cells })
    }

    /// Removes the old form of one row, where it is still what was kept.
    fn remove(&self, conn: &Connection, row: &[Datum]) -> Result<u64, DbError> {
        let what = "remove the old form";
        let names: Vec<String> = self.columns.iter().map(|column| ident(column)).collect();
        let same: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(i, name)| {
                let operator = if i < self.keys { "=" } else { "COLLATE BINARY IS" };
                format!("{name} {operator} ?{}", i + 1)
            })
            .collect();
        let same = same.join(" AND ");
        let run = |sql: &str, row: &[Datum]| {
            conn.prepare_cached(sql)
                .and_then(|mut s| s.execute(rusqlite::params_from_iter(row)))
                .doing(what)
        };
        let table = self.table.sql();
        let sql = match &self.set.target.old {
            OldForm::Column { column, .. } => {
                format!(
                    "UPDATE {table} SET {} = {} WHERE {same}",
                    ident(column),
                    self.empty(column)
                )
            }
            OldForm::Rows { .. } => format!("DELETE FROM {table} WHERE {same}"),
        };
        let removed = run(&sql, row)? as u64;
        if removed > 0
            && let Some(cr) = &self.replicated
        {
            for sql in self.clock_sql(cr, &names[..self.keys]) {
                run(&sql, &row[..self.keys])?;
            }
        }
        Ok(removed)
    }

    /// The statements that have the clock rows of a row say what was done.
    fn clock_sql(&self, cr: &CrTable, keys: &[String]) -> Vec<String> {
        let CrTable { clock, pks } = cr;
        let pairs: Vec<String> =
            keys.iter().enumerate().map(|(i, key)| format!("{key} = ?{}", i + 1)).collect();
        let key = format!("(SELECT __crsql_key FROM {pks} WHERE {})", pairs.join(" AND "));
        match &self.set.target.old {
            OldForm::Column { column, .. } => vec![format!(
                "UPDATE {clock} SET col_version = col_version + 1 WHERE key = {key} \
                 AND col_name = {}",
                text(column)
            )],
            OldForm::Rows { .. } => vec![
                format!(
                    "INSERT INTO {clock} (key, col_name, col_version, db_version, site_id, seq, ts) \
                     SELECT key, '-1', 2, db_version, site_id, seq, ts FROM {clock} \
                     WHERE key = {key} ORDER BY col_name LIMIT 1 ON CONFLICT (key, col_name) \
                     DO UPDATE SET col_version = col_version + 1"
                ),
                format!("DELETE FROM {clock} WHERE key = {key} AND col_name <> '-1'"),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_torn_spoils_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("old.jsonl");
        let row = serde_json::json!({"id": 1});
        for (before, want) in [
            ("", "{\"id\":1}\n"),
            ("{\"id\":0}\n", "{\"id\":0}\n{\"id\":1}\n"),
            ("{\"id\":0}\n{\"i", "{\"id\":0}\n{\"i\n{\"id\":1}\n"),
        ] {
            std::fs::write(&path, before).expect("written");
            let mut keeper = Keeper::open(&path).expect("open");
            keeper.keep(std::slice::from_ref(&row)).expect("kept");
            assert_eq!(std::fs::read_to_string(&path).expect("read"), want);
        }
    }
}
