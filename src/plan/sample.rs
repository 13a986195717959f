//! A sample of a table in a temporary database, as alike as it can be: the same page size, schema,
//! indexes and clock rows, pages as full, and our own tables beside it. What a way of filling costs
//! is measured on copies of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::chunks::chunks;
use super::copy::{copy, copy_clock, copy_rows};
use super::folder::Folder;
use super::fullness::{Fullness, Lengthen};
use super::number;
use crate::db::quote::{ident, list};
use crate::db::{DbError, Doing, KeyKind};
use crate::layout::crsqlite::Publisher;
use crate::layout::{KeyMatch, Layout, Target, note_schema};
use crate::state;

/// How long the pages of one table of the original may be looked at.
const LOOK: Duration = Duration::from_millis(150);

/// A sample, ready to be filled in any way.
pub(super) struct Sample {
    folder: Folder,
    path: PathBuf,
    /// Rows in it.
    pub rows: u64,
    /// Rows of the table that it was taken from.
    pub of: u64,
    /// Bytes of a row as it is stored, on average.
    pub row_bytes: u64,
    /// Rows in it whose cell somebody else has written.
    pub taken: u64,
    /// Bytes that noting those cells took.
    pub seed_bytes: u64,
    /// What our own tables will add to the original.
    pub state_bytes: u64,
}

/// What a sample is taken of.
#[derive(Clone, Copy)]
pub(super) struct Original<'a> {
    pub conn: &'a Connection,
    pub migration: &'a str,
    pub target: &'a Target,
    pub column_exists: bool,
    /// Rows of the table.
    pub rows: u64,
}

impl Sample {
    /// Takes a sample of about `rows_max` rows.
    ///
    /// # Errors
    /// When the original cannot be read or the temporary folder is full.
    pub fn take(original: Original<'_>, rows_max: u64) -> Result<Self, DbError> {
        let folder = Folder::create()?;
        let path = folder.file("sample.db");
        let sample = create(original.conn, &path)?;
        copy_schema(original, &sample)?;
        let rows = copy_chunks(original, &sample, rows_max)?;
        imitate(original, &sample)?;
        let row_bytes = row_bytes(&sample, original.target, rows)?;
        let state_bytes = add_ours(original, &sample)?;
        let (taken, seed_bytes) = seed(original, &sample)?;
        Ok(Self {
            folder,
            path,
            rows,
            of: original.rows,
            row_bytes,
            taken,
            seed_bytes,
            state_bytes,
        })
    }

    /// A copy of it to be filled, with the path of the copy.
    ///
    /// # Errors
    /// When the temporary folder is full.
    pub fn copy(&self, name: &str) -> Result<(Connection, PathBuf), DbError> {
        let path = self.folder.copy(&self.path, name)?;
        let conn = connect(&path)?;
        conn.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -8192;",
        )
        .doing("open the plan's sample")?;
        Ok((conn, path))
    }
}

/// Bytes of a database that are in use.
pub(super) fn used_bytes(conn: &Connection) -> Result<u64, DbError> {
    let pages = number::pragma(conn, "page_count")?;
    let free = number::pragma(conn, "freelist_count")?;
    Ok(pages.saturating_sub(free) * number::pragma(conn, "page_size")?)
}

fn connect(path: &Path) -> Result<Connection, DbError> {
    let what = "open the plan's sample";
    let conn = Connection::open(path).doing(what)?;
    crate::layout::crsqlite::register(&conn)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).doing(what)?;
    conn.execute_batch(
        "PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF; \
         PRAGMA ignore_check_constraints = ON;",
    )
    .doing(what)?;
    // What is tried here calls the function that numbers change records.
    crate::layout::crsqlite::register(&conn)?;
    Ok(conn)
}

/// A new database with the page size, vacuuming and encoding of `original`.
pub(super) fn create(original: &Connection, path: &Path) -> Result<Connection, DbError> {
    let what = "make the plan's sample";
    let encoding: String =
        original.query_row("PRAGMA encoding", [], |row| row.get(0)).doing(what)?;
    let conn = connect(path)?;
    conn.execute_batch(&format!(
        "PRAGMA page_size = {}; PRAGMA auto_vacuum = {}; PRAGMA encoding = {}; \
         PRAGMA journal_mode = OFF; PRAGMA cache_size = -65536;",
        number::pragma(original, "page_size")?,
        number::pragma(original, "auto_vacuum")?,
        crate::db::quote::text(&encoding)
    ))
    .doing(what)?;
    Ok(conn)
}

/// The tables whose pages are filled: the table itself and its clock.
fn tables(target: &Target) -> Vec<String> {
    let mut names = vec![target.table.name.clone()];
    if matches!(target.layout, Layout::CrSqlite(_)) {
        names.push(format!("{}__crsql_clock", target.table.name));
    }
    names
}

/// Makes the sample's pages as full as the original's.
fn imitate(original: Original<'_>, sample: &Connection) -> Result<(), DbError> {
    let mut ways =
        vec![(Lengthen::NewColumn, original.target.table.key_kind == KeyKind::WithoutRowid)];
    if matches!(original.target.layout, Layout::CrSqlite(_)) {
        ways.push((Lengthen::Text("ts"), true));
    }
    for (table, (by, without_rowid)) in tables(original.target).iter().zip(ways) {
        Fullness::look(original.conn, table, LOOK)?.imitate(sample, table, by, without_rowid)?;
    }
    Ok(())
}

