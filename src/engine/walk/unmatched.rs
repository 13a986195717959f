//! Rows of two replicas that have no equal on the other one, until all of both were seen. Beyond a
//! number of bytes they are kept in a temporary database, which `SQLite` removes.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::super::difference::RowVerdict;
use crate::db::{Datum, DbError, Doing};
use crate::verify::RowFacts;

/// Bytes that a row takes besides its key, about.
pub(super) const ROW_BYTES: u64 = 160;

/// Which of the two replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Here = 0,
    There = 1,
}

/// Source hash and value hash of a row.
type Hashes = (u128, u128);
/// Rows of one side by encoded key. Rows may share a key that holds a NULL.
type Rows = HashMap<Box<[u8]>, Vec<Hashes>>;

/// The rows of both sides of one encoded key.
type OfKey = (Box<[u8]>, [Vec<Hashes>; 2]);

/// A key of which rows differ: how, and how many.
pub(super) type Found = (Vec<Datum>, RowVerdict, u64);

/// The rows without an equal.
#[derive(Debug)]
pub(super) struct Unmatched {
    /// Bytes that may be kept in memory.
    bytes_max: u64,
    bytes: u64,
    sides: [Rows; 2],
    spilled: Option<Connection>,
}

impl Unmatched {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, bytes: 0, sides: [Rows::new(), Rows::new()], spilled: None }
    }

    /// Adds rows whose keys were kept.
    pub(super) fn add(&mut self, side: Side, rows: &[RowFacts]) -> Result<(), DbError> {
        let (own, other) = match side {
            Side::Here => (0, 1),
            Side::There => (1, 0),
        };
        for row in rows {
            let Some(key) = row.key.as_deref() else { continue };
            let hashes = (row.sources, row.values);
            if take(&mut self.sides[other], key, hashes) {
                self.bytes = self.bytes.saturating_sub(row.key_bytes + ROW_BYTES);
                continue;
            }
            self.sides[own].entry(key.into()).or_default().push(hashes);
            self.bytes += row.key_bytes + ROW_BYTES;
        }
        if self.bytes > self.bytes_max { self.spill() } else { Ok(()) }
    }

    /// Moves all rows out of memory.
    fn spill(&mut self) -> Result<(), DbError> {
        let what = "keep differing rows in a temporary database";
        let conn = match self.spilled.take() {
            Some(conn) => conn,
            None => temporary().doing(what)?,
        };
        let sides = std::mem::take(&mut self.sides);
        self.bytes = 0;
        let insert = |conn: &Connection| {
            let mut insert = conn.prepare_cached("INSERT INTO r VALUES (?1, ?2, ?3, ?4)")?;
            for (side, rows) in (0_i64..).zip(sides) {
                for (key, all) in rows {
                    for (sources, values) in all {
                        let hashes = (sources.to_le_bytes(), values.to_le_bytes());
                        insert.execute(params![key, side, hashes.0, hashes.1])?;
                    }
                }
            }
            Ok::<_, rusqlite::Error>(())
        };
        insert(&conn).doing(what)?;
        self.spilled = Some(conn);
        Ok(())
    }

    /// Hands on every key of which rows differ, in the order of keys; in that of their encoding
    /// where rows were spilled.
    pub(super) fn finish(
        mut self,
        found: &mut dyn FnMut(Found) -> Result<(), DbError>,
    ) -> Result<(), DbError> {
        if self.spilled.is_none() {
            return differences(self.sides).into_iter().try_for_each(found);
        }
        self.spill()?;
        let Some(conn) = self.spilled else { return Ok(()) };
        let what = "sort differing rows";
        let mut select = conn
            .prepare("SELECT key, side, sources, vals FROM r ORDER BY key, side")
            .doing(what)?;
        let mut rows = select.query([]).doing(what)?;
        let mut group: Option<OfKey> = None;
        while let Some(row) = rows.next().doing(what)? {
            let key = row.get_ref(0).and_then(|key| Ok(key.as_blob()?)).doing(what)?;
            let side = usize::from(row.get::<_, bool>(1).doing(what)?);
            let number = |column| row.get(column).map(u128::from_le_bytes).doing(what);
            let hashes = (number(2)?, number(3)?);
            match &mut group {
                Some((same, sides)) if **same == *key => sides[side].push(hashes),
                _ => {
                    let mut sides = [Vec::new(), Vec::new()];
                    sides[side].push(hashes);
                    if let Some((key, sides)) = group.replace((key.into(), sides)) {
                        verdicts(&key, sides).try_for_each(&mut *found)?;
                    }
                }
            }
        }
        let last = group.into_iter();
        last.flat_map(|(key, sides)| verdicts(&key, sides).collect::<Vec<_>>()).try_for_each(found)
    }
}

/// A database in a temporary file, which nobody else can open and no crash need leave whole.
fn temporary() -> rusqlite::Result<Connection> {
    let conn = Connection::open("")?;
    conn.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -8192;
         CREATE TABLE r (key BLOB, side INTEGER, sources BLOB, vals BLOB); BEGIN;",
    )?;
    Ok(conn)
}

/// Takes a row of that key and those hashes out; false where there is none.
fn take(rows: &mut Rows, key: &[u8], hashes: Hashes) -> bool {
    let Some(found) = rows.get_mut(key) else { return false };
    let Some(at) = found.iter().position(|other| *other == hashes) else { return false };
    found.swap_remove(at);
    if found.is_empty() {
        rows.remove(key);
    }
    true
}

