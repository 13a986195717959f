//! Filling one range: by the writer's own UPDATE, or from values that readers have derived.

use std::collections::HashMap;

use rusqlite::Connection;
use rusqlite::types::ToSql;

use super::{Committed, Session, WriteError};
use crate::db::{Datum, DbError, Doing, expr, is_row_error};
use crate::layout::crsqlite::Publisher;
use crate::layout::{Delivery, FillSql, Filter, Target};
use crate::scan::ChangeBatch;
use crate::split::{Position, Range};
use crate::state::ChangeRow;

/// What one batch did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchCount {
    /// Cells written.
    pub written: u64,
    /// Rows whose expression failed and that were left alone.
    pub skipped: u64,
    /// Change records published.
    pub records: u64,
}

/// Fills ranges of one target, in order, and keeps its row of `_dotfill_changes`.
pub struct Filler<'a> {
    target: &'a Target,
    sql: FillSql<'a>,
    /// The change as it was last committed.
    pub change: ChangeRow,
    /// Keys that the drain has written, by the epoch in which it did: values derived by readers
    /// from an older snapshot must not overwrite them.
    drained: HashMap<Vec<u8>, u64>,
}

impl<'a> Filler<'a> {
    /// Fills `target`, whose state is `change`.
    #[must_use]
    pub fn new(target: &'a Target, change: ChangeRow) -> Self {
        Self { target, sql: FillSql::new(target), change, drained: HashMap::new() }
    }

    /// Remembers that the drain of `epoch` has decided these keys.
    pub fn note_drained(&mut self, keys: impl IntoIterator<Item = Vec<u8>>, epoch: u64) {
        self.drained.extend(keys.into_iter().map(|key| (key, epoch)));
    }

    /// Forgets keys drained in `epoch` and before: no batch of an older snapshot is on its way.
    pub fn forget_drained(&mut self, epoch: u64) {
        self.drained.retain(|_, at| *at > epoch);
    }

    /// Fills `range` by the writer's own statements.
    ///
    /// # Errors
    /// As [`Session::transact`]; [`WriteError::Row`] where a row's expression fails and the file
    /// does not say to skip it.
    pub fn fill(
        &mut self,
        session: &mut Session<'_>,
        range: &Range,
    ) -> Result<Committed<BatchCount>, WriteError> {
        let (target, sql, before) = (self.target, &self.sql, &self.change);
        let schema = session.schema_version();
        let done = session.transact(|conn| {
            let count = Batch { conn, target, sql, migration: &before.migration }
                .update(range, before.null_clocks)?;
            let change = advanced(before, range, count, schema);
            change.save(conn)?;
            Ok((count, change))
        })?;
        Ok(self.keep(done))
    }

    /// Writes what readers derived for one range.
    ///
    /// # Errors
    /// As [`Self::fill`].
    pub fn apply(
        &mut self,
        session: &mut Session<'_>,
        batch: &ChangeBatch,
    ) -> Result<Committed<BatchCount>, WriteError> {
        let (target, sql, before, drained) = (self.target, &self.sql, &self.change, &self.drained);
        let schema = session.schema_version();
        let done = session.transact(|conn| {
            let mut count = Batch { conn, target, sql, migration: &before.migration }.apply(
                batch,
                drained,
                before.null_clocks,
            )?;
            count.skipped += batch.skipped;
            let change = advanced(before, &batch.range, count, schema);
            change.save(conn)?;
            Ok((count, change))
        })?;
        Ok(self.keep(done))
    }

    fn keep(&mut self, done: Committed<(BatchCount, ChangeRow)>) -> Committed<BatchCount> {
        let Committed { value: (count, change), hold, was_busy, foreign, stop } = done;
        self.change = change;
        Committed { value: count, hold, was_busy, foreign, stop }
    }
}

fn advanced(before: &ChangeRow, range: &Range, count: BatchCount, schema: i64) -> ChangeRow {
    let mut change = before.clone();
    change.checkpoint = Some(range.through.to_text());
    change.checkpoint_schema = Some(schema);
    change.counters.rows_passed += range.rows;
    change.counters.rows_written += count.written;
    change.counters.rows_skipped += count.skipped;
    change.counters.change_records_written += count.records;
    change
}

/// One batch inside its transaction.
struct Batch<'a> {
    conn: &'a Connection,
    target: &'a Target,
    sql: &'a FillSql<'a>,
    migration: &'a str,
}

