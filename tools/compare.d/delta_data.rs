//! The data of the part about deltas: a table whose migrated value is 13.7 bytes long on average
//! (`u12345678-42`) and cannot be guessed, with integer keys and with ULIDs as text; plain, and
//! replicated by cr-sqlite. Made once per size, from a fixed seed, and kept.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use crate::failed::{Failed, Outcome};
use crate::fixture::{Random, alter};
use crate::options::Options;
use crate::sqlite;

/// Part of the file names: raise it whenever what is made changes.
const FORMAT: u32 = 2;
const ROWS_PER_TRANSACTION: u64 = 10_000;
const NOTE_WORDS: u64 = 4;
/// The value of each row.
pub const VALUE: &str = "'u' || account || '-' || slot";
/// The id of the migration.
pub const MIGRATION_ID: &str = "compare-deltas";

/// The keys of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// 1, 2, 3, ...
    Integer,
    /// ULIDs in the order of their time, as text.
    Ulid,
}

impl Keys {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Integer, Self::Ulid];

    /// For file names and for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Ulid => "ulid",
        }
    }

    fn declared(self) -> &'static str {
        match self {
            Self::Integer => "INTEGER",
            Self::Ulid => "TEXT",
        }
    }
}

/// A file of the work folder that is kept for the next call, made by `make` if it is not there.
pub fn kept(
    options: &Options,
    name: &str,
    keys: Keys,
    make: impl FnOnce(&Path) -> Outcome<()>,
) -> Outcome<PathBuf> {
    let (rows, page) = (options.rows, options.page_size);
    let path = options.work.join(format!("deltas-{name}-{}-{rows}-{page}-{FORMAT}", keys.name()));
    if path.exists() {
        return Ok(path);
    }
    let unfinished = sqlite::beside(&path, ".new");
    sqlite::remove(&unfinished)?;
    eprintln!("making {}", path.display());
    make(&unfinished)?;
    std::fs::rename(&unfinished, &path)?;
    Ok(path)
}

/// The plain table, without the column.
pub fn plain(keys: Keys, options: &Options) -> Outcome<PathBuf> {
    kept(options, "plain", keys, |path| {
        let connection = create(path, None, keys, options)?;
        insert(&connection, keys, options.rows)?;
        sqlite::checkpoint(&connection)?;
        sqlite::close(connection, None)
    })
}

/// The same rows in a table of cr-sqlite, to which the extension has added the column, empty.
pub fn replicated(keys: Keys, options: &Options) -> Outcome<PathBuf> {
    let extension = extension(options)?;
    let rows = plain(keys, options)?;
    kept(options, "crsqlite", keys, |path| {
        let connection = create(path, Some(extension), keys, options)?;
        connection.query_row("SELECT crsql_as_crr('machines')", [], |_| Ok(()))?;
        connection.execute("ATTACH ?1 AS plain", [rows.to_string_lossy()])?;
        copy(&connection, options.rows)?;
        connection.execute_batch("DETACH plain")?;
        alter(&connection)?;
        sqlite::checkpoint(&connection)?;
        sqlite::close(connection, Some(extension))
    })
}

/// The change records of an `UPDATE` of all rows on another replica, as cr-sqlite's extension wrote
/// them, in a plain table `changes`.
pub fn changes(keys: Keys, options: &Options) -> Outcome<PathBuf> {
    let extension = extension(options)?;
    let table = replicated(keys, options)?;
    kept(options, "changes", keys, |path| {
        let db = options.work.join("updated.db");
        sqlite::remove(&db)?;
        std::fs::copy(&table, &db)?;
        name_site(&db)?;
        let connection = sqlite::connect(&db, Some(extension))?;
        let before: i64 = connection.query_row("SELECT crsql_db_version()", [], |r| r.get(0))?;
        update(&connection, options.rows)?;
        connection.execute("ATTACH ?1 AS list", [path.to_string_lossy()])?;
        connection.execute(
            "CREATE TABLE list.changes AS SELECT \"table\", pk, cid, val, col_version, db_version, \
             site_id, cl, seq FROM crsql_changes WHERE db_version > ?1 ORDER BY db_version, seq",
            [before],
        )?;
        let found: i64 =
            connection.query_row("SELECT count(*) FROM list.changes", [], |r| r.get(0))?;
        if found.cast_unsigned() != options.rows {
            return Err(Failed(format!("the UPDATE left {found} change records")));
        }
        connection.execute_batch("DETACH list")?;
        sqlite::close(connection, Some(extension))?;
        sqlite::remove(&db)
    })
}

