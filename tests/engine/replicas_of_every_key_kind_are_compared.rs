//! Whatever identifies a row: replicas that store the same rows otherwise are equal, each key that
//! differs is named, and its JSON finds the row again.

use std::fs;
use std::path::PathBuf;

use dotfill::db::{Datum, from_json};
use dotfill::engine::{self, Against, CompareOptions, Verdict, VerifyReport};
use dotfill::monitor::Quiet;
use rusqlite::config::DbConfig;
use serde_json::{Value, json};

use crate::common::{PlainDb, plain_db};
use crate::job::{Job, one_column, threads};

const ROWS: i64 = 120;

struct Pair {
    a: (PlainDb, Job),
    b: (PlainDb, Job),
    table: &'static str,
    out: PathBuf,
}

impl Pair {
    /// Rows are made by `insert`, with `?` for their number; `b` stores them backwards.
    fn new(table: &'static str, schema: &str, insert: &str, more: &str) -> Self {
        let side = |numbers: Vec<i64>| {
            let db = plain_db(schema);
            db.execute_batch("BEGIN").unwrap();
            for i in numbers {
                db.execute_batch(&insert.replace('?', &i.to_string())).unwrap();
            }
            db.execute_batch("COMMIT").unwrap();
            let job = Job::new(db.db(), one_column(table, "target", "TEXT", "'v-' || src", more));
            job.run();
            (db, job)
        };
        let a = side((1..=ROWS).collect());
        let b = side((1..=ROWS).rev().collect());
        b.0.execute_batch("VACUUM").unwrap();
        let out = a.0.folder().join("out.jsonl");
        Self { a, b, table, out }
    }

    fn compare(&self) -> VerifyReport {
        let options = CompareOptions {
            threads: 2,
            diff: Some(self.out.clone()),
            ..CompareOptions::default()
        };
        let other = Against::Replica(self.b.1.db.clone());
        engine::verify_against(&self.a.1.db, &self.a.1.migration, &other, &options, &Quiet).unwrap()
    }

    fn by_digest(&self) -> VerifyReport {
        let digest = Box::new(
            engine::digest(&self.b.1.db, &self.b.1.migration, &threads(1), &Quiet).unwrap(),
        );
        let other = Against::Digest { name: "b".to_owned(), digest };
        let options = CompareOptions::default();
        engine::verify_against(&self.a.1.db, &self.a.1.migration, &other, &options, &Quiet).unwrap()
    }

    /// `src` of the rows that the list names, with their verdicts.
    fn listed(&self, key: &str) -> Vec<(i64, String)> {
        let text = fs::read_to_string(&self.out).unwrap();
        let lines = text.lines().map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["table"], json!(self.table));
            let key_values: Vec<Datum> =
                line["key"].as_array().unwrap().iter().map(|v| from_json(v).unwrap()).collect();
            let sql = format!("SELECT src FROM {} WHERE {key}", quoted(self.table));
            let parameters = rusqlite::params_from_iter(key_values);
            let src = self.a.0.query_row(&sql, parameters, |row| row.get(0)).unwrap();
            (src, line["verdict"].as_str().unwrap().to_owned())
        });
        let mut found: Vec<_> = lines.collect();
        found.sort();
        found
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn past_triggers(db: &PlainDb, sql: &str) {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    db.execute_batch(sql).unwrap();
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, true).unwrap();
}

/// `key` is the condition that finds a row by its key.
#[track_caller]
fn check(table: &'static str, schema: &str, insert: &str, key: &str) {
    let pair = Pair::new(table, schema, insert, "");
    assert_eq!(pair.compare().verdict, Verdict::Equal);
    assert_eq!(pair.by_digest().verdict, Verdict::Equal);
    assert_eq!(fs::read_to_string(&pair.out).unwrap(), "");

    let name = quoted(table);
    pair.b.0.execute_batch(&format!("DELETE FROM {name} WHERE src = 7")).unwrap();
    pair.b.0.execute_batch(&format!("UPDATE {name} SET target = 'u' WHERE src = 8")).unwrap();
    assert_eq!(pair.compare().verdict, Verdict::Inconclusive);
    assert_eq!(pair.by_digest().verdict, Verdict::Inconclusive);
    past_triggers(&pair.b.0, &format!("UPDATE {name} SET target = 'c' WHERE src = 9"));
    let report = pair.compare();
    assert_eq!(report.verdict, Verdict::Diverged, "{report:?}");
    assert_eq!(pair.by_digest().verdict, Verdict::Diverged);
    let want = [(7, "in_flight"), (8, "in_flight"), (9, "diverged")];
    assert_eq!(pair.listed(key), want.map(|(src, verdict)| (src, verdict.to_owned())));
}

#[test]
fn integer() {
    let insert = "INSERT INTO t VALUES (? * -1000003, ?)";
    check("t", "CREATE TABLE t (id INTEGER PRIMARY KEY, src INT)", insert, "id = ?1");
}

#[test]
fn text_that_is_no_utf_8() {
    let insert = "INSERT INTO t VALUES (CAST(x'ff80' || char(?) AS TEXT), ?)";
    check("t", "CREATE TABLE t (id TEXT PRIMARY KEY, src INT)", insert, "id = ?1");
}

