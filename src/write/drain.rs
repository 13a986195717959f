//! Deriving again what others have changed: takes noted keys, decides whose each cell is, and
//! derives the cells that are ours.
//!
//! # Whose a cell is
//! In a table of cr-sqlite the clock row decides: none, or one of a publisher of this migration,
//! and the cell is ours; a NULL at version 1 is ours where NULLs are filled; anything else is a
//! user's. In a plain table the notes decide by the same rule: an insert that brought a value, or
//! a later write of the cell, makes it a user's; a NULL is ours where NULLs are filled, unless the
//! cell was a user's before.
//!
//! # Invariants
//! Notes are removed in the transaction that acts on them. A cell that is a user's stands in the
//! table of users' keys from that transaction on, so that neither the fill nor the proof takes it
//! for ours.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};

use super::fill::{encoded, row_failed};
use super::{Session, WriteError};
use crate::db::quote::{ident, list};
use crate::db::{Datum, DbError, Doing, is_row_error};
use crate::layout::crsqlite::{Cell, ClockSql, Publisher};
use crate::layout::{Delivery, KeyMatch, Layout, NoteKind, RangeSql, Target};
use crate::split::Position;
use crate::state::{ChangeRow, Counters};
use crate::write::Committed;

/// How many keys are noted and wait.
///
/// # Errors
/// When the table cannot be read.
pub fn dirty_rows(conn: &Connection, n: i64) -> Result<u64, DbError> {
    conn.query_row(&format!("SELECT count(*) FROM _dotfill_dirty_{n}"), [], |row| {
        row.get::<_, i64>(0)
    })
    .map(i64::unsigned_abs)
    .doing("count the noted keys")
}

/// True where keys are noted and wait.
///
/// # Errors
/// When the table cannot be read.
pub fn any_dirty(conn: &Connection, n: i64) -> Result<bool, DbError> {
    conn.prepare_cached(&format!("SELECT EXISTS (SELECT 1 FROM _dotfill_dirty_{n})"))
        .and_then(|mut s| s.query_row([], |row| row.get(0)))
        .doing("look for noted keys")
}

/// What one drain did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Notes taken.
    pub notes: u64,
    /// What it did to rows.
    pub counters: Counters,
    /// The scan keys of the rows that it decided, encoded.
    pub keys: Vec<Vec<u8>>,
}

/// Drains the noted keys of one target.
#[derive(Debug)]
pub struct Drainer<'a> {
    target: &'a Target,
    migration: String,
    derive: bool,
    sql: DrainSql,
    clock: Option<ClockSql>,
    terms: usize,
}

#[derive(Debug)]
struct DrainSql {
    take: String,
    remove: String,
    row: String,
    value: String,
    set: String,
    is_user: String,
    add_user: String,
    remove_user: String,
}

impl DrainSql {
    fn new(target: &Target) -> Self {
        let (dirty, user) = (target.dirty_table(), target.user_table());
        let (table, column) = (target.table.sql(), target.column_sql());
        let keys = KeyMatch::side_columns(target, 'k');
        let olds = KeyMatch::side_columns(target, 'o');
        let scan = list(RangeSql::new(&target.table.scan).terms);
        let row_is = KeyMatch::row_is(target);
        let side_is = KeyMatch::side_is(target);
        let values = list((1..=keys.len()).map(|i| format!("?{i}")));
        let value = format!("?{}", keys.len() + 1);
        let keys = list(keys);
        Self {
            take: format!(
                "SELECT id, kind, {keys}, {} FROM {dirty} ORDER BY id LIMIT ?1",
                list(olds)
            ),
            remove: format!("DELETE FROM {dirty} WHERE id <= ?1"),
            row: format!("SELECT {column}, {scan} FROM {table} WHERE {row_is}"),
            value: format!("SELECT {} FROM {table} WHERE {row_is}", target.derived()),
            set: format!(
                "UPDATE {table} SET {column} = {value} WHERE {row_is} \
                 AND {column} COLLATE BINARY IS NOT {value}"
            ),
            is_user: format!("SELECT 1 FROM {user} WHERE {side_is}"),
            add_user: format!(
                "INSERT INTO {user} ({keys}) SELECT {values} \
                 WHERE NOT EXISTS (SELECT 1 FROM {user} WHERE {side_is})"
            ),
            remove_user: format!("DELETE FROM {user} WHERE {side_is}"),
        }
    }
}

/// What the notes say of one key, in the order in which they were made.
#[derive(Debug, Default)]
struct Notes {
    key: Vec<Datum>,
    /// The key that the row had before, where it was changed.
    before: Option<Vec<Datum>>,
    inserted: bool,
    /// Writes of the target column since the last insert.
    written: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Ours,
    OursWithNullClock,
    User,
}

