//! Really doing, on a copy of the sample, what each way of filling does, and measuring it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::types::ToSql;

use super::number;
use super::record::{Records, record_bytes};
use super::sample::{Sample, used_bytes};
use crate::db::quote::text;
use crate::db::{DbError, Doing, beside};
use crate::layout::crsqlite::{CrTable, Publisher};
use crate::layout::{Delivery, FillSql, Filter, Layout, Target};
use crate::split::{Position, Range, Splitter};

/// What one way did to the sample.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    /// Bytes by which the file grew.
    pub grown_bytes: u64,
    /// Bytes written to the WAL.
    pub wal_bytes: u64,
    /// The time it took.
    pub elapsed: Duration,
    /// Rows written.
    pub written: u64,
    /// Cells that have got a value other than NULL.
    pub valued: u64,
    /// Change records written.
    pub records: Records,
    /// What the first row said whose expression or constraint failed.
    pub failure: Option<String>,
}

/// A copy of the sample that is being filled.
pub(super) struct Trial<'a> {
    conn: Connection,
    path: PathBuf,
    sample: &'a Sample,
    target: &'a Target,
    migration: &'a str,
    used: u64,
    valued: u64,
}

impl<'a> Trial<'a> {
    /// A trial of filling `target` as its delivery says.
    ///
    /// # Errors
    /// When the temporary folder is full.
    pub fn new(
        sample: &'a Sample,
        target: &'a Target,
        migration: &'a str,
        name: &str,
    ) -> Result<Self, DbError> {
        let (conn, path) = sample.copy(name)?;
        let used = used_bytes(&conn)?;
        let valued = valued(&conn, target)?;
        Ok(Self { conn, path, sample, target, migration, used, valued })
    }

    /// The one-statement UPDATE that people write, with what cr-sqlite's triggers add to it.
    ///
    /// # Errors
    /// When the sample fails; a row's error is part of what is measured.
    pub fn naive(self) -> Result<Measured, DbError> {
        let mut measured = Measured::default();
        let began = Instant::now();
        self.conn.execute_batch("BEGIN").doing("try an UPDATE")?;
        let attempt = self.naive_statements();
        match attempt {
            Err(error) if error.is_row_error() => measured.failure = Some(error.to_string()),
            other => (measured.written, measured.records) = other?,
        }
        self.conn.execute_batch("COMMIT").doing("try an UPDATE")?;
        measured.elapsed = began.elapsed();
        self.finish(measured)
    }

    fn naive_statements(&self) -> Result<(u64, Records), DbError> {
        let target = self.target;
        let mut records = Records::default();
        let mut since = None;
        if let Layout::CrSqlite(cr) = &target.layout {
            since = Some(self.naive_records(cr)?);
        }
        let filter =
            target.filter.as_ref().map(|f| format!(" WHERE (\n{f}\n)")).unwrap_or_default();
        let update = format!(
            "UPDATE {} SET {} = (\n{}\n){filter}",
            target.table.sql(),
            target.column_sql(),
            target.value
        );
        let written = self.conn.execute(&update, []).doing("try an UPDATE")?;
        if let Some(since) = since {
            records = record_bytes(&self.conn, target, 0, since)?;
        }
        Ok((written as u64, records))
    }

    /// A record for each cell that changes, as cr-sqlite's own triggers write them; returns the
    /// version before.
    fn naive_records(&self, cr: &CrTable) -> Result<i64, DbError> {
        let what = "try an UPDATE of a cr-sqlite table";
        let target = self.target;
        self.conn.execute(&cr.create_keys(target, "true"), []).doing(what)?;
        let version = "SELECT max((SELECT coalesce(max(db_version), 0) FROM crsql_db_versions \
                       WHERE site_id = (SELECT site_id FROM crsql_site_id WHERE ordinal = 0)), \
                       (SELECT coalesce(max(db_version), 0) FROM ";
        let version = format!("{version}{} WHERE site_id = 0))", cr.clock);
        let since: i64 = self.conn.query_row(&version, [], |row| row.get(0)).doing(what)?;
        let filter = target.filter.as_ref().map(|f| format!("(\n{f}\n) AND ")).unwrap_or_default();
        // Sequence numbers as large as the whole table's, so that they take as many bytes.
        let sql = format!(
            "INSERT INTO {} (key, col_name, col_version, db_version, site_id, seq, ts) \
             SELECT {}, {}, 1, ?1, 0, (row_number() OVER () - 1) * ?2, '0' FROM {} \
             WHERE {filter}{} COLLATE BINARY IS NOT (\n{}\n) \
             ON CONFLICT (key, col_name) DO UPDATE SET col_version = col_version + 1, \
             db_version = excluded.db_version, site_id = 0, seq = excluded.seq, ts = excluded.ts",
            cr.clock,
            cr.key_of_row(target),
            text(&target.column),
            target.table.sql(),
            target.column_sql(),
            target.value
        );
        let spread = i64::try_from(self.sample.of / self.sample.rows.max(1)).unwrap_or(1).max(1);
        self.conn.execute(&sql, (since + 1, spread)).doing(what)?;
        Ok(since)
    }

