//! The validator of `read-new-write-both`, where applications write both forms: every object that
//! anybody touches is noted, and its forms are compared once its old form is derived. What differs is
//! listed until it agrees again.
//!
//! # Definitions
//! - `_dotfill_touched_<n>(id, key columns, dot)`: notes of ordinary triggers: a key, or the dot of a
//!   remove, which names its object only through the table of adds.
//! - `_dotfill_disagree_<n>(key columns, detail)`: objects whose forms differ, with how, as JSON.
//!
//! # Invariants
//! As in [`crate::layout::note_schema`]: what notes cannot fail and evaluates nothing. A note goes in
//! the transaction that writes down what it came to.

use std::collections::HashSet;

use rusqlite::Connection;

use super::agreement::Comparer;
use super::compare::{FormReader, encoded};
use super::set::EpochSet;
use crate::db::quote::{ident, list};
use crate::db::{Datum, DbError, Doing};
use crate::layout::or_set::{OldForm, SetSql};

/// The name of the table of touched objects.
#[must_use]
pub fn touched_table(n: i64) -> String {
    format!("_dotfill_touched_{n}")
}

/// The name of the table of objects whose forms differ.
#[must_use]
pub fn disagree_table(n: i64) -> String {
    format!("_dotfill_disagree_{n}")
}

const TRIGGERS: [&str; 11] = [
    "object",
    "object_gone",
    "source",
    "rows_insert",
    "rows_update",
    "rows_delete",
    "add",
    "add_update",
    "add_gone",
    "remove",
    "remove_gone",
];

/// The names of the triggers that change `n` may have.
pub fn trigger_names(n: i64) -> impl Iterator<Item = String> {
    TRIGGERS.into_iter().map(move |what| format!("_dotfill_{n}_touched_{what}"))
}

/// The statements that create side tables and triggers.
#[must_use]
pub fn validator_schema(set: &EpochSet) -> String {
    let target = &set.target;
    let (touched, keys) = (touched_table(target.n), target.side_declarations());
    let sides = list(target.side_keys());
    let mut sql = format!(
        "CREATE TABLE IF NOT EXISTS {touched} (id INTEGER PRIMARY KEY, {keys}, dot);\n\
         CREATE TABLE IF NOT EXISTS {} ({keys}, detail TEXT, PRIMARY KEY ({sides})) WITHOUT ROWID;\n",
        disagree_table(target.n)
    );
    let replicated = target.is_replicated();
    let trigger = |what: &str, event: &str, table: &str, replicated: bool, notes: String| {
        let foreign = if replicated {
            "crsql_internal_sync_bit() <> 2"
        } else {
            "NOT EXISTS (SELECT 1 FROM _dotfill_self)"
        };
        format!(
            "CREATE TRIGGER _dotfill_{}_touched_{what} AFTER {event} ON {} WHEN {foreign} BEGIN\n\
             {notes}END;\n",
            target.n,
            ident(table)
        )
    };
    let note = |keys: &[String]| {
        let keys = list(keys.iter().cloned());
        format!("  INSERT INTO {touched} ({sides}) VALUES ({keys});\n")
    };
    let (old, new) = (target.keys_of("OLD"), target.keys_of("NEW"));
    let table = &target.table.name;
    sql += &trigger("object", "INSERT", table, replicated, note(&new));
    sql += &trigger("object_gone", "DELETE", table, replicated, note(&old));
    match &target.old {
        OldForm::Column { column, .. } => {
            let of = list(target.keys().into_iter().chain([ident(column)]));
            let event = format!("UPDATE OF {of}");
            sql += &trigger("source", &event, table, replicated, note(&new));
        }
        OldForm::Rows { table: rows, key, .. } => {
            let of = |row: &str| -> Vec<String> {
                key.iter().map(|name| format!("{row}.{}", ident(name))).collect()
            };
            let (went, came) = (note(&of("OLD")), note(&of("NEW")));
            let both = format!("{went}{came}");
            let theirs = set.rows_replicated;
            sql += &trigger("rows_insert", "INSERT", rows, theirs, came);
            sql += &trigger("rows_update", "UPDATE", rows, theirs, both);
            sql += &trigger("rows_delete", "DELETE", rows, theirs, went);
        }
    }
    let (adds, removes) = (&target.adds, &target.removes);
    let both = format!("{}{}", note(&old), note(&new));
    sql += &trigger("add", "INSERT", adds, replicated, note(&new));
    sql += &trigger("add_update", "UPDATE", adds, replicated, both);
    sql += &trigger("add_gone", "DELETE", adds, replicated, note(&old));
    for (what, event, row) in [("remove", "INSERT", "NEW"), ("remove_gone", "DELETE", "OLD")] {
        let note = format!("  INSERT INTO {touched} (dot) VALUES ({row}.dot);\n");
        sql += &trigger(what, event, removes, replicated, note);
    }
    sql
}

