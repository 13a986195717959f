//! Ranges cover every row exactly once, for every kind of key.

use super::*;

fn ranges(schema: &str, rows: u64) -> (Connection, Table, Vec<Range>) {
    let conn = Connection::open_in_memory().expect("memory");
    conn.execute_batch(schema).expect("schema");
    let table = Table::read(&conn, "t").expect("table");
    let mut splitter = Splitter::new(&conn, &table, rows, None);
    let mut found = Vec::new();
    while let Some(range) = splitter.next_range().expect("split") {
        found.push(range);
        assert!(found.len() < 10_000, "the splitter does not end");
    }
    drop(splitter);
    (conn, table, found)
}

/// The same, where rows are added behind the last one while it is cut.
fn ranges_until_now(schema: &str, behind: &str, rows: u64) -> (Connection, Table, Vec<Range>) {
    let conn = Connection::open_in_memory().expect("memory");
    conn.execute_batch(schema).expect("schema");
    let table = Table::read(&conn, "t").expect("table");
    let mut splitter = Splitter::new(&conn, &table, rows, None).until_now().expect("an end");
    let mut found = Vec::new();
    for i in 0..2000 {
        conn.execute_batch(&behind.replace('?', &i.to_string())).expect(behind);
        let Some(range) = splitter.next_range().expect("split") else {
            drop(splitter);
            return (conn, table, found);
        };
        found.push(range);
    }
    panic!("the splitter does not end");
}

fn covered(schema: &str, rows: u64) {
    let (conn, table, found) = ranges(schema, rows);
    let sql = RangeSql::new(&table.scan);
    let total: i64 = conn.query_row("SELECT count(*) FROM t", [], |r| r.get(0)).expect("count");
    let mut seen = 0;
    for range in &found {
        let count = format!("SELECT count(*) FROM t WHERE {}", sql.within(range.bounded()));
        let parameters: Vec<_> = range.parameters().collect();
        let n: i64 = conn.query_row(&count, parameters.as_slice(), |r| r.get(0)).expect("range");
        assert!(n <= i64::try_from(rows).expect("small"), "{schema}: {n} rows in {range:?}");
        seen += n;
    }
    assert_eq!(seen, total, "{schema}");
}

const MANY: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1003)";

#[test]
fn every_kind_of_key_is_covered() {
    for (keys, values) in [
        ("id INTEGER PRIMARY KEY, v", "i, 1"),
        ("id INTEGER PRIMARY KEY, v", "i * 1000003 - 500000000, 1"),
        ("id TEXT PRIMARY KEY, v", "CASE WHEN i % 3 THEN 'k' || i END, 1"),
        ("a, b, PRIMARY KEY (a, b)) WITHOUT ROWID; --", "i % 7, 'x' || i"),
        ("a, b, PRIMARY KEY (a DESC, b DESC)) WITHOUT ROWID; --", "i % 7, 'x' || i"),
        ("a, b, PRIMARY KEY (a DESC, b)) WITHOUT ROWID; --", "i % 7, x'00' || i"),
        ("a COLLATE NOCASE, b, PRIMARY KEY (a, b)) WITHOUT ROWID; --", "char(65 + i % 50), i"),
        ("rowid TEXT, oid INT PRIMARY KEY", "'r', i"),
    ] {
        let schema =
            format!("CREATE TABLE t ({keys});\nINSERT INTO t {MANY} SELECT {values} FROM n;");
        for rows in [1, 7, 1003, 5000] {
            covered(&schema, rows);
        }
    }
}

