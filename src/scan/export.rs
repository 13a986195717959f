//! Reading the cells that are ours, by key, each range in a read snapshot that ends with it. Any
//! number of readers work side by side, each with its own connection. Writes nothing.

mod implied;

use rusqlite::types::ToSql;
use rusqlite::{Connection, Row};

use crate::db::{Datum, DbError, Doing, is_row_error};
use crate::delta::Rows;
use crate::layout::crsqlite::CrTable;
use crate::layout::{ExportSql, Filter, Layout, Target, Verdict, Whose};
use crate::split::{Position, Range, Splitter};

/// Bytes of rows from which on the next row begins another block.
const BLOCK_BYTES: usize = 4 << 20;
/// Bytes of rows from which on [`ExportReader::read_next`] leaves the others for the next call.
const NEXT_BYTES: usize = 8 << 20;

/// How it is told whose a cell is; as [`Whose`], before anybody has looked at the side tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// By the tables of noted and of users' keys; `nulls` where a NULL of ours was derived.
    Marks {
        /// True where a NULL of ours is a value.
        nulls: bool,
    },
    /// By the clock rows of cr-sqlite; `derived` where the expression tells which NULLs were
    /// derived.
    Clock {
        /// True where the expression can be evaluated here.
        derived: bool,
    },
    /// By the value.
    Value,
}

/// What one range holds.
#[derive(Clone, Debug, Default)]
pub struct Exported {
    /// The rows whose cell is ours, in order, in blocks that are not too large.
    pub blocks: Vec<Rows>,
    /// Rows whose cell is a user's, or may be.
    pub user: u64,
    /// Rows that are noted and wait to be derived again.
    pub noted: u64,
    /// Keys that were asked for and name no row.
    pub missing: u64,
}

/// How far a table may be read that is being filled.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// To this position: what comes after it is not filled yet.
    Through(Position),
    /// To its end.
    End,
}

/// The rows that come next, in a table that is being filled.
#[derive(Clone, Debug)]
pub enum Next {
    /// As many as were asked for, or those before the end; fewer where they are large. The position
    /// is that of the last of them.
    Rows(Position, Exported),
    /// There are fewer before the bound.
    TooFew,
    /// There are none before the end.
    Nothing,
    /// The schema has this version now: positions may name other rows than before.
    Renumbered(i64),
}

/// Reads ranges of one target, in the order in which its table is walked.
#[derive(Debug)]
pub struct ExportReader<'a> {
    conn: &'a Connection,
    target: &'a Target,
    sql: ExportSql<'a>,
    ownership: Ownership,
}

impl<'a> ExportReader<'a> {
    /// Reads `target` through `conn`.
    #[must_use]
    pub fn new(conn: &'a Connection, target: &'a Target, ownership: Ownership) -> Self {
        Self { conn, target, sql: ExportSql::new(target), ownership }
    }

