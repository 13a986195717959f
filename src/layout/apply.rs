//! The SQL of applying deltas: each row is found by its key and written, remembered, or told whose
//! it is. Pure text; the query plan of each is tested: none scans.

use super::crsqlite::CrTable;
use super::{Filter, KeyMatch, NoteKind, Target};
use crate::db::quote::{ident, list};

/// Which cells of ours are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Those that hold another value: the replica derives nothing.
    Differing,
    /// Those that are NULL: the replica derives for itself. One that holds another value is noted,
    /// so that it is derived again.
    Missing,
}

/// Builds the statements of one target. Parameters are the key columns, then the value.
#[derive(Clone, Debug)]
pub struct ApplySql<'a> {
    target: &'a Target,
    overwrite: Overwrite,
}

impl<'a> ApplySql<'a> {
    /// The statements for `target`.
    #[must_use]
    pub fn new(target: &'a Target, overwrite: Overwrite) -> Self {
        Self { target, overwrite }
    }

    fn value(&self) -> String {
        format!("?{}", self.target.table.key.len() + 1)
    }

    /// The table's row has the key given as parameters. Not `IS`: no key of a delta is NULL.
    fn row_is(&self) -> String {
        let pairs = self.target.key_sql().enumerate().map(|(i, key)| format!("{key} = ?{}", i + 1));
        pairs.collect::<Vec<_>>().join(" AND ")
    }

    fn open(&self) -> String {
        match self.overwrite {
            Overwrite::Differing => self.target.differs_from(&self.value()),
            Overwrite::Missing => {
                format!("{} IS NULL AND {} IS NOT NULL", self.target.column_sql(), self.value())
            }
        }
    }

    /// The row is in one of the side tables that hold anything.
    fn claimed(&self, filter: Filter) -> String {
        let side = |table: &str| {
            format!("EXISTS (SELECT 1 FROM {table} WHERE {})", KeyMatch::of_row(self.target, table))
        };
        match (filter.user, filter.dirty) {
            (false, false) => "0".to_owned(),
            (true, false) => side(&self.target.user_table()),
            (false, true) => side(&self.target.dirty_table()),
            (true, true) => {
                let (user, dirty) = (self.target.user_table(), self.target.dirty_table());
                format!("({} OR {})", side(&user), side(&dirty))
            }
        }
    }

    /// Writes one cell, where it is ours and open.
    #[must_use]
    pub fn update(&self, filter: Filter) -> String {
        let claimed = match filter {
            Filter { user: false, dirty: false } => String::new(),
            some => format!(" AND NOT {}", self.claimed(some)),
        };
        format!(
            "UPDATE {} SET {} = {} WHERE {} AND {}{claimed}",
            self.target.table.sql(),
            self.target.column_sql(),
            self.value(),
            self.row_is(),
            self.open(),
        )
    }

    /// What became of one row: whether its cell is open still, and whether somebody else claims it.
    /// No row where there is none with the key.
    #[must_use]
    pub fn look(&self, filter: Filter) -> String {
        let open = self.open();
        format!(
            "SELECT {open}, CASE WHEN {open} THEN {} ELSE 0 END FROM {} WHERE {}",
            self.claimed(filter),
            self.target.table.sql(),
            self.row_is()
        )
    }

    /// Whether a user claims the row, whatever it holds; no row where there is none with the key.
    #[must_use]
    pub fn is_claimed(&self, filter: Filter) -> String {
        format!(
            "SELECT {} FROM {} WHERE {}",
            self.claimed(filter),
            self.target.table.sql(),
            self.row_is()
        )
    }

    /// Notes the row with the key to be derived again, where its cell holds another value than the
    /// one that was shipped, is no user's, and is not noted already.
    #[must_use]
    pub fn note_differing(&self) -> String {
        format!(
            "INSERT INTO {} (kind, {}) SELECT {}, {} FROM {} WHERE {} AND {} AND NOT {}",
            self.target.dirty_table(),
            list(KeyMatch::side_columns(self.target, 'k')),
            NoteKind::Source.code(),
            list(self.target.key_sql()),
            self.target.table.sql(),
            self.row_is(),
            self.target.differs_from(&self.value()),
            self.claimed(Filter { user: true, dirty: true }),
        )
    }

