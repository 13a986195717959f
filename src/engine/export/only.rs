//! `--only DIFF`: the rows that a list names, one JSON object a line, instead of all.
//!
//! # Definitions
//! A line: `{"table": "t", "key": [..]}`, and optionally `"column": "c"`; further names are not
//! looked at. Key values are as [`crate::db::to_json`] writes them. Empty lines do not count.
//!
//! # Invariants
//! A line without a column names the row for every change of its table. However often lines name a
//! row, and in whatever spelling its key's collations and types take for the same, it is exported
//! once for each of its changes, in the place of its first line; a row that is not here counts as
//! missing once for each of them.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension};
use serde_json::Value;

use super::Export;
use super::pool::Encoded;
use super::source::Source;
use crate::db::quote::{ident, list};
use crate::db::{Datum, DbError, Doing, Table, encode, from_json};
use crate::engine::RunError;
use crate::engine::proof::reader;
use crate::engine::rows::RowsReader;
use crate::engine::segments::encode as encode_blocks;

/// Rows that are read in one snapshot.
const CHUNK_ROWS: usize = 4096;
/// Bytes that one line may have.
const LINE_BYTES_MAX: usize = 1 << 20;

/// A list of rows.
pub(super) struct Only<'o> {
    path: &'o Path,
    migration: &'o str,
}

/// One line of it.
struct Named {
    table: String,
    column: Option<String>,
    key: Vec<Datum>,
}

impl<'o> Only<'o> {
    /// The list at `path`, whose every line names a change and a key of `sources`.
    ///
    /// # Errors
    /// [`RunError::Refused`] naming the line that does not.
    pub(super) fn open(
        path: &'o Path,
        migration: &'o str,
        sources: &[Source],
    ) -> Result<Self, RunError> {
        let only = Self { path, migration };
        only.each(|line, named| {
            let Some(source) = sources.iter().find(|source| named.is_of(source)) else {
                let column =
                    named.column.iter().fold(String::new(), |_, c| format!("column {c:?} of "));
                let problem = format!("no values of {column}table {:?} are exported", named.table);
                return Err(only.refused(line, &problem));
            };
            let columns = source.subject.table().key.len();
            if named.key.len() == columns {
                return Ok(());
            }
            let problem =
                format!("the key has {} values, and the table {columns}", named.key.len());
            Err(only.refused(line, &problem))
        })?;
        Ok(only)
    }

    fn refused(&self, line: usize, problem: &str) -> RunError {
        RunError::refused(
            self.migration,
            format!("{}:{line}: {problem}", self.path.display()),
            "write one {\"table\": \"t\", \"key\": [..]} a line, as `dotfill verify --diff` does",
        )
    }

    /// Calls `body` with each line's number, from 1, and what it names.
    fn each(
        &self,
        mut body: impl FnMut(usize, Named) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        let unreadable = |error: std::io::Error| {
            RunError::refused(
                self.migration,
                format!("cannot read {}: {error}", self.path.display()),
                "give the file that `dotfill verify --diff` wrote",
            )
        };
        let mut lines = BufReader::new(File::open(self.path).map_err(unreadable)?);
        let mut text = Vec::new();
        for number in 1.. {
            text.clear();
            let most = LINE_BYTES_MAX as u64 + 1;
            let mut limited = std::io::Read::take(&mut lines, most);
            if limited.read_until(b'\n', &mut text).map_err(unreadable)? == 0 {
                break;
            }
            if text.len() > LINE_BYTES_MAX {
                return Err(self.refused(number, "the line is longer than a key can be"));
            }
            if text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let named = Named::parse(&text).map_err(|problem| self.refused(number, &problem))?;
            body(number, named)?;
        }
        Ok(())
    }
}

impl Named {
    fn parse(text: &[u8]) -> Result<Self, String> {
        let value: Value =
            serde_json::from_slice(text).map_err(|error| format!("no JSON: {error}"))?;
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let table = text("table").ok_or("it has no \"table\"")?;
        let key = value.get("key").and_then(Value::as_array).ok_or("it has no \"key\" in []")?;
        let key = key.iter().map(datum).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { table, column: text("column"), key })
    }

    fn is_of(&self, source: &Source) -> bool {
        let subject = &source.subject;
        source.ownership.is_some()
            && self.table.eq_ignore_ascii_case(&subject.table().name)
            && self.column.as_ref().is_none_or(|c| c.eq_ignore_ascii_case(subject.column()))
    }
}

