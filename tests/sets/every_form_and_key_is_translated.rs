//! Every format, child tables, and every kind of key: the adds are exactly the elements of the old
//! form, the view shows them throughout, and a second run adds nothing.

use crate::common::plain_db;
use crate::set::{SetJob, migration, rows, visible};

/// Elements of each object as the old form has them, by a key that is text.
const OLD: [(&str, &str, &str, &str); 5] = [
    // key, json, csv, lines
    ("a", r#"["x","y"]"#, "x, y", "x\n y \n"),
    ("b", "[]", "", ""),
    ("c", r#"["z"]"#, ",z,", "\r\nz\r\n"),
    ("d", r#"["x","\u00e9"]"#, "x,\u{e9}", "\u{e9}\nx"),
    ("e", "", " , ", "\n"),
];

const VISIBLE: [(&str, &str); 5] =
    [("a", "x"), ("a", "y"), ("c", "z"), ("d", "x"), ("d", "\u{e9}")];

/// Key kinds: declaration of the key columns, and an expression for each over the text `k`.
const KEYS: [(&str, &[&str], &[&str]); 6] = [
    ("k INTEGER NOT NULL PRIMARY KEY, old TEXT)", &["k"], &["unicode(k)"]),
    ("k TEXT PRIMARY KEY, old TEXT)", &["k"], &["k"]),
    ("k BLOB NOT NULL PRIMARY KEY, old TEXT) WITHOUT ROWID", &["k"], &["CAST(k AS BLOB)"]),
    (
        "\"a b\" TEXT NOT NULL, n INT NOT NULL, old TEXT, PRIMARY KEY (n, \"a b\")) WITHOUT ROWID",
        &["n", "a b"],
        &["unicode(k) / 2", "k"],
    ),
    (
        "old TEXT, k REAL NOT NULL, j TEXT NOT NULL, PRIMARY KEY (k DESC, j)) WITHOUT ROWID",
        &["k", "j"],
        &["unicode(k) / 2.0", "k"],
    ),
    (
        "old TEXT, k REAL NOT NULL, j TEXT NOT NULL, PRIMARY KEY (j, k))",
        &["j", "k"],
        &["k", "unicode(k) / 2.0"],
    ),
];

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// The rows that the view must show, for a kind of key.
fn expected(conn: &rusqlite::Connection, expressions: &[&str]) -> Vec<String> {
    let values: Vec<String> = VISIBLE.iter().map(|(k, e)| format!("('{k}', '{e}')")).collect();
    let select = expressions.join(", ");
    rows(conn, &format!("WITH v(k, e) AS (VALUES {}) SELECT {select}, e FROM v", values.join(", ")))
}

#[test]
fn every_format_of_a_column_with_every_key() {
    for (declaration, names, expressions) in KEYS {
        for (n, format) in ["json", "csv", "lines"].into_iter().enumerate() {
            let db = plain_db(&format!("CREATE TABLE objects ({declaration}"));
            for (k, json, csv, lines) in OLD {
                let sql = format!(
                    "INSERT INTO objects ({}, old) SELECT {}, ?2 FROM (SELECT ?1 AS k)",
                    quoted(names),
                    expressions.join(", ")
                );
                db.execute(&sql, [k, [json, csv, lines][n]]).unwrap();
            }
            let set = migration("objects", &format!("source = 'old'\nformat = '{format}'"));
            let job = SetJob::new(db.db(), set);
            let report = job.run();
            let want = expected(&db, expressions);
            let what = format!("{declaration} {format}");
            assert_eq!(visible(&db), want, "{what}");
            let adds = format!("SELECT {}, element FROM tag_adds", quoted(names));
            assert_eq!(rows(&db, &adds), want, "{what}");
            assert_eq!((report.rows_written, report.rows_total), (5, 5), "{what}");
            let before = rows(&db, "SELECT * FROM tag_adds");
            assert_eq!(job.run().rows_written, 0, "{what}");
            assert_eq!(rows(&db, "SELECT * FROM tag_adds"), before, "{what}");
        }
    }
}
