//! Reading whose cells are users' already, when the column is older than the migration.
//!
//! In a plain table a value that stands there is a user's. In a table of cr-sqlite the clock table
//! tells, and is read once instead of once per row. The triggers that note later writes stand
//! before this begins, so nothing falls between.

use rusqlite::Connection;

use super::{Committed, Session, WriteError};
use crate::db::quote::{list, text};
use crate::db::{DbError, Doing};
use crate::layout::crsqlite::{CrTable, Publisher};
use crate::layout::{KeyMatch, Layout, RangeSql, Target};
use crate::split::Range;
use crate::state::ChangeRow;

/// Seeds the table of users' keys of one target.
#[derive(Debug)]
pub struct Seeder<'a> {
    target: &'a Target,
}

impl<'a> Seeder<'a> {
    /// Seeds `target`.
    #[must_use]
    pub fn new(target: &'a Target) -> Self {
        Self { target }
    }

    /// True where the clock table is read, in slices of key numbers; false where the table itself
    /// is, in ranges.
    #[must_use]
    pub fn by_clock(&self) -> Option<&'a CrTable> {
        match &self.target.layout {
            Layout::Plain => None,
            Layout::CrSqlite(cr) => Some(cr),
        }
    }

    /// Notes the users' cells of a range of a plain table.
    ///
    /// # Errors
    /// As [`Session::transact`].
    pub fn seed_range(
        &self,
        session: &mut Session<'_>,
        range: &Range,
    ) -> Result<Committed<u64>, WriteError> {
        let sql = self.of_range(range.bounded());
        session.transact(|conn| {
            conn.prepare_cached(&sql)
                .and_then(|mut s| s.execute(rusqlite::params_from_iter(range.parameters())))
                .map(|n| n as u64)
                .doing("read which cells users own")
                .map_err(Into::into)
        })
    }

    /// `result` over the clock rows of the column in a slice.
    fn of_slice(&self, cr: &CrTable, result: &str) -> String {
        format!(
            "SELECT {result} FROM {} WHERE key > ?1 AND key <= ?2 AND col_name = {}",
            cr.clock,
            text(&self.target.column)
        )
    }

    fn of_range(&self, bounded: bool) -> String {
        let sides = list(KeyMatch::side_columns(self.target, 'k'));
        let keys = list(self.target.table.key.iter().map(|k| crate::db::quote::ident(&k.name)));
        let column = self.target.column_sql();
        let user = self.target.user_table();
        // With fill_null = false a NULL that stands there has a meaning, and is a user's too.
        let theirs =
            if self.target.fill_null { format!("{column} IS NOT NULL") } else { "true".to_owned() };
        format!(
            "INSERT INTO {user} ({sides}) SELECT {keys} FROM {} WHERE {} AND {theirs} \
             AND NOT EXISTS (SELECT 1 FROM {user} WHERE {})",
            self.target.table.sql(),
            RangeSql::new(&self.target.table.scan).within(bounded),
            KeyMatch::of_row(self.target, &user)
        )
    }

    /// The highest key number of the clock table, and whether it has rows for the column at all.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn clock_end(&self, conn: &Connection, cr: &CrTable) -> Result<i64, DbError> {
        conn.query_row(&format!("SELECT coalesce(max(key), 0) FROM {}", cr.clock), [], |row| {
            row.get(0)
        })
        .doing("read the clock table")
    }

    /// True where a slice of the clock table has rows of the column: a read, without the lock.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn slice_has_rows(
        &self,
        conn: &Connection,
        cr: &CrTable,
        slice: (i64, i64),
    ) -> Result<bool, DbError> {
        let sql = self.of_slice(cr, "1");
        conn.prepare_cached(&sql).and_then(|mut s| s.exists(slice)).doing("read the clock table")
    }

    /// Notes the users' cells of a slice of the clock table (after, up to and including); sets
    /// `change.null_clocks` where NULLs with a clock row are left for the fill.
    ///
    /// # Errors
    /// As [`Session::transact`].
    pub fn seed_slice(
        &self,
        session: &mut Session<'_>,
        cr: &CrTable,
        slice: (i64, i64),
        change: &mut ChangeRow,
    ) -> Result<Committed<u64>, WriteError> {
        let count = self.of_slice(cr, "count(*)");
        let before = &*change;
        let target = self.target;
        let done = session.transact(|conn| {
            let publishers = Publisher::ordinals(conn, &before.migration)?;
            let noted = conn
                .execute(&cr.seed(target, &publishers), slice)
                .doing("read which cells users own")? as u64;
            let rows: i64 = conn
                .query_row(&count, slice, |row| row.get(0))
                .doing("read which cells users own")?;
            let mut after = before.clone();
            after.null_clocks |= rows.unsigned_abs() > noted;
            after.save(conn)?;
            Ok((noted, after))
        })?;
        let Committed { value: (noted, after), hold, was_busy, foreign, stop } = done;
        *change = after;
        Ok(Committed { value: noted, hold, was_busy, foreign, stop })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::plans::places;

    #[test]
    fn seeding_a_range_or_a_slice_seeks() {
        for place in places() {
            let seeder = Seeder::new(&place.target);
            place.assert_seeks(&seeder.of_range(false));
            place.assert_seeks(&seeder.of_range(true));
            if let Some(cr) = seeder.by_clock() {
                place.assert_seeks(&seeder.of_slice(cr, "count(*)"));
            }
        }
    }
}