    /// Remembers the value of a row that has not arrived.
    #[must_use]
    pub fn add_pending(&self) -> String {
        let values = (1..=self.target.table.key.len()).map(|i| format!("?{i}"));
        format!(
            "INSERT OR REPLACE INTO {} ({}, value) VALUES ({}, {})",
            self.target.pending_table(),
            list(KeyMatch::side_columns(self.target, 'k')),
            list(values),
            self.value()
        )
    }

    /// Forgets what was remembered for a key.
    #[must_use]
    pub fn remove_pending(&self) -> String {
        let pairs =
            (1..=self.target.table.key.len()).map(|i| format!("k{i} = ?{i}")).collect::<Vec<_>>();
        format!("DELETE FROM {} WHERE {}", self.target.pending_table(), pairs.join(" AND "))
    }

    /// Whether a key is remembered.
    #[must_use]
    pub fn is_pending(&self) -> String {
        let pairs =
            (1..=self.target.table.key.len()).map(|i| format!("k{i} = ?{i}")).collect::<Vec<_>>();
        format!("SELECT 1 FROM {} WHERE {}", self.target.pending_table(), pairs.join(" AND "))
    }

    /// Keys and values that are remembered, in order: the first, or those after a key (parameters),
    /// at most as many as the last parameter says.
    #[must_use]
    pub fn select_pending(&self, after: bool) -> String {
        let keys = KeyMatch::side_columns(self.target, 'k');
        let count = keys.len();
        let keys = list(keys);
        let from = if after {
            format!("WHERE ({keys}) > ({})", list((1..=count).map(|i| format!("?{i}"))))
        } else {
            String::new()
        };
        let limit = if after { count + 1 } else { 1 };
        format!(
            "SELECT {keys}, value FROM {} {from} ORDER BY {keys} LIMIT ?{limit}",
            self.target.pending_table()
        )
    }

    /// The causal length of the row with the key, where cr-sqlite knows one: even where the row was
    /// deleted.
    #[must_use]
    pub fn causal_length(&self, cr: &CrTable) -> String {
        let pairs = self.target.table.key.iter().enumerate();
        let pairs: Vec<String> =
            pairs.map(|(i, key)| format!("{} = ?{}", ident(&key.name), i + 1)).collect();
        format!(
            "SELECT col_version FROM {} WHERE col_name = '-1' \
             AND key = (SELECT __crsql_key FROM {} WHERE {})",
            cr.clock,
            cr.pks,
            pairs.join(" AND ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::pending_schema;
    use crate::layout::plans::places;

    #[test]
    fn statements_per_row_seek() {
        for place in places() {
            place
                .conn
                .execute_batch(&pending_schema(place.target.n, &place.target.table))
                .expect("a side table");
            for overwrite in [Overwrite::Differing, Overwrite::Missing] {
                let sql = ApplySql::new(&place.target, overwrite);
                for (user, dirty) in [(false, false), (true, false), (false, true), (true, true)] {
                    let filter = Filter { dirty, user };
                    place.assert_seeks(&sql.update(filter));
                    place.assert_seeks(&sql.look(filter));
                    place.assert_seeks(&sql.is_claimed(filter));
                }
                for sql in [sql.add_pending(), sql.remove_pending(), sql.is_pending()] {
                    place.assert_seeks(&sql);
                }
                place.assert_seeks(&sql.note_differing());
                for after in [false, true] {
                    place.assert_takes_the_first(&sql.select_pending(after));
                }
                if let Some(cr) = place.crsqlite() {
                    place.assert_seeks(&sql.causal_length(cr));
                }
            }
        }
    }
}
