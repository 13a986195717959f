//! Bytes per row: dotfill's chains as they lie in a folder, headers, digests and manifest included,
//! and what else carries the same values, each compressed by zstd at level 3.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::types::ValueRef;

use crate::delta_data::{Keys, VALUE, changes, extension, kept, migration, plain};
use crate::failed::{Failed, Outcome, fail};
use crate::options::Options;
use crate::sqlite;
use crate::tool::{dotfill, has_option, run};

const ZSTD_LEVEL: i32 = 3;
/// Change records whose columns are gathered.
const BATCH_RECORDS: usize = 10_000;

/// What carries the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// dotfill's segments, each row with its key.
    Shipped,
    /// dotfill's segments for a receiver that has the same keys.
    Implied,
    /// The rows of `crsql_changes`, one after the other.
    Changes,
    /// The same, column by column for ten thousand at a time.
    ChangesByColumn,
    /// A patchset of `SQLite`'s session extension.
    Patchset,
    /// The SQL that sqldiff prints.
    Sqldiff,
}

impl Carrier {
    /// All, in the order of the table.
    pub const ALL: [Self; 6] = [
        Self::Shipped,
        Self::Implied,
        Self::Changes,
        Self::ChangesByColumn,
        Self::Patchset,
        Self::Sqldiff,
    ];

    /// For the JSON and for the targets.
    pub fn id(self) -> &'static str {
        match self {
            Self::Shipped => "dotfill_shipped",
            Self::Implied => "dotfill_implied",
            Self::Changes => "crsql_changes",
            Self::ChangesByColumn => "crsql_changes_by_column",
            Self::Patchset => "patchset",
            Self::Sqldiff => "sqldiff",
        }
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shipped => "dotfill export",
            Self::Implied => "dotfill export --keys-of",
            Self::Changes => "crsql_changes, zstd -3",
            Self::ChangesByColumn => "  the same, by columns",
            Self::Patchset => "session patchset, zstd -3",
            Self::Sqldiff => "sqldiff --primarykey, zstd -3",
        }
    }
}

/// What one carrier costs.
#[derive(Clone, Debug)]
pub struct Size {
    /// Which.
    pub carrier: Carrier,
    /// With which keys.
    pub keys: Keys,
    /// Bytes per row.
    pub bytes_per_row: Outcome<f64>,
}

/// Weighs every carrier with every kind of keys.
pub fn sizes(options: &Options) -> Vec<Size> {
    let mut sizes = Vec::new();
    for keys in Keys::ALL {
        let sender = sender(keys, options);
        for carrier in Carrier::ALL {
            eprintln!("bytes per row, {} keys: {}", keys.name(), carrier.name());
            let bytes = sender.clone().and_then(|sender| weigh(carrier, keys, &sender, options));
            let bytes_per_row = bytes.map(|bytes| bytes as f64 / options.rows as f64);
            sizes.push(Size { carrier, keys, bytes_per_row });
        }
    }
    sizes
}

/// A plain database that dotfill has filled; made anew in each call.
pub fn sender(keys: Keys, options: &Options) -> Outcome<std::path::PathBuf> {
    let db = options.work.join(format!("deltas-sender-{}.db", keys.name()));
    sqlite::remove(&db)?;
    std::fs::copy(plain(keys, options)?, &db)?;
    let migration = migration(options)?;
    dotfill(options, &["run".as_ref(), migration.as_os_str(), "--db".as_ref(), db.as_os_str()], 0)?;
    Ok(db)
}

fn weigh(carrier: Carrier, keys: Keys, sender: &Path, options: &Options) -> Outcome<u64> {
    match carrier {
        Carrier::Shipped => export(sender, None, options),
        Carrier::Implied => implied(keys, sender, options),
        Carrier::Changes => weigh_changes(keys, 1, options),
        Carrier::ChangesByColumn => weigh_changes(keys, BATCH_RECORDS, options),
        Carrier::Patchset => compressed(File::open(patchset(keys, options)?)?),
        Carrier::Sqldiff => sqldiff(keys, sender, options),
    }
}

/// Bytes of all files of an export.
fn export(sender: &Path, keys_of: Option<&Path>, options: &Options) -> Outcome<u64> {
    let (migration, dir) = (migration(options)?, options.work.join("deltas-weighed"));
    remove_folder(&dir)?;
    let mut arguments = vec!["export".as_ref(), migration.as_os_str(), "--db".as_ref()];
    arguments.extend([sender.as_os_str(), "--deltas".as_ref(), dir.as_os_str()]);
    arguments.extend(keys_of.iter().flat_map(|file| ["--keys-of".as_ref(), file.as_os_str()]));
    let (_, report) = dotfill(options, &arguments, 0)?;
    if report["rows"].as_u64() != Some(options.rows) {
        return fail(format!("{} rows were exported", report["rows"]));
    }
    let bytes = folder_bytes(&dir)?;
    remove_folder(&dir)?;
    Ok(bytes)
}

