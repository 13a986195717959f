//! Copying stretches of rows, with their key numbers and clock rows, into a sample.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement};

use super::sample::Original;
use crate::db::quote::{ident, list};
use crate::db::{KeyKind, Table};
use crate::layout::RangeSql;
use crate::layout::crsqlite::CrTable;
use crate::split::{Position, Range};

/// Bytes of values that one stretch of rows may have; rows wider than that are sampled one by one.
const CHUNK_BYTES_MAX: u64 = 2 << 20;

/// The statements that copy rows of a table: SELECT gives the scan key, then the columns.
struct RowSql {
    select: String,
    insert: String,
    columns: usize,
}

impl RowSql {
    fn new(table: &Table, range: &RangeSql, bounded: bool) -> Self {
        let mut columns: Vec<String> =
            table.columns.iter().filter(|c| !c.generated).map(|c| ident(&c.name)).collect();
        if table.key_kind == KeyKind::Rowid {
            columns.splice(0..0, range.terms.iter().cloned());
        }
        let (count, names, name) = (columns.len(), list(columns), table.sql());
        let values = list((1..=count).map(|i| format!("?{i}")));
        let select = format!(
            "SELECT {}, {names} FROM {name} WHERE {} ORDER BY {}",
            list(range.terms.iter().cloned()),
            range.within(bounded),
            range.order
        );
        let insert = format!("INSERT INTO {name} ({names}) VALUES ({values})");
        Self { select, insert, columns: count }
    }
}

/// Copies the rows of one stretch, and ends the stretch where it has enough bytes.
pub(super) fn copy_rows(
    conn: &Connection,
    table: &Table,
    sample: &Connection,
    chunk: &mut Range,
) -> rusqlite::Result<u64> {
    let range = RangeSql::new(&table.scan);
    let terms = range.terms.len();
    let sql = RowSql::new(table, &range, chunk.bounded());
    let mut insert = sample.prepare_cached(&sql.insert)?;
    let mut statement = conn.prepare_cached(&sql.select)?;
    let mut rows = statement.query(rusqlite::params_from_iter(chunk.parameters()))?;
    let (mut copied, mut bytes) = (0, 0);
    let mut end: Option<Position> = None;
    while let Some(row) = rows.next()? {
        for i in 0..sql.columns {
            let value = row.get_ref(terms + i)?;
            bytes += size(value);
            insert.raw_bind_parameter(i + 1, ToSqlOutput::Borrowed(value))?;
        }
        insert.raw_execute()?;
        copied += 1;
        if bytes > CHUNK_BYTES_MAX {
            end = Some(Position::from_row(row, terms)?);
            break;
        }
    }
    drop(rows);
    if let Some(end) = end {
        chunk.through = end;
    }
    Ok(copied)
}

fn size(value: ValueRef<'_>) -> u64 {
    match value {
        ValueRef::Null => 0,
        ValueRef::Integer(_) | ValueRef::Real(_) => 8,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len() as u64,
    }
}

/// Copies the key numbers and clock rows that belong to one stretch.
pub(super) fn copy_clock(
    original: Original<'_>,
    cr: &CrTable,
    sample: &Connection,
    chunk: &Range,
) -> rusqlite::Result<()> {
    let table = &original.target.table;
    let keys: Vec<String> = table.key.iter().map(|key| ident(&key.name)).collect();
    // The plus keeps the row's affinity from the pks table's columns, which have none, so that
    // their index can be used.
    let same: Vec<String> = keys.iter().map(|key| format!("p.{key} = +r.{key}")).collect();
    let range = RangeSql::new(&table.scan);
    let numbered = format!(
        "FROM (SELECT {} FROM {} WHERE {}) AS r CROSS JOIN {} AS p ON {}",
        list(keys),
        table.sql(),
        range.within(chunk.bounded()),
        cr.pks,
        same.join(" AND ")
    );
    let clock = format!(
        "SELECT c.* {numbered} CROSS JOIN {} AS c ON c.key = p.__crsql_key ORDER BY 1, 2",
        cr.clock
    );
    let parameters: Vec<_> = chunk.parameters().collect();
    let mut pks = original.conn.prepare(&format!("SELECT p.* {numbered}"))?;
    copy(&mut pks, &parameters, sample, &cr.pks)?;
    copy(&mut original.conn.prepare(&clock)?, &parameters, sample, &cr.clock)
}

/// Copies whole rows.
pub(super) fn copy(
    from: &mut Statement<'_>,
    parameters: &[&dyn rusqlite::ToSql],
    sample: &Connection,
    into: &str,
) -> rusqlite::Result<()> {
    let columns = from.column_count();
    let values = list((1..=columns).map(|i| format!("?{i}")));
    // Somebody may have changed rows between two of our statements.
    let mut insert =
        sample.prepare_cached(&format!("INSERT OR IGNORE INTO {into} VALUES ({values})"))?;
    let mut rows = from.query(parameters)?;
    while let Some(row) = rows.next()? {
        for i in 0..columns {
            insert.raw_bind_parameter(i + 1, ToSqlOutput::Borrowed(row.get_ref(i)?))?;
        }
        insert.raw_execute()?;
    }
    Ok(())
}
