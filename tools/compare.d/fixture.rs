//! The databases that every contestant gets a fresh copy of: made once per size, from a fixed
//! seed, and kept. A replicated one is filled through cr-sqlite's own triggers, so that its clock
//! rows are the genuine ones.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use crate::failed::{Failed, Outcome};
use crate::options::Options;
use crate::sqlite;

/// Part of the file names: raise it whenever what is made changes.
const FORMAT: u32 = 1;
const ROWS_PER_TRANSACTION: u64 = 10_000;
const NOTE_CHARS: usize = 86;
const REGIONS: [&str; 6] = ["eu-west", "eu-fra", "us-east", "us-ord", "ap-nrt", "sa-gru"];

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A table that nobody replicates.
    Plain,
    /// A cr-sqlite table without the column.
    Replicated,
    /// The same, its empty column added by `crsql_begin_alter` and `crsql_commit_alter`.
    ReplicatedWithColumn,
}

impl Layout {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Replicated => "crsqlite",
            Self::ReplicatedWithColumn => "crsqlite-column",
        }
    }

    /// The extension's path where this layout needs it.
    ///
    /// # Errors
    /// The layout needs the extension and none was given.
    pub fn extension(self, options: &Options) -> Outcome<Option<&Path>> {
        match (self, options.crsqlite.as_deref()) {
            (Self::Plain, _) => Ok(None),
            (_, Some(path)) => Ok(Some(path)),
            (_, None) => Err(Failed("no cr-sqlite extension; give --crsqlite FILE".into())),
        }
    }
}

/// A pseudo-random sequence that is the same everywhere (splitmix64).
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The database of this layout and size, made if it is not there.
pub fn fixture(layout: Layout, options: &Options) -> Outcome<PathBuf> {
    let name = format!("{}-{}-{}-{FORMAT}.db", layout.name(), options.rows, options.page_size);
    let path = options.work.join(name);
    if path.exists() {
        return Ok(path);
    }
    let unfinished = sqlite::beside(&path, ".new");
    sqlite::remove(&unfinished)?;
    eprintln!("making {}", path.display());
    make(layout, &unfinished, options)?;
    std::fs::rename(&unfinished, &path)?;
    Ok(path)
}

fn make(layout: Layout, path: &Path, options: &Options) -> Outcome<()> {
    let extension = layout.extension(options)?;
    if layout == Layout::ReplicatedWithColumn {
        std::fs::copy(fixture(Layout::Replicated, options)?, path)?;
    }
    let connection = sqlite::connect(path, extension)?;
    match layout {
        Layout::Plain => create(&connection, options)?,
        Layout::Replicated => {
            create_replicated(&connection, options)?;
        }
        Layout::ReplicatedWithColumn => alter(&connection)?,
    }
    sqlite::checkpoint(&connection)?;
    sqlite::close(connection, extension)
}

/// Adds the column as cr-sqlite documents it.
pub fn alter(connection: &Connection) -> Outcome<()> {
    connection.query_row("SELECT crsql_begin_alter('machines')", [], |_| Ok(()))?;
    connection.execute_batch("ALTER TABLE machines ADD COLUMN owner TEXT")?;
    connection.query_row("SELECT crsql_commit_alter('machines')", [], |_| Ok(()))?;
    Ok(())
}

fn create(connection: &Connection, options: &Options) -> Outcome<()> {
    create_empty(connection, options)?;
    insert(connection, options.rows)
}

fn create_replicated(connection: &Connection, options: &Options) -> Outcome<()> {
    create_empty(connection, options)?;
    connection.query_row("SELECT crsql_as_crr('machines')", [], |_| Ok(()))?;
    insert(connection, options.rows)
}

fn create_empty(connection: &Connection, options: &Options) -> Outcome<()> {
    connection.pragma_update(None, "page_size", options.page_size)?;
    // cr-sqlite makes its own tables when it is loaded, before a page size can be chosen.
    connection.execute_batch("VACUUM")?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.execute_batch(
        "CREATE TABLE machines(id INTEGER NOT NULL PRIMARY KEY, app TEXT, region TEXT, note TEXT)",
    )?;
    Ok(())
}

fn insert(connection: &Connection, rows: u64) -> Outcome<()> {
    let mut random = Random(2026);
    let mut insert = connection.prepare("INSERT INTO machines VALUES (?1, ?2, ?3, ?4)")?;
    for id in 1..=rows {
        if id % ROWS_PER_TRANSACTION == 1 {
            connection.execute_batch("BEGIN")?;
        }
        let app = format!("app-{:05}", random.next() % 20_000);
        let region = REGIONS[usize::try_from(random.next() % 6)?];
        insert.execute(params![id.cast_signed(), app, region, note(&mut random)])?;
        if id % ROWS_PER_TRANSACTION == 0 || id == rows {
            connection.execute_batch("COMMIT")?;
        }
    }
    Ok(())
}

fn note(random: &mut Random) -> String {
    let words: Vec<_> =
        (0..NOTE_CHARS.div_ceil(16)).map(|_| format!("{:016X}", random.next())).collect();
    let mut note = words.concat();
    note.truncate(NOTE_CHARS);
    note
}

/// A fresh copy of a database, on disk and in the page cache.
pub fn copy(fixture: &Path, to: &Path) -> Outcome<()> {
    sqlite::remove(to)?;
    std::fs::copy(fixture, to)?;
    let mut file = File::open(to)?;
    file.sync_all()?;
    std::io::copy(&mut file, &mut std::io::sink())?;
    Ok(())
}
