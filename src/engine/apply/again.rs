//! The keys that a chain brings again, each with the place of its last value: what came before is
//! not looked at any longer. Kept in a temporary database of our own, so that memory stays bounded.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::types::ToSqlOutput;

use crate::db::quote::list;
use crate::db::{DbError, Doing, Table};
use crate::delta::{ChainReader, Coming, Item, Keys, Rows};
use crate::engine::RunError;
use crate::write::{Place, Slice};

/// The keys of all changes.
pub(super) struct AgainKeys {
    conn: Option<Connection>,
    changes: BTreeMap<usize, Statements>,
}

struct Statements {
    add: String,
    find: String,
}

impl AgainKeys {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { conn: None, changes: BTreeMap::new() }
    }

    /// Those of the chain in a folder, as far as it goes.
    pub(super) fn of_folder(dir: &Path, tables: &[Table]) -> Result<Self, RunError> {
        let mut keys = Self::new();
        let mut chain = ChainReader::open_directory(dir)?;
        let header = chain.header().clone();
        while let Some(item) = chain.next_item()? {
            let Item::Segment(segment) = item else { continue };
            let Some(table) = tables.get(segment.change()) else { continue };
            if segment.coming() != Some(Coming::Again) {
                continue;
            }
            let mut place = Place::new(segment.ordinal(), 0);
            for i in 0..segment.blocks() {
                let rows = segment.decode(i, &header)?;
                if let Keys::Implied(_) = rows.keys {
                    // A row that comes again brings its key; the feed says what is wrong.
                    continue;
                }
                let slice = Slice { range: 0..rows.len(), rows: Arc::new(rows), place };
                keys.add(segment.change(), table, &slice)?;
                place = slice.place.after(slice.rows.len());
            }
        }
        Ok(keys)
    }

    /// True where no key of a change came again.
    pub(super) fn is_empty(&self, change: usize) -> bool {
        !self.changes.contains_key(&change)
    }

    /// Adds the keys of a slice of rows that come again.
    pub(super) fn add(
        &mut self,
        change: usize,
        table: &Table,
        slice: &Slice,
    ) -> Result<(), DbError> {
        let what = "remember the rows that come again";
        self.make_table(change, table)?;
        let (Some(conn), Some(statements)) = (&self.conn, self.changes.get(&change)) else {
            return Ok(());
        };
        let tx = conn.unchecked_transaction().doing(what)?;
        {
            let mut add = conn.prepare_cached(&statements.add).doing(what)?;
            let keys = slice.rows.key_columns().len();
            for i in slice.range.clone() {
                for (k, value) in slice.rows.key(i).enumerate() {
                    add.raw_bind_parameter(k + 1, ToSqlOutput::Borrowed(value)).doing(what)?;
                }
                add.raw_bind_parameter(keys + 1, slice.place.of(i)).doing(what)?;
                add.raw_execute().doing(what)?;
            }
        }
        tx.commit().doing(what)
    }

    /// The temporary database, with the table of a change.
    fn make_table(&mut self, change: usize, table: &Table) -> Result<(), DbError> {
        let what = "make a temporary database";
        if self.conn.is_none() {
            let conn = Connection::open("").doing(what)?;
            conn.execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;")
                .doing(what)?;
            self.conn = Some(conn);
        }
        if let (Some(conn), Entry::Vacant(entry)) = (&self.conn, self.changes.entry(change)) {
            let (ddl, statements) = statements(change, table);
            conn.execute_batch(&ddl).doing(what)?;
            entry.insert(statements);
        }
        Ok(())
    }

    /// True where the key of row `i` comes again after that row.
    fn comes_later(&self, change: usize, rows: &Rows, i: usize, at: i64) -> Result<bool, DbError> {
        let (Some(conn), Some(statements)) = (&self.conn, self.changes.get(&change)) else {
            return Ok(false);
        };
        let what = "look for a row that comes again";
        let mut find = conn.prepare_cached(&statements.find).doing(what)?;
        let keys = rows.key_columns().len();
        for (k, value) in rows.key(i).enumerate() {
            find.raw_bind_parameter(k + 1, ToSqlOutput::Borrowed(value)).doing(what)?;
        }
        find.raw_bind_parameter(keys + 1, at).doing(what)?;
        let mut found = find.raw_query();
        Ok(found.next().doing(what)?.is_some())
    }

    /// The rows of a slice whose key does not come again later.
    pub(super) fn last_of(&self, change: usize, slice: Slice) -> Result<Slice, DbError> {
        if self.is_empty(change) {
            return Ok(slice);
        }
        let mut last = Vec::with_capacity(slice.range.len());
        for i in slice.range.clone() {
            if !self.comes_later(change, &slice.rows, i, slice.place.of(i))? {
                last.push(i);
            }
        }
        Ok(if last.len() == slice.range.len() { slice } else { slice.pick(&last) })
    }
}

/// The table of a change, and the statements on it. Keys are equal where the table's own are.
fn statements(change: usize, table: &Table) -> (String, Statements) {
    let keys: Vec<String> = (1..=table.key.len()).map(|i| format!("k{i}")).collect();
    let declared =
        table.key.iter().zip(&keys).map(|(key, k)| {
            format!("{k} {} COLLATE {}", key.affinity.declaration(), key.collation)
        });
    let names = list(keys.iter().cloned());
    let ddl = format!(
        "CREATE TABLE again_{change} ({}, at INTEGER);\n\
         CREATE UNIQUE INDEX again_{change}_key ON again_{change} ({names});",
        list(declared)
    );
    let count = keys.len();
    let add = format!(
        "INSERT INTO again_{change} ({names}, at) VALUES ({}) \
         ON CONFLICT ({names}) DO UPDATE SET at = max(at, excluded.at)",
        list((1..=count + 1).map(|i| format!("?{i}")))
    );
    let pairs: Vec<String> = keys.iter().zip(1..).map(|(k, i)| format!("{k} = ?{i}")).collect();
    let find = format!(
        "SELECT 1 FROM again_{change} WHERE {} AND at > ?{}",
        pairs.join(" AND "),
        count + 1
    );
    (ddl, Statements { add, find })
}
