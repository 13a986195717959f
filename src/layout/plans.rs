//! For tests: tables of several key kinds, plain and of cr-sqlite, with rows in them and in every
//! side table; and the judgement that a statement's query plan scans none of them.

use rusqlite::Connection;

use super::crsqlite::{self, CrTable};
use super::{Delivery, Layout, Target, note_schema};
use crate::db::Table;
use crate::state;

/// The tables of cr-sqlite for `t`, as its version 0.17 makes them.
const CRSQLITE: &str = r#"
CREATE TABLE crsql_db_versions ("site_id" BLOB NOT NULL PRIMARY KEY, "db_version" INTEGER NOT NULL)
  STRICT;
CREATE TABLE "crsql_site_id" (site_id BLOB NOT NULL, ordinal INTEGER PRIMARY KEY);
CREATE UNIQUE INDEX crsql_site_id_site_id ON "crsql_site_id" (site_id);
INSERT INTO crsql_site_id VALUES (x'00112233445566778899aabbccddeeff', 0);
CREATE TABLE "t__crsql_clock" (
  key INTEGER NOT NULL, col_name TEXT NOT NULL, col_version INTEGER NOT NULL,
  db_version INTEGER NOT NULL, site_id INTEGER NOT NULL DEFAULT 0, seq INTEGER NOT NULL,
  ts TEXT NOT NULL DEFAULT '0', PRIMARY KEY (key, col_name)) WITHOUT ROWID, STRICT;
CREATE INDEX "t__crsql_clock_dbv_idx" ON "t__crsql_clock" ("site_id", "db_version");
"#;

/// A key kind: how its table is declared, and its key columns.
struct Kind {
    name: &'static str,
    schema: &'static str,
    key: &'static [&'static str],
}

const KINDS: [Kind; 6] = [
    Kind {
        name: "integer",
        schema: "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, src TEXT, target TEXT)",
        key: &["id"],
    },
    Kind {
        name: "text",
        schema: "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, src TEXT, target TEXT)",
        key: &["id"],
    },
    Kind {
        name: "number that is no rowid",
        schema: "CREATE TABLE t (id REAL NOT NULL PRIMARY KEY, src TEXT, target TEXT)",
        key: &["id"],
    },
    Kind {
        name: "nocase",
        schema: "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, src TEXT, target TEXT)",
        key: &["id"],
    },
    Kind {
        name: "composite without rowid",
        schema: "CREATE TABLE t (a INT NOT NULL, b TEXT NOT NULL, src TEXT, target TEXT, \
                 PRIMARY KEY (a, b)) WITHOUT ROWID",
        key: &["a", "b"],
    },
    Kind {
        name: "mixed directions without rowid",
        schema: "CREATE TABLE t (a INT NOT NULL, b TEXT NOT NULL COLLATE NOCASE, src TEXT, \
                 target TEXT, PRIMARY KEY (a DESC, b)) WITHOUT ROWID",
        key: &["a", "b"],
    },
];

/// A database with one target.
pub(crate) struct Place {
    /// Key kind, layout, delivery and whether cells are overwritten, for messages.
    pub name: String,
    pub conn: Connection,
    pub target: Target,
}

impl Place {
    /// Panics where the plan of `sql` scans a table or an index; reads that stop at the first row
    /// of their own order may begin at an end.
    #[track_caller]
    pub fn assert_seeks(&self, sql: &str) {
        for line in self.plan(sql) {
            // A subquery that is walked holds no more than the range that it was made from.
            let own = ["SCAN CONSTANT ROW", "SCAN (subquery"].iter().any(|s| line.starts_with(s));
            let scans = line.starts_with("SCAN") && !own;
            assert!(!scans && !line.contains("AUTOMATIC"), "{}: {line}\n{sql}", self.name);
        }
    }

    /// As [`Self::assert_seeks`], for a statement that takes the first rows in a table's order.
    #[track_caller]
    pub fn assert_takes_the_first(&self, sql: &str) {
        for line in self.plan(sql) {
            assert!(!line.contains("TEMP B-TREE"), "{}: {line}\n{sql}", self.name);
        }
    }