    /// Reads one range, in one snapshot.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn read(&self, range: &Range) -> Result<Exported, DbError> {
        self.in_snapshot(|| self.read_in_snapshot(range))
    }

    /// Reads the next `rows` rows after `after`, as far as `bound` says, in one snapshot. Where a
    /// position holds only for one version of the schema (`schema`), no row of another is read.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn read_next(
        &self,
        after: Option<&Position>,
        bound: &Bound,
        rows: u64,
        schema: Option<i64>,
    ) -> Result<Next, DbError> {
        self.in_snapshot(|| {
            if let Some(known) = schema {
                let now: i64 = self
                    .conn
                    .query_row("PRAGMA schema_version", [], |row| row.get(0))
                    .doing("read the version of the schema")?;
                if now != known {
                    return Ok(Next::Renumbered(now));
                }
            }
            match self.read_limited(after, bound, rows) {
                Err(DbError::Sql { source, .. }) if is_row_error(&source) => {}
                other => return other,
            }
            // Some row's expression fails: the range is found first, and read row by row.
            let (after, table) = (after.cloned(), &self.target.table);
            let range = match bound {
                Bound::Through(through) => {
                    let all = Range { after, through: through.clone(), rows };
                    match all.cut(self.conn, table, rows)? {
                        (range, Some(_)) => range,
                        (_, None) => return Ok(Next::TooFew),
                    }
                }
                Bound::End => match Splitter::new(self.conn, table, rows, after).next_range()? {
                    Some(range) => range,
                    None => return Ok(Next::Nothing),
                },
            };
            let found = self.read_in_snapshot(&range)?;
            Ok(Next::Rows(range.through, found))
        })
    }

    /// Reads the next rows in one go: neither counted nor looked for before.
    fn read_limited(
        &self,
        after: Option<&Position>,
        bound: &Bound,
        rows: u64,
    ) -> Result<Next, DbError> {
        let what = "read rows to ship";
        let through = match bound {
            Bound::Through(through) => Some(through),
            Bound::End => None,
        };
        let sql = self.sql.select_next(
            (after.is_some(), through.is_some()),
            rows,
            &self.whose()?,
            self.cr(),
        );
        let parameters = after.into_iter().chain(through).flat_map(|position| &position.0);
        let (keys, terms) = (self.target.table.key.len(), self.sql.range.terms.len());
        let mut found = Exported::default();
        let (mut count, mut last) = (0, None);
        let mut statement = self.conn.prepare_cached(&sql).doing(what)?;
        let mut selected = statement.query(rusqlite::params_from_iter(parameters)).doing(what)?;
        while let Some(row) = selected.next().doing(what)? {
            found.add(row, keys).doing(what)?;
            count += 1;
            if count == rows || found.byte_size() >= NEXT_BYTES {
                let at = (keys + 2..keys + 2 + terms).map(|i| row.get(i));
                last = Some(at.collect::<rusqlite::Result<_>>().map(Position).doing(what)?);
                break;
            }
        }
        if last.is_none() && count > 0 && *bound == Bound::End {
            let table = &self.target.table;
            let rest = Splitter::new(self.conn, table, rows, after.cloned()).next_range()?;
            last = rest.map(|range| range.through);
        }
        Ok(match (last, bound) {
            (Some(through), _) => Next::Rows(through, found),
            (None, Bound::Through(_)) => Next::TooFew,
            (None, Bound::End) => Next::Nothing,
        })
    }

    /// Reads the rows with these keys, in one snapshot.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn read_keys(&self, keys: &[Vec<Datum>]) -> Result<Exported, DbError> {
        self.in_snapshot(|| {
            let sql = self.sql.select_one(&self.whose()?, self.cr());
            let mut found = Exported::default();
            for key in keys {
                let mut key = key.iter().map(|v| v as &dyn ToSql);
                match self.select(&sql, &mut key, &mut found) {
                    Ok(0) => found.missing += 1,
                    Err(DbError::Sql { source, .. }) if is_row_error(&source) => found.user += 1,
                    other => {
                        other?;
                    }
                }
            }
            Ok(found)
        })
    }

    fn in_snapshot<T>(&self, body: impl FnOnce() -> Result<T, DbError>) -> Result<T, DbError> {
        self.conn.execute_batch("BEGIN").doing("begin a snapshot")?;
        let result = body();
        self.conn.execute_batch("COMMIT").doing("end a snapshot")?;
        result
    }

    fn cr(&self) -> Option<&'a CrTable> {
        match &self.target.layout {
            Layout::Plain => None,
            Layout::CrSqlite(cr) => Some(cr),
        }
    }

    fn read_in_snapshot(&self, range: &Range) -> Result<Exported, DbError> {
        let sql = self.sql.select(range.bounded(), &self.whose()?, self.cr());
        let mut found = Exported::default();
        match self.select(&sql, &mut range.parameters(), &mut found) {
            Err(DbError::Sql { source, .. }) if is_row_error(&source) => {}
            other => return other.map(|_| found),
        }
        // Some row's expression fails: whose its cell is cannot be told by the value.
        let mut found = Exported::default();
        let whose = self.whose()?;
        for one in range.one_by_one(self.conn, &self.sql.select_keys(range.bounded()))? {
            let sql = self.sql.select(one.bounded(), &whose, self.cr());
            match self.select(&sql, &mut one.parameters(), &mut found) {
                Err(DbError::Sql { source, .. }) if is_row_error(&source) => found.user += 1,
                other => {
                    other?;
                }
            }
        }
        Ok(found)
    }

    fn whose(&self) -> Result<Whose, DbError> {
        Ok(match self.ownership {
            Ownership::Marks { nulls } => {
                let any = |table: &str| {
                    self.conn
                        .prepare_cached(&format!("SELECT EXISTS (SELECT 1 FROM {table})"))
                        .and_then(|mut s| s.query_row([], |row| row.get(0)))
                        .doing("look for noted keys")
                };
                let filter = Filter {
                    dirty: any(&self.target.dirty_table())?,
                    user: any(&self.target.user_table())?,
                };
                Whose::Marks { filter, nulls }
            }
            Ownership::Clock { derived } => Whose::Clock { derived },
            Ownership::Value => Whose::Value,
        })
    }

    /// Adds the rows of a statement; how many there were.
    fn select(
        &self,
        sql: &str,
        parameters: &mut dyn Iterator<Item = &dyn ToSql>,
        found: &mut Exported,
    ) -> Result<u64, DbError> {
        let keys = self.target.table.key.len();
        self.each(sql, parameters, &mut |row, verdict| {
            found.count(verdict);
            if verdict == Verdict::Ours { found.push(row, keys) } else { Ok(()) }
        })
    }

    /// Calls `take` with each row of a statement, and what is done with it; how many there were.
    fn each(
        &self,
        sql: &str,
        parameters: &mut dyn Iterator<Item = &dyn ToSql>,
        take: &mut dyn FnMut(&Row<'_>, Verdict) -> rusqlite::Result<()>,
    ) -> Result<u64, DbError> {
        let what = "read rows to export";
        let keys = self.target.table.key.len();
        let mut statement = self.conn.prepare_cached(sql).doing(what)?;
        let mut rows = statement.query(rusqlite::params_from_iter(parameters)).doing(what)?;
        let mut count = 0;
        while let Some(row) = rows.next().doing(what)? {
            count += 1;
            let verdict = Verdict::from_code(row.get(keys).doing(what)?);
            take(row, verdict.unwrap_or(Verdict::Nothing)).doing(what)?;
        }
        Ok(count)
    }
}

