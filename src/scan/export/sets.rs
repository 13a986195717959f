//! Reading the adds that are ours, object by object, as set values: what is shipped of sets. Writes
//! nothing.
//!
//! # Invariants
//! The set of an object are the elements of its adds whose dot is their migration dot and which have
//! no clock row ([`crate::layout::or_set`]): every other add travels by itself. That is so whether
//! the old form is authoritative or not: it is read from the new form alone.

use std::collections::HashSet;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params_from_iter};

use super::exported::KEY_BYTES_MAX;
use super::implied::Blocks;
use super::{Bound, Exported, Next, TooLarge, rest};
use crate::db::{Datum, DbError, Doing};
use crate::delta::{CELL_BYTES, ROWS_BYTES_MAX, set_value};
use crate::layout::Verdict;
use crate::layout::or_set::{SetExportSql, SetSql, SetTarget};
use crate::split::{Position, Range, Splitter};
use crate::transform::dot::DotDeriver;

/// Bytes before those of an element in a set value, and of one as a value of its own.
const ELEMENT_BYTES: usize = 9 + CELL_BYTES;

/// Reads ranges of one target, whose table is walked by its key.
#[derive(Debug)]
pub struct SetExportReader<'a> {
    conn: &'a Connection,
    target: &'a SetTarget,
    noted: SetExportSql,
    unnoted: SetExportSql,
    is_clocked: Option<String>,
    any_key: Option<String>,
    /// True where others' changes are noted.
    follows: bool,
}

/// What becomes of one object: its key, whether it is noted, its set, and the bytes of both as a
/// reader has to do with them. Returns true where there is enough.
type Take<'t> = dyn FnMut(&[Datum], Verdict, Vec<Datum>, usize) -> bool + 't;

impl<'a> SetExportReader<'a> {
    /// Reads `target` through `conn`; `follows` while others' changes are noted.
    #[must_use]
    pub fn new(conn: &'a Connection, target: &'a SetTarget, follows: bool) -> Self {
        let SetSql { is_clocked, any_key, .. } = SetSql::new(target);
        let [noted, unnoted] = [true, false].map(|noted| SetExportSql::new(target, noted));
        Self { conn, target, noted, unnoted, is_clocked, any_key, follows }
    }

    /// As [`super::ExportReader::read`].
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn read(&self, range: &Range) -> Result<(Exported, Option<Range>), DbError> {
        self.in_snapshot(|| self.read_in_snapshot(range))
    }

    /// As [`super::ExportReader::read_implied`].
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn read_implied(&self, range: &Range) -> Result<(Exported, Option<Range>), DbError> {
        self.in_snapshot(|| {
            let (mut found, mut blocks) = (Exported::default(), Blocks::default());
            let left_at = self.each_of_range(range, &mut |key, verdict, set, bytes| {
                found.count(verdict);
                found.passed += 1;
                found.too_large = too_large(key, bytes);
                let key: Vec<ValueRef<'_>> = key.iter().map(Datum::as_ref).collect();
                if found.too_large.is_none() {
                    let set = (verdict == Verdict::Ours).then(|| set_value(set));
                    blocks.push_set(&key, set.as_deref(), bytes);
                }
                found.too_large.is_some() || blocks.is_full()
            })?;
            found.blocks = blocks.finish();
            Ok((found, rest(range, left_at)))
        })
    }

    /// As [`super::ExportReader::read_keys`].
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn read_keys(&self, keys: &[Vec<Datum>]) -> Result<Exported, DbError> {
        self.in_snapshot(|| {
            let mut found = Exported::default();
            let sql = self.sql()?;
            for key in keys {
                let before = found.passed;
                let clocked = self.dots(sql.clocked_one.as_deref(), key)?;
                self.each(&sql.select_one, key.iter(), &clocked, &mut |key, verdict, set, n| {
                    found.add_set(key, verdict, set, n);
                    false
                })?;
                found.missing += u64::from(found.passed == before);
                found.passed = before + 1;
                if found.is_full() {
                    break;
                }
            }
            Ok(found)
        })
    }

