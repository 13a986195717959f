//! Reading the cells that are ours, by key, each range in a read snapshot that ends with it. Any
//! number of readers work side by side, each with its own connection. Writes nothing.

mod implied;

use rusqlite::types::ToSql;
use rusqlite::{Connection, Row};

use crate::db::{Datum, DbError, Doing, is_row_error};
use crate::delta::Rows;
use crate::layout::crsqlite::CrTable;
use crate::layout::{ExportSql, Filter, Layout, Target, Verdict, Whose};
use crate::split::Range;

/// Bytes of rows from which on the next row begins another block.
const BLOCK_BYTES: usize = 4 << 20;

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

/// Reads ranges of one target, whose table is walked by its key.
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

    /// Reads the rows with these keys, in one snapshot.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn read_keys(&self, keys: &[Vec<Datum>]) -> Result<Exported, DbError> {
        self.in_snapshot(|| {
            let sql = self.sql.select_one(&self.whose()?, self.cr());
            let mut found = Exported::default();
            for key in keys {
                match self.select(&sql, &mut key.iter().map(|v| v as &dyn ToSql), &mut found) {
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
