//! Writing adds: appending what readers derived, and reconciling single objects whose old form or
//! existence changed. Every method is one transaction, or a part of the caller's.

use std::collections::HashSet;

use rusqlite::Connection;

use super::fill::encoded;
use super::{Committed, Session, WriteError};
use crate::db::{Datum, DbError, Doing};
use crate::layout::or_set::{SetSql, SetTarget};
use crate::scan::or_set::{Bounds, SetBatch, adds_of, is_closed, malformed, one_object};
use crate::split::Range;
use crate::state::ChangeRow;
use crate::transform::dot::{Dot, DotDeriver};

/// What a transaction did to the adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetCount {
    /// Adds written.
    pub written: u64,
    /// Adds of ours deleted again.
    pub removed: u64,
    /// Flawed elements left out.
    pub skipped: u64,
    /// Notes taken.
    pub notes: u64,
}

/// Writes the adds of one target.
#[derive(Debug)]
pub struct SetWriter<'t> {
    target: &'t SetTarget,
    /// Its statements.
    pub sql: SetSql,
}

impl<'t> SetWriter<'t> {
    /// Writes the adds of `target`.
    #[must_use]
    pub fn new(target: &'t SetTarget) -> Self {
        Self { target, sql: SetSql::new(target) }
    }

    /// Appends what was derived for a range of objects, with the checkpoint. What is there already
    /// stays; a change of the old form since then is noted, and reconciled later.
    ///
    /// # Errors
    /// As [`Session::transact`].
    pub fn append(
        &self,
        session: &mut Session<'_>,
        change: &mut ChangeRow,
        batch: &SetBatch,
    ) -> Result<Committed<SetCount>, WriteError> {
        let schema = session.schema_version();
        let before: &ChangeRow = change;
        let done = session.transact(|conn| {
            let count = self.insert_all(conn, batch)?;
            let mut after = before.clone();
            after.checkpoint = Some(batch.range.through.to_text());
            after.checkpoint_schema = Some(schema);
            after.counters.rows_passed += batch.range.rows;
            after.counters.rows_written += count.written;
            after.counters.rows_skipped += count.skipped;
            execute(conn, &self.sql.set_frontier, &batch.range.through.0)?;
            after.save(conn)?;
            Ok((count, after))
        })?;
        let Committed { value: (count, after), hold, was_busy, foreign, stop } = done;
        *change = after;
        Ok(Committed { value: count, hold, was_busy, foreign, stop })
    }

    fn insert_all(&self, conn: &Connection, batch: &SetBatch) -> Result<SetCount, WriteError> {
        let what = "append adds";
        let mut insert = conn.prepare_cached(self.insert_sql(conn)?).doing(what)?;
        let mut count = SetCount { skipped: batch.skipped, ..SetCount::default() };
        for object in &batch.objects {
            let keys = object.key.len();
            for (i, value) in object.key.iter().enumerate() {
                insert.raw_bind_parameter(i + 1, value).doing(what)?;
            }
            for (element, dot) in &object.adds {
                insert.raw_bind_parameter(keys + 1, element).doing(what)?;
                insert.raw_bind_parameter(keys + 2, &dot.0[..]).doing(what)?;
                count.written += insert.raw_execute().doing(what)? as u64;
            }
        }
        Ok(count)
    }

    /// The statement that inserts an add: clock rows are looked at only where there are any.
    fn insert_sql(&self, conn: &Connection) -> Result<&str, DbError> {
        let Some(any_key) = &self.sql.any_key else { return Ok(&self.sql.insert) };
        let any = conn.prepare_cached(any_key).and_then(|mut s| s.exists([]));
        let any = any.doing("look for what users have added")?;
        Ok(if any { &self.sql.insert_unless_clocked } else { &self.sql.insert })
    }

