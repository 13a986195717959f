//! Reading the cells that are ours, by key, each range in a read snapshot that ends with it. Any
//! number of readers work side by side, each with its own connection. Writes nothing.

mod exported;
mod implied;
mod proven;

pub use exported::{Exported, TooLarge};
pub(crate) use proven::ProvenColumns;
pub use proven::ProvenRows;

use rusqlite::types::ToSql;
use rusqlite::{Connection, Row};

use crate::db::{Datum, DbError, Doing, is_row_error};
use crate::layout::crsqlite::CrTable;
use crate::layout::{ExportSql, Filter, Layout, Target, Verdict, Whose};
use crate::split::{Position, Range, Splitter};

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

    /// Reads a range as far as it fits into one block, in one snapshot. The second range is the rest,
    /// where there may be one. Where it is cut depends on its rows alone.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn read(&self, range: &Range) -> Result<(Exported, Option<Range>), DbError> {
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
            let (found, rest) = self.read_in_snapshot(&range)?;
            let through = rest.and_then(|rest| rest.after).unwrap_or(range.through);
            Ok(Next::Rows(through, found))
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
        let keys = self.target.table.key.len();
        let mut found = Exported::default();
        let mut last = None;
        let mut statement = self.conn.prepare_cached(&sql).doing(what)?;
        let mut selected = statement.query(rusqlite::params_from_iter(parameters)).doing(what)?;
        while let Some(row) = selected.next().doing(what)? {
            let verdict = Verdict::from_code(row.get(keys).doing(what)?);
            found.add(row, keys, verdict.unwrap_or(Verdict::Nothing)).doing(what)?;
            if found.passed == rows || found.is_full() {
                last = Some(self.position(row).doing(what)?);
                break;
            }
        }
        if last.is_none() && found.passed > 0 && *bound == Bound::End {
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

    /// Reads the rows with the first of these keys, as many as fit into one block, in one snapshot:
    /// [`Exported::passed`] of them.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn read_keys(&self, keys: &[Vec<Datum>]) -> Result<Exported, DbError> {
        self.in_snapshot(|| {
            let sql = self.sql.select_one(&self.whose()?, self.cr());
            let mut found = Exported::default();
            for key in keys {
                let before = found.passed;
                let mut key = key.iter().map(|v| v as &dyn ToSql);
                match self.select(&sql, &mut key, &mut found) {
                    Err(DbError::Sql { source, .. }) if is_row_error(&source) => found.user += 1,
                    other => {
                        other?;
                        found.missing += u64::from(found.passed == before);
                    }
                }
                found.passed = before + 1;
                if found.is_full() {
                    break;
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

    fn read_in_snapshot(&self, range: &Range) -> Result<(Exported, Option<Range>), DbError> {
        let sql = self.sql.select(range.bounded(), &self.whose()?, self.cr());
        let mut found = Exported::default();
        match self.select(&sql, &mut range.parameters(), &mut found) {
            Err(DbError::Sql { source, .. }) if is_row_error(&source) => {}
            other => return Ok((found, rest(range, other?))),
        }
        // Some row's expression fails: whose its cell is cannot be told by the value.
        let mut found = Exported::default();
        let whose = self.whose()?;
        for one in range.one_by_one(self.conn, &self.sql.select_keys(range.bounded()))? {
            let sql = self.sql.select(one.bounded(), &whose, self.cr());
            match self.select(&sql, &mut one.parameters(), &mut found) {
                Err(DbError::Sql { source, .. }) if is_row_error(&source) => {
                    found.user += 1;
                    found.passed += 1;
                }
                other => {
                    other?;
                }
            }
            if found.is_full() {
                return Ok((found, rest(range, Some(one.through))));
            }
        }
        Ok((found, None))
    }

    fn whose(&self) -> Result<Whose, DbError> {
        Ok(match self.ownership {
            Ownership::Marks { nulls } => {
                Whose::Marks { filter: filter_of(self.conn, self.target)?, nulls }
            }
            Ownership::Clock { derived } => Whose::Clock { derived },
            Ownership::Value => Whose::Value,
        })
    }

    /// Adds the rows of a statement, until there are enough: the position at which that was.
    fn select(
        &self,
        sql: &str,
        parameters: &mut dyn Iterator<Item = &dyn ToSql>,
        found: &mut Exported,
    ) -> Result<Option<Position>, DbError> {
        let keys = self.target.table.key.len();
        self.each(sql, parameters, &mut |row, verdict| {
            found.add(row, keys, verdict)?;
            Ok(found.is_full())
        })
    }

    /// Calls `take` with each row of a statement, and what is done with it, until it has enough: the
    /// position at which that was. A statement for one row has no position.
    fn each(
        &self,
        sql: &str,
        parameters: &mut dyn Iterator<Item = &dyn ToSql>,
        take: &mut dyn FnMut(&Row<'_>, Verdict) -> rusqlite::Result<bool>,
    ) -> Result<Option<Position>, DbError> {
        let what = "read rows to export";
        let keys = self.target.table.key.len();
        let mut statement = self.conn.prepare_cached(sql).doing(what)?;
        let mut rows = statement.query(rusqlite::params_from_iter(parameters)).doing(what)?;
        while let Some(row) = rows.next().doing(what)? {
            let verdict = Verdict::from_code(row.get(keys).doing(what)?);
            if take(row, verdict.unwrap_or(Verdict::Nothing)).doing(what)? {
                return self.position(row).map(Some).doing(what);
            }
        }
        Ok(None)
    }

    fn position(&self, row: &Row<'_>) -> rusqlite::Result<Position> {
        let at = self.sql.position_at();
        (at..at + self.sql.range.terms.len())
            .map(|i| row.get(i))
            .collect::<Result<_, _>>()
            .map(Position)
    }
}

/// Which of the tables of noted and of users' keys hold anything.
fn filter_of(conn: &Connection, target: &Target) -> Result<Filter, DbError> {
    let any = |table: &str| {
        conn.prepare_cached(&format!("SELECT EXISTS (SELECT 1 FROM {table})"))
            .and_then(|mut s| s.query_row([], |row| row.get(0)))
            .doing("look for noted keys")
    };
    Ok(Filter { dirty: any(&target.dirty_table())?, user: any(&target.user_table())? })
}

/// What of a range comes after the position at which it was left.
fn rest(range: &Range, left_at: Option<Position>) -> Option<Range> {
    let after = left_at.filter(|at| *at != range.through)?;
    Some(Range { after: Some(after), through: range.through.clone(), rows: 0 })
}
