//! The rows of `_dotfill_quarantine`: what was refused, from either source. What replaying or
//! dropping one does to the data is decided elsewhere; here only its status changes.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;
use serde_json::Value;

use super::knows_quarantine;
use crate::db::{DbError, Doing};

/// Where a refusal came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuarantineSource {
    /// An operation that admission refused or holds.
    Operation,
    /// An old-format write that arrived by replication.
    Write,
}

impl QuarantineSource {
    /// Its name in the database and for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operation => "operation",
            Self::Write => "write",
        }
    }
}

impl FromSql for QuarantineSource {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let name = value.as_str()?;
        let all = [Self::Operation, Self::Write];
        all.into_iter().find(|source| source.as_str() == name).ok_or(FromSqlError::InvalidType)
    }
}

/// What has become of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuarantineStatus {
    /// Nothing yet.
    Waiting,
    /// An operator had it decided again, and it was no longer refused.
    Replayed,
    /// An operator gave it up.
    Dropped,
}

impl QuarantineStatus {
    /// Its name in the database and for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Replayed => "replayed",
            Self::Dropped => "dropped",
        }
    }
}

impl FromSql for QuarantineStatus {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let name = value.as_str()?;
        let all = [Self::Waiting, Self::Replayed, Self::Dropped];
        all.into_iter().find(|status| status.as_str() == name).ok_or(FromSqlError::InvalidType)
    }
}

impl ToSql for QuarantineStatus {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.as_str()))
    }
}

/// What is to be put into quarantine.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// The migration by whose rules it was refused, where there is one.
    pub migration: Option<&'a str>,
    /// The change of that migration, where there is one.
    pub change_n: Option<i64>,
    /// Where it came from.
    pub source: QuarantineSource,
    /// What makes it the same refusal when it comes again; unique per source.
    pub identity: &'a str,
    /// `{"table": .., "key": [..]}`.
    pub object: &'a Value,
    /// A word.
    pub reason: &'a str,
    /// A JSON object.
    pub detail: &'a Value,
}

impl Refusal<'_> {
    /// Adds it, timed by the wall clock, for people to read. Where it is listed already, nothing
    /// changes. Returns its id. The caller holds a write transaction.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn insert(&self, conn: &Connection) -> Result<i64, DbError> {
        let what = "put a refusal into quarantine";
        let known = conn
            .prepare_cached(
                "SELECT id FROM _dotfill_quarantine WHERE source = ?1 AND identity = ?2",
            )
            .and_then(|mut s| {
                s.query_row((self.source.as_str(), self.identity), |row| row.get(0)).optional()
            })
            .doing(what)?;
        if let Some(id) = known {
            return Ok(id);
        }
        let id = next_id(conn)?;
        conn.prepare_cached(
            "INSERT INTO _dotfill_quarantine (id, at, migration, change_n, source, identity, \
             object, reason, detail, status) VALUES (?1, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), \
             ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'waiting')",
        )
        .and_then(|mut s| {
            s.execute(rusqlite::params![
                id,
                self.migration,
                self.change_n,
                self.source.as_str(),
                self.identity,
                self.object.to_string(),
                self.reason,
                self.detail.to_string(),
            ])
        })
        .doing(what)?;
        Ok(id)
    }
}

/// A number that this database never gave before: dots may be derived from it.
fn next_id(conn: &Connection) -> Result<i64, DbError> {
    conn.prepare_cached(
        "INSERT INTO _dotfill_meta (key, value) VALUES ('next_quarantine', 2) \
         ON CONFLICT (key) DO UPDATE SET value = value + 1 RETURNING value - 1",
    )
    .and_then(|mut s| s.query_row([], |row| row.get(0)))
    .doing("number a refusal")
}

/// Which rows are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuarantineFilter {
    /// Only those of this migration.
    pub migration: Option<String>,
    /// Only those that still wait.
    pub waiting_only: bool,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuarantineRow {
    /// Its number in this database.
    pub id: i64,
    /// When it was refused first, by the wall clock; for people.
    pub at: String,
    /// The migration by whose rules it was refused.
    pub migration: Option<String>,
    /// The change of that migration.
    pub change_n: Option<i64>,
    /// Where it came from.
    pub source: QuarantineSource,
    /// What makes it the same refusal when it comes again.
    pub identity: String,
    /// `{"table": .., "key": [..]}`.
    pub object: Value,
    /// A word.
    pub reason: String,
    /// A JSON object.
    pub detail: Value,
    /// What has become of it.
    pub status: QuarantineStatus,
}

const COLUMNS: &str =
    "id, at, migration, change_n, source, identity, object, reason, detail, status";
const WANTED: &str = "(?1 IS NULL OR migration = ?1) AND (NOT ?2 OR status = 'waiting')";