const CRSQLITE_TABLES: [&str; 2] = ["crsql_site_id", "crsql_db_versions"];

fn copy_schema(original: Original<'_>, sample: &Connection) -> Result<(), DbError> {
    let mut names = tables(original.target);
    if names.len() > 1 {
        names.push(format!("{}__crsql_pks", original.target.table.name));
        names.extend(CRSQLITE_TABLES.map(str::to_owned));
    }
    let what = "copy the table's schema into the plan's sample";
    let mut statement = original
        .conn
        .prepare(
            "SELECT type, sql FROM sqlite_schema WHERE tbl_name = ?1 AND sql IS NOT NULL \
             AND type IN ('table', 'index') ORDER BY type DESC",
        )
        .doing(what)?;
    for name in names {
        let things: Vec<(String, String)> = statement
            .query_map([&name], |row| Ok((row.get(0)?, row.get(1)?)))
            .and_then(Iterator::collect)
            .doing(what)?;
        for (kind, sql) in things {
            let created = sample.execute_batch(&sql);
            // An index may need a function or collation that only the application has.
            if kind == "table" {
                created.doing(what)?;
            }
        }
    }
    Ok(())
}

fn copy_chunks(original: Original<'_>, sample: &Connection, rows_max: u64) -> Result<u64, DbError> {
    let Original { conn, target, rows, .. } = original;
    let what = format!("sample rows of {}", target.table.sql());
    sample.execute_batch("BEGIN").doing(&what)?;
    let mut copied = 0;
    for mut chunk in chunks(conn, &target.table, rows, rows_max)? {
        copied += copy_rows(conn, &target.table, sample, &mut chunk).doing(&what)?;
        if let Layout::CrSqlite(cr) = &target.layout {
            copy_clock(original, cr, sample, &chunk).doing(&what)?;
        }
    }
    if matches!(target.layout, Layout::CrSqlite(_)) {
        for table in CRSQLITE_TABLES {
            let mut rows = conn.prepare(&format!("SELECT * FROM {table}")).doing(&what)?;
            copy(&mut rows, &[], sample, table).doing(&what)?;
        }
    }
    sample.execute_batch("COMMIT").doing(&what)?;
    Ok(copied)
}

fn row_bytes(sample: &Connection, target: &Target, rows: u64) -> Result<u64, DbError> {
    let sql = "SELECT coalesce(sum(payload), 0) FROM dbstat WHERE name = ?1";
    let bytes = sample
        .query_row(sql, [&target.table.name], |row| row.get::<_, u64>(0))
        .doing("measure the rows of the plan's sample")?;
    Ok(bytes / rows.max(1))
}

/// Adds the column and our own tables; returns what our tables add to the original.
fn add_ours(original: Original<'_>, sample: &Connection) -> Result<u64, DbError> {
    let Original { target, column_exists, migration, .. } = original;
    let what = "prepare the plan's sample";
    let generated = target.table.column(&target.column).is_some_and(|column| column.generated);
    if !column_exists {
        let (table, column) = (target.table.sql(), target.column_sql());
        sample
            .execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column} {}", target.type_name))
            .doing(what)?;
    }
    let before = used_bytes(sample)?;
    state::create(sample)?;
    let created = used_bytes(sample)?;
    if !generated {
        sample.execute_batch(&note_schema(target)).doing(what)?;
    }
    let there = if state::exists(original.conn)? { created.saturating_sub(before) } else { 0 };
    let bytes = used_bytes(sample)?.saturating_sub(before + there);
    sample
        .execute("INSERT INTO _dotfill_lease (migration, token) VALUES (?1, 1)", [migration])
        .doing(what)?;
    sample
        .execute(
            "INSERT INTO _dotfill_changes (migration, position, table_name, column_name, \
             delivery, phase, column_added, seeded, filled) \
             VALUES (?1, 0, '', '', 'derive', 'open', 1, 1, 0)",
            [migration],
        )
        .doing(what)?;
    Ok(bytes)
}

/// Notes which cells are users', as a run does first; returns how many, and the bytes it took.
fn seed(original: Original<'_>, sample: &Connection) -> Result<(u64, u64), DbError> {
    let Original { target, column_exists, migration, .. } = original;
    let generated = target.table.column(&target.column).is_some_and(|column| column.generated);
    if !column_exists || generated {
        return Ok((0, 0));
    }
    let what = "note users' cells in the plan's sample";
    let before = used_bytes(sample)?;
    let user = target.user_table();
    match &target.layout {
        Layout::Plain => {
            let theirs = if target.fill_null { target.column_sql() } else { "1".to_owned() };
            sample.execute(
                &format!(
                    "INSERT INTO {user} ({}) SELECT {} FROM {} WHERE {theirs} IS NOT NULL",
                    list(KeyMatch::side_columns(target, 'k')),
                    list(target.table.key.iter().map(|key| ident(&key.name))),
                    target.table.sql()
                ),
                [],
            )
        }
        Layout::CrSqlite(cr) => {
            let publishers = Publisher::ordinals(sample, migration)?;
            sample.execute(&cr.seed(target, &publishers), [i64::MIN, i64::MAX])
        }
    }
    .doing(what)?;
    let count = number::query(sample, &format!("SELECT count(*) FROM {user}"), what)?;
    Ok((count, used_bytes(sample)?.saturating_sub(before)))
}
