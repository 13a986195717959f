//! A row that differs between two replicas: as it is shown, and as the list of keys has it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;
use serde_json::{Map, Value};

use super::subject::Subject;
use crate::db::quote::{ident, list};
use crate::db::{Datum, DbError, Doing, to_json};
use crate::layout::or_set::{OldForm, SetApplySql, SetSql, SetTarget};
use crate::layout::{KeyMatch, Target};

/// Bytes of a text or blob that are shown.
const VALUE_BYTES: usize = 200;

/// How a row differs between two replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowVerdict {
    /// Equal sources, different values.
    Diverged,
    /// Its existence, a source or a user's value is on its way.
    InFlight,
}

/// A row that differs, and what each side holds.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// The values of the key's columns, as [`to_json`] has them.
    pub key: Vec<Value>,
    /// How it differs.
    pub verdict: RowVerdict,
    /// What this replica holds; null where it has no such row.
    pub here: Option<Held>,
    /// What the other one holds.
    pub there: Option<Held>,
    /// The key as SQL literals, for people.
    #[serde(skip)]
    pub key_sql: String,
}

impl Difference {
    /// `TABLE: KEY`, as in `examples`.
    #[must_use]
    pub fn example(&self) -> String {
        format!("{}: {}", self.table, self.key_sql)
    }
}

/// What a replica holds of one row; long texts and blobs are cut.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Held {
    /// The cell; of a set the array of its adds.
    pub cell: Value,
    /// The columns that the expression reads.
    pub sources: Map<String, Value>,
}

/// The file of differing keys: one JSON object a line, with `table`, `column`, `key` (an array, as
/// [`to_json`] has the values) and `verdict` (`diverged` or `in_flight`).
#[derive(Debug)]
pub(super) struct DiffFile {
    path: PathBuf,
    out: BufWriter<File>,
}

#[derive(Serialize)]
struct DiffLine<'l> {
    table: &'l str,
    column: &'l str,
    key: Vec<Value>,
    verdict: RowVerdict,
}

impl DiffFile {
    pub(super) fn create(path: &Path) -> std::io::Result<Self> {
        Ok(Self { path: path.to_owned(), out: BufWriter::new(File::create(path)?) })
    }

    pub(super) fn push(
        &mut self,
        subject: &Subject,
        key: &[Datum],
        verdict: RowVerdict,
    ) -> Result<(), DbError> {
        let line = DiffLine {
            table: &subject.table().name,
            column: subject.column(),
            key: key.iter().map(to_json).collect(),
            verdict,
        };
        let done = serde_json::to_writer(&mut self.out, &line).map_err(std::io::Error::from);
        done.and_then(|()| self.out.write_all(b"\n")).map_err(|source| self.failed(source))
    }

    /// Writes what is left and syncs the file.
    pub(super) fn finish(mut self) -> Result<(), DbError> {
        let done = self.out.flush().and_then(|()| match self.out.get_ref().sync_all() {
            // A pipe cannot be synced.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Ok(()),
            other => other,
        });
        done.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: std::io::Error) -> DbError {
        DbError::Io { path: self.path.clone(), doing: "write the differing keys", source }
    }
}

/// What the row of that key holds; of rows that share a key, one of them.
pub(super) fn held(
    conn: &Connection,
    target: &Target,
    key: &[Datum],
) -> Result<Option<Held>, DbError> {
    let columns = target.sources.iter().chain([&target.column]).map(|name| ident(name));
    let sql = format!(
        "SELECT {} FROM {} WHERE {} LIMIT 1",
        list(columns),
        target.table.sql(),
        KeyMatch::row_is(target)
    );
    conn.prepare_cached(&sql)
        .and_then(|mut s| {
            s.query_row(rusqlite::params_from_iter(key), |row| {
                let value = |i: usize| Ok::<_, rusqlite::Error>(shown(row.get(i)?));
                let sources = target.sources.iter().enumerate();
                let sources = sources.map(|(i, name)| Ok((name.clone(), value(i)?)));
                Ok(Held {
                    sources: sources.collect::<rusqlite::Result<_>>()?,
                    cell: value(target.sources.len())?,
                })
            })
            .optional()
        })
        .doing("look at a row that differs")
}

/// Adds of one object that are shown.
const ADDS_SHOWN: usize = 32;

/// What the object of that key holds: its old form where that is a column, and as the cell its adds,
/// whosever they are.
pub(super) fn held_set(
    conn: &Connection,
    target: &SetTarget,
    key: &[Datum],
) -> Result<Option<Held>, DbError> {
    let what = "look at an object that differs";
    let sql = SetSql::new(target);
    let mut sources = Map::new();
    // A replica that cannot derive may lack the old form.
    let column = match &target.old {
        OldForm::Column { column, .. } => Some(column).filter(|c| target.table.column(c).is_some()),
        OldForm::Rows { .. } => None,
    };
    let exists = SetApplySql::new(target, None).exists;
    let object = if column.is_some() { &sql.source_of } else { &exists };
    let mut statement = conn.prepare_cached(object).doing(what)?;
    let mut rows = statement.query(rusqlite::params_from_iter(key)).doing(what)?;
    let Some(row) = rows.next().doing(what)? else { return Ok(None) };
    if let Some(column) = column {
        sources.insert(column.clone(), shown(row.get(0).doing(what)?));
    }
    let mut adds = conn.prepare_cached(&sql.adds_of).doing(what)?;
    let add = |row: &rusqlite::Row<'_>| {
        Ok(serde_json::json!({ "element": shown(row.get(0)?), "dot": shown(row.get(1)?) }))
    };
    let adds = adds
        .query_map(rusqlite::params_from_iter(key), add)
        .and_then(|rows| rows.take(ADDS_SHOWN).collect::<Result<Vec<_>, _>>())
        .doing(what)?;
    Ok(Some(Held { cell: Value::Array(adds), sources }))
}

/// The value; a long one is cut.
fn shown(mut datum: Datum) -> Value {
    if let Datum::Text(bytes) | Datum::Blob(bytes) = &mut datum
        && bytes.len() > VALUE_BYTES
    {
        let text = std::str::from_utf8(bytes).ok();
        bytes.truncate(text.map_or(VALUE_BYTES, |text| text.floor_char_boundary(VALUE_BYTES)));
        if matches!(datum, Datum::Text(_)) {
            return match to_json(&datum) {
                Value::String(text) => Value::String(format!("{text}...")),
                other => other,
            };
        }
    }
    to_json(&datum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut_where_a_character_ends() {
        let long = Datum::Text("\u{e9}".repeat(300).into_bytes());
        assert_eq!(shown(long), Value::String(format!("{}...", "\u{e9}".repeat(100))));
        assert_eq!(shown(Datum::Text(vec![b'a'; 200])), Value::String("a".repeat(200)));
        assert_eq!(shown(Datum::Blob(vec![0; 201]))["blob"], "00".repeat(200));
    }
}