impl QuarantineRow {
    /// The row with that id.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(conn: &Connection, id: i64) -> Result<Option<Self>, DbError> {
        if !knows_quarantine(conn)? {
            return Ok(None);
        }
        conn.prepare_cached(&format!("SELECT {COLUMNS} FROM _dotfill_quarantine WHERE id = ?1"))
            .and_then(|mut s| s.query_row([id], Self::from_row).optional())
            .doing("read the quarantine")
    }

    /// At most `limit` rows with an id above `after`, by id.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn page(
        conn: &Connection,
        filter: &QuarantineFilter,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Self>, DbError> {
        if !knows_quarantine(conn)? {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT {COLUMNS} FROM _dotfill_quarantine WHERE {WANTED} AND id > ?3 \
             ORDER BY id LIMIT ?4"
        );
        conn.prepare_cached(&sql)
            .and_then(|mut s| {
                s.query_map((&filter.migration, filter.waiting_only, after, limit), Self::from_row)?
                    .collect()
            })
            .doing("read the quarantine")
    }

    /// How many rows there are.
    ///
    /// # Errors
    /// When they cannot be counted.
    pub fn count(conn: &Connection, filter: &QuarantineFilter) -> Result<u64, DbError> {
        if !knows_quarantine(conn)? {
            return Ok(0);
        }
        conn.prepare_cached(&format!("SELECT count(*) FROM _dotfill_quarantine WHERE {WANTED}"))
            .and_then(|mut s| {
                s.query_row((&filter.migration, filter.waiting_only), |row| row.get(0))
            })
            .doing("count the quarantine")
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            at: row.get(1)?,
            migration: row.get(2)?,
            change_n: row.get(3)?,
            source: row.get(4)?,
            identity: row.get(5)?,
            object: json(row, 6)?,
            reason: row.get(7)?,
            detail: json(row, 8)?,
            status: row.get(9)?,
        })
    }

    /// Gives a row that waits another status. The caller holds a write transaction.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn settle(conn: &Connection, id: i64, status: QuarantineStatus) -> Result<(), DbError> {
        conn.prepare_cached("UPDATE _dotfill_quarantine SET status = ?2 WHERE id = ?1")
            .and_then(|mut s| s.execute((id, status)))
            .doing("settle a row of the quarantine")?;
        Ok(())
    }
}

/// How many operations admission has buffered: those of one migration, or all.
///
/// # Errors
/// When they cannot be counted.
pub fn buffered_operations(conn: &Connection, migration: Option<&str>) -> Result<u64, DbError> {
    if !knows_quarantine(conn)? {
        return Ok(0);
    }
    conn.prepare_cached(
        "SELECT count(*) FROM _dotfill_operations WHERE state = 'buffered' \
         AND (?1 IS NULL OR migration = ?1)",
    )
    .and_then(|mut s| s.query_row([migration], |row| row.get(0)))
    .doing("count the buffered operations")
}

/// Removes what is kept of a migration in the tables of version 3. The caller holds a write
/// transaction, and knows that nothing waits.
///
/// # Errors
/// When it cannot be removed.
pub fn forget_refusals(conn: &Connection, migration: &str) -> Result<(), DbError> {
    if !knows_quarantine(conn)? {
        return Ok(());
    }
    for table in ["_dotfill_quarantine", "_dotfill_operations", "_dotfill_modes"] {
        conn.execute(&format!("DELETE FROM {table} WHERE migration = ?1"), [migration])
            .doing("forget what was refused")?;
    }
    Ok(())
}

fn json(row: &Row<'_>, column: usize) -> rusqlite::Result<Value> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| {
        let kind = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refuse(conn: &Connection, migration: &str, identity: &str) -> i64 {
        let refusal = Refusal {
            migration: Some(migration),
            change_n: None,
            source: QuarantineSource::Operation,
            identity,
            object: &json!({"table": "t", "key": [1]}),
            reason: "old-write",
            detail: &json!({}),
        };
        refusal.insert(conn).expect("inserted")
    }

    #[test]
    fn a_refusal_is_listed_once_and_its_number_is_never_used_again() {
        let conn = Connection::open_in_memory().expect("a database");
        super::super::create(&conn).expect("tables");
        let (a, b) = (refuse(&conn, "m", "a"), refuse(&conn, "m", "b"));
        assert_eq!((refuse(&conn, "m", "a"), a, b), (1, 1, 2));
        conn.execute("DELETE FROM _dotfill_quarantine", []).expect("deleted");
        assert_eq!(refuse(&conn, "n", "a"), 3);
    }

    #[test]
    fn rows_are_found_by_migration_and_status() {
        let conn = Connection::open_in_memory().expect("a database");
        let all = QuarantineFilter::default();
        assert_eq!(QuarantineRow::count(&conn, &all).expect("no tables"), 0);
        super::super::create(&conn).expect("tables");
        for (migration, identity) in [("m", "a"), ("n", "b"), ("m", "c")] {
            refuse(&conn, migration, identity);
        }
        QuarantineRow::settle(&conn, 1, QuarantineStatus::Dropped).expect("settled");
        let ids = |filter: &QuarantineFilter, after| {
            let rows = QuarantineRow::page(&conn, filter, after, 2).expect("rows");
            rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(&all, 0), [1, 2]);
        assert_eq!(ids(&all, 2), [3]);
        let waiting = QuarantineFilter { migration: Some("m".to_owned()), waiting_only: true };
        assert_eq!(ids(&waiting, 0), [3]);
        assert_eq!(QuarantineRow::count(&conn, &waiting).expect("a count"), 1);
        let row = QuarantineRow::read(&conn, 1).expect("read").expect("there");
        assert_eq!(
            (row.status, row.object),
            (QuarantineStatus::Dropped, json!({"table":"t","key":[1]}))
        );
    }
}
