//! A key digest: which keys a replica has, as ranges with a count and a sum each, small enough to be
//! sent to another replica, which then need not ship those keys. One JSON object. Owns the format
//! and the sums; knows no migration that was run, and compares nothing.
//!
//! # Definitions
//! For a row with key values `k..` (the key's columns in declared order), and `value` as
//! [`crate::db::encode`] has it: `H = BLAKE3.keyed_hash(K, value(k)..)[0..8]`, as u64 LE, where
//! `K = BLAKE3.derive_key("dotfill 2026-11 key ranges v1", "")`. A range is the rows after the last
//! key of the range before (or from the table's beginning) up to and including its own last key, in
//! the order of the table's key. Its sum is that of `H` over its rows, modulo 2^64. So sums do not
//! depend on how rows are stored, and ranges that follow one another add up.
//!
//! A sum only decides what is shipped. The receiver compares a [`crate::delta::KeyDigest`] of all 32
//! bytes before it writes.
//!
//! # Format 1
//! An object with `kind` (`"keys"`), `format` (1), `migration` (its id), `migration_digest` (64
//! hexadecimal digits), `dotfill_version` and `tables`: each table of the migration once, in the
//! order of its file. A table has `table` (its name), `key` (its key columns as [`key_shape`] writes
//! them), `rows`, and `ranges` in order: each is `[[key value, ..], rows, "sum"]` with the last key,
//! its values as [`crate::db::to_json`] writes them, and the sum as 16 hexadecimal digits. Rows after
//! the last range are not told of. Readers ignore members that they do not know, and refuse another
//! format.
//!
//! # Invariants
//! The JSON of a digest takes at most [`KEYS_BYTES_MAX`]: longer keys make fewer ranges.

use rusqlite::Connection;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use super::DigestProblem;
use crate::db::quote::{ident, list};
use crate::db::{Datum, DbError, Doing, Table, encode, from_json, to_json};
use crate::layout::RangeSql;
use crate::migration::Migration;
use crate::split::Range;

/// The format that this build writes and reads.
const FORMAT: u64 = 1;
/// What tells a key digest from other ones.
const KIND: &str = "keys";
/// Bytes of the JSON of a key digest, at most, with the line's end.
pub const KEYS_BYTES_MAX: usize = 16 << 10;
/// Ranges of all tables together, at most: more than fit.
const RANGES_MAX: usize = 512;

/// Which keys the tables of a migration have on one replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeysReport {
    /// What it is: `keys`.
    pub kind: String,
    /// The format: 1.
    pub format: u64,
    /// The migration's id.
    pub migration: String,
    /// The digest of its file's meaning, as hexadecimal digits.
    pub migration_digest: String,
    /// The dotfill that made it.
    pub dotfill_version: String,
    /// The tables.
    pub tables: Vec<TableKeys>,
}

/// The keys of one table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableKeys {
    /// Its name.
    pub table: String,
    /// What identifies its rows, as [`key_shape`] writes it.
    pub key: String,
    /// How many rows it has.
    pub rows: u64,
    /// Its ranges, in order.
    pub ranges: Vec<KeysOfRange>,
}

/// The keys of one range.
#[derive(Clone, Debug, PartialEq)]
pub struct KeysOfRange {
    /// Its last key.
    pub through: Vec<Datum>,
    /// How many, and their sum.
    pub keys: KeySum,
}

/// The number and the sum of some keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeySum {
    /// How many.
    pub rows: u64,
    /// The sum of their hashes, modulo 2^64.
    pub sum: u64,
}

impl std::ops::AddAssign for KeySum {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// The key columns of a table in order, with what decides whether another table's keys are the
/// same: `"id" TEXT COLLATE NOCASE DESC, ..`, names in lower case, types as affinities.
#[must_use]
pub fn key_shape(table: &Table) -> String {
    list(table.key.iter().enumerate().map(|(i, key)| {
        let mut text = ident(&key.name.to_ascii_lowercase());
        for part in [key.affinity.declaration(), collation(&key.collation), direction(table, i)] {
            if !part.is_empty() {
                text.push(' ');
                text.push_str(part);
            }
        }
        text
    }))
}

fn collation(name: &str) -> &'static str {
    match name {
        "NOCASE" => "COLLATE NOCASE",
        "RTRIM" => "COLLATE RTRIM",
        _ => "",
    }
}