#[test]
fn rows_behind_the_last_one_of_the_beginning_are_left_out() {
    for (keys, values, behind) in [
        ("id INTEGER PRIMARY KEY, v", "i, 1", "?1000 + 5000, 1"),
        ("id INTEGER PRIMARY KEY, v", "i * 7, 1", "?1000 + 50000, 1"),
        ("id TEXT PRIMARY KEY, v", "'k' || i, 1", "'a?', 1"),
        ("a, b, PRIMARY KEY (a, b)) WITHOUT ROWID; --", "i % 7, 'x' || i", "8, '?'"),
        ("a, b, PRIMARY KEY (a DESC, b)) WITHOUT ROWID; --", "i % 7, 'x' || i", "-1, '?'"),
    ] {
        let schema =
            format!("CREATE TABLE t ({keys});\nINSERT INTO t {MANY} SELECT {values} FROM n;");
        for rows in [1, 7, 1003, 5000] {
            let insert = format!("INSERT INTO t VALUES ({behind})");
            let (conn, table, found) = ranges_until_now(&schema, &insert, rows);
            let sql = RangeSql::new(&table.scan);
            let mut seen = 0;
            for range in &found {
                let within = sql.within(range.bounded());
                let count = format!("SELECT count(*) FROM t WHERE {within}");
                let parameters: Vec<_> = range.parameters().collect();
                let count: i64 =
                    conn.query_row(&count, parameters.as_slice(), |r| r.get(0)).expect("range");
                seen += count;
            }
            assert_eq!(seen, 1003, "{keys}, {rows}");
        }
    }
    let empty = "CREATE TABLE t (id INTEGER PRIMARY KEY)";
    assert!(ranges_until_now(empty, "INSERT INTO t VALUES (?)", 10).2.is_empty());
}

#[test]
fn an_empty_table_has_no_range() {
    assert!(ranges("CREATE TABLE t (id INTEGER PRIMARY KEY)", 10).2.is_empty());
}

#[test]
fn the_smallest_and_largest_rowids_are_covered() {
    covered(
        "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES \
         (-9223372036854775808), (-1), (0), (9223372036854775807);",
        1,
    );
}

#[test]
fn a_position_survives_its_text_form() {
    let position = Position(vec![
        Datum::Null,
        Datum::Integer(-5),
        Datum::Real(0.5),
        Datum::Text(vec![0xff, b'a']),
        Datum::Blob(vec![]),
    ]);
    assert_eq!(Position::from_text(&position.to_text()), Some(position));
    for bad in ["", "0", "zz", "01", "\u{e9}\u{e9}", "0500"] {
        assert_eq!(Position::from_text(bad), None, "{bad}");
    }
}

#[test]
fn ranges_are_found_without_a_scan_or_a_sort() {
    for place in crate::layout::plans::places() {
        let splitter = Splitter::new(&place.conn, &place.target.table, 250, None);
        for sql in [&splitter.step[1], &splitter.rest[1], &splitter.left[1]] {
            place.assert_seeks(sql);
        }
        for bounded in [false, true] {
            place.assert_seeks(&cut_sql(&place.target.table, bounded));
        }
        for sql in splitter.step.iter().chain(&splitter.rest) {
            place.assert_takes_the_first(sql);
        }
    }
}

#[test]
fn a_walked_range_says_how_many_rows_it_has() {
    for schema in
        ["(id INTEGER PRIMARY KEY, v)", "(v, id PRIMARY KEY)", "(id PRIMARY KEY) WITHOUT ROWID"]
    {
        for rows in [20, 100, 1003, 5000] {
            let schema =
                format!("CREATE TABLE t {schema}; {MANY} INSERT INTO t (id) SELECT i FROM n");
            let (_, _, found) = ranges(&schema, rows);
            assert_eq!(found.iter().map(|range| range.rows).sum::<u64>(), 1003, "{schema} {rows}");
        }
    }
}

#[test]
fn a_range_is_cut_by_the_rows_that_it_has_now() {
    for schema in
        ["(id INTEGER PRIMARY KEY, v)", "(v, id PRIMARY KEY)", "(id PRIMARY KEY) WITHOUT ROWID"]
    {
        let (conn, table, found) = ranges(
            &format!("CREATE TABLE t {schema}; {MANY} INSERT INTO t (id) SELECT i FROM n"),
            100,
        );
        conn.execute_batch("DELETE FROM t WHERE id % 3").expect("deleted by others");
        let sql = RangeSql::new(&table.scan);
        let mut seen = 0;
        for range in found {
            let mut rest = Some(range);
            while let Some(range) = rest {
                let (part, more) = range.cut(&conn, &table, 7).expect("cut");
                let count = format!("SELECT count(*) FROM t WHERE {}", sql.within(part.bounded()));
                let parameters: Vec<_> = part.parameters().collect();
                let n: i64 =
                    conn.query_row(&count, parameters.as_slice(), |r| r.get(0)).expect("count");
                assert!(n <= 7, "{n} rows");
                seen += n;
                rest = more;
            }
        }
        assert_eq!(seen, 334, "{schema}");
    }
}
