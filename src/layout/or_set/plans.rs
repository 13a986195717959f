//! No statement that runs per object, per add or per range scans a table, and a read of one object
//! through the view does not either; with every kind of key, old form and layout.

use rusqlite::Connection;

use super::*;
use crate::db::Table;
use crate::layout::crsqlite::{self, CrTable};
use crate::migration::SetFormat;
use crate::state;
use crate::transform::dot::DotDeriver;

/// The tables of cr-sqlite for `adds`, as its version 0.17 makes them.
const CRSQLITE: &str = "
CREATE TABLE adds__crsql_clock (
  key INTEGER NOT NULL, col_name TEXT NOT NULL, col_version INTEGER NOT NULL,
  db_version INTEGER NOT NULL, site_id INTEGER NOT NULL DEFAULT 0, seq INTEGER NOT NULL,
  ts TEXT NOT NULL DEFAULT '0', PRIMARY KEY (key, col_name)) WITHOUT ROWID, STRICT;
CREATE INDEX adds__crsql_clock_dbv_idx ON adds__crsql_clock (site_id, db_version);";

struct Kind {
    name: &'static str,
    schema: &'static str,
    key: &'static [&'static str],
    values: &'static [&'static str],
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "integer",
        schema: "CREATE TABLE t (id INTEGER PRIMARY KEY, old TEXT)",
        key: &["id"],
        values: &["i"],
    },
    Kind {
        name: "text",
        schema: "CREATE TABLE t (id TEXT PRIMARY KEY, old TEXT)",
        key: &["id"],
        values: &["'k' || i"],
    },
    Kind {
        name: "two columns without rowid",
        schema: "CREATE TABLE t (a INT, b TEXT, old TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID",
        key: &["a", "b"],
        values: &["i", "'k' || i"],
    },
    Kind {
        name: "descending",
        schema: "CREATE TABLE t (a INT, b TEXT, old TEXT, PRIMARY KEY (a DESC, b DESC)) WITHOUT ROWID",
        key: &["a", "b"],
        values: &["i", "'k' || i"],
    },
];

/// A database with one set.
pub(crate) struct Place {
    /// Key kind, old form and layout, for messages.
    pub name: String,
    pub conn: Connection,
    pub target: SetTarget,
}

impl Place {
    fn plan(&self, sql: &str) -> rusqlite::Result<Vec<String>> {
        let mut statement = self.conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        let parameters = vec![0; statement.parameter_count()];
        let rows = statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get(3))?;
        rows.collect()
    }

    /// Panics where the plan of `sql` scans a table.
    #[track_caller]
    pub fn assert_seeks(&self, sql: &str) {
        for line in self.plan(sql).unwrap_or_else(|e| panic!("{}: {e}\n{sql}", self.name)) {
            // Members of a text, what a subquery made of them, and the one row of the frontier.
            let own = ["CONSTANT ROW", "part", "shown", "f"];
            let own = own.iter().any(|what| {
                line.strip_prefix("SCAN ").is_some_and(|l| {
                    l == *what
                        || l.starts_with(&format!("{what} "))
                        || l.contains(" VIRTUAL TABLE ")
                        || l.starts_with("(subquery")
                })
            }) || line.contains("VIRTUAL TABLE");
            let scans = line.starts_with("SCAN") && !own;
            assert!(!scans && !line.contains("AUTOMATIC"), "{}: {line}\n{sql}", self.name);
        }
    }
}

impl Place {
    #[track_caller]
    fn assert_is_not_sorted(&self, sql: &str) {
        let plan = self.plan(sql).expect("a plan");
        assert!(plan.iter().all(|line| !line.contains("TEMP B-TREE")), "{plan:?}\n{sql}");
    }
}

/// Every key kind in every layout and old form.
pub(crate) fn places() -> Vec<Place> {
    let mut places = Vec::new();
    for kind in &KINDS {
        for replicated in [false, true] {
            for format in [Some(SetFormat::Json), Some(SetFormat::Lines), None] {
                places.push(place(kind, replicated, format));
            }
        }
    }
    places
}

fn place(kind: &Kind, replicated: bool, format: Option<SetFormat>) -> Place {
    let conn = Connection::open_in_memory().expect("memory");
    crsqlite::register(&conn).expect("functions");
    state::create(&conn).expect("our tables");
    let (key, values) = (kind.key.join(", "), kind.values.join(", "));
    conn.execute_batch(&format!(
        "{}; CREATE TABLE child ({key}, tag, PRIMARY KEY ({key}, tag)) WITHOUT ROWID;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
         INSERT INTO t ({key}, old) SELECT {values}, '[\"a\"]' FROM n;
         INSERT INTO child SELECT {key}, 'a' FROM t;",
        kind.schema
    ))
    .expect("rows");
    let mut table = Table::read(&conn, "t").expect("a usable key");
    table.walk_by_key();
    let schema = adds_schema(&table, "adds", replicated) + &removes_schema("removes", replicated);
    conn.execute_batch(&schema).expect("the new form");
    if replicated {
        conn.execute_batch(&format!(
            "{CRSQLITE} CREATE TABLE adds__crsql_pks (__crsql_key INTEGER PRIMARY KEY, {key}, element, dot);
             CREATE UNIQUE INDEX adds__crsql_pks_pks ON adds__crsql_pks ({key}, element, dot);"
        ))
        .expect("cr-sqlite's tables");
    }
    let old = match format {
        Some(format) => OldForm::Column { column: "old".to_owned(), format },
        None => OldForm::Rows {
            table: "child".to_owned(),
            element: "tag".to_owned(),
            key: kind.key.iter().map(|name| (*name).to_owned()).collect(),
        },
    };
    let layout = if replicated {
        SetLayout::CrSqlite { adds: CrTable::named("adds") }
    } else {
        SetLayout::Plain
    };
    let target = SetTarget {
        n: 1,
        table,
        old,
        adds: "adds".to_owned(),
        removes: "removes".to_owned(),
        view: "shown".to_owned(),
        skip_malformed: true,
        closed: super::ClosedObjects::None,
        layout,
        dots: DotDeriver::new("m", "t", "old"),
    };
    conn.execute_batch(&set_note_schema(&target)).expect("side tables");
    let name = format!("{}, {format:?}, replicated {replicated}", kind.name);
    Place { name, conn, target }
}

