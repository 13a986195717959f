//! Reading a range of objects and deriving their adds, in a read snapshot that ends with the range.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use crate::db::{Datum, DbError, Doing, encode};
use crate::layout::or_set::{ClosedObjects, OldForm, SetSql, SetTarget};
use crate::split::{Position, Range};
use crate::transform::dot::{Dot, DotDeriver};
use crate::transform::or_set::{Elements, Flaw};

/// Why the old form of a range, or of an object, was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The old form holds something that is no element.
    #[error(
        "table {table}, row ({key}), {source_name}: {reason}; correct the row, or set \
         malformed = \"skip\", then repeat the command (`run` with --retry)",
        reason = .flaw.reason()
    )]
    Malformed {
        /// The table.
        table: String,
        /// The key, as SQL literals.
        key: String,
        /// The column, or the child table.
        source_name: String,
        /// What is wrong.
        flaw: Flaw,
    },
}

/// One object and its adds, in the order of the elements.
#[derive(Clone, Debug, PartialEq)]
pub struct SetObject {
    /// Its key.
    pub key: Vec<Datum>,
    /// Elements, with their dots.
    pub adds: Vec<(Datum, Dot)>,
}

/// The adds of the objects of one range.
#[derive(Clone, Debug)]
pub struct SetBatch {
    /// The range.
    pub range: Range,
    /// Its objects, in order; those without elements are left out.
    pub objects: Vec<SetObject>,
    /// Flawed elements that are left out.
    pub skipped: u64,
}

impl SetBatch {
    /// The first objects with about `adds` adds, at least one object, and the rest.
    #[must_use]
    pub fn split_at(mut self, adds: u64) -> (Self, Option<Self>) {
        let mut sum = 0;
        let mut fits = |object: &SetObject| {
            sum += object.adds.len() as u64;
            sum <= adds
        };
        let at = self.objects.iter().take_while(|object| fits(object)).count().max(1);
        if at >= self.objects.len() {
            return (self, None);
        }
        let objects = self.objects.split_off(at);
        let through = Position(self.objects[at - 1].key.clone());
        let rows = self.range.rows.saturating_sub(at as u64);
        let end = std::mem::replace(&mut self.range.through, through.clone());
        self.range.rows = self.range.rows.min(at as u64);
        let range = Range { after: Some(through), through: end, rows };
        (self, Some(Self { range, objects, skipped: 0 }))
    }

    /// How many adds there are.
    #[must_use]
    pub fn adds(&self) -> u64 {
        self.objects.iter().map(|object| object.adds.len() as u64).sum()
    }
}

/// Reads ranges of one target.
#[derive(Debug)]
pub struct SetReader<'a> {
    conn: &'a Connection,
    target: &'a SetTarget,
    sql: SetSql,
    dots: DotDeriver,
}

impl<'a> SetReader<'a> {
    /// Reads `target` through `conn`.
    #[must_use]
    pub fn new(conn: &'a Connection, target: &'a SetTarget) -> Self {
        Self { conn, target, sql: SetSql::new(target), dots: target.dots.clone() }
    }

    /// Derives the adds of a range.
    ///
    /// # Errors
    /// [`SetError::Malformed`] where an element is flawed and may not be skipped; else when the
    /// rows cannot be read.
    pub fn read(&mut self, range: &Range) -> Result<SetBatch, SetError> {
        let mut objects = Vec::new();
        let mut skipped = 0;
        let bounds = Bounds::of(range);
        let (target, dots) = (self.target, &mut self.dots);
        each_object(self.conn, target, &self.sql, &bounds, &mut |key, elements, _| {
            if let Some(flaw) = elements.flaws.first() {
                skipped += elements.flaws.len() as u64;
                if !target.skip_malformed {
                    return Err(malformed(target, key, *flaw));
                }
            }
            if !elements.sound.is_empty() {
                objects.push(SetObject { adds: adds_of(dots, key, elements), key: key.to_vec() });
            }
            Ok(())
        })?;
        Ok(SetBatch { range: range.clone(), objects, skipped })
    }
}

/// The adds of one object, in the order of the elements.
#[must_use]
pub fn adds_of(dots: &mut DotDeriver, key: &[Datum], elements: &Elements<'_>) -> Vec<(Datum, Dot)> {
    dots.object(key.iter().map(Datum::as_ref));
    elements.sound.iter().map(|e| (e.to_datum(), dots.element(e.as_ref()))).collect()
}

/// The error that names the object.
#[must_use]
pub fn malformed(target: &SetTarget, key: &[Datum], flaw: Flaw) -> SetError {
    SetError::Malformed {
        table: target.table.name.clone(),
        key: Position(key.to_vec()).to_string(),
        source_name: target.source().to_owned(),
        flaw,
    }
}

/// A half-open range of keys, open at either end where that is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bounds {
    /// The position before the first key.
    pub after: Option<Position>,
    /// The last key.
    pub through: Option<Position>,
}

impl Bounds {
    /// The bounds of a range of rows.
    #[must_use]
    pub fn of(range: &Range) -> Self {
        Self { after: range.after.clone(), through: Some(range.through.clone()) }
    }