impl<'a> Drainer<'a> {
    /// Drains `target`. Where `derive` is false cells are only told apart, and none is written.
    #[must_use]
    pub fn new(target: &'a Target, migration: &str, derive: bool) -> Self {
        let clock = match &target.layout {
            Layout::Plain => None,
            Layout::CrSqlite(cr) => Some(ClockSql::new(cr, target)),
        };
        Self {
            target,
            migration: migration.to_owned(),
            derive,
            sql: DrainSql::new(target),
            clock,
            terms: target.table.scan.terms.len(),
        }
    }

    /// Takes at most `limit` notes, in one transaction with the counters of `change`.
    ///
    /// # Errors
    /// As [`Session::transact`]; [`WriteError::Row`] where a row's expression fails and the file
    /// does not say to skip it.
    pub fn drain(
        &self,
        session: &mut Session<'_>,
        change: &mut ChangeRow,
        limit: u64,
    ) -> Result<Committed<Drained>, WriteError> {
        let before = &*change;
        let done = session.transact(|conn| {
            let drained = self.drain_in(conn, limit)?;
            let mut after = before.clone();
            after.counters += drained.counters;
            after.save(conn)?;
            Ok((drained, after))
        })?;
        let Committed { value: (drained, after), hold, was_busy, foreign, stop } = done;
        *change = after;
        Ok(Committed { value: drained, hold, was_busy, foreign, stop })
    }

    /// Takes at most `limit` notes inside the caller's transaction.
    ///
    /// # Errors
    /// As [`Self::drain`].
    pub fn drain_in(&self, conn: &Connection, limit: u64) -> Result<Drained, WriteError> {
        let (last, order, notes) = self.take(conn, limit)?;
        let mut drained = Drained::default();
        let Some(last) = last else { return Ok(drained) };
        let publishers = match &self.clock {
            Some(_) => Publisher::ordinals(conn, &self.migration)?,
            None => Vec::new(),
        };
        let mut publisher = None;
        for key in order {
            let Some(note) = notes.get(&key) else {
                continue;
            };
            self.decide(conn, note, &publishers, &mut publisher, &mut drained)?;
        }
        drained.notes = conn
            .prepare_cached(&self.sql.remove)
            .and_then(|mut s| s.execute([last]))
            .doing("remove drained notes")? as u64;
        Ok(drained)
    }

    /// The first notes, by key, with the last note's id and the keys in order.
    #[expect(clippy::type_complexity, reason = "three parts that are used together once")]
    fn take(
        &self,
        conn: &Connection,
        limit: u64,
    ) -> Result<(Option<i64>, Vec<Vec<u8>>, HashMap<Vec<u8>, Notes>), DbError> {
        let what = "read the noted keys";
        let keys = self.target.table.key.len();
        let mut statement = conn.prepare_cached(&self.sql.take).doing(what)?;
        let mut rows = statement.query([limit.cast_signed()]).doing(what)?;
        let (mut last, mut order) = (None, Vec::new());
        let mut notes: HashMap<Vec<u8>, Notes> = HashMap::new();
        while let Some(row) = rows.next().doing(what)? {
            let columns = |from: usize| {
                (from..from + keys).map(|i| row.get(i)).collect::<rusqlite::Result<Vec<Datum>>>()
            };
            last = Some(row.get(0).doing(what)?);
            let kind = NoteKind::from_code(row.get(1).doing(what)?);
            let key = columns(2).doing(what)?;
            let slot = encoded(&key);
            let note = notes.entry(slot.clone()).or_insert_with(|| {
                order.push(slot);
                Notes { key, ..Notes::default() }
            });
            match kind {
                Some(NoteKind::Insert) => (note.inserted, note.written) = (true, 0),
                Some(NoteKind::Target) => note.written += 1,
                Some(NoteKind::Key) => {
                    let old = columns(2 + keys).doing(what)?;
                    if old != note.key {
                        // The row that had the old key is looked at too: it may be gone.
                        let slot = encoded(&old);
                        let before = note.before.get_or_insert(old).clone();
                        notes.entry(slot.clone()).or_insert_with(|| {
                            order.push(slot);
                            Notes { key: before, ..Notes::default() }
                        });
                    }
                }
                Some(NoteKind::Source) | None => {}
            }
        }
        // A row's old key is decided after its new one, which asks whose the old one was.
        order.sort_by_key(|slot| notes.get(slot).is_none_or(|note| note.before.is_none()));
        Ok((last, order, notes))
    }

