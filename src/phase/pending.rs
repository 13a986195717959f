//! What becomes of writes of the old form that arrived by replication in a closed epoch.
//!
//! # Definitions
//! An element of such a write is *known* when the object has an add with its migration dot, *removed*
//! when that dot is in the table of removes or the add was deleted, else *new*.
//!
//! # Operations
//! For each note, in order:
//! 1. Where the object is gone, its clockless migrated adds go too, as in an open epoch.
//! 2. The policy decides what is new: `translate` adds the migrated add, clockless; `reject`
//!    publishes the dot into the removes, so that replicas that derived it agree; `quarantine` lets it
//!    wait. Under `reject` every write is listed in quarantine, under `quarantine` those with
//!    something that waits; what is malformed is listed under every policy.
//! 3. Rule P: clockless migrated adds that the source *as it is now* does not hold are published,
//!    because a replica that sees only this source can no longer derive them.
//!
//! # Invariants
//! Notes, the rows that they lead to, quarantine and counters change in one transaction of the
//! caller. Settling the same write twice, here or on several replicas, gives the same rows: dots are
//! derived, and a quarantine row is known by object and source.

mod decide;

use rusqlite::{Connection, OptionalExtension};

use super::publish::Publishing;
use super::set::EpochSet;
use super::triggers::{NoteKind, oldwrite_table};
use crate::db::quote::{ident, list};
use crate::db::{Datum, DbError, Doing};
use crate::layout::or_set::SetSql;
use crate::scan::or_set::{SetError, one_object};
use crate::transform::dot::Dot;
use crate::transform::or_set::Element;
use crate::write::Reship;

/// The reason of a listed write that brought nothing that the object lacks.
pub const NOTHING_NEW: &str = "nothing-new";
/// The reason of a listed write that brought an element that was removed.
pub const REMOVED_ELEMENT: &str = "removed-element";
/// The reason of a listed write that brought a new element.
pub const NEW_ELEMENT: &str = "new-element";
/// The reason of a listed write that holds something that is no element.
pub const MALFORMED: &str = "malformed";

/// What a transaction settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Notes taken.
    pub notes: u64,
    /// Elements that became migrated adds.
    pub translated: u64,
    /// Elements that were refused for good.
    pub rejected: u64,
    /// Elements that wait in quarantine.
    pub quarantined: u64,
    /// Change records published.
    pub records: u64,
}

impl std::ops::AddAssign for Settled {
    fn add_assign(&mut self, other: Self) {
        self.notes += other.notes;
        self.translated += other.translated;
        self.rejected += other.rejected;
        self.quarantined += other.quarantined;
        self.records += other.records;
    }
}

/// How many writes wait to be looked at.
///
/// # Errors
/// When they cannot be counted.
pub fn pending_count(conn: &Connection, n: i64) -> Result<u64, DbError> {
    let table = oldwrite_table(n);
    let there = conn
        .prepare_cached("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")
        .and_then(|mut s| s.exists([&table]))
        .doing("look for pending writes")?;
    if !there {
        return Ok(0);
    }
    conn.prepare_cached(&format!("SELECT count(*) FROM {table}"))
        .and_then(|mut s| s.query_row([], |row| row.get(0)))
        .doing("count pending writes")
}

/// Settles notes of one set.
#[derive(Debug)]
pub struct Settler<'s> {
    set: &'s EpochSet,
    sql: SetSql,
    take: String,
    forget: String,
    is_removed: String,
}

/// One note.
struct Note {
    id: i64,
    kind: NoteKind,
    key: Vec<Datum>,
    source: Datum,
}

impl<'s> Settler<'s> {
    /// Settles notes of `set`.
    #[must_use]
    pub fn new(set: &'s EpochSet) -> Self {
        let (target, table) = (&set.target, oldwrite_table(set.target.n));
        Self {
            set,
            sql: SetSql::new(target),
            take: format!(
                "SELECT id, kind, source, {} FROM {table} ORDER BY id LIMIT ?1",
                list(target.side_keys())
            ),
            forget: format!("DELETE FROM {table} WHERE id <= ?1"),
            is_removed: format!("SELECT 1 FROM {} WHERE dot = ?1", ident(&target.removes)),
        }
    }

    /// Settles at most `limit` notes. The caller holds a write transaction, in which triggers do not
    /// fire. Ends before a note that would have to publish something where that is only collected.
    ///
    /// # Errors
    /// When the database cannot be read or written.
    pub fn settle(
        &self,
        conn: &Connection,
        limit: u64,
        publishing: &mut Publishing<'_>,
    ) -> Result<Settled, DbError> {
        let what = "settle a pending write";
        let mut all = Settled::default();
        let reships = Reship::is_kept(conn, self.set.target.n)?;
        for note in self.notes(conn, limit)? {
            let mut settled = Settled { notes: 1, ..Settled::default() };
            conn.execute_batch("SAVEPOINT dotfill_settle").doing(what)?;
            self.one(conn, &note, publishing, &mut settled)?;
            if !publishing.owed().is_empty() {
                conn.execute_batch("ROLLBACK TO dotfill_settle; RELEASE dotfill_settle")
                    .doing(what)?;
                break;
            }
            if reships && !note.key.contains(&Datum::Null) {
                Reship::new(self.set.target.n, &self.set.target.table).add(conn, &note.key)?;
            }
            conn.prepare_cached(&self.forget).and_then(|mut s| s.execute([note.id])).doing(what)?;
            conn.execute_batch("RELEASE dotfill_settle").doing(what)?;
            all += settled;
        }
        all.records = publishing.records;
        Ok(all)
    }