/// The migration file.
pub fn migration(options: &Options) -> Outcome<PathBuf> {
    let path = options.work.join(format!("{MIGRATION_ID}.toml"));
    let text = format!(
        "id = \"{MIGRATION_ID}\"\n\n[[change]]\nkind = \"column\"\ntable = \"machines\"\n\
         column = \"owner\"\ntype = \"TEXT\"\nvalue = \"{VALUE}\"\ndelivery = \"derive\"\n"
    );
    std::fs::write(&path, text)?;
    Ok(path)
}

/// The path of cr-sqlite's extension.
pub fn extension(options: &Options) -> Outcome<&Path> {
    options
        .crsqlite
        .as_deref()
        .ok_or_else(|| Failed("no cr-sqlite extension; give --crsqlite FILE".into()))
}

/// Gives a copied replica a site id of its own; its rows count as written there.
pub fn name_site(db: &Path) -> Outcome<()> {
    const SITE: [u8; 16] = [0xc0; 16];
    let connection = sqlite::connect(db, None)?;
    connection.execute(
        "UPDATE crsql_db_versions SET site_id = ?1
         WHERE site_id = (SELECT site_id FROM crsql_site_id WHERE ordinal = 0)",
        [SITE],
    )?;
    let named =
        connection.execute("UPDATE crsql_site_id SET site_id = ?1 WHERE ordinal = 0", [SITE])?;
    sqlite::close(connection, None)?;
    if named == 1 { Ok(()) } else { Err(Failed("crsql_site_id has no row of this site".into())) }
}

fn create(
    path: &Path,
    extension: Option<&Path>,
    keys: Keys,
    options: &Options,
) -> Outcome<Connection> {
    let connection = sqlite::connect(path, extension)?;
    connection.pragma_update(None, "page_size", options.page_size)?;
    // cr-sqlite makes its own tables when it is loaded, before a page size can be chosen.
    connection.execute_batch("VACUUM")?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    let key = keys.declared();
    connection.execute_batch(&format!(
        "CREATE TABLE machines(id {key} NOT NULL PRIMARY KEY, account INTEGER, slot INTEGER, \
         note TEXT)"
    ))?;
    Ok(connection)
}

fn insert(connection: &Connection, keys: Keys, rows: u64) -> Outcome<()> {
    let mut random = Random(2027);
    let mut ms = 1_760_000_000_000;
    let mut insert = connection.prepare("INSERT INTO machines VALUES (?1, ?2, ?3, ?4)")?;
    connection.execute_batch("BEGIN")?;
    for id in 1..=rows {
        ms += random.next() % 80;
        let account = (random.next() >> 32).cast_signed();
        let slot = (random.next() % 100).cast_signed();
        let note: String = (0..NOTE_WORDS).map(|_| format!("{:016x}", random.next())).collect();
        let text = ulid(ms, &mut random);
        match keys {
            Keys::Integer => insert.execute(params![id.cast_signed(), account, slot, note])?,
            Keys::Ulid => insert.execute(params![text, account, slot, note])?,
        };
    }
    Ok(connection.execute_batch("COMMIT")?)
}

/// A time and 80 random bits in Crockford's base 32.
fn ulid(ms: u64, random: &mut Random) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let noise = (u128::from(random.next()) << 64 | u128::from(random.next())) >> 48;
    let bits = u128::from(ms) << 80 | noise;
    let digit = |place: u32| char::from(DIGITS[(bits >> (5 * place) & 31) as usize]);
    (0..26).rev().map(digit).collect()
}

/// Copies the rows through cr-sqlite's own triggers.
fn copy(connection: &Connection, rows: u64) -> Outcome<()> {
    let sql = "INSERT INTO main.machines (id, account, slot, note)
               SELECT id, account, slot, note FROM plain.machines WHERE rowid > ?1 AND rowid <= ?2";
    in_transactions(connection, sql, rows)
}

/// Updates all rows through cr-sqlite's own triggers.
fn update(connection: &Connection, rows: u64) -> Outcome<()> {
    let sql = format!("UPDATE machines SET owner = {VALUE} WHERE rowid > ?1 AND rowid <= ?2");
    in_transactions(connection, &sql, rows)
}

/// Executes a statement for each ten thousand rows, in a transaction of its own.
pub fn in_transactions(connection: &Connection, sql: &str, rows: u64) -> Outcome<()> {
    let mut statement = connection.prepare(sql)?;
    for low in (0..rows).step_by(usize::try_from(ROWS_PER_TRANSACTION)?) {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        statement.execute([low.cast_signed(), (low + ROWS_PER_TRANSACTION).cast_signed()])?;
        connection.execute_batch("COMMIT")?;
    }
    Ok(())
}