    /// Reconciles at most `limit` noted objects, in one transaction.
    ///
    /// # Errors
    /// As [`Session::transact`]; [`WriteError::Set`] where an element may not be skipped.
    pub fn drain(
        &self,
        session: &mut Session<'_>,
        change: &mut ChangeRow,
        limit: u64,
    ) -> Result<Committed<SetCount>, WriteError> {
        let before: &ChangeRow = change;
        let done = session.transact(|conn| {
            let count = self.drain_in(conn, limit)?;
            let mut after = before.clone();
            after.counters.rows_written += count.written;
            after.save(conn)?;
            Ok((count, after))
        })?;
        let Committed { value: (count, after), hold, was_busy, foreign, stop } = done;
        *change = after;
        Ok(Committed { value: count, hold, was_busy, foreign, stop })
    }

    /// As [`Self::drain`], inside the caller's transaction.
    ///
    /// # Errors
    /// As [`Self::drain`].
    pub fn drain_in(&self, conn: &Connection, limit: u64) -> Result<SetCount, WriteError> {
        let (last, keys) = self.take(conn, limit)?;
        let mut count = SetCount::default();
        let mut dots = self.target.dots.clone();
        let mut seen = HashSet::new();
        for key in &keys {
            count.notes += 1;
            let known = !seen.insert(encoded(key)) || key.contains(&Datum::Null);
            if !known && !is_closed(conn, self.target, &self.sql, key)? {
                self.reconcile(conn, key, &mut dots, &mut count)?;
            }
        }
        execute(conn, &self.sql.forget, &[Datum::Integer(last)])?;
        Ok(count)
    }

    fn take(&self, conn: &Connection, limit: u64) -> Result<(i64, Vec<Vec<Datum>>), DbError> {
        let what = "read the noted keys";
        let mut statement = conn.prepare_cached(&self.sql.take).doing(what)?;
        let mut rows = statement.query([limit.cast_signed()]).doing(what)?;
        let (mut last, mut keys) = (0, Vec::new());
        while let Some(row) = rows.next().doing(what)? {
            last = row.get(0).doing(what)?;
            let key = (1..=self.sql.keys()).map(|i| row.get(i)).collect::<Result<_, _>>();
            keys.push(key.doing(what)?);
        }
        Ok((last, keys))
    }

    /// Makes the clockless migrated adds of one object those of its old form.
    fn reconcile(
        &self,
        conn: &Connection,
        key: &[Datum],
        dots: &mut DotDeriver,
        count: &mut SetCount,
    ) -> Result<(), WriteError> {
        let want = one_object(conn, self.target, &self.sql, key, |elements| {
            count.skipped += elements.flaws.len() as u64;
            match elements.flaws.first() {
                Some(flaw) if !self.target.skip_malformed => {
                    Err(malformed(self.target, key, *flaw))
                }
                _ => Ok(adds_of(dots, key, elements)),
            }
        })?;
        let mut want = want.unwrap_or_default();
        dots.object(key.iter().map(Datum::as_ref));
        for (element, dot) in self.adds_of(conn, key)? {
            if let Some(at) = want.iter().position(|(_, wanted)| wanted.0[..] == dot[..]) {
                want.swap_remove(at);
            } else if dots.element(element.as_ref()).0[..] == dot[..] {
                let row = row(key, element, &dot);
                if !self.is_clocked(conn, &row)? {
                    count.removed += execute(conn, &self.sql.delete, &row)?;
                }
            }
        }
        if !want.is_empty() {
            let sql = self.insert_sql(conn)?;
            for (element, Dot(dot)) in want {
                count.written += execute(conn, sql, &row(key, element, &dot))?;
            }
        }
        Ok(())
    }

    fn adds_of(&self, conn: &Connection, key: &[Datum]) -> Result<Vec<(Datum, Vec<u8>)>, DbError> {
        conn.prepare_cached(&self.sql.adds_of)
            .and_then(|mut s| {
                s.query_map(rusqlite::params_from_iter(key), |row| {
                    let dot: Datum = row.get(1)?;
                    let dot = if let Datum::Blob(dot) = dot { dot } else { Vec::new() };
                    Ok((row.get(0)?, dot))
                })?
                .collect()
            })
            .doing("read the adds of an object")
    }

