//! Reading notes: what they say, in the order in which they were made, of each key.

use std::collections::HashMap;

use rusqlite::Connection;

use super::Drainer;
use crate::db::{Datum, DbError, Doing};
use crate::layout::NoteKind;
use crate::write::fill::encoded;

/// What the notes of a batch say, in the end, of the row that has a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Nothing: the table of users' keys says it.
    Known,
    /// The cell is a user's.
    User,
    /// The cell is ours.
    Ours,
    /// The row that had the key has another one now.
    Gone,
}

/// The keys of a batch of notes.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// The id of the last note; `None` where there was none.
    pub last: Option<i64>,
    /// Each key once, in the order of its first note, with what the notes say of it.
    pub keys: Vec<(Vec<Datum>, Claim)>,
    slots: HashMap<Vec<u8>, usize>,
}

impl Noted {
    fn claim(&mut self, key: Vec<Datum>) -> &mut Claim {
        let slot = *self.slots.entry(encoded(&key)).or_insert_with(|| {
            self.keys.push((key, Claim::Known));
            self.keys.len() - 1
        });
        &mut self.keys[slot].1
    }
}

impl Drainer<'_> {
    /// The first notes, as what they say of each key.
    pub(super) fn take(&self, conn: &Connection, limit: u64) -> Result<Noted, DbError> {
        let what = "read the noted keys";
        let keys = self.target.table.key.len();
        let mut statement = conn.prepare_cached(&self.sql.take).doing(what)?;
        let mut rows = statement.query([limit.cast_signed()]).doing(what)?;
        let mut noted = Noted::default();
        while let Some(row) = rows.next().doing(what)? {
            let columns = |from: usize| {
                (from..from + keys).map(|i| row.get(i)).collect::<rusqlite::Result<Vec<Datum>>>()
            };
            noted.last = Some(row.get(0).doing(what)?);
            let key = columns(2).doing(what)?;
            match NoteKind::from_code(row.get(1).doing(what)?) {
                Some(NoteKind::Insert { null: true }) if self.target.fill_null => {
                    let shared = key.contains(&Datum::Null);
                    let claim = noted.claim(key);
                    *claim = if shared { *claim } else { Claim::Ours };
                }
                Some(NoteKind::Target { null: true }) if self.target.fill_null => {
                    noted.claim(key);
                }
                Some(NoteKind::Insert { .. } | NoteKind::Target { .. }) => {
                    *noted.claim(key) = Claim::User;
                }
                Some(NoteKind::Key) => {
                    self.take_move(conn, &mut noted, columns(2 + keys).doing(what)?, key)?;
                }
                Some(NoteKind::Source) | None => {
                    noted.claim(key);
                }
            }
        }
        Ok(noted)
    }

    /// A row went from key `old` to key `new`, and its claim with it.
    fn take_move(
        &self,
        conn: &Connection,
        noted: &mut Noted,
        old: Vec<Datum>,
        new: Vec<Datum>,
    ) -> Result<(), DbError> {
        if encoded(&old) == encoded(&new) {
            noted.claim(new);
            return Ok(());
        }
        let claim = match *noted.claim(old.clone()) {
            Claim::Known if self.clock.is_some() => Claim::Known,
            Claim::Known if self.is_user(conn, &old)? => Claim::User,
            Claim::Known | Claim::Gone => Claim::Ours,
            known @ (Claim::User | Claim::Ours) => known,
        };
        // A key that holds a NULL may be shared: the rows that still have it keep their claim.
        if !old.contains(&Datum::Null) {
            *noted.claim(old) = Claim::Gone;
        }
        *noted.claim(new) = claim;
        Ok(())
    }
}
