//! Deriving again what others have changed: takes noted keys, decides whose each cell is, and
//! derives the cells that are ours.
//!
//! # Whose a cell is
//! In a table of cr-sqlite the clock row decides: none, or one of a publisher of this migration,
//! and the cell is ours; a NULL at version 1 is ours where NULLs are filled; anything else is a
//! user's. In a plain table the notes decide by the same rule, each in the order in which it was
//! made: an insert that brought a value, or a later write of a value, makes the cell a user's; a
//! NULL is ours where NULLs are filled, unless the cell was a user's before; and a row that gets
//! another key takes its claim along.
//!
//! # Invariants
//! Notes are removed in the transaction that acts on them. A cell that is a user's stands in the
//! table of users' keys from that transaction on, so that neither the fill nor the proof takes it
//! for ours. The claims in a plain table come from the notes alone, never from what the row holds
//! now: notes that are still waiting may tell more of it, and no cell is derived before they have.
//! While a chain of deltas is fed, the keys of cells of ours that were decided are remembered in the
//! same transaction, whether or not their value changed: whoever ships left them out while they were
//! noted.

mod notes;
mod sql;

use rusqlite::Connection;

use self::notes::Claim;
use self::sql::DrainSql;

use super::fill::{encoded, row_failed};
use super::{Reship, Session, WriteError};
use crate::db::quote::ident;
use crate::db::{Datum, DbError, Doing, is_row_error};
use crate::layout::crsqlite::{Cell, ClockSql, Publisher};
use crate::layout::{Delivery, Layout, Target};
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
    /// True where a cell that was left as it is, and ours, has a clock row.
    pub null_clocks: bool,
}

/// Drains the noted keys of one target.
#[derive(Debug)]
pub struct Drainer<'a> {
    target: &'a Target,
    migration: String,
    then: Then,
    sql: DrainSql,
    clock: Option<ClockSql>,
    reship: Reship,
    terms: usize,
}

/// What becomes of a noted cell that is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It is derived again.
    Derive,
    /// It is set to NULL.
    Clear,
    /// It stays as it is: whoever ships values writes it.
    Leave,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Ours,
    OursWithClock,
    User,
}