fn direction(table: &Table, i: usize) -> &'static str {
    if table.scan.terms.get(i).is_some_and(|term| term.descending) { "DESC" } else { "" }
}

/// Sums the keys of ranges of one table, which is walked by its key, through one connection.
#[derive(Debug)]
pub struct KeySummer<'a> {
    conn: &'a Connection,
    columns: usize,
    select: [String; 2],
    hash_key: [u8; 32],
    buffer: Vec<u8>,
}

impl<'a> KeySummer<'a> {
    /// Sums keys of `table` through `conn`.
    #[must_use]
    pub fn new(conn: &'a Connection, table: &Table) -> Self {
        Self {
            conn,
            columns: table.key.len(),
            select: [false, true].map(|bounded| select(table, bounded)),
            hash_key: blake3::derive_key("dotfill 2026-11 key ranges v1", b""),
            buffer: Vec::with_capacity(256),
        }
    }

    /// The keys of one range, in one snapshot.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn sum(&mut self, range: &Range) -> Result<KeySum, DbError> {
        let what = "read the keys of a range";
        let sql = &self.select[usize::from(range.bounded())];
        let mut statement = self.conn.prepare_cached(sql).doing(what)?;
        let mut rows =
            statement.query(rusqlite::params_from_iter(range.parameters())).doing(what)?;
        let mut keys = KeySum::default();
        while let Some(row) = rows.next().doing(what)? {
            self.buffer.clear();
            for i in 0..self.columns {
                encode(row.get_ref(i).doing(what)?, &mut self.buffer);
            }
            keys += KeySum { rows: 1, sum: hash(&self.hash_key, &self.buffer) };
        }
        Ok(keys)
    }
}

fn select(table: &Table, bounded: bool) -> String {
    let keys = list(table.key.iter().map(|key| ident(&key.name)));
    let within = RangeSql::new(&table.scan).within(bounded);
    format!("SELECT {keys} FROM {} WHERE {within}", table.sql())
}

fn hash(key: &[u8; 32], bytes: &[u8]) -> u64 {
    let hash = blake3::keyed_hash(key, bytes);
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

impl KeysReport {
    /// The digest of these tables, whose ranges are joined until it is small enough; `None` where the
    /// names of the tables alone take the room.
    #[must_use]
    pub fn fitting(migration: &Migration, tables: &[TableKeys]) -> Option<Self> {
        let mut report = Self {
            kind: KIND.to_owned(),
            format: FORMAT,
            migration: migration.id.to_string(),
            migration_digest: blake3::Hash::from(migration.digest).to_hex().to_string(),
            dotfill_version: env!("CARGO_PKG_VERSION").to_owned(),
            tables: Vec::new(),
        };
        let mut most = RANGES_MAX / tables.len().max(1);
        loop {
            let ends: Vec<_> = tables.iter().map(|table| table.ends(most)).collect();
            let told = || tables.iter().zip(&ends);
            if told().map(|(table, ends)| table.key_bytes(ends)).sum::<usize>() < KEYS_BYTES_MAX {
                report.tables = told().map(|(table, ends)| table.joined(ends)).collect();
                if report.to_json().len() < KEYS_BYTES_MAX {
                    return Some(report);
                }
            }
            if most == 0 {
                return None;
            }
            most = most * 15 / 16;
        }
    }

    /// The JSON object: a line per member and per table.
    #[must_use]
    pub fn to_json(&self) -> String {
        let tables: Vec<String> = self.tables.iter().map(|t| json!(t).to_string()).collect();
        format!(
            "{{\n  \"kind\": {}, \"format\": {}, \"migration\": {},\n  \"migration_digest\": {},\n  \
             \"dotfill_version\": {},\n  \"tables\": [\n    {}\n  ]\n}}",
            json!(self.kind),
            self.format,
            json!(self.migration),
            json!(self.migration_digest),
            json!(self.dotfill_version),
            tables.join(",\n    ")
        )
    }

    /// Reads what [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// [`DigestProblem`], which says what is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, DigestProblem> {
        let malformed = |problem: String| DigestProblem::NoKeys { problem };
        let value: Value = serde_json::from_slice(text).map_err(|e| malformed(e.to_string()))?;
        if value.get("kind").and_then(Value::as_str) != Some(KIND) {
            return Err(malformed("it has no member \"kind\" that is \"keys\"".to_owned()));
        }
        match value.get("format") {
            Some(format) if format.as_u64() == Some(FORMAT) => {}
            format => {
                let found = format.map_or_else(|| "(none)".to_owned(), ToString::to_string);
                return Err(DigestProblem::Format { found });
            }
        }
        let report: Self = serde_json::from_value(value).map_err(|e| malformed(e.to_string()))?;
        report.tables.iter().try_for_each(TableKeys::check).map_err(malformed)?;
        Ok(report)
    }

    /// True where this JSON value is a key digest, of whatever format.
    pub(super) fn is_one(value: &Value) -> bool {
        value.get("kind").and_then(Value::as_str) == Some(KIND)
    }
}

