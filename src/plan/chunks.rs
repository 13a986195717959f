//! Which rows are sampled: a few contiguous stretches, spread over the table's own order. Found by
//! seeks where the order is a number; by one walk of the b-tree otherwise.

use rusqlite::Connection;

use crate::db::{Datum, DbError, Doing, KeyKind, Table};
use crate::split::{Position, Range, Splitter};

/// How many stretches are sampled.
const CHUNKS: u64 = 8;

/// The stretches of `table`, in order and disjoint, with at most `rows_max` of its `rows` together.
///
/// # Errors
/// When the table cannot be read.
pub(super) fn chunks(
    conn: &Connection,
    table: &Table,
    rows: u64,
    rows_max: u64,
) -> Result<Vec<Range>, DbError> {
    if rows <= rows_max {
        let whole = Splitter::new(conn, table, rows_max.max(1), None).next_range()?;
        return Ok(whole.into_iter().collect());
    }
    let size = (rows_max / CHUNKS).max(1);
    if table.key_kind != KeyKind::WithoutRowid {
        let found = from(conn, table, size, by_number(conn, table)?)?;
        // A stretch that meets the table's end early says that the numbers are not spread evenly.
        let spread = found.iter().take(found.len().saturating_sub(1)).all(|c| c.rows == size);
        if spread && found.len() as u64 == CHUNKS {
            return Ok(found);
        }
    }
    from(conn, table, size, by_walk(conn, table, rows)?)
}

/// One stretch of `size` rows after each of the places, or after the one before where it is later.
fn from(
    conn: &Connection,
    table: &Table,
    size: u64,
    places: Vec<Option<Position>>,
) -> Result<Vec<Range>, DbError> {
    let mut found: Vec<Range> = Vec::new();
    for place in places {
        let last = found.last().map(|range| range.through.clone());
        let after = match (number(place.as_ref()), number(last.as_ref())) {
            (Some(place), Some(last)) => Some(Position(vec![Datum::Integer(place.max(last))])),
            (None, Some(_)) => last,
            _ => place,
        };
        let Some(range) = Splitter::new(conn, table, size, after).next_range()? else { break };
        found.push(range);
    }
    Ok(found)
}

fn number(position: Option<&Position>) -> Option<i64> {
    match position?.0.as_slice() {
        [Datum::Integer(n)] => Some(*n),
        _ => None,
    }
}

/// Places at equal distances between the smallest and the largest rowid.
fn by_number(conn: &Connection, table: &Table) -> Result<Vec<Option<Position>>, DbError> {
    let Some(term) = table.scan.terms.first() else { return Ok(Vec::new()) };
    // Two subqueries are two seeks; min and max in one SELECT are a full scan.
    let (key, name) = (&term.sql, table.sql());
    let sql = format!("SELECT (SELECT min({key}) FROM {name}), (SELECT max({key}) FROM {name})");
    let (min, max): (i64, i64) = conn
        .query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .doing(format!("find the first and last row of {name}"))?;
    let step = (i128::from(max) - i128::from(min)) / i128::from(CHUNKS);
    let place = |i: u64| {
        let before = i128::from(min) + step * i128::from(i) - 1;
        i64::try_from(before).ok().map(|n| Position(vec![Datum::Integer(n)]))
    };
    Ok((0..CHUNKS).map(|i| if i == 0 { None } else { place(i) }).collect())
}

/// Places with equal numbers of rows between them.
fn by_walk(conn: &Connection, table: &Table, rows: u64) -> Result<Vec<Option<Position>>, DbError> {
    let mut splitter = Splitter::new(conn, table, (rows / CHUNKS).max(1), None);
    let mut places = vec![None];
    while (places.len() as u64) < CHUNKS {
        let Some(range) = splitter.next_range()? else { break };
        places.push(Some(range.through));
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(schema: &str, ids: &str, rows: u64) -> Vec<Range> {
        let conn = Connection::open_in_memory().expect("memory");
        conn.execute_batch(&format!(
            "{schema}; WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n \
             WHERE i < {}) INSERT INTO t SELECT {ids}, 'x' FROM n;",
            rows - 1
        ))
        .expect("rows");
        let table = Table::read(&conn, "t").expect("a table");
        chunks(&conn, &table, rows, 80).expect("chunks")
    }

    fn last(range: &Range) -> String {
        range.through.to_string()
    }

    #[test]
    fn dense_numbers_are_sampled_evenly() {
        let found = found("CREATE TABLE t (id INTEGER PRIMARY KEY, a)", "i", 1000);
        assert_eq!(found.len(), 8);
        assert!(found.iter().all(|range| range.rows == 10));
        assert_eq!(last(&found[7]), "877");
    }

    #[test]
    fn one_far_number_does_not_empty_the_sample() {
        let ids = "CASE i WHEN 999 THEN 9223372036854775807 ELSE i END";
        let found = found("CREATE TABLE t (id INTEGER PRIMARY KEY, a)", ids, 1000);
        assert_eq!(found.len(), 8);
        assert_eq!(last(&found[7]), "884");
    }

    #[test]
    fn tables_without_rowid_are_walked() {
        let schema = "CREATE TABLE t (id TEXT PRIMARY KEY, a) WITHOUT ROWID";
        let found = found(schema, "printf('k%05d', i)", 1000);
        assert_eq!(found.len(), 8);
        assert_eq!(last(&found[1]), "'k00134'");
    }

    #[test]
    fn a_small_table_is_taken_whole() {
        let found = found("CREATE TABLE t (id INTEGER PRIMARY KEY, a)", "-i", 50);
        assert_eq!(found.len(), 1);
        assert_eq!(last(&found[0]), "0");
    }
}
