//! Writing sets that another replica has derived: the clockless migrated adds of each object become
//! those that were shipped, each batch with the position in the chain that it reaches, in one
//! transaction. Reads no old form.
//!
//! # Invariants
//! Only clockless migrated adds are written or deleted: a user's add is never touched, and what is
//! removed stays so, for its dot is in the removes. Of an object whose epoch is closed *here* nothing
//! is written: its adds are this replica's own state, and what a chain brings may be older than what
//! was decided. A replica that derives notes what differs, and derives it from its own old form. A set
//! whose object is not here is remembered, unless cr-sqlite knows that it was deleted; its adds of ours
//! are deleted either way.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::apply::{AppliedCount, Slice};
use super::{Committed, Session, WriteError};
use crate::db::{Datum, DbError, Doing};
use crate::delta::{Rows, set_elements};
use crate::layout::Overwrite;
use crate::layout::crsqlite::CrTable;
use crate::layout::or_set::{SetApplySql, SetSql, SetTarget};
use crate::scan::or_set::is_closed;
use crate::split::Position;
use crate::state::{AppliedRow, ChangeRow};
use crate::transform::dot::{Dot, DotDeriver};

/// Writes shipped sets of one target.
#[derive(Debug)]
pub struct SetApplier<'t> {
    target: &'t SetTarget,
    overwrite: Overwrite,
    sql: SetSql,
    apply: SetApplySql,
}

/// What one batch did, besides what is counted of columns too.
#[derive(Default)]
struct Done {
    count: AppliedCount,
    adds: u64,
}

impl<'t> SetApplier<'t> {
    /// Writes the sets of `target`, as far as `overwrite` says; `objects` says what belongs to the
    /// table of the objects where it is one of cr-sqlite.
    #[must_use]
    pub fn new(target: &'t SetTarget, objects: Option<&CrTable>, overwrite: Overwrite) -> Self {
        let (sql, apply) = (SetSql::new(target), SetApplySql::new(target, objects));
        Self { target, overwrite, sql, apply }
    }

    /// As [`super::Applier::write`].
    ///
    /// # Errors
    /// As [`Session::transact`]; [`WriteError::Value`] where a value is no set.
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
            let mut object = Writer::new(self, conn)?;
            for slice in batch {
                for i in slice.range.clone() {
                    object.write(&slice.rows, i)?;
                }
            }
            let Done { count, adds } = object.done;
            if let Some(reached) = reached {
                reached.save(conn)?;
            }
            let mut after = before.clone();
            after.counters.rows_passed += passed;
            after.counters.rows_written += adds;
            after.save(conn)?;
            Ok((count, after))
        })?;
        let Committed { value: (count, after), hold, was_busy, foreign, stop } = done;
        *change = after;
        Ok(Committed { value: count, hold, was_busy, foreign, stop })
    }

    /// As [`super::Applier::pending`].
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn pending(
        &self,
        conn: &Connection,
        after: Option<&[Datum]>,
        limit: u64,
    ) -> Result<Rows, DbError> {
        let what = "read the sets whose objects had not arrived";
        let keys = self.target.table.key.len();
        let sql = &self.apply.select_pending[usize::from(after.is_some())];
        let limit = Datum::Integer(limit.cast_signed());
        let parameters = after.unwrap_or_default().iter().chain(std::iter::once(&limit));
        let mut statement = conn.prepare_cached(sql).doing(what)?;
        let mut found = statement.query(params_from_iter(parameters)).doing(what)?;
        let mut rows = Rows::new(keys);
        while let Some(row) = found.next().doing(what)? {
            let key = (0..keys).map(|i| row.get_ref(i)).collect::<Result<Vec<_>, _>>();
            rows.push(key.doing(what)?, row.get_ref(keys).doing(what)?);
        }
        Ok(rows)
    }

    /// True where an object has arrived whose set is remembered.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub fn has_arrived(&self, conn: &Connection) -> Result<bool, DbError> {
        let found = conn.prepare_cached(&self.apply.any_arrived).and_then(|mut s| s.exists([]));
        found.doing("look for objects that have arrived")
    }

    /// At most `limit` keys of adds after the key `after` whose object is not here.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn orphans(
        &self,
        conn: &Connection,
        after: Option<&[Datum]>,
        limit: u64,
    ) -> Result<Vec<Vec<Datum>>, DbError> {
        let sql = &self.apply.select_orphans[usize::from(after.is_some())];
        let limit = Datum::Integer(limit.cast_signed());
        let parameters = after.unwrap_or_default().iter().chain(std::iter::once(&limit));
        conn.prepare_cached(sql)
            .and_then(|mut s| {
                let key =
                    |row: &rusqlite::Row<'_>| (0..self.sql.keys()).map(|i| row.get(i)).collect();
                s.query_map(params_from_iter(parameters), key)?.collect()
            })
            .doing("look for adds without an object")
    }

    /// Deletes the adds of ours of these objects, as far as they are still not here; returns how many.
    ///
    /// # Errors
    /// As [`Session::transact`].
    pub fn clear(
        &self,
        session: &mut Session<'_>,
        keys: &[Vec<Datum>],
    ) -> Result<Committed<u64>, WriteError> {
        session.transact(|conn| {
            let mut writer = Writer::new(self, conn)?;
            for key in keys {
                if !writer.exists(key)? {
                    writer.set(key, &[])?;
                }
            }
            Ok(writer.removed)
        })
    }
}