/// The keys that differ, in order, each with its verdict and how many rows of that key have it.
fn differences([ours, mut theirs]: [Rows; 2]) -> Vec<Found> {
    let mut found = Vec::new();
    for (key, here) in ours {
        let there = theirs.remove(&key).unwrap_or_default();
        found.extend(verdicts(&key, [here, there]));
    }
    for (key, there) in theirs {
        found.extend(verdicts(&key, [Vec::new(), there]));
    }
    found.sort_by(|(a, x, _), (b, y, _)| in_order(a, b).then(x.cmp(y)));
    found
}

/// How the rows of one key differ.
fn verdicts(key: &[u8], [here, mut there]: [Vec<Hashes>; 2]) -> impl Iterator<Item = Found> {
    // Those that met only in the temporary database.
    let here = here.into_iter().filter(|hashes| {
        let at = there.iter().position(|other| other == hashes);
        at.is_none_or(|at| {
            there.swap_remove(at);
            false
        })
    });
    let here: Vec<Hashes> = here.collect();
    let (diverged, in_flight) = tell_apart(here, there);
    let key = decode(key);
    [(RowVerdict::Diverged, diverged), (RowVerdict::InFlight, in_flight)]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(move |(verdict, count)| (key.clone(), verdict, count))
}

/// Of rows of one key: those with a counterpart of the same source, and the others.
fn tell_apart(here: Vec<Hashes>, mut there: Vec<Hashes>) -> (u64, u64) {
    let (mut diverged, mut alone) = (0, 0);
    for (sources, _) in here {
        match there.iter().position(|(other, _)| *other == sources) {
            Some(at) => {
                there.swap_remove(at);
                diverged += 1;
            }
            None => alone += 1,
        }
    }
    (diverged, alone.max(there.len() as u64))
}

fn decode(mut bytes: &[u8]) -> Vec<Datum> {
    let mut key = Vec::new();
    while let Some((datum, rest)) = Datum::decode(bytes) {
        key.push(datum);
        bytes = rest;
    }
    key
}

/// The order of keys for people: NULLs, numbers, texts, blobs.
fn in_order(a: &[Datum], b: &[Datum]) -> std::cmp::Ordering {
    let class = |datum: &Datum| match datum {
        Datum::Null => 0,
        Datum::Integer(_) => 1,
        Datum::Real(_) => 2,
        Datum::Text(_) => 3,
        Datum::Blob(_) => 4,
    };
    let one = |a: &Datum, b: &Datum| match (a, b) {
        (Datum::Integer(a), Datum::Integer(b)) => a.cmp(b),
        (Datum::Real(a), Datum::Real(b)) => a.total_cmp(b),
        (Datum::Text(a), Datum::Text(b)) | (Datum::Blob(a), Datum::Blob(b)) => a.cmp(b),
        _ => class(a).cmp(&class(b)),
    };
    a.iter().zip(b).map(|(a, b)| one(a, b)).find(|o| o.is_ne()).unwrap_or(a.len().cmp(&b.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::encode;

    #[test]
    fn rows_of_one_key_are_told_apart_by_their_sources() {
        assert_eq!(tell_apart(vec![(1, 1)], vec![(1, 2)]), (1, 0));
        assert_eq!(tell_apart(vec![(1, 1)], vec![(2, 1)]), (0, 1));
        assert_eq!(tell_apart(vec![(1, 1), (2, 2), (3, 3)], vec![(3, 4)]), (1, 2));
        assert_eq!(tell_apart(Vec::new(), vec![(3, 4), (3, 4)]), (0, 2));
    }

    fn row(key: i64, sources: u128, values: u128) -> RowFacts {
        let mut bytes = Vec::new();
        encode(rusqlite::types::ValueRef::Integer(key), &mut bytes);
        let key_bytes = bytes.len() as u64;
        RowFacts { leaf: 0, sources, values, key_bytes, key: Some(bytes.into()) }
    }

    /// What is found where `bytes_max` may be kept in memory.
    fn found(bytes_max: u64) -> Vec<Found> {
        let mut unmatched = Unmatched::new(bytes_max);
        let here: Vec<RowFacts> = (0..500).map(|i| row(i, i.cast_unsigned().into(), 7)).collect();
        let mut there = here.clone();
        there[3].values = 8;
        there[200].sources = 9;
        there.remove(499);
        there.push(row(1000, 1, 1));
        // Rows of one key, as NULLs make them.
        there.push(row(1000, 1, 1));
        for (here, there) in here.chunks(90).zip(there.chunks(70)) {
            unmatched.add(Side::Here, here).expect("room");
            unmatched.add(Side::There, there).expect("room");
        }
        unmatched.add(Side::There, &there[420..]).expect("room");
        assert_eq!(unmatched.spilled.is_some(), bytes_max < 1 << 20, "premise");
        let mut found = Vec::new();
        let mut push = |one| {
            found.push(one);
            Ok(())
        };
        unmatched.finish(&mut push).expect("rows");
        found
    }

    #[test]
    fn what_was_spilled_is_told_apart_as_what_was_not() {
        let key = |i| vec![Datum::Integer(i)];
        let (diverged, in_flight) = (RowVerdict::Diverged, RowVerdict::InFlight);
        let want = vec![
            (key(3), diverged, 1),
            (key(200), in_flight, 1),
            (key(499), in_flight, 1),
            (key(1000), in_flight, 2),
        ];
        assert_eq!(found(1 << 20), want);
        let mut spilled = found(2000);
        spilled.sort_by(|(a, x, _), (b, y, _)| in_order(a, b).then(x.cmp(y)));
        assert_eq!(spilled, want);
    }
}