    /// As a range of rows whose number is not known; one that is open at its end has an empty key
    /// there.
    #[must_use]
    pub fn to_range(&self) -> Range {
        let through = self.through.clone().unwrap_or_else(|| Position(Vec::new()));
        Range { after: self.after.clone(), through, rows: 0 }
    }

    /// The values for the parameters of [`SetSql::sources`] and [`SetSql::adds_in`].
    pub fn parameters(&self) -> impl Iterator<Item = &Datum> {
        self.after.iter().chain(&self.through).flat_map(|position| position.0.iter())
    }
}

/// What is done with an object: its key, its elements, and its old form, encoded.
pub type Visit<'f> =
    dyn FnMut(&[Datum], &Elements<'_>, &dyn Fn(&mut Vec<u8>)) -> Result<(), SetError> + 'f;

/// Visits the objects of a range, in order.
///
/// # Errors
/// What `visit` returns; else when the rows cannot be read.
pub fn each_object(
    conn: &Connection,
    target: &SetTarget,
    sql: &SetSql,
    bounds: &Bounds,
    visit: &mut Visit<'_>,
) -> Result<(), SetError> {
    let what = "read the old form";
    let text = sql.sources(bounds.after.is_some(), bounds.through.is_some());
    let mut statement = conn.prepare_cached(text).doing(what)?;
    let mut rows = statement.query(rusqlite::params_from_iter(bounds.parameters())).doing(what)?;
    let keys = sql.keys();
    match &target.old {
        OldForm::Column { format, .. } => {
            while let Some(row) = rows.next().doing(what)? {
                let key = key_of(row, keys).doing(what)?;
                let source = row.get_ref(keys).doing(what)?;
                let elements = Elements::of_text(source, *format);
                visit(&key, &elements, &|out| encode(source, out))?;
            }
        }
        OldForm::Rows { .. } => {
            let mut group: Option<(Vec<Datum>, Vec<Datum>)> = None;
            while let Some(row) = rows.next().doing(what)? {
                let key = key_of(row, keys).doing(what)?;
                let member = member_of(row, keys).doing(what)?;
                match &mut group {
                    Some((same, values)) if *same == key => values.extend(member),
                    _ => {
                        visit_rows(group.replace((key, member.into_iter().collect())), visit)?;
                    }
                }
            }
            visit_rows(group, visit)?;
        }
    }
    Ok(())
}

/// Reads one object by its key; `None` where there is none.
///
/// # Errors
/// As [`each_object`].
pub fn one_object<T>(
    conn: &Connection,
    target: &SetTarget,
    sql: &SetSql,
    key: &[Datum],
    visit: impl FnOnce(&Elements<'_>) -> Result<T, SetError>,
) -> Result<Option<T>, SetError> {
    let what = "read the old form of an object";
    let mut statement = conn.prepare_cached(&sql.source_of).doing(what)?;
    let mut rows = statement.query(rusqlite::params_from_iter(key)).doing(what)?;
    match &target.old {
        OldForm::Column { format, .. } => match rows.next().doing(what)? {
            None => Ok(None),
            Some(row) => {
                let source = row.get_ref(0).doing(what)?;
                visit(&Elements::of_text(source, *format)).map(Some)
            }
        },
        OldForm::Rows { .. } => {
            let mut values: Option<Vec<Datum>> = None;
            while let Some(row) = rows.next().doing(what)? {
                values.get_or_insert_default().extend(member_of(row, 0).doing(what)?);
            }
            let Some(values) = values else { return Ok(None) };
            visit(&Elements::of_values(values.iter().map(Datum::as_ref))).map(Some)
        }
    }
}

/// True where the new form of the object is authoritative: nothing of it is derived.
///
/// # Errors
/// When the cohort cannot be read.
pub fn is_closed(
    conn: &Connection,
    target: &SetTarget,
    sql: &SetSql,
    key: &[Datum],
) -> Result<bool, DbError> {
    let Some(in_cohort) = &sql.in_cohort else { return Ok(target.closed == ClosedObjects::All) };
    conn.prepare_cached(in_cohort)
        .and_then(|mut s| s.exists(rusqlite::params_from_iter(key)))
        .doing("look for an object of the cohort")
}

fn key_of(row: &Row<'_>, keys: usize) -> rusqlite::Result<Vec<Datum>> {
    (0..keys).map(|i| row.get(i)).collect()
}

/// The element of a child table's row, where there is a row.
fn member_of(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Datum>> {
    if row.get(at)? { row.get(at + 1).map(Some) } else { Ok(None) }
}

fn visit_rows(
    group: Option<(Vec<Datum>, Vec<Datum>)>,
    visit: &mut Visit<'_>,
) -> Result<(), SetError> {
    let Some((key, values)) = group else { return Ok(()) };
    let elements = Elements::of_values(values.iter().map(Datum::as_ref));
    visit(&key, &elements, &|out| {
        let sound = elements.sound.iter().map(|element| element.as_ref());
        sound.for_each(|value: ValueRef<'_>| encode(value, out));
    })
}