    /// As [`super::ExportReader::read_next`], of a table whose positions hold for any schema.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn read_next(
        &self,
        after: Option<&Position>,
        bound: &Bound,
        rows: u64,
    ) -> Result<Next, DbError> {
        self.in_snapshot(|| {
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

    fn in_snapshot<T>(&self, body: impl FnOnce() -> Result<T, DbError>) -> Result<T, DbError> {
        self.conn.execute_batch("BEGIN").doing("begin a snapshot")?;
        let result = body();
        self.conn.execute_batch("COMMIT").doing("end a snapshot")?;
        result
    }

    fn read_in_snapshot(&self, range: &Range) -> Result<(Exported, Option<Range>), DbError> {
        let mut found = Exported::default();
        let left_at = self.each_of_range(range, &mut |key, verdict, set, bytes| {
            found.add_set(key, verdict, set, bytes);
            found.is_full()
        })?;
        Ok((found, rest(range, left_at)))
    }

    fn each_of_range(
        &self,
        range: &Range,
        take: &mut Take<'_>,
    ) -> Result<Option<Position>, DbError> {
        let sql = self.sql()?;
        let bounds: Vec<Datum> =
            range.after.iter().chain([&range.through]).flat_map(|p| p.0.clone()).collect();
        let clocked = self.dots(sql.clocked(range.bounded()), &bounds)?;
        self.each(sql.select(range.bounded()), bounds.iter(), &clocked, take)
    }

    /// The statements, with a look at the noted objects only where there are any.
    fn sql(&self) -> Result<&SetExportSql, DbError> {
        if !self.follows {
            return Ok(&self.unnoted);
        }
        let any = format!("SELECT 1 FROM {} LIMIT 1", self.target.dirty_table());
        let any = self.conn.prepare_cached(&any).and_then(|mut s| s.exists([]));
        Ok(if any.doing("look for noted objects")? { &self.noted } else { &self.unnoted })
    }

    /// The dots that a statement selects, those of adds that may have clock rows.
    fn dots(&self, sql: Option<&str>, parameters: &[Datum]) -> Result<HashSet<Vec<u8>>, DbError> {
        let what = "look for what users have added";
        let (Some(sql), Some(any_key)) = (sql, &self.any_key) else { return Ok(HashSet::new()) };
        let any = self.conn.prepare_cached(any_key).and_then(|mut s| s.exists([]));
        if !any.doing(what)? {
            return Ok(HashSet::new());
        }
        self.conn
            .prepare_cached(sql)
            .and_then(|mut s| {
                let dot = |row: &Row<'_>| Ok(row.get_ref(0)?.as_blob().unwrap_or(&[]).to_vec());
                s.query_map(params_from_iter(parameters), dot)?.collect()
            })
            .doing(what)
    }

    /// Takes object after object, until there is enough: the position at which that was.
    fn each<'p>(
        &self,
        sql: &str,
        parameters: impl Iterator<Item = &'p Datum>,
        clocked: &HashSet<Vec<u8>>,
        take: &mut Take<'_>,
    ) -> Result<Option<Position>, DbError> {
        let what = "read the adds to ship";
        let keys = self.target.table.key.len();
        let mut statement = self.conn.prepare_cached(sql).doing(what)?;
        let mut rows = statement.query(params_from_iter(parameters)).doing(what)?;
        let mut object = Object::new(self, clocked);
        while let Some(row) = rows.next().doing(what)? {
            if !object.is(row, keys).doing(what)? {
                if object.end(take) {
                    return Ok(Some(Position(object.key)));
                }
                object.begin(row, keys).doing(what)?;
            }
            object.add(row, keys)?;
        }
        Ok(object.end(take).then_some(Position(object.key)))
    }
}

/// The object whose adds are being read.
struct Object<'o> {
    reader: &'o SetExportReader<'o>,
    clocked: &'o HashSet<Vec<u8>>,
    dots: DotDeriver,
    key: Vec<Datum>,
    verdict: Verdict,
    set: Vec<Datum>,
    bytes: usize,
}