/// A key value, as `verify --diff` writes it. A NULL names no row.
fn datum(value: &Value) -> Result<Datum, String> {
    match from_json(value) {
        None | Some(Datum::Null) => Err(format!("{value} is no key value")),
        Some(datum) => Ok(datum),
    }
}

impl Export<'_> {
    /// Exports the rows that a list names.
    pub(super) fn only(&mut self, sources: &[Source], only: &Only<'_>) -> Result<bool, RunError> {
        for (change, source) in sources.iter().enumerate() {
            if source.ownership.is_some() {
                self.only_of(change, source, only)?;
            }
        }
        Ok(true)
    }

    fn only_of(&mut self, change: usize, source: &Source, only: &Only<'_>) -> Result<(), RunError> {
        let Some(ownership) = source.ownership else { return Ok(()) };
        let conn = reader(self.db)?;
        let rows = RowsReader::new(&conn, &source.subject, ownership);
        let mut seen: HashSet<[u8; 32]> = HashSet::new();
        let mut keys = Vec::new();
        only.each(|_, named| {
            if !named.is_of(source) {
                return Ok(());
            }
            let key = stored(&conn, source.subject.table(), &named.key)?.unwrap_or(named.key);
            if seen.insert(hash(&key)) {
                keys.push(key);
                if keys.len() == CHUNK_ROWS {
                    return self.keys(change, &rows, &std::mem::take(&mut keys));
                }
            }
            Ok(())
        })?;
        self.keys(change, &rows, &keys)
    }

    /// The rows with these keys, in one segment or, where they are large, several.
    fn keys(
        &mut self,
        change: usize,
        rows: &RowsReader<'_>,
        mut keys: &[Vec<Datum>],
    ) -> Result<(), RunError> {
        while !keys.is_empty() {
            let found = rows.read_keys(keys)?;
            self.missing += found.missing;
            let blocks = encode_blocks(self.header, change, &found)?;
            let passed = usize::try_from(found.passed).unwrap_or(usize::MAX).clamp(1, keys.len());
            let (done, rest) = keys.split_at(passed);
            keys = rest;
            let (user, noted, passed) = (found.user, found.noted, found.passed);
            let Some(last) = done.last().filter(|_| !blocks.is_empty()) else {
                self.user += user;
                self.noted += noted;
                continue;
            };
            let through = crate::split::Position(last.clone());
            self.add(Encoded { through, piece: None, blocks, implied: 0, user, noted, passed });
            if self.segments.is_full() {
                self.push(change)?;
            }
        }
        self.push(change)
    }
}

/// The key as its row stores it; `None` where there is no such row.
fn stored(conn: &Connection, table: &Table, key: &[Datum]) -> Result<Option<Vec<Datum>>, DbError> {
    let names: Vec<String> = table.key.iter().map(|key| ident(&key.name)).collect();
    let pairs = names.iter().enumerate().map(|(i, name)| format!("{name} IS ?{}", i + 1));
    let is_key = pairs.collect::<Vec<_>>().join(" AND ");
    let sql = format!("SELECT {} FROM {} WHERE {is_key} LIMIT 1", list(names), table.sql());
    conn.prepare_cached(&sql)
        .and_then(|mut s| {
            s.query_row(rusqlite::params_from_iter(key), |row| {
                (0..key.len()).map(|i| row.get(i)).collect()
            })
            .optional()
        })
        .doing("look for a row that is to be exported")
}

fn hash(key: &[Datum]) -> [u8; 32] {
    let mut bytes = Vec::new();
    for value in key {
        encode(value.as_ref(), &mut bytes);
    }
    *blake3::hash(&bytes).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_verify_names_its_row_whatever_the_key_holds() {
        let key = vec![
            Datum::Integer(i64::MIN),
            Datum::Real(1.0),
            Datum::Real(f64::INFINITY),
            Datum::Text(vec![b'a', 0xff]),
            Datum::Blob(vec![0, 1]),
        ];
        let json: Vec<Value> = key.iter().map(crate::db::to_json).collect();
        let line = serde_json::json!({
            "table": "t", "column": "c", "key": json, "verdict": "in_flight"
        });
        let named = Named::parse(line.to_string().as_bytes()).expect("a row");
        assert_eq!((named.table.as_str(), named.column.as_deref()), ("t", Some("c")));
        assert_eq!(named.key, key);
        let null = Named::parse(br#"{"table": "t", "key": [null]}"#).err();
        assert_eq!(null.as_deref(), Some("null is no key value"));
    }
}