    fn decide(
        &self,
        conn: &Connection,
        note: &Notes,
        publishers: &[i64],
        publisher: &mut Option<Publisher>,
        drained: &mut Drained,
    ) -> Result<(), WriteError> {
        let what = "look at a noted row";
        let key = &note.key;
        let found: Option<(Datum, Position)> = conn
            .prepare_cached(&self.sql.row)
            .and_then(|mut s| {
                s.query_row(rusqlite::params_from_iter(key), |row| {
                    let scan = (1..=self.terms).map(|i| row.get(i)).collect::<Result<_, _>>()?;
                    Ok((row.get(0)?, Position(scan)))
                })
                .optional()
            })
            .doing(what)?;
        let Some((cell, position)) = found else {
            return Ok(on_key(conn, &self.sql.remove_user, key)?);
        };
        drained.keys.push(encoded(&position.0));
        match self.owner(conn, note, &cell, publishers)? {
            Owner::User => Ok(on_key(conn, &self.sql.add_user, key)?),
            owner => {
                on_key(conn, &self.sql.remove_user, key)?;
                if self.derive {
                    self.derive(conn, note, owner, &cell, publisher, &mut drained.counters)?;
                }
                Ok(())
            }
        }
    }

    fn owner(
        &self,
        conn: &Connection,
        note: &Notes,
        cell: &Datum,
        publishers: &[i64],
    ) -> Result<Owner, DbError> {
        let null = *cell == Datum::Null;
        if let Some(clock) = &self.clock {
            return Ok(match clock.cell(conn, &note.key, publishers)? {
                Cell::Clockless | Cell::Published => Owner::Ours,
                Cell::First if null && self.target.fill_null => Owner::OursWithNullClock,
                Cell::First | Cell::User => Owner::User,
            });
        }
        let was_user = !note.inserted && self.is_user(conn, note)?;
        let by_user = if null {
            !self.target.fill_null && (note.inserted || note.written > 0) || note.written > 1
        } else {
            note.inserted || note.written > 0
        };
        Ok(if was_user || by_user { Owner::User } else { Owner::Ours })
    }

    fn is_user(&self, conn: &Connection, note: &Notes) -> Result<bool, DbError> {
        let one = |key: &Vec<Datum>| {
            conn.prepare_cached(&self.sql.is_user)
                .and_then(|mut s| s.exists(rusqlite::params_from_iter(key)))
                .doing("look for a user's key")
        };
        if one(&note.key)? {
            return Ok(true);
        }
        note.before.as_ref().map_or(Ok(false), one)
    }

    fn derive(
        &self,
        conn: &Connection,
        note: &Notes,
        owner: Owner,
        cell: &Datum,
        publisher: &mut Option<Publisher>,
        counters: &mut Counters,
    ) -> Result<(), WriteError> {
        let native = self.target.delivery == Delivery::Native;
        if native && *cell != Datum::Null {
            // Published: a second value at version 0 would not win where the first one arrived.
            return Ok(());
        }
        let Some(value) = self.value(conn, note, counters)? else {
            return Ok(());
        };
        let written = match self.set(conn, note, &value) {
            Err(WriteError::Row { .. }) if self.target.skip_errors => {
                counters.rows_skipped += 1;
                return Ok(());
            }
            other => other?,
        };
        counters.rows_written += written;
        let Some(clock) = &self.clock else {
            return Ok(());
        };
        if native && written > 0 {
            let to = match publisher {
                Some(to) => *to,
                None => *publisher.insert(Publisher::advance(conn, &self.migration)?),
            };
            let seq = counters.change_records_written.cast_signed();
            clock.publish(conn, &note.key, to, seq)?;
            counters.change_records_written += 1;
        } else if owner == Owner::OursWithNullClock && written > 0 {
            clock.remove(conn, &note.key)?;
        }
        Ok(())
    }

    /// The derived value; `None` where the expression fails and the row is skipped, which leaves
    /// the cell NULL so that replicas with the same source have the same cell.
    fn value(
        &self,
        conn: &Connection,
        note: &Notes,
        counters: &mut Counters,
    ) -> Result<Option<Datum>, WriteError> {
        let result = conn.prepare_cached(&self.sql.value).and_then(|mut s| {
            s.query_row(rusqlite::params_from_iter(&note.key), |row| row.get::<_, Datum>(0))
        });
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_row_error(&error) && self.target.skip_errors => {
                counters.rows_skipped += 1;
                Ok(Some(Datum::Null))
            }
            Err(source) => {
                let error = DbError::Sql { doing: "derive a noted row".to_owned(), source };
                Err(row_failed(self.target, &Position(note.key.clone()), error))
            }
        }
    }

    fn set(&self, conn: &Connection, note: &Notes, value: &Datum) -> Result<u64, WriteError> {
        let parameters = note.key.iter().chain(std::iter::once(value));
        conn.prepare_cached(&self.sql.set)
            .and_then(|mut s| s.execute(rusqlite::params_from_iter(parameters)))
            .map(|n| n as u64)
            .doing(format!("write {}", ident(&self.target.column)))
            .map_err(|error| row_failed(self.target, &Position(note.key.clone()), error))
    }
}

fn on_key(conn: &Connection, sql: &str, key: &[Datum]) -> Result<(), DbError> {
    conn.prepare_cached(sql)
        .and_then(|mut s| s.execute(rusqlite::params_from_iter(key)))
        .doing("keep the users' keys")?;
    Ok(())
}
