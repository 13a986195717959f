//! Reading the old form and what the new form shows, and comparing them object by object. Reads
//! only, one range of objects at a time; who calls holds no lock between ranges.

use std::collections::HashMap;

use rusqlite::Connection;

use super::agreement::{Comparer, Disagreement};
use super::triggers::cohort_table;
use crate::db::quote::{ident, list};
use crate::db::{Datum, DbError, Doing, encode};
use crate::layout::or_set::{SetSql, SetTarget};
use crate::scan::or_set::{Bounds, SetError, each_object, one_object};
use crate::transform::or_set::Element;

/// Compares objects of one set.
#[derive(Debug)]
pub struct FormReader<'t> {
    target: &'t SetTarget,
    sql: SetSql,
    visible_of: String,
    keys: usize,
    /// One row where the epoch of the object `?1..` is closed, where such objects are left out.
    left_out: Option<String>,
}

impl<'t> FormReader<'t> {
    /// Reads the forms of `target`.
    #[must_use]
    pub fn new(target: &'t SetTarget) -> Self {
        let names = target.keys();
        let pairs: Vec<_> =
            names.iter().enumerate().map(|(i, name)| format!("{name} = ?{}", i + 1)).collect();
        let visible_of = format!(
            "SELECT DISTINCT element FROM {} AS a WHERE {} AND NOT EXISTS \
             (SELECT 1 FROM {} AS r WHERE r.dot = a.dot) ORDER BY element",
            ident(&target.adds),
            pairs.join(" AND "),
            ident(&target.removes)
        );
        Self { target, sql: SetSql::new(target), visible_of, keys: names.len(), left_out: None }
    }

    /// Leaves out the objects whose epoch is closed before that of the others: their new form is
    /// authoritative already.
    #[must_use]
    pub fn without_cohort(mut self) -> Self {
        let sides = self.target.side_keys();
        let pairs: Vec<_> =
            sides.iter().enumerate().map(|(i, side)| format!("{side} = ?{}", i + 1)).collect();
        self.left_out = Some(format!(
            "SELECT 1 FROM {} WHERE {}",
            cohort_table(self.target.n),
            pairs.join(" AND ")
        ));
        self
    }

    fn is_left_out(&self, conn: &Connection, key: &[Datum]) -> Result<bool, DbError> {
        let Some(sql) = &self.left_out else { return Ok(false) };
        conn.prepare_cached(sql)
            .and_then(|mut s| s.exists(rusqlite::params_from_iter(key)))
            .doing("look for an object of the cohort")
    }

    /// Adds the objects of a range to `comparer`.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn range(
        &self,
        conn: &Connection,
        bounds: &Bounds,
        comparer: &mut Comparer,
    ) -> Result<(), SetError> {
        let mut visible = self.visible_in(conn, bounds)?;
        each_object(conn, self.target, &self.sql, bounds, &mut |key, elements, _| {
            if self.is_left_out(conn, key)? {
                return Ok(());
            }
            let old: Vec<Datum> = elements.sound.iter().map(Element::to_datum).collect();
            let new = visible.remove(&encoded(key)).unwrap_or_default();
            comparer.found.flaws += elements.flaws.len() as u64;
            comparer.add(key, &old, &new);
            Ok(())
        })
    }

    /// What the new form shows, by the encoded key of the object.
    fn visible_in(
        &self,
        conn: &Connection,
        bounds: &Bounds,
    ) -> Result<HashMap<Vec<u8>, Vec<Datum>>, DbError> {
        let what = "read the new form";
        let within = match (&bounds.after, &bounds.through) {
            (None, None) => self.sql.range.after(false).to_owned(),
            (Some(_), None) => self.sql.range.after(true).to_owned(),
            (after, Some(_)) => self.sql.range.within(after.is_some()),
        };
        let removed =
            format!("SELECT 1 FROM {} AS r WHERE r.dot = a.dot", ident(&self.target.removes));
        let sql = format!(
            "SELECT {}, element FROM {} AS a WHERE {within} AND NOT EXISTS ({removed}) \
             ORDER BY {}, element",
            list(self.target.keys()),
            ident(&self.target.adds),
            self.sql.range.order
        );
        let mut statement = conn.prepare_cached(&sql).doing(what)?;
        let mut rows =
            statement.query(rusqlite::params_from_iter(bounds.parameters())).doing(what)?;
        let mut visible: HashMap<Vec<u8>, Vec<Datum>> = HashMap::new();
        while let Some(row) = rows.next().doing(what)? {
            let mut key = Vec::new();
            for i in 0..self.keys {
                encode(row.get_ref(i).doing(what)?, &mut key);
            }
            let element: Datum = row.get(self.keys).doing(what)?;
            let elements = visible.entry(key).or_default();
            if elements.last() != Some(&element) {
                elements.push(element);
            }
        }
        Ok(visible)
    }

    /// The elements of the old form of one object; `None` where there is no such object.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn old_of(&self, conn: &Connection, key: &[Datum]) -> Result<Option<Vec<Datum>>, SetError> {
        one_object(conn, self.target, &self.sql, key, |elements| {
            Ok(elements.sound.iter().map(Element::to_datum).collect())
        })
    }

    /// What the new form shows of one object, whether or not it exists.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn visible_of(&self, conn: &Connection, key: &[Datum]) -> Result<Vec<Datum>, DbError> {
        conn.prepare_cached(&self.visible_of)
            .and_then(|mut s| {
                s.query_map(rusqlite::params_from_iter(key), |row| row.get(0))?.collect()
            })
            .doing("read the new form of an object")
    }

    /// How the forms of one object differ, where there is such an object and they do.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn differ(
        &self,
        conn: &Connection,
        key: &[Datum],
        comparer: &Comparer,
    ) -> Result<Option<Disagreement>, SetError> {
        if self.is_left_out(conn, key)? {
            return Ok(None);
        }
        let Some(old) = self.old_of(conn, key)? else { return Ok(None) };
        let new = self.visible_of(conn, key)?;
        Ok(comparer.differ(key, &old, &new))
    }
}

/// The key as bytes that are equal where keys are.
pub(super) fn encoded(key: &[Datum]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in key {
        encode(value.as_ref(), &mut bytes);
    }
    bytes
}
