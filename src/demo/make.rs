//! Making the replicas.
//!
//! The rows are those of a third site, which both replicas have merged: bulk SQL writes them into
//! the table, and their clock rows as the extension would have (for an insert one for each column
//! that is no key, at version 1, one `db_version` per transaction, `seq` from 0 in declared order).
//! The second replica is a copy of the first with a site id of its own; neither has written
//! anything yet.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use serde::Serialize;

use super::feed::REPORTS;
use super::replica::{Replica, call};
use super::rows::Rows;
use super::{DemoError, DemoOptions};
use crate::db::{DbError, Doing};
use crate::layout::crsqlite;

const ROWS_PER_TRANSACTION: u64 = 10_000;
/// Bytes that a row takes on disk, over both replicas and with what the backfill adds.
const BYTES_PER_ROW: u64 = 1000;

/// What was made.
#[derive(Clone, Debug, Serialize)]
pub struct Made {
    /// Rows of the table `machines`.
    pub rows: u64,
    /// The extension, where these are databases of cr-sqlite.
    pub crsqlite: Option<PathBuf>,
    /// The replicas.
    pub databases: Vec<PathBuf>,
    /// The size of one of them, in bytes.
    pub file_bytes: u64,
    /// Seconds that it took.
    pub seconds: f64,
}

/// Makes two replicas, `a.db` and `b.db`, in `folder`.
///
/// # Errors
/// [`DemoError`]; nothing is overwritten.
pub fn make(folder: &Path, options: &DemoOptions) -> Result<Made, DemoError> {
    let began = Instant::now();
    let databases = ["a.db", "b.db"].map(|name| folder.join(name));
    let others = [folder.join(REPORTS)];
    if let Some(path) = databases.iter().chain(&others).find(|path| path.exists()) {
        return Err(DemoError::Occupied { path: path.clone() });
    }
    check_room(folder, options.rows)?;
    let [a, b] = databases.clone().map(|path| {
        let extension = options.crsqlite.clone();
        Replica { path, extension }
    });
    create(&a)?;
    fill(&a, options)?;
    let file_bytes = a.file_bytes()?;
    std::fs::copy(&a.path, &b.path).map_err(|source| DemoError::Io {
        path: b.path.clone(),
        doing: "write",
        source,
    })?;
    if let Some(library) = &options.crsqlite {
        name_site(&b, library)?;
    }
    Ok(Made {
        rows: options.rows,
        crsqlite: options.crsqlite.clone(),
        databases: databases.to_vec(),
        file_bytes,
        seconds: began.elapsed().as_secs_f64(),
    })
}

fn check_room(folder: &Path, rows: u64) -> Result<(), DemoError> {
    let Ok(stat) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
    let need_bytes = rows.saturating_mul(BYTES_PER_ROW).saturating_add(128 << 20);
    if free_bytes >= need_bytes {
        return Ok(());
    }
    Err(DemoError::NoRoom { rows, need_bytes, free_bytes, folder: folder.to_owned() })
}

/// The empty table, replicated where there is the extension.
fn create(replica: &Replica) -> Result<(), DbError> {
    replica.with(|conn| {
        conn.execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE machines(id INTEGER NOT NULL PRIMARY KEY, \
             app TEXT, region TEXT, note TEXT);",
        )
        .doing("create the table of the demo")?;
        if replica.extension.is_some() { call(conn, "crsql_as_crr('machines')") } else { Ok(()) }
    })
}

