//! Writing values that another replica has derived: each row by its key, each batch with the
//! position in the chain that it reaches, in one transaction. Derives nothing.
//!
//! # Invariants
//! A cell is written only where it is ours, as `drain` decides it: what others have noted is
//! settled in the transaction that writes, or left to the drain where the replica derives; there a
//! cell that holds another value is noted, and never overwritten. A value whose row is not here is
//! remembered in that transaction too, unless cr-sqlite knows that the row was deleted.

use std::ops::Range;
use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Statement};

use super::drain::{Drained, Drainer, Then};
use super::fill::filter;
use super::{Committed, Session, WriteError};
use crate::db::{Datum, DbError, Doing, expr, is_row_error};
use crate::delta::{Keys, Rows};
use crate::layout::crsqlite::ClockSql;
use crate::layout::{ApplySql, Layout, Overwrite, Target};
use crate::split::Position;
use crate::state::{AppliedRow, ChangeRow};

/// Notes that the transaction of a batch settles at most; where there are more, it writes nothing
/// else.
const NOTES: u64 = 500;

/// Rows of a decoded block, or a part of them.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The block.
    pub rows: Arc<Rows>,
    /// The rows of it that are meant.
    pub range: Range<usize>,
    /// Where the block stands in its chain.
    pub place: Place,
}

/// Where rows stand in a chain: later ones have larger numbers.
#[derive(Clone, Debug)]
pub enum Place {
    /// One after the other from this number on.
    From(i64),
    /// Each by itself.
    Each(Arc<Vec<i64>>),
}

impl Place {
    /// Of rows of the file with that ordinal, after the first `rows`.
    #[must_use]
    pub fn new(ordinal: u32, rows: u64) -> Self {
        const ROWS: u64 = u32::MAX as u64 >> 1;
        Self::From(i64::from(ordinal) << 31 | rows.min(ROWS).cast_signed())
    }

    /// The number of row `i`.
    #[must_use]
    pub fn of(&self, i: usize) -> i64 {
        match self {
            Self::From(first) => first.saturating_add_unsigned(i as u64),
            Self::Each(all) => all.get(i).copied().unwrap_or(i64::MAX),
        }
    }

    /// The place of what follows these `rows` rows.
    #[must_use]
    pub fn after(&self, rows: usize) -> Self {
        Self::From(self.of(rows))
    }
}

impl Slice {
    /// These rows of the block alone.
    #[must_use]
    pub fn pick(&self, numbers: &[usize]) -> Self {
        let mut rows = Rows::new(self.rows.key_columns().len());
        for i in numbers {
            rows.push(self.rows.key(*i), self.rows.value(*i));
        }
        let place = Place::Each(Arc::new(numbers.iter().map(|i| self.place.of(*i)).collect()));
        Self { range: 0..rows.len(), rows: Arc::new(rows), place }
    }
}

/// What one batch did with its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppliedCount {
    /// Cells written.
    pub written: u64,
    /// Of these, cells whose value was remembered.
    pub arrived: u64,
    /// Values remembered, because their row is not here.
    pub pending: u64,
    /// Rows that are not here because they were deleted.
    pub deleted: u64,
    /// Cells of ours that hold another value where the replica derives: noted, to be derived again.
    pub noted: u64,
    /// True where nothing but notes was dealt with: the batch is to be written again.
    pub again: bool,
}

/// Writes shipped rows of one target.
#[derive(Debug)]
pub struct Applier<'a> {
    target: &'a Target,
    sql: ApplySql<'a>,
    /// Settles what others have noted; `None` where the replica derives, and drains by itself.
    drainer: Option<Drainer<'a>>,
    /// Notes cells that hold another value; `None` where they are written.
    note_differing: Option<String>,
    clock: Option<ClockSql>,
    causal_length: Option<String>,
}

impl<'a> Applier<'a> {
    /// Writes cells of `target` that are ours, as far as `overwrite` says.
    #[must_use]
    pub fn new(target: &'a Target, migration: &str, overwrite: Overwrite) -> Self {
        let sql = ApplySql::new(target, overwrite);
        let (clock, causal_length) = match &target.layout {
            Layout::Plain => (None, None),
            Layout::CrSqlite(cr) => (Some(ClockSql::new(cr, target)), Some(sql.causal_length(cr))),
        };
        let (drainer, note_differing) = match overwrite {
            Overwrite::Differing => (Some(Drainer::new(target, migration, Then::Leave)), None),
            Overwrite::Missing => (None, Some(sql.note_differing())),
        };
        Self { target, sql, drainer, note_differing, clock, causal_length }
    }