/// The statements that drop them, whether or not they exist.
#[must_use]
pub fn validator_drop(n: i64) -> String {
    let triggers = trigger_names(n).map(|name| format!("DROP TRIGGER IF EXISTS {name};\n"));
    format!(
        "{}DROP TABLE IF EXISTS {};\nDROP TABLE IF EXISTS {};\n",
        triggers.collect::<String>(),
        touched_table(n),
        disagree_table(n)
    )
}

/// What a validator has found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validated {
    /// Objects that wait to be compared.
    pub touched: u64,
    /// Objects whose forms differ.
    pub open: u64,
    /// The first of them, in words.
    pub examples: Vec<String>,
}

/// Reads what the validator of change `n` has found; nothing where there is none.
///
/// # Errors
/// When it cannot be read.
pub fn found(conn: &Connection, n: i64) -> Result<Validated, DbError> {
    let what = "read what the validator has found";
    let there = conn
        .prepare_cached("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")
        .and_then(|mut s| s.exists([disagree_table(n)]))
        .doing(what)?;
    if !there {
        return Ok(Validated::default());
    }
    let count = |table: &str| {
        conn.prepare_cached(&format!("SELECT count(*) FROM {table}"))
            .and_then(|mut s| s.query_row([], |row| row.get(0)))
            .doing(what)
    };
    let examples = conn
        .prepare_cached(&format!("SELECT detail FROM {} LIMIT 5", disagree_table(n)))
        .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
        .doing(what)?;
    Ok(Validated { touched: count(&touched_table(n))?, open: count(&disagree_table(n))?, examples })
}

/// Has the objects that are listed compared again. The caller holds a write transaction.
///
/// # Errors
/// When they cannot be noted.
pub fn note_listed(conn: &Connection, set: &EpochSet) -> Result<(), DbError> {
    let (n, sides) = (set.target.n, list(set.target.side_keys()));
    let (touched, listed) = (touched_table(n), disagree_table(n));
    conn.execute(&format!("INSERT INTO {touched} ({sides}) SELECT {sides} FROM {listed}"), [])
        .map(drop)
        .doing("look again at what the validator has listed")
}

/// Compares touched objects of one set.
#[derive(Debug)]
pub struct Validator<'s> {
    set: &'s EpochSet,
    reader: FormReader<'s>,
    comparer: Comparer,
    is_noted: Option<String>,
}

impl<'s> Validator<'s> {
    /// Compares objects of `set`; not those of its cohort, where it has one. `noted` while objects
    /// are noted to be derived again.
    #[must_use]
    pub fn new(set: &'s EpochSet, cohort: bool, noted: bool) -> Self {
        let target = &set.target;
        let reader = FormReader::new(target);
        Self {
            set,
            reader: if cohort { reader.without_cohort() } else { reader },
            comparer: Comparer::new(&set.migration, &target.table.name, target.source()),
            is_noted: noted.then(|| SetSql::new(target).is_noted),
        }
    }

    /// Compares the objects of at most `limit` notes; returns how many notes were taken. The caller
    /// holds a write transaction. An object that waits to be derived stays noted.
    ///
    /// # Errors
    /// When the database cannot be read or written.
    pub fn settle(&self, conn: &Connection, limit: u64) -> Result<u64, DbError> {
        let (last, notes, keys) = self.take(conn, limit)?;
        let mut seen = HashSet::new();
        let mut waiting = Vec::new();
        for key in keys {
            if key.contains(&Datum::Null) || !seen.insert(encoded(&key)) {
                continue;
            }
            if self.is_noted(conn, &key)? {
                waiting.push(key);
            } else {
                self.write_down(conn, &key)?;
            }
        }
        let touched = touched_table(self.set.target.n);
        conn.execute(&format!("DELETE FROM {touched} WHERE id <= ?1"), [last])
            .doing("forget touched objects")?;
        let taken = notes - waiting.len().min(notes);
        for key in waiting {
            write(conn, &format!("INSERT INTO {touched} ({}) VALUES ", self.sides()), &key)?;
        }
        Ok(taken as u64)
    }