impl TableKeys {
    /// Which ranges are the last of at most `most` ranges of about as many rows each.
    fn ends(&self, most: usize) -> Vec<usize> {
        let told: u64 = self.ranges.iter().map(|range| range.keys.rows).sum();
        let mut rows = 0;
        let mut ends = Vec::new();
        for (i, range) in self.ranges.iter().enumerate() {
            rows += range.keys.rows;
            // The share of the ranges that the rows so far may have used.
            let share = u128::from(rows) * most as u128 / u128::from(told.max(1));
            let last = i + 1 == self.ranges.len();
            if most > 0 && (last || share > ends.len() as u128) {
                ends.push(i);
            }
        }
        ends
    }

    /// Bytes of the last keys of these ranges, which their JSON does not fall below.
    fn key_bytes(&self, ends: &[usize]) -> usize {
        let bytes = |value: &Datum| match value {
            Datum::Text(bytes) | Datum::Blob(bytes) => bytes.len(),
            Datum::Null | Datum::Integer(_) | Datum::Real(_) => 1,
        };
        ends.iter().flat_map(|i| &self.ranges[*i].through).map(bytes).sum()
    }

    /// The same keys in ranges that end there.
    fn joined(&self, ends: &[usize]) -> Self {
        let mut from = 0;
        let ranges = ends.iter().map(|end| {
            let mut keys = KeySum::default();
            self.ranges[from..=*end].iter().for_each(|range| keys += range.keys);
            from = end + 1;
            KeysOfRange { through: self.ranges[*end].through.clone(), keys }
        });
        let ranges = ranges.collect();
        Self { table: self.table.clone(), key: self.key.clone(), rows: self.rows, ranges }
    }

    fn check(&self) -> Result<(), String> {
        let mut rows = 0_u64;
        for range in &self.ranges {
            if range.through.is_empty() || range.through.contains(&Datum::Null) {
                return Err(format!("a range of {} ends at no key", self.table));
            }
            rows = rows.saturating_add(range.keys.rows);
        }
        if rows <= self.rows {
            Ok(())
        } else {
            Err(format!("the ranges of {} have more rows than the table", self.table))
        }
    }
}