    #[track_caller]
    fn plan(&self, sql: &str) -> Vec<String> {
        let problem = |e| panic!("{}: {e}\n{sql}", self.name);
        let mut statement =
            self.conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap_or_else(problem);
        statement
            .query_map(rusqlite::params_from_iter(vec![0; statement.parameter_count()]), |row| {
                row.get(3)
            })
            .and_then(Iterator::collect)
            .unwrap_or_else(|e| panic!("{}: {e}\n{sql}", self.name))
    }

    /// The tables of cr-sqlite, where there are any.
    pub fn crsqlite(&self) -> Option<&CrTable> {
        match &self.target.layout {
            Layout::Plain => None,
            Layout::CrSqlite(cr) => Some(cr),
        }
    }
}

/// Every key kind in every layout, delivery and mode.
pub(crate) fn places() -> Vec<Place> {
    let mut places = Vec::new();
    for kind in &KINDS {
        for (crsqlite, delivery, overwrite) in [
            (false, Delivery::Derive, false),
            (true, Delivery::Derive, false),
            (true, Delivery::Derive, true),
            (true, Delivery::Native, true),
            (true, Delivery::Elide, true),
        ] {
            for filter in [None, Some("src <> ''".to_owned())] {
                places.push(place(kind, crsqlite, delivery, overwrite, filter));
            }
        }
    }
    places
}

fn place(
    kind: &Kind,
    crsqlite: bool,
    delivery: Delivery,
    overwrite: bool,
    filter: Option<String>,
) -> Place {
    let conn = Connection::open_in_memory().expect("memory");
    crsqlite::register(&conn).expect("functions");
    state::create(&conn).expect("our tables");
    conn.execute_batch(kind.schema).expect("the table");
    let columns = kind.key.join(", ");
    let values = ["i", "'k' || i"][..kind.key.len()].join(", ");
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)";
    let rows = format!("{numbers} INSERT INTO t ({columns}, src) SELECT {values}, i FROM n");
    conn.execute_batch(&rows).expect("rows");
    if crsqlite {
        let pks = format!(
            "{CRSQLITE} CREATE TABLE t__crsql_pks (__crsql_key INTEGER PRIMARY KEY, {columns});
             CREATE UNIQUE INDEX t__crsql_pks_pks ON t__crsql_pks ({columns});
             INSERT INTO t__crsql_pks ({columns}) SELECT {columns} FROM t;
             INSERT INTO t__crsql_clock SELECT __crsql_key, 'target', 1, 1, 0, __crsql_key, '0'
               FROM t__crsql_pks"
        );
        conn.execute_batch(&pks).expect("cr-sqlite's tables");
    }
    let table = Table::read(&conn, "t").expect("a usable key");
    let layout = match CrTable::find(&conn, &table).expect("the schema") {
        Some(cr) => Layout::CrSqlite(cr),
        None => Layout::Plain,
    };
    let target = Target {
        n: 1,
        table,
        column: "target".to_owned(),
        type_name: "TEXT".to_owned(),
        value: "'v-' || src".to_owned(),
        filter,
        sources: vec!["src".to_owned()],
        constant: None,
        fill_null: true,
        skip_errors: false,
        overwrite,
        delivery,
        layout,
    };
    conn.execute_batch(&note_schema(&target)).expect("side tables");
    let sides: Vec<_> = (1..=kind.key.len()).map(|i| format!("k{i}")).collect();
    let sides = sides.join(", ");
    conn.execute_batch(&format!(
        "INSERT INTO _dotfill_dirty_1 (kind, {sides}) SELECT 0, {columns} FROM t;
         INSERT INTO _dotfill_user_1 ({sides}) SELECT {columns} FROM t;"
    ))
    .expect("notes");
    let name = format!("{}, {:?}, {delivery}, overwrite {overwrite}", kind.name, target.layout);
    Place { name, conn, target }
}
