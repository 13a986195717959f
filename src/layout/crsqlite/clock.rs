//! Clock rows of single cells, and the site under which we publish.

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension};

use super::CrTable;
use crate::db::quote::text;
use crate::db::{Datum, DbError, Doing};
use crate::layout::Target;

/// What a cell's clock row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// No clock row: nobody has written the cell.
    Clockless,
    /// We published it.
    Published,
    /// The row was deleted and came back by a merge, which set this clock to version 0: nobody has
    /// written the cell since, and it may still hold what it held before.
    Forgotten,
    /// A clock row at version 1 that somebody else owns: with a NULL, an insert by a client that
    /// does not know the column.
    First,
    /// A clock row of a user.
    User,
}

/// Reads and writes the clock rows of the target column, by key.
#[derive(Clone, Debug)]
pub struct ClockSql {
    find: String,
    remove: String,
    publish: String,
    create_key: String,
}

impl ClockSql {
    /// The statements for `target`.
    #[must_use]
    pub fn new(cr: &CrTable, target: &Target) -> Self {
        let key = cr.key_of_parameters(target);
        let column = text(&target.column);
        let keys = target.table.key.len();
        let names: Vec<String> =
            target.table.key.iter().map(|k| crate::db::quote::ident(&k.name)).collect();
        let values: Vec<String> = (1..=keys).map(|i| format!("?{i}")).collect();
        Self {
            find: format!(
                "SELECT col_version, site_id FROM {} WHERE key = {key} AND col_name = {column}",
                cr.clock
            ),
            remove: format!("DELETE FROM {} WHERE key = {key} AND col_name = {column}", cr.clock),
            publish: format!(
                "INSERT INTO {} (key, col_name, col_version, db_version, site_id, seq, ts) \
                 VALUES ({key}, {column}, 0, ?{}, ?{}, ?{}, '0') \
                 ON CONFLICT (key, col_name) DO UPDATE SET db_version = excluded.db_version, \
                 site_id = excluded.site_id, seq = excluded.seq, ts = excluded.ts",
                cr.clock,
                keys + 1,
                keys + 2,
                keys + 3
            ),
            create_key: format!(
                "INSERT OR IGNORE INTO {} ({}) VALUES ({})",
                cr.pks,
                names.join(", "),
                values.join(", ")
            ),
        }
    }

    /// What the clock row of the cell with this key says.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn cell(
        &self,
        conn: &Connection,
        key: &[Datum],
        publishers: &[i64],
    ) -> Result<Cell, DbError> {
        let found: Option<(i64, i64)> = conn
            .prepare_cached(&self.find)
            .and_then(|mut s| {
                s.query_row(rusqlite::params_from_iter(key), |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .doing("read a clock row")?;
        Ok(match found {
            None => Cell::Clockless,
            Some((0 | 1, site)) if publishers.contains(&site) => Cell::Published,
            Some((0, _)) => Cell::Forgotten,
            Some((1, _)) => Cell::First,
            Some(_) => Cell::User,
        })
    }

    /// Removes the clock row of a cell.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, conn: &Connection, key: &[Datum]) -> Result<(), DbError> {
        conn.prepare_cached(&self.remove)
            .and_then(|mut s| s.execute(rusqlite::params_from_iter(key)))
            .doing("remove the clock row of a NULL")?;
        Ok(())
    }

    /// Publishes one cell as record `seq` of the publisher's version.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn publish(
        &self,
        conn: &Connection,
        key: &[Datum],
        publisher: Publisher,
        seq: i64,
    ) -> Result<(), DbError> {
        let what = "publish a change record";
        conn.prepare_cached(&self.create_key)
            .and_then(|mut s| s.execute(rusqlite::params_from_iter(key)))
            .doing(what)?;
        let rest: [&dyn ToSql; 3] = [&publisher.db_version, &publisher.ordinal, &seq];
        let key = key.iter().map(|value| value as &dyn ToSql);
        conn.prepare_cached(&self.publish)
            .and_then(|mut s| s.execute(rusqlite::params_from_iter(key.chain(rest))))
            .doing(what)?;
        Ok(())
    }
}