    /// Writes one batch, the counters of `change`, and the position in the chain that it reaches,
    /// `passed` rows further.
    ///
    /// # Errors
    /// As [`Session::transact`]; [`WriteError::Value`] where the database refuses a value.
    pub fn write(
        &self,
        session: &mut Session<'_>,
        batch: &[Slice],
        change: &mut ChangeRow,
        reached: Option<&AppliedRow>,
        passed: u64,
    ) -> Result<Committed<AppliedCount>, WriteError> {
        let before = &*change;
        let done = session.transact(|conn| {
            let mut after = before.clone();
            let drained = match &self.drainer {
                Some(drainer) => drainer.drain_in(conn, NOTES)?,
                None => Drained::default(),
            };
            after.null_clocks |= drained.null_clocks;
            let mut count = AppliedCount { again: drained.notes == NOTES, ..Default::default() };
            if !count.again {
                let mut rows = Writer::new(self, conn, after.null_clocks)?;
                for slice in batch {
                    rows.write(slice)?;
                }
                count = rows.count;
                if let Some(reached) = reached {
                    reached.save(conn)?;
                }
                after.counters.rows_passed += passed;
            }
            after.counters.rows_written += count.written;
            after.save(conn)?;
            Ok((count, after))
        })?;
        let Committed { value: (count, after), hold, was_busy, foreign, stop } = done;
        *change = after;
        Ok(Committed { value: count, hold, was_busy, foreign, stop })
    }

    /// At most `limit` remembered rows after the key `after`, in order.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn pending(
        &self,
        conn: &Connection,
        after: Option<&[Datum]>,
        limit: u64,
    ) -> Result<Rows, DbError> {
        let what = "read the values whose rows had not arrived";
        let keys = self.target.table.key.len();
        let mut statement =
            conn.prepare_cached(&self.sql.select_pending(after.is_some())).doing(what)?;
        let limit = Datum::Integer(limit.cast_signed());
        let parameters = after.unwrap_or_default().iter().chain(std::iter::once(&limit));
        let mut found = statement.query(rusqlite::params_from_iter(parameters)).doing(what)?;
        let mut rows = Rows::new(keys);
        while let Some(row) = found.next().doing(what)? {
            let key: Vec<ValueRef<'_>> =
                (0..keys).map(|i| row.get_ref(i)).collect::<Result<_, _>>().doing(what)?;
            rows.push(key, row.get_ref(keys).doing(what)?);
        }
        Ok(rows)
    }
}

/// How many values wait for their row; none where the table of them is absent.
///
/// # Errors
/// When they cannot be counted.
pub fn pending_rows(conn: &Connection, n: i64) -> Result<u64, DbError> {
    let what = "count the values whose rows have not arrived";
    let name = format!("_dotfill_pending_{n}");
    let exists = conn
        .prepare_cached("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")
        .and_then(|mut s| s.exists([&name]))
        .doing(what)?;
    if !exists {
        return Ok(0);
    }
    conn.query_row(&format!("SELECT count(*) FROM {name}"), [], |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)
        .doing(what)
}

/// Writes rows inside one transaction.
struct Writer<'w, 'a> {
    applier: &'w Applier<'a>,
    conn: &'w Connection,
    update: rusqlite::CachedStatement<'w>,
    look: rusqlite::CachedStatement<'w>,
    remove_pending: Option<rusqlite::CachedStatement<'w>>,
    null_clocks: bool,
    count: AppliedCount,
}

impl<'w, 'a> Writer<'w, 'a> {
    fn new(
        applier: &'w Applier<'a>,
        conn: &'w Connection,
        null_clocks: bool,
    ) -> Result<Self, WriteError> {
        let what = "prepare a batch";
        let sql = &applier.sql;
        let filter = filter(conn, applier.target)?;
        let any = format!("SELECT EXISTS (SELECT 1 FROM {})", applier.target.pending_table());
        let pending: bool = conn
            .prepare_cached(&any)
            .and_then(|mut s| s.query_row([], |row| row.get(0)))
            .doing("look for values whose rows had not arrived")?;
        Ok(Self {
            applier,
            conn,
            update: conn.prepare_cached(&sql.update(filter)).doing(what)?,
            look: conn.prepare_cached(&sql.look(filter)).doing(what)?,
            remove_pending: pending
                .then(|| conn.prepare_cached(&sql.remove_pending()).doing(what))
                .transpose()?,
            null_clocks,
            count: AppliedCount::default(),
        })
    }