#[test]
fn statements_seek() {
    for place in places() {
        let sql = SetSql::new(&place.target);
        for of_one in [
            &sql.source_of,
            &sql.adds_of,
            &sql.insert,
            &sql.insert_unless_clocked,
            &sql.delete,
            &sql.note,
            &sql.forget,
            &sql.is_noted,
            &sql.set_frontier,
        ] {
            place.assert_seeks(of_one);
        }
        sql.is_clocked.iter().for_each(|sql| place.assert_seeks(sql));
        let (n, table) = (place.target.n, &place.target.table);
        place.conn.execute_batch(&crate::layout::pending_schema(n, table)).expect("a side table");
        let apply = SetApplySql::new(&place.target, None);
        let of_one = [
            &apply.exists,
            &apply.add_pending,
            &apply.remove_pending,
            &apply.is_pending,
            &apply.select_pending[1],
            &apply.select_orphans[1],
        ];
        for sql in of_one {
            place.assert_seeks(sql);
        }
        for sql in apply.select_pending.iter().chain(&apply.select_orphans) {
            place.assert_is_not_sorted(sql);
        }
        for shipped in [true, false].map(|noted| SetExportSql::new(&place.target, noted)) {
            let all = [Some(shipped.select_one.as_str()), shipped.clocked_one.as_deref()];
            let ranges = [false, true]
                .map(|bounded| [Some(shipped.select(bounded)), shipped.clocked(bounded)]);
            all.into_iter().chain(ranges.into_iter().flatten()).flatten().for_each(|sql| {
                place.assert_seeks(sql);
                place.assert_is_not_sorted(sql);
            });
        }
        for (lower, upper) in [(true, true), (true, false), (false, true)] {
            place.assert_seeks(sql.sources(lower, upper));
            place.assert_seeks(sql.adds_in(lower, upper));
            place.assert_seeks(sql.note_all(lower, upper));
        }
    }
}

#[test]
fn the_view_of_one_object_seeks() {
    for place in places() {
        let is_key = place.target.keys().iter().map(|key| format!("{key} = 1")).collect::<Vec<_>>();
        for stage in [ViewStage::Filling, ViewStage::Following, ViewStage::Alone] {
            let sql = view_schema_drop(&place.target) + &view_schema(&place.target, stage);
            place.conn.execute_batch(&sql).expect("the view");
            place.assert_seeks(&format!("SELECT * FROM shown WHERE {}", is_key.join(" AND ")));
        }
    }
}

#[test]
fn the_whole_new_form_is_walked_in_order() {
    for place in places() {
        for sql in [objects_sql(&place.target), removes_sql(&place.target)] {
            for line in place.plan(&sql).expect("a plan") {
                // The removes and the objects alone are walked; what is sorted is the adds of one object.
                let walked = ["SCAN t", "SCAN removes"].iter().any(|one| line.starts_with(one));
                let scans = line.starts_with("SCAN") && !walked;
                let sorts = line.contains("TEMP B-TREE") && !line.contains("LAST");
                assert!(!scans && !sorts, "{}: {line}\n{sql}", place.name);
            }
        }
    }
}

/// Whatever stands in the old form, a read of the view does not fail.
#[test]
fn no_text_makes_a_read_of_the_view_fail() {
    for place in places() {
        let key = &place.target.keys()[0];
        let texts = [
            "'{'",
            "'[1,[2],{\"a\":1},null,true,\"x\"]'",
            "NULL",
            "5",
            "x'ff00'",
            "'[1] x'",
            "''",
            "CAST(x'5bff5d' AS TEXT)",
            "'[\"a\\u0000\"]'",
            "'{a:1}'",
            "'[1,]'",
            "'\"x\"'",
            "','",
        ];
        for (n, text) in texts.iter().enumerate() {
            let sql =
                format!("UPDATE t SET old = {text} WHERE {key} IN ({n} + 1, 'k' || ({n} + 1))");
            assert_eq!(place.conn.execute(&sql, []).expect("a row"), 1);
        }
        for stage in [ViewStage::Filling, ViewStage::Following, ViewStage::Alone] {
            let sql = view_schema_drop(&place.target) + &view_schema(&place.target, stage);
            place.conn.execute_batch(&sql).expect("the view");
            let count = "SELECT count(*), sum(length(element)) FROM shown";
            place.conn.query_row(count, [], |_| Ok(())).expect("a read of the view");
        }
    }
}
