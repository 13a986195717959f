//! The SQL of an export: the rows of a range by their key, with whose each cell is. Pure text; the
//! query plan of each is tested: none scans.

use super::crsqlite::CrTable;
use super::{Filter, KeyMatch, RangeSql, Target};
use crate::db::quote::{ident, list, text};

/// How it is told whose a cell is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// By the tables of noted and of users' keys, while a migration is followed.
    Marks {
        /// Which of them hold anything.
        filter: Filter,
        /// True where a NULL of ours is a value that was derived.
        nulls: bool,
    },
    /// By the clock rows of cr-sqlite: a cell that has one is a user's.
    Clock {
        /// True where the expression tells which NULLs were derived.
        derived: bool,
    },
    /// By the value: a cell that holds the derived one is ours, in a plain table whose marks are
    /// gone.
    Value,
}

/// What is done with a row. The numbers are those of [`ExportSql::select`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ours: shipped.
    Ours,
    /// A user's: travels by itself.
    User,
    /// Noted: to be derived again first.
    Noted,
    /// A NULL that nobody derived: there is nothing to ship.
    Nothing,
}

impl Verdict {
    /// The verdict with that number.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        [Self::Ours, Self::User, Self::Noted, Self::Nothing]
            .into_iter()
            .nth(usize::try_from(code).ok()?)
    }
}

/// Builds the statements of an export of one target, whose table is walked by its key.
#[derive(Clone, Debug)]
pub struct ExportSql<'a> {
    target: &'a Target,
    /// The conditions over ranges of its table.
    pub range: RangeSql,
    /// True where the position of a row is its key.
    by_key: bool,
}

impl<'a> ExportSql<'a> {
    /// The statements for `target`.
    #[must_use]
    pub fn new(target: &'a Target) -> Self {
        let range = RangeSql::new(&target.table.scan);
        let key = target.table.key.iter().map(|key| ident(&key.name));
        let by_key = key.eq(range.terms.iter().cloned());
        Self { target, range, by_key }
    }

    /// The column in which the position of a row begins.
    #[must_use]
    pub fn position_at(&self) -> usize {
        if self.by_key { 0 } else { self.target.table.key.len() + 2 }
    }

    /// Key columns, and what the others are.
    fn columns(&self, whose: &Whose, cr: Option<&CrTable>) -> String {
        let columns = format!(
            "{}, {}, {}",
            list(self.target.key_sql()),
            self.verdict(whose, cr),
            self.target.column_sql()
        );
        if self.by_key { columns } else { format!("{columns}, {}", self.range.terms.join(", ")) }
    }

    /// Key columns, whose the cell is (a [`Verdict`]), and the cell, of the rows of a range in order;
    /// then their position, where it is not the key.
    #[must_use]
    pub fn select(&self, bounded: bool, whose: &Whose, cr: Option<&CrTable>) -> String {
        format!(
            "SELECT {} FROM {} WHERE {} ORDER BY {}",
            self.columns(whose, cr),
            self.target.table.sql(),
            self.range.within(bounded),
            self.range.order
        )
    }

    /// As [`Self::select`], for the first `rows` rows of a
    /// range that is bounded below, above, or neither.
    #[must_use]
    pub fn select_next(
        &self,
        (after, through): (bool, bool),
        rows: u64,
        whose: &Whose,
        cr: Option<&CrTable>,
    ) -> String {
        let within = match (after, through) {
            (after, true) => self.range.within(after),
            (after, false) => self.range.after(after).to_owned(),
        };
        format!(
            "SELECT {} FROM {} WHERE {within} ORDER BY {} LIMIT {rows}",
            self.columns(whose, cr),
            self.target.table.sql(),
            self.range.order
        )
    }