impl Serialize for KeysOfRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let key: Vec<Value> = self.through.iter().map(to_json).collect();
        (key, self.keys.rows, format!("{:016x}", self.keys.sum)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for KeysOfRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (key, rows, sum): (Vec<Value>, u64, String) = Deserialize::deserialize(deserializer)?;
        let datum = |value: &Value| {
            from_json(value).ok_or_else(|| D::Error::custom(format!("{value} is no key value")))
        };
        let through = key.iter().map(datum).collect::<Result<_, _>>()?;
        let plain = sum.len() == 16 && sum.bytes().all(|b| b.is_ascii_hexdigit());
        let sum = plain.then(|| u64::from_str_radix(&sum, 16).ok()).flatten();
        let sum = sum.ok_or_else(|| D::Error::custom("a sum does not have 16 digits"))?;
        Ok(Self { through, keys: KeySum { rows, sum } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn migration() -> Migration {
        let text = "id = \"m\"\n[[change]]\nkind = \"column\"\ntable = \"t\"\ncolumn = \"c\"\n\
                    type = \"TEXT\"\nvalue = \"a\"\n";
        Migration::parse(text, Path::new("m.toml")).expect("a migration")
    }

    /// A table of ranges of `rows` rows whose last keys are texts of this many bytes.
    fn table(name: &str, ranges: usize, rows: u64, key_bytes: usize) -> TableKeys {
        let rest = "k".repeat(key_bytes.saturating_sub(4));
        let through = |i: usize| vec![Datum::Text(format!("{i:04}{rest}").into_bytes())];
        let keys = KeySum { rows, sum: u64::MAX };
        let ranges: Vec<_> =
            (0..ranges).map(|i| KeysOfRange { through: through(i), keys }).collect();
        let rows = rows * ranges.len() as u64;
        TableKeys { table: name.to_owned(), key: "\"id\" TEXT".to_owned(), rows, ranges }
    }

    #[test]
    fn keys_of_a_range_are_sought() {
        for mut place in crate::layout::plans::places() {
            place.target.table.walk_by_key();
            for bounded in [false, true] {
                place.assert_seeks(&select(&place.target.table, bounded));
            }
        }
    }

    #[test]
    fn it_fits_into_16_kib_whatever_the_keys() {
        for key_bytes in [1, 26, 100, 1000, 4096, 9000, 20_000, 1 << 20] {
            for tables in [1, 2, 64] {
                let tables: Vec<_> = (0..tables)
                    .map(|i| {
                        let ranges = 700.min((1 << 21) / key_bytes);
                        table(&format!("a table with some name {i}"), ranges, 1 << 40, key_bytes)
                    })
                    .collect();
                let report = KeysReport::fitting(&migration(), &tables).expect("a digest");
                let text = report.to_json();
                assert!(text.len() < KEYS_BYTES_MAX, "{key_bytes}: {} bytes", text.len());
                if key_bytes == 26 && tables.len() == 1 {
                    assert!(
                        report.tables[0].ranges.len() > 200,
                        "{}",
                        report.tables[0].ranges.len()
                    );
                    assert!(
                        text.len() > KEYS_BYTES_MAX * 3 / 4,
                        "it uses the room: {}",
                        text.len()
                    );
                }
                assert_eq!(KeysReport::parse(text.as_bytes()).expect("a digest"), report);
            }
        }
        let wide = table(&"t".repeat(KEYS_BYTES_MAX), 1, 1, 1);
        assert_eq!(KeysReport::fitting(&migration(), &[wide]), None);
    }

    #[test]
    fn joined_ranges_have_all_rows_and_about_as_many_each() {
        let whole = table("t", 700, 100, 8);
        for most in [1, 2, 3, 100, 512, 699, 700, 5000] {
            let joined = whole.joined(&whole.ends(most));
            assert!(joined.ranges.len() <= most && joined.ranges.len() * 2 > most.min(700));
            let rows: u64 = joined.ranges.iter().map(|range| range.keys.rows).sum();
            assert_eq!((rows, joined.rows), (70_000, 70_000));
            assert_eq!(
                joined.ranges.last().map(|r| &r.through),
                whole.ranges.last().map(|r| &r.through)
            );
            let largest = joined.ranges.iter().map(|r| r.keys.rows).max().unwrap_or(0);
            assert!(largest <= 70_000 / most.min(700) as u64 + 100, "{most}: {largest}");
        }
        assert!(whole.ends(0).is_empty());
    }

    #[test]
    fn what_is_damaged_is_refused_and_nothing_panics() {
        let report = KeysReport::fitting(&migration(), &[table("t", 3, 10, 4)]).expect("a digest");
        let text = report.to_json();
        let says = |text: &str, word: &str| {
            let error = KeysReport::parse(text.as_bytes()).expect_err("damaged").to_string();
            assert!(error.contains(word), "no {word:?} in {error}");
        };
        says(&text[..text.len() / 2], "dotfill digest MIGRATION --db FILE --keys");
        says("[]", "kind");
        says(&text.replacen("\"format\": 1", "\"format\": 2", 1), "format 2");
        says(&text.replacen("\"0000\"", "null", 1), "no key");
        says(&text.replacen("\"0000\"", "true", 1), "no key value");
        says(&text.replacen("ffff", "fff", 1), "16 digits");
        says(&text.replacen("\"rows\":30", "\"rows\":29", 1), "more rows");
        for at in 0..text.len() {
            for byte in [0, b'0', b'"', b'-', b'.', b'[', 0xff] {
                let mut damaged = text.clone().into_bytes();
                damaged[at] = byte;
                let _ = KeysReport::parse(&damaged);
            }
        }
    }
}