/// The site under which one migration publishes from one replica, inside one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publisher {
    /// Its ordinal in `crsql_site_id`.
    pub ordinal: i64,
    /// The version that this transaction writes.
    pub db_version: i64,
}

impl Publisher {
    /// The publisher site of a migration on the replica with site id `local`:
    /// `derive_key("dotfill 2026-11 publisher site v1", field(migration id), field(site id))[0..16]`,
    /// where `field` is the u64 LE length and the bytes.
    #[must_use]
    pub fn site(migration: &str, local: &[u8]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_derive_key("dotfill 2026-11 publisher site v1");
        for field in [migration.as_bytes(), local] {
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field);
        }
        let mut site = [0; 16];
        site.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        site
    }

    /// The ordinals, in this database, of the publisher sites of a migration on any replica.
    ///
    /// # Errors
    /// When the sites cannot be read.
    pub fn ordinals(conn: &Connection, migration: &str) -> Result<Vec<i64>, DbError> {
        let sites: Vec<(Vec<u8>, i64)> = conn
            .prepare_cached("SELECT site_id, ordinal FROM crsql_site_id")
            .and_then(|mut s| s.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
            .doing("read the sites of cr-sqlite")?;
        let publishers: std::collections::HashSet<[u8; 16]> =
            sites.iter().map(|(site, _)| Self::site(migration, site)).collect();
        let is_publisher =
            |site: &[u8]| <[u8; 16]>::try_from(site).is_ok_and(|site| publishers.contains(&site));
        Ok(sites.iter().filter(|(site, _)| is_publisher(site)).map(|(_, n)| *n).collect())
    }

    /// The local publisher, with the version that the current write transaction may use. Advances
    /// `crsql_db_versions`; the caller publishes at least one record in the same transaction.
    ///
    /// # Errors
    /// When the site cannot be read or written.
    pub fn advance(conn: &Connection, migration: &str) -> Result<Self, DbError> {
        let what = "advance the publisher's version";
        let local: Vec<u8> = conn
            .query_row("SELECT site_id FROM crsql_site_id WHERE ordinal = 0", [], |row| row.get(0))
            .doing("read this replica's site id")?;
        let site = Self::site(migration, &local);
        conn.prepare_cached("INSERT OR IGNORE INTO crsql_site_id (site_id) VALUES (?1)")
            .and_then(|mut s| s.execute([&site]))
            .doing(what)?;
        let ordinal = conn
            .prepare_cached("SELECT ordinal FROM crsql_site_id WHERE site_id = ?1")
            .and_then(|mut s| s.query_row([&site], |row| row.get(0)))
            .doing(what)?;
        let db_version = conn
            .prepare_cached(
                "INSERT INTO crsql_db_versions (site_id, db_version) VALUES (?1, 1) \
                 ON CONFLICT (site_id) DO UPDATE SET db_version = db_version + 1 \
                 RETURNING db_version",
            )
            .and_then(|mut s| s.query_row([&site], |row| row.get(0)))
            .doing(what)?;
        Ok(Self { ordinal, db_version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::plans::places;

    #[test]
    fn statements_per_key_seek() {
        for place in places() {
            let Some(cr) = place.crsqlite() else { continue };
            let sql = ClockSql::new(cr, &place.target);
            for sql in [&sql.find, &sql.remove, &sql.publish, &sql.create_key] {
                place.assert_seeks(sql);
            }
        }
    }

    #[test]
    fn a_publisher_site_depends_on_migration_and_replica() {
        let site = Publisher::site("m", b"0123456789abcdef");
        assert_eq!(site, Publisher::site("m", b"0123456789abcdef"));
        assert_ne!(site, Publisher::site("n", b"0123456789abcdef"));
        assert_ne!(site, Publisher::site("m", b"0123456789abcdeg"));
    }
}