    /// As [`Self::select`], for the one row whose key is the parameters.
    #[must_use]
    pub fn select_one(&self, whose: &Whose, cr: Option<&CrTable>) -> String {
        let pairs = self.target.key_sql().enumerate().map(|(i, key)| format!("{key} = ?{}", i + 1));
        format!(
            "SELECT {}, {}, {} FROM {} WHERE {}",
            list(self.target.key_sql()),
            self.verdict(whose, cr),
            self.target.column_sql(),
            self.target.table.sql(),
            pairs.collect::<Vec<_>>().join(" AND ")
        )
    }

    fn verdict(&self, whose: &Whose, cr: Option<&CrTable>) -> String {
        let target = self.target;
        let column = target.column_sql();
        let side = |table: &str| {
            format!("EXISTS (SELECT 1 FROM {table} WHERE {})", KeyMatch::of_row(target, table))
        };
        let mut cases: Vec<String> = Vec::new();
        match (whose, cr) {
            (Whose::Marks { filter, nulls }, _) => {
                if filter.dirty {
                    cases.push(format!(" WHEN {} THEN 2", side(&target.dirty_table())));
                }
                if filter.user {
                    cases.push(format!(" WHEN {} THEN 1", side(&target.user_table())));
                }
                if !nulls {
                    cases.push(format!(" WHEN {column} IS NULL THEN 3"));
                }
            }
            (Whose::Clock { derived }, Some(cr)) => {
                cases.push(format!(
                    " WHEN EXISTS (SELECT 1 FROM {} WHERE key = {} AND col_name = {}) THEN 1",
                    cr.clock,
                    cr.key_of_row(target),
                    text(&target.column)
                ));
                let known = if *derived { target.derived() } else { "1".to_owned() };
                cases.push(format!(" WHEN {column} IS NULL AND {known} IS NOT NULL THEN 3"));
            }
            (Whose::Value, _) | (Whose::Clock { .. }, None) => {
                cases.push(format!(" WHEN {} THEN 1", target.differs_from(&target.derived())));
            }
        }
        let cases = cases.concat();
        if cases.is_empty() { "0".to_owned() } else { format!("CASE{cases} ELSE 0 END") }
    }

    /// The position of each row of a range, in order.
    #[must_use]
    pub fn select_keys(&self, bounded: bool) -> String {
        format!(
            "SELECT {} FROM {} WHERE {} ORDER BY {}",
            self.range.terms.join(", "),
            self.target.table.sql(),
            self.range.within(bounded),
            self.range.order
        )
    }

    /// Whether some row's key holds a NULL, which names no row elsewhere; `None` where none can.
    #[must_use]
    pub fn any_null_key(&self) -> Option<String> {
        let table = &self.target.table;
        let open: Vec<String> = table
            .key
            .iter()
            .zip(self.target.key_sql())
            .filter(|(key, _)| table.may_be_null(&key.name))
            .map(|(_, sql)| format!("{sql} IS NULL"))
            .collect();
        (!open.is_empty())
            .then(|| format!("SELECT 1 FROM {} WHERE {} LIMIT 1", table.sql(), open.join(" OR ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::plans::places;

    #[test]
    fn no_statement_of_a_range_scans() {
        for mut place in places() {
            place.target.table.walk_by_key();
            let filter = Filter { dirty: true, user: true };
            let mut ways = vec![
                Whose::Marks { filter, nulls: true },
                Whose::Marks { filter: Filter::default(), nulls: false },
                Whose::Value,
            ];
            if place.crsqlite().is_some() {
                ways.extend([Whose::Clock { derived: true }, Whose::Clock { derived: false }]);
            }
            let sql = ExportSql::new(&place.target);
            for whose in &ways {
                place.assert_seeks(&sql.select_one(whose, place.crsqlite()));
            }
            for bounded in [false, true] {
                for whose in &ways {
                    let select = sql.select(bounded, whose, place.crsqlite());
                    place.assert_seeks(&select);
                    place.assert_takes_the_first(&select);
                    for through in [false, true] {
                        let ends = (bounded, through);
                        let next = sql.select_next(ends, 100, whose, place.crsqlite());
                        place.assert_takes_the_first(&next);
                    }
                }
                place.assert_seeks(&sql.select_keys(bounded));
            }
        }
    }
}
