//! The tables that every bench works on: fixed seed, about 115 bytes a row.

#![allow(dead_code, reason = "each bench uses a part")]

use std::path::{Path, PathBuf};

use dotfill::db::{self, Access, Table};
use dotfill::layout::{Delivery, Layout, Target};
use dotfill::migration::Migration;
use rusqlite::Connection;
use tempfile::TempDir;

/// Rows of the tables.
pub const ROWS: u64 = 100_000;

/// The cheap expression that the benches derive.
pub const VALUE: &str = "'u' || (12345678 + id % 1000) || '-' || (id % 97)";

/// A plain database in a folder that goes with it.
pub struct Fixture {
    pub folder: TempDir,
    pub db: PathBuf,
}

/// Makes a plain database of `ROWS` rows, in WAL mode.
pub fn plain() -> Fixture {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let db = folder.path().join("bench.db");
    let conn = Connection::open(&db).expect("a new database");
    conn.execute_batch(&format!(
        "PRAGMA journal_mode = WAL;
         CREATE TABLE machines (id INTEGER NOT NULL PRIMARY KEY, app TEXT, region TEXT, note TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {ROWS})
         INSERT INTO machines SELECT i, 'app' || (i % 100), 'r' || (i % 10), printf('%086d', i)
         FROM n;
         PRAGMA wal_checkpoint(TRUNCATE);"
    ))
    .expect("rows");
    Fixture { folder, db }
}

/// Gives a plain database the tables of cr-sqlite 0.17, with a clock row per cell, as its
/// extension writes them for one insert of all rows.
pub fn crsqlite() -> Fixture {
    let fixture = plain();
    let conn = Connection::open(&fixture.db).expect("the database");
    let column = |name: &str, seq: u64| {
        format!(
            "INSERT INTO machines__crsql_clock SELECT id, '{name}', 1, 1, 0, 3 * id + {seq}, '0' \
             FROM machines;\n"
        )
    };
    let clocks: String =
        ["app", "region", "note"].iter().zip(0..).map(|(name, seq)| column(name, seq)).collect();
    conn.execute_batch(&format!("{CRSQLITE}{clocks}{TRIGGERS}")).expect("cr-sqlite's tables");
    fixture
}

const CRSQLITE: &str = r#"
CREATE TABLE crsql_master (key TEXT PRIMARY KEY, value ANY);
INSERT INTO crsql_master VALUES ('crsqlite_version', 170000);
CREATE TABLE crsql_site_id (site_id BLOB NOT NULL, ordinal INTEGER PRIMARY KEY);
CREATE UNIQUE INDEX crsql_site_id_site_id ON crsql_site_id (site_id);
INSERT INTO crsql_site_id VALUES (x'00112233445566778899aabbccddeeff', 0);
CREATE TABLE crsql_db_versions (site_id BLOB NOT NULL PRIMARY KEY, db_version INTEGER NOT NULL)
  STRICT;
INSERT INTO crsql_db_versions VALUES (x'00112233445566778899aabbccddeeff', 1);
CREATE TABLE machines__crsql_clock (key INTEGER NOT NULL, col_name TEXT NOT NULL,
  col_version INTEGER NOT NULL, db_version INTEGER NOT NULL, site_id INTEGER NOT NULL DEFAULT 0,
  seq INTEGER NOT NULL, ts TEXT NOT NULL DEFAULT '0', PRIMARY KEY (key, col_name))
  WITHOUT ROWID, STRICT;
CREATE INDEX machines__crsql_clock_dbv_idx ON machines__crsql_clock (site_id, db_version);
CREATE TABLE machines__crsql_pks (__crsql_key INTEGER PRIMARY KEY, "id");
CREATE UNIQUE INDEX machines__crsql_pks_pks ON machines__crsql_pks ("id");
INSERT INTO machines__crsql_pks SELECT id, id FROM machines;
"#;

const TRIGGERS: &str = r#"
CREATE TRIGGER "machines__crsql_itrig" AFTER INSERT ON "machines"
  WHEN crsql_internal_sync_bit() = 0
  BEGIN VALUES (crsql_after_insert('machines', NEW."id")); END;
CREATE TRIGGER "machines__crsql_utrig" AFTER UPDATE ON "machines"
  WHEN crsql_internal_sync_bit() = 0
  BEGIN VALUES (crsql_after_update('machines', NEW."id", OLD."id",
    NEW."app",NEW."region",NEW."note", OLD."app",OLD."region",OLD."note")); END;
CREATE TRIGGER "machines__crsql_dtrig" AFTER DELETE ON "machines"
  WHEN crsql_internal_sync_bit() = 0
  BEGIN VALUES (crsql_after_delete('machines', OLD."id")); END;
"#;

/// A fresh copy of a fixture's database, in the same folder.
pub fn copy(fixture: &Fixture) -> PathBuf {
    let to = fixture.folder.path().join("copy.db");
    for suffix in ["-wal", "-shm"] {
        let mut name = to.as_os_str().to_owned();
        name.push(suffix);
        let _ = std::fs::remove_file(name);
    }
    std::fs::copy(&fixture.db, &to).expect("a copy");
    to
}

/// A connection for reading.
pub fn reader(db: &Path) -> Connection {
    db::open(db, Access::Read).expect("the database")
}

/// The migration that fills `owner`.
pub fn migration(delivery: &str, value: &str) -> Migration {
    let text = format!(
        "id = \"bench\"\n[[change]]\nkind = \"column\"\ntable = \"machines\"\ncolumn = \"owner\"\n\
         type = \"TEXT\"\nvalue = \"{}\"\ndelivery = \"{delivery}\"\n",
        value.replace('\\', "\\\\").replace('"', "\\\"")
    );
    Migration::parse(&text, Path::new("bench.toml")).expect("a migration")
}

/// The column as a target, on a database where it is there already.
pub fn target(conn: &Connection, value: &str) -> Target {
    let table = Table::read(conn, "machines").expect("the table");
    Target {
        n: 1,
        table,
        column: "note".to_owned(),
        type_name: "TEXT".to_owned(),
        value: value.to_owned(),
        filter: None,
        sources: vec!["id".to_owned()],
        constant: None,
        fill_null: true,
        skip_errors: false,
        overwrite: true,
        delivery: Delivery::Derive,
        layout: Layout::Plain,
    }
}