impl<'a> Drainer<'a> {
    /// Drains `target`, and does `then` with the cells that are ours.
    #[must_use]
    pub fn new(target: &'a Target, migration: &str, then: Then) -> Self {
        let clock = match &target.layout {
            Layout::Plain => None,
            Layout::CrSqlite(cr) => Some(ClockSql::new(cr, target)),
        };
        Self {
            target,
            migration: migration.to_owned(),
            then,
            sql: DrainSql::new(target),
            clock,
            reship: Reship::new(target.n, &target.table),
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
            after.null_clocks |= drained.null_clocks;
            after.save(conn)?;
            Ok((drained, after))
        })?;
        let Committed { value: (drained, after), hold, was_busy, foreign, stop } = done;
        *change = after;
        Ok(Committed { value: drained, hold, was_busy, foreign, stop })
    }

    /// Takes at most `limit` notes of a plain table, inside the caller's transaction, before the
    /// first cell is filled: a cell that holds a value is a user's, whatever the notes say. A row
    /// that got another key may have slipped past the seeder.
    ///
    /// # Errors
    /// When a table cannot be read or written.
    pub fn settle_in(&self, conn: &Connection, limit: u64) -> Result<u64, WriteError> {
        let noted = self.take(conn, limit)?;
        let Some(last) = noted.last else { return Ok(0) };
        for (key, claim) in &noted.keys {
            let rows = self.rows(conn, key)?;
            let held = rows.iter().any(|(cell, _)| *cell != Datum::Null || !self.target.fill_null);
            let user = match claim {
                Claim::User => true,
                Claim::Known => held || self.is_user(conn, key)?,
                Claim::Ours | Claim::Gone => held,
            };
            on_key(conn, if user { &self.sql.add_user } else { &self.sql.remove_user }, key)?;
        }
        let taken = conn
            .prepare_cached(&self.sql.remove)
            .and_then(|mut s| s.execute([last]))
            .doing("remove drained notes")?;
        Ok(taken as u64)
    }

    /// Takes at most `limit` notes inside the caller's transaction.
    ///
    /// # Errors
    /// As [`Self::drain`].
    pub fn drain_in(&self, conn: &Connection, limit: u64) -> Result<Drained, WriteError> {
        let noted = self.take(conn, limit)?;
        let mut drained = Drained::default();
        let Some(last) = noted.last else { return Ok(drained) };
        if self.clock.is_none() {
            self.keep_claims(conn, &noted.keys)?;
        }
        let mut batch = DrainBatch {
            conn,
            last,
            publishers: match &self.clock {
                Some(_) => Publisher::ordinals(conn, &self.migration)?,
                None => Vec::new(),
            },
            publisher: None,
            reships: self.then == Then::Derive && Reship::is_kept(conn, self.target.n)?,
        };
        for (key, claim) in &noted.keys {
            if self.clock.is_some() || *claim != Claim::Gone {
                self.decide(&mut batch, key, *claim, &mut drained)?;
            }
        }
        drained.notes = conn
            .prepare_cached(&self.sql.remove)
            .and_then(|mut s| s.execute([last]))
            .doing("remove drained notes")? as u64;
        Ok(drained)
    }

    /// Brings the table of users' keys up to the notes. Removes first: two keys that differ may
    /// be equal under their collation.
    fn keep_claims(&self, conn: &Connection, keys: &[(Vec<Datum>, Claim)]) -> Result<(), DbError> {
        for (key, claim) in keys {
            if matches!(claim, Claim::Ours | Claim::Gone) {
                on_key(conn, &self.sql.remove_user, key)?;
            }
        }
        for (key, _) in keys.iter().filter(|(_, claim)| *claim == Claim::User) {
            on_key(conn, &self.sql.add_user, key)?;
        }
        Ok(())
    }

    /// Decides the rows that have a noted key: one, but for keys that hold a NULL.
    fn decide(
        &self,
        batch: &mut DrainBatch<'_>,
        key: &[Datum],
        claim: Claim,
        drained: &mut Drained,
    ) -> Result<(), WriteError> {
        let rows = self.rows(batch.conn, key)?;
        if rows.is_empty() {
            return Ok(self.row_is_gone(batch, key)?);
        }
        drained.keys.extend(rows.iter().map(|(_, position)| encoded(&position.0)));
        let mut is_ours = false;
        for (cell, position) in rows {
            let owner = self.owner(batch, key, claim, &cell)?;
            if self.clock.is_some() {
                let user = owner == Owner::User;
                let sql = if user { &self.sql.add_user } else { &self.sql.remove_user };
                on_key(batch.conn, sql, key)?;
            } else if self.is_waiting(batch, key)? {
                // Later notes tell more of the row; they decide it.
                continue;
            }
            is_ours |= owner != Owner::User;
            let row = NotedRow { key, position: &position, cell: &cell };
            match (owner, self.then) {
                (Owner::User, _) => {}
                (owner, Then::Derive) => self.derive(batch, &row, owner, &mut drained.counters)?,
                (_, Then::Clear) => {
                    self.set(batch.conn, &position, &Datum::Null)?;
                }
                (owner, Then::Leave) => drained.null_clocks |= owner == Owner::OursWithClock,
            }
        }
        if is_ours && batch.reships {
            self.reship.add(batch.conn, key)?;
        }
        Ok(())
    }

    /// No row has the key. In a plain table it may have got another one, as a waiting note tells:
    /// until then its claim is kept.
    fn row_is_gone(&self, batch: &DrainBatch<'_>, key: &[Datum]) -> Result<(), DbError> {
        if self.clock.is_none() {
            let sql = format!("SELECT 1 FROM {} WHERE id > ?1 LIMIT 1", self.target.dirty_table());
            let any = batch.conn.prepare_cached(&sql).and_then(|mut s| s.exists([batch.last]));
            if any.doing("look for waiting notes")? {
                return Ok(());
            }
        }
        on_key(batch.conn, &self.sql.remove_user, key)
    }

    fn rows(&self, conn: &Connection, key: &[Datum]) -> Result<Vec<(Datum, Position)>, DbError> {
        conn.prepare_cached(&self.sql.rows)
            .and_then(|mut s| {
                s.query_map(rusqlite::params_from_iter(key), |row| {
                    let scan = (1..=self.terms).map(|i| row.get(i)).collect::<Result<_, _>>()?;
                    Ok((row.get(0)?, Position(scan)))
                })?
                .collect()
            })
            .doing("look at a noted row")
    }

    fn owner(
        &self,
        batch: &DrainBatch<'_>,
        key: &[Datum],
        claim: Claim,
        cell: &Datum,
    ) -> Result<Owner, DbError> {
        let null = *cell == Datum::Null;
        if let Some(clock) = &self.clock {
            return Ok(match clock.cell(batch.conn, key, &batch.publishers)? {
                Cell::Clockless | Cell::Published => Owner::Ours,
                Cell::First if null && self.target.fill_null => Owner::OursWithClock,
                Cell::Forgotten if self.target.delivery == Delivery::Derive => Owner::OursWithClock,
                Cell::First | Cell::Forgotten | Cell::User => Owner::User,
            });
        }
        let user = match claim {
            Claim::User => true,
            Claim::Known => self.is_user(batch.conn, key)?,
            Claim::Ours | Claim::Gone => false,
        };
        // Which of the rows that share a key a user wrote is told by what they hold.
        let shared = key.contains(&Datum::Null);
        let ours = !user || shared && null && self.target.fill_null;
        Ok(if ours { Owner::Ours } else { Owner::User })
    }

    fn is_user(&self, conn: &Connection, key: &[Datum]) -> Result<bool, DbError> {
        conn.prepare_cached(&self.sql.is_user)
            .and_then(|mut s| s.exists(rusqlite::params_from_iter(key)))
            .doing("look for a user's key")
    }

    fn is_waiting(&self, batch: &DrainBatch<'_>, key: &[Datum]) -> Result<bool, DbError> {
        let last = Datum::Integer(batch.last);
        batch
            .conn
            .prepare_cached(&self.sql.waiting)
            .and_then(|mut s| s.exists(rusqlite::params_from_iter(key.iter().chain([&last]))))
            .doing("look for waiting notes")
    }

    fn derive(
        &self,
        batch: &mut DrainBatch<'_>,
        row: &NotedRow<'_>,
        owner: Owner,
        counters: &mut Counters,
    ) -> Result<(), WriteError> {
        let conn = batch.conn;
        let native = self.target.delivery == Delivery::Native;
        if native && *row.cell != Datum::Null {
            // Published: a second value at version 0 would not win where the first one arrived.
            return Ok(());
        }
        let Some(value) = self.value(conn, row.position, counters)? else { return Ok(()) };
        let written = match self.set(conn, row.position, &value) {
            Err(WriteError::Row { .. }) if self.target.skip_errors => {
                counters.rows_skipped += 1;
                return Ok(());
            }
            other => other?,
        };
        counters.rows_written += written;
        let Some(clock) = &self.clock else { return Ok(()) };
        if native && written > 0 {
            let to = match batch.publisher {
                Some(to) => to,
                None => *batch.publisher.insert(Publisher::advance(conn, &self.migration)?),
            };
            let seq = counters.change_records_written.cast_signed();
            clock.publish(conn, row.key, to, seq)?;
            counters.change_records_written += 1;
        } else if owner == Owner::OursWithClock && written > 0 {
            clock.remove(conn, row.key)?;
        }
        Ok(())
    }

    /// The derived value; `None` where the expression fails and the row is skipped, which leaves
    /// the cell NULL so that replicas with the same source have the same cell.
    fn value(
        &self,
        conn: &Connection,
        position: &Position,
        counters: &mut Counters,
    ) -> Result<Option<Datum>, WriteError> {
        let result = conn.prepare_cached(&self.sql.value).and_then(|mut s| {
            s.query_row(rusqlite::params_from_iter(&position.0), |row| row.get::<_, Datum>(0))
        });
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_row_error(&error) && self.target.skip_errors => {
                counters.rows_skipped += 1;
                Ok(Some(Datum::Null))
            }
            Err(source) => {
                let error = DbError::Sql { doing: "derive a noted row".to_owned(), source };
                Err(row_failed(conn, self.target, position, error))
            }
        }
    }

    fn set(
        &self,
        conn: &Connection,
        position: &Position,
        value: &Datum,
    ) -> Result<u64, WriteError> {
        let parameters = position.0.iter().chain(std::iter::once(value));
        conn.prepare_cached(&self.sql.set)
            .and_then(|mut s| s.execute(rusqlite::params_from_iter(parameters)))
            .map(|n| n as u64)
            .doing(format!("write {}", ident(&self.target.column)))
            .map_err(|error| row_failed(conn, self.target, position, error))
    }
}

fn on_key(conn: &Connection, sql: &str, key: &[Datum]) -> Result<(), DbError> {
    conn.prepare_cached(sql)
        .and_then(|mut s| s.execute(rusqlite::params_from_iter(key)))
        .doing("keep the users' keys")?;
    Ok(())
}

/// What is the same for every row of a batch.
struct DrainBatch<'c> {
    conn: &'c Connection,
    /// The id of the last note that was taken.
    last: i64,
    publishers: Vec<i64>,
    publisher: Option<Publisher>,
    /// True where a chain of deltas is to have the rows again.
    reships: bool,
}

/// A row that has a noted key.
struct NotedRow<'r> {
    key: &'r [Datum],
    position: &'r Position,
    cell: &'r Datum,
}

#[cfg(test)]
mod tests;