    fn write(&mut self, slice: &Slice) -> Result<(), WriteError> {
        let Keys::Shipped(keys) = &slice.rows.keys else { return Ok(()) };
        for i in slice.range.clone() {
            for (k, column) in keys.iter().enumerate() {
                bind(&mut self.update, k + 1, column.get(i))?;
            }
            bind(&mut self.update, keys.len() + 1, slice.rows.value(i))?;
            match self.update.raw_execute() {
                Ok(0) => self.not_written(&slice.rows, i)?,
                Ok(_) => {
                    self.count.written += 1;
                    self.settled(&slice.rows, i, true)?;
                }
                Err(error) => return Err(self.refused(&slice.rows, i, error)),
            }
        }
        Ok(())
    }

    /// A row is done: its clock row at a NULL of ours goes, and what was remembered for it.
    fn settled(&mut self, rows: &Rows, i: usize, written: bool) -> Result<(), DbError> {
        if let Some(clock) = self.applier.clock.as_ref().filter(|_| written && self.null_clocks) {
            clock.remove(self.conn, &owned(rows, i))?;
        }
        if let Some(remove) = &mut self.remove_pending {
            let what = "forget a value whose row has arrived";
            let known = remove.execute(rusqlite::params_from_iter(owned(rows, i))).doing(what)?;
            self.count.arrived += u64::from(written && known > 0);
        }
        Ok(())
    }

    /// No cell was written: there is no such row, or its cell is right already, or a user's.
    fn not_written(&mut self, rows: &Rows, i: usize) -> Result<(), WriteError> {
        let mut all = owned(rows, i);
        all.push(rows.value(i).into());
        let found = self
            .look
            .query_row(rusqlite::params_from_iter(&all), |_| Ok(()))
            .optional()
            .doing("look for a row")?;
        if found.is_some() {
            if let Some(note) = &self.applier.note_differing {
                self.count.noted += self
                    .conn
                    .prepare_cached(note)
                    .and_then(|mut s| s.execute(rusqlite::params_from_iter(&all)))
                    .doing("note a row that is to be derived again")?
                    as u64;
            }
            return Ok(self.settled(rows, i, false)?);
        }
        if self.is_deleted(&all[..all.len() - 1])? {
            self.count.deleted += 1;
            return Ok(self.settled(rows, i, false)?);
        }
        self.conn
            .prepare_cached(&self.applier.sql.add_pending())
            .and_then(|mut s| s.execute(rusqlite::params_from_iter(&all)))
            .doing("remember a value whose row has not arrived")?;
        self.count.pending += 1;
        Ok(())
    }

    /// True where cr-sqlite knows the row, and that it was deleted: an even causal length.
    fn is_deleted(&self, key: &[Datum]) -> Result<bool, DbError> {
        let Some(sql) = &self.applier.causal_length else { return Ok(false) };
        let length: Option<i64> = self
            .conn
            .prepare_cached(sql)
            .and_then(|mut s| {
                s.query_row(rusqlite::params_from_iter(key), |row| row.get(0)).optional()
            })
            .doing("look for a deleted row")?;
        Ok(length.is_some_and(|length| length % 2 == 0))
    }

    fn refused(&self, rows: &Rows, i: usize, source: rusqlite::Error) -> WriteError {
        if is_row_error(&source) {
            return WriteError::Value {
                table: self.applier.target.table.name.clone(),
                key: Position(owned(rows, i)).to_string(),
                message: expr::plain(&source),
            };
        }
        DbError::Sql { doing: "write a shipped value".to_owned(), source }.into()
    }
}

fn bind(statement: &mut Statement<'_>, at: usize, value: ValueRef<'_>) -> Result<(), DbError> {
    statement.raw_bind_parameter(at, ToSqlOutput::Borrowed(value)).doing("write a shipped value")
}

/// The key of a row.
fn owned(rows: &Rows, i: usize) -> Vec<Datum> {
    rows.key(i).map(Datum::from).collect()
}