#[test]
fn real() {
    let insert = "INSERT INTO t VALUES (iif(? = 7, 9e999, ? / 7.0), ?)";
    check("t", "CREATE TABLE t (id REAL PRIMARY KEY, src INT)", insert, "id = ?1");
}

#[test]
fn blob_without_rowid() {
    let insert = "INSERT INTO t VALUES (CAST(char(?) AS BLOB), ?)";
    check("t", "CREATE TABLE t (id BLOB PRIMARY KEY, src INT) WITHOUT ROWID", insert, "id = ?1");
}

#[test]
fn of_every_storage_class() {
    let insert = "INSERT INTO t SELECT CASE ? % 4 WHEN 0 THEN ? WHEN 1 THEN ? + 0.5
                  WHEN 2 THEN '' || ? ELSE CAST('' || ? AS BLOB) END, ?";
    check("t", "CREATE TABLE t (id PRIMARY KEY, src INT)", insert, "id = ?1");
}

#[test]
fn nocase() {
    let insert = "INSERT INTO t VALUES ('Key' || ?, ?)";
    check("t", "CREATE TABLE t (id TEXT PRIMARY KEY COLLATE NOCASE, src INT)", insert, "id = ?1");
}

#[test]
fn composite_with_nulls() {
    let schema = "CREATE TABLE t (b TEXT, src INT, a INT, PRIMARY KEY (a, b))";
    let insert = "INSERT INTO t VALUES ('k' || ?, ?, iif(? % 2, NULL, ? % 5))";
    check("t", schema, insert, "a IS ?1 AND b IS ?2");
}

#[test]
fn composite_without_rowid_in_mixed_directions() {
    let schema = "CREATE TABLE t (b TEXT, src INT, a INT, PRIMARY KEY (a, b DESC)) WITHOUT ROWID";
    let insert = "INSERT INTO t VALUES ('k' || ?, ?, ? % 5)";
    check("t", schema, insert, "a = ?1 AND b = ?2");
}

#[test]
fn quoted_names() {
    let schema = "CREATE TABLE \"gr\"\"\u{f6}\u{df}e\" (\"i d\" TEXT PRIMARY KEY, src INT)";
    let insert = "INSERT INTO \"gr\"\"\u{f6}\u{df}e\" VALUES ('k' || ?, ?)";
    check("gr\"\u{f6}\u{df}e", schema, insert, "\"i d\" = ?1");
}

#[test]
fn rows_that_share_a_null_key_are_counted() {
    let schema = "CREATE TABLE t (id TEXT PRIMARY KEY, src INT)";
    let pair = Pair::new("t", schema, "INSERT INTO t VALUES (NULL, ?)", "");
    assert_eq!(pair.compare().verdict, Verdict::Equal);
    assert_eq!(pair.by_digest().verdict, Verdict::Equal);
    pair.b.0.execute_batch("DELETE FROM t WHERE src IN (7, 8)").unwrap();
    past_triggers(&pair.b.0, "UPDATE t SET target = 'c' WHERE src = 9");
    let report = pair.compare();
    assert_eq!(report.verdict, Verdict::Diverged);
    let found = report.comparison.unwrap();
    assert_eq!((found.rows_in_flight, found.rows_diverged), (2, 1));
    let lines = fs::read_to_string(&pair.out).unwrap();
    assert_eq!(lines.lines().count(), 2, "one key, once per verdict: {lines}");
}

#[test]
fn rows_whose_expression_fails() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, src INT, doc TEXT)";
    let pair = || {
        let mut pair = Pair::new(
            "t",
            schema,
            "INSERT INTO t VALUES (?, ?, iif(? % 10, '{\"a\": ?}', '{'))",
            "",
        );
        for (_, job) in [&mut pair.a, &mut pair.b] {
            let more = "on_error = \"skip\"";
            job.migration = one_column("t", "of_doc", "TEXT", "json_extract(doc, '$.a')", more);
            job.migration.id = dotfill::migration::MigrationId::new("docs").unwrap();
        }
        pair
    };
    let pair = pair();
    for (_, job) in [&pair.a, &pair.b] {
        assert_eq!(job.run().rows_skipped, 12, "premise: some expressions fail");
    }
    assert_eq!(pair.compare().verdict, Verdict::Equal);
    // A user's value in such a row is on its way.
    pair.a.0.execute_batch("UPDATE t SET of_doc = 'mine' WHERE id = 10").unwrap();
    let found = pair.compare();
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(found.comparison.unwrap().rows_in_flight, 1);
    pair.b.0.execute_batch("UPDATE t SET of_doc = 'mine' WHERE id = 10").unwrap();
    assert_eq!(pair.compare().verdict, Verdict::Equal);
    // Nobody has claimed this one: the sources are the same, and the values are not.
    past_triggers(&pair.b.0, "UPDATE t SET of_doc = 'c' WHERE id = 20");
    let found = pair.compare();
    assert_eq!(found.verdict, Verdict::Diverged);
    assert_eq!(found.comparison.unwrap().rows_diverged, 1);
    assert_eq!(pair.by_digest().verdict, Verdict::Diverged);
}
