//! The SQL of the keys whose rows are to be shipped again. Pure text; the query plan of each is
//! tested: none scans.

use crate::db::Table;
use crate::db::quote::list;

/// Builds the statements of one change.
#[derive(Clone, Debug)]
pub struct ReshipSql {
    n: i64,
    table: String,
    keys: Vec<String>,
}

impl ReshipSql {
    /// The statements for change `n`, whose rows are told by the key of `table`.
    #[must_use]
    pub fn new(n: i64, table: &Table) -> Self {
        let keys = (1..=table.key.len()).map(|i| format!("k{i}")).collect();
        Self { n, table: format!("_dotfill_reship_{n}"), keys }
    }

    /// Adds a key (the parameters) with an id above all that ever were, and returns the id.
    #[must_use]
    pub fn add(&self) -> String {
        let Self { n, table, keys } = self;
        let values = (1..=keys.len()).map(|i| format!("?{i}"));
        format!(
            "INSERT INTO {table} (id, {}) SELECT 1 + max(\
             coalesce((SELECT max(id) FROM {table}), 0), \
             coalesce((SELECT last_id FROM _dotfill_shipped WHERE migration = \
             (SELECT migration FROM _dotfill_changes WHERE n = {n})), 0)), {} RETURNING id",
            list(keys.clone()),
            list(values)
        )
    }

    /// Removes what was added for a key (the parameters) before an id (the last parameter).
    #[must_use]
    pub fn remove_older(&self) -> String {
        let pairs = self.keys.iter().enumerate().map(|(i, key)| format!("{key} IS ?{}", i + 1));
        format!(
            "DELETE FROM {} WHERE {} AND id < ?{}",
            self.table,
            pairs.collect::<Vec<_>>().join(" AND "),
            self.keys.len() + 1
        )
    }

    /// Ids and keys after an id, in order, at most as many as the second parameter says.
    #[must_use]
    pub fn select(&self) -> String {
        let keys = list(self.keys.clone());
        format!("SELECT id, {keys} FROM {} WHERE id > ?1 ORDER BY id LIMIT ?2", self.table)
    }

    /// Removes the keys up to an id.
    #[must_use]
    pub fn remove(&self) -> String {
        format!("DELETE FROM {} WHERE id <= ?1", self.table)
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
                           (migration TEXT PRIMARY KEY, last_id INTEGER);
                           CREATE TABLE IF NOT EXISTS _dotfill_changes \
                           (n INTEGER PRIMARY KEY, migration TEXT)";
            place.conn.execute_batch(shipped).expect("a table");
            let (n, table) = (place.target.n, &place.target.table);
            place.conn.execute_batch(&reship_schema(n, table)).expect("a side table");
            let sql = ReshipSql::new(n, table);
            for sql in [sql.add(), sql.remove_older(), sql.remove()] {
                place.assert_seeks(&sql);
            }
            place.assert_takes_the_first(&sql.select());
        }
    }
}