    fn is_noted(&self, conn: &Connection, key: &[Datum]) -> Result<bool, DbError> {
        let Some(sql) = &self.is_noted else { return Ok(false) };
        conn.prepare_cached(sql)
            .and_then(|mut s| s.exists(rusqlite::params_from_iter(key)))
            .doing("look for a noted object")
    }

    /// The last id of a batch of notes, how many there are, and the objects that they name.
    fn take(
        &self,
        conn: &Connection,
        limit: u64,
    ) -> Result<(i64, usize, Vec<Vec<Datum>>), DbError> {
        let what = "read touched objects";
        let target = &self.set.target;
        let (touched, sides) = (touched_table(target.n), self.sides());
        let columns = target.side_keys().len();
        let last: Option<i64> = conn
            .prepare_cached(&format!(
                "SELECT max(id) FROM (SELECT id FROM {touched} ORDER BY id LIMIT ?1)"
            ))
            .and_then(|mut s| s.query_row([limit], |row| row.get(0)))
            .doing(what)?;
        let Some(last) = last else { return Ok((0, 0, Vec::new())) };
        let read = |sql: &str| -> Result<Vec<Vec<Datum>>, DbError> {
            conn.prepare_cached(sql)
                .and_then(|mut s| {
                    s.query_map([last], |row| (0..columns).map(|i| row.get(i)).collect())?.collect()
                })
                .doing(what)
        };
        let mut keys =
            read(&format!("SELECT {sides} FROM {touched} WHERE id <= ?1 AND dot IS NULL"))?;
        let dots: usize = conn
            .prepare_cached(&format!(
                "SELECT count(*) FROM {touched} WHERE id <= ?1 AND dot IS NOT NULL"
            ))
            .and_then(|mut s| s.query_row([last], |row| row.get(0)))
            .doing(what)?;
        let notes = keys.len() + dots;
        if dots > 0 {
            // The adds have no index by dot: one walk for all dots of the batch.
            keys.extend(read(&format!(
                "SELECT {} FROM {} WHERE dot IN (SELECT dot FROM {touched} WHERE id <= ?1)",
                list(target.keys()),
                ident(&target.adds)
            ))?);
        }
        Ok((last, notes, keys))
    }

    fn sides(&self) -> String {
        list(self.set.target.side_keys())
    }

    /// Lists an object whose forms differ, or takes it off the list.
    fn write_down(&self, conn: &Connection, key: &[Datum]) -> Result<(), DbError> {
        let differs =
            self.reader.differ(conn, key, &self.comparer).map_err(super::pending::read_error)?;
        let table = disagree_table(self.set.target.n);
        if let Some(difference) = differs {
            let mut row = key.to_vec();
            row.push(Datum::Text(difference.to_string().into_bytes()));
            let sql = format!("INSERT OR REPLACE INTO {table} ({}, detail) VALUES ", self.sides());
            return write(conn, &sql, &row);
        }
        let sides = self.set.target.side_keys();
        let pairs: Vec<String> =
            sides.iter().enumerate().map(|(i, side)| format!("{side} = ?{}", i + 1)).collect();
        conn.prepare_cached(&format!("DELETE FROM {table} WHERE {}", pairs.join(" AND ")))
            .and_then(|mut s| s.execute(rusqlite::params_from_iter(key)))
            .map(drop)
            .doing("take an object off the list of disagreements")
    }
}

fn write(conn: &Connection, sql: &str, row: &[Datum]) -> Result<(), DbError> {
    let values = list((1..=row.len()).map(|i| format!("?{i}")));
    conn.prepare_cached(&format!("{sql}({values})"))
        .and_then(|mut s| s.execute(rusqlite::params_from_iter(row)))
        .map(drop)
        .doing("write down what the validator has found")
}