/// The rows, and their clock rows.
fn fill(replica: &Replica, options: &DemoOptions) -> Result<(), DemoError> {
    let what = "fill the table of the demo";
    let conn = Connection::open(&replica.path).doing(what)?;
    // cr-sqlite's triggers would record each row as this replica's own.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).doing(what)?;
    // Nobody else has the file yet, and a demo that is cut short begins anew.
    conn.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;",
    )
    .doing(what)?;
    let mut rows = Rows::new();
    let (mut next, mut version) = (1, 0);
    while next <= options.rows {
        if options.cancel.load(Ordering::Relaxed) {
            return Err(DemoError::Interrupted);
        }
        let last = options.rows.min(next + ROWS_PER_TRANSACTION - 1);
        version += 1;
        conn.execute_batch("BEGIN").doing(what)?;
        fill_rows(&conn, &mut rows, next..=last)?;
        if replica.extension.is_some() {
            fill_clock(&conn, version, next..=last)?;
        }
        conn.execute_batch("COMMIT").doing(what)?;
        next = last + 1;
    }
    if let Some(library) = &replica.extension {
        name_origin(&conn, version, library)?;
    }
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).doing(what)?;
    conn.close().map_err(|(_, error)| error).doing(what)?;
    Ok(())
}

fn fill_rows(
    conn: &Connection,
    rows: &mut Rows,
    ids: std::ops::RangeInclusive<u64>,
) -> Result<(), DbError> {
    let what = "insert rows of the demo";
    let mut insert =
        conn.prepare_cached("INSERT INTO machines VALUES (?1, ?2, ?3, ?4)").doing(what)?;
    for id in ids {
        let row = rows.next();
        insert.execute((id, &row.app, row.region, &row.note)).doing(what)?;
    }
    Ok(())
}

/// Key numbers and clock rows, in the order of their b-trees.
fn fill_clock(
    conn: &Connection,
    version: u64,
    ids: std::ops::RangeInclusive<u64>,
) -> Result<(), DbError> {
    let what = "insert clock rows of the demo";
    let mut key =
        conn.prepare_cached("INSERT INTO machines__crsql_pks VALUES (?1, ?1)").doing(what)?;
    let mut cells = conn
        .prepare_cached(
            "INSERT INTO machines__crsql_clock \
             (key, col_name, col_version, db_version, site_id, seq) VALUES \
             (?1, 'app', 1, ?2, 1, ?3), (?1, 'note', 1, ?2, 1, ?3 + 2), \
             (?1, 'region', 1, ?2, 1, ?3 + 1)",
        )
        .doing(what)?;
    for (row, id) in ids.enumerate() {
        key.execute([id]).doing(what)?;
        cells.execute((id, version, 3 * row)).doing(what)?;
    }
    Ok(())
}

/// The site that wrote the rows.
fn name_origin(conn: &Connection, version: u64, library: &Path) -> Result<(), DbError> {
    let what = "name the site that wrote the rows";
    let site = new_site(library)?;
    conn.execute("INSERT INTO crsql_site_id (site_id, ordinal) VALUES (?1, 1)", [&site])
        .doing(what)?;
    conn.execute("INSERT INTO crsql_db_versions VALUES (?1, ?2)", (&site, version)).doing(what)?;
    Ok(())
}

/// Makes a copy a replica of its own.
fn name_site(replica: &Replica, library: &Path) -> Result<(), DbError> {
    let what = "give the second replica its site id";
    let site = new_site(library)?;
    let conn = Connection::open(&replica.path).doing(what)?;
    conn.execute(
        "DELETE FROM crsql_db_versions WHERE site_id = \
         (SELECT site_id FROM crsql_site_id WHERE ordinal = 0)",
        [],
    )
    .doing(what)?;
    conn.execute("UPDATE crsql_site_id SET site_id = ?1 WHERE ordinal = 0", [&site]).doing(what)?;
    conn.close().map_err(|(_, error)| error).doing(what)
}

/// A site id of the extension's own making.
fn new_site(library: &Path) -> Result<Vec<u8>, DbError> {
    let conn = Connection::open_in_memory().doing("make a site id")?;
    crsqlite::load_extension(&conn, library)?;
    let site =
        conn.query_row("SELECT crsql_site_id()", [], |row| row.get(0)).doing("make a site id")?;
    call(&conn, "crsql_finalize()")?;
    Ok(site)
}