impl Batch<'_> {
    fn update(&self, range: &Range, null_clocks: bool) -> Result<BatchCount, WriteError> {
        let filter = filter(self.conn, self.target)?;
        let attempt = self.statements(range, filter, null_clocks);
        match attempt {
            Err(error) if error.is_row_error() => self.row_by_row(range, filter, null_clocks),
            other => Ok(other?),
        }
    }

    /// The statements of a batch. One that fails has changed nothing; those before it are undone
    /// by the savepoint.
    fn statements(
        &self,
        range: &Range,
        filter: Filter,
        null_clocks: bool,
    ) -> Result<BatchCount, DbError> {
        let bounded = range.bounded();
        let update = self.sql.update(bounded, filter);
        let run = |sql: &str, extra: &[&dyn ToSql]| {
            self.conn
                .prepare_cached(sql)
                .and_then(|mut s| {
                    let extra = extra.iter().copied();
                    s.execute(rusqlite::params_from_iter(range.parameters().chain(extra)))
                })
                .map(|n| n as u64)
                .doing(format!("fill rows up to {}", range.through))
        };
        let Some(cr) = self.sql.crsqlite() else {
            return Ok(BatchCount { written: run(&update, &[])?, ..BatchCount::default() });
        };
        if self.target.delivery != Delivery::Native && !null_clocks {
            return Ok(BatchCount { written: run(&update, &[])?, ..BatchCount::default() });
        }
        self.conn.execute_batch("SAVEPOINT batch").doing("begin a batch")?;
        let all = || {
            let mut count = BatchCount::default();
            if self.target.delivery == Delivery::Native {
                let publisher = Publisher::advance(self.conn, self.migration)?;
                let sql = self.sql.publish(cr, bounded, filter);
                self.start_seq()?;
                let version: [&dyn ToSql; 2] = [&publisher.db_version, &publisher.ordinal];
                count.records = match run(&sql, &version) {
                    // A row that cr-sqlite has never seen has no key number yet.
                    Err(error) if error.is_row_error() => {
                        run(&cr.create_keys(self.target, &self.sql.range.within(bounded)), &[])?;
                        self.start_seq()?;
                        run(&sql, &version)?
                    }
                    other => other?,
                };
                if count.records == 0 {
                    self.conn
                        .execute_batch("ROLLBACK TO batch")
                        .doing("take an unused version back")?;
                }
            } else {
                run(&self.sql.forget_null_clocks(cr, bounded, filter), &[])?;
            }
            count.written = run(&update, &[])?;
            Ok(count)
        };
        let result = all();
        let end = if result.is_ok() { "RELEASE batch" } else { "ROLLBACK TO batch; RELEASE batch" };
        self.conn.execute_batch(end).doing("end a batch")?;
        result
    }

    /// Has the records of this statement counted from 0.
    fn start_seq(&self) -> Result<(), DbError> {
        self.conn
            .prepare_cached("SELECT dotfill_seq(-1)")
            .and_then(|mut s| s.query_row([], |_| Ok(())))
            .doing("count change records")
    }

    /// Finds the rows whose expression fails: each row of the range is a range of its own.
    fn row_by_row(
        &self,
        range: &Range,
        filter: Filter,
        null_clocks: bool,
    ) -> Result<BatchCount, WriteError> {
        let mut total = BatchCount::default();
        for one in range.one_by_one(self.conn, &self.sql.select_keys(range.bounded()))? {
            match self.statements(&one, filter, null_clocks) {
                Ok(count) => {
                    total.written += count.written;
                    total.records += count.records;
                }
                Err(error) if error.is_row_error() && self.target.skip_errors => total.skipped += 1,
                Err(error) => return Err(row_failed(self.conn, self.target, &one.through, error)),
            }
        }
        Ok(total)
    }

    fn apply(
        &self,
        batch: &ChangeBatch,
        drained: &HashMap<Vec<u8>, u64>,
        null_clocks: bool,
    ) -> Result<BatchCount, WriteError> {
        if null_clocks || self.target.delivery == Delivery::Native {
            // Clock rows are written by range: the values are derived again where they matter.
            return self.update(&batch.range, null_clocks);
        }
        let filter = filter(self.conn, self.target)?;
        let sql = self.sql.update_one(filter);
        let mut statement = self.conn.prepare_cached(&sql).doing("prepare a batch")?;
        let mut count = BatchCount::default();
        for row in &batch.rows {
            if !drained.is_empty() && is_drained(drained, &row.key, batch.epoch) {
                continue;
            }
            let parameters = row.key.0.iter().chain(std::iter::once(&row.value));
            match statement.execute(rusqlite::params_from_iter(parameters)) {
                Ok(n) => count.written += n as u64,
                Err(error) if is_row_error(&error) && self.target.skip_errors => count.skipped += 1,
                Err(error) => {
                    let error =
                        DbError::Sql { doing: "write a derived value".to_owned(), source: error };
                    return Err(row_failed(self.conn, self.target, &row.key, error));
                }
            }
        }
        Ok(count)
    }
}

fn is_drained(drained: &HashMap<Vec<u8>, u64>, key: &Position, epoch: u64) -> bool {
    drained.get(&encoded(&key.0)).is_some_and(|at| *at > epoch)
}

/// A key as bytes that are equal exactly when the stored values are.
pub(super) fn encoded(key: &[Datum]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32);
    for value in key {
        crate::db::encode(value.as_ref(), &mut bytes);
    }
    bytes
}

/// The failure of one row, where it is one; any other failure as it is.
pub(super) fn row_failed(
    conn: &Connection,
    target: &Target,
    at: &Position,
    error: DbError,
) -> WriteError {
    match error {
        DbError::Sql { source, .. } if is_row_error(&source) => match at.key(conn, &target.table) {
            Ok(key) => WriteError::Row {
                table: target.table.name.clone(),
                key: key.to_string(),
                message: expr::plain(&source),
            },
            Err(error) => error.into(),
        },
        other => other.into(),
    }
}

/// Which side tables hold anything right now.
pub(super) fn filter(conn: &Connection, target: &Target) -> Result<Filter, DbError> {
    let any = |table: &str| {
        conn.prepare_cached(&format!("SELECT EXISTS (SELECT 1 FROM {table})"))
            .and_then(|mut s| s.query_row([], |row| row.get(0)))
            .doing("look for noted keys")
    };
    Ok(Filter { dirty: any(&target.dirty_table())?, user: any(&target.user_table())? })
}