    /// True where cr-sqlite has a clock row for an add: it is a user's, or was published.
    fn is_clocked(&self, conn: &Connection, add: &[Datum]) -> Result<bool, DbError> {
        let Some(sql) = &self.sql.is_clocked else { return Ok(false) };
        conn.prepare_cached(sql)
            .and_then(|mut s| s.exists(rusqlite::params_from_iter(add)))
            .doing("look at the clock row of an add")
    }

    /// Deletes the adds of a range that are ours.
    ///
    /// # Errors
    /// As [`Session::transact`].
    pub fn clear(
        &self,
        session: &mut Session<'_>,
        bounds: &Bounds,
    ) -> Result<Committed<u64>, WriteError> {
        session.transact(|conn| {
            let mut removed = 0;
            for add in self.ours_in(conn, bounds)? {
                removed += execute(conn, &self.sql.delete, &add)?;
            }
            Ok(removed)
        })
    }

    /// The adds of a range that are ours: key, element, dot.
    fn ours_in(&self, conn: &Connection, bounds: &Bounds) -> Result<Vec<Vec<Datum>>, DbError> {
        let what = "read the adds";
        let sql = self.sql.adds_in(bounds.after.is_some(), bounds.through.is_some());
        let keys = self.sql.keys();
        let mut statement = conn.prepare_cached(sql).doing(what)?;
        let adds: Vec<Vec<Datum>> = statement
            .query_map(rusqlite::params_from_iter(bounds.parameters()), |row| {
                (0..keys + 2).map(|i| row.get(i)).collect()
            })
            .and_then(Iterator::collect)
            .doing(what)?;
        let mut dots = self.target.dots.clone();
        let mut ours = Vec::new();
        for add in adds {
            dots.object(add[..keys].iter().map(Datum::as_ref));
            let dot = dots.element(add[keys].as_ref());
            if add[keys + 1] == Datum::Blob(dot.0.to_vec()) && !self.is_clocked(conn, &add)? {
                ours.push(add);
            }
        }
        Ok(ours)
    }

    /// Notes every object of a range, and every key of its adds.
    ///
    /// # Errors
    /// As [`Session::transact`].
    pub fn note_all(
        &self,
        session: &mut Session<'_>,
        bounds: &Bounds,
    ) -> Result<Committed<u64>, WriteError> {
        let sql = self.sql.note_all(bounds.after.is_some(), bounds.through.is_some());
        session.transact(|conn| {
            conn.prepare_cached(sql)
                .and_then(|mut s| s.execute(rusqlite::params_from_iter(bounds.parameters())))
                .map(|notes| notes as u64)
                .doing("note objects that the proof found wrong")
                .map_err(WriteError::from)
        })
    }
}

fn row(key: &[Datum], element: Datum, dot: &[u8]) -> Vec<Datum> {
    key.iter().cloned().chain([element, Datum::Blob(dot.to_vec())]).collect()
}

fn execute(conn: &Connection, sql: &str, values: &[Datum]) -> Result<u64, DbError> {
    conn.prepare_cached(sql)
        .and_then(|mut s| s.execute(rusqlite::params_from_iter(values)))
        .map(|rows| rows as u64)
        .doing("write the adds of an object")
}

/// The bounds of a range of rows of the adds themselves: whole objects, so that none is cut.
#[must_use]
pub fn whole_objects(range: &Range, keys: usize) -> Bounds {
    let cut = |position: &crate::split::Position| {
        crate::split::Position(position.0.iter().take(keys).cloned().collect())
    };
    Bounds { after: range.after.as_ref().map(cut), through: Some(cut(&range.through)) }
}
