//! The SQL of the keys whose rows are to be shipped again. Pure text; the query plan of each is
//! tested: none scans.

use super::{KeyMatch, Target};
use crate::db::quote::{list, text};

/// Builds the statements of one target.
#[derive(Clone, Copy, Debug)]
pub struct ReshipSql<'a> {
    target: &'a Target,
}

impl<'a> ReshipSql<'a> {
    /// The statements for `target`.
    #[must_use]
    pub fn new(target: &'a Target) -> Self {
        Self { target }
    }

    /// Adds a key (the parameters) with an id above all that ever were, and returns the id.
    #[must_use]
    pub fn add(&self, migration: &str) -> String {
        let table = self.target.reship_table();
        let keys = KeyMatch::side_columns(self.target, 'k');
        let values = (1..=keys.len()).map(|i| format!("?{i}"));
        format!(
            "INSERT INTO {table} (id, {}) SELECT 1 + max(\
             coalesce((SELECT max(id) FROM {table}), 0), \
             coalesce((SELECT last_id FROM _dotfill_shipped WHERE migration = {}), 0)), {} \
             RETURNING id",
            list(keys.clone()),
            text(migration),
            list(values)
        )
    }

    /// Removes what was added for a key (the parameters) before an id (the last parameter).
    #[must_use]
    pub fn remove_older(&self) -> String {
        format!(
            "DELETE FROM {} WHERE {} AND id < ?{}",
            self.target.reship_table(),
            KeyMatch::side_is(self.target),
            self.target.table.key.len() + 1
        )
    }

    /// Ids and keys after an id, in order, at most as many as the second parameter says.
    #[must_use]
    pub fn select(&self) -> String {
        format!(
            "SELECT id, {} FROM {} WHERE id > ?1 ORDER BY id LIMIT ?2",
            list(KeyMatch::side_columns(self.target, 'k')),
            self.target.reship_table()
        )
    }

    /// Removes the keys up to an id.
    #[must_use]
    pub fn remove(&self) -> String {
        format!("DELETE FROM {} WHERE id <= ?1", self.target.reship_table())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::plans::places;
    use crate::layout::reship_schema;

    #[test]
    fn statements_seek() {
        for place in places() {
            let shipped = "CREATE TABLE IF NOT EXISTS _dotfill_shipped \
                           (migration TEXT PRIMARY KEY, last_id INTEGER)";
            place.conn.execute_batch(shipped).expect("a table");
            place.conn.execute_batch(&reship_schema(&place.target)).expect("a side table");
            let sql = ReshipSql::new(&place.target);
            for sql in [sql.add("m"), sql.remove_older(), sql.remove()] {
                place.assert_seeks(&sql);
            }
            place.assert_takes_the_first(&sql.select());
        }
    }
}