    /// dotfill's own statements, in batches of `rows`: derive, or native where the target says so.
    ///
    /// # Errors
    /// As [`Self::naive`].
    pub fn fill(mut self, rows: u64) -> Result<Measured, DbError> {
        let target = self.target;
        let publisher = match target.delivery {
            Delivery::Native => Some(self.first_publisher(rows)?),
            _ => None,
        };
        let mut measured = Measured::default();
        let mut after: Option<Position> = None;
        let began = Instant::now();
        while let Some(range) =
            Splitter::new(&self.conn, &target.table, rows, after.take()).next_range()?
        {
            let tx = self.conn.transaction().doing("begin a batch of the sample")?;
            let user = self.sample.taken > 0;
            let batch = Batch { conn: &tx, target, migration: self.migration, user };
            batch.run(&range, &mut measured)?;
            tx.commit().doing("commit a batch of the sample")?;
            after = Some(range.through);
        }
        measured.elapsed = began.elapsed();
        if let Some(first) = publisher {
            measured.records = record_bytes(&self.conn, target, first.ordinal, first.db_version)?;
        }
        self.finish(measured)
    }

    /// Makes the publisher, at a version as large as the middle of the whole job's.
    fn first_publisher(&self, rows: u64) -> Result<Publisher, DbError> {
        let publisher = Publisher::advance(&self.conn, self.migration)?;
        let middle = i64::try_from(self.sample.of / rows.max(1) / 2).unwrap_or(0);
        self.conn
            .execute(
                "UPDATE crsql_db_versions SET db_version = db_version + ?1 WHERE site_id = \
                 (SELECT site_id FROM crsql_site_id WHERE ordinal = ?2)",
                (middle, publisher.ordinal),
            )
            .doing("prepare the sample's publisher")?;
        Ok(Publisher { db_version: publisher.db_version + middle, ..publisher })
    }

    fn finish(self, mut measured: Measured) -> Result<Measured, DbError> {
        let wal = beside(&self.path, "-wal");
        measured.wal_bytes = match std::fs::metadata(&wal) {
            Ok(meta) => meta.len(),
            Err(source) => return Err(DbError::Io { path: wal, doing: "measure it", source }),
        };
        measured.grown_bytes = used_bytes(&self.conn)?.saturating_sub(self.used);
        measured.valued = match self.target.layout {
            Layout::CrSqlite(_) if measured.records.count > 0 => measured.records.count,
            _ => valued(&self.conn, self.target)?.saturating_sub(self.valued),
        };
        Ok(measured)
    }
}

fn valued(conn: &Connection, target: &Target) -> Result<u64, DbError> {
    let sql = format!("SELECT count({}) FROM {}", target.column_sql(), target.table.sql());
    number::query(conn, &sql, "count the sample's values")
}

/// One batch inside its transaction.
struct Batch<'a> {
    conn: &'a Connection,
    target: &'a Target,
    migration: &'a str,
    /// True where cells of users are noted.
    user: bool,
}

impl Batch<'_> {
    fn run(&self, range: &Range, measured: &mut Measured) -> Result<(), DbError> {
        self.conn
            .execute_batch(
                "UPDATE _dotfill_lease SET heartbeat = heartbeat + 1; \
                 UPDATE _dotfill_changes SET rows_passed = rows_passed + 1;",
            )
            .doing("note the sample's progress")?;
        match self.statements(range) {
            Ok(written) => measured.written += written,
            Err(error) if error.is_row_error() => {
                measured.failure.get_or_insert_with(|| error.to_string());
                self.row_by_row(range, measured)?;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn row_by_row(&self, range: &Range, measured: &mut Measured) -> Result<(), DbError> {
        let mut after = range.after.clone();
        let sql = FillSql::new(self.target).select_keys(range.bounded());
        let terms = self.target.table.scan.terms.len();
        let keys: Vec<Position> = self
            .conn
            .prepare_cached(&sql)
            .and_then(|mut s| {
                let parameters = rusqlite::params_from_iter(range.parameters());
                s.query_map(parameters, |row| Position::from_row(row, terms))?.collect()
            })
            .doing("walk the sample")?;
        for through in keys {
            let one = Range { after: after.replace(through.clone()), through, rows: 1 };
            match self.statements(&one) {
                Ok(written) => measured.written += written,
                Err(error) if error.is_row_error() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The statements of the writer, undone together where one fails.
    fn statements(&self, range: &Range) -> Result<u64, DbError> {
        self.conn.execute_batch("SAVEPOINT batch").doing("try a batch")?;
        let result = self.fill(range);
        let end = if result.is_ok() { "RELEASE batch" } else { "ROLLBACK TO batch; RELEASE batch" };
        self.conn.execute_batch(end).doing("try a batch")?;
        result
    }

    fn fill(&self, range: &Range) -> Result<u64, DbError> {
        let (sql, bounded) = (FillSql::new(self.target), range.bounded());
        let filter = Filter { dirty: false, user: self.user };
        let run = |sql: &str, extra: &[&dyn ToSql]| {
            let all: Vec<&dyn ToSql> = range.parameters().chain(extra.iter().copied()).collect();
            self.conn
                .prepare_cached(sql)
                .and_then(|mut s| s.execute(all.as_slice()))
                .doing(format!("try the rows up to {}", range.through))
        };
        if let Some(cr) = sql.crsqlite() {
            if self.target.delivery == Delivery::Native {
                run(&cr.create_keys(self.target, &sql.range.within(bounded)), &[])?;
                let publisher = Publisher::advance(self.conn, self.migration)?;
                let publish = sql.publish(cr, bounded, filter);
                run(&publish, &[&publisher.db_version, &publisher.ordinal])?;
            } else if self.target.overwrite && self.target.fill_null {
                run(&sql.forget_null_clocks(cr, bounded, filter), &[])?;
            }
        }
        Ok(run(&sql.update(bounded, filter), &[])? as u64)
    }
}