/// The same for a receiver that has the keys, which its digest tells.
fn implied(keys: Keys, sender: &Path, options: &Options) -> Outcome<u64> {
    if !has_option(options, "export", "--keys-of")? {
        return fail("this dotfill has no export --keys-of");
    }
    let (migration, receiver) = (migration(options)?, plain(keys, options)?);
    let mut digest = Command::new(&options.dotfill);
    digest.arg("digest").arg(&migration).arg("--db").arg(&receiver).arg("--keys");
    let (_, output) = run(digest)?;
    if !output.status.success() {
        return fail(crate::work::complaint(&output));
    }
    let file = options.work.join("deltas-keys.json");
    std::fs::write(&file, &output.stdout)?;
    export(sender, Some(&file), options)
}

/// Bytes of all files in a folder.
pub fn folder_bytes(dir: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

/// Removes a folder of deltas that an earlier step has left.
pub fn remove_folder(dir: &Path) -> Outcome<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Bytes that a stream has once it is compressed.
fn compressed(mut from: impl Read) -> Outcome<u64> {
    let mut encoder = zstd::Encoder::new(Counter(0), ZSTD_LEVEL)?;
    std::io::copy(&mut from, &mut encoder)?;
    Ok(encoder.finish()?.0)
}

/// Keeps nothing but the count of bytes.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// All nine columns of each change record, in the order in which they were made, each column of
/// `batch` records at a time. A value is a byte for the type, then the number as a zigzag varint, or
/// the length as a varint and the bytes.
fn weigh_changes(keys: Keys, batch: usize, options: &Options) -> Outcome<u64> {
    extension(options)?;
    let connection = sqlite::connect(&changes(keys, options)?, None)?;
    let mut select = connection.prepare("SELECT * FROM changes ORDER BY rowid")?;
    let mut columns = vec![Vec::new(); select.column_count()];
    let mut encoder = zstd::Encoder::new(Counter(0), ZSTD_LEVEL)?;
    let mut rows = select.query([])?;
    let mut records = 0;
    while let Some(row) = rows.next()? {
        for (i, column) in columns.iter_mut().enumerate() {
            put(row.get_ref(i)?, column);
        }
        records += 1;
        if records % batch == 0 {
            write_columns(&mut columns, &mut encoder)?;
        }
    }
    write_columns(&mut columns, &mut encoder)?;
    Ok(encoder.finish()?.0)
}

fn write_columns(columns: &mut [Vec<u8>], out: &mut impl Write) -> Outcome<()> {
    for column in columns {
        out.write_all(column)?;
        column.clear();
    }
    Ok(())
}

fn put(value: ValueRef<'_>, out: &mut Vec<u8>) {
    match value {
        ValueRef::Null => out.push(0),
        ValueRef::Integer(i) => {
            out.push(1);
            put_varint((i << 1 ^ i >> 63).cast_unsigned(), out);
        }
        ValueRef::Real(r) => {
            out.push(2);
            out.extend_from_slice(&r.to_le_bytes());
        }
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            out.push(if matches!(value, ValueRef::Text(_)) { 3 } else { 4 });
            put_varint(bytes.len() as u64, out);
            out.extend_from_slice(bytes);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A patchset of an `UPDATE` of all rows.
pub fn patchset(keys: Keys, options: &Options) -> Outcome<std::path::PathBuf> {
    let db = plain(keys, options)?;
    kept(options, "patchset", keys, |path| {
        let mut python = Command::new(&options.python);
        python.arg(&options.patchset).arg("make").arg(&db).arg(VALUE).arg(path);
        let (_, output) = run(python)?;
        if output.status.success() { Ok(()) } else { fail(crate::work::complaint(&output)) }
    })
}

/// What sqldiff prints between the table without values and the one with them.
fn sqldiff(keys: Keys, sender: &Path, options: &Options) -> Outcome<u64> {
    let mut command = Command::new(&options.sqldiff);
    command.args(["--primarykey", "--table", "machines"]);
    command.arg(plain(keys, options)?).arg(sender);
    let missing =
        |error| Failed(format!("{}: {error} (Debian: sqlite3-tools)", options.sqldiff.display()));
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(missing)?;
    let printed = child.stdout.take().ok_or_else(|| Failed("no output to read".into()))?;
    let bytes = compressed(BufReader::new(printed));
    if !child.wait()?.success() {
        return fail("sqldiff failed; its complaint is above");
    }
    bytes
}