    fn notes(&self, conn: &Connection, limit: u64) -> Result<Vec<Note>, DbError> {
        let keys = self.sql.keys();
        conn.prepare_cached(&self.take)
            .and_then(|mut s| {
                s.query_map([limit], |row| {
                    let kind = NoteKind::from_code(row.get(1)?).unwrap_or(NoteKind::Touched);
                    let key = (3..3 + keys).map(|i| row.get(i)).collect::<Result<_, _>>()?;
                    Ok(Note { id: row.get(0)?, kind, source: row.get(2)?, key })
                })?
                .collect()
            })
            .doing("read pending writes")
    }

    fn one(
        &self,
        conn: &Connection,
        note: &Note,
        publishing: &mut Publishing<'_>,
        settled: &mut Settled,
    ) -> Result<(), DbError> {
        if note.key.contains(&Datum::Null) {
            return Ok(());
        }
        let now = one_object(conn, &self.set.target, &self.sql, &note.key, |elements| {
            Ok(elements.sound.iter().map(Element::to_datum).collect::<Vec<_>>())
        })
        .map_err(read_error)?;
        let Some(now) = now else {
            return self.clear(conn, &note.key);
        };
        match note.kind {
            NoteKind::Touched => {}
            NoteKind::Text | NoteKind::Element => {
                let sorted = self.sort(conn, note)?;
                self.decide(conn, note, &sorted, publishing, settled)?;
            }
        }
        self.rule_p(conn, &note.key, &now, publishing)
    }

    /// Publishes the clockless migrated adds that the source as it is now does not hold.
    fn rule_p(
        &self,
        conn: &Connection,
        key: &[Datum],
        now: &[Datum],
        publishing: &mut Publishing<'_>,
    ) -> Result<(), DbError> {
        for (element, dot) in self.migrated(conn, key)? {
            if !now.contains(&element) {
                publishing.add(conn, key, &element, &dot)?;
            }
        }
        Ok(())
    }

    /// Deletes the clockless migrated adds of an object that is gone.
    fn clear(&self, conn: &Connection, key: &[Datum]) -> Result<(), DbError> {
        for (element, dot) in self.migrated(conn, key)? {
            if !self.is_clocked(conn, key, &element, &dot)? {
                execute(conn, &self.sql.delete, key, &element, &dot)?;
            }
        }
        Ok(())
    }

    /// The adds of an object whose dot is the migration dot.
    fn migrated(&self, conn: &Connection, key: &[Datum]) -> Result<Vec<(Datum, Vec<u8>)>, DbError> {
        let mut dots = self.set.target.dots.clone();
        dots.object(key.iter().map(Datum::as_ref));
        let mut adds = self.adds_of(conn, key)?;
        adds.retain(|(element, dot)| dots.element(element.as_ref()).0[..] == dot[..]);
        Ok(adds)
    }

    fn adds_of(&self, conn: &Connection, key: &[Datum]) -> Result<Vec<(Datum, Vec<u8>)>, DbError> {
        conn.prepare_cached(&self.sql.adds_of)
            .and_then(|mut s| {
                s.query_map(rusqlite::params_from_iter(key), |row| {
                    let dot = match row.get(1)? {
                        Datum::Blob(dot) => dot,
                        _ => Vec::new(),
                    };
                    Ok((row.get(0)?, dot))
                })?
                .collect()
            })
            .doing("read the adds of an object")
    }

    fn is_removed(&self, conn: &Connection, dot: Dot) -> Result<bool, DbError> {
        conn.prepare_cached(&self.is_removed)
            .and_then(|mut s| s.query_row([&dot.0[..]], |_| Ok(())).optional())
            .map(|found| found.is_some())
            .doing("look for a remove")
    }

    fn is_clocked(
        &self,
        conn: &Connection,
        key: &[Datum],
        element: &Datum,
        dot: &[u8],
    ) -> Result<bool, DbError> {
        let Some(sql) = &self.sql.is_clocked else { return Ok(false) };
        let dot = Datum::Blob(dot.to_vec());
        let row = key.iter().chain([element, &dot]);
        conn.prepare_cached(sql)
            .and_then(|mut s| s.exists(rusqlite::params_from_iter(row)))
            .doing("look at the clock row of an add")
    }

    fn insert(
        &self,
        conn: &Connection,
        key: &[Datum],
        element: &Datum,
        dot: Dot,
    ) -> Result<(), DbError> {
        execute(conn, &self.sql.insert, key, element, &dot.0)
    }
}

fn execute(
    conn: &Connection,
    sql: &str,
    key: &[Datum],
    element: &Datum,
    dot: &[u8],
) -> Result<(), DbError> {
    let dot = Datum::Blob(dot.to_vec());
    let row = key.iter().chain([element, &dot]);
    conn.prepare_cached(sql)
        .and_then(|mut s| s.execute(rusqlite::params_from_iter(row)))
        .map(drop)
        .doing("write the adds of an object")
}

/// A reader that leaves flaws out fails only as the database does.
pub(super) fn read_error(error: SetError) -> DbError {
    match error {
        SetError::Db(error) => error,
        other => DbError::Sql { doing: other.to_string(), source: rusqlite::Error::InvalidQuery },
    }
}
