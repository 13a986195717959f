//! cr-sqlite 0.17, written directly. This folder is the one place that knows its tables.
//!
//! # Definitions
//! For a table `t`, `t__crsql_pks` gives each primary key a number, and `t__crsql_clock` holds a
//! row per cell that somebody has written: `(key, col_name, col_version, db_version, site_id, seq,
//! ts)`, where `site_id` is an ordinal of `crsql_site_id` (0 is this replica) and `col_name = '-1'`
//! is the row's causal length. `crsql_db_versions` holds the last version of each site. These
//! tables were read off databases that the extension of version 0.17 (`crsqlite_version` 170000)
//! made; any other version is refused by name.
//!
//! # Invariants of a direct writer
//! - A key's number comes from `t__crsql_pks`; a missing one is created first.
//! - What we publish belongs to a publisher site, never to the local site; one `db_version` of that
//!   site per transaction, advanced in `crsql_db_versions` in the same transaction, `seq` from 0.
//! - Adding a column re-creates cr-sqlite's three triggers as its own alter would.
//! - Our connection never runs cr-sqlite's triggers for writes of ours: the sync bit that they test
//!   is 2 there, and the functions that they would call fail loudly.

mod clock;
mod column;
mod functions;

pub use clock::{Cell, ClockSql, Publisher};
pub use column::{add_column, check_triggers};
pub use functions::{finalize, load_extension, register};

use rusqlite::Connection;

use super::{Delivery, KeyMatch, Target};
use crate::db::quote::{ident, list, text};
use crate::db::{DbError, Doing, Table};

/// The version of cr-sqlite's tables that is known here.
pub const VERSION: i64 = 170_000;

/// The tables of cr-sqlite that belong to one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrTable {
    /// The quoted name of the clock table.
    pub clock: String,
    /// The quoted name of the table of key numbers.
    pub pks: String,
}

impl CrTable {
    /// The tables of `table`, where it is a CRR.
    ///
    /// # Errors
    /// When the schema cannot be read.
    pub fn find(conn: &Connection, table: &Table) -> Result<Option<Self>, DbError> {
        let clock = format!("{}__crsql_clock", table.name);
        let pks = format!("{}__crsql_pks", table.name);
        let found: i64 = conn
            .query_row(
                "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN (?1, ?2)",
                [&clock, &pks],
                |row| row.get(0),
            )
            .doing("look for cr-sqlite's tables")?;
        Ok((found == 2).then(|| Self::named(&table.name)))
    }

    /// The tables that cr-sqlite makes for a table of that name.
    #[must_use]
    pub fn named(table: &str) -> Self {
        Self {
            clock: ident(&format!("{table}__crsql_clock")),
            pks: ident(&format!("{table}__crsql_pks")),
        }
    }

    /// The number of the key of the table's current row, as a scalar subquery.
    #[must_use]
    pub fn key_of_row(&self, target: &Target) -> String {
        // The key columns of the pks table have no type: without the plus, the row's affinity would
        // apply to them, and their index could not be used.
        let pairs = target
            .table
            .key
            .iter()
            .zip(target.key_sql())
            .map(|(key, row)| format!("{}.{} = +{row}", self.pks, ident(&key.name)));
        let condition = pairs.collect::<Vec<_>>().join(" AND ");
        format!("(SELECT __crsql_key FROM {} WHERE {condition})", self.pks)
    }

    /// The number of the key given as parameters from `?1`, as a scalar subquery.
    #[must_use]
    pub fn key_of_parameters(&self, target: &Target) -> String {
        let pairs = target
            .table
            .key
            .iter()
            .enumerate()
            .map(|(i, key)| format!("{} = ?{}", ident(&key.name), i + 1));
        let condition = pairs.collect::<Vec<_>>().join(" AND ");
        format!("(SELECT __crsql_key FROM {} WHERE {condition})", self.pks)
    }

    /// Gives every row of a range whose cell is NULL a key number, where it has none.
    #[must_use]
    pub fn create_keys(&self, target: &Target, within: &str) -> String {
        let keys = list(target.table.key.iter().map(|key| ident(&key.name)));
        format!(
            "INSERT INTO {} ({keys}) SELECT {} FROM {} WHERE {within} AND {} IS NULL",
            self.pks,
            list(target.key_sql()),
            target.table.sql(),
            self.key_of_row(target)
        )
    }

    /// Notes as users' the cells of a slice of the clock table that users own, and those whose
    /// NULL has a clock row where NULLs are left alone. Parameters: the slice's bounds as key
    /// numbers (after, up to and including).
    #[must_use]
    pub fn seed(&self, target: &Target, publishers: &[i64]) -> String {
        let sides = list(KeyMatch::side_columns(target, 'k'));
        let user = target.user_table();
        let keys =
            list(target.table.key.iter().map(|k| format!("{}.{}", self.pks, ident(&k.name))));
        format!(
            "INSERT INTO {user} ({sides}) SELECT {keys} FROM {clock} CROSS JOIN {pks} \
             ON {pks}.__crsql_key = {clock}.key \
             WHERE {clock}.key > ?1 AND {clock}.key <= ?2 AND {clock}.col_name = {column} \
             AND NOT ({ours}) AND NOT EXISTS (SELECT 1 FROM {user} WHERE {known})",
            known = target
                .table
                .key
                .iter()
                .enumerate()
                .map(|(i, k)| format!("{user}.k{} IS {}.{}", i + 1, self.pks, ident(&k.name)))
                .collect::<Vec<_>>()
                .join(" AND "),
            clock = self.clock,
            pks = self.pks,
            column = text(&target.column),
            ours = self.ours(target, publishers),
        )
    }

    /// The condition that a clock row of the target column leaves the cell ours.
    fn ours(&self, target: &Target, publishers: &[i64]) -> String {
        let sites = list(publishers.iter().map(i64::to_string));
        let published =
            format!("{}.col_version <= 1 AND {}.site_id IN ({sites})", self.clock, self.clock);
        let published = match target.delivery {
            // A clock that a merge has set to 0: nobody has written the cell since its row is back.
            Delivery::Derive => format!("{published} OR {}.col_version = 0", self.clock),
            Delivery::Virtual | Delivery::Elide | Delivery::Native => published,
        };
        if !target.fill_null {
            return published;
        }
        format!(
            "({published}) OR ({}.col_version = 1 AND {})",
            self.clock,
            self.cell_is_null(target)
        )
    }

    fn cell_is_null(&self, target: &Target) -> String {
        let pairs = target
            .table
            .key
            .iter()
            .zip(target.key_sql())
            .map(|(key, row)| format!("{row} = {}.{}", self.pks, ident(&key.name)));
        format!(
            "NOT EXISTS (SELECT 1 FROM {} WHERE {} AND {} IS NOT NULL)",
            target.table.sql(),
            pairs.collect::<Vec<_>>().join(" AND "),
            target.column_sql()
        )
    }
}