/// The clockless migrated adds of one object, as they are.
///
/// # Errors
/// When they cannot be read.
pub fn ours_of(
    conn: &Connection,
    sql: &SetSql,
    dots: &mut DotDeriver,
    key: &[Datum],
) -> Result<Vec<(Datum, Dot)>, DbError> {
    let what = "read the adds of an object";
    let adds: Vec<(Datum, Datum)> = conn
        .prepare_cached(&sql.adds_of)
        .and_then(|mut s| {
            s.query_map(params_from_iter(key), |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
        .doing(what)?;
    dots.object(key.iter().map(Datum::as_ref));
    let mut ours = Vec::with_capacity(adds.len());
    for (element, dot) in adds {
        let migrated = dots.element(element.as_ref());
        let is_migrated = matches!(&dot, Datum::Blob(dot) if migrated.0[..] == dot[..]);
        if is_migrated && !is_clocked(conn, sql, key, &element, migrated)? {
            ours.push((element, migrated));
        }
    }
    Ok(ours)
}

/// True where cr-sqlite has a clock row for an add: it is a user's, was published, or was deleted.
///
/// # Errors
/// When it cannot be read.
pub fn is_clocked(
    conn: &Connection,
    sql: &SetSql,
    key: &[Datum],
    element: &Datum,
    dot: Dot,
) -> Result<bool, DbError> {
    let Some(is_clocked) = &sql.is_clocked else { return Ok(false) };
    conn.prepare_cached(is_clocked)
        .and_then(|mut s| s.exists(params_from_iter(add(key, element, dot))))
        .doing("look at the clock row of an add")
}

/// A row of the adds.
fn add(key: &[Datum], element: &Datum, dot: Dot) -> Vec<Datum> {
    key.iter().chain([element]).cloned().chain([Datum::Blob(dot.0.to_vec())]).collect()
}

/// How the adds of ours of an object differ from a set.
#[derive(Debug)]
pub struct Difference {
    /// Adds of ours that are not in the set.
    pub surplus: Vec<(Datum, Dot)>,
    /// What the set has besides.
    pub missing: Vec<(Datum, Dot)>,
}

impl Difference {
    /// Compares; `dots` has been turned to the object.
    #[must_use]
    pub fn new(dots: &mut DotDeriver, ours: &[(Datum, Dot)], set: &[Datum]) -> Self {
        let want: Vec<Dot> = set.iter().map(|element| dots.element(element.as_ref())).collect();
        let wanted: HashSet<Dot> = want.iter().copied().collect();
        let there: HashSet<Dot> = ours.iter().map(|(_, dot)| *dot).collect();
        let surplus = ours.iter().filter(|(_, dot)| !wanted.contains(dot)).cloned().collect();
        let missing = set.iter().cloned().zip(want).filter(|(_, dot)| !there.contains(dot));
        Self { surplus, missing: missing.collect() }
    }

    /// True where there is none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.surplus.is_empty() && self.missing.is_empty()
    }
}

/// Writes objects inside one transaction.
struct Writer<'w, 't> {
    applier: &'w SetApplier<'t>,
    conn: &'w Connection,
    dots: DotDeriver,
    insert: &'w str,
    pending: bool,
    removed: u64,
    done: Done,
}

impl<'w, 't> Writer<'w, 't> {
    fn new(applier: &'w SetApplier<'t>, conn: &'w Connection) -> Result<Self, DbError> {
        let any = |sql: &str| {
            let found = conn.prepare_cached(sql).and_then(|mut s| s.exists([]));
            found.doing("look for what users have added")
        };
        // Clock rows are looked at only where there are any.
        let sql = &applier.sql;
        let clocked = sql.any_key.as_deref().map(any).transpose()?.unwrap_or(false);
        let insert = if clocked { &sql.insert_unless_clocked } else { &sql.insert };
        let (dots, pending) = (applier.target.dots.clone(), any(&applier.apply.any_pending)?);
        Ok(Self { applier, conn, dots, insert, pending, removed: 0, done: Done::default() })
    }

    fn write(&mut self, rows: &Rows, i: usize) -> Result<(), WriteError> {
        let key: Vec<Datum> = rows.key(i).map(Datum::from).collect();
        let value = rows.value(i).as_blob().ok();
        let Some(set) = value.and_then(set_elements) else {
            return Err(WriteError::Value {
                table: self.applier.target.table.name.clone(),
                key: Position(key).to_string(),
                message: "it is no set".to_owned(),
            });
        };
        if self.exists(&key)? {
            self.here(&key, &set)
        } else {
            self.absent(key, value.unwrap_or_default())
        }
    }

    fn exists(&self, key: &[Datum]) -> Result<bool, DbError> {
        self.conn
            .prepare_cached(&self.applier.apply.exists)
            .and_then(|mut s| s.exists(params_from_iter(key)))
            .doing("look for an object")
    }

    fn here(&mut self, key: &[Datum], set: &[Datum]) -> Result<(), WriteError> {
        let SetApplier { target, overwrite, sql, .. } = self.applier;
        let mut changed = false;
        if !is_closed(self.conn, target, sql, key)? {
            changed = match overwrite {
                Overwrite::Differing => self.set(key, set)?,
                Overwrite::Missing => {
                    self.note(key, set)?;
                    false
                }
            };
        }
        self.done.count.written += u64::from(changed);
        if self.pending {
            let known = self.execute(&self.applier.apply.remove_pending, key)?;
            self.done.count.arrived += u64::from(changed && known > 0);
        }
        Ok(())
    }

    /// Makes the adds of ours of an object those of `set`; true where that changed anything.
    fn set(&mut self, key: &[Datum], set: &[Datum]) -> Result<bool, DbError> {
        let sql = &self.applier.sql;
        let ours = ours_of(self.conn, sql, &mut self.dots, key)?;
        let difference = Difference::new(&mut self.dots, &ours, set);
        for (element, dot) in &difference.surplus {
            self.removed += self.execute(&sql.delete, &add(key, element, *dot))?;
        }
        let mut written = 0;
        for (element, dot) in &difference.missing {
            written += self.execute(self.insert, &add(key, element, *dot))?;
        }
        self.done.adds += written;
        Ok(written > 0 || !difference.surplus.is_empty())
    }

    /// Notes an object whose adds are others, to be derived again.
    fn note(&mut self, key: &[Datum], set: &[Datum]) -> Result<(), DbError> {
        let sql = &self.applier.sql;
        let ours = ours_of(self.conn, sql, &mut self.dots, key)?;
        let alike = Difference::new(&mut self.dots, &ours, set).is_none();
        let noted = || {
            let found = self.conn.prepare_cached(&sql.is_noted);
            found.and_then(|mut s| s.exists(params_from_iter(key))).doing("look for a noted object")
        };
        if !alike && !noted()? {
            self.done.count.noted += self.execute(&sql.note, key)?;
        }
        Ok(())
    }

    /// The object is not here: it was deleted, or has not arrived.
    fn absent(&mut self, mut key: Vec<Datum>, value: &[u8]) -> Result<(), WriteError> {
        if self.applier.overwrite == Overwrite::Differing {
            self.set(&key, &[])?;
        }
        if self.is_deleted(&key)? {
            self.done.count.deleted += 1;
            if self.pending {
                self.execute(&self.applier.apply.remove_pending, &key)?;
            }
            return Ok(());
        }
        key.push(Datum::Blob(value.to_vec()));
        self.execute(&self.applier.apply.add_pending, &key)?;
        self.done.count.pending += 1;
        self.pending = true;
        Ok(())
    }

    /// True where cr-sqlite knows the object, and that it was deleted: an even causal length.
    fn is_deleted(&self, key: &[Datum]) -> Result<bool, DbError> {
        let Some(sql) = &self.applier.apply.causal_length else { return Ok(false) };
        let length: Option<i64> = self
            .conn
            .prepare_cached(sql)
            .and_then(|mut s| s.query_row(params_from_iter(key), |row| row.get(0)).optional())
            .doing("look for a deleted object")?;
        Ok(length.is_some_and(|length| length % 2 == 0))
    }

    fn execute(&self, sql: &str, values: &[Datum]) -> Result<u64, DbError> {
        self.conn
            .prepare_cached(sql)
            .and_then(|mut s| s.execute(params_from_iter(values)))
            .map(|rows| rows as u64)
            .doing("write the adds of an object")
    }
}