impl<'o> Object<'o> {
    fn new(reader: &'o SetExportReader<'_>, clocked: &'o HashSet<Vec<u8>>) -> Self {
        let dots = reader.target.dots.clone();
        let (key, set) = (Vec::new(), Vec::new());
        Self { reader, clocked, dots, key, verdict: Verdict::Ours, set, bytes: 0 }
    }

    /// True where the row is of this object.
    fn is(&self, row: &Row<'_>, keys: usize) -> rusqlite::Result<bool> {
        if self.key.len() != keys {
            return Ok(false);
        }
        for (i, value) in self.key.iter().enumerate() {
            if row.get_ref(i)? != value.as_ref() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Hands out the object, where one was begun; true where there is enough.
    fn end(&mut self, take: &mut Take<'_>) -> bool {
        let set = std::mem::take(&mut self.set);
        !self.key.is_empty() && take(&self.key, self.verdict, set, self.bytes)
    }

    fn begin(&mut self, row: &Row<'_>, keys: usize) -> rusqlite::Result<()> {
        self.key.clear();
        for i in 0..keys {
            self.key.push(row.get(i)?);
        }
        let noted: bool = row.get(keys)?;
        self.verdict = if noted { Verdict::Noted } else { Verdict::Ours };
        self.bytes = self.key.iter().map(|value| CELL_BYTES + size(value.as_ref())).sum();
        self.bytes += CELL_BYTES;
        self.dots.object(self.key.iter().map(Datum::as_ref));
        Ok(())
    }

    /// Adds the element of a row, where it is ours.
    fn add(&mut self, row: &Row<'_>, keys: usize) -> Result<(), DbError> {
        let what = "read the adds to ship";
        let (element, dot) =
            (row.get_ref(keys + 1).doing(what)?, row.get_ref(keys + 2).doing(what)?);
        let ValueRef::Blob(dot) = dot else { return Ok(()) };
        if self.verdict != Verdict::Ours || self.dots.element(element).0[..] != *dot {
            return Ok(());
        }
        if self.clocked.contains(dot) && self.is_clocked(element.into(), dot)? {
            return Ok(());
        }
        self.bytes = self.bytes.saturating_add(ELEMENT_BYTES + 2 * size(element));
        // What no delta can hold is not gathered.
        if self.bytes <= ROWS_BYTES_MAX {
            self.set.push(element.into());
        }
        Ok(())
    }

    fn is_clocked(&self, element: Datum, dot: &[u8]) -> Result<bool, DbError> {
        let Some(sql) = &self.reader.is_clocked else { return Ok(false) };
        let (element, dot) = ([element], [Datum::Blob(dot.to_vec())]);
        let add = self.key.iter().chain(&element).chain(&dot);
        let found = self.reader.conn.prepare_cached(sql);
        found
            .and_then(|mut s| s.exists(params_from_iter(add)))
            .doing("look at the clock row of an add")
    }
}

fn size(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 0,
    }
}

/// The object that no delta can hold.
fn too_large(key: &[Datum], bytes: usize) -> Option<TooLarge> {
    let of_key: usize = key.iter().map(|value| CELL_BYTES + size(value.as_ref())).sum();
    if of_key > KEY_BYTES_MAX {
        return Some(TooLarge { key: Vec::new(), bytes: of_key, limit: KEY_BYTES_MAX });
    }
    (bytes > ROWS_BYTES_MAX).then(|| TooLarge { key: key.to_vec(), bytes, limit: ROWS_BYTES_MAX })
}

impl Exported {
    /// Adds or counts an object.
    fn add_set(&mut self, key: &[Datum], verdict: Verdict, set: Vec<Datum>, bytes: usize) {
        self.passed += 1;
        if verdict != Verdict::Ours {
            return self.count(verdict);
        }
        self.too_large = too_large(key, bytes);
        if self.too_large.is_none() {
            let value = set_value(set);
            let parts = key.iter().map(Datum::as_ref);
            self.push_sized(key.len(), parts, ValueRef::Blob(&value), bytes);
        }
    }
}
