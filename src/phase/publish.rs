//! Rows of the new form that other replicas must learn of: adds and removes as change records of the
//! publisher site.
//!
//! # Invariants
//! - A table of the new form has nothing but its key, so a row is published by its sentinel
//!   (`'-1'`) alone, at version 1: a sentinel at 0 does not merge, and a user who adds the same
//!   row writes the same version.
//! - One version of the publisher per transaction, taken with its first record; `seq` from 0.
//! - A row with a clock row is left as it is: it was published already, is a user's, or was deleted.
//! - In plain tables a row is only inserted: what replicates them sees it like any other.

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension};

use crate::db::quote::{ident, list};
use crate::db::{Datum, DbError, Doing};
use crate::layout::crsqlite::{CrTable, Publisher};
use crate::layout::or_set::SetTarget;

/// The statements that publish rows of one table.
#[derive(Clone, Debug)]
struct RecordSql {
    /// The quoted name of the table.
    table: String,
    insert: String,
    clock: Option<ClockSql>,
    columns: usize,
}

#[derive(Clone, Debug)]
struct ClockSql {
    create_key: String,
    find: String,
    sentinel: String,
}

impl RecordSql {
    fn new(table: &str, columns: &[String], replicated: bool) -> Self {
        let names = list(columns.iter().cloned());
        let values = list((1..=columns.len()).map(|i| format!("?{i}")));
        let clock = replicated.then(|| {
            let CrTable { clock, pks } = CrTable::named(table);
            let pairs: Vec<_> =
                columns.iter().enumerate().map(|(i, c)| format!("{c} = ?{}", i + 1)).collect();
            let key = format!("(SELECT __crsql_key FROM {pks} WHERE {})", pairs.join(" AND "));
            let n = columns.len();
            ClockSql {
                create_key: format!("INSERT OR IGNORE INTO {pks} ({names}) VALUES ({values})"),
                find: format!("SELECT 1 FROM {clock} WHERE key = {key}"),
                sentinel: format!(
                    "INSERT INTO {clock} (key, col_name, col_version, db_version, site_id, seq, ts) \
                     VALUES ({key}, '-1', 1, ?{}, ?{}, ?{}, '0')",
                    n + 1,
                    n + 2,
                    n + 3
                ),
            }
        });
        Self {
            table: ident(table),
            insert: format!(
                "INSERT INTO {} ({names}) VALUES ({values}) ON CONFLICT DO NOTHING",
                ident(table)
            ),
            clock,
            columns: columns.len(),
        }
    }
}

/// Publishes rows in one write transaction.
#[derive(Debug)]
pub struct Publishing<'p> {
    migration: &'p str,
    adds: RecordSql,
    removes: RecordSql,
    publisher: Option<Publisher>,
    /// What would have to be published, as SQL, where it is only collected.
    owed: Option<Vec<String>>,
    /// Change records written so far.
    pub records: u64,
}

impl<'p> Publishing<'p> {
    /// Publishes for a set of a migration.
    #[must_use]
    pub fn new(migration: &'p str, target: &SetTarget) -> Self {
        let replicated = target.is_replicated();
        let adds: Vec<String> =
            target.keys().into_iter().chain(["element".to_owned(), "dot".to_owned()]).collect();
        Self {
            migration,
            adds: RecordSql::new(&target.adds, &adds, replicated),
            removes: RecordSql::new(&target.removes, &["dot".to_owned()], replicated),
            publisher: None,
            owed: None,
            records: 0,
        }
    }

    /// As [`Self::new`], but writes nothing: statements for the API of the agent that replicates the
    /// database are collected, because it would not send on what another site has published.
    #[must_use]
    pub fn collecting(migration: &'p str, target: &SetTarget) -> Self {
        Self { owed: Some(Vec::new()), ..Self::new(migration, target) }
    }

    /// The statements that were collected.
    #[must_use]
    pub fn owed(&self) -> &[String] {
        self.owed.as_deref().unwrap_or_default()
    }

    /// Publishes an add. True where it was not published before.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(
        &mut self,
        conn: &Connection,
        key: &[Datum],
        element: &Datum,
        dot: &[u8],
    ) -> Result<bool, DbError> {
        let dot = Datum::Blob(dot.to_vec());
        let row: Vec<&Datum> = key.iter().chain([element, &dot]).collect();
        let sql = self.adds.clone();
        self.publish(conn, &sql, &row)
    }

    /// Publishes a remove. True where it was not published before.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn remove(&mut self, conn: &Connection, dot: &[u8]) -> Result<bool, DbError> {
        let dot = Datum::Blob(dot.to_vec());
        let sql = self.removes.clone();
        self.publish(conn, &sql, &[&dot])
    }

    fn publish(
        &mut self,
        conn: &Connection,
        sql: &RecordSql,
        row: &[&Datum],
    ) -> Result<bool, DbError> {
        debug_assert_eq!(row.len(), sql.columns);
        let what = "publish a row of the new form";
        let run = |statement: &str| {
            conn.prepare_cached(statement)
                .and_then(|mut s| s.execute(rusqlite::params_from_iter(row)))
                .doing(what)
        };
        let Some(clock) = &sql.clock else { return Ok(run(&sql.insert)? > 0) };
        let found = conn
            .prepare_cached(&clock.find)
            .and_then(|mut s| s.query_row(rusqlite::params_from_iter(row), |_| Ok(())).optional())
            .doing(what)?;
        if found.is_some() {
            return Ok(false);
        }
        if let Some(owed) = &mut self.owed {
            let values = list(row.iter().map(ToString::to_string));
            owed.push(format!(
                "INSERT INTO {} VALUES ({values}) ON CONFLICT DO NOTHING",
                sql.table
            ));
            return Ok(true);
        }
        run(&sql.insert)?;
        run(&clock.create_key)?;
        let publisher = self.publisher(conn)?;
        let rest: [&dyn ToSql; 3] = [&publisher.db_version, &publisher.ordinal, &self.records];
        let values = row.iter().map(|value| *value as &dyn ToSql).chain(rest);
        conn.prepare_cached(&clock.sentinel)
            .and_then(|mut s| s.execute(rusqlite::params_from_iter(values)))
            .doing(what)?;
        self.records += 1;
        Ok(true)
    }

    fn publisher(&mut self, conn: &Connection) -> Result<Publisher, DbError> {
        if let Some(publisher) = self.publisher {
            return Ok(publisher);
        }
        let publisher = Publisher::advance(conn, self.migration)?;
        self.publisher = Some(publisher);
        Ok(publisher)
    }
}

/// False where nobody would send on what is published: on Corrosion.
///
/// # Errors
/// When the schema cannot be read.
pub fn can_publish(conn: &Connection) -> Result<bool, DbError> {
    Ok(!crate::db::environment(conn)?.corrosion)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::or_set::plans::places;

    #[test]
    fn what_publishes_a_row_seeks() {
        for place in places() {
            let publishing = Publishing::new("m", &place.target);
            let RecordSql { insert, clock, .. } = &publishing.adds;
            place.assert_seeks(insert);
            if let Some(clock) = clock {
                place.assert_seeks(&clock.create_key);
                place.assert_seeks(&clock.find);
                place.assert_seeks(&clock.sentinel);
            }
        }
    }
}