impl Exported {
    fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::User => self.user += 1,
            Verdict::Noted => self.noted += 1,
            Verdict::Ours | Verdict::Nothing => {}
        }
    }

    /// Bytes that the rows take; only the last block is not full.
    fn byte_size(&self) -> usize {
        let full = self.blocks.len().saturating_sub(1) * BLOCK_BYTES;
        full + self.blocks.last().map_or(0, Rows::byte_size)
    }

    /// Adds or counts a row, whose first columns are its key, then a verdict, then the cell.
    fn add(&mut self, row: &Row<'_>, keys: usize) -> rusqlite::Result<()> {
        match Verdict::from_code(row.get(keys)?) {
            Some(Verdict::Ours) => self.push(row, keys),
            Some(verdict) => {
                self.count(verdict);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Adds a row, whose first columns are its key, then a verdict, then the cell.
    fn push(&mut self, row: &Row<'_>, keys: usize) -> rusqlite::Result<()> {
        if self.blocks.last().is_none_or(|block| block.byte_size() >= BLOCK_BYTES) {
            self.blocks.push(Rows::new(keys));
        }
        if let Some(block) = self.blocks.last_mut() {
            let value = row.get_ref(keys + 1)?;
            let mut failed = None;
            let key = (0..keys).map_while(|i| row.get_ref(i).map_err(|e| failed = Some(e)).ok());
            block.push(key, value);
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }
}
